/* A rank's seat in a process: the streams that it keeps from run to run, its thread, and how it gets up. */
#pragma once
#include "rank.h"

/* Gives the rank its streams, events and graphs for a run, in the context that is current. */
enum hl_status hl_seat_take(struct hl_cuda_rank *seat, struct hl_cuda_job *job, int rank, CUcontext context,
                            struct hl_error *error);
/* Starts the rank's host. */
enum hl_status hl_seat_start(struct hl_cuda_rank *seat, struct hl_error *error);
/* Waits until the host has left and its streams are empty, which takes an aborted run little time. Fails when
 * they are not: then only the end of this process helps. */
enum hl_status hl_seat_leave(struct hl_cuda_rank *seat, struct hl_error *error);
/* Frees what belongs to the run. */
void hl_seat_clear(struct hl_cuda_rank *seat);

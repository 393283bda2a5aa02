/* What the ops of a rank launch: a call's kernels between its marks, fillers, initialisations, copies. */
#pragma once
#include "rank.h"

enum hl_status hl_cuda_issue_call(struct hl_cuda_rank *rank, uint32_t op, struct hl_error *error);
enum hl_status hl_cuda_issue_init(struct hl_cuda_rank *rank, uint32_t op, struct hl_error *error);
enum hl_status hl_cuda_issue_filler(struct hl_cuda_rank *rank, uint32_t op, struct hl_error *error);
enum hl_status hl_cuda_issue_alloc(struct hl_cuda_rank *rank, uint32_t op, struct hl_error *error);
enum hl_status hl_cuda_issue_copy(struct hl_cuda_rank *rank, uint32_t op, struct hl_error *error);
/* Somebody else writes over the buffers of a workspace that was given back. */
enum hl_status hl_cuda_issue_reuse(struct hl_cuda_rank *rank, uint32_t op, struct hl_error *error);
/* A kernel of somebody else on the rank's GPU. */
enum hl_status hl_cuda_issue_foreign(struct hl_cuda_rank *rank, struct hl_error *error);

/* Before a run: the code of all its calls, on the current GPU. A kernel's first launch would load it, and
 * wait for a peer's that spins. */
enum hl_status hl_cuda_issue_load(struct hl_cuda_rank *rank, struct hl_error *error);
/* Before a run: counters, samples, guards and constant rows of the rank, on its first stream. */
enum hl_status hl_cuda_issue_prepare(struct hl_cuda_rank *rank, struct hl_error *error);

/* What the kernels of a call op are launched with. */
struct hl_cuda_call hl_cuda_rank_call(const struct hl_cuda_job *job, int rank, uint32_t op);

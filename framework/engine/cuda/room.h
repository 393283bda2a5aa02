/* Room on a GPU: all CTAs of all ranks' calls must run at once, or the ranks wait for each other for ever. */
#pragma once
#include "process.h"

/* Says in shared memory how many CTAs of each kernel a rank may launch, and how many the GPU holds. Fails
 * where the ranks of a GPU do not fit. */
enum hl_status hl_cuda_share_room(struct hl_cuda_process *process, struct hl_error *error);

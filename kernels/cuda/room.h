/* Room on a GPU for kernels that wait for each other: all their CTAs must be there at once. */
#pragma once
#include "launch.h"

/* How many CTAs of a kernel the current device has place for, whatever runs beside it. That is fewer than
 * when nothing else runs (hl_cuda_resident_ctas): a multiprocessor can split its L1 and shared memory anew
 * only when no CTA is on it, so kernels that wait keep it as the first of them needed it. A cudaError_t. */
int hl_cuda_sure_ctas(const struct hl_cuda_call *call, const struct hl_cuda_launch *launch,
                      uint32_t *ret_ctas);

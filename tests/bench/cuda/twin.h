/* What the step source of the mnnvl one-shot is measured against: its hand-written twin, and an empty kernel.
 */
#pragma once
#include <stdbool.h>
#include "../../../kernels/cuda/launch.h"

#ifdef __cplusplus
extern "C" {
#endif
/* bf16, hidden up to 4096, 2, 4 or 8 ranks, one CTA a token, no abort word; a cudaError_t. */
int hl_twin_launch(const struct hl_cuda_call *call, bool pdl, struct CUstream_st *stream);
/* As many threads that do nothing. */
int hl_empty_launch(const struct hl_cuda_call *call, bool pdl, struct CUstream_st *stream);
#ifdef __cplusplus
}
#endif

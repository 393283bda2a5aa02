/* One build of all step sources. Compiled once per mutant, with HL_BUILD_MUTANT and HL_STEP_TABLE set. */
#include "../mnnvl.h"
#include "../trtllm.h"
#include "../nccl.h"
#include "steps.h"

const hl_step_fn HL_STEP_TABLE[HL_KERNEL_COUNT] = {
#define X(id, step, doc) [HL_KERNEL_##id] = hl_step_##step,
    HL_KERNELS(X)
#undef X
};

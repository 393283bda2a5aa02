/* The runner: the one process that touches CUDA. It executes one run after another until its socket closes.
 */
#pragma once
#include "rank.h"

/* Never returns. Its first message is a reply that says whether there is a GPU to work with. */
_Noreturn void hl_cuda_runner(int fd, struct hl_shared *shared, uint64_t shared_bytes);

/* What a command may ask of the CUDA engine before it uses it. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "hanglab/error.h"

/* Is there a GPU that the engine can use? Asked in a child, so that the caller never touches CUDA.
 * HL_STATUS_NO_GPU: no, and `error` says why. */
enum hl_status hl_cuda_find_gpu(struct hl_error *error);

/* Ends the runner that this process keeps for its next run, if it has one. */
void hl_cuda_stop_runner(void);

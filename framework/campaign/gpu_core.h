/* The folder gpucore/ of a bundle: what the lanes of hung kernels were doing (`watchdog.detail: core`). */
#pragma once
#include "bundle.h"

/* Dumps the ranks' GPUs, which ends their work there, so it comes after all else that a bundle reads. What
 * could not be dumped is said in summary.json. 0, or -1: it cannot be written. */
int hl_gpu_core_add(const struct hl_bundle *bundle, const char *folder);

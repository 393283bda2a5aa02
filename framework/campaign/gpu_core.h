/* The folder gpucore/ of a bundle: what the lanes of hung kernels were doing (`watchdog.detail: core`). */
#pragma once
#include <jansson.h>
#include "../../watchdog/core/core.h"
#include "bundle.h"

/* Dumps the ranks' GPUs, which ends their work there, so it comes after all else that a bundle reads. What
 * could not be dumped is said in summary.json. 0, or -1: it cannot be written. */
int hl_gpu_core_add(const struct hl_bundle *bundle, const char *folder);

/* The picture of one rank's core, or why there is none. Its file, if it is in the folder's gpucore/, stays
 * there unless it is too large. */
json_t *hl_gpu_core_json(const char *folder, int rank, const struct hl_core *core, const char *why);
/* Writes summary.json; takes the array. */
int hl_gpu_core_write(const char *folder, json_t *cores);

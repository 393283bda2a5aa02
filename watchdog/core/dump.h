/* GPU core dumps on demand. The driver dumps a process's GPU state when something is written to a pipe that
 * it has made, if the environment asked for it before CUDA began. CUPTI must not be in that process. */
#pragma once
#include <stddef.h>
#include <sys/types.h>

/* Sets the environment in which CUDA has to start: pipes and cores come into the folder. For one process, or
 * (0) for every one that inherits the environment. */
void hl_core_dump_allow(const char *folder, pid_t pid);

/* Dumps process `pid` and moves its core to `path`. The process's contexts are lost by it: its next CUDA call
 * reports a failed launch. 0, or -1, and `why` says why. */
int hl_core_dump(const char *folder, pid_t pid, const char *path, char *why, size_t size);

/* GPU core dumps on demand. The driver dumps a process's GPU state when something is written to a pipe that
 * it has made, if the environment asked for it before CUDA began. CUPTI must not be in that process. */
#pragma once
#include <stddef.h>
#include <sys/types.h>

/* In the process that is to be dumped, before it starts CUDA: its pipe and its core come into the folder. */
void hl_core_dump_allow(const char *folder);

/* Dumps process `pid` and moves its core to `path`. The process's contexts are lost by it: its next CUDA call
 * reports a failed launch. 0, or -1, and `why` says why. */
int hl_core_dump(const char *folder, pid_t pid, const char *path, char *why, size_t size);

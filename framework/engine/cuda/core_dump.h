/* GPU core dumps on demand. The driver dumps a process's GPU state when something is written to a pipe that
 * it has made, if the environment asked for it before CUDA began. CUPTI must not be in that process. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A private folder for pipes and cores; "" when there is none. */
#define HL_CORE_FOLDER_MAX 64
bool hl_core_folder_make(char folder[HL_CORE_FOLDER_MAX]);
void hl_core_folder_remove(const char *folder);

/* In the process that is to be dumped, before it starts CUDA. */
void hl_core_dump_allow(const char *folder);

/* Dumps process `pid` and moves its core to `path`. The process's contexts are lost by it: its next CUDA call
 * reports a failed launch. 0, or -1, and `why` says why. */
int hl_core_dump(const char *folder, pid_t pid, const char *path, char *why, size_t size);

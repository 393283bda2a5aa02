/* The runner: the process that owns the ranks' memory, looks at it for the watchdog, and hosts the ranks that
 * have no processes of their own. It serves one run after another until its socket closes. */
#pragma once
#include "shared.h"

/* Never returns. Its first message is a reply that says whether there is a GPU to work with. */
_Noreturn void hl_cuda_runner(int fd, struct hl_shared *shared);

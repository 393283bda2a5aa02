/* libhanglab-watch.so: the watcher in a program that knows nothing of it.
 *
 * The driver opens the library that CUDA_INJECTION64_PATH names when it is initialised, and calls
 * InitializeInjection(). `hanglab watch` sets that variable; children inherit it, and those that never use
 * CUDA never load this. */
#include "inject.h"

int InitializeInjection(void)
{
    hl_watch_this_process();
    return 1;
}

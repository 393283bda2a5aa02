/* The watcher of a build without CUPTI's headers: it is there, and says that it sees nothing. */
#include <stdio.h>
#include "../cupti/watcher.h"

void hl_watcher_start(struct hl_page *page, const char *folder)
{
    (void)folder;
    snprintf(page->why, sizeof page->why, "this hanglab was built without CUPTI's headers (CUDA 13 toolkit)");
    atomic_store(&page->state, HL_PAGE_BLIND);
}

void hl_watcher_stop(void) {}

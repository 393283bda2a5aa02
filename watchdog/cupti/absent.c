/* In place of the watcher and of the symbols in a build without CUPTI's headers: they are there, and say that
 * they can do nothing. */
#include <stdio.h>
#include "symbols.h"
#include "watcher.h"

#define WHY "this hanglab was built without CUPTI's headers (CUDA 13 toolkit)"

void hl_watcher_start(struct hl_page *page, const char *folder)
{
    (void)folder;
    snprintf(page->why, sizeof page->why, WHY);
    atomic_store(&page->state, HL_PAGE_BLIND);
}

void hl_watcher_stop(void) {}

bool hl_symbolise(struct hl_page *page, const char *folder, char *why, size_t size)
{
    (void)page, (void)folder;
    snprintf(why, size, WHY);
    return false;
}

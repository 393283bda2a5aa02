/* Watching this process from inside: CUPTI's callbacks, records and samples, and one thread, write a page.
 *
 * CUPTI has one subscriber a process, so there is one watcher. Includes no CUDA header. */
#pragma once
#include "page.h"

/* Begins to watch as page->detail says; the page has been initialised. With detail core, CUPTI is not
 * touched, and driver calls have to be told of by hl_driver_call_enter() and its like (inside.h). Sets
 * page->state: BLIND, with page->why, where CUPTI cannot be had. `folder`: where cubins go that have line
 * information (detail pc), or NULL. */
void hl_watcher_start(struct hl_page *page, const char *folder);
/* Ends it before the driver is torn down. */
void hl_watcher_stop(void);

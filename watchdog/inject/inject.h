/* What `hanglab watch` and the libraries that it puts into programs agree on. */
#pragma once

#define HL_WATCH_LIBRARY "libhanglab-watch.so"
#define HL_CALLS_LIBRARY "libhanglab-calls.so" /* in its place, where CUPTI must not be */
/* Environment of the watched processes. */
#define HL_WATCH_FOLDER "HANGLAB_WATCH_FOLDER" /* where pages are; private */
#define HL_WATCH_DETAIL "HANGLAB_WATCH_DETAIL" /* enum hl_page_detail */
/* Where feeds are recorded to, for tests; hanglab does not set it. */
#define HL_WATCH_RECORD "HANGLAB_WATCH_RECORD"
/* FOLDER/<pid>.page */
#define HL_WATCH_PAGE_SUFFIX ".page"

/* Makes this process's page and begins to watch; once. */
void hl_watch_this_process(void);

/* What the driver calls. */
__attribute__((visibility("default"))) int InitializeInjection(void);

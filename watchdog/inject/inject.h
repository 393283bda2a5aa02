/* What `hanglab watch` and the library that it injects agree on. */
#pragma once

#define HL_WATCH_LIBRARY "libhanglab-watch.so"
/* Environment of the watched processes. */
#define HL_WATCH_FOLDER "HANGLAB_WATCH_FOLDER" /* where pages are; private */
#define HL_WATCH_DETAIL "HANGLAB_WATCH_DETAIL" /* enum hl_page_detail */
/* Where feeds are recorded to, for tests; hanglab does not set it. */
#define HL_WATCH_RECORD "HANGLAB_WATCH_RECORD"
/* FOLDER/<pid>.page */
#define HL_WATCH_PAGE_SUFFIX ".page"

/* What the driver calls. */
__attribute__((visibility("default"))) int InitializeInjection(void);

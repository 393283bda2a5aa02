/* What `hanglab watch` and the library that it injects agree on. */
#pragma once

#define HL_WATCH_LIBRARY "libhanglab-watch.so"
/* Environment of the watched processes. */
#define HL_WATCH_FOLDER "HANGLAB_WATCH_FOLDER" /* where pages are; private */
#define HL_WATCH_DETAIL "HANGLAB_WATCH_DETAIL" /* enum hl_page_detail */
#define HL_WATCH_RECORD \
    "HANGLAB_WATCH_RECORD" /* where feeds are recorded to, for tests; not set by hanglab */
/* FOLDER/<pid>.page */
#define HL_WATCH_PAGE_SUFFIX ".page"

/* What the driver calls. */
__attribute__((visibility("default"))) int InitializeInjection(void);

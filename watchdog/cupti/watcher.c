/* The watcher's life, and its thread: look at events, collect when asked. */
#include "watcher.h"
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "feed.h"
#include "inside.h"

#define LOOK_NS 1000000
#define DRAIN_NS 500000000u

struct hl_watcher hl_watcher;
_Thread_local bool hl_watcher_inside;
static pthread_t thread;
static bool started;
static _Atomic bool over;

uint64_t hl_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void hl_watcher_lacks(const char *what, CUptiResult result)
{
    char *why = hl_watcher.page->why;
    const size_t n = strlen(why), size = sizeof hl_watcher.page->why;
    const char *text = "unknown error";
    const char *hint = "";
    hl_watcher.cupti.cuptiGetResultString(result, &text);
    if (result == CUPTI_ERROR_INSUFFICIENT_PRIVILEGES)
        hint = "; run as root, or load the driver with NVreg_RestrictProfilingToAdminUsers=0";
    snprintf(why + n, size - n, "%s%s: %s%s", n ? "; " : "", what, text, hint);
}

static void collect(void)
{
    struct hl_page *page = hl_watcher.page;
    const uint32_t asked = atomic_load(&page->asked);
    if (asked == atomic_load(&page->answered))
        return;
    if (atomic_load(&page->reads)) {
        hl_reader_answer();
    } else {
        if (page->detail >= HL_PAGE_CUPTI)
            hl_activity_flush();
        if (page->detail == HL_PAGE_PC)
            hl_sampling_collect();
    }
    HL_FEED("beat %llu", (unsigned long long)atomic_load(&page->beat_ns));
    atomic_store(&page->answered, asked);
    syscall(SYS_futex, &page->answered, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Until the next look, or until somebody asks. */
static void rest(const struct hl_page *page)
{
    const struct timespec until = { .tv_nsec = LOOK_NS };
    syscall(SYS_futex, &page->asked, FUTEX_WAIT, atomic_load(&page->answered), &until, NULL, 0);
}

static void *watch(void *unused)
{
    struct hl_page *page = hl_watcher.page;
    uint64_t drained_ns = 0;
    (void)unused;
    hl_watcher_inside = true;
    prctl(PR_SET_NAME, "hanglab-watch");
    prctl(PR_SET_TIMERSLACK, 100000ul);
    while (!atomic_load(&over)) {
        hl_events_poll();
        const uint64_t now_ns = hl_now_ns();
        atomic_store(&page->beat_ns, now_ns);
        collect();
        if (page->detail == HL_PAGE_PC && now_ns - drained_ns > DRAIN_NS) {
            hl_sampling_drain();
            drained_ns = now_ns;
        }
        rest(page);
    }
    return NULL;
}

/* Signals are the program's. */
static bool start_thread(void)
{
    sigset_t every, former;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &former);
    const int failed = pthread_create(&thread, NULL, watch, NULL);
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    if (failed)
        snprintf(hl_watcher.page->why, sizeof hl_watcher.page->why, "cannot start a thread: %s",
                 strerror(failed));
    return !failed;
}

void hl_watcher_start(struct hl_page *page, const char *folder)
{
    hl_watcher.page = page;
    hl_watcher.folder = folder;
    const bool with_cupti = page->detail != HL_PAGE_CORE;
    bool watching = (!with_cupti || hl_cupti_load(&hl_watcher.cupti, page->why, sizeof page->why)) &&
                    hl_cupti_load_driver(&hl_watcher.cupti, page->why, sizeof page->why) &&
                    hl_driver_calls_start() && (!with_cupti || hl_callbacks_start());
    if (watching && page->detail >= HL_PAGE_CUPTI)
        hl_activity_start();
    started = watching && start_thread();
    atomic_store(&page->state, started ? HL_PAGE_WATCHING : HL_PAGE_BLIND);
}

void hl_watcher_stop(void)
{
    if (!started)
        return;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    atomic_store(&over, true);
    /* A thread that is stuck in a stuck driver would not let unsubscribing, and so the program, end. */
    if (pthread_timedjoin_np(thread, NULL, &until) == 0 && hl_watcher.subscriber)
        hl_watcher.cupti.cuptiUnsubscribe(hl_watcher.subscriber);
    atomic_store(&hl_watcher.page->state, HL_PAGE_ENDED);
    started = false;
}

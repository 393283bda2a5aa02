/* Progress of streams, by events: when the event behind a launch has come, the launch has ended, and all that
 * were put on the stream before it.
 *
 * Asking the stream itself (cuStreamQuery) would tell less, for a busy stream is never done, and would
 * invalidate a capture that a peer thread has just begun. */
#include "inside.h"
#include <stdatomic.h>
#include <time.h>

#define EVENTS 16 /* outstanding ones of a stream */
/* Where kernels are slow, the first launches of a burst get an event each; the more are outstanding, the more
 * launches stand between two. Where kernels are fast, that makes a dozen events a millisecond at most. */
#define LAUNCHES_APART 3
#define OUTSTANDING_APART 2
/* Launches of a stream that stay without an event for so long get one from the watchdog thread. */
#define TAIL_NS 20000000u

struct stream_events {
    atomic_flag busy;   /* a thread records on the stream */
    atomic_flag polled; /* a thread looks at its events */
    bool made, broken;
    CUevent event[EVENTS];
    uint64_t launches[EVENTS]; /* that it stands behind */
    _Atomic uint32_t recorded, seen;
};
static struct stream_events all[HL_PAGE_STREAMS];
/* The watchdog thread holds it while it puts an event on a stream that is not its own; a capture that begins,
 * or a stream that ends, waits for it. */
static atomic_flag tail = ATOMIC_FLAG_INIT;

static void hold_tail(void)
{
    while (atomic_flag_test_and_set(&tail))
        nanosleep(&(struct timespec){ .tv_nsec = 1000 }, NULL);
}

static void release_tail(void) { atomic_flag_clear(&tail); }

/* In relaxed mode, for another thread may be capturing in the global one. */
static bool make_events(struct stream_events *e)
{
    struct hl_cupti *cupti = &hl_watcher.cupti;
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    cupti->cuThreadExchangeStreamCaptureMode(&mode);
    for (int i = 0; i < EVENTS; i++)
        e->broken |= cupti->cuEventCreate(&e->event[i], CU_EVENT_DISABLE_TIMING) != CUDA_SUCCESS;
    cupti->cuThreadExchangeStreamCaptureMode(&mode);
    e->made = true;
    return !e->broken;
}

/* The handle that the driver takes: hl_page's of a per-thread default stream has the thread in it. */
static CUstream driver_stream(uint64_t handle)
{
    return (uint32_t)handle == (uintptr_t)CU_STREAM_PER_THREAD ? CU_STREAM_PER_THREAD
                                                               : (CUstream)(uintptr_t)handle;
}

static void record(uint32_t stream)
{
    struct hl_page_stream *s = &hl_watcher.page->streams[stream];
    struct stream_events *e = &all[stream];
    const uint64_t launches = atomic_load(&s->launched);
    if (launches == atomic_load(&s->marked) || e->broken || atomic_flag_test_and_set(&e->busy))
        return;
    const uint32_t n = atomic_load(&e->recorded);
    if ((e->made || make_events(e)) && n - atomic_load(&e->seen) < EVENTS) {
        const CUresult result =
            hl_watcher.cupti.cuEventRecord(e->event[n % EVENTS], driver_stream(s->handle));
        e->broken |= result != CUDA_SUCCESS;
        if (result == CUDA_SUCCESS) {
            e->launches[n % EVENTS] = launches;
            atomic_store(&e->recorded, n + 1);
            hl_page_mark(hl_watcher.page, stream, launches);
        }
    }
    atomic_flag_clear(&e->busy);
}

void hl_events_mark(uint32_t stream, bool graph)
{
    const struct hl_page_stream *s = &hl_watcher.page->streams[stream];
    const uint32_t outstanding = atomic_load(&all[stream].recorded) - atomic_load(&all[stream].seen);
    uint64_t apart = 1;
    for (uint32_t i = OUTSTANDING_APART; i <= outstanding; i += OUTSTANDING_APART)
        apart *= LAUNCHES_APART;
    if ((graph || atomic_load(&s->launched) - atomic_load(&s->marked) >= apart) && outstanding + 1 < EVENTS)
        record(stream); /* the last one is for who is about to wait */
}

/* A per-thread default stream can only be named by its own thread. */
static bool is_of_thread(const struct hl_page_stream *s)
{
    return (uint32_t)s->handle == (uintptr_t)CU_STREAM_PER_THREAD;
}

void hl_events_mark_all(CUcontext context)
{
    struct hl_page *page = hl_watcher.page;
    if (atomic_load(&page->capturing))
        return;
    for (uint32_t i = 0; i < HL_PAGE_STREAMS; i++) {
        const struct hl_page_stream *s = &page->streams[i];
        if (atomic_load(&s->key) && s->context == (uint64_t)(uintptr_t)context && !is_of_thread(s) &&
            atomic_load(&s->launched) > atomic_load(&s->marked))
            record(i);
    }
}

void hl_events_capture(bool begins)
{
    struct hl_page *page = hl_watcher.page;
    if (begins) {
        atomic_fetch_add(&page->capturing, 1);
        hold_tail(); /* an event that is being recorded is on its stream before the capture begins */
        release_tail();
    } else if (atomic_load(&page->capturing) > 0) {
        atomic_fetch_sub(&page->capturing, 1);
    }
}

static void forget(uint32_t stream)
{
    struct hl_page_stream *s = &hl_watcher.page->streams[stream];
    struct stream_events *e = &all[stream];
    hold_tail();
    const uint64_t launched = atomic_load(&s->launched);
    atomic_store(&e->seen, atomic_load(&e->recorded));
    hl_page_mark(hl_watcher.page, stream, launched);
    hl_page_complete(hl_watcher.page, stream, launched, hl_now_ns());
    release_tail();
}

void hl_events_forget(CUcontext context, uint64_t handle)
{
    for (uint32_t i = 0; i < HL_PAGE_STREAMS; i++) {
        const struct hl_page_stream *s = &hl_watcher.page->streams[i];
        if (atomic_load(&s->key) && s->handle == handle && s->context == (uint64_t)(uintptr_t)context)
            forget(i);
    }
}

void hl_events_forget_context(CUcontext context)
{
    for (uint32_t i = 0; i < HL_PAGE_STREAMS; i++) {
        const struct hl_page_stream *s = &hl_watcher.page->streams[i];
        if (!atomic_load(&s->key) || s->context != (uint64_t)(uintptr_t)context)
            continue;
        forget(i);
        all[i].broken = true; /* its events end with the context */
    }
}

/* True while the stream's oldest event has come: there may be another one behind it. */
static bool poll_one(uint32_t stream, uint64_t now_ns)
{
    struct stream_events *e = &all[stream];
    const uint32_t seen = atomic_load(&e->seen);
    if (e->broken || seen == atomic_load(&e->recorded))
        return false;
    const CUresult result = hl_watcher.cupti.cuEventQuery(e->event[seen % EVENTS]);
    if (result == CUDA_ERROR_NOT_READY)
        return false;
    const uint64_t launches = e->launches[seen % EVENTS];
    if (result != CUDA_SUCCESS)
        e->broken = true; /* an error of the context: its program will hear of it, too */
    atomic_store(&e->seen, seen + 1);
    hl_page_complete(hl_watcher.page, stream, launches, now_ns);
    return true;
}

/* One thread at a time; another one that is at it will see what there is. */
static void poll_stream(uint32_t stream, uint64_t now_ns)
{
    if (atomic_load(&all[stream].seen) == atomic_load(&all[stream].recorded) ||
        atomic_flag_test_and_set(&all[stream].polled))
        return;
    while (poll_one(stream, now_ns)) {
    }
    atomic_flag_clear(&all[stream].polled);
}

void hl_events_after_sync(CUcontext context)
{
    struct hl_page *page = hl_watcher.page;
    if (atomic_load(&page->capturing))
        return;
    for (uint32_t i = 0; i < HL_PAGE_STREAMS; i++)
        if (atomic_load(&page->streams[i].key) && page->streams[i].context == (uint64_t)(uintptr_t)context)
            poll_stream(i, hl_now_ns());
}

static void mark_tail(uint32_t stream, uint64_t now_ns)
{
    struct hl_page *page = hl_watcher.page;
    const struct hl_page_stream *s = &page->streams[stream];
    const struct stream_events *e = &all[stream];
    const uint64_t launched = atomic_load(&s->launched);
    if (launched == atomic_load(&s->marked) || atomic_load(&e->recorded) != atomic_load(&e->seen) ||
        is_of_thread(s) || !e->made || launched == 0 ||
        now_ns - s->launch[(launched - 1) % HL_PAGE_LAUNCHES].at_ns < TAIL_NS)
        return;
    hold_tail();
    if (!atomic_load(&page->capturing))
        record(stream);
    release_tail();
}

/* Asking for an event's state would invalidate the capture of a thread in the global mode. The driver can be
 * told so only once the program has initialised it. */
static bool be_relaxed(void)
{
    static bool relaxed;
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    relaxed = relaxed || hl_watcher.cupti.cuThreadExchangeStreamCaptureMode(&mode) == CUDA_SUCCESS;
    return relaxed;
}

void hl_events_poll(void)
{
    struct hl_page *page = hl_watcher.page;
    uint64_t current = 0;
    for (uint32_t i = 0; i < HL_PAGE_STREAMS; i++) {
        const struct hl_page_stream *s = &page->streams[i];
        if (!atomic_load(&s->key) || atomic_load(&s->launched) == atomic_load(&s->completed) ||
            all[i].broken || !be_relaxed())
            continue;
        if (s->context != current)
            hl_watcher.cupti.cuCtxSetCurrent((CUcontext)(uintptr_t)s->context);
        current = s->context;
        const uint64_t now_ns = hl_now_ns();
        poll_stream(i, now_ns);
        mark_tail(i, now_ns);
    }
}

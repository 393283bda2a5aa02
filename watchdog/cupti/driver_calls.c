/* Driver calls become in-flight entries and launches of the page. CUPTI's callbacks tell of them, or the
 * calls themselves where there is no CUPTI (inject/calls.c). */
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "inside.h"

static pthread_key_t thread_key;
static _Thread_local uint32_t own_thread; /* its slot + 1 */

static void thread_over(void *slot) { hl_page_thread_over(hl_watcher.page, (uint32_t)(uintptr_t)slot - 1); }

bool hl_driver_calls_start(void) { return pthread_key_create(&thread_key, thread_over) == 0; }

uint32_t hl_driver_calls_thread(void)
{
    if (own_thread == 0) {
        own_thread = hl_page_thread(hl_watcher.page, (uint32_t)syscall(SYS_gettid)) + 1;
        pthread_setspecific(thread_key, (void *)(uintptr_t)own_thread);
    }
    return own_thread - 1;
}

static uint64_t number_of(const void *handle) { return (uint64_t)(uintptr_t)handle; }

/* Every thread has a per-thread default stream of its own, under one name. */
static uint64_t stream_of(CUstream stream)
{
    const uint64_t handle = number_of(stream);
    return stream == CU_STREAM_PER_THREAD ? handle | (uint64_t)syscall(SYS_gettid) << 32 : handle;
}

static bool is_launch(enum hl_api api)
{
    return hl_api_kind(api) == HL_API_LAUNCH || hl_api_kind(api) == HL_API_GRAPH;
}

/* Both name a context that need not be the thread's. */
static bool is_of_current_context(enum hl_api api)
{
    return api != HL_API_cuDevicePrimaryCtxRetain && api != HL_API_cuCtxDestroy;
}

void hl_driver_call_enter(const struct hl_driver_call *call)
{
    struct hl_page *page = hl_watcher.page;
    uint64_t params = 0;
    if (is_of_current_context(call->api))
        hl_reader_prepare(call->context);
    const uint32_t kernel =
        call->kernel ? hl_page_kernel(page, number_of(call->function), call->kernel) : HL_PAGE_NONE;
    if (kernel != HL_PAGE_NONE && page->kernels[kernel].known)
        params = hl_params_of(kernel, call->context, call->function, call->grid, call->params, call->extra);
    hl_page_enter(page, hl_driver_calls_thread(), call->api, number_of(call->stream), kernel, hl_now_ns());
    if (params)
        hl_page_with(page, hl_driver_calls_thread(), params);
    if (hl_api_kind(call->api) == HL_API_SYNC)
        hl_events_mark_all(call->context);
    if (hl_api_kind(call->api) == HL_API_CAPTURE_BEGIN)
        hl_events_capture(true);
}

/* The precise clock is more than half of what a callback costs, so it is read when a launch is entered; the
 * coarse one, a few milliseconds late, tells whether that was long ago, for a launch can wait for room in its
 * queue or load a module. */
static uint64_t time_of_launch(const struct hl_page_thread *thread)
{
    struct timespec coarse;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &coarse);
    const uint64_t left_ns = (uint64_t)coarse.tv_sec * 1000000000u + (uint64_t)coarse.tv_nsec;
    const uint64_t entered_ns = atomic_load(&thread->since_ns);
    return left_ns > entered_ns ? left_ns : entered_ns;
}

static void note_launch(const struct hl_driver_call *call, const struct hl_page_thread *thread)
{
    struct hl_page *page = hl_watcher.page;
    const uint64_t now_ns = time_of_launch(thread);
    const uint32_t stream = hl_page_stream(page, number_of(call->context), stream_of(call->stream), now_ns);
    if (stream == HL_PAGE_NONE)
        return;
    struct hl_page_launch launch = { .at_ns = now_ns,
                                     .correlation = call->correlation,
                                     .kernel = thread->kernel,
                                     .exec = HL_PAGE_NONE,
                                     .tid = atomic_load(&thread->tid),
                                     .params = thread->params };
    if (call->exec)
        launch.exec = hl_page_exec(page, number_of(call->exec));
    memcpy(launch.grid, call->grid, sizeof launch.grid);
    memcpy(launch.block, call->block, sizeof launch.block);
    hl_page_launch(page, stream, &launch);
    hl_events_mark(stream, call->exec != NULL);
}

void hl_driver_call_exit(const struct hl_driver_call *call, bool done)
{
    struct hl_page *page = hl_watcher.page;
    const uint32_t slot = hl_driver_calls_thread();
    if (slot != HL_PAGE_NONE && is_launch(call->api) && done && !page->threads[slot].recorded)
        note_launch(call, &page->threads[slot]);
    if (hl_api_kind(call->api) == HL_API_SYNC && done)
        hl_events_after_sync(call->context);
    if (hl_api_kind(call->api) == HL_API_CAPTURE_END ||
        (hl_api_kind(call->api) == HL_API_CAPTURE_BEGIN && !done))
        hl_events_capture(false);
    hl_page_exit(page, slot);
    if (!is_launch(call->api) && is_of_current_context(call->api))
        hl_reader_prepare(call->context);
}

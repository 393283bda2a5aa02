/* What the parts of the watcher share. */
#pragma once
#include "library.h"
#include "track.h"

#define HL_CONTEXTS_MAX 16

struct hl_watcher {
    struct hl_page *page;
    struct hl_cupti cupti;
    const char *folder;
    CUpti_SubscriberHandle subscriber;
};
extern struct hl_watcher hl_watcher;

uint64_t hl_now_ns(void);
/* Adds to page->why what of the detail is missing. */
void hl_watcher_lacks(const char *what, CUptiResult result);

/* True while this thread makes calls for the watchdog: its callbacks mean nothing. */
extern _Thread_local bool hl_watcher_inside;

/* driver_calls.c: driver calls become in-flight entries and launches, whoever tells of them. */
struct hl_driver_call {
    enum hl_api api;
    CUcontext context;
    CUstream stream; /* that it launches on or waits for */
    CUfunction function;
    const char *kernel; /* the function's symbol; NULL: not known */
    CUgraphExec exec;
    uint32_t grid[3], block[3];
    void *const *params, *const *extra; /* its arguments, one way or the other */
    uint32_t correlation;
};
bool hl_driver_calls_start(void);
void hl_driver_call_enter(const struct hl_driver_call *call);
void hl_driver_call_exit(const struct hl_driver_call *call, bool done);
/* The slot of this thread in the page. */
uint32_t hl_driver_calls_thread(void);

/* callbacks.c. False: there is another subscriber, or CUPTI refuses; page->why says so. */
bool hl_callbacks_start(void);

/* events.c: how a stream's progress is known. Events are recorded behind launches, in the thread that has
 * launched; so nothing is put on a stream that is being captured. */
void hl_events_mark(uint32_t stream, bool graph);
/* Puts one behind the launches of all streams that have none, before a thread waits for the device. */
void hl_events_mark_all(CUcontext context);
/* Looks at them after a thread has waited: what follows begins on streams that are known to be idle. */
void hl_events_after_sync(CUcontext context);
/* No stream but a thread's own gets an event while any is being captured. */
void hl_events_capture(bool begins);
/* A stream or a context ends. */
void hl_events_forget(CUcontext context, uint64_t handle);
void hl_events_forget_context(CUcontext context);
/* Looks which events have come. In the watchdog thread. */
void hl_events_poll(void);

/* params.c: the arguments of known kernels, taken while the launch that has them is under way. */
uint64_t hl_params_of(uint32_t kernel, CUcontext context, CUfunction function, const uint32_t grid[3],
                      void *const *params, void *const *extra);

/* reader.c: device memory for the supervisor, by a stream and a buffer that were made before anything could
 * be stuck. */
void hl_reader_prepare(CUcontext context);
void hl_reader_forget(CUcontext context);
/* Reads what the page asks for, in the watchdog thread. */
void hl_reader_answer(void);

/* activity.c */
void hl_activity_start(void);
void hl_activity_flush(void);

/* sampling.c */
void hl_sampling_context(CUcontext context);
void hl_sampling_module(const void *cubin, size_t bytes);
void hl_sampling_forget(CUcontext context);
/* Throws away what has come so far; keeps CUPTI's buffer from filling. */
void hl_sampling_drain(void);
void hl_sampling_collect(void);

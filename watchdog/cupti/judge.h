/* Reading a page: does the process go on, and if not, what does not end? */
#pragma once
#include "page.h"

/* A stream that stands still while others of its process go on may belong to a kernel that is meant to stay:
 * it gets so many times the threshold. */
#define HL_JUDGE_PATIENCE 10
/* Nothing pends, and a driver call takes long by itself: it starts CUDA or loads code. Of seven programs that
 * started at once on an H100, each stood 0.8 s in cuDevicePrimaryCtxRetain. */
#define HL_JUDGE_HOST_NS 5000000000u
/* The watchdog thread itself may be away for so long: it collects what it is asked for, too. */
#define HL_JUDGE_SILENT_NS 1000000000u

enum hl_stall_kind {
    HL_STALL_NONE,
    HL_STALL_DEVICE, /* work on a stream does not end */
    HL_STALL_HOST,   /* no work is known to be pending, and a driver call does not return */
    HL_STALL_SILENT  /* the watchdog thread itself does not look any more: stopped, starved or stuck */
};

struct hl_stall {
    enum hl_stall_kind kind;
    uint64_t since_ns; /* the last progress */
    uint32_t stream;   /* in streams: whose work does not end; HL_PAGE_NONE: none is pending */
    uint32_t thread;   /* HOST: in threads; else HL_PAGE_NONE */
};

/* Time is the watchdog thread's own (`beat_ns`), so that a process that was stopped for a while is not taken
 * for one that is stuck; only SILENT looks at `now_ns`. */
struct hl_stall hl_judge(const struct hl_page *page, uint64_t threshold_ns, uint64_t now_ns);

enum hl_device_state {
    HL_DEVICE_UNKNOWN, /* nothing tells */
    HL_DEVICE_SPINS,   /* the unfinished kernel executes instructions */
    HL_DEVICE_IDLE     /* work is pending and no kernel executes */
};

/* What does not end on a stream. */
struct hl_unfinished {
    uint64_t number; /* the stream's launch, from 0 */
    uint64_t behind; /* launches enqueued after it */
    bool known;      /* the launch is still in the page */
    bool by_record;  /* told by activity records; else by events, which stand behind several launches */
    struct hl_page_launch launch;
    uint32_t nodes;    /* kernels of its graph; 0: no graph, or not known */
    uint32_t finished; /* of them have a record */
    uint32_t node;     /* index among its graph's nodes, in their order, of the first without; HL_PAGE_NONE */
    uint32_t kernel;   /* that does not end, HL_PAGE_NONE: not known */
    bool by_samples;   /* the kernel is named by PC samples */
    enum hl_device_state device;
};

struct hl_unfinished hl_find_unfinished(const struct hl_page *page, uint32_t stream);

/* The kernel with most samples, HL_PAGE_NONE: no samples. */
uint32_t hl_hottest_kernel(const struct hl_page *page);

/* The name of a kernel, or "". Valid as long as the page. */
const char *hl_kernel_name(const struct hl_page *page, uint32_t kernel);

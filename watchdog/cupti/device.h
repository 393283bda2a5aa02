/* What a page tells at a stall, in short: the part of the evidence that comes from the device and the driver.
 * Plain data, so that it can be kept, written and compared. */
#pragma once
#include "judge.h"

#define HL_DEVICE_CALLS_MAX 16
#define HL_DEVICE_LINES_MAX 24

/* A driver call that a thread is in. */
struct hl_inflight_call {
    uint32_t tid;
    enum hl_api api;
    uint64_t since_ns;
    char kernel[HL_PAGE_NAME_MAX]; /* that it launches */
};

/* Samples of one source line, or of one PC where the line is not known. */
struct hl_device_line {
    char kernel[HL_PAGE_NAME_MAX];
    char file[HL_PAGE_NAME_MAX]; /* "": not known */
    uint32_t line;
    uint64_t pc; /* of its PC with most samples */
    uint64_t samples;
};

struct hl_device_evidence {
    bool known; /* else the rest means nothing */
    uint32_t pid;
    enum hl_page_detail detail;
    enum hl_page_state state;
    char lacks[256]; /* what of the detail is missing, and why */
    struct hl_stall stall;
    uint64_t time_ns;                                   /* of the collection */
    struct hl_unfinished unfinished;                    /* where stall.stream is one */
    char kernel[HL_PAGE_NAME_MAX];                      /* that does not end; "" not known */
    char before[HL_PAGE_NAME_MAX];                      /* the node before it in its graph */
    struct hl_inflight_call calls[HL_DEVICE_CALLS_MAX]; /* the longest first */
    int n_calls;
    uint64_t samples;
    struct hl_device_line lines[HL_DEVICE_LINES_MAX]; /* the hottest first */
    int n_lines;
    uint64_t flush_ns, sampling_ns; /* what collecting took */
    uint64_t lost;
};

void hl_device_evidence_of(const struct hl_page *page, const struct hl_stall *stall, uint64_t now_ns,
                           struct hl_device_evidence *ret_evidence);

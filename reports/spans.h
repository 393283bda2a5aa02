/* The timeline of a bundle as spans: what a host was in, and every call from its enqueue to its end. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "json.h"

struct hl_span {
    bool is_call; /* else an op of the host */
    int rank;
    int64_t enqueued_ns, begin_ns, end_ns; /* -1: not in the timeline */
    const json_t *event;                   /* the newest that tells of it, but the end */
};

/* Something that takes no time: workspace-init, fault, rank-exit, quiescent. */
struct hl_mark {
    int rank; /* -1: none */
    int64_t time_ns;
    const json_t *event;
};

struct hl_spans {
    struct hl_span *spans; /* in the order in which they opened */
    struct hl_mark *marks;
    size_t n_spans, n_marks;
    long long left_out; /* events before the first one */
    int ranks;
    json_t *events; /* owns what the spans point to */
};

/* Reads timeline.jsonl; lines that are damaged are left out. False when out of memory. */
bool hl_spans_load(const char *folder, struct hl_spans *ret_spans);
void hl_spans_finish(struct hl_spans *spans);

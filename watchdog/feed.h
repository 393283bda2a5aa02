/* The feed: what engines report and the watchdog sees. One event stream per run, in time order.
 *
 * The same events come from the simulator, from the CUDA engine and from recordings. Times are in
 * nanoseconds since the run's start: virtual in the simulator. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../kernels/layout.h"

/* What an engine fills a call's outputs with before it: a NaN in every data type. */
#define HL_POISON 0xfff1fff1u

/* X(ID, name, doc) */
#define HL_EVENTS(X) \
    X(HL_EVENT_HOST_BEGIN, "host-begin", "a rank's host enters an op that can block") \
    X(HL_EVENT_HOST_END, "host-end", "and leaves it") \
    X(HL_EVENT_ENQUEUE, "enqueue", \
      "a call is on its stream, or in a launched graph; it gets its number here") \
    X(HL_EVENT_CALL_BEGIN, "call-begin", \
      "the first CTA of a call is past the wait for the kernel before it") \
    X(HL_EVENT_CALL_END, "call-end", "the last kernel of a call has ended; carries data for the oracle") \
    X(HL_EVENT_WORKSPACE_INIT, "workspace-init", "a workspace has been filled with sentinels") \
    X(HL_EVENT_RANK_EXIT, "rank-exit", "a rank's host program has ended") \
    X(HL_EVENT_FAULT, "fault", "a fault has fired") \
    X(HL_EVENT_QUIESCENT, "quiescent", "no step of any agent can ever run again (simulator only)")
enum hl_event_kind { HL_EVENTS(HL_ENUMERATOR) HL_EVENT_COUNT };

/* Where a call comes from and what it asks for: compared between ranks. */
struct hl_call_record {
    uint32_t call;   /* number on its workspace and rank, from 0 */
    uint32_t op;     /* index in the rank's program */
    uint32_t launch; /* op that launched it: its own, or the graph-launch */
    uint16_t site;   /* which fused allreduce of the forward pass */
    uint16_t graph;  /* UINT16_MAX: eager */
    uint16_t node;   /* index of the op within its graph */
    uint8_t workspace, stream;
    enum hl_protocol protocol;
    enum hl_dtype dtype;
    uint32_t replay;       /* how often this graph was launched before */
    uint32_t tokens;       /* real */
    uint32_t exec_tokens;  /* as executed: the simulator's geometry may be reduced */
    uint32_t rows_written; /* leading rows of the input block that anything ever wrote (as executed) */
    uint32_t ctas;
    uint32_t epoch; /* 1 + the call's number as the host passed it; 0: the device keeps it itself */
    uint32_t group; /* ranks that it is for, where those are not the world, a bit each; 0: the world */
};

/* The numbers of a call, valid while the event is delivered. Rows are [exec_tokens][layout.row_words]. */
struct hl_call_data {
    const uint32_t *input; /* call-begin */
    const uint32_t *residual, *gamma;
    const uint32_t *residual_out, *norm_out; /* call-end */
    uint32_t hidden;
};

/* What a host waits for in a blocking op. One that sleeps or computes is in none. Recordings have the
 * numbers. X(ID, name) */
#define HL_HOST_WAITS(X) \
    X(HL_HOST_WAIT_ORDER, "its turn") /* a barrier or a stream, in recordings that do not say which */ \
    X(HL_HOST_WAIT_THREAD, "its thread, which is at another rank's work") \
    X(HL_HOST_WAIT_DEVICE, "the device") /* until no kernel runs in its context, as a free does */ \
    X(HL_HOST_WAIT_SIGNAL, "a signal to go on") \
    X(HL_HOST_WAIT_BARRIER, "the hosts of other ranks") \
    X(HL_HOST_WAIT_STREAM, "a stream") /* until it is empty */ \
    X(HL_HOST_WAIT_QUEUE, "room in the queue of a stream")
#define X(id, name) id,
enum hl_host_wait { HL_HOST_WAITS(X) HL_HOST_WAIT_COUNT };
#undef X
const char *hl_host_wait_name(enum hl_host_wait wait);

/* Is it part of the order of its program, and not something that befell it? */
static inline bool hl_host_waits_its_turn(enum hl_host_wait wait)
{
    return wait == HL_HOST_WAIT_ORDER || wait >= HL_HOST_WAIT_BARRIER;
}

struct hl_event {
    enum hl_event_kind kind;
    uint64_t time_ns;
    int rank;               /* -1: none */
    uint32_t op;            /* host-begin, host-end: index in the rank's program */
    enum hl_host_wait wait; /* host-begin */
    uint32_t group;         /* host-begin of a barrier: the ranks it waits for, a bit each; 0 = all */
    uint32_t stream;        /* host-begin: of the wait; enqueue: the call, or its graph, was launched on it */
    uint32_t workspace;     /* workspace-init */
    uint32_t replaces;      /* workspace-init: 1 + the workspace whose memory it replaces; 0: none */
    uint32_t fault;         /* fault: index in the configuration */
    const struct hl_call_record *call; /* enqueue, call-begin, call-end */
    const struct hl_call_data *data;   /* call-begin, call-end; may be NULL */
};

/* A consumer of events. */
struct hl_feed {
    void (*on_event)(void *user, const struct hl_event *event);
    void *user;
};

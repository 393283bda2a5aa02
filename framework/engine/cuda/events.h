/* From marks and host events to the feed: the same events as the simulator's, in one order of time. */
#pragma once
#include "../../../watchdog/feed.h"
#include "plan.h"
#include "shared.h"
#include "host_walk.h"

/* A call that was issued and has not ended. */
struct hl_cuda_pending {
    struct hl_call_record record;
    bool begun;
    uint32_t begun_number; /* of its mark: which of two began first */
    uint32_t sample;       /* where its rows are, or HL_CUDA_NOT_SAMPLED; known once it has begun */
};

struct hl_cuda_track {
    struct hl_host_walk walk; /* up to which op its host's doings are told */
    uint32_t calls[HL_CUDA_WORKSPACES_MAX];
    uint32_t *launches;              /* [graph] */
    uint32_t *rows_written;          /* [block] leading rows that anything ever wrote */
    uint32_t *executions;            /* [call op] begun */
    struct hl_cuda_pending *pending; /* oldest first */
    uint32_t n_pending, pending_room;
};

struct hl_cuda_events {
    const struct hl_cuda_plan *plan;
    struct hl_shared *shared;
    struct hl_feed feed;
    uint64_t seed, start_ns, last_ns;
    uint32_t marks;       /* read so far */
    bool failed;          /* out of memory, or marks that make no sense */
    uint32_t *gamma;      /* what the oracle needs of the constant rows, made when it is asked for */
    uint32_t **residuals; /* [site] */
    struct hl_cuda_track rank[HL_RANKS_MAX];
};

enum hl_status hl_cuda_events_init(struct hl_cuda_events *events, const struct hl_cuda_plan *plan,
                                   struct hl_shared *shared, const struct hl_feed *feed, uint64_t seed,
                                   struct hl_error *error);
void hl_cuda_events_finish(struct hl_cuda_events *events);

/* Tells the feed everything that has come in. Returns the number of events. */
uint32_t hl_cuda_events_drain(struct hl_cuda_events *events);

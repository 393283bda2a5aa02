/* The simulator's world, shared by its files.
 *
 * A world is a transition system of agents: one host a rank, its lanes (a lane runs the ops of one stream,
 * or of one branch of a graph, in order), the CTAs of kernels in flight and, with relaxed memory, the stores
 * in flight. One step of one agent is one transition. Everything that a step can change and a later step
 * can see lies in one pointer-free block (`state`), so that a world is copied, compared and hashed as
 * bytes. Time, the order of steps and the feed are not the world's business: clock.c picks the agent with
 * the earliest virtual time, a search picks any.
 *
 *   host --enqueue--> stream queue --> lane --launch--> kernel --> CTAs --store/wake--> CTAs of all ranks */
#pragma once
#include <assert.h>
#include "../engine.h"
#include "geometry.h"
#include "../../../kernels/sim/steps.h"

enum {
    HL_SIM_KERNELS_MAX = 3, /* in flight on a lane: PDL overlaps a two-shot, its norm and the next call */
    HL_SIM_OUTPUTS = 4,     /* output rows that a lane rotates through */
    HL_SIM_STREAMS_MAX = 4,
    HL_SIM_EVENTS_MAX = 64,
    HL_SIM_WORKSPACES_MAX = 3 /* attention, MLP, and the communicator of unfused calls */
};

enum hl_sim_result { HL_SIM_RAN, HL_SIM_BLOCKED, HL_SIM_DONE };

/* One launch that waits in a stream: an op, or a graph. */
struct hl_sim_entry {
    uint32_t op;                                /* index in the rank's program */
    uint32_t number;                            /* event: its version; graph: launches before this one */
    uint32_t first_call[HL_SIM_WORKSPACES_MAX]; /* number of the first call on each workspace */
};

struct hl_sim_host {
    uint32_t op;        /* next op */
    uint32_t barriers;  /* barriers it has come to */
    uint16_t capturing; /* graph, or HL_NONE */
    bool waiting;       /* inside a barrier or sync that it has announced */
    bool exited, dead;
    uint32_t calls[HL_SIM_WORKSPACES_MAX]; /* calls enqueued */
};

struct hl_sim_stream {
    uint32_t first, count; /* ring of entries */
    bool graph_running;    /* the first entry is a graph, and its lanes run */
    bool held;             /* the first entry holds it for ever */
    uint8_t lanes_left;    /* lanes of that graph that have not ended */
    uint64_t graph_events; /* events recorded inside it */
};

struct hl_sim_lane {
    uint32_t cursor, end; /* graph lanes: ops left */
    uint8_t which;        /* kernel of the current call that is launched next */
    uint8_t first, count; /* ring of kernels in flight */
    uint8_t output;       /* output rows of the current call */
    bool running;
};

struct hl_sim_kernel {
    struct hl_sim_entry from;
    uint32_t op, call, ticket;
    uint16_t ctas, started, ended, triggered;
    uint8_t which, output;
    bool active, begun;
    bool last; /* the call ends with this kernel */
};

enum hl_sim_cta_state { HL_CTA_IDLE, HL_CTA_PENDING, HL_CTA_RUNNING, HL_CTA_ENDED };
struct hl_sim_cta {
    struct hl_step step;
    uint32_t watch; /* word that it waits for */
    uint8_t state;
    bool triggered;
    uint8_t unused[2];
};

/* Relaxed memory: a store to a peer that nobody has seen yet, or only half of. The memory delivers each by
 * itself, as an agent of its own, so that they arrive in any order. */
enum { HL_SIM_FLIGHTS = 8 }; /* of one rank at a time */
struct hl_sim_flight {
    uint32_t owner; /* 1 + index of the CTA that stored; 0: no store */
    uint32_t at, count, call;
    uint8_t rank, workspace; /* where it goes */
    uint8_t halves;          /* of every 16 bytes, a bit each, that are still to come */
    uint8_t unused;
};

/* What others do to a GPU. */
struct hl_sim_outside {
    bool serialised;       /* a tool lets one kernel of all ranks run at a time (noted on GPU 0) */
    bool takes_room;       /* a foreign kernel takes every place that gets free */
    bool frozen;           /* the driver starts nothing any more */
    uint32_t foreign_ctas; /* places that it holds */
};

/* What a program's op means here, computed once. */
struct hl_sim_op {
    uint32_t tokens, rows; /* as executed */
    uint32_t ctas[2];
    uint32_t ordinal; /* of a call within its graph, per workspace */
    uint32_t epoch;   /* of a captured call: the number that its host has come to */
};

/* What stands before and behind every workspace. */
#define HL_SIM_CANARY 0xca5a9a5eu

/* Who wrote a granule of 8 words last; kept only for the watchdog, no part of the state. */
enum { HL_SIM_GRANULE = 8 };
struct hl_sim_trace {
    int8_t stored_by, cleared_by;
    uint32_t stored_call, cleared_call;
    uint64_t stored_ns, cleared_ns;
};

/* A store to an address that no memory is behind, or that is not aligned: the run is over. */
struct hl_sim_device_fault {
    struct hl_bad_address address;
    int rank, workspace;
    uint32_t call;
};

struct hl_sim {
    const struct hl_config *config;
    const struct hl_program *program;
    const hl_step_fn *steps;
    struct hl_sim_geometry geometry;
    struct hl_layout layout[HL_SIM_WORKSPACES_MAX];
    struct hl_real_place real; /* of the fused calls' workspaces */
    struct hl_sim_op *ops[HL_RANKS_MAX];
    uint64_t seed;
    struct hl_feed feed; /* on_event may be NULL */
    uint64_t now_ns;     /* set by the clock, for the feed and the traces */

    int ranks, streams, lanes, workspaces; /* streams and lanes per rank */
    uint32_t queue_max, ctas_max, n_agents, first_flight;
    uint32_t words_max; /* of a workspace, the largest of the layouts */
    uint32_t guard;     /* words of canary on either side of it */
    uint32_t room_max;  /* CTAs that a GPU holds; UINT32_MAX under fair progress */

    /* The state: one block, and typed views into it. */
    unsigned char *state;
    size_t state_bytes;
    struct hl_sim_host *hosts;      /* [rank] */
    struct hl_sim_stream *queues;   /* [rank][stream] */
    struct hl_sim_entry *entries;   /* [rank][stream][queue_max] */
    struct hl_sim_lane *lane;       /* [rank][lane] */
    struct hl_sim_kernel *kernels;  /* [rank][lane][kernel] */
    struct hl_sim_cta *ctas;        /* [rank][lane][kernel][cta] */
    uint32_t *regs;                 /* [rank][lane][kernel][cta][row] */
    uint32_t *events_recorded;      /* [rank][event]: version that a lane has reached */
    uint32_t *events_issued;        /* [rank][event]: version that the host has issued */
    uint32_t *launches;             /* [rank][graph] */
    uint32_t *room;                 /* [gpu] free CTA places */
    struct hl_sim_outside *outside; /* [gpu] */
    uint32_t *ticket;               /* order of launches */
    struct hl_sim_flight *flights;  /* [rank][flight]; only with relaxed memory, as their words */
    uint32_t *flight_words;         /* [rank][flight][2 * row_words] */
    uint32_t *words;                /* [workspace][rank][guard + words_max + guard] */

    /* Data: rows that are fed and produced. */
    uint32_t **blocks[HL_RANKS_MAX];      /* [rank][block] -> [rows][row_words] */
    uint32_t *rows_written[HL_RANKS_MAX]; /* [rank][block]: leading rows ever written */
    uint32_t *fills[HL_RANKS_MAX]; /* [rank][block]: fillers and allocs so far: makes contents distinct */
    uint32_t *outputs;             /* [rank][lane][output][2][tokens_max][row_words] */
    uint32_t *residuals;           /* [site][tokens_max][row_words] */
    uint32_t *gamma;

    /* Derived: rebuilt from the state by hl_sim_derive(). */
    struct hl_cx *cx;                /* [kernel] */
    uint32_t *waiting[HL_RANKS_MAX]; /* CTA agents that wait for a word of this rank's workspaces */
    uint32_t n_waiting[HL_RANKS_MAX];

    struct hl_sim_trace *traces[HL_SIM_WORKSPACES_MAX][HL_RANKS_MAX]; /* [granule], guards too; NULL: none */
    struct hl_stray_write stray;                                      /* the first that was found */
    struct hl_sim_device_fault device_fault;                          /* the first access that was refused */
    uint32_t strikes; /* of a mutant that strikes at a place of subject.strike */

    /* Out of a step: agents that may have become able to go on. */
    uint32_t *woken;
    uint32_t n_woken;
};

/* Agents are numbered hosts, then lanes, then CTAs, then stores in flight. */
static inline uint32_t hl_sim_lane_agent(const struct hl_sim *s, uint32_t lane)
{
    return (uint32_t)s->ranks + lane;
}
static inline uint32_t hl_sim_first_cta(const struct hl_sim *s)
{
    return (uint32_t)(s->ranks + s->ranks * s->lanes);
}
static inline uint32_t hl_sim_cta_agent(const struct hl_sim *s, uint32_t kernel, uint32_t cta)
{
    return hl_sim_first_cta(s) + kernel * s->ctas_max + cta;
}

/* With relaxed memory, the stores in flight come last. */
static inline uint32_t hl_sim_first_flight(const struct hl_sim *s) { return s->first_flight; }
static inline bool hl_sim_is_relaxed(const struct hl_sim *s)
{
    return s->config->world.memory == HL_MEMORY_RELAXED;
}

/* Lane 0..streams-1 of a rank are its streams; then come, per stream, the branches of the graph it runs. */
static inline int hl_sim_lane_rank(const struct hl_sim *s, uint32_t lane) { return (int)lane / s->lanes; }
static inline int hl_sim_lane_stream(const struct hl_sim *s, uint32_t lane)
{
    const int l = (int)lane % s->lanes;
    return l < s->streams ? l : (l - s->streams) / s->streams;
}
static inline bool hl_sim_is_stream_lane(const struct hl_sim *s, uint32_t lane)
{
    return (int)lane % s->lanes < s->streams;
}
static inline uint32_t hl_sim_branch_lane(const struct hl_sim *s, int rank, int stream, int branch)
{
    return (uint32_t)(rank * s->lanes + s->streams + stream * s->streams + branch);
}
static inline const struct hl_op *hl_sim_op(const struct hl_sim *s, int rank, uint32_t op)
{
    return &s->program->rank[rank].ops[op];
}
static inline struct hl_sim_stream *hl_sim_queue(struct hl_sim *s, int rank, int stream)
{
    return &s->queues[rank * s->streams + stream];
}
static inline struct hl_sim_entry *hl_sim_entry(struct hl_sim *s, int rank, int stream, uint32_t index)
{
    const struct hl_sim_stream *q = hl_sim_queue(s, rank, stream);
    return &s->entries[(size_t)(rank * s->streams + stream) * s->queue_max +
                       (q->first + index) % s->queue_max];
}
static inline uint32_t *hl_sim_workspace(struct hl_sim *s, int workspace, int rank)
{
    return s->words +
           ((size_t)workspace * (size_t)s->ranks + (size_t)rank) * (s->words_max + 2 * (size_t)s->guard) +
           s->guard;
}
static inline struct hl_sim_trace *hl_sim_trace(const struct hl_sim *s, int workspace, int rank, uint32_t at)
{
    return &s->traces[workspace][rank][(at + s->guard) / HL_SIM_GRANULE];
}

/* world.c */
enum hl_status hl_sim_create(const struct hl_run_spec *spec, struct hl_sim **ret_sim, struct hl_error *error);
void hl_sim_destroy(struct hl_sim *s);
void hl_sim_derive(struct hl_sim *s); /* after the state block was overwritten */
bool hl_sim_ended(const struct hl_sim *s);
enum hl_sim_result hl_sim_step(struct hl_sim *s, uint32_t agent);
void hl_sim_wake(struct hl_sim *s, uint32_t agent);
void hl_sim_wake_rank(struct hl_sim *s, int rank); /* its host and its lanes */
void hl_sim_emit(struct hl_sim *s, struct hl_event event);

/* layout.c: the workspaces as executed, and their buffers at the real size. */
enum hl_status hl_sim_lay_out(struct hl_sim *s, struct hl_error *error);

/* guard.c: looks for writes outside of a rank's workspaces. */
void hl_sim_fill_guards(struct hl_sim *s);
void hl_sim_check_guards(struct hl_sim *s, int rank);

/* flight.c: stores that peers have not seen. */
uint32_t *hl_sim_outbox(struct hl_sim *s, int rank); /* room for the words of one more */
void hl_sim_post(struct hl_sim *s, uint32_t cta, const struct hl_cx *cx, int workspace);
void hl_sim_deliver_all(struct hl_sim *s, int rank, uint32_t cta); /* those of one CTA */
enum hl_sim_result hl_sim_flight_step(struct hl_sim *s, uint32_t flight);

/* host.c, lane.c, cta.c */
enum hl_sim_result hl_sim_host_step(struct hl_sim *s, int rank);
enum hl_sim_result hl_sim_lane_step(struct hl_sim *s, uint32_t lane);
enum hl_sim_result hl_sim_cta_step(struct hl_sim *s, uint32_t kernel, uint32_t cta);
/* Notes a store that has been seen, and wakes who waits for it. */
void hl_sim_stored(struct hl_sim *s, int workspace, const struct hl_store *store, int by, uint32_t call);
/* Wakes the CTAs of a rank that wait for one of `count` words from `at` of the workspace. */
void hl_sim_wake_waiting(struct hl_sim *s, int rank, int workspace, uint32_t at, uint32_t count);
void hl_sim_cta_ended(struct hl_sim *s, uint32_t kernel);
void hl_sim_kernel_derive(struct hl_sim *s, uint32_t kernel);
/* The number of a call as its host passed it: at its launch, or, in a graph, at the capture. */
uint32_t hl_sim_epoch(const struct hl_sim *s, int rank, uint32_t launch, uint32_t op, uint32_t call);
int hl_sim_gpu(const struct hl_sim *s, int rank);
bool hl_sim_runs_kernels(const struct hl_sim *s, int rank); /* anywhere in the rank's context */
void hl_sim_dispatch(struct hl_sim *s, int gpu);            /* starts CTAs while there is room */
void hl_sim_kill(struct hl_sim *s, int rank);
bool hl_sim_stream_idle(const struct hl_sim *s, int rank, int stream);

/* record.c: what the feed says of a call. */
void hl_sim_emit_enqueued(struct hl_sim *s, int rank, const struct hl_sim_entry *entry);
void hl_sim_emit_call(struct hl_sim *s, uint32_t kernel, enum hl_event_kind kind);

/* payload.c: the contents of rows. */
void hl_sim_fill(struct hl_sim *s, int rank, const struct hl_op *op, uint32_t rows);
void hl_sim_alloc(struct hl_sim *s, int rank, uint16_t block);
void hl_sim_reuse(struct hl_sim *s, int rank, int workspace); /* what somebody else writes over its buffers */
void hl_sim_fill_constant_rows(struct hl_sim *s);             /* residuals and gamma */

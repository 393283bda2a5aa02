/* The space that an exhaustive search walks: ranks that issue calls, and the step sources that run them.
 *
 * It is the simulator's world without its clock: per rank a host enqueues on one or two streams, a kernel
 * starts when the one before it allows, and its CTAs run the very step functions of kernels/, one access at a
 * time. A row is one word (with relaxed memory or torn stores four), and what a call sends is decided by its
 * place in the list, so that the states are finite: a search can visit them all.
 *
 * A state is one pointer-free block. The space holds one working state; it is loaded, stepped and saved. */
#pragma once
#include "../../kernels/sim/steps.h"
#include "hanglab/config.h"
#include "hanglab/error.h"

enum {
    HL_SPACE_CALLS_MAX = 512, /* in a stream's list */
    HL_SPACE_STOPS_MAX = 256, /* of a host */
    HL_SPACE_STREAMS_MAX = 2,
    HL_SPACE_WORKSPACES_MAX = 3,
    HL_SPACE_KERNELS_MAX = 3, /* in flight on a stream, as in the simulator */
    HL_SPACE_LIVE_MAX = 1024  /* words of a workspace that a state keeps */
};

/* One entry of a stream's list. A call, unless one of the first four says otherwise. */
struct hl_space_call {
    bool fills : 1;    /* fills the rank's own workspace with sentinels */
    bool reuses : 1;   /* with `fills`: with what somebody else writes there instead, behind the flags */
    bool marks : 1;    /* an event is recorded: all entries before it have ended */
    bool waits : 1;    /* until entry `for_entry` of stream `for_stream` has been passed */
    bool fences : 1;   /* starts when all before it has ended, whatever PDL allows */
    bool alone : 1;    /* runs while no kernel of another stream or rank does */
    bool has_rows : 1; /* of the `tokens` rows that it sends, the first `written` are ordinary data, which
                        * differ from call to call; others hold the spec's payload, if it has one */
    uint8_t workspace;
    uint8_t protocol; /* enum hl_protocol */
    uint8_t tokens;
    uint8_t written;
    uint8_t ctas[2]; /* CTAs of its kernels; 0: as many as the protocol wants */
    uint8_t for_stream;
    uint16_t for_entry;
    uint16_t epoch; /* the number that the host passed */
};
#define HL_SPACE_NEVER UINT16_MAX /* no entry: a stream that waits for ever */

struct hl_space_stream_program {
    struct hl_space_call calls[HL_SPACE_CALLS_MAX];
    uint32_t n;
    uint32_t loop_to; /* after the last call, go on at this one; UINT32_MAX: end */
};

/* Where a host waits, once it has enqueued so many entries on each stream since the stop before. */
enum hl_space_stop_kind {
    HL_STOP_BARRIER, /* until all of `group` have come to as many barriers */
    HL_STOP_EARLY,   /* comes to a barrier, and does not wait */
    HL_STOP_SYNC,    /* until `stream` is empty */
    HL_STOP_IDLE,    /* until no kernel runs in its context: on its own streams, or on those of all ranks */
    HL_STOP_NEVER,   /* for ever */
    HL_STOP_DEATH,   /* for ever, and nobody expects it to end */
    HL_STOP_END
};
struct hl_space_stop {
    uint8_t kind, stream;
    uint16_t enqueues[HL_SPACE_STREAMS_MAX];
    uint32_t group;
};
struct hl_space_host_program {
    struct hl_space_stop stops[HL_SPACE_STOPS_MAX];
    uint32_t n;       /* 0: there are no hosts, and every entry may start */
    uint32_t loop_to; /* after the last stop, go on at this one; UINT32_MAX: end */
};

/* Which CTAs are sure to run on, from the strongest promise to the weakest: X(ID, name, doc). Those that have
 * started are, but under the last; they start kernel by kernel. The models are those of Sorensen, Evrard and
 * Donaldson, "GPU schedulers: how fair is fair enough?" (CONCUR 2018), and Sorensen et al., "Specifying and
 * testing GPU workgroup progress models" (OOPSLA 2021). */
#define HL_PROMISES(X) \
    X(HL_PROMISE_FAIR, "fair", "every CTA starts and runs on") \
    X(HL_PROMISE_LOBE, "lobe", "CTAs start in order, as long as the GPU has room") \
    X(HL_PROMISE_HSA_OBE, "hsa+obe", \
      "in any order as long as there is room; the first unfinished one always") \
    X(HL_PROMISE_OBE, "obe", "in any order, as long as there is room") \
    X(HL_PROMISE_UNFAIR, "unfair", "none: one that polls in vain may be all that ever runs")
enum hl_promise { HL_PROMISES(HL_ENUMERATOR) HL_PROMISE_COUNT };

struct hl_space_spec {
    int ranks, streams, workspaces;
    enum hl_dtype dtype;
    enum hl_compare compare;
    enum hl_mutant mutant;
    struct hl_strike strike; /* where a mutant strikes that strikes once */
    uint32_t sms;            /* caps a trtllm grid */
    uint32_t buffer_rows;    /* that a buffer holds although calls write more; 0: all that they write */
    bool pdl;
    uint32_t payload; /* the word of every row that is not ordinary data; 0: all are, other on each rank */
    bool one_gpu;     /* all ranks share it */
    bool serialises;  /* there are calls that run alone */
    bool relaxed;     /* a store to a peer is seen later: see flights.c */
    enum hl_promise promise;
    uint32_t room; /* CTAs that a GPU holds, unless the promise is fair */
    struct hl_space_stream_program program[HL_RANKS_MAX][HL_SPACE_STREAMS_MAX];
    struct hl_space_host_program host[HL_RANKS_MAX];
};

struct hl_hash {
    uint64_t low, high;
};

struct hl_space_host {
    uint16_t stop;                           /* that it waits at */
    uint16_t enqueued[HL_SPACE_STREAMS_MAX]; /* entries that have not started */
    uint16_t unused;
};

struct hl_space_stream {
    uint16_t next; /* entry of the list that is launched next */
    uint8_t which; /* its kernel */
    uint8_t in_flight;
    uint8_t number[HL_SPACE_WORKSPACES_MAX]; /* calls launched; kept for the mutants that count them */
    uint8_t lap; /* of a list without end, 0 and 1 in turn; calls send other rows */
};

struct hl_space_kernel {
    uint16_t call; /* entry of the list */
    uint8_t which, number;
    uint8_t ctas, ended, triggered; /* ctas 0: no kernel */
    uint8_t lap;
};

struct hl_space_cta {
    struct hl_step step;
    bool ended, triggered;
    bool started; /* where room is limited */
    uint8_t sent; /* stores to peers that were left to a relaxed memory */
};

/* A store on its way to a peer; its words, or the value of its flags, follow. */
struct hl_space_flight {
    uint32_t at;
    uint8_t rank;
    uint8_t halves;  /* of every 16 bytes, still to be seen; 0: there is no such store */
    uint8_t count;   /* words; 0: flags */
    bool is_release; /* not before all that the CTA sent before it */
};

/* What an agent number means, and where its parts of the working state are. Agents are the CTAs, then the
 * memory's deliveries of what each CTA sends. */
struct hl_space_agent {
    int rank, stream, kernel;
    uint32_t cta;
    struct hl_space_kernel *its_kernel;
    struct hl_space_cta *its_cta;
    uint32_t *its_regs;
    struct hl_space_flight *flight;    /* that it delivers a half of; NULL: it is the CTA */
    const struct hl_space_call *calls; /* of its stream */
    struct hl_cx *cx;                  /* [call][kernel of the call], of its stream */
};

struct hl_space {
    struct hl_space_spec spec;
    const hl_step_fn *steps;
    struct hl_layout layout[HL_SPACE_WORKSPACES_MAX];
    uint32_t live[HL_SPACE_WORKSPACES_MAX];     /* leading words of a workspace that anybody ever reads */
    uint32_t behind;                            /* words after it that stray stores reach */
    uint32_t numbers_max;                       /* calls are counted up to here, so that states stay finite */
    int kernels;                                /* places for kernels in flight */
    uint32_t ctas_max, ctas, agents, calls_max; /* CTAs of a kernel; of all; agents; entries of a list */
    uint32_t flights, flight_words;             /* that a CTA sends at most; of each, with its head */
    uint32_t cta_words;                         /* registers and flights of a CTA */
    size_t rank_bytes, control_bytes, state_bytes; /* control of a rank, of all; a saved state */

    /* The working state. */
    unsigned char *control; /* of all ranks; the words follow */
    uint32_t *words[HL_SPACE_WORKSPACES_MAX][HL_RANKS_MAX];
    bool is_crowded;           /* CTAs must start: they may be more than a GPU holds */
    bool is_dense;             /* a state keeps every word */
    const unsigned char *base; /* the saved state that it was loaded from */

    unsigned char *scratch, *checking; /* saved states: for callers; for hl_space_step() */

    struct hl_space_agent *agent; /* [agent] */
    struct hl_cx *cx;             /* [lap][rank][stream][call][kernel of the call] */
    size_t contexts;              /* of a lap */
    bool has_laps;                /* rows differ from lap to lap */
    uint32_t *rows;               /* inputs, sums that are expected, and what nobody looks at */
    uint32_t **expected;          /* [context] */
    uint64_t **digests;           /* [context][token] of the rows that belong together; NULL: unknown */
    uint64_t *digests_of_rows;
    uint32_t row_words, tokens_max;
    uint16_t *barriers; /* [rank][stop]: that a host has come to once it waits there */

    /* Out of a step. */
    struct hl_footprint footprint;
    int touched_workspace;
    int retired;            /* kernels of the agent's stream that completed */
    bool started;           /* the step was the start of a CTA */
    bool came_round;        /* a list without end began again */
    uint32_t changed_ranks; /* whose hosts and streams the step moved, a bit each */
    struct hl_store store;  /* that is seen now */
    struct hl_store sent;   /* that was left to the memory */
    /* For ahead.c: the run in which a word was last stored, and the number of the run. */
    uint32_t *stored[HL_SPACE_WORKSPACES_MAX][HL_RANKS_MAX];
    uint32_t ahead_runs;
    bool has_all_room;
    /* Since creation. */
    uint64_t overwrites;   /* rows stored over rows that nobody had cleared */
    uint64_t broken_polls; /* rows cleared while a wait of the same rank looked at their buffer */
    uint64_t wrong_sums;   /* rows whose sum was not that of what the ranks sent */
    uint64_t strays;       /* rows stored outside of the buffers */
    uint64_t strikes;      /* how often a mutant struck that strikes once */
};

enum hl_status hl_space_create(const struct hl_space_spec *spec, struct hl_space **ret_space,
                               struct hl_error *error);
void hl_space_destroy(struct hl_space *space);

/* The state before any step. */
void hl_space_start(struct hl_space *space, unsigned char *state, struct hl_hash *hash);
void hl_space_load(struct hl_space *space, const unsigned char *state);
void hl_space_save(const struct hl_space *space, unsigned char *state);

/* One step of one agent. False: it cannot take one, and nothing changed. */
bool hl_space_step(struct hl_space *space, uint32_t agent);
/* Hash of the working state, one step after the base state, whose hash is `hash`. */
struct hl_hash hl_space_hash_after(const struct hl_space *space, struct hl_hash hash);
/* Takes that step back. */
void hl_space_undo(struct hl_space *space);

/* Has every stream ended? A state without a step that has not ended is a hang. */
bool hl_space_ended(const struct hl_space *space);
/* The call that an agent's kernel belongs to. */
static inline const struct hl_space_call *hl_space_call(const struct hl_space_agent *a)
{
    return &a->calls[a->its_kernel->call];
}
/* The CTA that an agent is, or whose store it delivers. */
static inline uint32_t hl_space_cta_of(const struct hl_space *s, uint32_t agent)
{
    return agent < s->ctas ? agent : (agent - s->ctas) / (2 * s->flights);
}
/* Which half of every 16 bytes an agent delivers. */
static inline uint32_t hl_space_half_of(const struct hl_space *s, uint32_t agent)
{
    return (agent - s->ctas) % 2;
}
static inline bool hl_space_is_running(const struct hl_space_agent *a)
{
    return a->cta < a->its_kernel->ctas && !a->its_cta->ended;
}

/* The buffers of a workspace, with the guards between them. */
static inline uint32_t hl_buffers_words(const struct hl_layout *l)
{
    return 3 * l->words_per_buffer + 2 * l->gap;
}
/* The buffer that a word belongs to, or that the guard before it belongs to. */
static inline uint32_t hl_buffer_of(const struct hl_layout *l, uint32_t at)
{
    return (at - l->buffers_at + l->gap) / (l->words_per_buffer + l->gap);
}

/* Flights: at most how many a CTA of the call has sent when it ends; what prepares a context for a step, and
 * what keeps its store; delivery as a step; is nothing of the CTA on its way? */
uint32_t hl_space_flights_of(const struct hl_space *space, const struct hl_space_call *call);
void hl_space_open_outbox(const struct hl_space *space, const struct hl_space_agent *agent, struct hl_cx *cx);
void hl_space_send(struct hl_space *space, const struct hl_space_agent *agent, struct hl_cx *cx);
bool hl_space_deliver(struct hl_space *space, uint32_t agent);
bool hl_space_has_flights(const struct hl_space *space, const struct hl_space_agent *agent);

/* Between the parts of the space: what a saved state holds of a workspace, where the parts of the control of
 * a rank are, and how hosts and streams get going. */
const uint32_t *hl_space_saved_words(const struct hl_space *space, const unsigned char *state, int workspace,
                                     int rank);
void hl_space_find_agents(struct hl_space *space);
void hl_space_move_hosts(struct hl_space *space, uint32_t ranks); /* hosts.c */
void hl_space_count_barriers(struct hl_space *space);
void hl_space_fill_workspace(const struct hl_space *space, int workspace, int rank);
void hl_space_make_contexts(struct hl_space *space);                                       /* rows.c */
bool hl_space_may_start(const struct hl_space *space, const struct hl_space_agent *agent); /* room.c */
/* Can the CTAs in flight be more than a GPU holds? */
bool hl_space_is_crowded(const struct hl_space *space);
/* Before and after a step: are the rows that it summed what the ranks sent? */
void hl_space_forget_sums(const struct hl_cx *cx);
bool hl_space_has_right_sums(const struct hl_cx *cx, const uint32_t *expected);
/* Did the step add up the rows that belong together? */
bool hl_space_summed_right_rows(const struct hl_space *space, const struct hl_cx *cx);

static inline struct hl_space_host *hl_space_host(const struct hl_space *s, int rank)
{
    return (struct hl_space_host *)(s->control + (size_t)rank * s->rank_bytes);
}
static inline struct hl_space_stream *hl_space_stream(const struct hl_space *s, int rank, int stream)
{
    return (struct hl_space_stream *)(hl_space_host(s, rank) + 1) + stream;
}
static inline struct hl_space_kernel *hl_space_kernels(const struct hl_space *s, int rank, int stream)
{
    return (struct hl_space_kernel *)hl_space_stream(s, rank, s->spec.streams) + stream * s->kernels;
}
/* Of all ranks: contexts by rank, stream, entry, and kernel of the call. */
static inline struct hl_cx *hl_space_cx(const struct hl_space *s, int rank, int stream, uint32_t call,
                                        uint32_t which)
{
    return &s->cx[(((size_t)rank * (size_t)s->spec.streams + (size_t)stream) * s->calls_max + call) * 2 +
                  which];
}
/* That of what the agent runs. */
static inline struct hl_cx *hl_space_agent_cx(const struct hl_space *s, const struct hl_space_agent *a)
{
    const struct hl_space_kernel *k = a->its_kernel;
    return &a->cx[k->call * 2 + k->which] + (k->lap ? s->contexts : 0);
}
/* The sums that its rows must have; NULL: the ranks' calls do not fit together, or the kernel sums nothing.
 */
static inline uint32_t **hl_space_expected(const struct hl_space *s, const struct hl_cx *cx)
{
    return &s->expected[cx - s->cx];
}

/* Do two steps depend on each other? */
bool hl_footprints_conflict(const struct hl_footprint *a, int workspace_a, const struct hl_footprint *b,
                            int workspace_b);
/* May the step that `agent` is about to take, with this footprint, be taken at once and alone, because
 * nothing that the others can do before it depends on it? Leaves the working state undefined; see ahead.c. */
bool hl_space_may_go_ahead(struct hl_space *space, const unsigned char *state, uint32_t agent,
                           const struct hl_footprint *footprint, int workspace);
/* Do all others come to an end if the CTAs of a stream stand still? False: perhaps not. */
bool hl_space_ends_without(struct hl_space *space, const unsigned char *state, int rank, int stream);
/* Do the assumptions of these tests hold for this space at all? */
bool hl_space_is_reducible(const struct hl_space *space);

/* The space that an exhaustive search walks: ranks that issue calls, and the step sources that run them.
 *
 * It is the simulator's world without its clock, hosts and payloads: per rank one or two streams issue a
 * list of calls over and over (or so many times), a kernel starts when the one before it allows, and its
 * CTAs run the very step functions of kernels/, one access at a time. A row is one word, and what a rank
 * sends never changes, so that the states are finite: a search can visit them all.
 *
 * A state is one pointer-free block. The space holds one working state; it is loaded, stepped and saved. */
#pragma once
#include "../../kernels/sim/steps.h"
#include "hanglab/config.h"
#include "hanglab/error.h"

enum {
    HL_SPACE_CALLS_MAX = 72, /* in a stream's list */
    HL_SPACE_STREAMS_MAX = 2,
    HL_SPACE_WORKSPACES_MAX = 3,
    HL_SPACE_KERNELS_MAX = 3, /* in flight on a stream, as in the simulator */
    HL_SPACE_LIVE_MAX = 1024, /* words of a workspace that a state keeps */
    HL_SPACE_NUMBER_MAX = 6   /* call numbers stop here, so that states stay finite */
};

/* One entry of a stream's list: a call, or the fill of the rank's own workspace with sentinels. */
struct hl_space_call {
    bool fills;
    uint8_t workspace;
    enum hl_protocol protocol;
    uint32_t tokens;
};

struct hl_space_stream_program {
    struct hl_space_call calls[HL_SPACE_CALLS_MAX];
    uint32_t n;
    uint32_t loop_to; /* after the last call, go on at this one; UINT32_MAX: end */
};

struct hl_space_spec {
    int ranks, streams, workspaces;
    enum hl_dtype dtype;
    enum hl_compare compare;
    enum hl_mutant mutant;
    uint32_t sms; /* caps a trtllm grid */
    bool pdl;
    uint32_t payload; /* the word that every row holds; 0: a different number on each rank */
    struct hl_space_stream_program program[HL_RANKS_MAX][HL_SPACE_STREAMS_MAX];
};

struct hl_hash {
    uint64_t low, high;
};

struct hl_space_stream {
    uint16_t next; /* entry of the list that is launched next */
    uint8_t which; /* its kernel */
    uint8_t in_flight;
    uint8_t number; /* calls launched; kept for the mutant that counts them */
    uint8_t unused[3];
};

struct hl_space_kernel {
    uint16_t call; /* entry of the list */
    uint8_t which, number;
    uint8_t ctas, ended, triggered; /* ctas 0: no kernel */
    uint8_t unused;
};

struct hl_space_cta {
    struct hl_step step;
    bool ended, triggered;
    uint8_t unused[2];
};

/* What an agent number means, and where its parts of the working state are. */
struct hl_space_agent {
    int rank, stream, kernel;
    uint32_t cta;
    struct hl_space_kernel *its_kernel;
    struct hl_space_cta *its_cta;
    uint32_t *its_regs;
};

struct hl_space {
    struct hl_space_spec spec;
    const hl_step_fn *steps;
    struct hl_layout layout[HL_SPACE_WORKSPACES_MAX];
    uint32_t live[HL_SPACE_WORKSPACES_MAX]; /* leading words of a workspace that anybody ever reads */
    int kernels;                            /* places for kernels in flight */
    uint32_t ctas_max, agents;
    size_t rank_bytes, control_bytes, state_bytes; /* control of a rank, of all; a saved state */

    /* The working state. */
    unsigned char *control;
    uint32_t *words[HL_SPACE_WORKSPACES_MAX][HL_RANKS_MAX];
    uint32_t *all_words;
    bool is_dense;             /* a state keeps every word */
    const unsigned char *base; /* the saved state that it was loaded from */

    unsigned char *scratch, *checking; /* saved states: for callers; for hl_space_step() */

    struct hl_space_agent *agent; /* [agent] */
    struct hl_cx *cx;             /* [rank][stream][call][kernel of the call] */
    uint32_t *rows;               /* inputs, residual, gamma, outputs */

    /* Out of a step. */
    struct hl_footprint footprint;
    int touched_workspace;
    int retired; /* kernels of the agent's stream that completed */
    struct hl_store store;
    /* For ahead.c: the run in which a word was last stored, and the number of the run. */
    uint32_t *stored[HL_SPACE_WORKSPACES_MAX][HL_RANKS_MAX];
    uint32_t ahead_runs;
    /* Since creation. */
    uint64_t overwrites;   /* rows stored over rows that nobody had cleared */
    uint64_t broken_polls; /* rows cleared while a wait of the same rank looked at their buffer */
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
struct hl_hash hl_space_hash_after(const struct hl_space *space, uint32_t agent, struct hl_hash hash);
/* Takes that step back. */
void hl_space_undo(struct hl_space *space, uint32_t agent);

/* Has every stream ended? A state without a step that has not ended is a hang. */
bool hl_space_ended(const struct hl_space *space);
/* The call that an agent's kernel belongs to. */
static inline const struct hl_space_call *hl_space_call(const struct hl_space *s,
                                                        const struct hl_space_agent *a)
{
    return &s->spec.program[a->rank][a->stream].calls[a->its_kernel->call];
}
static inline bool hl_space_is_running(const struct hl_space_agent *a)
{
    return a->cta < a->its_kernel->ctas && !a->its_cta->ended;
}

/* For space_state.c: what a saved state holds of a workspace, and how the first kernels get going. */
const uint32_t *hl_space_saved_words(const struct hl_space *space, const unsigned char *state, int workspace,
                                     int rank);
void hl_space_find_agents(struct hl_space *space);
void hl_space_launch(struct hl_space *space, int rank, int stream);
void hl_space_fill_workspace(const struct hl_space *space, int workspace, int rank);

/* Do two steps depend on each other? */
bool hl_footprints_conflict(const struct hl_footprint *a, int workspace_a, const struct hl_footprint *b,
                            int workspace_b);
/* May the step that `agent` is about to take, with this footprint, be taken at once and alone, because
 * nothing that the others can do before it depends on it? Leaves the working state undefined; see ahead.c. */
bool hl_space_may_go_ahead(struct hl_space *space, const unsigned char *state, uint32_t agent,
                           const struct hl_footprint *footprint, int workspace);
/* Do the assumptions of that test hold for this space at all? */
bool hl_space_is_reducible(const struct hl_space *space);

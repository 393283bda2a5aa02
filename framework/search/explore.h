/* Exhaustive search: every schedule of a space, or the shortest way to hang it. */
#pragma once
#include <signal.h>
#include "space.h"

/* X(ID, name, doc) */
#define HL_ANSWERS(X) \
    X(HL_ANSWER_PROVEN_FREE, "proven-free", "no schedule of what was covered hangs") \
    X(HL_ANSWER_HANG, "hang", "a schedule that hangs was found") \
    X(HL_ANSWER_CORRUPT, "corrupt", "a schedule that sums wrong rows was found, and none that hangs") \
    X(HL_ANSWER_BOUND_REACHED, "bound-reached", "the budget ended first: nothing is proven")
enum hl_answer { HL_ANSWERS(HL_ENUMERATOR) HL_ANSWER_COUNT };

struct hl_explore_options {
    bool reduce;                       /* leave out schedules that only reorder independent steps */
    bool keep_path;                    /* remember how each state was reached: 8 bytes a state more */
    bool all_hangs;                    /* go on after the first hang, and count the states that hang */
    uint64_t states_max;               /* 0: no bound */
    double seconds_max;                /* 0: no bound */
    const volatile sig_atomic_t *stop; /* set: the budget ends now; may be NULL */
    struct hl_checkpoint *checkpoint;  /* see checkpoint.h; may be NULL */
};

/* A schedule: the agents, in the order of their steps from the start. */
struct hl_path {
    uint16_t *agents;
    uint32_t n, capacity;
    uint32_t again; /* so many steps at its end repeat for ever: a lasso */
};

struct hl_explored {
    enum hl_answer answer;
    uint64_t states, steps; /* reached; taken */
    uint32_t depth;         /* steps of the longest shortest way */
    uint64_t hangs;         /* states that hang */
    struct hl_hash hang_set;
    uint64_t overwrites, broken_polls, wrong_sums, strays, strikes; /* see space.h */
    bool reduced;
    bool may_starve; /* a stream may wait for ever while others go on: this search does not tell */
    double seconds;
    double bytes_per_state; /* of the table of states */
    struct hl_path path; /* with keep_path, to the first hang, or else to the first wrong sum: the shortest */
};

/* Breadth first. `space` is used as scratch. */
enum hl_status hl_explore(struct hl_space *space, const struct hl_explore_options *options,
                          struct hl_explored *ret_explored, struct hl_error *error);
/* The schedule that hangs with the fewest changes from one CTA to another; empty when none was found among
 * `nodes_max` (state, last agent) pairs. */
enum hl_status hl_explore_calmest(struct hl_space *space, uint32_t nodes_max, struct hl_path *ret_path,
                                  struct hl_error *error);
/* Changes a schedule that hangs into one with fewer turns that hangs, too, as far as small changes lead. */
enum hl_status hl_path_join_turns(struct hl_space *space, struct hl_path *path, struct hl_error *error);
/* Adds n steps of an agent. */
enum hl_status hl_path_append(struct hl_path *path, uint32_t agent, uint32_t n, struct hl_error *error);
void hl_path_finish(struct hl_path *path);

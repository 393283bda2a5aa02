/* Random schedules, where there are too many for all of them. Every other one is of the first kind:
 *
 *  - pct (Burckhardt et al., ASPLOS 2010): CTAs have random priorities, and one of them loses its own at a
 *    random step. A hang that needs d ordering constraints is met by one schedule with a probability of at
 *    least 1 / (n k^(d-1)), for n threads and k steps; here d = 2. A thread is a place that a stream's
 * kernels take in turn, and a CTA of it.
 *  - weighted (the uniform random walk of Zhao et al., ASPLOS 2025): a rank is drawn in proportion to the
 * steps that it still has to take, which draws all orders of the ranks' steps alike, as far as none waits. A
 * rank's steps are known exactly, because an allreduce takes the same ones in every order; that is checked,
 * too.
 *  - uniform: each next step is drawn among the CTAs that can take one.
 *
 * What a schedule is depends on the seed and on its number alone: so the hang with the lowest number is the
 * same for any number of jobs. */
#pragma once
#include <signal.h>
#include "explore.h"

/* X(ID, name, doc) */
#define HL_WALKS(X) \
    X(HL_WALK_PCT, "pct", "random priorities, one change") \
    X(HL_WALK_WEIGHTED, "weighted", "ranks drawn by the steps that they have left") \
    X(HL_WALK_UNIFORM, "uniform", "CTAs drawn alike") \
    X(HL_WALK_TURNS, "turns", "CTAs take turns: the schedule that counts the steps")
enum hl_walk_kind { HL_WALKS(HL_ENUMERATOR) HL_WALK_COUNT };

struct hl_walk_options {
    uint64_t seed;
    uint64_t schedules;                /* 0: as many as make PCT's bound 95 % */
    uint32_t steps_max;                /* of a schedule: one that is longer is cut */
    double seconds_max;                /* 0: no bound */
    int jobs;                          /* threads, each with a space of its own; 0: one */
    const volatile sig_atomic_t *stop; /* set: end soon; may be NULL */
};

struct hl_walked {
    uint64_t schedules, steps, cut; /* schedules 0 .. schedules - 1 were taken */
    uint64_t miscounted;            /* weighted ones whose ranks took other numbers of steps than foreseen */
    uint32_t threads, events;       /* n; k: steps of a schedule to its end */
    uint32_t longest;               /* k holds if no schedule was longer */
    double pct_confidence;          /* that there is no hang of depth <= 2; 0: nothing can be said */
    bool hangs;
    enum hl_walk_kind kind; /* of the first hang, */
    uint64_t number;        /* its number, */
    struct hl_path path;    /* and its steps */
    double seconds;
};

/* `walked` has what was done before, by the same options; all zero at first. */
enum hl_status hl_walk(struct hl_space *space, const struct hl_walk_options *options,
                       struct hl_walked *walked, struct hl_error *error);
/* Of each second schedule, so many make PCT's bound as large as `confidence`. */
uint64_t hl_walk_schedules_for(const struct hl_walked *walked, double confidence);
const char *hl_walk_name(enum hl_walk_kind kind);

/* One thread's random schedules: by number, from the start of its own space. */
#pragma once
#include "walk.h"

/* What the fair schedule takes, and so does any other. */
struct hl_forecast {
    uint32_t of_rank[HL_RANKS_MAX], events, threads;
};

struct hl_walker {
    struct hl_space *space;
    const struct hl_forecast *forecast;
    uint64_t random;
    unsigned char *start;
    uint16_t *path;
    uint32_t steps, steps_max;
    uint16_t *able;                 /* agents that may be able to step, */
    uint32_t n_able;                /* the first so many of them */
    uint32_t able_of[HL_RANKS_MAX]; /* and of each rank */
    uint32_t *priority;             /* [agent]; pct */
    uint32_t change_at;             /* pct: the step that takes its agent's priority away */
    int64_t left[HL_RANKS_MAX];     /* weighted: steps still to come */
    bool miscounted;
};

enum hl_status hl_walker_init(struct hl_walker *walker, struct hl_space *space,
                              const struct hl_forecast *forecast, uint32_t steps_max, struct hl_error *error);
void hl_walker_finish(struct hl_walker *walker);

enum hl_walk_kind hl_walker_kind(uint64_t number);
/* Takes a schedule until nothing can go on; true: that is a hang. */
bool hl_walker_take(struct hl_walker *walker, uint64_t seed, uint64_t number);

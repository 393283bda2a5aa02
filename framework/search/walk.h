/* Random schedules, where there are too many for all of them: half of each kind.
 *
 *  - uniform: each next step is drawn among the CTAs that can take one;
 *  - PCT (Burckhardt et al., ASPLOS 2010): CTAs have random priorities, and one of them loses its own at a
 *    random step. A hang that needs d ordering constraints is met by one schedule with a probability of at
 *    least 1 / (n k^(d-1)), for n CTAs and k steps; here d = 2. */
#pragma once
#include "explore.h"

struct hl_walk_options {
    uint64_t seed;
    uint64_t schedules;
    uint32_t steps_max; /* of a schedule: one that is longer is cut */
    double seconds_max; /* 0: no bound */
};

struct hl_walked {
    uint64_t schedules, steps, cut;
    uint32_t longest;      /* k */
    double pct_confidence; /* that there is no hang of depth <= 2, from the PCT half; 0 if any was cut */
    bool hangs;
    struct hl_path path; /* of the first hang */
    double seconds;
};

enum hl_status hl_walk(struct hl_space *space, const struct hl_walk_options *options,
                       struct hl_walked *ret_walked, struct hl_error *error);

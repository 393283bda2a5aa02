/* The fair schedule: CTAs take turns, a step each. What passes under it is a schedule that does not hang. */
#pragma once
#include "explore.h"

/* X(ID, name, doc) */
#define HL_TURNS_ENDS(X) \
    X(HL_TURNS_ENDED, "ended", "every call is finished") \
    X(HL_TURNS_REPEATS, "repeats", "a state came back: it goes on like this for ever") \
    X(HL_TURNS_HANGS, "hangs", "nothing can go on, and calls are unfinished") \
    X(HL_TURNS_CUT, "cut", "too many steps: nothing is known")
enum hl_turns_end { HL_TURNS_ENDS(HL_ENUMERATOR) HL_TURNS_END_COUNT };

/* The turns go round in `order` (every agent once), and go on behind the agent `last`; UINT32_MAX: at the
 * first one. */
struct hl_turns {
    const uint16_t *order;
    uint32_t last;
    uint32_t steps_max;
};

/* From the working state of `space` on. Adds the steps to `path`, unless that is NULL. */
enum hl_status hl_turns_take(struct hl_space *space, const struct hl_turns *turns, struct hl_path *path,
                             enum hl_turns_end *ret_end, struct hl_error *error);

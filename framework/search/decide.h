/* Which two steps decide? A schedule that hangs is bisected against one that passes (delta debugging of
 * schedules: Choi and Zeller, ISSTA 2002; the pair as in Hermit's `analyze`), until both are the same but for
 * the order of two neighbours.
 *
 * Between them lies an axis: the first k steps of the one that hangs, then the steps of the other in its
 * order, as far as they can be taken (lanes.h). With 0 steps that passes, with all of them it hangs. Where it
 * changes, the step is moved back through those that follow when it is not there, and again there is a place
 * where one neighbour more makes the difference. All of these schedules are run, so nothing here is an
 * estimate. */
#pragma once
#include "lanes.h"
#include "story.h"

struct hl_decided {
    bool is_decided;
    struct hl_path path;   /* hangs: what both have in common, the two steps, and the rest */
    struct hl_path passes; /* the same with the two the other way round, and the rest in the same way */
    uint32_t common;       /* steps before the two */
    bool repeats;          /* the one that passes goes on for ever; else all its calls are finished */
    uint32_t tried;        /* not decided: schedules of which none passes */
};

/* A schedule that passes, as lanes: the n-th attempt to find one. Turns, then one CTA after the other as far
 * as they go, then random ones. */
enum hl_status hl_decide_attempt(struct hl_space *space, uint32_t n, uint32_t steps,
                                 struct hl_path *ret_lanes, bool *ret_passes, enum hl_turns_end *ret_end,
                                 struct hl_error *error);

enum hl_status hl_decide(struct hl_space *space, const struct hl_path *hangs, struct hl_decided *ret_decided,
                         struct hl_error *error);
/* What the two steps do, in the order that hangs. */
enum hl_status hl_decided_describe(struct hl_space *space, const struct hl_decided *decided,
                                   struct hl_story_turn ret_turns[2], struct hl_error *error);
void hl_decided_finish(struct hl_decided *decided);

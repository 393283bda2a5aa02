/* Under which promises about CTAs a case ends: from the strongest to the weakest. */
#pragma once
#include "explore.h"

struct hl_frontier {
    bool is_known;
    enum hl_answer under[HL_PROMISE_COUNT]; /* proven-free, hang, or bound-reached: not decided */
};

/* What a search says about its own promise: proven-free, hang or bound-reached. */
enum hl_answer hl_frontier_ending(const struct hl_explored *explored);
/* Of a space that is proven free of hangs, or hangs, under its own promise. */
enum hl_status hl_frontier_find(const struct hl_space_spec *spec, enum hl_answer answer,
                                const struct hl_explore_options *options, struct hl_frontier *ret_frontier,
                                struct hl_error *error);
/* The weakest promise under which it ends; HL_PROMISE_COUNT: it does under none. */
enum hl_promise hl_frontier_weakest(const struct hl_frontier *frontier);

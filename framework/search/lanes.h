/* Schedules whose steps keep their names when others come before or after them.
 *
 * An agent is a place in a stream, and kernels move up: what it stands for depends on what came before. A
 * lane is every so many-th kernel of a stream, and a CTA of it; its steps come one after the other in any
 * schedule. Where each stream has one kernel in flight, lanes and agents are the same. A path can name
 * either. */
#pragma once
#include "turns.h"

enum hl_status hl_lanes_of_agents(struct hl_space *space, const struct hl_path *agents,
                                  struct hl_path *ret_lanes, struct hl_error *error);
enum hl_status hl_lanes_to_agents(struct hl_space *space, const struct hl_path *lanes,
                                  struct hl_path *ret_agents, struct hl_error *error);

/* The first `n` steps of `first`; then always the earliest step of `rest` that has not been taken and can be;
 * then turns. Lanes, all of them. What was taken is left in `taken`. *ret_possible: false when one of the
 * first steps cannot be taken. */
struct hl_lanes_plan {
    const struct hl_path *first;
    uint32_t n;
    const struct hl_path *rest;
};
enum hl_status hl_lanes_follow(struct hl_space *space, const struct hl_lanes_plan *plan,
                               struct hl_path *taken, bool *ret_possible, enum hl_turns_end *ret_end,
                               struct hl_error *error);

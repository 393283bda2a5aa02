/* Virtual time: picks the agent whose time comes first, step after step, from one seed. */
#pragma once
#include "sim.h"

struct hl_clock;

enum hl_status hl_clock_create(struct hl_sim *sim, uint64_t seed, struct hl_clock **ret_clock,
                               struct hl_error *error);
void hl_clock_destroy(struct hl_clock *clock);

/* Steps until no agent is scheduled before `until_ns`. False: nothing is scheduled at all any more. */
bool hl_clock_run(struct hl_clock *clock, uint64_t until_ns);
uint64_t hl_clock_now_ns(const struct hl_clock *clock);
uint64_t hl_clock_steps(const struct hl_clock *clock);

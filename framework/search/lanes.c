/* Lanes, and schedules that follow a list of them; see lanes.h. */
#include "lanes.h"
#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = 200000 };

struct follower {
    struct hl_space *space;
    struct hl_error *error;
    uint32_t *retired; /* [stream of a rank], modulo the kernels in flight */
    uint32_t *taken;   /* [lane] steps */
    uint32_t *nth;     /* [entry of the list] which step of its lane it is */
    bool *blocked;     /* [lane] could not step since the last step of anybody */
    struct hl_path *path;
};

static uint32_t *retired_of(const struct follower *f, uint32_t number)
{
    return &f->retired[hl_space_cta_of(f->space, number) /
                       ((uint32_t)f->space->kernels * f->space->ctas_max)];
}

/* By how many kernels place and lane are apart: one way, and back. */
static uint32_t shift(const struct hl_space *s, uint32_t number, uint32_t kernels)
{
    const uint32_t all = (uint32_t)s->kernels * s->ctas_max, cta = hl_space_cta_of(s, number),
                   place = cta % all, shifted = cta - place + (place + kernels * s->ctas_max) % all;
    return number < s->ctas ? shifted : number + (shifted - cta) * 2 * s->flights;
}
static uint32_t lane_of(const struct follower *f, uint32_t agent)
{
    return shift(f->space, agent, *retired_of(f, agent));
}
static uint32_t agent_of(const struct follower *f, uint32_t lane)
{
    return shift(f->space, lane, (uint32_t)f->space->kernels - *retired_of(f, lane));
}

static bool step(struct follower *f, uint32_t lane)
{
    struct hl_space *s = f->space;
    uint32_t *retired = retired_of(f, lane);
    if (!hl_space_step(s, agent_of(f, lane)))
        return false;
    *retired = (*retired + (uint32_t)s->retired) % (uint32_t)s->kernels;
    f->taken[lane]++;
    return true;
}

static enum hl_status begin(struct follower *f)
{
    struct hl_space *s = f->space;
    struct hl_hash hash;
    f->retired = calloc(s->agents, sizeof *f->retired);
    f->taken = calloc(s->agents, sizeof *f->taken);
    f->blocked = calloc(s->agents, sizeof *f->blocked);
    if (!f->retired || !f->taken || !f->blocked)
        return hl_fail(f->error, HL_STATUS_MEMORY, "out of memory to follow a schedule");
    hl_space_start(s, s->scratch, &hash);
    s->base = NULL;
    return HL_STATUS_OK;
}

static void finish(struct follower *f)
{
    free(f->retired);
    free(f->taken);
    free(f->blocked);
    free(f->nth);
}

static enum hl_status convert(struct hl_space *s, const struct hl_path *from, bool to_lanes,
                              struct hl_path *to, struct hl_error *error)
{
    struct follower f = { .space = s, .error = error };
    enum hl_status status = begin(&f);
    to->n = 0;
    for (uint32_t i = 0; i < from->n && !status; i++) {
        const uint32_t number = from->agents[i];
        if (number >= s->agents) {
            status = hl_fail(error, HL_STATUS_USAGE, "the schedule was made for another case");
            break;
        }
        const uint32_t lane = to_lanes ? lane_of(&f, number) : number;
        status = hl_path_append(to, to_lanes ? lane : agent_of(&f, number), 1, error);
        if (!status && !step(&f, lane))
            status =
                hl_fail(error, HL_STATUS_USAGE,
                        "step %u of the schedule cannot be taken here: it was made for another case", i + 1);
    }
    finish(&f);
    return status;
}

enum hl_status hl_lanes_of_agents(struct hl_space *space, const struct hl_path *agents,
                                  struct hl_path *ret_lanes, struct hl_error *error)
{
    return convert(space, agents, true, ret_lanes, error);
}
enum hl_status hl_lanes_to_agents(struct hl_space *space, const struct hl_path *lanes,
                                  struct hl_path *ret_agents, struct hl_error *error)
{
    return convert(space, lanes, false, ret_agents, error);
}

/* Which step of its lane each entry of the list is. */
static enum hl_status number_entries(struct follower *f, const struct hl_path *rest)
{
    uint32_t *counts = calloc(f->space->agents, sizeof *counts);
    f->nth = calloc(rest->n + 1, sizeof *f->nth);
    if (!counts || !f->nth) {
        free(counts);
        return hl_fail(f->error, HL_STATUS_MEMORY, "out of memory to follow a schedule");
    }
    for (uint32_t i = 0; i < rest->n; i++)
        f->nth[i] = counts[rest->agents[i]]++;
    free(counts);
    return HL_STATUS_OK;
}

static enum hl_status follow_list(struct follower *f, const struct hl_path *rest)
{
    enum hl_status status = number_entries(f, rest);
    uint32_t first = 0; /* all entries before it were taken */
    memset(f->blocked, 0, f->space->agents);
    for (uint32_t i = 0; i < rest->n && !status;) {
        const uint32_t lane = rest->agents[i];
        if (f->nth[i] < f->taken[lane]) {
            first += first == i;
            i++;
        } else if (f->blocked[lane] || !step(f, lane)) {
            f->blocked[lane] = true;
            i++;
        } else {
            status = hl_path_append(f->path, lane, 1, f->error);
            memset(f->blocked, 0, f->space->agents);
            i = first;
        }
    }
    return status;
}

/* Turns behind the list, which go on behind its last entry. */
static enum hl_status take_turns(struct follower *f, const struct hl_path *rest, enum hl_turns_end *ret_end)
{
    struct hl_space *s = f->space;
    struct hl_path agents = { 0 };
    uint16_t *order = malloc(s->agents * sizeof *order);
    if (!order)
        return hl_fail(f->error, HL_STATUS_MEMORY, "out of memory to follow a schedule");
    for (uint32_t i = 0; i < s->agents; i++)
        order[i] = (uint16_t)i;
    const uint32_t last = rest->n ? rest->agents[rest->n - 1] : UINT32_MAX;
    enum hl_status status =
        hl_turns_take(s, &(struct hl_turns){ order, last, STEPS_MAX }, &agents, ret_end, f->error);
    free(order);
    /* As lanes: kernels moved up meanwhile, so the way is gone again. */
    struct hl_path all = { 0 };
    if (!status && s->kernels > 1) {
        status = hl_lanes_to_agents(s, f->path, &all, f->error);
        for (uint32_t i = 0; i < agents.n && !status; i++)
            status = hl_path_append(&all, agents.agents[i], 1, f->error);
        if (!status)
            status = hl_lanes_of_agents(s, &all, f->path, f->error);
    }
    for (uint32_t i = 0; i < agents.n && !status && s->kernels == 1; i++)
        status = hl_path_append(f->path, agents.agents[i], 1, f->error);
    hl_path_finish(&all);
    hl_path_finish(&agents);
    return status;
}

static enum hl_status follow(struct follower *f, const struct hl_lanes_plan *plan, bool *ret_possible,
                             enum hl_turns_end *ret_end)
{
    enum hl_status status = begin(f);
    f->path->n = 0;
    *ret_possible = true;
    *ret_end = HL_TURNS_CUT;
    for (uint32_t i = 0; i < plan->n && !status; i++) {
        *ret_possible = step(f, plan->first->agents[i]);
        if (!*ret_possible)
            return HL_STATUS_OK;
        status = hl_path_append(f->path, plan->first->agents[i], 1, f->error);
    }
    if (!status)
        status = follow_list(f, plan->rest);
    return status ? status : take_turns(f, plan->rest, ret_end);
}

enum hl_status hl_lanes_follow(struct hl_space *space, const struct hl_lanes_plan *plan,
                               struct hl_path *taken, bool *ret_possible, enum hl_turns_end *ret_end,
                               struct hl_error *error)
{
    struct follower f = { .space = space, .error = error, .path = taken };
    const enum hl_status status = follow(&f, plan, ret_possible, ret_end);
    finish(&f);
    return status;
}

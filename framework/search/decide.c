/* Bisects a schedule that hangs against one that passes; see decide.h. */
#include "decide.h"
#include <stdlib.h>
#include <string.h>

enum { ATTEMPTS_MAX = 256, ROUNDS_MAX = 1000 };

/* Lanes, all of them. */
struct decider {
    struct hl_space *space;
    struct hl_error *error;
    struct hl_path hangs, passes; /* the two at hand */
    struct hl_path first, taken, other;
    enum hl_turns_end end; /* of what was followed last */
};

static void swap_paths(struct hl_path *a, struct hl_path *b)
{
    const struct hl_path path = *a;
    *a = *b;
    *b = path;
}

/*
 * A schedule that passes
 */

static uint64_t draw(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random * 0x2545f4914f6cdd1du >> 32;
}

/* The agent behind `at`: the same while it goes on (attempts 1, and 2 backwards); else one that is drawn,
 * among all (even ones) or among those that have had no turn of this round (odd ones). */
static uint32_t choose(uint32_t n, uint16_t *order, uint32_t agents, uint32_t *place, bool stepped,
                       uint64_t *random)
{
    if (n <= 2)
        *place = stepped ? *place : (*place + 1) % agents;
    else if (n % 2 == 0)
        *place = (uint32_t)(draw(random) % agents);
    else
        *place = (*place + 1) % agents;
    if (n <= 2)
        return n == 2 ? agents - 1 - *place : *place;
    if (n % 2 == 1) { /* a place is filled as it is come to: a shuffle that goes on for ever */
        const uint32_t other = *place + (uint32_t)(draw(random) % (agents - *place));
        const uint16_t agent = order[*place];
        order[*place] = order[other];
        order[other] = agent;
    }
    return order[*place];
}

static enum hl_status step_about(struct hl_space *s, uint32_t n, uint32_t steps, struct hl_path *agents,
                                 struct hl_error *error)
{
    uint64_t random = 0x9e3779b97f4a7c15u * (n + 1);
    uint32_t blocked = 0, place = s->agents - 1;
    bool stepped = false;
    uint16_t *order = malloc(s->agents * sizeof *order);
    enum hl_status status =
        order ? HL_STATUS_OK : hl_fail(error, HL_STATUS_MEMORY, "out of memory for a schedule");
    for (uint32_t i = 0; order && i < s->agents; i++)
        order[i] = (uint16_t)i;
    while (!status && agents->n < steps &&
           blocked < 20 * s->agents) { /* 20: blocked by bad luck is no harm */
        const uint32_t agent = choose(n, order, s->agents, &place, stepped, &random);
        stepped = hl_space_step(s, agent);
        status = stepped ? hl_path_append(agents, agent, 1, error) : HL_STATUS_OK;
        blocked = stepped ? 0 : blocked + 1;
    }
    free(order);
    return status;
}

enum hl_status hl_decide_attempt(struct hl_space *s, uint32_t n, uint32_t steps, struct hl_path *ret_lanes,
                                 bool *ret_passes, enum hl_turns_end *ret_end, struct hl_error *error)
{
    struct hl_path agents = { 0 }, lanes = { 0 };
    struct hl_hash hash;
    bool possible;
    hl_space_start(s, s->scratch, &hash);
    s->base = NULL;
    enum hl_status status = n ? step_about(s, n, steps, &agents, error) : HL_STATUS_OK;
    if (!status)
        status = hl_lanes_of_agents(s, &agents, &lanes, error);
    if (!status)
        status = hl_lanes_follow(s, &(struct hl_lanes_plan){ &lanes, 0, &lanes }, ret_lanes, &possible,
                                 ret_end, error);
    if (!status)
        *ret_passes = *ret_end == HL_TURNS_ENDED || *ret_end == HL_TURNS_REPEATS;
    hl_path_finish(&agents);
    hl_path_finish(&lanes);
    return status;
}

/*
 * The two axes
 */

/* The first n steps of `first`, then the list. */
static enum hl_status follow(struct decider *d, const struct hl_path *first, uint32_t n,
                             const struct hl_path *rest, struct hl_path *taken)
{
    bool possible;
    const struct hl_lanes_plan plan = { first, n, rest };
    const enum hl_status status = hl_lanes_follow(d->space, &plan, taken, &possible, &d->end, d->error);
    return status || possible ? status
                              : hl_fail(d->error, HL_STATUS_INTERNAL, "a schedule cannot be followed");
}

/* The first k in (low, n] behind which the schedule that passes hangs. */
static enum hl_status find_step(struct decider *d, uint32_t low, uint32_t *ret_k)
{
    uint32_t high = d->hangs.n;
    while (low + 1 < high) {
        const uint32_t middle = low + (high - low) / 2;
        const enum hl_status status = follow(d, &d->hangs, middle, &d->passes, &d->taken);
        if (status)
            return status;
        if (d->end == HL_TURNS_HANGS)
            high = middle;
        else
            low = middle;
    }
    *ret_k = high;
    return HL_STATUS_OK;
}

/* `passes` up to step k + i, with the step of `lane` behind it, and the rest of `passes`. */
static enum hl_status follow_moved(struct decider *d, uint32_t at, uint16_t lane, struct hl_path *taken)
{
    enum hl_status status = HL_STATUS_OK;
    d->first.n = 0;
    for (uint32_t i = 0; i < at && !status; i++)
        status = hl_path_append(&d->first, d->passes.agents[i], 1, d->error);
    if (!status)
        status = hl_path_append(&d->first, lane, 1, d->error);
    return status ? status : follow(d, &d->first, d->first.n, &d->passes, taken);
}

/* The step of `lane` is moved back from step `at` to where it is in `passes`, by bisection. */
static enum hl_status move_back(struct decider *d, uint32_t at, uint16_t lane, struct hl_decided *out)
{
    uint32_t low = at, high = at;
    while (high < d->passes.n && d->passes.agents[high] != lane)
        high++;
    while (low + 1 < high) {
        const uint32_t middle = low + (high - low) / 2;
        const enum hl_status status = follow_moved(d, middle, lane, &d->taken);
        if (status)
            return status;
        if (d->end == HL_TURNS_HANGS)
            low = middle;
        else
            high = middle;
    }
    enum hl_status status = follow_moved(d, low, lane, &d->taken);
    const bool hangs = d->end == HL_TURNS_HANGS;
    if (!status)
        status = follow_moved(d, low + 1, lane, &d->other);
    out->is_decided = !status && hangs && (d->end == HL_TURNS_ENDED || d->end == HL_TURNS_REPEATS) &&
                      d->taken.agents[low + 1] == d->other.agents[low];
    out->repeats = d->end == HL_TURNS_REPEATS;
    out->common = low;
    if (status || !out->is_decided)
        return status;
    status = hl_lanes_to_agents(d->space, &d->taken, &out->path, d->error);
    return status ? status : hl_lanes_to_agents(d->space, &d->other, &out->passes, d->error);
}

/* Behind k steps it hangs, behind k - 1 it passes; then either the step decides against a neighbour, or there
 * are two schedules that have one step more in common. */
static enum hl_status decide(struct decider *d, struct hl_decided *out)
{
    uint32_t low = 0;
    for (int round = 0; round < ROUNDS_MAX && low < d->hangs.n && !out->is_decided; round++) {
        uint32_t k;
        struct hl_path next = { 0 };
        enum hl_status status = find_step(d, low, &k);
        const uint16_t lane = status ? 0 : d->hangs.agents[k - 1];
        if (!status)
            status = follow(d, &d->hangs, k, &d->passes, &next); /* hangs */
        if (!status)
            status = follow(d, &d->hangs, k - 1, &d->passes, &d->taken);
        if (!status)
            swap_paths(&d->passes, &d->taken);
        if (!status)
            status = follow_moved(d, k - 1, lane, &d->taken);
        if (!status && d->end == HL_TURNS_HANGS) {
            status = move_back(d, k - 1, lane, out);
            hl_path_finish(&next);
            return status;
        }
        if (!status) {
            swap_paths(&d->passes, &d->taken);
            swap_paths(&d->hangs, &next);
            low = k;
        }
        hl_path_finish(&next);
        if (status)
            return status;
    }
    return HL_STATUS_OK;
}

static enum hl_status find_passing(struct decider *d, uint32_t steps, struct hl_decided *out, bool *ret_found)
{
    enum hl_status status = HL_STATUS_OK;
    for (*ret_found = false; !status && !*ret_found && out->tried < ATTEMPTS_MAX; out->tried++)
        status = hl_decide_attempt(d->space, out->tried, steps, &d->passes, ret_found, &d->end, d->error);
    return status;
}

enum hl_status hl_decide(struct hl_space *space, const struct hl_path *hangs, struct hl_decided *ret_decided,
                         struct hl_error *error)
{
    struct hl_decided out = { 0 };
    struct decider d = { .space = space, .error = error };
    bool found;
    enum hl_status status = hl_lanes_of_agents(space, hangs, &d.hangs, error);
    if (!status)
        status = find_passing(&d, 3 * hangs->n + 1000, &out, &found);
    if (!status && found) {
        out.tried = 0;
        status = decide(&d, &out);
    }
    hl_path_finish(&d.hangs);
    hl_path_finish(&d.passes);
    hl_path_finish(&d.first);
    hl_path_finish(&d.taken);
    hl_path_finish(&d.other);
    if (status)
        hl_decided_finish(&out);
    else
        *ret_decided = out;
    return status;
}

struct pair {
    uint32_t common;
    struct hl_story_turn *turns;
};

static void keep_turn(void *user, const struct hl_story_turn *turn)
{
    const struct pair *pair = user;
    if (turn->first - pair->common < 2)
        pair->turns[turn->first - pair->common] = *turn;
}

static void ignore_wait(void *user, const char *sentence) { (void)user, (void)sentence; }

enum hl_status hl_decided_describe(struct hl_space *space, const struct hl_decided *decided,
                                   struct hl_story_turn ret_turns[2], struct hl_error *error)
{
    struct pair pair = { decided->common, ret_turns };
    struct hl_story story;
    const struct hl_story_listener listener = { keep_turn, ignore_wait, &pair, decided->common };
    return hl_story_tell(space, &decided->path, &listener, &story, error);
}

void hl_decided_finish(struct hl_decided *decided)
{
    hl_path_finish(&decided->path);
    hl_path_finish(&decided->passes);
}

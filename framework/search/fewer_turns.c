/* Fewer turns where there are too many states to find the fewest (calmest.c): a turn of a CTA is joined with
 * its turn before or behind, or left to the end, and what comes of that is kept if it still hangs and has
 * fewer.
 *
 * A changed schedule is a wish: a CTA steps as often as it has turns for, and as it can; what it could not do
 * is owed to it; and in the end everybody runs on until nobody can. What was really done is the new schedule.
 */
#include <stdlib.h>
#include <string.h>
#include "explore.h"

struct turn {
    uint16_t agent;
    uint32_t steps;
};

struct joiner {
    struct hl_space *space;
    struct hl_error *error;
    unsigned char *start;
    struct turn *turns; /* of the best path, */
    uint32_t n;
    struct turn *wish; /* and a change of them */
    uint32_t n_wish;
    uint32_t *owed; /* [agent] */
    struct hl_path best, tried;
};

static uint32_t split(const struct hl_path *path, struct turn *turns)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < path->n; i++) {
        if (!n || turns[n - 1].agent != path->agents[i])
            turns[n++] = (struct turn){ path->agents[i], 0 };
        turns[n - 1].steps++;
    }
    return n;
}

/* Steps of an agent, at most `most`, as far as it can. */
static enum hl_status go(struct joiner *j, uint16_t agent, uint32_t most, uint32_t *ret_steps)
{
    for (*ret_steps = 0; *ret_steps < most && hl_space_step(j->space, agent); ++*ret_steps) {
        const enum hl_status status = hl_path_append(&j->tried, agent, 1, j->error);
        if (status)
            return status;
    }
    return HL_STATUS_OK;
}

/* Everybody runs on. *ret_hangs: until nobody could, and before it took too long. */
static enum hl_status run_on(struct joiner *j, bool *ret_hangs)
{
    struct hl_space *s = j->space;
    const uint32_t most = 2 * j->best.n + 1000;
    bool any = true;
    while (any && j->tried.n < most) {
        any = false;
        for (uint32_t agent = 0; agent < s->agents; agent++) {
            uint32_t steps;
            const enum hl_status status = go(j, (uint16_t)agent, most, &steps);
            if (status)
                return status;
            any |= steps != 0;
        }
    }
    *ret_hangs = !any && !hl_space_ended(s);
    return HL_STATUS_OK;
}

static enum hl_status try(struct joiner *j, bool *ret_better)
{
    struct hl_space *s = j->space;
    bool hangs = false;
    uint32_t steps;
    hl_space_load(s, j->start);
    s->base = NULL;
    memset(j->owed, 0, s->agents * sizeof *j->owed);
    j->tried.n = 0;
    for (uint32_t i = 0; i < j->n_wish; i++) {
        const struct turn *turn = &j->wish[i];
        j->owed[turn->agent] += turn->steps;
        const enum hl_status status = go(j, turn->agent, j->owed[turn->agent], &steps);
        if (status)
            return status;
        j->owed[turn->agent] -= steps;
    }
    const enum hl_status status = run_on(j, &hangs);
    if (status || !hangs)
        return status;
    struct turn *turns = malloc((j->tried.n + 1) * sizeof *turns);
    if (!turns)
        return hl_fail(j->error, HL_STATUS_MEMORY, "out of memory for a schedule");
    const uint32_t n = split(&j->tried, turns);
    *ret_better = n < j->n || (n == j->n && j->tried.n < j->best.n);
    if (!*ret_better) {
        free(turns);
        return HL_STATUS_OK;
    }
    const struct hl_path before = j->best;
    struct turn *wish = realloc(j->wish, (n + 1) * sizeof *wish);
    if (wish)
        j->wish = wish;
    free(j->turns);
    j->turns = turns;
    j->n = n;
    j->best = j->tried;
    j->tried = before;
    return wish ? HL_STATUS_OK : hl_fail(j->error, HL_STATUS_MEMORY, "out of memory for a schedule");
}

/* Change `kind` of turn i: 0 its next one comes right behind it, 1 it waits for its next one, 2 it is left
 * out. False: there is no such change. */
static bool make_wish(struct joiner *j, uint32_t i, int kind)
{
    uint32_t next = i + 1;
    while (next < j->n && j->turns[next].agent != j->turns[i].agent)
        next++;
    if (kind < 2 && next == j->n)
        return false;
    const uint32_t joined = kind == 0 ? i : next, gone = kind == 0 ? next : i;
    j->n_wish = 0;
    for (uint32_t k = 0; k < j->n; k++) {
        if (k == gone)
            continue;
        j->wish[j->n_wish] = j->turns[k];
        j->wish[j->n_wish++].steps += kind < 2 && k == joined ? j->turns[gone].steps : 0;
    }
    return true;
}

static enum hl_status join(struct joiner *j)
{
    j->n = split(&j->best, j->turns);
    for (bool better = true; better;) {
        better = false;
        for (uint32_t i = 0; i < j->n && !better; i++)
            for (int kind = 0; kind < 3 && !better; kind++) {
                const enum hl_status status = make_wish(j, i, kind) ? try(j, &better) : HL_STATUS_OK;
                if (status)
                    return status;
            }
    }
    return HL_STATUS_OK;
}

enum hl_status hl_path_join_turns(struct hl_space *space, struct hl_path *path, struct hl_error *error)
{
    struct joiner j = { .space = space, .error = error, .best = *path };
    struct hl_hash hash;
    j.start = malloc(space->state_bytes);
    j.turns = malloc((path->n + 1) * sizeof *j.turns);
    j.wish = malloc((path->n + 1) * sizeof *j.wish);
    j.owed = malloc(space->agents * sizeof *j.owed);
    enum hl_status status = HL_STATUS_OK;
    if (!j.start || !j.turns || !j.wish || !j.owed) {
        status = hl_fail(error, HL_STATUS_MEMORY, "out of memory for a schedule");
    } else {
        hl_space_start(space, j.start, &hash);
        status = join(&j);
    }
    free(j.start);
    free(j.turns);
    free(j.wish);
    free(j.owed);
    hl_path_finish(&j.tried);
    *path = j.best;
    return status;
}

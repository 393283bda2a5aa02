/* Draws a schedule step by step; see walk.h for the kinds. */
#include "walker.h"
#include <stdlib.h>
#include <string.h>

/* Every second is of the kind that bounds what it does not find. */
enum hl_walk_kind hl_walker_kind(uint64_t number)
{
    return number % 2 == 0 ? HL_WALK_PCT : number % 4 == 1 ? HL_WALK_WEIGHTED : HL_WALK_UNIFORM;
}

static uint64_t draw(struct hl_walker *w, uint64_t below)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (uint64_t)((unsigned __int128)(w->random * 0x2545f4914f6cdd1du) * below >> 64);
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Index in `able` of the agent with the highest priority. */
static uint32_t choose_first(const struct hl_walker *w)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < w->n_able; i++)
        if (w->priority[w->able[i]] > w->priority[w->able[best]])
            best = i;
    return best;
}

/* A rank by the steps that it has left, then one of its CTAs. */
static uint32_t choose_by_weight(struct hl_walker *w)
{
    const int ranks = w->space->spec.ranks;
    int64_t total = 0;
    for (int rank = 0; rank < ranks; rank++)
        if (w->able_of[rank])
            total += w->left[rank] > 0 ? w->left[rank] : 1;
    int64_t at = (int64_t)draw(w, (uint64_t)total);
    int rank = 0;
    for (;; rank++) {
        if (!w->able_of[rank])
            continue;
        at -= w->left[rank] > 0 ? w->left[rank] : 1;
        if (at < 0)
            break;
    }
    uint32_t nth = w->able_of[rank] == 1 ? 0 : (uint32_t)draw(w, w->able_of[rank]);
    for (uint32_t i = 0;; i++)
        if (w->space->agent[w->able[i]].rank == rank && nth-- == 0)
            return i;
}

static uint32_t choose(struct hl_walker *w, enum hl_walk_kind kind)
{
    switch (kind) {
    case HL_WALK_PCT: return choose_first(w);
    case HL_WALK_WEIGHTED: return choose_by_weight(w);
    default: return (uint32_t)draw(w, w->n_able);
    }
}

/* The agents of a rank may be able to go on again. */
static void wake(struct hl_walker *w, int rank)
{
    for (uint32_t i = w->n_able; i < w->space->agents; i++) {
        const uint16_t agent = w->able[i];
        const struct hl_space_agent *a = &w->space->agent[agent];
        if (a->rank != rank || (a->flight && !a->flight->halves))
            continue;
        w->able[i] = w->able[w->n_able];
        w->able[w->n_able++] = agent;
        w->able_of[rank]++;
    }
}

static void put_to_sleep(struct hl_walker *w, uint32_t i)
{
    const uint16_t agent = w->able[i];
    w->able[i] = w->able[--w->n_able];
    w->able[w->n_able] = agent;
    w->able_of[w->space->agent[agent].rank]--;
}

/* Each of n priorities takes the place `by` before it; the first go to the end. */
static void move_up_places(uint32_t *priorities, uint32_t n, uint32_t by)
{
    for (uint32_t i = 0; i < by; i++) {
        const uint32_t gone = priorities[i];
        for (uint32_t at = i; at + by < n; at += by)
            priorities[at] = priorities[at + by];
        priorities[n - by + i] = gone;
    }
}

/* Kernels of a stream have moved up, to lower agents; each takes its priorities along, and the next kernel
 * gets those of the one that is gone: a thread is every so many-th kernel of a stream. */
static void move_up(struct hl_walker *w, uint32_t agent)
{
    const struct hl_space *s = w->space;
    const uint32_t n = (uint32_t)s->kernels * s->ctas_max, first = agent / n * n, flights = 2 * s->flights;
    for (int r = 0; r < s->retired; r++) {
        move_up_places(w->priority + first, n, s->ctas_max);
        move_up_places(w->priority + s->ctas + first * flights, n * flights, s->ctas_max * flights);
    }
}

static void begin(struct hl_walker *w, enum hl_walk_kind kind)
{
    struct hl_space *s = w->space;
    hl_space_load(s, w->start);
    s->base = NULL;
    w->n_able = s->agents;
    w->steps = 0;
    w->miscounted = false;
    memset(w->able_of, 0, sizeof w->able_of);
    for (uint32_t i = 0; i < s->agents; i++) {
        w->able[i] = (uint16_t)i;
        w->able_of[s->agent[i].rank]++;
    }
    for (int rank = 0; rank < s->spec.ranks; rank++)
        w->left[rank] = w->forecast->of_rank[rank];
    if (kind != HL_WALK_PCT)
        return;
    w->change_at = 1 + (uint32_t)draw(w, w->forecast->events);
    for (uint32_t i = 0; i < s->agents; i++) { /* a random permutation of 1 .. agents */
        const uint32_t k = (uint32_t)draw(w, i + 1);
        w->priority[i] = w->priority[k];
        w->priority[k] = i + 1;
    }
}

bool hl_walker_take(struct hl_walker *w, uint64_t seed, uint64_t number)
{
    struct hl_space *s = w->space;
    const enum hl_walk_kind kind = hl_walker_kind(number);
    w->random = mix(mix(seed + 0x9e3779b97f4a7c15u) ^ number);
    w->random += !w->random;
    begin(w, kind);
    while (w->n_able && w->steps < w->steps_max) {
        const uint32_t i = choose(w, kind);
        const uint16_t agent = w->able[i];
        const int rank = s->agent[agent].rank;
        if (!hl_space_step(s, agent)) {
            put_to_sleep(w, i);
            continue;
        }
        w->path[w->steps++] = agent;
        w->left[rank]--;
        if (kind == HL_WALK_PCT && w->steps == w->change_at)
            w->priority[agent] = 0;
        if (kind == HL_WALK_PCT && s->retired && s->kernels > 1)
            move_up(w, agent);
        if (s->store.count)
            wake(w, s->store.rank);
        if (s->flights && (s->sent.count || s->agent[agent].flight))
            wake(w, rank); /* something is on its way, or no longer */
        if (s->retired || s->agent[agent].its_cta->triggered)
            wake(w, rank);
        for (uint32_t others = s->changed_ranks & ~(1u << rank); others; others &= others - 1)
            wake(w, __builtin_ctz(others)); /* a barrier has let them go on */
    }
    if (w->n_able || !hl_space_ended(s))
        return !w->n_able;
    for (int rank = 0; kind == HL_WALK_WEIGHTED && rank < s->spec.ranks; rank++)
        w->miscounted |= w->left[rank] != 0;
    return false;
}

enum hl_status hl_walker_init(struct hl_walker *w, struct hl_space *space, const struct hl_forecast *forecast,
                              uint32_t steps_max, struct hl_error *error)
{
    struct hl_hash hash;
    *w = (struct hl_walker){ .space = space, .forecast = forecast, .steps_max = steps_max };
    w->start = malloc(space->state_bytes);
    w->path = malloc((size_t)steps_max * sizeof *w->path);
    w->able = malloc(space->agents * sizeof *w->able);
    w->priority = malloc(space->agents * sizeof *w->priority);
    if (!w->start || !w->path || !w->able || !w->priority) {
        hl_walker_finish(w);
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a walk");
    }
    hl_space_start(space, w->start, &hash);
    return HL_STATUS_OK;
}

void hl_walker_finish(struct hl_walker *w)
{
    free(w->start);
    free(w->path);
    free(w->able);
    free(w->priority);
    *w = (struct hl_walker){ 0 };
}

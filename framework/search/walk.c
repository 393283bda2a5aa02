/* Random schedules; see walk.h. */
#include "walk.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CLOCK_EVERY = 256 };

struct walk {
    struct hl_space *space;
    uint64_t random;
    unsigned char *start;
    uint16_t *path;
    uint32_t steps, steps_max;
    uint16_t *able;     /* agents that may be able to step, */
    uint32_t n_able;    /* the first so many of them */
    uint32_t *priority; /* [agent] */
    uint32_t change_at; /* PCT: the step that changes a priority */
};

static uint64_t draw(struct walk *w, uint64_t below)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (uint64_t)((unsigned __int128)(w->random * 0x2545f4914f6cdd1du) * below >> 64);
}

/* Index in `able` of the agent to try. */
static uint32_t choose(struct walk *w, bool pct)
{
    if (!pct)
        return (uint32_t)draw(w, w->n_able);
    uint32_t best = 0;
    for (uint32_t i = 1; i < w->n_able; i++)
        if (w->priority[w->able[i]] > w->priority[w->able[best]])
            best = i;
    return best;
}

/* The agents of a rank may be able to go on again. */
static void wake(struct walk *w, int rank)
{
    for (uint32_t i = w->n_able; i < w->space->agents; i++) {
        const uint16_t agent = w->able[i];
        if (w->space->agent[agent].rank != rank)
            continue;
        w->able[i] = w->able[w->n_able];
        w->able[w->n_able++] = agent;
    }
}

/* From the start until nothing can go on; true: that is a hang. */
static bool walk_once(struct walk *w, bool pct)
{
    struct hl_space *s = w->space;
    hl_space_load(s, w->start);
    s->base = NULL;
    for (uint32_t i = 0; i < s->agents; i++)
        w->priority[i] = 1 + (uint32_t)draw(w, 1u << 30);
    w->n_able = s->agents;
    for (w->steps = 0; w->n_able && w->steps < w->steps_max;) {
        const uint32_t i = choose(w, pct);
        const uint16_t agent = w->able[i];
        if (!hl_space_step(s, agent)) {
            w->able[i] = w->able[--w->n_able];
            w->able[w->n_able] = agent;
            continue;
        }
        w->path[w->steps++] = agent;
        if (s->store.count)
            wake(w, s->store.rank);
        if (s->retired || s->agent[agent].its_cta->triggered)
            wake(w, s->agent[agent].rank);
        if (pct && w->steps == w->change_at)
            w->priority[agent] = 0;
    }
    return !w->n_able && !hl_space_ended(s);
}

static double confidence(const struct hl_walked *walked, uint32_t agents)
{
    if (walked->cut || !walked->longest)
        return 0;
    const double p = 1.0 / ((double)agents * walked->longest);
    return 1 - pow(1 - p, (double)(walked->schedules / 2));
}

static enum hl_status keep_path(const struct walk *w, struct hl_walked *walked, struct hl_error *error)
{
    walked->hangs = true;
    walked->path.agents = malloc((w->steps + 1) * sizeof *w->path);
    if (!walked->path.agents)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a schedule");
    memcpy(walked->path.agents, w->path, w->steps * sizeof *w->path);
    walked->path.n = w->steps;
    return HL_STATUS_OK;
}

static enum hl_status walk_all(struct walk *w, const struct hl_walk_options *o, struct hl_walked *walked,
                               struct hl_error *error)
{
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    while (walked->schedules < o->schedules && !walked->hangs) {
        const bool pct = walked->schedules & 1;
        w->change_at = 1 + (uint32_t)draw(w, walked->longest ? walked->longest : 1);
        const bool hangs = walk_once(w, pct);
        walked->schedules++;
        walked->steps += w->steps;
        walked->cut += w->steps == w->steps_max;
        if (w->steps > walked->longest)
            walked->longest = w->steps;
        const enum hl_status status = hangs ? keep_path(w, walked, error) : HL_STATUS_OK;
        if (status)
            return status;
        if (walked->schedules % CLOCK_EVERY && walked->schedules < o->schedules && !hangs)
            continue;
        clock_gettime(CLOCK_MONOTONIC, &now);
        walked->seconds = (double)(now.tv_sec - start.tv_sec) + 1e-9 * (double)(now.tv_nsec - start.tv_nsec);
        if (o->seconds_max > 0 && walked->seconds > o->seconds_max)
            break;
    }
    walked->pct_confidence = walked->hangs ? 0 : confidence(walked, w->space->agents);
    return HL_STATUS_OK;
}

enum hl_status hl_walk(struct hl_space *space, const struct hl_walk_options *options,
                       struct hl_walked *ret_walked, struct hl_error *error)
{
    struct hl_walked walked = { 0 };
    struct hl_hash hash;
    struct walk w = { .space = space,
                      .random = options->seed ^ 0x9e3779b97f4a7c15u,
                      .steps_max = options->steps_max };
    w.random += !w.random;
    w.start = malloc(space->state_bytes);
    w.path = malloc((size_t)options->steps_max * sizeof *w.path);
    w.able = malloc(space->agents * sizeof *w.able);
    w.priority = malloc(space->agents * sizeof *w.priority);
    enum hl_status status = HL_STATUS_OK;
    if (!w.start || !w.path || !w.able || !w.priority) {
        status = hl_fail(error, HL_STATUS_MEMORY, "out of memory for a walk");
    } else {
        for (uint32_t i = 0; i < space->agents; i++)
            w.able[i] = (uint16_t)i;
        hl_space_start(space, w.start, &hash);
        status = walk_all(&w, options, &walked, error);
    }
    free(w.start);
    free(w.path);
    free(w.able);
    free(w.priority);
    if (!status)
        *ret_walked = walked;
    return status;
}

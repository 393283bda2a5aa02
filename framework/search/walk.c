/* Many random schedules on several threads: blocks of numbers are handed out in order, and each block that
 * was begun is finished, so that those taken are always the first so many; see walk.h. */
#include "walk.h"
#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "turns.h"
#include "walker.h"

enum { BLOCK = 128, JOBS_MAX = 1024 };

/* What the threads share; all of it under the lock. */
struct walks {
    const struct hl_walk_options *options;
    const struct hl_forecast *forecast;
    struct timespec start;
    pthread_mutex_t lock;
    uint64_t next, end; /* numbers; a block with a hang moves the end to itself */
    struct hl_walked *walked;
    enum hl_status status;
    struct hl_error *error;
};

struct worker {
    struct walks *walks;
    struct hl_space *space;
    struct hl_walker walker;
    pthread_t thread;
};

const char *hl_walk_name(enum hl_walk_kind kind)
{
    static const char *const names[] = {
#define X(id, name, doc) [id] = name,
        HL_WALKS(X)
#undef X
    };
    return names[kind];
}

static double seconds_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + 1e-9 * (double)(now.tv_nsec - start->tv_nsec);
}

/* That one schedule of PCT meets a hang of depth 2, if there is one. */
static double chance(const struct hl_walked *walked)
{
    return 1.0 / ((double)walked->threads * walked->events);
}

static double confidence(const struct hl_walked *walked)
{
    if (walked->hangs || walked->cut || walked->longest > walked->events)
        return 0;
    return 1 - pow(1 - chance(walked), (double)((walked->schedules + 1) / 2));
}

uint64_t hl_walk_schedules_for(const struct hl_walked *walked, double confidence)
{
    return 2 * (uint64_t)ceil(log1p(-confidence) / log1p(-chance(walked)));
}

/*
 * The steps of the fair schedule
 */

static enum hl_status count_steps(const struct hl_space *s, const struct hl_path *path, enum hl_turns_end end,
                                  struct hl_forecast *forecast, struct hl_error *error)
{
    if (end == HL_TURNS_REPEATS || end == HL_TURNS_CUT)
        return hl_fail(error, HL_STATUS_USAGE,
                       "random schedules need calls that end, and after fewer steps: take --rounds");
    for (uint32_t i = 0; i < path->n; i++)
        forecast->of_rank[s->agent[path->agents[i]].rank]++;
    forecast->events = path->n ? path->n : 1;
    forecast->threads = s->agents;
    return HL_STATUS_OK;
}

/* Takes turns once; if that hangs, it is the schedule that is looked for. */
static enum hl_status take_turns(struct hl_space *s, uint32_t steps_max, struct hl_forecast *forecast,
                                 struct hl_walked *walked, struct hl_error *error)
{
    struct hl_hash hash;
    struct hl_path path = { 0 };
    enum hl_turns_end end;
    uint16_t *order = malloc(s->agents * sizeof *order);
    if (!order)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a walk");
    for (uint32_t i = 0; i < s->agents; i++)
        order[i] = (uint16_t)i;
    hl_space_start(s, s->scratch, &hash);
    enum hl_status status =
        hl_turns_take(s, &(struct hl_turns){ order, UINT32_MAX, steps_max }, &path, &end, error);
    if (!status)
        status = count_steps(s, &path, end, forecast, error);
    free(order);
    if (status || end != HL_TURNS_HANGS) {
        hl_path_finish(&path);
        return status;
    }
    walked->hangs = true;
    walked->kind = HL_WALK_TURNS;
    walked->path = path;
    return HL_STATUS_OK;
}

/*
 * Threads
 */

static bool begin_block(struct walks *x, uint64_t *ret_first, uint64_t *ret_end)
{
    const struct hl_walk_options *o = x->options;
    pthread_mutex_lock(&x->lock);
    const bool goes_on = x->status == HL_STATUS_OK && x->next < x->end && !(o->stop && *o->stop) &&
                         !(o->seconds_max > 0 && seconds_since(&x->start) > o->seconds_max);
    if (goes_on) {
        *ret_first = x->next;
        *ret_end = x->end - x->next < BLOCK ? x->end : x->next + BLOCK;
        x->next = *ret_end;
    }
    pthread_mutex_unlock(&x->lock);
    return goes_on;
}

static void keep_hang(struct walks *x, const struct hl_walker *w, uint64_t number)
{
    struct hl_walked *walked = x->walked;
    struct hl_path path = { malloc((w->steps + 1) * sizeof *w->path), w->steps, w->steps + 1 };
    if (!path.agents) {
        x->status = hl_fail(x->error, HL_STATUS_MEMORY, "out of memory for a schedule");
        return;
    }
    memcpy(path.agents, w->path, w->steps * sizeof *w->path);
    hl_path_finish(&walked->path);
    walked->path = path;
    walked->hangs = true;
    walked->number = number;
    walked->kind = hl_walker_kind(number);
    x->end = number; /* blocks before this one still count */
}

/* A hang with a higher number than one that is known is none of this search. */
static void end_block(struct walks *x, const struct hl_walked *block, const struct hl_walker *w)
{
    pthread_mutex_lock(&x->lock);
    struct hl_walked *walked = x->walked;
    walked->schedules += block->schedules;
    walked->steps += block->steps;
    walked->cut += block->cut;
    walked->miscounted += block->miscounted;
    if (block->longest > walked->longest)
        walked->longest = block->longest;
    if (block->hangs && (!walked->hangs || block->number < walked->number))
        keep_hang(x, w, block->number);
    pthread_mutex_unlock(&x->lock);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct walks *x = worker->walks;
    struct hl_walker *w = &worker->walker;
    uint64_t first, end;
    while (begin_block(x, &first, &end)) {
        struct hl_walked block = { 0 };
        for (uint64_t number = first; number < end && !block.hangs; number++) {
            block.hangs = hl_walker_take(w, x->options->seed, number);
            block.number = number;
            block.schedules++;
            block.steps += w->steps;
            block.cut += w->n_able != 0;
            block.miscounted += w->miscounted;
            if (w->steps > block.longest)
                block.longest = w->steps;
        }
        end_block(x, &block, w);
    }
    return NULL;
}

static enum hl_status prepare(struct worker *workers, int jobs, struct hl_space *space, struct walks *x)
{
    enum hl_status status = HL_STATUS_OK;
    for (int i = 0; i < jobs && !status; i++) {
        struct worker *worker = &workers[i];
        worker->walks = x;
        worker->space = space;
        if (i)
            status = hl_space_create(&space->spec, &worker->space, x->error);
        if (!status)
            status =
                hl_walker_init(&worker->walker, worker->space, x->forecast, x->options->steps_max, x->error);
    }
    return status;
}

static void walk_on_threads(struct worker *workers, int jobs)
{
    int started = 0;
    while (started < jobs - 1 &&
           pthread_create(&workers[started + 1].thread, NULL, work, &workers[started + 1]) == 0)
        started++;
    work(&workers[0]); /* fewer threads than asked for only take longer */
    for (int i = 1; i <= started; i++)
        pthread_join(workers[i].thread, NULL);
}

/* How many schedules behind a hang were taken, too, depends on the jobs: they are forgotten. */
static void forget_the_rest(struct hl_walked *walked)
{
    walked->schedules = walked->number + 1;
    walked->steps = walked->cut = walked->miscounted = walked->longest = 0;
}

static enum hl_status walk(struct walks *x, struct hl_space *space)
{
    const int wanted = x->options->jobs > 1 ? x->options->jobs : 1,
              jobs = wanted < JOBS_MAX ? wanted : JOBS_MAX;
    struct worker *workers = calloc((size_t)jobs, sizeof *workers);
    if (!workers)
        return hl_fail(x->error, HL_STATUS_MEMORY, "out of memory for %d threads", jobs);
    enum hl_status status = prepare(workers, jobs, space, x);
    if (!status) {
        walk_on_threads(workers, jobs);
        status = x->status;
    }
    for (int i = 0; i < jobs; i++) {
        hl_walker_finish(&workers[i].walker);
        if (i)
            hl_space_destroy(workers[i].space);
    }
    free(workers);
    return status;
}

enum hl_status hl_walk(struct hl_space *space, const struct hl_walk_options *options,
                       struct hl_walked *walked, struct hl_error *error)
{
    struct hl_forecast forecast = { 0 };
    struct walks x = { .options = options,
                       .forecast = &forecast,
                       .walked = walked,
                       .error = error,
                       .lock = PTHREAD_MUTEX_INITIALIZER };
    clock_gettime(CLOCK_MONOTONIC, &x.start);
    assert(!walked->hangs);
    enum hl_status status = take_turns(space, options->steps_max, &forecast, walked, error);
    if (status || walked->hangs)
        return status;
    walked->events = forecast.events;
    walked->threads = forecast.threads;
    x.next = walked->schedules;
    x.end = options->schedules ? options->schedules : hl_walk_schedules_for(walked, 0.95);
    status = walk(&x, space);
    if (status)
        hl_path_finish(&walked->path);
    if (walked->hangs)
        forget_the_rest(walked);
    walked->pct_confidence = confidence(walked);
    walked->seconds += seconds_since(&x.start);
    return status;
}

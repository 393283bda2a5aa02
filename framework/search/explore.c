/* Breadth-first search, level by level; see explore.h. */
#include "explore.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "checkpoint.h"
#include "explore_state.h"
#include "lasso.h"

enum { CLOCK_EVERY = 256, BATCH = 16 };
#define NOBODY UINT32_MAX

static double seconds_since(const struct timespec *start)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) + 1e-9 * (double)(now.tv_nsec - start->tv_nsec);
}

static enum hl_status out_of_memory(struct hl_search *x)
{
    return hl_fail(x->error, HL_STATUS_MEMORY, "out of memory at %llu states; bound the search with --states",
                   (unsigned long long)x->out->states);
}

static enum hl_status reserve(struct hl_search *x, struct hl_level *l)
{
    if (l->n < l->capacity)
        return HL_STATUS_OK;
    const size_t capacity = l->capacity ? l->capacity * 2 : 1024;
    unsigned char *states = realloc(l->states, capacity * x->space->state_bytes);
    if (states)
        l->states = states;
    struct hl_level_item *items = realloc(l->items, capacity * sizeof *items);
    if (items)
        l->items = items;
    if (!states || !items)
        return out_of_memory(x);
    l->capacity = capacity;
    return HL_STATUS_OK;
}

static enum hl_status note_way(struct hl_search *x, uint64_t number, uint64_t parent, uint32_t agent)
{
    if (!x->options->keep_path && !x->options->checkpoint)
        return HL_STATUS_OK;
    if (number == x->ways_capacity) {
        const size_t capacity = x->ways_capacity ? x->ways_capacity * 2 : 4096;
        struct hl_step_to *ways = realloc(x->ways, capacity * sizeof *ways);
        if (!ways)
            return out_of_memory(x);
        x->ways = ways;
        x->ways_capacity = capacity;
    }
    x->ways[number] = (struct hl_step_to){ (uint32_t)parent, (uint16_t)agent };
    return HL_STATUS_OK;
}

/* Adds the working state to the next level. */
static enum hl_status keep(struct hl_search *x, struct hl_hash hash, uint64_t parent, uint32_t agent)
{
    const enum hl_status status = reserve(x, &x->next);
    if (status)
        return status;
    hl_space_save(x->space, x->next.states + x->next.n * x->space->state_bytes);
    x->next.items[x->next.n++] = (struct hl_level_item){ hash, x->out->states };
    return note_way(x, x->out->states++, parent, agent);
}

/* Adds the state that the step of `agent` leads to to the next level, unless it was met before. */
static enum hl_status meet(struct hl_search *x, const unsigned char *from, struct hl_hash hash,
                           uint64_t parent, uint32_t agent)
{
    struct hl_space *s = x->space;
    bool is_new;
    x->out->steps++;
    const enum hl_status status = hl_visited_add(&x->table, hash, &is_new, x->error);
    if (status || !is_new)
        return status;
    hl_space_load(s, from);
    s->base = NULL; /* the step was checked when it was hashed */
    if (agent != NOBODY)
        hl_space_step(s, agent);
    return keep(x, hash, parent, agent);
}

enum hl_status hl_search_remake(struct hl_search *x, struct hl_step_to way, bool *ret_fits)
{
    struct hl_space *s = x->space;
    const size_t i = way.parent - x->now_from;
    *ret_fits = way.parent >= x->now_from && i < x->now.n && way.agent < s->agents;
    if (!*ret_fits)
        return HL_STATUS_OK;
    hl_space_load(s, x->now.states + i * s->state_bytes);
    *ret_fits = hl_space_step(s, way.agent);
    if (!*ret_fits)
        return HL_STATUS_OK;
    const struct hl_hash hash = hl_space_hash_after(s, x->now.items[i].hash);
    const enum hl_status status = hl_visited_add(&x->table, hash, ret_fits, x->error);
    return status || !*ret_fits ? status : keep(x, hash, way.parent, way.agent);
}

static bool is_corrupt(const struct hl_explored *out) { return out->wrong_sums || out->strays; }

/* A step of the loaded state has been taken. */
static void note_data(struct hl_search *x, const struct hl_level_item *item, uint32_t agent)
{
    struct hl_explored *out = x->out;
    const bool was_corrupt = is_corrupt(out);
    out->wrong_sums = x->space->wrong_sums;
    out->strays = x->space->strays;
    if (!was_corrupt && is_corrupt(out))
        x->wrong = (struct hl_step_to){ (uint32_t)item->number, (uint16_t)agent };
}

/* Without any promise, a CTA that polls in vain may be all that ever runs: nobody else has to. */
static bool starves_others(const struct hl_space *s, uint32_t agent)
{
    return s->spec.promise == HL_PROMISE_UNFAIR && hl_space_is_running(&s->agent[agent]) &&
           !s->agent[agent].flight && !s->started && s->footprint.n;
}

/* The loaded state has no step, or need not have another. */
static void note_hang(struct hl_search *x, const struct hl_level_item *item)
{
    if (hl_space_ended(x->space))
        return;
    if (!x->out->hangs++)
        x->hang_number = item->number;
    x->out->hang_set.low += item->hash.low;
    x->out->hang_set.high += item->hash.high;
}

/* All steps of some states. The table is larger than any cache, so that its places are asked for while
 * other steps are hashed, and a state that turns out new is made again. */
static enum hl_status expand_fully(struct hl_search *x, size_t first, size_t n)
{
    struct hl_space *s = x->space;
    x->n_pending = 0;
    for (size_t i = first; i < first + n; i++) {
        const struct hl_level_item *item = &x->now.items[i];
        const uint32_t before = x->n_pending;
        bool starves = false;
        hl_space_load(s, x->now.states + i * s->state_bytes);
        for (uint32_t agent = 0; agent < s->agents; agent++) {
            if (!hl_space_step(s, agent)) {
                starves |= starves_others(s, agent);
                continue;
            }
            note_data(x, item, agent);
            const struct hl_hash hash = hl_space_hash_after(s, item->hash);
            hl_visited_prefetch(&x->table, hash);
            x->pending[x->n_pending++] = (struct hl_pending_step){ hash, i, agent };
            hl_space_undo(s);
        }
        if (x->n_pending == before || starves)
            note_hang(x, item);
    }
    for (uint32_t i = 0; i < x->n_pending; i++) {
        const struct hl_pending_step *p = &x->pending[i];
        const enum hl_status status = meet(x, x->now.states + p->from * s->state_bytes, p->hash,
                                           x->now.items[p->from].number, p->agent);
        if (status)
            return status;
    }
    return HL_STATUS_OK;
}

/* Can others go on for ever from here while some stream stands still? If they cannot from any state where a
 * list begins again, no stream ever waits beside others that go on: a schedule in which one does is fair, so
 * a step that is taken alone is in it, sooner or later; taken first, it leaves such a schedule. Step by step
 * this leads through states of this search, and for ever, so past one where a list begins again and whence,
 * without the stream, the others go on for ever. */
static bool may_starve(struct hl_space *s, const unsigned char *state)
{
    for (int rank = 0; rank < s->spec.ranks; rank++)
        for (int stream = 0; stream < s->spec.streams; stream++)
            if (!hl_space_ends_without(s, state, rank, stream))
                return true;
    return false;
}

static bool has_item(const struct hl_level_item *items, size_t n, struct hl_hash hash)
{
    for (size_t i = 0; i < n; i++)
        if (items[i].hash.low == hash.low && items[i].hash.high == hash.high)
            return true;
    return false;
}

/* Has the state been met, and gone on from, when item `i` of the level is at hand? */
static bool is_behind(const struct hl_search *x, size_t i, struct hl_hash hash)
{
    return hl_visited_has(&x->table, hash) && !has_item(x->next.items, x->next.n, hash) &&
           !has_item(x->now.items + i + 1, x->now.n - i - 1, hash);
}

/* One step where one will do, else all. On a way that goes round, somebody's steps could be put off for ever,
 * and what they sum would not be looked at. So one state on each such way has all of its steps taken: lists
 * begin anew on it, and lead to a state that was gone on from (the cycle proviso of partial-order reduction;
 * hangs alone need none). */
static enum hl_status expand_reduced(struct hl_search *x, size_t i)
{
    struct hl_space *s = x->space;
    const unsigned char *state = x->now.states + i * s->state_bytes;
    const struct hl_level_item *item = &x->now.items[i];
    uint32_t n = 0, first = 0;
    bool starves = false, comes_round = false;
    hl_space_load(s, state);
    for (uint32_t agent = 0; agent < s->agents; agent++) {
        if (!hl_space_step(s, agent)) {
            starves |= starves_others(s, agent);
            continue;
        }
        note_data(x, item, agent);
        const struct hl_hash hash = hl_space_hash_after(s, item->hash);
        x->pending[n++] = (struct hl_pending_step){ hash, i, agent };
        const struct hl_footprint footprint = s->footprint;
        const bool its_round = s->came_round;
        const bool alone = !(its_round && is_behind(x, i, hash)) &&
                           hl_space_may_go_ahead(s, state, agent, &footprint, s->touched_workspace);
        hl_space_load(s, state);
        comes_round |= its_round;
        if (alone) {
            first = n - 1;
            comes_round = its_round;
            break;
        }
    }
    if (n == 0 || starves)
        note_hang(x, item);
    if (comes_round && !x->out->may_starve)
        x->out->may_starve = may_starve(s, state);
    for (uint32_t k = first; k < n; k++) {
        const enum hl_status status = meet(x, state, x->pending[k].hash, item->number, x->pending[k].agent);
        if (status)
            return status;
    }
    return HL_STATUS_OK;
}

static bool is_over_budget(const struct hl_search *x, uint64_t batches)
{
    const struct hl_explore_options *o = x->options;
    return (o->states_max && x->out->states >= o->states_max) ||
           ((o->keep_path || o->checkpoint) && x->out->states >= UINT32_MAX) || (o->stop && *o->stop) ||
           (o->seconds_max > 0 && batches % CLOCK_EVERY == 0 && seconds_since(&x->start) > o->seconds_max);
}

/* The rest of a level. *ret_ends: the budget has ended, or a hang is enough. */
static enum hl_status walk_level(struct hl_search *x, uint64_t *batches, bool *ret_ends)
{
    const size_t batch = x->out->reduced ? 1 : BATCH;
    for (; x->at < x->now.n; x->at += batch) {
        const size_t n = x->now.n - x->at < batch ? x->now.n - x->at : batch;
        *ret_ends = (x->out->hangs && !x->options->all_hangs) || is_over_budget(x, ++*batches);
        if (*ret_ends)
            return HL_STATUS_OK;
        if (x->options->checkpoint && *batches % CLOCK_EVERY == 0)
            hl_checkpoint_save_if_due(x->options->checkpoint, x, seconds_since(&x->start));
        const enum hl_status status = x->out->reduced ? expand_reduced(x, x->at) : expand_fully(x, x->at, n);
        if (status)
            return status;
    }
    return HL_STATUS_OK;
}

void hl_search_next_level(struct hl_search *x)
{
    const struct hl_level done = x->now;
    x->now = x->next;
    x->now_from = x->out->states - x->now.n;
    x->next = done;
    x->next.n = x->at = 0;
}

static enum hl_status walk_levels(struct hl_search *x)
{
    uint64_t batches = 0;
    bool ends = false;
    for (;;) {
        const enum hl_status status = walk_level(x, &batches, &ends);
        if (status)
            return status;
        if (ends || !x->next.n)
            break;
        x->out->depth += x->now.n != 0;
        hl_search_next_level(x);
    }
    x->out->answer = x->out->hangs        ? HL_ANSWER_HANG
                     : ends               ? HL_ANSWER_BOUND_REACHED
                     : is_corrupt(x->out) ? HL_ANSWER_CORRUPT
                                          : HL_ANSWER_PROVEN_FREE;
    if (x->out->answer == HL_ANSWER_PROVEN_FREE && x->space->broken_polls)
        x->out->answer = HL_ANSWER_BOUND_REACHED; /* a pass of a poll may not be taken as one step here */
    return HL_STATUS_OK;
}

/* The way to a state, and one step more if `last` is an agent. */
static enum hl_status trace_back(struct hl_search *x, uint64_t number, uint32_t last)
{
    struct hl_path *path = &x->out->path;
    uint32_t n = last != NOBODY;
    for (uint64_t at = number; at; at = x->ways[at].parent)
        n++;
    path->agents = calloc(n ? n : 1, sizeof *path->agents);
    if (!path->agents)
        return out_of_memory(x);
    path->n = path->capacity = n;
    if (last != NOBODY)
        path->agents[--n] = (uint16_t)last;
    for (uint64_t at = number; at; at = x->ways[at].parent)
        path->agents[--n] = x->ways[at].agent;
    return HL_STATUS_OK;
}

enum hl_status hl_search_begin(struct hl_search *x)
{
    struct hl_hash hash;
    unsigned char *start = calloc(1, x->space->state_bytes);
    enum hl_status status = start ? hl_visited_init(&x->table, x->error) : out_of_memory(x);
    if (!status) {
        hl_space_start(x->space, start, &hash);
        status = meet(x, start, hash, 0, NOBODY);
        x->out->steps = 0;
    }
    free(start);
    return status;
}

/* From the start, or from a checkpoint that was loaded. */
static enum hl_status search(struct hl_search *x)
{
    struct hl_checkpoint *c = x->options->checkpoint;
    enum hl_status status = x->now.n || x->next.n ? HL_STATUS_OK : hl_search_begin(x);
    x->pending = calloc((size_t)x->space->agents * BATCH, sizeof *x->pending);
    if (!status && !x->pending)
        status = out_of_memory(x);
    if (!status)
        status = walk_levels(x);
    if (!status && c && x->out->answer == HL_ANSWER_BOUND_REACHED)
        hl_checkpoint_save(c, x);
    if (!status && x->out->hangs && x->options->keep_path)
        status = trace_back(x, x->hang_number, NOBODY);
    else if (!status && x->out->answer == HL_ANSWER_CORRUPT && x->options->keep_path)
        status = trace_back(x, x->wrong.parent, x->wrong.agent);
    return status;
}

void hl_search_finish(struct hl_search *x)
{
    hl_visited_finish(&x->table);
    free(x->now.states);
    free(x->now.items);
    free(x->next.states);
    free(x->next.items);
    free(x->ways);
    free(x->pending);
}

enum hl_status hl_explore(struct hl_space *space, const struct hl_explore_options *options,
                          struct hl_explored *ret_explored, struct hl_error *error)
{
    struct hl_explored out = { 0 };
    struct hl_search x = { .space = space, .options = options, .out = &out, .error = error };
    enum hl_status status = options->checkpoint ? hl_checkpoint_take(options->checkpoint, &x) : HL_STATUS_OK;
    if (status) {
        hl_search_finish(&x);
        return status;
    }
    out.reduced = options->reduce && hl_space_is_reducible(space);
    out.may_starve |= !out.reduced && hl_space_goes_on(space);
    const double before_s = out.seconds;
    clock_gettime(CLOCK_MONOTONIC, &x.start);
    space->overwrites = out.overwrites;
    space->broken_polls = out.broken_polls;
    space->wrong_sums = out.wrong_sums;
    space->strays = out.strays;
    space->strikes = out.strikes;
    status = search(&x);
    out.seconds = before_s + seconds_since(&x.start);
    out.overwrites = space->overwrites;
    out.broken_polls = space->broken_polls;
    out.strikes = space->strikes;
    if (out.states)
        out.bytes_per_state = (double)(x.table.capacity * sizeof *x.table.slots +
                                       (options->keep_path ? x.ways_capacity * sizeof *x.ways : 0)) /
                              (double)out.states;
    hl_search_finish(&x);
    if (status)
        hl_path_finish(&out.path);
    else
        *ret_explored = out;
    return status;
}

void hl_path_finish(struct hl_path *path)
{
    free(path->agents);
    *path = (struct hl_path){ 0 };
}

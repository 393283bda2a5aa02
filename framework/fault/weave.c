/* Weaving; see weave.h.
 *
 * One fault at a time: find its places, then write the rank's ops anew. A place in a graph gets a variant of
 * the graph, captured right after the original. */
#include "weave.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../program/random.h"
#include "weaver.h"

enum { PURPOSE_FAULTS = 0x66617574, DELAY_MIN_NS = 10000 };

#define X(id, parameters, needs) [id] = parameters ", probability",
static const char *const fault_parameters[] = { HL_FAULT_CATALOGUE(X) };
#undef X
#define X(id, parameters, needs) [id] = needs,
static const char *const fault_needs[] = { HL_FAULT_CATALOGUE(X) };
#undef X

const char *hl_fault_parameters(enum hl_fault_kind kind) { return fault_parameters[kind]; }
const char *hl_fault_needs(enum hl_fault_kind kind) { return fault_needs[kind]; }

enum hl_op_kind hl_fault_host_op(enum hl_fault_kind kind)
{
    switch (kind) {
    case HL_FAULT_HOST_DELAY: return HL_OP_HOST_DELAY;
    case HL_FAULT_KILL_RANK: return HL_OP_KILL;
    case HL_FAULT_STOP_RANK: return HL_OP_STOP;
    case HL_FAULT_HOST_BLOCK: return HL_OP_DEVICE_SYNC;
    case HL_FAULT_LONE_BARRIER: return HL_OP_BARRIER;
    case HL_FAULT_FOREIGN_SPIN: return HL_OP_FOREIGN;
    case HL_FAULT_SERIALISE_LAUNCHES: return HL_OP_SERIALISE;
    case HL_FAULT_ONE_THREAD: return HL_OP_TURN;
    case HL_FAULT_CAPTURE_BARRIER: return HL_OP_BARRIER;
    case HL_FAULT_STALL_STREAM: return HL_OP_HOLD;
    case HL_FAULT_DRIVER_STALL: return HL_OP_FREEZE;
    default: return HL_OP_KIND_COUNT;
    }
}

/*
 * Variants of graphs
 */

static bool is_eager(const struct hl_place *place) { return place->op == place->launch; }
static bool changes_graphs(const struct hl_fault *f)
{
    switch (f->kind) {
    case HL_FAULT_SKIP_CALL:
    case HL_FAULT_EXTRA_CALL:
    case HL_FAULT_OTHER_SIZE:
    case HL_FAULT_OTHER_STRATEGY:
    case HL_FAULT_SWAP_ORDER:
    case HL_FAULT_SECOND_STREAM:
    case HL_FAULT_SHARED_WORKSPACE:
    case HL_FAULT_GRID_MISMATCH: return true;
    default: return false;
    }
}
static bool replaces_workspace(const struct hl_fault *f)
{
    return f->kind == HL_FAULT_MOVE_WORKSPACE || f->kind == HL_FAULT_REALLOC ||
           f->kind == HL_FAULT_STALE_GRAPH;
}
static bool has_partner(const struct hl_fault *f)
{
    return f->kind == HL_FAULT_SWAP_ORDER || f->kind == HL_FAULT_SECOND_STREAM;
}

/* A variant of the same graph with the same places, or NULL. */
static const struct hl_variant *find_variant(const struct hl_weaver *w, const struct hl_variant *like)
{
    for (uint32_t i = 0; i < w->n_variants; i++) {
        const struct hl_variant *v = &w->variants[i];
        bool same = v->source == like->source && v->n == like->n;
        for (uint32_t k = 0; same && k < v->n; k++)
            same = w->places.place[v->first + k].op == w->places.place[like->first + k].op;
        if (same)
            return v;
    }
    return NULL;
}

/* Gives every launch that has places in its graph the variant that it takes. */
static enum hl_status plan_variants(struct hl_weaver *w, struct hl_error *error)
{
    const struct hl_places *places = &w->places;
    struct hl_program *p = w->program;
    for (uint32_t i = 0, n; i < places->n; i += n) {
        const struct hl_place *place = &places->place[i];
        for (n = 1; i + n < places->n && places->place[i + n].launch == place->launch;)
            n++;
        if (is_eager(place) || !changes_graphs(w->fault))
            continue;
        const struct hl_variant new = { w->ops[place->launch].graph, p->n_graphs, i, n };
        const struct hl_variant *v = find_variant(w, &new);
        if (!v) {
            if (p->n_graphs == HL_NONE - 1)
                return hl_fail(error, HL_STATUS_USAGE, "a fault changes too many graphs: lower its `calls`");
            w->variants[w->n_variants] = new;
            v = &w->variants[w->n_variants++];
            p->n_graphs++;
        }
        w->launched[place->launch] = v->graph;
    }
    return HL_STATUS_OK;
}

/* The place among places[0 .. n) whose call, or whose partner, is op `i`; they rise. */
static const struct hl_place *place_at(const struct hl_weaver *w, uint32_t i, const struct hl_place *place,
                                       uint32_t n)
{
    for (uint32_t k = 0; k < n; k++)
        if (place[k].op == i || (has_partner(w->fault) && place[k].partner == i))
            return &place[k];
    return NULL;
}

static void push_variants_of(struct hl_weaver *w, uint16_t source, const struct hl_op *end)
{
    const struct hl_graph range = w->program->graphs[w->fault->rank][source];
    for (uint32_t i = 0; i < w->n_variants; i++) {
        const struct hl_variant *v = &w->variants[i];
        if (v->source != source)
            continue;
        struct hl_op bound = *end;
        bound.graph = v->graph;
        bound.kind = HL_OP_CAPTURE_BEGIN;
        hl_op_push(&w->list, bound);
        for (uint32_t k = range.begin; k < range.end; k++) {
            const struct hl_place *place = place_at(w, k, &w->places.place[v->first], v->n);
            if (!place)
                hl_op_push(&w->list, w->ops[k]);
            else if (place->op == k)
                hl_push_changed_call(w, w->ops[k]);
            else
                hl_push_partner(w, place);
        }
        bound.kind = HL_OP_CAPTURE_END;
        hl_op_push(&w->list, bound);
    }
}

/*
 * The whole list
 */

static void push_late_memset(struct hl_weaver *w, struct hl_op memset)
{
    struct hl_op delay = hl_op_make(HL_OP_HOST_DELAY);
    delay.delay_ns = w->fault->delay_ns;
    delay.label = memset.label;
    if (delay.delay_ns)
        hl_op_push(&w->list, delay);
    hl_push_marked(w, memset);
}

/* One op of the host's own list; `place` is where the fault strikes it, or NULL. */
static void push_host_op(struct hl_weaver *w, uint32_t i, const struct hl_place *place)
{
    struct hl_op op = w->ops[i];
    if (op.kind == HL_OP_GRAPH_LAUNCH)
        op.graph = w->launched[i];
    hl_change_barrier(w, i, &op);
    if (place && w->fault->kind == HL_FAULT_OTHER_BUCKET) {
        op.graph = hl_other_bucket(w, op.graph);
        op.fault = w->mark;
    }
    if (place && hl_fault_host_op(w->fault->kind) != HL_OP_KIND_COUNT)
        hl_push_before(w, hl_fault_host_op(w->fault->kind), &op, i);
    else if (place && w->fault->kind == HL_FAULT_LATE_MEMSET)
        push_late_memset(w, w->ops[place->partner]);
    if (place && w->fault->kind == HL_FAULT_EAGER_INSTEAD)
        hl_push_eagerly(w, op.graph);
    else if (!place || !is_eager(place))
        hl_op_push(&w->list, op);
    else if (place->op == i)
        hl_push_changed_call(w, op);
    else
        hl_push_partner(w, place);
    if (op.kind == HL_OP_CAPTURE_END)
        push_variants_of(w, op.graph, &op);
}

static void push_alloc(struct hl_weaver *w)
{
    struct hl_op op = hl_op_make(HL_OP_ALLOC);
    op.block = w->block;
    hl_op_push(&w->list, op);
}

static void rewrite(struct hl_weaver *w)
{
    struct hl_rank_program *rank = &w->program->rank[w->fault->rank];
    const bool moves_init = w->fault->kind == HL_FAULT_LATE_MEMSET;
    uint32_t loop_to = UINT32_MAX;
    if (w->block != HL_NONE)
        push_alloc(w);
    for (uint32_t i = 0; i < rank->n_ops; i++) {
        if (i == rank->loop_to)
            loop_to = w->list.n;
        if (!moves_init || i != w->places.place[0].partner)
            push_host_op(w, i, w->struck[i]);
    }
    rank->loop_to = loop_to;
}

/* Swaps the new ops in; every rank gets ranges for the new graphs, empty where it does not capture them. */
static bool commit(struct hl_weaver *w)
{
    struct hl_program *p = w->program;
    for (int rank = 0; rank < p->ranks; rank++) {
        struct hl_graph *graphs = calloc(p->n_graphs + 1u, sizeof *graphs);
        if (w->list.failed || !graphs) {
            free(graphs);
            return false;
        }
        if (rank == w->fault->rank) {
            free(p->rank[rank].ops);
            p->rank[rank].ops = w->list.ops;
            p->rank[rank].n_ops = w->list.n;
            w->list.ops = NULL;
        }
        hl_ops_find_graphs(p->rank[rank].ops, p->rank[rank].n_ops, graphs);
        free(p->graphs[rank]);
        p->graphs[rank] = graphs;
    }
    return true;
}

static enum hl_status add_block(struct hl_weaver *w, struct hl_error *error)
{
    struct hl_program *p = w->program;
    struct hl_block *blocks = realloc(p->blocks, (p->n_blocks + 1u) * sizeof *blocks);
    if (!blocks)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory while a fault is woven in");
    p->blocks = blocks;
    w->block = p->n_blocks++;
    blocks[w->block].rows = w->fault->tokens;
    return HL_STATUS_OK;
}

static enum hl_status weave(struct hl_weaver *w, struct hl_error *error)
{
    const struct hl_rank_program *rank = &w->program->rank[w->fault->rank];
    w->variants = calloc(w->places.n, sizeof *w->variants);
    w->launched = calloc(rank->n_ops, sizeof *w->launched);
    w->struck = calloc(rank->n_ops, sizeof *w->struck);
    if (!w->variants || !w->launched || !w->struck)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory while a fault is woven in");
    for (uint32_t i = 0; i < rank->n_ops; i++)
        w->launched[i] = w->ops[i].graph;
    for (uint32_t i = 0; i < w->places.n; i++) {
        const struct hl_place *place = &w->places.place[i];
        w->struck[w->fault->kind == HL_FAULT_CAPTURE_BARRIER ? place->op : place->launch] = place;
        if (has_partner(w->fault) && is_eager(place))
            w->struck[place->partner] = place;
    }
    if (w->fault->kind == HL_FAULT_SECOND_STREAM) {
        w->events = w->program->n_events;
        w->program->n_events += 2;
        w->program->n_streams = 2;
    }
    enum hl_status status = HL_STATUS_OK;
    if (w->fault->kind == HL_FAULT_OTHER_SIZE)
        status = add_block(w, error);
    if (!status)
        status = plan_variants(w, error);
    if (status)
        return status;
    rewrite(w);
    if (!commit(w))
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory while a fault is woven in");
    return HL_STATUS_OK;
}

static enum hl_status check(const struct hl_program *program, int index, struct hl_error *error)
{
    const struct hl_fault *f = &program->config.faults[index];
    if (f->rank < 0 || f->rank >= program->ranks)
        return hl_fail(error, HL_STATUS_USAGE, "faults[%d].rank is %d: the world has ranks 0 to %d", index,
                       f->rank, program->ranks - 1);
    if (f->kind == HL_FAULT_OTHER_SIZE && f->tokens == 0)
        return hl_fail(error, HL_STATUS_USAGE, "faults[%d]: other-size needs `tokens`, at least 1", index);
    return HL_STATUS_OK;
}

/* A delay that was not given: log-uniform over 12 octaves, because nobody knows at which scale a race hides.
 */
static uint64_t draw_delay(uint64_t *random)
{
    return (uint64_t)(DELAY_MIN_NS * exp2(12 * hl_random_unit(random)));
}

/* The peers of an early rank fill their workspaces late. */
static enum hl_status delay_peers(struct hl_program *p, const struct hl_fault *fault, uint64_t delay_ns,
                                  struct hl_error *error)
{
    for (int rank = 0; rank < p->ranks; rank++) {
        struct hl_rank_program *r = &p->rank[rank];
        if (rank == fault->rank)
            continue;
        struct hl_op *ops = realloc(r->ops, (r->n_ops + 1u) * sizeof *ops);
        if (!ops)
            return hl_fail(error, HL_STATUS_MEMORY, "out of memory while a fault is woven in");
        memmove(ops + 1, ops, r->n_ops * sizeof *ops);
        ops[0] = hl_op_make(HL_OP_HOST_DELAY);
        ops[0].delay_ns = delay_ns;
        r->ops = ops;
        r->n_ops++;
        r->loop_to += r->loop_to != UINT32_MAX;
        hl_ops_find_graphs(r->ops, r->n_ops, p->graphs[rank]);
    }
    return HL_STATUS_OK;
}

static enum hl_status weave_one(struct hl_program *program, int index, uint64_t *random,
                                struct hl_error *error)
{
    struct hl_fault_fate *fate = &program->fates[index];
    struct hl_weaver w = { .program = program,
                           .fault = &program->config.faults[index],
                           .mark = (uint16_t)(index + 1),
                           .block = HL_NONE };
    w.ops = program->rank[w.fault->rank].ops;
    w.delay_ns = w.fault->delay_ns ? w.fault->delay_ns : draw_delay(random);
    enum hl_status status = hl_places_find(program, w.fault, &w.places, error);
    if (status)
        return status;
    if (w.places.n) {
        status = replaces_workspace(w.fault) ? hl_weave_replacement(&w, error) : weave(&w, error);
        if (!status && w.fault->kind == HL_FAULT_EARLY_INIT)
            status = delay_peers(program, w.fault, w.delay_ns, error);
        fate->fate = HL_FATE_WOVEN;
    } else {
        fate->fate = HL_FATE_NO_PLACE;
        memcpy(fate->why, w.places.why_none, sizeof fate->why);
    }
    free(w.list.ops);
    free(w.places.place);
    free(w.variants);
    free(w.launched);
    free(w.struck);
    return status;
}

enum hl_status hl_faults_weave(struct hl_program *program, uint64_t seed, struct hl_error *error)
{
    const struct hl_config *config = &program->config;
    for (int i = 0; i < config->n_faults; i++) {
        enum hl_status status = check(program, i, error);
        if (status)
            return status;
        if (config->faults[i].kind == HL_FAULT_NONE) {
            program->fates[i].fate = HL_FATE_HEALTHY;
            continue;
        }
        uint64_t random = hl_random_stream(seed, PURPOSE_FAULTS, (uint64_t)i);
        if (hl_random_unit(&random) >= config->faults[i].probability) {
            program->fates[i].fate = HL_FATE_NOT_DRAWN;
            continue;
        }
        status = weave_one(program, i, &random, error);
        if (status)
            return status;
    }
    return HL_STATUS_OK;
}

/* Places; see places.h. Walks a rank's program as its host does, through graph launches. */
#include "places.h"
#include "weave.h"
#include "../../kernels/subject.h"
#include <stdio.h>
#include <stdlib.h>
#include "../program/resolve.h"

struct search {
    const struct hl_program *program;
    const struct hl_fault *fault;
    const struct hl_op *ops;
    struct hl_places found;
    uint32_t capacity;
    uint32_t calls; /* seen so far */
    bool failed;
};

enum hl_protocol hl_other_protocol(const struct hl_program *program, const struct hl_op *call)
{
    switch (call->protocol) {
    case HL_MNNVL_ONESHOT: return HL_MNNVL_TWOSHOT;
    case HL_MNNVL_TWOSHOT: return HL_MNNVL_ONESHOT;
    case HL_TRTLLM_TWOSHOT: return HL_TRTLLM_ONESHOT;
    case HL_TRTLLM_ONESHOT: /* the two-shot needs more tokens than ranks (trtllm_ar.py:1115) */
        return call->tokens > (uint32_t)program->ranks ? HL_TRTLLM_TWOSHOT : HL_PROTOCOL_COUNT;
    default: return HL_PROTOCOL_COUNT;
    }
}

static bool has_call(const struct hl_op *ops, struct hl_graph range)
{
    for (uint32_t i = range.begin; i < range.end; i++)
        if (ops[i].kind == HL_OP_CALL)
            return true;
    return false;
}

/* Does the host, or another graph with calls, come between an eager call and what follows this op? */
static bool is_border(const struct search *s, const struct hl_op *op)
{
    switch (op->kind) {
    case HL_OP_CALL:
    case HL_OP_FILLER:
    case HL_OP_COPY:
    case HL_OP_ALLOC:
    case HL_OP_FREE:
    case HL_OP_EVENT_RECORD:
    case HL_OP_EVENT_WAIT:
    case HL_OP_HOST_DELAY: return false;
    case HL_OP_GRAPH_LAUNCH: return has_call(s->ops, s->program->graphs[s->fault->rank][op->graph]);
    default: return true;
    }
}

/* The next call in the same graph, or launched by itself without the host waiting in between. swap-order
 * takes the very next one, second-stream the next one on the same workspace. 0: there is none. */
static uint32_t find_partner(const struct search *s, const struct hl_place *place)
{
    const bool eager = place->op == place->launch;
    const int rank = s->fault->rank;
    const uint32_t end =
        eager ? s->program->rank[rank].n_ops : s->program->graphs[rank][s->ops[place->launch].graph].end;
    const struct hl_op *call = &s->ops[place->op];
    for (uint32_t i = place->op + 1; i < end; i++) {
        const struct hl_op *op = &s->ops[i];
        if (eager && is_border(s, op))
            return 0;
        if (op->kind != HL_OP_CALL)
            continue;
        if (s->fault->kind == HL_FAULT_SWAP_ORDER)
            return op->workspace != call->workspace ? i : 0;
        if (op->workspace == call->workspace)
            return i;
    }
    return 0;
}

/* The op that fills the workspace of a call. */
static uint32_t find_init(const struct search *s, const struct hl_op *call)
{
    uint32_t i = 0;
    while (s->ops[i].kind != HL_OP_WORKSPACE_INIT || s->ops[i].workspace != call->workspace)
        i++;
    return i;
}

/* The first barrier between the filling of a call's workspace and the call; 0: there is none. */
static uint32_t find_barrier(const struct search *s, const struct hl_place *place)
{
    uint32_t i = find_init(s, &s->ops[place->op]);
    while (i < place->launch && s->ops[i].kind != HL_OP_BARRIER)
        i++;
    return i < place->launch ? i : 0;
}

static bool is_in_graph(const struct hl_place *place) { return place->op != place->launch; }

static bool has_one_cta(const struct search *s, const struct hl_op *call)
{
    const enum hl_kernel kernel = hl_protocol_kernels(call->protocol).kernels[0];
    return hl_kernel_ctas(kernel, call->tokens, s->program->config.world.sms) < 2;
}

/* Are both launched one by one, or by the same launch of a graph? */
static bool share_issue(const struct hl_place *a, const struct hl_place *b)
{
    return a->launch == b->launch || (a->op == a->launch && b->op == b->launch);
}

static const char *refuse_replacement(const struct search *s, const struct hl_place *place)
{
    const struct hl_place *first = s->found.n ? &s->found.place[0] : NULL;
    const int pieces = hl_resolved_pieces(&s->program->config);
    if (!is_in_graph(place))
        return "it is in no graph";
    if (s->program->n_workspaces == HL_PROGRAM_WORKSPACES_MAX)
        return "the program has as many workspaces as there can be";
    if (first && s->found.place[s->found.n - 1].launch == place->launch)
        return "its graph is replaced already";
    if (first && s->ops[first->op].workspace != s->ops[place->op].workspace)
        return "it is on another workspace than the one that is made anew";
    if (s->fault->kind == HL_FAULT_MOVE_WORKSPACE && s->ops[place->launch].graph < pieces)
        return "its graph is captured first";
    return NULL;
}

/* Why the fault cannot strike here, or NULL. */
static const char *refuse(const struct search *s, struct hl_place *place)
{
    const struct hl_op *call = &s->ops[place->op];
    const struct hl_place *last = s->found.n ? &s->found.place[s->found.n - 1] : NULL;
    switch (s->fault->kind) {
    case HL_FAULT_OTHER_SIZE:
        return call->tokens == s->fault->tokens ? "the call has that many tokens anyway" : NULL;
    case HL_FAULT_OTHER_STRATEGY:
        return hl_other_protocol(s->program, call) == HL_PROTOCOL_COUNT
                   ? "its protocol has no other strategy for it"
                   : NULL;
    case HL_FAULT_SWAP_ORDER:
    case HL_FAULT_SECOND_STREAM:
        if (last && share_issue(last, place) && place->op > last->op && place->op <= last->partner)
            return "it is the neighbour of a call that was hit";
        if (s->fault->kind == HL_FAULT_SECOND_STREAM && call->stream)
            return "it is on a second stream already";
        place->partner = find_partner(s, place);
        if (place->partner)
            return NULL;
        return s->fault->kind == HL_FAULT_SWAP_ORDER ? "no call on another workspace follows it directly"
                                                     : "no call on the same workspace follows it directly";
    case HL_FAULT_LATE_MEMSET:
        place->partner = find_init(s, call);
        return s->ops[place->partner].fault ? "its workspace is filled late already" : NULL;
    case HL_FAULT_EARLY_INIT:
    case HL_FAULT_WRONG_GROUP:
        place->partner = find_barrier(s, place);
        return place->partner ? NULL : "no barrier stands between the filling of its workspace and the call";
    case HL_FAULT_OTHER_BUCKET:
        if (s->program->config.schedule.n_sizes < 2)
            return "there is no graph of another size";
        /* fall through */
    case HL_FAULT_EAGER_INSTEAD:
        if (!is_in_graph(place))
            return "it is in no graph";
        return last && last->launch == place->launch ? "its graph is replaced already" : NULL;
    case HL_FAULT_CAPTURE_BARRIER:
        if (!is_in_graph(place))
            return "it is in no graph";
        return last ? "the capture has its barrier already" : NULL;
    case HL_FAULT_MOVE_WORKSPACE:
    case HL_FAULT_REALLOC:
    case HL_FAULT_STALE_GRAPH: return refuse_replacement(s, place);
    case HL_FAULT_GRID_MISMATCH: return has_one_cta(s, call) ? "its grid has one CTA" : NULL;
    case HL_FAULT_FOREIGN_SPIN:
        if (s->program->config.world.progress == HL_PROGRESS_FAIR)
            return "a GPU has room for everything while world.progress is fair";
        /* fall through */
    default:
        return hl_fault_host_op(s->fault->kind) != HL_OP_KIND_COUNT && last && last->launch == place->launch
                   ? "the host does it before this launch already"
                   : NULL;
    }
}

static void add(struct search *s, struct hl_place place)
{
    const char *why = refuse(s, &place);
    if (why) {
        if (!s->found.n && !s->found.why_none[0])
            snprintf(s->found.why_none, sizeof s->found.why_none, "call %u: %s", s->calls, why);
        return;
    }
    if (s->found.n == s->capacity) {
        const uint32_t capacity = s->capacity ? 2 * s->capacity : 8;
        struct hl_place *grown = realloc(s->found.place, capacity * sizeof *grown);
        s->failed |= !grown;
        if (!grown)
            return;
        s->found.place = grown;
        s->capacity = capacity;
    }
    s->found.place[s->found.n++] = place;
}

static bool is_hit(const struct search *s)
{
    const struct hl_fault *f = s->fault;
    if (f->kind == HL_FAULT_LATE_MEMSET || f->kind == HL_FAULT_EARLY_INIT || f->kind == HL_FAULT_WRONG_GROUP)
        return s->calls == 0;
    return f->call < 0 ||
           (s->calls >= (uint32_t)f->call && s->calls - (uint32_t)f->call < (uint32_t)f->calls);
}

static void visit(struct search *s, struct hl_graph range, uint32_t launch)
{
    for (uint32_t i = range.begin; i < range.end; i++) {
        if (s->ops[i].kind != HL_OP_CALL)
            continue;
        if (is_hit(s))
            add(s, (struct hl_place){ .op = i, .launch = launch });
        s->calls++;
    }
}

enum hl_status hl_places_find(const struct hl_program *program, const struct hl_fault *fault,
                              struct hl_places *ret_places, struct hl_error *error)
{
    const struct hl_rank_program *rank = &program->rank[fault->rank];
    struct search s = { .program = program, .fault = fault, .ops = rank->ops };
    bool capturing = false;
    for (uint32_t i = 0; i < rank->n_ops && !s.failed; i++) {
        const struct hl_op *op = &rank->ops[i];
        if (op->kind == HL_OP_CAPTURE_BEGIN || op->kind == HL_OP_CAPTURE_END)
            capturing = op->kind == HL_OP_CAPTURE_BEGIN;
        else if (op->kind == HL_OP_GRAPH_LAUNCH)
            visit(&s, program->graphs[fault->rank][op->graph], i);
        else if (!capturing)
            visit(&s, (struct hl_graph){ i, i + 1 }, i);
    }
    if (s.failed) {
        free(s.found.place);
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory while a fault is woven in");
    }
    if (!s.found.n && !s.found.why_none[0])
        snprintf(s.found.why_none, sizeof s.found.why_none, "the rank makes only %u calls", s.calls);
    *ret_places = s.found;
    return HL_STATUS_OK;
}

/* What each fault makes of the ops that it strikes. */
#include "weaver.h"
#include <assert.h>
#include "../../kernels/subject.h"
#include "../program/resolve.h"

/* An op that shows where the fault struck: a filler of no rows that only carries the mark. */
static void push_mark(struct hl_weaver *w, const struct hl_op *at)
{
    assert(at->block != HL_NONE);
    struct hl_op op = hl_op_make(HL_OP_FILLER);
    op.stream = at->stream;
    op.block = at->block;
    op.label = at->label;
    op.fault = w->mark;
    hl_op_push(&w->list, op);
}

/* The op itself carries the mark, unless it has one of an earlier fault. */
void hl_push_marked(struct hl_weaver *w, struct hl_op op)
{
    if (op.fault)
        push_mark(w, &op);
    else
        op.fault = w->mark;
    hl_op_push(&w->list, op);
}

static void push_event(struct hl_weaver *w, enum hl_op_kind kind, const struct hl_op *at, uint8_t stream,
                       int event)
{
    struct hl_op op = hl_op_make(kind);
    op.stream = stream;
    op.event = (uint16_t)(w->events + event);
    op.label = at->label;
    hl_op_push(&w->list, op);
}

/* More tokens than the call's own block has rows need a block of their own, all computed. */
static void push_larger_input(struct hl_weaver *w, struct hl_op *call)
{
    struct hl_op filler = hl_op_make(HL_OP_FILLER);
    filler.stream = call->stream;
    filler.block = call->block = w->block;
    filler.label = call->label;
    filler.rows = w->fault->tokens;
    hl_op_push(&w->list, filler);
}

static void push_other_size(struct hl_weaver *w, struct hl_op call)
{
    const struct hl_program *p = w->program;
    const uint32_t tokens = w->fault->tokens;
    if (tokens > call.tokens)
        push_larger_input(w, &call);
    call.tokens = tokens;
    call.protocol = hl_resolved_protocol(&p->config, tokens);
    call.workspace = hl_resolved_workspace(&p->config, call.site, tokens);
    assert(tokens <= p->tokens_max && call.workspace < p->n_workspaces);
    hl_push_marked(w, call);
}

static uint32_t count_nodes(const struct hl_program *p, int rank, struct hl_graph range)
{
    uint32_t calls = 0;
    for (uint32_t i = range.begin; i < range.end; i++)
        calls += p->rank[rank].ops[i].kind == HL_OP_CALL;
    return calls;
}

/* Calls that a rank's host issues with its ops up to, not including, `end`; recorded ones not counted. With
 * `at_least` calls issued, it stops before the next op that can block, if that comes first. */
static uint32_t count_issued(const struct hl_program *p, int rank, uint32_t end, uint32_t at_least)
{
    uint32_t calls = 0;
    bool capturing = false;
    for (uint32_t i = 0; i < end && i < p->rank[rank].n_ops; i++) {
        const struct hl_op *op = &p->rank[rank].ops[i];
        if (calls >= at_least && (op->kind == HL_OP_SYNC || op->kind == HL_OP_BARRIER))
            break;
        if (op->kind == HL_OP_CAPTURE_BEGIN || op->kind == HL_OP_CAPTURE_END)
            capturing = op->kind == HL_OP_CAPTURE_BEGIN;
        calls += op->kind == HL_OP_CALL && !capturing;
        if (op->kind == HL_OP_GRAPH_LAUNCH)
            calls += count_nodes(p, rank, p->graphs[rank][op->graph]);
    }
    return calls;
}

void hl_push_before(struct hl_weaver *w, enum hl_op_kind kind, const struct hl_op *before, uint32_t at)
{
    struct hl_op op = hl_op_make(kind);
    op.stream = before->stream;
    op.delay_ns = kind == HL_OP_HOST_DELAY ? w->delay_ns : 0;
    op.label = before->label;
    op.fault = w->mark;
    if (kind == HL_OP_TURN) {
        const uint32_t issued = count_issued(w->program, w->fault->rank, at, UINT32_MAX);
        const int other = w->fault->rank == 0; /* the one whose turn comes first */
        op.source = (uint16_t)other;
        op.rows = count_issued(w->program, other, UINT32_MAX, issued + 1);
    }
    hl_op_push(&w->list, op);
}

static void push_smaller_grid(struct hl_weaver *w, struct hl_op call)
{
    const enum hl_kernel kernel = hl_protocol_kernels(call.protocol).kernels[0];
    call.ctas = hl_kernel_ctas(kernel, call.tokens, w->program->config.world.sms) / 2;
    hl_push_marked(w, call);
}

/* A pass of the next size instead: graphs are numbered by size, then by piece. */
uint16_t hl_other_bucket(const struct hl_weaver *w, uint16_t graph)
{
    const struct hl_config *c = &w->program->config;
    const int pieces = hl_resolved_pieces(c);
    return (uint16_t)((graph + pieces) % (c->schedule.n_sizes * pieces));
}

/* The graph's ops, launched by the host. */
void hl_push_eagerly(struct hl_weaver *w, uint16_t graph)
{
    const struct hl_graph range = w->program->graphs[w->fault->rank][graph];
    bool marked = false;
    for (uint32_t i = range.begin; i < range.end; i++) {
        if (marked || w->ops[i].kind != HL_OP_CALL)
            hl_op_push(&w->list, w->ops[i]);
        else
            hl_push_marked(w, w->ops[i]);
        marked |= w->ops[i].kind == HL_OP_CALL;
    }
}

/* The barriers between the filling and the first call; only the first of them is the wrong group's. */
void hl_change_barrier(const struct hl_weaver *w, uint32_t i, struct hl_op *op)
{
    const struct hl_place *place = &w->places.place[0];
    if (op->kind != HL_OP_BARRIER || i < place->partner || i > place->launch)
        return;
    if (w->fault->kind == HL_FAULT_EARLY_INIT) {
        op->early = true;
        op->fault = w->mark;
    } else if (w->fault->kind == HL_FAULT_WRONG_GROUP && i == place->partner) {
        op->group = (2u << w->program->ranks) - 1; /* one rank more than there are */
        op->fault = w->mark;
    }
}

/* The call leaves its stream for another one, behind what its stream has done so far. */
static void push_forked(struct hl_weaver *w, struct hl_op call)
{
    const uint8_t stream = (uint8_t)(w->program->n_streams - 1);
    push_event(w, HL_OP_EVENT_RECORD, &call, call.stream, 0);
    push_event(w, HL_OP_EVENT_WAIT, &call, stream, 0);
    call.stream = stream;
    hl_push_marked(w, call);
}

static void push_join(struct hl_weaver *w, const struct hl_op *after)
{
    push_event(w, HL_OP_EVENT_RECORD, after, (uint8_t)(w->program->n_streams - 1), 1);
    push_event(w, HL_OP_EVENT_WAIT, after, after->stream, 1);
}

/* The same call of a group that begins where this world ends: another stage of a pipeline, in this process.
 */
static void push_call_of_others(struct hl_weaver *w, struct hl_op call)
{
    struct hl_op others = call;
    others.group = ((1u << w->program->ranks) - 1) << w->program->ranks;
    hl_push_marked(w, others);
    hl_op_push(&w->list, call);
}

/* The call of a place, as the fault has it. */
void hl_push_changed_call(struct hl_weaver *w, struct hl_op call)
{
    switch (w->fault->kind) {
    case HL_FAULT_SKIP_CALL: push_mark(w, &call); break;
    case HL_FAULT_EXTRA_CALL:
        hl_op_push(&w->list, call);
        call.fault = w->mark;
        hl_op_push(&w->list, call);
        break;
    case HL_FAULT_SHARED_WORKSPACE: push_call_of_others(w, call); break;
    case HL_FAULT_OTHER_SIZE: push_other_size(w, call); break;
    case HL_FAULT_OTHER_STRATEGY:
        call.protocol = hl_other_protocol(w->program, &call);
        hl_push_marked(w, call);
        break;
    case HL_FAULT_GRID_MISMATCH: push_smaller_grid(w, call); break;
    case HL_FAULT_SWAP_ORDER: break; /* it follows its partner */
    case HL_FAULT_SECOND_STREAM: push_forked(w, call); break;
    default: hl_op_push(&w->list, call); break;
    }
}

/* The call beside it. */
void hl_push_partner(struct hl_weaver *w, const struct hl_place *place)
{
    const struct hl_op partner = w->ops[place->partner];
    if (w->fault->kind == HL_FAULT_SWAP_ORDER) {
        hl_push_marked(w, partner);
        hl_op_push(&w->list, w->ops[place->op]);
    } else {
        hl_op_push(&w->list, partner);
        push_join(w, &partner);
    }
}

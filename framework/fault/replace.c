/* A workspace that is made anew in the middle of a program, on all ranks: what happens when one call is
 * larger than all before it (sglang's FlashInferWorkspaceManager.ensure_workspace_initialized, vllm#37361).
 *
 * Graphs keep the addresses of their capture. The new memory is a workspace with a number of its own that
 * says which one it replaces, so that engines and evidence tell calls on the old one from calls on the new
 * one as they tell any two workspaces. */
#include <stdlib.h>
#include "../program/resolve.h"
#include "weaver.h"

struct replacement {
    struct hl_weaver *w;
    uint8_t old, new;
    uint16_t copies; /* stale-graph: graph g was captured again as copies + g */
    int rank;
    uint32_t place; /* the fault's next one, on its rank */
};

static bool captures_again(const struct replacement *r) { return r->w->fault->kind == HL_FAULT_STALE_GRAPH; }

/* The end of the last capture that keeps the old workspace. */
static uint32_t find_cut(const struct replacement *r)
{
    const struct hl_program *p = r->w->program;
    const bool first_size = r->w->fault->kind == HL_FAULT_MOVE_WORKSPACE;
    const uint32_t graphs = first_size ? (uint32_t)hl_resolved_pieces(&p->config) : p->n_graphs;
    uint32_t cut = 0;
    for (uint32_t i = 0; i < p->rank[r->rank].n_ops; i++)
        if (p->rank[r->rank].ops[i].kind == HL_OP_CAPTURE_END && p->rank[r->rank].ops[i].graph < graphs)
            cut = i;
    return cut;
}

static void push_new_workspace(struct replacement *r, struct hl_op_list *list, uint16_t label)
{
    struct hl_op op = hl_op_make(HL_OP_WORKSPACE_INIT);
    op.workspace = r->new;
    op.replaces = (uint8_t)(1 + r->old);
    op.label = label;
    /* That it moves is all there is to this fault. */
    if (r->w->fault->kind == HL_FAULT_MOVE_WORKSPACE && r->rank == r->w->fault->rank)
        op.fault = r->w->mark;
    hl_op_push(list, op);
    op = hl_op_make(HL_OP_SYNC);
    op.label = label;
    hl_op_push(list, op);
    op.kind = HL_OP_BARRIER;
    hl_op_push(list, op);
}

static struct hl_op moved(const struct replacement *r, struct hl_op op)
{
    if (op.kind == HL_OP_CALL && op.workspace == r->old)
        op.workspace = r->new;
    return op;
}

/* Every graph once more, on the new workspace. */
static void push_captures(const struct replacement *r, struct hl_op_list *list)
{
    const struct hl_program *p = r->w->program;
    const struct hl_op *ops = p->rank[r->rank].ops;
    for (uint16_t g = 0; g < r->copies; g++) {
        const struct hl_graph range = p->graphs[r->rank][g];
        for (uint32_t i = range.begin - 1; range.begin > 0 && i <= range.end; i++) {
            struct hl_op op = moved(r, ops[i]);
            if (op.kind == HL_OP_CAPTURE_BEGIN || op.kind == HL_OP_CAPTURE_END)
                op.graph = (uint16_t)(r->copies + g);
            hl_op_push(list, op);
        }
    }
}

/* A launch behind the cut: does the fault strike it? */
static bool is_struck(struct replacement *r, uint32_t i)
{
    const struct hl_places *places = &r->w->places;
    if (r->rank != r->w->fault->rank || r->place == places->n || places->place[r->place].launch != i)
        return false;
    r->place++;
    return true;
}

static void push_launch(struct replacement *r, struct hl_op_list *list, uint32_t i, struct hl_op launch)
{
    const bool struck = is_struck(r, i);
    if (struck && r->w->fault->kind == HL_FAULT_REALLOC) {
        struct hl_op reuse = hl_op_make(HL_OP_REUSE);
        reuse.stream = launch.stream;
        reuse.workspace = r->old;
        reuse.label = launch.label;
        reuse.fault = r->w->mark;
        hl_op_push(list, reuse);
    }
    if (captures_again(r) && struck)
        launch.fault = r->w->mark;
    else if (captures_again(r))
        launch.graph = (uint16_t)(r->copies + launch.graph);
    hl_op_push(list, launch);
}

static bool rewrite_rank(struct replacement *r)
{
    struct hl_program *p = r->w->program;
    struct hl_rank_program *rank = &p->rank[r->rank];
    const uint32_t cut = find_cut(r);
    struct hl_op_list list = { 0 };
    uint32_t loop_to = UINT32_MAX;
    for (uint32_t i = 0; i < rank->n_ops; i++) {
        const struct hl_op *op = &rank->ops[i];
        if (i == rank->loop_to)
            loop_to = list.n;
        if (i <= cut)
            hl_op_push(&list, *op);
        else if (op->kind == HL_OP_GRAPH_LAUNCH)
            push_launch(r, &list, i, *op);
        else
            hl_op_push(&list, moved(r, *op));
        if (i == cut)
            push_new_workspace(r, &list, op->label);
        if (i == cut && captures_again(r))
            push_captures(r, &list);
    }
    struct hl_graph *graphs = calloc(p->n_graphs + r->copies + 1u, sizeof *graphs);
    if (list.failed || !graphs) {
        free(list.ops);
        free(graphs);
        return false;
    }
    free(rank->ops);
    free(p->graphs[r->rank]);
    *rank = (struct hl_rank_program){ .ops = list.ops, .n_ops = list.n, .loop_to = loop_to };
    hl_ops_find_graphs(list.ops, list.n, graphs);
    p->graphs[r->rank] = graphs;
    return true;
}

enum hl_status hl_weave_replacement(struct hl_weaver *w, struct hl_error *error)
{
    struct hl_program *p = w->program;
    struct replacement r = { .w = w, .old = w->ops[w->places.place[0].op].workspace, .new = p->n_workspaces };
    if (captures_again(&r))
        r.copies = p->n_graphs;
    if (p->n_graphs + r.copies >= HL_NONE)
        return hl_fail(error, HL_STATUS_USAGE,
                       "stale-graph captures every graph twice, which are too many: ask for fewer sizes");
    for (r.rank = 0; r.rank < p->ranks; r.rank++)
        if (!rewrite_rank(&r))
            return hl_fail(error, HL_STATUS_MEMORY, "out of memory while a fault is woven in");
    p->n_graphs = (uint16_t)(p->n_graphs + r.copies);
    p->n_workspaces++;
    return HL_STATUS_OK;
}

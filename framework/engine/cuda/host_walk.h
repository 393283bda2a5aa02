/* The ops of a rank in the order in which they are executed: graph launches opened, recorded ops left out. */
#pragma once
#include "../../program/program.h"

struct hl_host_walk {
    const struct hl_program *program;
    int rank;
    uint32_t next;      /* op that the host comes to next */
    uint16_t capturing; /* graph, or HL_NONE */
};

static inline struct hl_host_walk hl_host_walk_init(const struct hl_program *program, int rank)
{
    return (struct hl_host_walk){ .program = program, .rank = rank, .capturing = HL_NONE };
}

/* Between capture-begin and capture-end, device ops are recorded: nothing runs. */
static inline bool hl_is_recordable(enum hl_op_kind kind)
{
    return kind == HL_OP_CALL || kind == HL_OP_FILLER || kind == HL_OP_COPY || kind == HL_OP_EVENT_RECORD ||
           kind == HL_OP_EVENT_WAIT;
}

/* The next op that the host executes, or NULL at the end. Recorded ops are passed over. */
static inline const struct hl_op *hl_host_walk_next(struct hl_host_walk *w)
{
    const struct hl_rank_program *p = &w->program->rank[w->rank];
    while (w->next < p->n_ops) {
        const struct hl_op *op = &p->ops[w->next++];
        if (op->kind == HL_OP_CAPTURE_BEGIN)
            w->capturing = op->graph;
        else if (op->kind == HL_OP_CAPTURE_END)
            w->capturing = HL_NONE;
        if (w->capturing == HL_NONE || !hl_is_recordable(op->kind))
            return op;
    }
    return NULL;
}

/* The ops that an executed op runs on the device: itself, or its graph's. */
static inline struct hl_graph hl_host_walk_range(const struct hl_host_walk *w, const struct hl_op *op)
{
    const uint32_t index = (uint32_t)(op - w->program->rank[w->rank].ops);
    if (op->kind == HL_OP_GRAPH_LAUNCH)
        return w->program->graphs[w->rank][op->graph];
    return (struct hl_graph){ index, index + 1 };
}

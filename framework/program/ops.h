/* Growing lists of ops, shared by what writes programs and what rewrites them.
 *
 * A failed allocation sets `failed` and turns all later pushes into nothing, so that a writer checks once,
 * at its end. */
#pragma once
#include "program.h"

struct hl_op_list {
    struct hl_op *ops;
    uint32_t n, capacity;
    bool failed;
};

/* An op of a kind, with nothing else in it. */
static inline struct hl_op hl_op_make(enum hl_op_kind kind)
{
    return (struct hl_op){ .kind = kind, .graph = HL_NONE, .block = HL_NONE, .source = HL_NONE };
}

void hl_op_push(struct hl_op_list *list, struct hl_op op);

/* Fills in the range of every graph that `ops` captures. */
void hl_ops_find_graphs(const struct hl_op *ops, uint32_t n, struct hl_graph *graphs);

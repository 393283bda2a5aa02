/* Growing lists of ops; see ops.h. */
#include "ops.h"
#include <stdlib.h>

void hl_op_push(struct hl_op_list *list, struct hl_op op)
{
    if (list->failed)
        return;
    if (list->n == list->capacity) {
        const uint32_t capacity = list->capacity ? 2 * list->capacity : 256;
        struct hl_op *ops = realloc(list->ops, capacity * sizeof *ops);
        if (!ops) {
            list->failed = true;
            return;
        }
        list->ops = ops;
        list->capacity = capacity;
    }
    list->ops[list->n++] = op;
}

void hl_ops_find_graphs(const struct hl_op *ops, uint32_t n, struct hl_graph *graphs)
{
    for (uint32_t i = 0; i < n; i++) {
        if (ops[i].kind == HL_OP_CAPTURE_BEGIN)
            graphs[ops[i].graph].begin = i + 1;
        else if (ops[i].kind == HL_OP_CAPTURE_END)
            graphs[ops[i].graph].end = i;
    }
}

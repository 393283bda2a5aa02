/* Ops in words, for host stacks and explanations. */
#include <stdio.h>
#include "program.h"

#define NAME(id, name, doc) [id] = name,
static const char *const op_names[] = { HL_OPS(NAME) };
static const char *const protocol_names[] = { HL_PROTOCOLS(NAME) };
static const char *const content_names[] = { HL_CONTENTS(NAME) };
#undef NAME

static void describe_filler(const struct hl_program *program, const struct hl_op *op, char *text, size_t size)
{
    const uint32_t all = program->blocks[op->block].rows;
    if (op->content == HL_CONTENT_SOURCE)
        snprintf(text, size, "filler, %u of %u rows of block %u from block %u, stream %u", op->rows, all,
                 op->block, op->source, op->stream);
    else
        snprintf(text, size, "filler, %u of %u rows of block %u, %s, stream %u", op->rows, all, op->block,
                 content_names[op->content], op->stream);
}

void hl_op_describe(const struct hl_program *program, const struct hl_op *op, char *text, size_t size)
{
    const char *name = op_names[op->kind];
    switch (op->kind) {
    case HL_OP_CALL:
        snprintf(text, size, "call site %u, %u tokens, %s, workspace %u, stream %u", op->site, op->tokens,
                 protocol_names[op->protocol], op->workspace, op->stream);
        break;
    case HL_OP_FILLER: describe_filler(program, op, text, size); break;
    case HL_OP_WORKSPACE_INIT:
        snprintf(text, size, "%s, workspace %u, stream %u", name, op->workspace, op->stream);
        if (op->replaces)
            snprintf(text, size, "%s, workspace %u in place of workspace %d, stream %u", name, op->workspace,
                     op->replaces - 1, op->stream);
        break;
    case HL_OP_CAPTURE_BEGIN:
    case HL_OP_CAPTURE_END:
    case HL_OP_GRAPH_LAUNCH:
        snprintf(text, size, "%s, graph %u, stream %u", name, op->graph, op->stream);
        break;
    case HL_OP_EVENT_RECORD:
    case HL_OP_EVENT_WAIT:
        snprintf(text, size, "%s, event %u, stream %u", name, op->event, op->stream);
        break;
    case HL_OP_COPY:
        snprintf(text, size, "copy, %u rows of block %u, stream %u", op->rows, op->block, op->stream);
        break;
    case HL_OP_HOST_DELAY:
        snprintf(text, size, "host-delay, %llu ns", (unsigned long long)op->delay_ns);
        break;
    case HL_OP_BARRIER:
        if (op->group)
            snprintf(text, size, "barrier of the ranks 0x%x", op->group);
        else
            snprintf(text, size, "barrier%s", op->early ? ", without waiting" : "");
        break;
    case HL_OP_ALLOC:
    case HL_OP_FREE: snprintf(text, size, "%s, block %u", name, op->block); break;
    case HL_OP_HOLD:
    case HL_OP_SYNC: snprintf(text, size, "%s, stream %u", name, op->stream); break;
    case HL_OP_TURN:
        snprintf(text, size, "turn, behind %u calls of rank %u on the same thread", op->rows, op->source);
        break;
    case HL_OP_REUSE: snprintf(text, size, "%s, workspace %u", name, op->workspace); break;
    default: snprintf(text, size, "%s", name); break;
    }
}

/* The interpreter; see walk.h. */
#include "walk.h"
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

struct memory {
    bool allocated;
    bool *written; /* [row] */
};

struct state {
    const struct hl_program *program;
    int rank;
    struct memory *memory; /* [block] */
    bool *captured;        /* [graph] */
    struct hl_walk walk;
};

static struct memory *block_of(struct state *s, uint16_t block)
{
    cr_assert_lt(block, s->program->n_blocks);
    cr_assert(s->memory[block].allocated, "block %u is used before it is taken from the pool", block);
    return &s->memory[block];
}

static void fill(struct state *s, const struct hl_op *op)
{
    struct memory *to = block_of(s, op->block);
    cr_assert_leq(op->rows, s->program->blocks[op->block].rows);
    const struct memory *from = op->content == HL_CONTENT_SOURCE ? block_of(s, op->source) : NULL;
    if (from)
        cr_assert_eq(s->program->blocks[op->source].rows, s->program->blocks[op->block].rows);
    for (uint32_t row = 0; row < op->rows; row++)
        to->written[row] = from ? from->written[row] : true;
}

static void call(struct state *s, const struct hl_op *op, uint32_t launch)
{
    const struct memory *input = block_of(s, op->block);
    cr_assert_leq(op->tokens, s->program->blocks[op->block].rows);
    cr_assert_leq(op->tokens, s->program->tokens_max);
    cr_assert_lt(op->workspace, s->program->n_workspaces);
    cr_assert_lt(op->site, s->program->n_sites);
    struct hl_seen_call seen = { .op = op, .launch = launch };
    for (uint32_t row = 0; row < op->tokens; row++)
        seen.unwritten += !input->written[row];
    seen.label = s->program->labels[s->program->rank[s->rank].ops[launch].label];
    s->walk.calls = realloc(s->walk.calls, (s->walk.n_calls + 1) * sizeof seen);
    s->walk.calls[s->walk.n_calls++] = seen;
}

static void execute(struct state *s, const struct hl_op *op, uint32_t launch)
{
    cr_assert_lt(op->label, s->program->n_labels);
    cr_assert_lt(op->stream, s->program->n_streams);
    if (op->fault)
        s->walk.marks |= 1u << (op->fault - 1);
    if (op->kind == HL_OP_CALL)
        call(s, op, launch);
    else if (op->kind == HL_OP_FILLER)
        fill(s, op);
    else if (op->kind == HL_OP_EVENT_RECORD || op->kind == HL_OP_EVENT_WAIT)
        cr_assert_lt(op->event, s->program->n_events);
}

static void allocate(struct state *s, const struct hl_op *op)
{
    struct memory *m = &s->memory[op->block];
    cr_assert_eq(m->allocated, op->kind == HL_OP_FREE, "block %u: wrong order of alloc and free", op->block);
    m->allocated = !m->allocated;
    memset(m->written, 0, s->program->blocks[op->block].rows * sizeof *m->written);
}

static void launch_graph(struct state *s, const struct hl_op *ops, uint32_t launch)
{
    const uint16_t graph = ops[launch].graph;
    cr_assert_lt(graph, s->program->n_graphs);
    cr_assert(s->captured[graph], "graph %u is launched before it is captured", graph);
    const struct hl_graph range = s->program->graphs[s->rank][graph];
    for (uint32_t i = range.begin; i < range.end; i++)
        execute(s, &ops[i], launch);
}

/* Goes over a recorded range; only calls, fillers and events may be in it. */
static uint32_t skip_capture(struct state *s, const struct hl_op *ops, uint32_t begin)
{
    const uint16_t graph = ops[begin].graph;
    cr_assert_eq(s->program->graphs[s->rank][graph].begin, begin + 1);
    uint32_t i = begin + 1;
    for (; ops[i].kind != HL_OP_CAPTURE_END; i++)
        cr_assert(ops[i].kind == HL_OP_CALL || ops[i].kind == HL_OP_FILLER || ops[i].kind == HL_OP_BARRIER ||
                      ops[i].kind == HL_OP_EVENT_RECORD || ops[i].kind == HL_OP_EVENT_WAIT,
                  "op kind %d inside a capture", ops[i].kind);
    cr_assert_eq(ops[i].graph, graph);
    cr_assert_eq(s->program->graphs[s->rank][graph].end, i);
    s->captured[graph] = true;
    return i;
}

struct hl_walk hl_walk_rank(const struct hl_program *program, int rank)
{
    struct state s = { .program = program, .rank = rank };
    s.memory = calloc(program->n_blocks + 1u, sizeof *s.memory);
    s.captured = calloc(program->n_graphs + 1u, sizeof *s.captured);
    for (int b = 0; b < program->n_blocks; b++)
        s.memory[b].written = calloc(program->blocks[b].rows, sizeof(bool));
    const struct hl_op *ops = program->rank[rank].ops;
    for (uint32_t i = 0; i < program->rank[rank].n_ops; i++) {
        if (ops[i].kind == HL_OP_CAPTURE_BEGIN)
            i = skip_capture(&s, ops, i);
        else if (ops[i].kind == HL_OP_GRAPH_LAUNCH)
            launch_graph(&s, ops, i);
        else if (ops[i].kind == HL_OP_ALLOC || ops[i].kind == HL_OP_FREE)
            allocate(&s, &ops[i]);
        else
            execute(&s, &ops[i], i);
    }
    cr_assert_eq(ops[program->rank[rank].n_ops - 1].kind, HL_OP_EXIT);
    for (int b = 0; b < program->n_blocks; b++)
        free(s.memory[b].written);
    free(s.memory);
    free(s.captured);
    return s.walk;
}

void hl_walk_finish(struct hl_walk *walk) { free(walk->calls); }

struct hl_config hl_plain_config(enum hl_mode mode)
{
    struct hl_config c = {
        .world = { .ranks = 4, .sms = 132, .launch_queue = 1024 },
        .subject = { .backend = HL_BACKEND_MNNVL, .hidden = 4096, .workspaces = 1 },
        .schedule = { .mode = mode,
                      .layers = 2,
                      .calls_per_layer = 2,
                      .sizes = { 64, 512 },
                      .n_sizes = 2,
                      .warmups = -1,
                      .replays = 8,
                      .padding = true },
        .flags = { -1, -1, -1, -1, -1, HL_GUARD_SHIPPED, 0, 1 },
        .runs = 1,
    };
    return c;
}

struct hl_program *hl_must_create(const struct hl_config *config, uint64_t seed)
{
    struct hl_program *program = NULL;
    struct hl_error error;
    cr_assert_eq(hl_program_create(config, seed, &program, &error), HL_STATUS_OK, "%s", error.message);
    return program;
}

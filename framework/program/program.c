/* Schedules: the order in which a serving engine initialises, warms up, captures and replays.
 *
 * Orders and counts are those of the engines (sources in resolve.c). All ranks get the same program; faults
 * make them differ later. */
#include "program.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "forward.h"
#include "random.h"
#include "resolve.h"

enum { PURPOSE_TOKENS = 0x746f6b, NUMBERS_MAX = 65000 };

/* How an engine goes about its captures. */
struct order {
    bool activates; /* a first eager pass at the smallest size, to compile what is compiled lazily */
    bool compiles;  /* one pass per size, without barriers, before any capture */
    bool profiles;  /* a first eager pass at the largest size */
    bool barriers;  /* sync and barrier before every warm-up and capture pass */
};

/* sglang: JIT activation and the compile loop belong to its torch.compile mode; barriers around every pass.
 * vLLM: profile run, no barriers. TensorRT-LLM: general warm-up, no barriers. */
static struct order order_of(const struct hl_schedule *s)
{
    if (s->preset == HL_PRESET_VLLM || s->preset == HL_PRESET_TRTLLM)
        return (struct order){ .profiles = true };
    const bool compiled = s->mode == HL_MODE_PIECEWISE;
    return (struct order){ .activates = compiled, .compiles = compiled, .barriers = true };
}

static void push_kind(struct hl_writer *w, enum hl_op_kind kind) { hl_writer_push(w, hl_op_make(kind)); }

static void sync_and_barrier(struct hl_writer *w)
{
    push_kind(w, HL_OP_SYNC);
    push_kind(w, HL_OP_BARRIER);
}

/* MLP first: sglang's pre_initialize_workspaces() makes the MoE workspace before the attention's. */
static void init_workspaces(struct hl_writer *w)
{
    for (int i = w->program->n_workspaces; i-- > 0;) {
        hl_writer_label(w, "initialise workspace %d", i);
        struct hl_op op = hl_op_make(HL_OP_WORKSPACE_INIT);
        op.workspace = (uint8_t)i;
        hl_writer_push(w, op);
        sync_and_barrier(w);
    }
}

static void eager_pass(struct hl_writer *w, uint32_t tokens, uint16_t blocks)
{
    hl_writer_forward(w, &(struct hl_pass){ HL_PASS_EAGER, tokens, tokens, blocks, HL_NONE });
}

/*
 * Replayed token counts: a size is drawn, then a count that it serves.
 */

struct draw {
    uint32_t tokens, size;
    int index; /* of the size */
};

static struct draw draw_tokens(const struct hl_schedule *s, uint64_t *random)
{
    const int index = (int)hl_random_below(random, (uint32_t)s->n_sizes);
    const uint32_t size = s->sizes[index], below = index + 1 < s->n_sizes ? s->sizes[index + 1] : 0;
    const uint32_t back = hl_random_below(random, size - below);
    return (struct draw){ s->padding ? size - back : size, size, index };
}

/*
 * Eager: real token counts, no padding, no graphs.
 */

static void write_eager(struct hl_writer *w, uint64_t *random)
{
    const struct hl_schedule *s = &w->config->schedule;
    for (int i = 0; i < s->replays; i++) {
        const struct draw d = draw_tokens(s, random);
        hl_writer_label(w, "forward %d, %u tokens", i, d.tokens);
        /* A set of blocks serves one size; counts that have come before have one. */
        uint32_t set = 0;
        const uint32_t set_size = hl_block_set_size(w->config);
        while (set < w->program->n_blocks && w->program->blocks[set].rows != d.tokens)
            set += set_size;
        if (set >= w->program->n_blocks)
            set = hl_writer_add_blocks(w, d.tokens);
        eager_pass(w, d.tokens, (uint16_t)set);
        push_kind(w, HL_OP_SYNC); /* the host reads the sampled tokens */
    }
}

/*
 * Graph modes: full, piecewise, breakable.
 */

/* The first half of the sets: warm-ups, one per size; the second half: what the graphs of a size work on. */
static uint16_t warmup_set(const struct hl_writer *w, int size_index)
{
    return (uint16_t)((uint32_t)size_index * hl_block_set_size(w->config));
}
static uint16_t captured_set(const struct hl_writer *w, int size_index)
{
    return warmup_set(w, w->config->schedule.n_sizes + size_index);
}

static void warm_up(struct hl_writer *w, const char *what, int size_index)
{
    const uint32_t size = w->config->schedule.sizes[size_index];
    hl_writer_label(w, "%s, size %u", what, size);
    eager_pass(w, size, warmup_set(w, size_index));
}

static void prepare(struct hl_writer *w, const struct order *order)
{
    const struct hl_schedule *s = &w->config->schedule;
    hl_writer_label(w, "take memory for warm-ups");
    for (int i = 0; i < s->n_sizes; i++)
        hl_writer_add_blocks(w, s->sizes[i]);
    if (order->profiles)
        warm_up(w, "profile run", 0);
    if (order->activates)
        warm_up(w, "JIT activation", s->n_sizes - 1);
    for (int i = 0; order->compiles && i < s->n_sizes; i++)
        warm_up(w, "compile", i);
    if (order->compiles)
        sync_and_barrier(w);
}

static void capture_size(struct hl_writer *w, const struct order *order, int size_index)
{
    const struct hl_schedule *s = &w->config->schedule;
    const uint32_t size = s->sizes[size_index];
    for (int i = 0; i < s->warmups; i++) {
        hl_writer_label(w, "warm-up %d of %d, size %u", i + 1, s->warmups, size);
        if (order->barriers)
            sync_and_barrier(w);
        eager_pass(w, size, warmup_set(w, size_index));
    }
    hl_writer_label(w, "before the capture, size %u", size);
    /* A full decode graph is captured right after its last warm-up. */
    if (order->barriers && s->mode != HL_MODE_FULL)
        sync_and_barrier(w);
    else if (!order->barriers && s->warmups > 0)
        push_kind(w, HL_OP_SYNC);
    const uint16_t blocks = hl_writer_add_blocks(w, size);
    const uint16_t graph = (uint16_t)(size_index * hl_resolved_pieces(w->config));
    hl_writer_forward(w, &(struct hl_pass){ HL_PASS_CAPTURE, size, size, blocks, graph });
}

static void write_replays(struct hl_writer *w, uint64_t *random)
{
    const struct hl_schedule *s = &w->config->schedule;
    for (int i = 0; i < s->replays; i++) {
        const struct draw d = draw_tokens(s, random);
        hl_writer_label(w, "replay %d, %u tokens in size %u", i, d.tokens, d.size);
        const uint16_t graph = (uint16_t)(d.index * hl_resolved_pieces(w->config));
        hl_writer_forward(
            w, &(struct hl_pass){ HL_PASS_REPLAY, d.size, d.tokens, captured_set(w, d.index), graph });
        push_kind(w, HL_OP_SYNC); /* the host reads the sampled tokens */
    }
}

static void write_graphs(struct hl_writer *w, uint64_t *random)
{
    const struct hl_schedule *s = &w->config->schedule;
    const struct order order = order_of(s);
    prepare(w, &order);
    for (int i = 0; i < s->n_sizes; i++)
        capture_size(w, &order, i);
    hl_writer_label(w, "after the captures");
    sync_and_barrier(w); /* ranks exchange the buffers that their graphs registered */
    for (int i = 0; i < s->n_sizes && s->mode == HL_MODE_PIECEWISE; i++)
        hl_writer_recycle_attention(w, captured_set(w, i));
    write_replays(w, random);
}

/*
 * From one list of ops to a program
 */

/* Gives every rank its copy. */
static bool distribute(struct hl_program *p, const struct hl_op_list *list)
{
    for (int rank = 0; rank < p->ranks; rank++) {
        struct hl_op *ops = malloc(list->n * sizeof *ops);
        struct hl_graph *graphs = calloc(p->n_graphs + 1u, sizeof *graphs);
        p->rank[rank].ops = ops;
        p->graphs[rank] = graphs;
        if (!ops || !graphs)
            return false;
        memcpy(ops, list->ops, list->n * sizeof *ops);
        p->rank[rank].n_ops = list->n;
        p->rank[rank].loop_to = UINT32_MAX;
        hl_ops_find_graphs(ops, list->n, graphs);
    }
    return true;
}

/* Block, graph and label numbers have 16 bits; faults need a few of them. */
static enum hl_status check_size(const struct hl_config *c, struct hl_error *error)
{
    const struct hl_schedule *s = &c->schedule;
    const uint64_t sizes = (uint64_t)s->n_sizes, set = hl_block_set_size(c);
    const uint64_t replays = (uint64_t)s->replays;
    const uint64_t counts = replays < s->sizes[0] ? replays : s->sizes[0];
    const uint64_t sets = s->mode == HL_MODE_EAGER ? counts : 2 * sizes;
    const uint64_t graphs = sizes * (uint64_t)hl_resolved_pieces(c);
    const uint64_t labels = 2 * graphs + sizes * (uint64_t)(s->warmups + 2) + replays + 8;
    if (sets * set <= NUMBERS_MAX && graphs <= NUMBERS_MAX && labels <= NUMBERS_MAX)
        return HL_STATUS_OK;
    return hl_fail(
        error, HL_STATUS_USAGE,
        "schedule: %d layers, %d sizes and %d replays make a program of %llu blocks, %llu graphs and "
        "%llu phases; at most %d of each: take fewer layers, sizes or replays",
        s->layers, s->n_sizes, s->replays, (unsigned long long)(sets * set), (unsigned long long)graphs,
        (unsigned long long)labels, NUMBERS_MAX);
}

/* Workspaces are made for the largest call, also for one that a fault will make. */
static uint32_t largest_call(const struct hl_config *c)
{
    uint32_t tokens = c->schedule.sizes[0];
    for (int i = 0; i < c->n_faults; i++)
        if (c->faults[i].kind == HL_FAULT_OTHER_SIZE && c->faults[i].tokens > tokens)
            tokens = c->faults[i].tokens;
    return tokens;
}

/* May calls take the plain path, beside fused ones? The largest does not tell: a one-shot of fewer tokens can
 * be too much for a workspace that holds it as a two-shot. */
static bool is_gated(const struct hl_config *c, uint32_t tokens_max)
{
    uint32_t tokens = tokens_max;
    while (tokens > 0 && hl_is_fused(c, tokens))
        tokens--;
    return tokens > 0 && hl_is_fused(c, 1);
}

static void describe_program(struct hl_program *p)
{
    const struct hl_config *c = &p->config;
    p->ranks = c->world.ranks;
    p->n_streams = 1;
    p->n_sites = (uint16_t)(c->schedule.layers * c->schedule.calls_per_layer);
    p->n_graphs = (uint16_t)(c->schedule.n_sizes * hl_resolved_pieces(c));
    p->tokens_max = largest_call(c);
    p->n_workspaces = (uint8_t)(c->subject.workspaces + is_gated(c, p->tokens_max));
}

enum hl_status hl_program_create(const struct hl_config *config, uint64_t seed,
                                 struct hl_program **ret_program, struct hl_error *error)
{
    struct hl_program *p = calloc(1, sizeof *p);
    if (!p)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a rank program");
    enum hl_status status = hl_resolve(config, &p->config, NULL, error);
    if (!status)
        status = check_size(&p->config, error);
    if (status) {
        hl_program_destroy(p);
        return status;
    }
    describe_program(p);
    struct hl_writer w = { .config = &p->config, .program = p };
    uint64_t random = hl_random_stream(seed, PURPOSE_TOKENS, 0);
    init_workspaces(&w);
    if (p->config.schedule.mode == HL_MODE_EAGER)
        write_eager(&w, &random);
    else
        write_graphs(&w, &random);
    hl_writer_label(&w, "end");
    push_kind(&w, HL_OP_EXIT);
    const bool ok = !w.list.failed && distribute(p, &w.list);
    free(w.list.ops);
    if (!ok) {
        hl_program_destroy(p);
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a rank program");
    }
    *ret_program = p;
    return HL_STATUS_OK;
}

void hl_program_destroy(struct hl_program *program)
{
    if (!program)
        return;
    for (int rank = 0; rank < HL_RANKS_MAX; rank++) {
        free(program->rank[rank].ops);
        free(program->graphs[rank]);
    }
    for (uint16_t i = 0; i < program->n_labels; i++)
        free(program->labels[i]);
    free(program->labels);
    free(program->blocks);
    free(program);
}

/* The family of the workspace that it stands for, or, where that has no call, of a rank's first call on it.
 */
static bool find_family(const struct hl_program *program, int rank, int workspace, enum hl_family *ret_family)
{
    for (uint32_t i = 0; i < program->rank[rank].n_ops; i++) {
        const struct hl_op *op = &program->rank[rank].ops[i];
        if (op->workspace != workspace)
            continue;
        if (op->kind == HL_OP_CALL) {
            *ret_family = hl_protocol_family(op->protocol);
            return true;
        }
        if (op->kind == HL_OP_WORKSPACE_INIT && op->replaces &&
            find_family(program, rank, op->replaces - 1, ret_family))
            return true;
    }
    return false;
}

/* A fault may have taken all calls of one rank away. */
enum hl_family hl_program_family(const struct hl_program *program, int workspace)
{
    enum hl_family family = HL_FAMILY_NCCL;
    for (int rank = 0; rank < program->ranks; rank++)
        if (find_family(program, rank, workspace, &family))
            break;
    return family;
}

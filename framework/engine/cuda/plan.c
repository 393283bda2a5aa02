/* The plan of a run; see plan.h. */
#include "plan.h"
#include <stdlib.h>
#include <string.h>
#include "../../program/placement.h"
#include "host_walk.h"

/* Offsets of device memory are multiples of this. */
#define ALIGNMENT 256u

static uint64_t round_up(uint64_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static uint64_t take(struct hl_cuda_rank_plan *r, uint64_t bytes)
{
    const uint64_t at = r->bytes;
    r->bytes += round_up(bytes);
    return at;
}

static uint64_t row_bytes(const struct hl_cuda_plan *plan) { return plan->layout[0].row_words * 4ull; }

uint32_t hl_cuda_plan_ctas(const struct hl_cuda_plan *plan, int rank, uint32_t op_index,
                           enum hl_kernel kernel, uint32_t share)
{
    const struct hl_op *op = &plan->program->rank[rank].ops[op_index];
    const uint32_t wanted = hl_kernel_ctas(kernel, op->tokens, plan->config->world.sms);
    const uint32_t real = op->ctas && op->ctas < wanted ? op->ctas : wanted;
    uint32_t ctas = (uint32_t)((uint64_t)real * plan->rank[rank].ops[op_index].tokens / op->tokens);
    ctas = ctas ? ctas : 1;
    return ctas < share ? ctas : share;
}

/*
 * Ops and calls of a rank
 */

/* What the host of a rank has come to, op by op. */
struct progress {
    uint16_t capturing;                        /* graph, or HL_NONE */
    uint32_t issued[HL_CUDA_WORKSPACES_MAX];   /* calls, by eager launches and graphs */
    uint32_t captured[HL_CUDA_WORKSPACES_MAX]; /* calls of the graph that is being captured */
    uint8_t outputs[HL_CUDA_STREAMS_MAX];
};

static void plan_call(struct hl_cuda_plan *plan, struct hl_cuda_rank_plan *r, const struct hl_op *op,
                      uint32_t index, struct progress *at)
{
    struct hl_cuda_op *to = &r->ops[index];
    to->tokens = hl_geometry_tokens(&plan->geometry, op->tokens);
    to->epoch = at->issued[op->workspace];
    if (at->capturing == HL_NONE)
        at->issued[op->workspace]++;
    else
        to->epoch += at->captured[op->workspace]++;
    to->output = at->outputs[op->stream]++ % HL_CUDA_OUTPUTS;
    to->call = r->n_calls;
    r->calls[r->n_calls++].op = index;
}

static void count_replay(const struct hl_program *program, int rank, uint16_t graph, struct progress *at)
{
    const struct hl_graph range = program->graphs[rank][graph];
    for (uint32_t i = range.begin; i < range.end; i++)
        if (program->rank[rank].ops[i].kind == HL_OP_CALL)
            at->issued[program->rank[rank].ops[i].workspace]++;
}

static void plan_op(struct hl_cuda_plan *plan, int rank, uint32_t index, struct progress *at)
{
    const struct hl_program *program = plan->program;
    const struct hl_op *op = &program->rank[rank].ops[index];
    struct hl_cuda_rank_plan *r = &plan->rank[rank];
    switch (op->kind) {
    case HL_OP_CAPTURE_BEGIN:
        at->capturing = op->graph;
        memset(at->captured, 0, sizeof at->captured);
        break;
    case HL_OP_CAPTURE_END: at->capturing = HL_NONE; break;
    case HL_OP_GRAPH_LAUNCH: count_replay(program, rank, op->graph, at); break;
    case HL_OP_FILLER:
    case HL_OP_COPY:
        if (op->block != HL_NONE)
            r->ops[index].rows = hl_geometry_rows(&plan->geometry, op->rows, program->blocks[op->block].rows);
        break;
    case HL_OP_CALL: plan_call(plan, r, op, index, at); break;
    default: break;
    }
}

static bool plan_ops(struct hl_cuda_plan *plan, int rank)
{
    const struct hl_rank_program *p = &plan->program->rank[rank];
    struct hl_cuda_rank_plan *r = &plan->rank[rank];
    struct progress at = { .capturing = HL_NONE };
    r->ops = calloc(p->n_ops + 1u, sizeof *r->ops);
    r->calls = calloc(p->n_ops + 1u, sizeof *r->calls);
    r->block_at = calloc(plan->program->n_blocks + 1u, sizeof *r->block_at);
    if (!r->ops || !r->calls || !r->block_at)
        return false;
    for (uint32_t i = 0; i < p->n_ops; i++)
        plan_op(plan, rank, i, &at);
    return true;
}

/*
 * Samples: which calls are copied back
 */

/* Bytes of a workspace's calls by number, over all ranks, and whether they are sampled. */
struct numbered {
    uint64_t *bytes;
    bool *sampled;
    uint32_t n;
};

/* Calls `visit` for every executed call of a rank, with its number on its workspace. False: it failed. */
typedef bool (*visit_fn)(struct hl_cuda_plan *plan, int rank, uint32_t op, uint32_t number,
                         struct numbered *w);
static bool for_each_call(struct hl_cuda_plan *plan, int rank, struct numbered *workspaces, visit_fn visit)
{
    struct hl_host_walk walk = hl_host_walk_init(plan->program, rank);
    const struct hl_op *ops = plan->program->rank[rank].ops;
    uint32_t numbers[HL_CUDA_WORKSPACES_MAX] = { 0 };
    for (const struct hl_op *op; (op = hl_host_walk_next(&walk));) {
        const struct hl_graph range = hl_host_walk_range(&walk, op);
        for (uint32_t i = range.begin; i < range.end; i++) {
            if (ops[i].kind != HL_OP_CALL)
                continue;
            const uint8_t w = ops[i].workspace;
            if (!visit(plan, rank, i, numbers[w]++, &workspaces[w]))
                return false;
        }
    }
    return true;
}

static uint64_t sample_bytes_of(const struct hl_cuda_plan *plan, int rank, uint32_t op)
{
    return 3 * plan->rank[rank].ops[op].tokens * row_bytes(plan);
}

static bool count_call(struct hl_cuda_plan *plan, int rank, uint32_t op, uint32_t number, struct numbered *w)
{
    struct hl_cuda_rank_plan *r = &plan->rank[rank];
    r->calls[r->ops[op].call].executions++;
    r->n_samples++;
    plan->calls++;
    if (number == w->n && (w->n & (w->n - 1)) == 0) { /* room doubles at powers of two */
        uint64_t *bytes = realloc(w->bytes, (w->n ? 2ull * w->n : 1) * sizeof *bytes);
        if (!bytes)
            return false;
        w->bytes = bytes;
    }
    if (number == w->n)
        w->bytes[w->n++] = 0;
    w->bytes[number] += sample_bytes_of(plan, rank, op);
    return true;
}

static uint64_t sum_every(const struct numbered *w, uint32_t from, uint32_t every)
{
    uint64_t sum = 0;
    for (uint32_t c = hl_div_up(from, every) * every; c < w->n; c += every)
        sum += w->bytes[c];
    return sum;
}

/* The first calls, then every `every`-th: the same numbers on all ranks, or a call would lack its peers'
 * rows. `every` is a multiple of 8, the depth of the oracle's memory, so that the rows that it keeps are few.
 */
static bool choose_samples(struct numbered *w, unsigned workspaces)
{
    const uint64_t budget = HL_CUDA_SAMPLE_BYTES / workspaces;
    w->sampled = calloc(w->n + 1u, sizeof *w->sampled);
    if (!w->sampled)
        return false;
    const bool all = sum_every(w, 0, 1) <= HL_CUDA_WHOLE_BYTES / workspaces;
    uint64_t dense_bytes = 0;
    uint32_t dense = 0, every = 8;
    for (; dense < w->n && (all || dense == 0 || dense_bytes + w->bytes[dense] <= budget / 2); dense++) {
        dense_bytes += w->bytes[dense];
        w->sampled[dense] = true;
    }
    while (every < w->n && sum_every(w, dense, every) > budget / 2)
        every *= 2;
    if (dense < w->n && sum_every(w, dense, every) <= budget / 2)
        for (uint32_t c = hl_div_up(dense, every) * every; c < w->n; c += every)
            w->sampled[c] = true;
    return true;
}

static bool place_sample(struct hl_cuda_plan *plan, int rank, uint32_t op, uint32_t number,
                         struct numbered *w)
{
    struct hl_cuda_rank_plan *r = &plan->rank[rank];
    struct hl_cuda_call_op *call = &r->calls[r->ops[op].call];
    uint32_t *sample = &r->samples[call->samples_at + call->executions++];
    *sample = HL_CUDA_NOT_SAMPLED;
    if (!w->sampled[number])
        return true;
    *sample = (uint32_t)(plan->sample_bytes / 16);
    plan->sample_bytes += sample_bytes_of(plan, rank, op);
    plan->calls_sampled++;
    return true;
}

static bool place_samples(struct hl_cuda_plan *plan, int rank, struct numbered *workspaces)
{
    struct hl_cuda_rank_plan *r = &plan->rank[rank];
    uint32_t at = 0;
    r->samples = calloc(r->n_samples + 1u, sizeof *r->samples);
    if (!r->samples)
        return false;
    for (uint32_t c = 0; c < r->n_calls; c++) {
        r->calls[c].samples_at = at;
        at += r->calls[c].executions;
        r->calls[c].executions = 0; /* place_sample() counts again */
    }
    return for_each_call(plan, rank, workspaces, place_sample);
}

static bool plan_samples(struct hl_cuda_plan *plan)
{
    struct numbered workspaces[HL_CUDA_WORKSPACES_MAX] = { 0 };
    const int ranks = plan->program->ranks, n = plan->program->n_workspaces;
    bool ok = true;
    for (int rank = 0; ok && rank < ranks; rank++)
        ok = for_each_call(plan, rank, workspaces, count_call);
    for (int w = 0; ok && w < n; w++)
        ok = choose_samples(&workspaces[w], (unsigned)n);
    for (int rank = 0; ok && rank < ranks; rank++)
        ok = place_samples(plan, rank, workspaces);
    for (int w = 0; w < n; w++) {
        free(workspaces[w].bytes);
        free(workspaces[w].sampled);
    }
    return ok;
}

/*
 * Memory
 */

static void plan_memory(struct hl_cuda_plan *plan, struct hl_cuda_rank_plan *r)
{
    const struct hl_program *p = plan->program;
    const uint64_t rows = plan->geometry.tokens_max * row_bytes(plan);
    take(r, ALIGNMENT); /* the count of marks */
    r->counters_at = r->bytes;
    r->call_counters_at = take(r, r->n_calls * 8ull);
    r->block_counters_at = take(r, p->n_blocks * 8ull);
    r->init_counters_at = take(r, p->n_workspaces * 4ull);
    r->counters_bytes = r->bytes - r->counters_at;
    r->gamma_at = take(r, row_bytes(plan));
    r->residuals_at = take(r, p->n_sites * rows);
    for (int w = 0; w < p->n_workspaces; w++) {
        take(r, plan->guard_words * 4ull);
        r->workspace_at[w] = take(r, (plan->layout[w].words + plan->guard_words) * 4ull);
    }
    for (int stream = 0; stream < p->n_streams; stream++)
        r->outputs_at[stream] = take(r, HL_CUDA_OUTPUTS * 2 * rows);
    for (uint32_t b = 0; b < p->n_blocks; b++)
        r->block_at[b] = take(r, hl_geometry_tokens(&plan->geometry, p->blocks[b].rows) * row_bytes(plan));
    r->scratch_at = take(r, rows);
    r->samples_at = take(r, r->n_samples * 4ull);
}

/* Virtual ranks share a process: what happens to one process alone has no place there. No default: a new kind
 * of op must be sorted in. */
static bool runs_here(enum hl_op_kind kind, enum hl_placement placement)
{
    switch (kind) {
    case HL_OP_WORKSPACE_INIT:
    case HL_OP_BARRIER:
    case HL_OP_CALL:
    case HL_OP_FILLER:
    case HL_OP_CAPTURE_BEGIN:
    case HL_OP_CAPTURE_END:
    case HL_OP_GRAPH_LAUNCH:
    case HL_OP_EVENT_RECORD:
    case HL_OP_EVENT_WAIT:
    case HL_OP_COPY:
    case HL_OP_HOST_DELAY:
    case HL_OP_ALLOC:
    case HL_OP_FREE:
    case HL_OP_SYNC:
    case HL_OP_EXIT:
    case HL_OP_DEVICE_SYNC:
    case HL_OP_FOREIGN:
    case HL_OP_SERIALISE:
    case HL_OP_HOLD:
    case HL_OP_TURN:
    case HL_OP_FREEZE:
    case HL_OP_REUSE: return true;
    case HL_OP_KILL:
    case HL_OP_STOP: return placement == HL_PLACEMENT_PROCESS;
    case HL_OP_KIND_COUNT: break;
    }
    return false;
}

static enum hl_status check_ops(const struct hl_config *config, const struct hl_program *p, int rank,
                                struct hl_error *error)
{
    char text[256];
    for (uint32_t i = 0; i < p->rank[rank].n_ops; i++) {
        if (runs_here(p->rank[rank].ops[i].kind, config->world.placement))
            continue;
        hl_op_describe(p, &p->rank[rank].ops[i], text, sizeof text);
        return hl_fail(error, HL_STATUS_NO_GPU, "op %u of rank %d (%s) %s", i, rank, text,
                       runs_here(p->rank[rank].ops[i].kind, HL_PLACEMENT_PROCESS)
                           ? "wants a process of its own: it runs with `world.placement: process`, or with "
                             "--engine sim"
                           : "cannot be brought about on a GPU; it runs with --engine sim");
    }
    return HL_STATUS_OK;
}

static enum hl_status check_limits(const struct hl_config *config, const struct hl_program *p,
                                   struct hl_error *error)
{
    if (p->n_streams > HL_CUDA_STREAMS_MAX || p->n_workspaces > HL_CUDA_WORKSPACES_MAX)
        return hl_fail(error, HL_STATUS_INTERNAL,
                       "the program has %d streams and %d workspaces; the CUDA engine takes %d and %d",
                       p->n_streams, p->n_workspaces, HL_CUDA_STREAMS_MAX, HL_CUDA_WORKSPACES_MAX);
    enum hl_status status = HL_STATUS_OK;
    for (int rank = 0; !status && rank < p->ranks; rank++) {
        if (p->rank[rank].loop_to != UINT32_MAX)
            return hl_fail(error, HL_STATUS_INTERNAL, "the CUDA engine runs no endless program");
        status = check_ops(config, p, rank, error);
    }
    return status;
}

/* Workspaces as they stand in memory: with a guard before each buffer. */
static void lay_out(struct hl_cuda_plan *plan)
{
    const struct hl_program *program = plan->program;
    const enum hl_dtype dtype = plan->config->subject.dtype;
    for (int w = 0; w < program->n_workspaces; w++) {
        const struct hl_layout bare = hl_layout_make(hl_program_family(program, w), program->ranks,
                                                     plan->geometry.tokens_max, plan->geometry.hidden, dtype);
        plan->guard_words = hl_round_up(
            bare.row_words > 2 * HL_CUDA_GUARD_SEEN ? bare.row_words : 2 * HL_CUDA_GUARD_SEEN, ALIGNMENT / 4);
        plan->layout[w] = hl_layout_guarded(bare, plan->guard_words);
    }
}

uint64_t hl_cuda_plan_guard_at(const struct hl_cuda_plan *plan, int rank, int workspace, int guard)
{
    const uint64_t begin = plan->rank[rank].workspace_at[workspace];
    const uint64_t end = guard == HL_CUDA_GUARD_BEFORE_ALL
                             ? 0
                             : hl_buffer_at(&plan->layout[workspace], (uint32_t)guard) * 4ull;
    return begin + end - plan->guard_words * 4ull;
}

enum hl_status hl_cuda_plan_init(struct hl_cuda_plan *plan, const struct hl_config *config,
                                 const struct hl_program *program, struct hl_error *error)
{
    *plan = (struct hl_cuda_plan){ .config = config, .program = program };
    enum hl_status status = check_limits(config, program, error);
    if (!status)
        status = hl_geometry_init(&plan->geometry, config, program, error);
    if (status)
        return status;
    lay_out(plan);
    bool ok = true;
    for (int rank = 0; ok && rank < program->ranks; rank++)
        ok = plan_ops(plan, rank);
    if (!ok || !plan_samples(plan)) {
        hl_cuda_plan_finish(plan);
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for the plan of a run");
    }
    for (int rank = 0; rank < program->ranks; rank++)
        plan_memory(plan, &plan->rank[rank]);
    return HL_STATUS_OK;
}

uint64_t hl_cuda_plan_arena_bytes(const struct hl_cuda_plan *plan)
{
    uint64_t bytes = 16ull << 20;
    for (int rank = 0; rank < plan->program->ranks; rank++)
        while (bytes < plan->rank[rank].bytes)
            bytes *= 2;
    return bytes;
}

/* NCCL takes no two ranks on one GPU. */
int hl_cuda_plan_gpu(const struct hl_cuda_plan *plan, int there, int rank)
{
    const struct hl_config *config = plan->config;
    if (config->subject.backend == HL_BACKEND_NCCL && config->world.gpus == 0)
        return rank;
    return hl_rank_gpu(&config->world, plan->program->ranks, there, rank);
}

void hl_cuda_plan_finish(struct hl_cuda_plan *plan)
{
    for (int rank = 0; rank < HL_RANKS_MAX; rank++) {
        free(plan->rank[rank].ops);
        free(plan->rank[rank].calls);
        free(plan->rank[rank].block_at);
        free(plan->rank[rank].samples);
    }
    hl_geometry_finish(&plan->geometry);
    *plan = (struct hl_cuda_plan){ 0 };
}

/* The world: memory, copying, and the dispatch of one step. */
#include "sim.h"
#include <stdlib.h>
#include <string.h>

/* Sets `view` to the next `count` elements of the state block, or only counts when there is no block yet. */
#define VIEW(s, at, view, count) \
    do { \
        (view) = (s)->state ? (void *)((s)->state + (at)) : NULL; \
        (at) += ((size_t)(count) * sizeof *(view) + 7) & ~(size_t)7; \
    } while (0)

static size_t lay_out_state(struct hl_sim *s)
{
    const size_t ranks = (size_t)s->ranks, streams = ranks * (size_t)s->streams,
                 lanes = ranks * (size_t)s->lanes;
    const size_t kernels = lanes * HL_SIM_KERNELS_MAX, ctas = kernels * s->ctas_max;
    const size_t flights = hl_sim_is_relaxed(s) ? ranks * HL_SIM_FLIGHTS : 0;
    size_t at = 0;
    VIEW(s, at, s->hosts, ranks);
    VIEW(s, at, s->queues, streams);
    VIEW(s, at, s->entries, streams * s->queue_max);
    VIEW(s, at, s->lane, lanes);
    VIEW(s, at, s->kernels, kernels);
    VIEW(s, at, s->ctas, ctas);
    VIEW(s, at, s->regs, ctas * s->layout[0].row_words);
    VIEW(s, at, s->events_recorded, ranks * HL_SIM_EVENTS_MAX);
    VIEW(s, at, s->events_issued, ranks * HL_SIM_EVENTS_MAX);
    VIEW(s, at, s->launches, ranks * (s->program->n_graphs + 1u));
    VIEW(s, at, s->room, ranks);
    VIEW(s, at, s->outside, ranks);
    VIEW(s, at, s->ticket, 1);
    VIEW(s, at, s->flights, flights);
    VIEW(s, at, s->flight_words, flights * 2 * s->layout[0].row_words);
    VIEW(s, at, s->words, (size_t)s->workspaces * ranks * (s->words_max + 2 * (size_t)s->guard));
    return at;
}

/* Counts the calls that a host issues with an op, for the numbers that a capture freezes. */
static void count_issued(const struct hl_sim *s, int rank, const struct hl_op *op, uint32_t *issued)
{
    const struct hl_graph range = s->program->graphs[rank][op->graph];
    for (uint32_t i = range.begin; i < range.end; i++)
        if (hl_sim_op(s, rank, i)->kind == HL_OP_CALL)
            issued[hl_sim_op(s, rank, i)->workspace]++;
}

/* Executed counts, grids and ordinals of every op. */
static void prepare_ops(struct hl_sim *s, int rank)
{
    const struct hl_rank_program *p = &s->program->rank[rank];
    uint32_t ordinal[HL_SIM_WORKSPACES_MAX] = { 0 }, issued[HL_SIM_WORKSPACES_MAX] = { 0 };
    bool captures = false;
    for (uint32_t i = 0; i < p->n_ops; i++) {
        const struct hl_op *op = &p->ops[i];
        struct hl_sim_op *to = &s->ops[rank][i];
        if (op->kind == HL_OP_CAPTURE_BEGIN)
            memset(ordinal, 0, sizeof ordinal);
        if (op->kind == HL_OP_CAPTURE_BEGIN || op->kind == HL_OP_CAPTURE_END)
            captures = op->kind == HL_OP_CAPTURE_BEGIN;
        if (op->kind == HL_OP_GRAPH_LAUNCH)
            count_issued(s, rank, op, issued);
        if (op->kind == HL_OP_FILLER || op->kind == HL_OP_COPY)
            to->rows = op->block == HL_NONE
                           ? 0
                           : hl_geometry_rows(&s->geometry, op->rows, s->program->blocks[op->block].rows);
        if (op->kind != HL_OP_CALL)
            continue;
        to->tokens = hl_geometry_tokens(&s->geometry, op->tokens);
        to->ordinal = ordinal[op->workspace]++;
        to->epoch = issued[op->workspace] + to->ordinal;
        issued[op->workspace] += !captures;
        const struct hl_kernel_list list = hl_protocol_kernels(op->protocol);
        for (int k = 0; k < list.count; k++) {
            uint32_t real = hl_kernel_ctas(list.kernels[k], op->tokens, s->config->world.sms);
            real = op->ctas && op->ctas < real ? op->ctas : real;
            const uint32_t scaled = (uint32_t)((uint64_t)real * to->tokens / op->tokens);
            to->ctas[k] = scaled ? scaled : 1;
            if (to->ctas[k] > s->ctas_max)
                s->ctas_max = to->ctas[k];
        }
    }
}

static void *allocate(size_t count, size_t size, bool *failed)
{
    void *p = calloc(count ? count : 1, size);
    *failed |= !p;
    return p;
}

static bool allocate_rank(struct hl_sim *s, int rank)
{
    bool failed = false;
    const struct hl_program *program = s->program;
    s->blocks[rank] = allocate(program->n_blocks, sizeof *s->blocks[rank], &failed);
    s->rows_written[rank] = allocate(program->n_blocks, sizeof *s->rows_written[rank], &failed);
    s->fills[rank] = allocate(program->n_blocks, sizeof *s->fills[rank], &failed);
    s->waiting[rank] =
        allocate((size_t)s->lanes * HL_SIM_KERNELS_MAX * s->ctas_max, sizeof *s->waiting[rank], &failed);
    for (uint32_t b = 0; !failed && b < program->n_blocks; b++)
        s->blocks[rank][b] = allocate((size_t)hl_geometry_tokens(&s->geometry, program->blocks[b].rows) *
                                          s->layout[0].row_words,
                                      sizeof(uint32_t), &failed);
    for (int w = 0; w < s->workspaces; w++)
        s->traces[w][rank] =
            allocate((s->words_max + 2 * s->guard) / HL_SIM_GRANULE + 1, sizeof **s->traces[w], &failed);
    return !failed;
}

static bool allocate_data(struct hl_sim *s)
{
    bool failed = false;
    const size_t rows = (size_t)s->geometry.tokens_max * s->layout[0].row_words;
    const size_t lanes = (size_t)(s->ranks * s->lanes);
    s->outputs = allocate(lanes * HL_SIM_OUTPUTS * 2 * rows, sizeof *s->outputs, &failed);
    s->residuals = allocate(s->program->n_sites * rows, sizeof *s->residuals, &failed);
    s->gamma = allocate(s->layout[0].row_words, sizeof *s->gamma, &failed);
    s->cx = allocate(lanes * HL_SIM_KERNELS_MAX, sizeof *s->cx, &failed);
    s->first_flight = hl_sim_cta_agent(s, (uint32_t)lanes * HL_SIM_KERNELS_MAX, 0);
    s->n_agents = s->first_flight + (hl_sim_is_relaxed(s) ? (uint32_t)s->ranks * HL_SIM_FLIGHTS : 0);
    s->woken = allocate(s->n_agents, sizeof *s->woken, &failed);
    for (int rank = 0; rank < s->ranks; rank++)
        failed |= !allocate_rank(s, rank);
    return !failed;
}

/* How many CTAs of the executed geometry fit where `resident_ctas` real ones do. */
static uint32_t scaled_room(const struct hl_sim *s)
{
    const struct hl_world *world = &s->config->world;
    if (world->progress == HL_PROGRESS_FAIR)
        return UINT32_MAX;
    const uint64_t real = world->resident_ctas ? world->resident_ctas : 2ull * world->sms;
    const uint64_t scaled = real * s->geometry.tokens_max / s->geometry.real_tokens_max;
    return scaled ? (uint32_t)scaled : 1;
}

static void start_state(struct hl_sim *s)
{
    for (int rank = 0; rank < s->ranks; rank++) {
        s->hosts[rank].capturing = HL_NONE;
        s->room[rank] = s->room_max;
    }
    for (int w = 0; w < s->workspaces; w++)
        for (int rank = 0; rank < s->ranks; rank++)
            for (uint32_t i = 0; i <= (s->words_max + 2 * s->guard) / HL_SIM_GRANULE; i++)
                s->traces[w][rank][i] = (struct hl_sim_trace){ .stored_by = -1, .cleared_by = -1 };
    hl_sim_fill_guards(s);
}

static enum hl_status check_limits(const struct hl_program *p, struct hl_error *error)
{
    if (p->n_streams > HL_SIM_STREAMS_MAX || p->n_events > HL_SIM_EVENTS_MAX ||
        p->n_workspaces > HL_SIM_WORKSPACES_MAX)
        return hl_fail(
            error, HL_STATUS_INTERNAL,
            "the program has %d streams, %d events and %d workspaces; the simulator takes %d, %d and %d",
            p->n_streams, p->n_events, p->n_workspaces, HL_SIM_STREAMS_MAX, HL_SIM_EVENTS_MAX,
            HL_SIM_WORKSPACES_MAX);
    return HL_STATUS_OK;
}

enum hl_status hl_sim_create(const struct hl_run_spec *spec, struct hl_sim **ret_sim, struct hl_error *error)
{
    const struct hl_program *program = spec->program;
    enum hl_status status = check_limits(program, error);
    if (status)
        return status;
    struct hl_sim *s = calloc(1, sizeof *s);
    if (!s)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for the simulator");
    s->config = spec->config;
    s->program = program;
    s->feed = spec->feed;
    s->seed = spec->seed;
    s->steps = hl_steps_of(spec->config->subject.mutant);
    s->ranks = program->ranks;
    s->streams = program->n_streams;
    s->lanes = s->streams + s->streams * s->streams;
    s->workspaces = program->n_workspaces;
    status = hl_geometry_init(&s->geometry, spec->config, program, error);
    if (status) {
        free(s);
        return status;
    }
    status = hl_sim_lay_out(s, error);
    if (status) {
        hl_sim_destroy(s);
        return status;
    }
    uint32_t ops_max = 1;
    bool failed = false;
    s->ctas_max = 1;
    for (int rank = 0; rank < s->ranks; rank++) {
        s->ops[rank] = allocate(program->rank[rank].n_ops, sizeof **s->ops, &failed);
        if (!failed)
            prepare_ops(s, rank);
        if (program->rank[rank].n_ops > ops_max)
            ops_max = program->rank[rank].n_ops;
    }
    s->queue_max = spec->config->world.launch_queue < ops_max ? spec->config->world.launch_queue : ops_max;
    s->room_max = scaled_room(s);
    s->state_bytes = lay_out_state(s);
    s->state = allocate(s->state_bytes, 1, &failed);
    if (failed || !allocate_data(s)) {
        hl_sim_destroy(s);
        return hl_fail(error, HL_STATUS_MEMORY,
                       "out of memory for a world of %zu bytes; try --geometry reduced", s->state_bytes);
    }
    lay_out_state(s);
    start_state(s);
    hl_sim_fill_constant_rows(s);
    *ret_sim = s;
    return HL_STATUS_OK;
}

void hl_sim_destroy(struct hl_sim *s)
{
    if (!s)
        return;
    for (int rank = 0; rank < s->ranks; rank++) {
        for (uint32_t b = 0; s->blocks[rank] && b < s->program->n_blocks; b++)
            free(s->blocks[rank][b]);
        free(s->blocks[rank]);
        free(s->rows_written[rank]);
        free(s->fills[rank]);
        free(s->waiting[rank]);
        free(s->ops[rank]);
        for (int w = 0; w < s->workspaces; w++)
            free(s->traces[w][rank]);
    }
    free(s->outputs);
    free(s->residuals);
    free(s->gamma);
    free(s->cx);
    free(s->woken);
    free(s->state);
    hl_geometry_finish(&s->geometry);
    free(s);
}

void hl_sim_derive(struct hl_sim *s)
{
    const uint32_t kernels = (uint32_t)(s->ranks * s->lanes) * HL_SIM_KERNELS_MAX;
    memset(s->n_waiting, 0, sizeof s->n_waiting);
    for (uint32_t k = 0; k < kernels; k++) {
        if (!s->kernels[k].active)
            continue;
        hl_sim_kernel_derive(s, k);
        const int rank = hl_sim_lane_rank(s, k / HL_SIM_KERNELS_MAX);
        for (uint32_t c = 0; c < s->kernels[k].ctas; c++)
            if (s->ctas[k * s->ctas_max + c].watch != HL_WATCH_NONE)
                s->waiting[rank][s->n_waiting[rank]++] = hl_sim_cta_agent(s, k, c);
    }
}

bool hl_sim_ended(const struct hl_sim *s)
{
    for (int rank = 0; rank < s->ranks; rank++) {
        if (s->hosts[rank].dead)
            continue;
        if (!s->hosts[rank].exited)
            return false;
        for (int stream = 0; stream < s->streams; stream++)
            if (!hl_sim_stream_idle(s, rank, stream))
                return false;
    }
    return true;
}

enum hl_sim_result hl_sim_step(struct hl_sim *s, uint32_t agent)
{
    s->n_woken = 0;
    if (agent >= hl_sim_first_flight(s))
        return hl_sim_flight_step(s, agent - hl_sim_first_flight(s));
    if (agent >= hl_sim_first_cta(s)) {
        const uint32_t cta = agent - hl_sim_first_cta(s);
        return hl_sim_cta_step(s, cta / s->ctas_max, cta % s->ctas_max);
    }
    if (agent >= (uint32_t)s->ranks)
        return hl_sim_lane_step(s, agent - (uint32_t)s->ranks);
    return hl_sim_host_step(s, (int)agent);
}

void hl_sim_wake(struct hl_sim *s, uint32_t agent)
{
    for (uint32_t i = 0; i < s->n_woken; i++)
        if (s->woken[i] == agent)
            return;
    s->woken[s->n_woken++] = agent;
}

void hl_sim_wake_rank(struct hl_sim *s, int rank)
{
    hl_sim_wake(s, (uint32_t)rank);
    for (int l = 0; l < s->lanes; l++)
        hl_sim_wake(s, hl_sim_lane_agent(s, (uint32_t)(rank * s->lanes + l)));
}

void hl_sim_emit(struct hl_sim *s, struct hl_event event)
{
    if (!s->feed.on_event)
        return;
    event.time_ns = s->now_ns;
    s->feed.on_event(s->feed.user, &event);
}

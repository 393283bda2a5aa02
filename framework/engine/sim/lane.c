/* Lanes: each takes the ops of one stream, or of one branch of a running graph, in order.
 *
 * A kernel starts when the one before it on the lane has completed, or, launched with PDL, when all CTAs of
 * that one have triggered or ended. Kernels complete in order. */
#include "sim.h"
#include "../../program/placement.h"
#include "../rows.h"

static struct hl_sim_kernel *in_flight(struct hl_sim *s, uint32_t lane, uint32_t index, uint32_t *ret_id)
{
    const uint32_t slot = (s->lane[lane].first + index) % HL_SIM_KERNELS_MAX;
    *ret_id = lane * HL_SIM_KERNELS_MAX + slot;
    return &s->kernels[*ret_id];
}

bool hl_sim_runs_kernels(const struct hl_sim *s, int rank)
{
    const bool shared = s->config->world.placement == HL_PLACEMENT_VIRTUAL;
    const int gpu = hl_sim_gpu(s, rank);
    for (int l = 0; l < s->ranks * s->lanes; l++) {
        const int peer = hl_sim_lane_rank(s, (uint32_t)l);
        if (s->lane[l].count && (peer == rank || (shared && hl_sim_gpu(s, peer) == gpu)))
            return true;
    }
    return s->outside[gpu].foreign_ctas != 0;
}

/* Under a tool that serialises, a kernel of another lane must have ended. */
static bool must_wait_for_tool(const struct hl_sim *s, uint32_t lane)
{
    for (uint32_t l = 0; l < (uint32_t)(s->ranks * s->lanes) && s->outside[0].serialised; l++)
        if (l != lane && s->lane[l].count)
            return true;
    return false;
}

/* May the lane launch its next kernel? */
static bool may_launch(struct hl_sim *s, uint32_t lane, bool pdl)
{
    const struct hl_sim_lane *l = &s->lane[lane];
    uint32_t id;
    if (must_wait_for_tool(s, lane))
        return false;
    if (l->count == 0)
        return true;
    const struct hl_sim_kernel *before = in_flight(s, lane, l->count - 1u, &id);
    return pdl && l->count < HL_SIM_KERNELS_MAX && before->triggered == before->ctas;
}

/* The CTA of a kernel that starts next: the first, or under obe any of those that have not started. */
static uint32_t next_cta(const struct hl_sim *s, uint32_t kernel)
{
    const struct hl_sim_kernel *k = &s->kernels[kernel];
    if (s->config->world.progress != HL_PROGRESS_OBE)
        return k->started;
    uint32_t skip = (uint32_t)(hl_row_seed(s->seed, kernel, k->ticket, k->started) % (k->ctas - k->started));
    uint32_t cta = 0;
    while (s->ctas[kernel * s->ctas_max + cta].state != HL_CTA_PENDING || skip-- > 0)
        cta++;
    return cta;
}

static void start_cta(struct hl_sim *s, uint32_t kernel)
{
    const uint32_t cta = next_cta(s, kernel);
    s->kernels[kernel].started++;
    s->ctas[kernel * s->ctas_max + cta].state = HL_CTA_RUNNING;
    hl_sim_wake(s, hl_sim_cta_agent(s, kernel, cta));
}

/* Starts CTAs of a GPU's kernels in the order of their launches while there is room. */
void hl_sim_dispatch(struct hl_sim *s, int gpu)
{
    int first_rank = 0, end_rank = s->ranks; /* of the GPU: a block of neighbours */
    while (hl_sim_gpu(s, first_rank) != gpu)
        first_rank++;
    while (hl_sim_gpu(s, end_rank - 1) != gpu)
        end_rank--;
    const uint32_t first = (uint32_t)(first_rank * s->lanes), end = (uint32_t)(end_rank * s->lanes);
    if (s->outside[gpu].takes_room) {
        s->outside[gpu].foreign_ctas += s->room[gpu];
        s->room[gpu] = 0;
    }
    while (s->room[gpu]) {
        struct hl_sim_kernel *oldest = NULL;
        for (uint32_t k = first * HL_SIM_KERNELS_MAX; k < end * HL_SIM_KERNELS_MAX; k++)
            if (s->kernels[k].active && s->kernels[k].started < s->kernels[k].ctas &&
                (!oldest || s->kernels[k].ticket < oldest->ticket))
                oldest = &s->kernels[k];
        if (!oldest)
            return;
        s->room[gpu]--;
        start_cta(s, (uint32_t)(oldest - s->kernels));
    }
}

int hl_sim_gpu(const struct hl_sim *s, int rank)
{
    return hl_rank_gpu(&s->config->world, s->ranks, s->ranks, rank);
}

/* Launches kernel `which` of the call `op`; true when it was the call's last. */
static bool launch(struct hl_sim *s, uint32_t lane, const struct hl_sim_entry *from, uint32_t op_index)
{
    struct hl_sim_lane *l = &s->lane[lane];
    const int rank = hl_sim_lane_rank(s, lane);
    const struct hl_op *op = hl_sim_op(s, rank, op_index);
    const struct hl_sim_op *prepared = &s->ops[rank][op_index];
    uint32_t id;
    struct hl_sim_kernel *k = in_flight(s, lane, l->count++, &id);
    const bool in_graph = hl_sim_op(s, rank, from->op)->kind == HL_OP_GRAPH_LAUNCH;
    if (l->which == 0)
        l->output = (uint8_t)((l->output + 1) % HL_SIM_OUTPUTS);
    *k = (struct hl_sim_kernel){
        .from = *from,
        .op = op_index,
        .call = from->first_call[op->workspace] + (in_graph ? prepared->ordinal : 0),
        .ticket = (*s->ticket)++,
        .ctas = (uint16_t)prepared->ctas[l->which],
        .which = l->which,
        .output = l->output,
        .active = true,
        .last = l->which + 1 == hl_protocol_kernels(op->protocol).count,
    };
    for (uint32_t c = 0; c < k->ctas; c++)
        s->ctas[id * s->ctas_max + c] =
            (struct hl_sim_cta){ .watch = HL_WATCH_NONE, .state = HL_CTA_PENDING };
    hl_sim_kernel_derive(s, id);
    if (s->room_max == UINT32_MAX)
        while (k->started < k->ctas)
            start_cta(s, id);
    else
        hl_sim_dispatch(s, hl_sim_gpu(s, rank));
    l->which = k->last ? 0 : l->which + 1;
    return k->last;
}

static void emit_fault(struct hl_sim *s, int rank, const struct hl_op *op)
{
    if (op->fault)
        hl_sim_emit(s, (struct hl_event){ .kind = HL_EVENT_FAULT, .rank = rank, .fault = op->fault - 1u });
}

/* Fills the own workspace with sentinels and sets its flags (trtllm_mnnvl_ar.py:184-190,
 * trtllm_ar.py:745-766). */
static void init_workspace(struct hl_sim *s, int rank, const struct hl_op *op)
{
    const int workspace = op->workspace;
    const struct hl_layout *l = &s->layout[workspace];
    uint32_t *words = hl_sim_workspace(s, workspace, rank);
    memset(words, 0, (l->buffers_at - l->gap) * sizeof *words);
    for (uint32_t b = 0; b < 3; b++)
        for (uint32_t i = 0; i < l->words_per_buffer; i++)
            words[hl_buffer_at(l, b) + i] = hl_sentinel_word(l);
    hl_workspace_flags(l, words);
    if (s->traces[workspace][rank])
        for (uint32_t at = 0; at < l->words; at += HL_SIM_GRANULE) {
            struct hl_sim_trace *trace = hl_sim_trace(s, workspace, rank, at);
            trace->cleared_by = (int8_t)rank;
            trace->cleared_call = UINT32_MAX;
            trace->cleared_ns = s->now_ns;
        }
    hl_sim_emit(s, (struct hl_event){ .kind = HL_EVENT_WORKSPACE_INIT,
                                      .rank = rank,
                                      .workspace = (uint32_t)workspace,
                                      .replaces = op->replaces });
    hl_sim_wake_waiting(s, rank, workspace, 0, l->words);
}

static bool event_reached(const struct hl_sim *s, int rank, const struct hl_sim_entry *from,
                          const struct hl_op *op, bool in_graph)
{
    if (in_graph)
        return s->queues[rank * s->streams + hl_sim_op(s, rank, from->op)->stream].graph_events >> op->event &
               1;
    return s->events_recorded[rank * HL_SIM_EVENTS_MAX + op->event] >= from->number;
}

/* Does what it can of one op. HL_SIM_DONE: the op is off the lane. */
static enum hl_sim_result execute(struct hl_sim *s, uint32_t lane, const struct hl_sim_entry *from,
                                  uint32_t op_index)
{
    const int rank = hl_sim_lane_rank(s, lane);
    const struct hl_op *op = hl_sim_op(s, rank, op_index);
    const bool in_graph = !hl_sim_is_stream_lane(s, lane);
    if (op->kind == HL_OP_CALL) {
        const uint8_t which = s->lane[lane].which;
        if (!may_launch(s, lane, op->pdl))
            return HL_SIM_BLOCKED;
        if (which == 0)
            emit_fault(s, rank, op);
        return launch(s, lane, from, op_index) ? HL_SIM_DONE : HL_SIM_RAN;
    }
    if (s->lane[lane].count || (op->kind == HL_OP_EVENT_WAIT && !event_reached(s, rank, from, op, in_graph)))
        return HL_SIM_BLOCKED;
    emit_fault(s, rank, op);
    if (op->kind == HL_OP_FILLER)
        hl_sim_fill(s, rank, op, s->ops[rank][op_index].rows);
    else if (op->kind == HL_OP_WORKSPACE_INIT)
        init_workspace(s, rank, op);
    else if (op->kind == HL_OP_REUSE)
        hl_sim_reuse(s, rank, op->workspace);
    else if (op->kind == HL_OP_EVENT_RECORD && in_graph)
        s->queues[rank * s->streams + hl_sim_op(s, rank, from->op)->stream].graph_events |= 1ull << op->event;
    else if (op->kind == HL_OP_EVENT_RECORD)
        s->events_recorded[rank * HL_SIM_EVENTS_MAX + op->event] = from->number;
    hl_sim_wake_rank(s, rank);
    return HL_SIM_DONE;
}

/* A barrier that a host came to while it captured is no part of the graph. */
static bool is_node(const struct hl_op *op, int captured)
{
    return op->stream == captured && op->kind != HL_OP_BARRIER;
}

/* A branch of a graph: the ops of its range that were captured on its stream. */
static enum hl_sim_result branch_step(struct hl_sim *s, uint32_t lane)
{
    struct hl_sim_lane *l = &s->lane[lane];
    const int rank = hl_sim_lane_rank(s, lane), stream = hl_sim_lane_stream(s, lane);
    const int captured = ((int)lane % s->lanes - s->streams) % s->streams;
    if (!l->running)
        return HL_SIM_BLOCKED;
    while (l->cursor < l->end && !is_node(hl_sim_op(s, rank, l->cursor), captured))
        l->cursor++;
    if (l->cursor == l->end) {
        if (l->count)
            return HL_SIM_BLOCKED;
        l->running = false;
        hl_sim_queue(s, rank, stream)->lanes_left--;
        hl_sim_wake_rank(s, rank);
        return HL_SIM_DONE;
    }
    const enum hl_sim_result result = execute(s, lane, hl_sim_entry(s, rank, stream, 0), l->cursor);
    if (result != HL_SIM_DONE)
        return result;
    l->cursor++;
    return HL_SIM_RAN;
}

static void start_graph(struct hl_sim *s, int rank, int stream, const struct hl_op *op)
{
    struct hl_sim_stream *q = hl_sim_queue(s, rank, stream);
    const struct hl_graph range = s->program->graphs[rank][op->graph];
    q->graph_running = true;
    q->graph_events = 0;
    q->lanes_left = (uint8_t)s->streams;
    for (int branch = 0; branch < s->streams; branch++) {
        struct hl_sim_lane *l = &s->lane[hl_sim_branch_lane(s, rank, stream, branch)];
        l->cursor = range.begin;
        l->end = range.end;
        l->running = true;
    }
    emit_fault(s, rank, op);
    hl_sim_wake_rank(s, rank);
}

static void pop(struct hl_sim *s, int rank, int stream)
{
    struct hl_sim_stream *q = hl_sim_queue(s, rank, stream);
    q->first = (q->first + 1) % s->queue_max;
    q->count--;
    hl_sim_wake_rank(s, rank);
}

static enum hl_sim_result stream_step(struct hl_sim *s, uint32_t lane)
{
    const int rank = hl_sim_lane_rank(s, lane), stream = hl_sim_lane_stream(s, lane);
    struct hl_sim_stream *q = hl_sim_queue(s, rank, stream);
    if (q->count == 0)
        return HL_SIM_BLOCKED;
    const struct hl_sim_entry entry = *hl_sim_entry(s, rank, stream, 0);
    const struct hl_op *op = hl_sim_op(s, rank, entry.op);
    if (op->kind == HL_OP_HOLD) {
        if (!q->held && s->lane[lane].count == 0) {
            emit_fault(s, rank, op);
            q->held = true;
        }
        return HL_SIM_BLOCKED;
    }
    if (op->kind == HL_OP_GRAPH_LAUNCH) {
        if (!q->graph_running && s->lane[lane].count == 0)
            start_graph(s, rank, stream, op);
        else if (!q->graph_running || q->lanes_left)
            return HL_SIM_BLOCKED;
        else {
            q->graph_running = false;
            pop(s, rank, stream);
        }
        return HL_SIM_RAN;
    }
    const enum hl_sim_result result = execute(s, lane, &entry, entry.op);
    if (result != HL_SIM_DONE)
        return result;
    pop(s, rank, stream);
    return HL_SIM_RAN;
}

enum hl_sim_result hl_sim_lane_step(struct hl_sim *s, uint32_t lane)
{
    if (s->outside[hl_sim_gpu(s, hl_sim_lane_rank(s, lane))].frozen)
        return HL_SIM_BLOCKED;
    return hl_sim_is_stream_lane(s, lane) ? stream_step(s, lane) : branch_step(s, lane);
}

static bool waits_for_device(const struct hl_sim *s, int rank)
{
    return s->hosts[rank].waiting && hl_sim_op(s, rank, s->hosts[rank].op)->kind == HL_OP_DEVICE_SYNC;
}

/* A kernel has ended: hosts of the same context may wait for that, and under a tool all ranks do. */
static void wake_others(struct hl_sim *s, int rank)
{
    for (int r = 0; r < s->ranks; r++)
        if (r != rank && s->outside[0].serialised)
            hl_sim_wake_rank(s, r);
        else if (r != rank && waits_for_device(s, r))
            hl_sim_wake(s, (uint32_t)r);
}

/* Takes completed kernels off the lane and lets the next one know. */
static void retire(struct hl_sim *s, uint32_t lane)
{
    struct hl_sim_lane *l = &s->lane[lane];
    const int rank = hl_sim_lane_rank(s, lane);
    uint32_t id;
    for (struct hl_sim_kernel *k; l->count;) {
        k = in_flight(s, lane, 0, &id);
        if (k->ended < k->ctas)
            break;
        if (k->last)
            hl_sim_emit_call(s, id, HL_EVENT_CALL_END);
        *k = (struct hl_sim_kernel){ 0 };
        l->first = (uint8_t)((l->first + 1) % HL_SIM_KERNELS_MAX);
        l->count--;
        hl_sim_wake_rank(s, rank);
        wake_others(s, rank);
        if (!l->count)
            break;
        in_flight(s, lane, 0, &id);
        s->cx[id].previous_kernel_done = true;
        hl_sim_wake_waiting(s, rank, hl_sim_op(s, rank, s->kernels[id].op)->workspace, HL_WATCH_GRID, 1);
    }
}

void hl_sim_cta_ended(struct hl_sim *s, uint32_t kernel)
{
    const uint32_t lane = kernel / HL_SIM_KERNELS_MAX;
    if (s->room_max != UINT32_MAX) {
        const int gpu = hl_sim_gpu(s, hl_sim_lane_rank(s, lane));
        s->room[gpu]++;
        hl_sim_dispatch(s, gpu);
    }
    retire(s, lane);
}

void hl_sim_kill(struct hl_sim *s, int rank)
{
    const int gpu = hl_sim_gpu(s, rank);
    const uint32_t first = (uint32_t)(rank * s->lanes) * HL_SIM_KERNELS_MAX;
    for (uint32_t k = first; k < first + (uint32_t)s->lanes * HL_SIM_KERNELS_MAX; k++) {
        if (s->kernels[k].active && s->room_max != UINT32_MAX)
            s->room[gpu] += s->kernels[k].started - s->kernels[k].ended;
        s->kernels[k] = (struct hl_sim_kernel){ 0 };
    }
    memset(&s->lane[rank * s->lanes], 0, (size_t)s->lanes * sizeof *s->lane);
    memset(&s->queues[rank * s->streams], 0, (size_t)s->streams * sizeof *s->queues);
    s->n_waiting[rank] = 0;
    if (s->room_max != UINT32_MAX)
        hl_sim_dispatch(s, gpu);
    wake_others(s, rank);
}

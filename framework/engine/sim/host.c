/* Hosts: each runs its rank's op list, enqueues device work and blocks in barriers and syncs. */
#include "sim.h"

bool hl_sim_stream_idle(const struct hl_sim *s, int rank, int stream)
{
    return s->queues[rank * s->streams + stream].count == 0 && s->lane[rank * s->lanes + stream].count == 0;
}

/* A blocking op tells the feed when it begins to wait and when it goes on. */
static enum hl_host_wait kind_of_wait(enum hl_op_kind kind)
{
    return kind == HL_OP_STOP          ? HL_HOST_WAIT_SIGNAL
           : kind == HL_OP_DEVICE_SYNC ? HL_HOST_WAIT_DEVICE
           : kind == HL_OP_TURN        ? HL_HOST_WAIT_THREAD
           : kind == HL_OP_BARRIER     ? HL_HOST_WAIT_BARRIER
           : kind == HL_OP_SYNC        ? HL_HOST_WAIT_STREAM
                                       : HL_HOST_WAIT_QUEUE;
}

static enum hl_sim_result wait_for(struct hl_sim *s, int rank, bool met)
{
    const struct hl_op *op = hl_sim_op(s, rank, s->hosts[rank].op);
    struct hl_sim_host *host = &s->hosts[rank];
    if (!host->waiting)
        hl_sim_emit(s, (struct hl_event){ .kind = HL_EVENT_HOST_BEGIN,
                                          .rank = rank,
                                          .op = host->op,
                                          .wait = kind_of_wait(op->kind),
                                          .stream = op->stream,
                                          .group = op->group });
    host->waiting = !met;
    if (!met)
        return HL_SIM_BLOCKED;
    hl_sim_emit(s, (struct hl_event){ .kind = HL_EVENT_HOST_END, .rank = rank, .op = host->op });
    return HL_SIM_RAN;
}

static enum hl_sim_result wait_in_op(struct hl_sim *s, int rank, bool met)
{
    const enum hl_sim_result result = wait_for(s, rank, met);
    s->hosts[rank].op += met;
    return result;
}

/* A barrier is met once every rank has come to as many barriers. */
static enum hl_sim_result barrier(struct hl_sim *s, int rank)
{
    struct hl_sim_host *host = &s->hosts[rank];
    if (!host->waiting) {
        host->barriers++;
        for (int r = 0; r < s->ranks; r++)
            hl_sim_wake(s, (uint32_t)r);
    }
    bool met = true;
    const struct hl_op *op = hl_sim_op(s, rank, host->op);
    const uint32_t group = op->group ? op->group : (1u << s->ranks) - 1;
    for (int r = 0; r < s->ranks; r++)
        met &= !(group >> r & 1) || s->hosts[r].barriers >= host->barriers;
    return wait_in_op(s, rank, op->early || (met && group >> s->ranks == 0));
}

/* Numbers the calls of an entry, so that a call has its number before it runs. */
static void number_calls(struct hl_sim *s, int rank, struct hl_sim_entry *entry)
{
    struct hl_sim_host *host = &s->hosts[rank];
    const struct hl_op *op = hl_sim_op(s, rank, entry->op);
    const struct hl_graph one = { entry->op, entry->op + 1 };
    const struct hl_graph range = op->kind == HL_OP_GRAPH_LAUNCH ? s->program->graphs[rank][op->graph] : one;
    for (int w = 0; w < s->workspaces; w++)
        entry->first_call[w] = host->calls[w];
    for (uint32_t i = range.begin; i < range.end; i++) {
        const struct hl_op *node = hl_sim_op(s, rank, i);
        if (node->kind == HL_OP_CALL)
            host->calls[node->workspace]++;
    }
}

static uint32_t calls_issued(const struct hl_sim *s, int rank)
{
    uint32_t calls = 0;
    for (int w = 0; w < s->workspaces; w++)
        calls += s->hosts[rank].calls[w];
    return calls;
}

static enum hl_sim_result enqueue(struct hl_sim *s, int rank)
{
    struct hl_sim_host *host = &s->hosts[rank];
    const struct hl_op *op = hl_sim_op(s, rank, host->op);
    struct hl_sim_stream *q = hl_sim_queue(s, rank, op->stream);
    if (q->count == s->queue_max)
        return wait_for(s, rank, false);
    if (host->waiting)
        wait_for(s, rank, true);
    struct hl_sim_entry *entry = hl_sim_entry(s, rank, op->stream, q->count);
    *entry = (struct hl_sim_entry){ .op = host->op };
    uint32_t *issued = &s->events_issued[rank * HL_SIM_EVENTS_MAX];
    if (op->kind == HL_OP_GRAPH_LAUNCH)
        entry->number = s->launches[rank * (s->program->n_graphs + 1) + op->graph]++;
    else if (op->kind == HL_OP_EVENT_RECORD)
        entry->number = ++issued[op->event];
    else if (op->kind == HL_OP_EVENT_WAIT)
        entry->number = issued[op->event];
    number_calls(s, rank, entry);
    q->count++;
    host->op++;
    hl_sim_emit_enqueued(s, rank, entry);
    for (int r = 0; r < s->ranks; r++)
        if (s->hosts[r].waiting && hl_sim_op(s, r, s->hosts[r].op)->kind == HL_OP_TURN)
            hl_sim_wake(s, (uint32_t)r);
    hl_sim_wake(s, hl_sim_lane_agent(s, (uint32_t)(rank * s->lanes + op->stream)));
    return HL_SIM_RAN;
}

/* The process dies: what it has enqueued and what runs vanishes; its memory stays, as its peers have mapped
 * it. */
static enum hl_sim_result die(struct hl_sim *s, int rank)
{
    s->hosts[rank].dead = true;
    hl_sim_kill(s, rank);
    return HL_SIM_DONE;
}

static void begin_outside(struct hl_sim *s, int rank, enum hl_op_kind kind)
{
    if (kind == HL_OP_SERIALISE) {
        s->outside[0].serialised = true;
        return;
    }
    const int gpu = hl_sim_gpu(s, rank);
    if (kind == HL_OP_FREEZE) {
        s->outside[gpu].frozen = true;
        return;
    }
    s->outside[gpu].takes_room = true;
    hl_sim_dispatch(s, gpu);
}

/* Ops that happen on the host and are not recorded; the others tell when the device comes to them. */
static bool happens_on_host(const struct hl_op *op)
{
    switch (op->kind) {
    case HL_OP_BARRIER:
    case HL_OP_HOST_DELAY:
    case HL_OP_KILL:
    case HL_OP_STOP:
    case HL_OP_DEVICE_SYNC:
    case HL_OP_TURN:
    case HL_OP_FOREIGN:
    case HL_OP_SERIALISE:
    case HL_OP_FREEZE: return true;
    default: return false;
    }
}

static enum hl_sim_result leave(struct hl_sim *s, int rank)
{
    s->hosts[rank].exited = true;
    hl_sim_emit(s, (struct hl_event){ .kind = HL_EVENT_RANK_EXIT, .rank = rank });
    return HL_SIM_DONE;
}

/* Between capture-begin and capture-end, device ops are recorded: nothing runs. */
static bool is_recorded(const struct hl_sim *s, int rank, const struct hl_op *op)
{
    if (s->hosts[rank].capturing == HL_NONE)
        return false;
    switch (op->kind) {
    case HL_OP_CALL:
    case HL_OP_FILLER:
    case HL_OP_COPY:
    case HL_OP_EVENT_RECORD:
    case HL_OP_EVENT_WAIT: return true;
    default: return false;
    }
}

enum hl_sim_result hl_sim_host_step(struct hl_sim *s, int rank)
{
    struct hl_sim_host *host = &s->hosts[rank];
    const struct hl_rank_program *program = &s->program->rank[rank];
    if (host->exited || host->dead)
        return HL_SIM_DONE;
    if (host->op == program->n_ops && program->loop_to != UINT32_MAX)
        host->op = program->loop_to;
    if (host->op == program->n_ops)
        return leave(s, rank);
    const struct hl_op *op = hl_sim_op(s, rank, host->op);
    if (op->fault && !host->waiting && happens_on_host(op))
        hl_sim_emit(s, (struct hl_event){ .kind = HL_EVENT_FAULT, .rank = rank, .fault = op->fault - 1u });
    if (is_recorded(s, rank, op)) {
        host->op++;
        return HL_SIM_RAN;
    }
    switch (op->kind) {
    case HL_OP_BARRIER: return barrier(s, rank);
    case HL_OP_SYNC: return wait_in_op(s, rank, hl_sim_stream_idle(s, rank, op->stream));
    case HL_OP_DEVICE_SYNC: return wait_in_op(s, rank, !hl_sim_runs_kernels(s, rank));
    case HL_OP_TURN: return wait_in_op(s, rank, calls_issued(s, op->source) >= op->rows);
    case HL_OP_STOP: return wait_for(s, rank, false);
    case HL_OP_KILL: return die(s, rank);
    case HL_OP_EXIT: return leave(s, rank);
    case HL_OP_FOREIGN:
    case HL_OP_SERIALISE:
    case HL_OP_FREEZE: begin_outside(s, rank, op->kind); break;
    case HL_OP_CAPTURE_BEGIN: host->capturing = op->graph; break;
    case HL_OP_CAPTURE_END: host->capturing = HL_NONE; break;
    case HL_OP_ALLOC: hl_sim_alloc(s, rank, op->block); break;
    case HL_OP_FREE:
    case HL_OP_HOST_DELAY: break;
    default: return enqueue(s, rank);
    }
    host->op++;
    return HL_SIM_RAN;
}

/* The feed of a GPU; see events.h.
 *
 * Marks come in the order of cause and effect, host events in the order of each host. The two clocks agree to
 * some microseconds only, so time alone does not order them: a call's mark waits for the event that issued
 * it, and time never goes back. */
#include "events.h"
#include <stdlib.h>
#include <string.h>

enum hl_status hl_cuda_events_init(struct hl_cuda_events *e, const struct hl_cuda_plan *plan,
                                   struct hl_shared *shared, const struct hl_feed *feed, uint64_t seed,
                                   struct hl_error *error)
{
    const struct hl_program *p = plan->program;
    *e = (struct hl_cuda_events){
        .plan = plan, .shared = shared, .feed = *feed, .seed = seed, .start_ns = hl_monotonic_ns()
    };
    e->residuals = calloc(p->n_sites + 1u, sizeof *e->residuals);
    bool ok = e->residuals != NULL;
    for (int rank = 0; rank < p->ranks; rank++) {
        struct hl_cuda_track *t = &e->rank[rank];
        t->walk = hl_host_walk_init(p, rank);
        t->launches = calloc(p->n_graphs + 1u, sizeof *t->launches);
        t->rows_written = calloc(p->n_blocks + 1u, sizeof *t->rows_written);
        t->executions = calloc(plan->rank[rank].n_calls + 1u, sizeof *t->executions);
        ok = ok && t->launches && t->rows_written && t->executions;
    }
    if (ok)
        return HL_STATUS_OK;
    hl_cuda_events_finish(e);
    return hl_fail(error, HL_STATUS_MEMORY, "out of memory for the feed of a run");
}

void hl_cuda_events_finish(struct hl_cuda_events *e)
{
    for (uint32_t site = 0; e->residuals && site < e->plan->program->n_sites; site++)
        free(e->residuals[site]);
    free(e->residuals);
    free(e->gamma);
    for (int rank = 0; rank < HL_RANKS_MAX; rank++) {
        free(e->rank[rank].launches);
        free(e->rank[rank].rows_written);
        free(e->rank[rank].executions);
        free(e->rank[rank].pending);
    }
    *e = (struct hl_cuda_events){ 0 };
}

/* `time_ns` is CLOCK_MONOTONIC; events come in order. Clocks of two GPUs are compared within microseconds, so
 * an event that comes behind another has a later time, whatever its clock says: who reads times sees the
 * order. */
static void emit(struct hl_cuda_events *e, uint64_t time_ns, struct hl_event event)
{
    time_ns = time_ns > e->start_ns ? time_ns - e->start_ns : 0;
    e->last_ns = time_ns > e->last_ns ? time_ns : e->last_ns + 1;
    event.time_ns = e->last_ns;
    if (e->feed.on_event)
        e->feed.on_event(e->feed.user, &event);
}

static void emit_fault(struct hl_cuda_events *e, uint64_t time_ns, int rank, const struct hl_op *op)
{
    if (op->fault)
        emit(e, time_ns, (struct hl_event){ .kind = HL_EVENT_FAULT, .rank = rank, .fault = op->fault - 1u });
}

/*
 * What hosts do
 */

static void follow_filler(const struct hl_cuda_events *e, int rank, const struct hl_op *op, uint32_t index)
{
    uint32_t *written = e->rank[rank].rows_written, rows = e->plan->rank[rank].ops[index].rows;
    if (op->block == HL_NONE)
        return;
    if (op->content == HL_CONTENT_SOURCE && rows > written[op->source])
        rows = written[op->source];
    if (rows > written[op->block])
        written[op->block] = rows;
}

static void issue_call(struct hl_cuda_events *e, uint64_t time_ns, int rank, uint32_t index, uint32_t launch)
{
    struct hl_cuda_track *t = &e->rank[rank];
    const struct hl_op *ops = e->plan->program->rank[rank].ops, *op = &ops[index];
    const bool in_graph = ops[launch].kind == HL_OP_GRAPH_LAUNCH;
    const bool baked = e->plan->config->subject.mutant == HL_MUTANT_BAKED_EPOCH;
    const uint32_t call = t->calls[op->workspace]++;
    const enum hl_kernel first = hl_protocol_kernels(op->protocol).kernels[0];
    const uint16_t graph = ops[launch].graph;
    if (t->n_pending == t->pending_room) {
        const uint32_t room = t->pending_room ? 2 * t->pending_room : 64;
        struct hl_cuda_pending *grown = realloc(t->pending, room * sizeof *grown);
        e->failed |= !grown;
        if (!grown)
            return;
        t->pending = grown;
        t->pending_room = room;
    }
    struct hl_cuda_pending *pending = &t->pending[t->n_pending++];
    *pending = (struct hl_cuda_pending){
        .sample = HL_CUDA_NOT_SAMPLED,
        .record = { .call = call,
                    .op = index,
                    .launch = launch,
                    .site = op->site,
                    .graph = in_graph ? graph : HL_NONE,
                    .node = in_graph ? (uint16_t)(index - e->plan->program->graphs[rank][graph].begin) : 0,
                    .workspace = op->workspace,
                    .stream = op->stream,
                    .protocol = op->protocol,
                    .dtype = e->plan->config->subject.dtype,
                    .replay = in_graph ? t->launches[graph] : 0,
                    .tokens = op->tokens,
                    .exec_tokens = e->plan->rank[rank].ops[index].tokens,
                    .group = op->group,
                    .rows_written = t->rows_written[op->block],
                    .epoch = baked ? 1 + (in_graph ? e->plan->rank[rank].ops[index].epoch : call) : 0,
                    .ctas = hl_cuda_plan_ctas(e->plan, rank, index, first, e->shared->share[first]) }
    };
    emit(
        e, time_ns,
        (struct hl_event){
            .kind = HL_EVENT_ENQUEUE, .rank = rank, .stream = ops[launch].stream, .call = &pending->record });
}

/* A host tells when it begins to wait, which may be the last that it ever tells. */
static bool is_wait(const struct hl_op *op)
{
    return op->kind == HL_OP_BARRIER || op->kind == HL_OP_SYNC || op->kind == HL_OP_TURN ||
           op->kind == HL_OP_DEVICE_SYNC || op->kind == HL_OP_STOP || op->kind == HL_OP_KILL;
}

static enum hl_host_wait kind_of_wait(enum hl_op_kind kind)
{
    return kind == HL_OP_STOP          ? HL_HOST_WAIT_SIGNAL
           : kind == HL_OP_TURN        ? HL_HOST_WAIT_THREAD
           : kind == HL_OP_DEVICE_SYNC ? HL_HOST_WAIT_DEVICE
           : kind == HL_OP_BARRIER     ? HL_HOST_WAIT_BARRIER
                                       : HL_HOST_WAIT_STREAM;
}

/* Follows one op that the host has executed. */
static void follow_op(struct hl_cuda_events *e, uint64_t time_ns, int rank, const struct hl_op *op)
{
    struct hl_cuda_track *t = &e->rank[rank];
    const struct hl_op *ops = e->plan->program->rank[rank].ops;
    const struct hl_graph range = hl_host_walk_range(&t->walk, op);
    if (op->kind == HL_OP_ALLOC)
        t->rows_written[op->block] = 0;
    if (op->kind == HL_OP_GRAPH_LAUNCH)
        emit_fault(e, time_ns, rank, op);
    for (uint32_t i = range.begin; i < range.end; i++) {
        if (ops[i].kind == HL_OP_FILLER)
            follow_filler(e, rank, &ops[i], i);
        if (ops[i].kind == HL_OP_CALL)
            issue_call(e, time_ns, rank, i, (uint32_t)(op - ops));
        else if (!is_wait(&ops[i]))
            emit_fault(e, time_ns, rank, &ops[i]);
    }
    if (op->kind == HL_OP_GRAPH_LAUNCH)
        t->launches[op->graph]++;
}

static bool is_launch(const struct hl_op *op)
{
    return op->kind == HL_OP_CALL || op->kind == HL_OP_GRAPH_LAUNCH;
}

/* Follows the ops before `end`. Launches are told by events of their own: without one, it stops there. */
static void follow_until(struct hl_cuda_events *e, uint64_t time_ns, int rank, uint32_t end, bool launches)
{
    struct hl_cuda_track *t = &e->rank[rank];
    const struct hl_op *ops = e->plan->program->rank[rank].ops;
    for (;;) {
        struct hl_host_walk ahead = t->walk;
        const struct hl_op *op = hl_host_walk_next(&ahead);
        if (!op || (uint32_t)(op - ops) >= end || (is_launch(op) && !launches))
            return;
        t->walk = ahead;
        follow_op(e, time_ns, rank, op);
    }
}

static const struct hl_host_event *next_host_event(const struct hl_cuda_events *e, int rank)
{
    struct hl_shared_rank *shared = &e->shared->rank[rank];
    const uint32_t read = atomic_load_explicit(&shared->read, memory_order_relaxed);
    return read == atomic_load_explicit(&shared->written, memory_order_acquire)
               ? NULL
               : &shared->events[read % HL_HOST_EVENTS];
}

static void follow_host_event(struct hl_cuda_events *e, int rank)
{
    struct hl_shared_rank *shared = &e->shared->rank[rank];
    const struct hl_host_event event = *next_host_event(e, rank);
    atomic_fetch_add_explicit(&shared->read, 1, memory_order_release);
    const bool issued = event.kind == HL_HOST_OP_ISSUED;
    follow_until(e, event.time_ns, rank, event.op + issued, true);
    if (issued)
        return;
    const struct hl_op *op = event.kind == HL_HOST_EXIT ? NULL : &e->plan->program->rank[rank].ops[event.op];
    if (event.kind == HL_HOST_OP_BEGIN)
        emit_fault(e, event.time_ns, rank, op);
    if (op && op->kind == HL_OP_KILL)
        return; /* that a process is gone is seen, not told */
    const enum hl_event_kind kind = event.kind == HL_HOST_OP_BEGIN ? HL_EVENT_HOST_BEGIN
                                    : event.kind == HL_HOST_OP_END ? HL_EVENT_HOST_END
                                                                   : HL_EVENT_RANK_EXIT;
    emit(e, event.time_ns,
         (struct hl_event){ .kind = kind,
                            .rank = rank,
                            .op = event.op,
                            .wait = op ? kind_of_wait(op->kind) : HL_HOST_WAIT_ORDER,
                            .stream = op ? op->stream : 0,
                            .group = op ? op->group : 0 });
}

/*
 * What kernels do
 */

static struct hl_cuda_pending *find_pending(struct hl_cuda_track *t, uint32_t op, bool begun)
{
    for (uint32_t i = 0; i < t->n_pending; i++)
        if (t->pending[i].record.op == op && t->pending[i].begun == begun)
            return &t->pending[i];
    return NULL;
}

static uint32_t *constant_rows(const struct hl_cuda_events *e, uint32_t turn, uint32_t rows)
{
    const uint32_t words = e->plan->layout[0].row_words;
    uint32_t *all = malloc((size_t)rows * words * sizeof *all);
    for (uint32_t row = 0; all && row < rows; row++) {
        const uint64_t x = hl_row_seed(e->seed, UINT32_MAX, turn, row);
        for (uint32_t i = 0; i < words; i++)
            all[(size_t)row * words + i] = hl_ordinary_word(x, e->plan->config->subject.dtype, i);
    }
    return all;
}

/* The numbers of a sampled call. False: not sampled, or out of memory. */
static bool numbers_of(struct hl_cuda_events *e, const struct hl_cuda_pending *pending,
                       struct hl_call_data *data)
{
    const struct hl_call_record *record = &pending->record;
    if (pending->sample == HL_CUDA_NOT_SAMPLED)
        return false;
    if (!e->gamma)
        e->gamma = constant_rows(e, UINT32_MAX, 1);
    if (!e->residuals[record->site])
        e->residuals[record->site] = constant_rows(e, record->site, e->plan->geometry.tokens_max);
    if (!e->gamma || !e->residuals[record->site]) {
        e->failed = true;
        return false;
    }
    const size_t words = (size_t)record->exec_tokens * e->plan->layout[0].row_words;
    const uint32_t *rows = e->shared->copies + (size_t)pending->sample * 4;
    *data = (struct hl_call_data){ .input = rows,
                                   .residual = e->residuals[record->site],
                                   .gamma = e->gamma,
                                   .residual_out = rows + words,
                                   .norm_out = rows + 2 * words,
                                   .hidden = e->plan->geometry.hidden };
    return true;
}

static void follow_call(struct hl_cuda_events *e, uint64_t time_ns, int rank, struct hl_cuda_pending *pending,
                        bool begins)
{
    struct hl_cuda_track *t = &e->rank[rank];
    const struct hl_op *op = &e->plan->program->rank[rank].ops[pending->record.op];
    struct hl_call_data data;
    if (begins) {
        const struct hl_cuda_rank_plan *plan = &e->plan->rank[rank];
        const uint32_t call = plan->ops[pending->record.op].call, execution = t->executions[call]++;
        pending->begun = true;
        pending->begun_number = e->marks;
        if (execution < plan->calls[call].executions)
            pending->sample = plan->samples[plan->calls[call].samples_at + execution];
        emit_fault(e, time_ns, rank, op);
    }
    const bool has_numbers = numbers_of(e, pending, &data);
    emit(e, time_ns,
         (struct hl_event){ .kind = begins ? HL_EVENT_CALL_BEGIN : HL_EVENT_CALL_END,
                            .rank = rank,
                            .call = &pending->record,
                            .data = has_numbers ? &data : NULL });
    if (begins)
        return;
    const uint32_t index = (uint32_t)(pending - t->pending);
    memmove(pending, pending + 1, (--t->n_pending - index) * sizeof *pending);
}

static const struct hl_mark *next_mark(const struct hl_cuda_events *e)
{
    const struct hl_mark *mark = &e->shared->marks[e->marks % HL_MARKS];
    return __atomic_load_n(&mark->number, __ATOMIC_ACQUIRE) == e->marks + 1 ? mark : NULL;
}

static uint64_t host_time_ns(const struct hl_cuda_events *e, const struct hl_mark *mark)
{
    return mark->time_ns + (uint64_t)e->shared->gpu_to_host_ns[hl_mark_rank(mark->what)];
}

/* True when the mark is told. False: its call's host has to be told first. */
static bool follow_mark(struct hl_cuda_events *e, const struct hl_mark *mark)
{
    const enum hl_mark_kind kind = hl_mark_kind_of(mark->what);
    const int rank = hl_mark_rank(mark->what);
    const uint32_t op = hl_mark_op(mark->what);
    const uint64_t time_ns = host_time_ns(e, mark);
    const struct hl_program *p = e->plan->program;
    if (kind == HL_MARK_INIT && rank < p->ranks && op < p->rank[rank].n_ops) {
        emit(e, time_ns,
             (struct hl_event){ .kind = HL_EVENT_WORKSPACE_INIT,
                                .rank = rank,
                                .workspace = p->rank[rank].ops[op].workspace,
                                .replaces = p->rank[rank].ops[op].replaces });
    } else if (kind == HL_MARK_CALL_BEGIN || kind == HL_MARK_CALL_END) {
        struct hl_cuda_pending *pending =
            rank < p->ranks ? find_pending(&e->rank[rank], op, kind == HL_MARK_CALL_END) : NULL;
        if (!pending)
            return false;
        follow_call(e, time_ns, rank, pending, kind == HL_MARK_CALL_BEGIN);
        atomic_fetch_add(&e->shared->rank[rank].marks_read, 1);
    }
    e->marks++;
    return true;
}

/* The rank whose next event is the earliest, or -1. */
static int earliest_host(const struct hl_cuda_events *e)
{
    int earliest = -1;
    uint64_t earliest_ns = 0;
    for (int rank = 0; rank < e->plan->program->ranks; rank++) {
        const struct hl_host_event *event = next_host_event(e, rank);
        if (!event || (earliest >= 0 && event->time_ns >= earliest_ns))
            continue;
        earliest = rank;
        earliest_ns = event->time_ns;
    }
    return earliest;
}

uint32_t hl_cuda_events_drain(struct hl_cuda_events *e)
{
    uint32_t told = 0;
    for (;; told++) {
        /* Hosts first: a mark that an event depends on is there once the event is. */
        const int rank = earliest_host(e);
        const struct hl_mark *mark = next_mark(e);
        if (!mark && rank < 0)
            break;
        if (mark && (rank < 0 || host_time_ns(e, mark) <= next_host_event(e, rank)->time_ns) &&
            follow_mark(e, mark))
            continue;
        const int issuer = mark ? hl_mark_rank(mark->what) : rank;
        if (next_host_event(e, issuer)) {
            follow_host_event(e, issuer);
        } else if (rank >= 0) {
            follow_host_event(e, rank);
        } else {
            e->failed = true; /* a mark of a call that nobody issued */
            break;
        }
    }
    const uint64_t now_ns = hl_monotonic_ns();
    for (int rank = 0; rank < e->plan->program->ranks; rank++)
        follow_until(e, now_ns, rank, atomic_load(&e->shared->rank[rank].op), false);
    return told;
}

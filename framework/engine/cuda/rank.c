/* Ranks on the GPU; see rank.h.
 *
 * A host never blocks inside the driver for its peers: syncs and barriers are polled, so that an aborted run
 * can be left at any point. Only a full launch queue can hold it, and that drains once waits are released. */
#include "rank.h"
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "host_walk.h"

#define PAUSE_NS 2000
#define SPINS_BEFORE_PAUSE 200

static bool is_over(const struct hl_cuda_job *job)
{
    return atomic_load_explicit(&job->shared->aborted, memory_order_acquire) ||
           atomic_load_explicit(&job->shared->failed, memory_order_acquire);
}

static void pause_a_little(uint32_t *spins)
{
    if (++*spins < SPINS_BEFORE_PAUSE)
        return;
    nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
}

/* Tells the engine; waits while the ring is full, which a reader that lives will not let last. */
static void tell(struct hl_cuda_rank *r, enum hl_host_event_kind kind, uint32_t op)
{
    struct hl_shared_rank *shared = &r->job->shared->rank[r->rank];
    const uint32_t written = atomic_load_explicit(&shared->written, memory_order_relaxed);
    uint32_t spins = 0;
    while (written - atomic_load_explicit(&shared->read, memory_order_acquire) >= HL_HOST_EVENTS) {
        if (is_over(r->job))
            return;
        pause_a_little(&spins);
    }
    shared->events[written % HL_HOST_EVENTS] =
        (struct hl_host_event){ .time_ns = hl_monotonic_ns(), .kind = kind, .op = op };
    atomic_store_explicit(&shared->written, written + 1, memory_order_release);
}

/* Waits until the marks of the op's calls find room in this rank's part of the ring: nobody reads them while
 * the engine checks rows. */
static void reserve_marks(struct hl_cuda_rank *r, uint32_t index)
{
    const struct hl_program *program = r->job->plan->program;
    const struct hl_host_walk walk = { .program = program, .rank = r->rank };
    const struct hl_graph range = hl_host_walk_range(&walk, &program->rank[r->rank].ops[index]);
    const uint32_t room = (HL_MARKS - 1024) / (uint32_t)program->ranks;
    _Atomic uint32_t *read = &r->job->shared->rank[r->rank].marks_read;
    uint32_t marks = 0, spins = 0;
    for (uint32_t i = range.begin; i < range.end; i++)
        marks += 2 * (program->rank[r->rank].ops[i].kind == HL_OP_CALL);
    for (uint32_t waiting;
         (waiting = r->marks - atomic_load(read)) > 0 && waiting + marks > room && !is_over(r->job);)
        pause_a_little(&spins);
    r->marks += marks;
}

static void *at(const struct hl_cuda_job *job, uint64_t offset)
{
    return (void *)(uintptr_t)(job->memory + offset);
}

static enum hl_status check(const struct hl_cuda_rank *r, int result, const char *what,
                            struct hl_error *error)
{
    return hl_driver_check(r->job->driver, result, what, error);
}

/*
 * Kernels
 */

static uint64_t rows_bytes(const struct hl_cuda_plan *plan)
{
    return plan->geometry.tokens_max * plan->layout[0].row_words * 4ull;
}

struct hl_cuda_call hl_cuda_rank_call(const struct hl_cuda_job *job, int rank, uint32_t index)
{
    const struct hl_cuda_plan *plan = job->plan;
    const struct hl_cuda_rank_plan *r = &plan->rank[rank];
    const struct hl_op *op = &plan->program->rank[rank].ops[index];
    const uint64_t outputs = r->outputs_at[op->stream] + r->ops[index].output * 2 * rows_bytes(plan);
    struct hl_cuda_call call = { .layout = plan->layout[op->workspace],
                                 .protocol = op->protocol,
                                 .rank = rank,
                                 .tokens = r->ops[index].tokens,
                                 .input = at(job, r->block_at[op->block]),
                                 .residual = at(job, plan->residuals_at + op->site * rows_bytes(plan)),
                                 .gamma = at(job, plan->gamma_at),
                                 .residual_out = at(job, outputs),
                                 .norm_out = at(job, outputs + rows_bytes(plan)),
                                 .abort_word = job->abort_word };
    for (int peer = 0; peer < plan->program->ranks; peer++)
        call.workspace[peer] = at(job, plan->rank[peer].workspace_at[op->workspace]);
    return call;
}

static enum hl_status launch_call(struct hl_cuda_rank *r, uint32_t index, const struct hl_cuda_call *call,
                                  CUstream stream, struct hl_error *error)
{
    const struct hl_cuda_job *job = r->job;
    const struct hl_cuda_plan *plan = job->plan;
    const struct hl_op *op = &plan->program->rank[r->rank].ops[index];
    const struct hl_kernel_list list = hl_protocol_kernels(op->protocol);
    enum hl_status status = HL_STATUS_OK;
    if (hl_cuda_subject_runs(plan->config, op->protocol))
        return hl_cuda_subject_enqueue(&job->subject, call, op->workspace, op->pdl, stream, error);
    for (int i = 0; !status && i < list.count; i++) {
        const enum hl_kernel kernel = list.kernels[i];
        const struct hl_cuda_launch launch = {
            .kernel = kernel,
            .compare = plan->config->subject.sentinel_compare,
            .mutant = plan->config->subject.mutant,
            .ctas = hl_cuda_plan_ctas(plan, r->rank, index, kernel, job->shared->share[kernel]),
            .pdl = op->pdl,
        };
        status =
            check(r, job->driver->hl_cuda_launch(call, &launch, stream), "launch a call's kernel", error);
    }
    return status;
}

static enum hl_status issue_call(struct hl_cuda_rank *r, uint32_t index, struct hl_error *error)
{
    const struct hl_cuda_job *job = r->job;
    const struct hl_cuda_plan *plan = job->plan;
    const struct hl_cuda_rank_plan *own = &plan->rank[r->rank];
    const struct hl_op *op = &plan->program->rank[r->rank].ops[index];
    const struct hl_cuda_call_op *planned = &own->calls[own->ops[index].call];
    const struct hl_cuda_call call = hl_cuda_rank_call(job, r->rank, index);
    const struct hl_device_call around = {
        .ring = job->ring,
        .what = hl_mark_what(0, r->rank, index),
        .counter = (uint32_t *)at(job, own->call_counters_at) + 2 * own->ops[index].call,
        .samples = (const uint32_t *)at(job, own->samples_at) + planned->samples_at,
        .executions = planned->executions,
        .copies = job->copies,
        .tokens = call.tokens,
        .row_words = call.layout.row_words,
        .input = call.input,
        .residual_out = call.residual_out,
        .norm_out = call.norm_out,
    };
    const CUstream stream = r->streams[op->stream];
    enum hl_status status =
        check(r, job->driver->hl_device_before_call(&around, stream), "mark a call", error);
    if (!status)
        status = launch_call(r, index, &call, stream, error);
    if (!status)
        status =
            check(r, job->driver->hl_device_after_call(&around, stream), "mark the end of a call", error);
    return status;
}

static enum hl_status fill(struct hl_cuda_rank *r, const struct hl_op *op, enum hl_fill_kind kind,
                           uint32_t rows, struct hl_error *error)
{
    const struct hl_cuda_job *job = r->job;
    const struct hl_cuda_plan *plan = job->plan;
    const struct hl_cuda_rank_plan *own = &plan->rank[r->rank];
    const struct hl_config *config = plan->config;
    if (op->block == HL_NONE)
        return HL_STATUS_OK;
    const bool residue = kind == HL_FILL_RESIDUE;
    const struct hl_device_fill f = {
        .kind = kind,
        .dtype = config->subject.dtype,
        .pattern = config->payload.pattern,
        .rows = at(job, own->block_at[op->block]),
        .source = kind == HL_FILL_SOURCE ? at(job, own->block_at[op->source]) : NULL,
        .n_rows = rows,
        .row_words = plan->layout[0].row_words,
        .seed = residue ? ~job->seed : job->seed,
        .who = (uint32_t)r->rank << 16 | op->block,
        .counter = (uint32_t *)at(job, own->block_counters_at) + 2 * op->block,
        .subnormal_rows = config->payload.residue.negative_subnormal_rows,
        .nan_rows = config->payload.residue.nan_rows,
    };
    return check(r, job->driver->hl_device_fill(&f, r->streams[op->stream]), "fill rows", error);
}

static enum hl_status init_workspace(struct hl_cuda_rank *r, uint32_t index, const struct hl_op *op,
                                     struct hl_error *error)
{
    const struct hl_cuda_job *job = r->job;
    const struct hl_cuda_rank_plan *own = &job->plan->rank[r->rank];
    const struct hl_layout *layout = &job->plan->layout[op->workspace];
    struct hl_device_init init = {
        .ring = job->ring,
        .what = hl_mark_what(0, r->rank, index),
        .counter = (uint32_t *)at(job, own->init_counters_at) + op->workspace,
        .words = at(job, own->workspace_at[op->workspace]),
        .n_words = layout->words,
        .buffers_at = layout->buffers_at,
        .sentinel = hl_sentinel_word(layout),
    };
    hl_workspace_flags(layout, init.flags);
    if (job->subject.workspace[op->workspace].memory) { /* the plugin does it; the mark stays ours */
        const enum hl_status status =
            hl_cuda_subject_reset(&job->subject, r->rank, op->workspace, r->streams[op->stream], error);
        if (status)
            return status;
        init.n_words = 0;
    }
    return check(r, job->driver->hl_device_init(&init, r->streams[op->stream]), "initialise a workspace",
                 error);
}

enum hl_status hl_cuda_fill_constants(const struct hl_cuda_job *job, CUstream stream, struct hl_error *error)
{
    const struct hl_cuda_plan *plan = job->plan;
    struct hl_device_fill f = { .kind = HL_FILL_FRESH,
                                .dtype = plan->config->subject.dtype,
                                .row_words = plan->layout[0].row_words,
                                .seed = job->seed,
                                .who = UINT32_MAX };
    enum hl_status status = HL_STATUS_OK;
    for (uint32_t site = 0; !status && site < plan->program->n_sites; site++) {
        f.rows = at(job, plan->residuals_at + site * rows_bytes(plan));
        f.n_rows = plan->geometry.tokens_max;
        f.turn = site;
        status =
            hl_driver_check(job->driver, job->driver->hl_device_fill(&f, stream), "fill residuals", error);
    }
    f.rows = at(job, plan->gamma_at);
    f.n_rows = 1;
    f.turn = UINT32_MAX;
    if (!status)
        status = hl_driver_check(job->driver, job->driver->hl_device_fill(&f, stream), "fill gamma", error);
    return status;
}

/*
 * Graphs
 */

static enum hl_status begin_capture(struct hl_cuda_rank *r, const struct hl_op *op, struct hl_error *error)
{
    r->capturing = op->graph;
    r->capture_stream = op->stream;
    return check(r,
                 r->job->driver->cuStreamBeginCapture(r->streams[op->stream], CU_STREAM_CAPTURE_MODE_RELAXED),
                 "begin a capture", error);
}

static enum hl_status end_capture(struct hl_cuda_rank *r, CUgraph *ret_graph, struct hl_error *error)
{
    r->capturing = HL_NONE;
    return check(r, r->job->driver->cuStreamEndCapture(r->streams[r->capture_stream], ret_graph),
                 "end a capture", error);
}

/* The graph itself was made before the run (make_graphs); the program's capture is a capture for its effects
 * on the host. */
static enum hl_status end_program_capture(struct hl_cuda_rank *r, struct hl_error *error)
{
    CUgraph graph = NULL;
    const enum hl_status status = end_capture(r, &graph, error);
    if (graph)
        r->job->driver->cuGraphDestroy(graph);
    return status;
}

/*
 * Waits of the host
 */

/* A rank that a barrier's group names and the world does not have never comes. */
static bool has_come(const struct hl_cuda_job *job, int rank, uint32_t barriers)
{
    return rank < job->plan->program->ranks && atomic_load(&job->barriers[rank]) >= barriers;
}

static enum hl_status barrier(struct hl_cuda_rank *r, const struct hl_op *op)
{
    struct hl_cuda_job *job = r->job;
    const uint32_t own = atomic_fetch_add(&job->barriers[r->rank], 1) + 1;
    const uint32_t group = op->group ? op->group : (1u << job->plan->program->ranks) - 1;
    if (op->early)
        return HL_STATUS_OK;
    for (int peer = 0; group >> peer; peer++) {
        uint32_t spins = 0;
        while ((group >> peer & 1) && !has_come(job, peer, own) && !is_over(job))
            pause_a_little(&spins);
    }
    return HL_STATUS_OK;
}

/* Returns when the stream is empty or the run is over. */
static enum hl_status drain(struct hl_cuda_rank *r, CUstream stream, struct hl_error *error)
{
    uint32_t spins = 0;
    CUresult result;
    while ((result = r->job->driver->cuStreamQuery(stream)) == CUDA_ERROR_NOT_READY) {
        if (is_over(r->job))
            return HL_STATUS_OK;
        pause_a_little(&spins);
    }
    return check(r, result, "wait for a stream", error);
}

static void delay(struct hl_cuda_rank *r, uint64_t ns)
{
    const uint64_t until_ns = hl_monotonic_ns() + ns;
    while (hl_monotonic_ns() < until_ns && !is_over(r->job))
        nanosleep(&(struct timespec){ .tv_nsec = ns < 1000000 ? (long)ns : 1000000 }, NULL);
}

static enum hl_status wait_in_op(struct hl_cuda_rank *r, uint32_t index, const struct hl_op *op,
                                 struct hl_error *error)
{
    struct hl_shared_rank *shared = &r->job->shared->rank[r->rank];
    atomic_store(&shared->waits, true);
    tell(r, HL_HOST_OP_BEGIN, index);
    const enum hl_status status =
        op->kind == HL_OP_BARRIER ? barrier(r, op) : drain(r, r->streams[op->stream], error);
    if (!is_over(r->job))
        tell(r, HL_HOST_OP_END, index);
    atomic_store(&shared->waits, false);
    return status;
}

/*
 * The program
 */

static enum hl_status copy(struct hl_cuda_rank *r, uint32_t index, const struct hl_op *op,
                           struct hl_error *error)
{
    const struct hl_cuda_plan *plan = r->job->plan;
    const struct hl_cuda_rank_plan *own = &plan->rank[r->rank];
    const uint64_t bytes = own->ops[index].rows * plan->layout[0].row_words * 4ull;
    if (bytes == 0)
        return HL_STATUS_OK;
    return check(r,
                 r->job->driver->cuMemcpyDtoDAsync(r->job->memory + own->scratch_at,
                                                   r->job->memory + own->block_at[op->block], bytes,
                                                   r->streams[op->stream]),
                 "copy rows", error);
}

/* Pool memory changes hands without any work on the device; only its contents are made here. */
static enum hl_status alloc(struct hl_cuda_rank *r, const struct hl_op *op, struct hl_error *error)
{
    const struct hl_cuda_plan *plan = r->job->plan;
    if (r->capturing != HL_NONE)
        return hl_fail(error, HL_STATUS_INTERNAL, "the program takes a block in the middle of a capture");
    return fill(r, op, HL_FILL_RESIDUE,
                hl_geometry_tokens(&plan->geometry, plan->program->blocks[op->block].rows), error);
}

static enum hl_status filler(struct hl_cuda_rank *r, uint32_t index, const struct hl_op *op,
                             struct hl_error *error)
{
    static const enum hl_fill_kind kinds[] = { [HL_CONTENT_FRESH] = HL_FILL_FRESH,
                                               [HL_CONTENT_PATTERN] = HL_FILL_PATTERN,
                                               [HL_CONTENT_SOURCE] = HL_FILL_SOURCE };
    return fill(r, op, kinds[op->content], r->job->plan->rank[r->rank].ops[index].rows, error);
}

static enum hl_status run_op(struct hl_cuda_rank *r, uint32_t index, struct hl_error *error)
{
    const struct hl_driver *d = r->job->driver;
    const struct hl_op *op = &r->job->plan->program->rank[r->rank].ops[index];
    const CUstream stream = r->streams[op->stream];
    const bool launches = op->kind == HL_OP_GRAPH_LAUNCH || op->kind == HL_OP_CALL;
    if (launches && r->capturing == HL_NONE) {
        reserve_marks(r, index);
        tell(r, HL_HOST_OP_ISSUED, index);
    }
    switch (op->kind) {
    case HL_OP_WORKSPACE_INIT: return init_workspace(r, index, op, error);
    case HL_OP_CALL: return issue_call(r, index, error);
    case HL_OP_FILLER: return filler(r, index, op, error);
    case HL_OP_COPY: return copy(r, index, op, error);
    case HL_OP_ALLOC: return alloc(r, op, error);
    case HL_OP_CAPTURE_BEGIN: return begin_capture(r, op, error);
    case HL_OP_CAPTURE_END: return end_program_capture(r, error);
    case HL_OP_GRAPH_LAUNCH:
        return check(r, d->cuGraphLaunch(r->graphs[op->graph], stream), "launch a graph", error);
    case HL_OP_EVENT_RECORD:
        return check(r, d->cuEventRecord(r->events[op->event], stream), "record an event", error);
    case HL_OP_EVENT_WAIT:
        return check(r, d->cuStreamWaitEvent(stream, r->events[op->event], 0), "wait for an event", error);
    case HL_OP_BARRIER:
    case HL_OP_SYNC: return wait_in_op(r, index, op, error);
    case HL_OP_HOST_DELAY: delay(r, op->delay_ns); return HL_STATUS_OK;
    case HL_OP_FREE: return HL_STATUS_OK; /* the pool hands it on; see alloc() */
    default: return hl_fail(error, HL_STATUS_INTERNAL, "an op that the plan lets pass cannot be run");
    }
}

/*
 * Graphs are instantiated before anything runs. Virtual ranks share a context, and there an instantiation can
 * wait for kernels in flight: on an H100 (driver 580) the 30th one of a rank did not return while a peer's
 * kernel spun for this rank's next call. Ranks with GPUs of their own do not have that wait.
 */

static enum hl_status make_graph(struct hl_cuda_rank *r, uint16_t index, struct hl_error *error)
{
    const struct hl_driver *d = r->job->driver;
    CUgraph graph = NULL;
    const enum hl_status ended = end_capture(r, &graph, error);
    if (ended)
        return ended;
    enum hl_status status =
        check(r, d->cuGraphInstantiateWithFlags(&r->graphs[index], graph, 0), "instantiate a graph", error);
    d->cuGraphDestroy(graph);
    if (!status)
        status = check(r, d->cuGraphUpload(r->graphs[index], r->streams[r->capture_stream]), "upload a graph",
                       error);
    return status;
}

static enum hl_status make_graphs(struct hl_cuda_rank *r, struct hl_error *error)
{
    const struct hl_rank_program *p = &r->job->plan->program->rank[r->rank];
    enum hl_status status = HL_STATUS_OK;
    for (uint32_t i = 0; !status && i < p->n_ops && !is_over(r->job); i++) {
        const struct hl_op *op = &p->ops[i];
        if (op->kind == HL_OP_CAPTURE_BEGIN)
            status = begin_capture(r, op, error);
        else if (op->kind == HL_OP_CAPTURE_END)
            status = make_graph(r, op->graph, error);
        else if (r->capturing != HL_NONE && hl_is_recordable(op->kind))
            status = run_op(r, i, error);
    }
    for (int stream = 0; !status && stream < r->job->plan->program->n_streams; stream++)
        status = drain(r, r->streams[stream], error);
    return status;
}

/* False: the run is over before it began. */
static bool wait_for_go(struct hl_cuda_rank *r)
{
    uint32_t spins = 0;
    atomic_fetch_add(&r->job->ready, 1);
    while (!atomic_load(&r->job->go) && !is_over(r->job))
        pause_a_little(&spins);
    return !is_over(r->job);
}

/* The first failure of the run is the one that counts. */
static void fail(struct hl_cuda_rank *r, uint32_t op, const struct hl_error *error)
{
    struct hl_shared *shared = r->job->shared;
    static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&first);
    if (!atomic_load(&shared->failed))
        snprintf(shared->failure, sizeof shared->failure, "rank %d, op %u: %.200s", r->rank, op,
                 error->message);
    atomic_store(&shared->failed, true);
    pthread_mutex_unlock(&first);
}

void hl_cuda_rank_run(struct hl_cuda_rank *r)
{
    const struct hl_rank_program *p = &r->job->plan->program->rank[r->rank];
    struct hl_shared_rank *shared = &r->job->shared->rank[r->rank];
    struct hl_error error;
    enum hl_status status = check(r, r->job->driver->cuCtxSetCurrent(r->job->context), "use the GPU", &error);
    uint32_t i = 0;
    atomic_store(&shared->tid, gettid());
    if (!status)
        status = make_graphs(r, &error);
    const bool goes = !status && wait_for_go(r);
    for (; goes && !status && i < p->n_ops && !is_over(r->job); i++) {
        atomic_store(&shared->op, i);
        atomic_store(&shared->since_ns, hl_monotonic_ns());
        if (p->ops[i].kind == HL_OP_EXIT)
            break;
        status = run_op(r, i, &error);
    }
    if (r->capturing != HL_NONE) {
        CUgraph graph = NULL;
        r->job->driver->cuStreamEndCapture(r->streams[r->capture_stream], &graph);
        if (graph)
            r->job->driver->cuGraphDestroy(graph);
    }
    if (!status && !is_over(r->job)) {
        atomic_store(&shared->op, p->n_ops);
        tell(r, HL_HOST_EXIT, p->n_ops);
        atomic_store(&shared->exited, true);
    }
    for (int stream = 0; !status && stream < r->job->plan->program->n_streams; stream++)
        status = drain(r, r->streams[stream], &error);
    if (status)
        fail(r, i, &error);
    else if (!is_over(r->job))
        atomic_store(&shared->done, true);
}

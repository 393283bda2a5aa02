/* Ranks on the GPU; see rank.h.
 *
 * A host does not block inside the driver for its peers: syncs and barriers are polled, so that an aborted
 * run can be left at any point. Only a full launch queue can hold it, and the fault that waits for the whole
 * device; both end once waits are released. */
#include "rank.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "host_walk.h"
#include "issue.h"

#define PAUSE_NS 2000
#define SPINS_BEFORE_PAUSE 200

bool hl_cuda_is_over(const struct hl_cuda_job *job)
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
        if (hl_cuda_is_over(r->job))
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
         (waiting = r->marks - atomic_load(read)) > 0 && waiting + marks > room && !hl_cuda_is_over(r->job);)
        pause_a_little(&spins);
    r->marks += marks;
}

static enum hl_status check(const struct hl_cuda_rank *r, int result, const char *what,
                            struct hl_error *error)
{
    return hl_driver_check(r->job->driver, result, what, error);
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
    return rank < job->plan->program->ranks && atomic_load(&job->shared->rank[rank].barriers) >= barriers;
}

static enum hl_status barrier(struct hl_cuda_rank *r, const struct hl_op *op)
{
    const struct hl_cuda_job *job = r->job;
    const uint32_t own = atomic_fetch_add(&job->shared->rank[r->rank].barriers, 1) + 1;
    const uint32_t group = op->group ? op->group : (1u << job->plan->program->ranks) - 1;
    if (op->early)
        return HL_STATUS_OK;
    for (int peer = 0; group >> peer; peer++) {
        uint32_t spins = 0;
        while ((group >> peer & 1) && !has_come(job, peer, own) && !hl_cuda_is_over(job))
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
        if (hl_cuda_is_over(r->job))
            return HL_STATUS_OK;
        pause_a_little(&spins);
    }
    return check(r, result, "wait for a stream", error);
}

static void delay(struct hl_cuda_rank *r, uint64_t ns)
{
    const uint64_t until_ns = hl_monotonic_ns() + ns;
    while (hl_monotonic_ns() < until_ns && !hl_cuda_is_over(r->job))
        nanosleep(&(struct timespec){ .tv_nsec = ns < 1000000 ? (long)ns : 1000000 }, NULL);
}

/* The thread that it shares with another rank is at that one's calls. */
static void wait_for_thread(struct hl_cuda_rank *r, const struct hl_op *op)
{
    uint32_t spins = 0;
    while (atomic_load(&r->job->shared->rank[op->source].calls) < op->rows && !hl_cuda_is_over(r->job))
        pause_a_little(&spins);
}

static enum hl_status wait_for(struct hl_cuda_rank *r, const struct hl_op *op, struct hl_error *error)
{
    switch (op->kind) {
    case HL_OP_BARRIER: return barrier(r, op);
    case HL_OP_TURN: wait_for_thread(r, op); return HL_STATUS_OK;
    case HL_OP_DEVICE_SYNC:
        return check(r, r->job->driver->cuCtxSynchronize(), "wait for the whole device", error);
    case HL_OP_STOP: raise(SIGSTOP); return HL_STATUS_OK;
    case HL_OP_KILL: raise(SIGKILL); return HL_STATUS_OK;
    default: return drain(r, r->streams[op->stream], error);
    }
}

static enum hl_status wait_in_op(struct hl_cuda_rank *r, uint32_t index, const struct hl_op *op,
                                 struct hl_error *error)
{
    struct hl_shared_rank *shared = &r->job->shared->rank[r->rank];
    atomic_store(&shared->waits, true);
    tell(r, HL_HOST_OP_BEGIN, index);
    const enum hl_status status = wait_for(r, op, error);
    if (!hl_cuda_is_over(r->job))
        tell(r, HL_HOST_OP_END, index);
    atomic_store(&shared->waits, false);
    return status;
}

/*
 * The program
 */

/* Nothing more starts on the stream until the run is aborted. */
static enum hl_status hold(struct hl_cuda_rank *r, CUstream stream, struct hl_error *error)
{
    return check(r,
                 r->job->driver->cuStreamWaitValue32(stream, (CUdeviceptr)(uintptr_t)r->job->abort_word, 1,
                                                     CU_STREAM_WAIT_VALUE_GEQ),
                 "hold a stream", error);
}

static uint32_t gpu_bit(const struct hl_cuda_rank *r) { return 1u << r->job->shared->device[r->rank]; }

static enum hl_status launch(struct hl_cuda_rank *r, uint32_t index, const struct hl_op *op,
                             struct hl_error *error)
{
    if (op->kind == HL_OP_CALL)
        return hl_cuda_issue_call(r, index, error);
    return check(r, r->job->driver->cuGraphLaunch(r->graphs[op->graph], r->streams[op->stream]),
                 "launch a graph", error);
}

/* Under a tool that serialises, a launch waits for its turn and keeps it until the device is done. */
static enum hl_status launch_in_turn(struct hl_cuda_rank *r, uint32_t index, const struct hl_op *op,
                                     struct hl_error *error)
{
    struct hl_shared *shared = r->job->shared;
    uint32_t nobody = 0, spins = 0;
    atomic_store(&shared->rank[r->rank].waits, true);
    while (!atomic_compare_exchange_strong(&shared->turn, &nobody, 1u + (uint32_t)r->rank)) {
        nobody = 0;
        if (hl_cuda_is_over(r->job))
            return HL_STATUS_OK;
        pause_a_little(&spins);
    }
    enum hl_status status = launch(r, index, op, error);
    if (!status)
        status = drain(r, r->streams[op->stream], error);
    atomic_store(&shared->turn, 0);
    atomic_store(&shared->rank[r->rank].waits, false);
    return status;
}

static enum hl_status launch_and_tell(struct hl_cuda_rank *r, uint32_t index, const struct hl_op *op,
                                      struct hl_error *error)
{
    if (r->capturing != HL_NONE)
        return launch(r, index, op, error);
    reserve_marks(r, index);
    tell(r, HL_HOST_OP_ISSUED, index);
    enum hl_status status = HL_STATUS_OK;
    /* No driver stalls on demand: what it would not start is held on its stream, and so are the copies that
     * the watchdog asks that GPU for (runner.c). */
    if (atomic_load(&r->job->shared->frozen) & gpu_bit(r))
        status = hold(r, r->streams[op->stream], error);
    if (!status)
        status = atomic_load(&r->job->shared->serialised) ? launch_in_turn(r, index, op, error)
                                                          : launch(r, index, op, error);
    atomic_store(&r->job->shared->rank[r->rank].calls, r->marks / 2);
    return status;
}

static enum hl_status run_op(struct hl_cuda_rank *r, uint32_t index, struct hl_error *error)
{
    const struct hl_driver *d = r->job->driver;
    const struct hl_op *op = &r->job->plan->program->rank[r->rank].ops[index];
    const CUstream stream = r->streams[op->stream];
    switch (op->kind) {
    case HL_OP_WORKSPACE_INIT: return hl_cuda_issue_init(r, index, error);
    case HL_OP_CALL:
    case HL_OP_GRAPH_LAUNCH: return launch_and_tell(r, index, op, error);
    case HL_OP_FILLER: return hl_cuda_issue_filler(r, index, error);
    case HL_OP_COPY: return hl_cuda_issue_copy(r, index, error);
    case HL_OP_ALLOC: return hl_cuda_issue_alloc(r, index, error);
    case HL_OP_CAPTURE_BEGIN: return begin_capture(r, op, error);
    case HL_OP_CAPTURE_END: return end_program_capture(r, error);
    case HL_OP_EVENT_RECORD:
        return check(r, d->cuEventRecord(r->events[op->event], stream), "record an event", error);
    case HL_OP_EVENT_WAIT:
        return check(r, d->cuStreamWaitEvent(stream, r->events[op->event], 0), "wait for an event", error);
    case HL_OP_BARRIER:
    case HL_OP_SYNC:
    case HL_OP_TURN:
    case HL_OP_DEVICE_SYNC:
    case HL_OP_STOP:
    case HL_OP_KILL: return wait_in_op(r, index, op, error);
    case HL_OP_HOST_DELAY: delay(r, op->delay_ns); return HL_STATUS_OK;
    case HL_OP_HOLD: return hold(r, stream, error);
    case HL_OP_FREEZE: atomic_fetch_or(&r->job->shared->frozen, gpu_bit(r)); return HL_STATUS_OK;
    case HL_OP_REUSE: return hl_cuda_issue_reuse(r, index, error);
    case HL_OP_FOREIGN: return hl_cuda_issue_foreign(r, error);
    case HL_OP_SERIALISE: atomic_store(&r->job->shared->serialised, true); return HL_STATUS_OK;
    case HL_OP_FREE: return HL_STATUS_OK; /* the pool hands it on; see hl_cuda_issue_alloc() */
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
    for (uint32_t i = 0; !status && i < p->n_ops && !hl_cuda_is_over(r->job); i++) {
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
    atomic_fetch_add(&r->job->shared->ready, 1);
    while (!atomic_load(&r->job->shared->go) && !hl_cuda_is_over(r->job))
        pause_a_little(&spins);
    return !hl_cuda_is_over(r->job);
}

/* The first failure of the run is the one that counts. */
static void fail(struct hl_cuda_rank *r, uint32_t op, const struct hl_error *error)
{
    struct hl_shared *shared = r->job->shared;
    if (atomic_exchange(&shared->failing, true))
        return;
    snprintf(shared->failure, sizeof shared->failure, "rank %d, op %u: %.200s", r->rank, op, error->message);
    atomic_store(&shared->failed, true);
}

void hl_cuda_rank_run(struct hl_cuda_rank *r)
{
    const struct hl_rank_program *p = &r->job->plan->program->rank[r->rank];
    struct hl_shared_rank *shared = &r->job->shared->rank[r->rank];
    struct hl_error error;
    enum hl_status status = check(r, r->job->driver->cuCtxSetCurrent(r->context), "use the GPU", &error);
    uint32_t i = 0;
    atomic_store(&shared->tid, gettid());
    if (!status)
        status = hl_cuda_issue_load(r, &error);
    if (!status)
        status = hl_cuda_issue_prepare(r, &error);
    if (!status && r->job->nccl)
        status = hl_nccl_join(r, &error);
    if (!status)
        status = make_graphs(r, &error);
    const bool goes = !status && wait_for_go(r);
    for (; goes && !status && i < p->n_ops && !hl_cuda_is_over(r->job); i++) {
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
    if (!status && !hl_cuda_is_over(r->job)) {
        atomic_store(&shared->op, p->n_ops);
        tell(r, HL_HOST_EXIT, p->n_ops);
        atomic_store(&shared->exited, true);
    }
    for (int stream = 0; !status && stream < r->job->plan->program->n_streams; stream++)
        status = drain(r, r->streams[stream], &error);
    if (status)
        fail(r, i, &error);
    else if (!hl_cuda_is_over(r->job))
        atomic_store(&shared->done, true);
}

/* The runner's life: set up CUDA, then serve the engine; see runner.h.
 *
 * All memory is taken before anything runs, because freeing it, and much else in the driver, waits for
 * kernels that may never end. What the watchdog wants to see is copied by a stream that nothing else uses,
 * through memory that was pinned beforehand. */
#include "runner.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#include "nccl.h"
#include "witness.h"

#define STAGING_WORDS 65536u
/* An aborted run gets so long to leave the device. */
#define RELEASE_MS 1500

struct runner {
    int fd;
    struct hl_driver driver;
    struct hl_shared *shared;
    struct hl_cuda_job job;
    CUdeviceptr arena;
    uint64_t arena_bytes;
    CUstream side;                                       /* of the watchdog's reads */
    uint32_t *staging;                                   /* pinned */
    CUstream streams[HL_RANKS_MAX][HL_CUDA_STREAMS_MAX]; /* kept from run to run */
    /* The run. */
    bool running;
    struct hl_config config;
    struct hl_program *program;
    struct hl_cuda_plan plan;
    struct hl_cuda_rank rank[HL_RANKS_MAX];
};

static enum hl_status check(const struct runner *r, int result, const char *what, struct hl_error *error)
{
    return hl_driver_check(&r->driver, result, what, error);
}

/* Goes on with the next CUDA call only while all before it went well. */
#define TRY(call) \
    do { \
        const enum hl_status status_ = check(r, r->driver.call, #call, error); \
        if (status_) \
            return status_; \
    } while (0)

/*
 * Once
 */

static enum hl_status share_memory(struct runner *r, uint64_t bytes, struct hl_error *error)
{
    CUdeviceptr device, taken;
    TRY(cuMemHostRegister(r->shared, bytes, CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP));
    TRY(cuMemHostGetDevicePointer(&device, r->shared, 0));
    TRY(cuMemAlloc(&taken, 256));
    r->job.abort_word = (const uint32_t *)(uintptr_t)(device + offsetof(struct hl_shared, abort_word));
    r->job.copies = (uint32_t *)(uintptr_t)(device + offsetof(struct hl_shared, copies));
    r->job.ring.marks = (struct hl_mark *)(uintptr_t)(device + offsetof(struct hl_shared, marks));
    r->job.ring.taken = (uint32_t *)(uintptr_t)taken;
    return HL_STATUS_OK;
}

static enum hl_status set_up(struct runner *r, uint64_t shared_bytes, struct hl_error *error)
{
    CUdevice device;
    enum hl_status status = hl_driver_load(&r->driver, error);
    if (status)
        return status;
    if (check(r, r->driver.cuInit(0), "cuInit", error) ||
        check(r, r->driver.cuDeviceGet(&device, 0), "GPU 0", error)) {
        error->status = HL_STATUS_NO_GPU;
        return HL_STATUS_NO_GPU;
    }
    TRY(cuDevicePrimaryCtxRetain(&r->job.context, device));
    TRY(cuCtxSetCurrent(r->job.context));
    TRY(cuStreamCreate(&r->side, CU_STREAM_NON_BLOCKING));
    TRY(cuMemAllocHost((void **)&r->staging, STAGING_WORDS * sizeof *r->staging));
    TRY(hl_device_load());
    r->job.driver = &r->driver;
    r->job.shared = r->shared;
    return share_memory(r, shared_bytes, error);
}

/*
 * Every run
 */

/* The GPU's clock against the host's: the middle of the shortest of some round trips. */
static enum hl_status set_clock(struct runner *r, struct hl_error *error)
{
    uint64_t best_ns = UINT64_MAX;
    const struct hl_mark *marks = r->shared->marks;
    for (uint32_t i = 0; i < 3; i++) {
        const uint64_t before_ns = hl_monotonic_ns();
        TRY(hl_device_clock(&r->job.ring, r->side));
        TRY(cuStreamSynchronize(r->side));
        const uint64_t after_ns = hl_monotonic_ns();
        if (after_ns - before_ns >= best_ns)
            continue;
        best_ns = after_ns - before_ns;
        r->shared->gpu_to_host_ns = (int64_t)(before_ns + best_ns / 2) - (int64_t)marks[i].time_ns;
    }
    return HL_STATUS_OK;
}

static enum hl_status take_memory(struct runner *r, struct hl_error *error)
{
    size_t free_bytes, all_bytes;
    r->job.memory = r->arena;
    if (r->plan.bytes <= r->arena_bytes)
        return HL_STATUS_OK;
    if (r->arena_bytes)
        TRY(cuMemFree(r->arena));
    r->arena_bytes = 0;
    TRY(cuMemGetInfo(&free_bytes, &all_bytes));
    if (r->plan.bytes > free_bytes)
        return hl_fail(
            error, HL_STATUS_USAGE,
            "the run takes %llu MiB of GPU memory and %llu MiB are free; take fewer sizes, tokens or ranks",
            (unsigned long long)(r->plan.bytes >> 20), (unsigned long long)(free_bytes >> 20));
    TRY(cuMemAlloc(&r->arena, r->plan.bytes));
    r->arena_bytes = r->plan.bytes;
    r->job.memory = r->arena;
    return HL_STATUS_OK;
}

/* Loads a kernel of the call and finds how many of its CTAs the GPU holds: the fewer of its two builds, one
 * CTA a token and several tokens a CTA. */
static enum hl_status measure_kernel(struct runner *r, int rank, uint32_t op, enum hl_kernel kernel,
                                     uint32_t *ret_resident, struct hl_error *error)
{
    struct hl_cuda_call call = hl_cuda_rank_call(&r->job, rank, op);
    *ret_resident = UINT32_MAX;
    for (call.tokens = 1; call.tokens <= 2 && call.tokens <= call.layout.tokens_max; call.tokens++) {
        const struct hl_cuda_launch launch = { .kernel = kernel,
                                               .compare = r->config.subject.sentinel_compare,
                                               .mutant = r->config.subject.mutant,
                                               .ctas = 1 };
        uint32_t resident;
        TRY(hl_cuda_load(&call, &launch));
        TRY(hl_cuda_resident_ctas(&call, &launch, &resident));
        *ret_resident = resident < *ret_resident ? resident : *ret_resident;
    }
    return HL_STATUS_OK;
}

/* The part of the GPU that a rank's kernel may fill: both kernels of a call of every rank and stream are
 * there at once, and an eighth stays free for fillers and marks. Under `lobe` the grid is as on a GPU of its
 * own. */
static enum hl_status share_gpu(struct runner *r, int rank, uint32_t op_index, struct hl_error *error)
{
    const struct hl_op *op = &r->program->rank[rank].ops[op_index];
    const struct hl_kernel_list list = hl_protocol_kernels(op->protocol);
    for (int i = 0; i < list.count; i++) {
        const enum hl_kernel kernel = list.kernels[i];
        uint32_t resident;
        if (r->shared->share[kernel])
            continue;
        const enum hl_status status = measure_kernel(r, rank, op_index, kernel, &resident, error);
        if (status)
            return status;
        const uint32_t parts = (uint32_t)(r->program->ranks * list.count * r->program->n_streams);
        const bool shared = r->config.world.progress == HL_PROGRESS_FAIR;
        r->shared->resident[kernel] = resident;
        r->shared->share[kernel] = shared ? resident / 8 * 7 / parts : UINT32_MAX;
        if (r->shared->share[kernel] == 0)
            return hl_fail(
                error, HL_STATUS_USAGE,
                "%d virtual ranks do not fit one GPU at once: it holds %u CTAs of hidden %u; take fewer "
                "ranks, or `world.progress: lobe` to see them wait for room",
                r->program->ranks, resident, r->plan.geometry.hidden);
    }
    return HL_STATUS_OK;
}

/* A plugin launches grids of its own choice, and nobody knows how many of its CTAs fit. */
static enum hl_status leave_grid(struct runner *r, const struct hl_op *op)
{
    const struct hl_kernel_list list = hl_protocol_kernels(op->protocol);
    for (int i = 0; i < list.count; i++)
        r->shared->share[list.kernels[i]] = r->shared->resident[list.kernels[i]] = UINT32_MAX;
    return HL_STATUS_OK;
}

static enum hl_status load_kernels(struct runner *r, struct hl_error *error)
{
    enum hl_status status = HL_STATUS_OK;
    memset(r->shared->share, 0, sizeof r->shared->share);
    for (int rank = 0; rank < r->program->ranks; rank++) /* a fault may bring a rank a protocol of its own */
        for (uint32_t i = 0; !status && i < r->program->rank[rank].n_ops; i++)
            if (r->program->rank[rank].ops[i].kind == HL_OP_CALL)
                status = hl_cuda_subject_runs(&r->config, r->program->rank[rank].ops[i].protocol)
                             ? leave_grid(r, &r->program->rank[rank].ops[i])
                             : share_gpu(r, rank, i, error);
    return status;
}

static enum hl_status make_rank(struct runner *r, int rank, struct hl_error *error)
{
    struct hl_cuda_rank *to = &r->rank[rank];
    *to = (struct hl_cuda_rank){ .job = &r->job, .rank = rank, .capturing = HL_NONE };
    to->events = calloc(r->program->n_events + 1u, sizeof *to->events);
    to->graphs = calloc(r->program->n_graphs + 1u, sizeof *to->graphs);
    if (!to->events || !to->graphs)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a rank");
    for (int stream = 0; stream < r->program->n_streams; stream++) {
        if (!r->streams[rank][stream])
            TRY(cuStreamCreate(&r->streams[rank][stream], CU_STREAM_NON_BLOCKING));
        to->streams[stream] = r->streams[rank][stream];
    }
    for (uint16_t event = 0; event < r->program->n_events; event++)
        TRY(cuEventCreate(&to->events[event], CU_EVENT_DISABLE_TIMING));
    return HL_STATUS_OK;
}

/* Samples, counters, constant rows, marks: everything as a run expects it. */
static enum hl_status prepare_memory(struct runner *r, struct hl_error *error)
{
    struct hl_shared *shared = r->shared;
    if (r->plan.sample_bytes > shared->copies_bytes)
        return hl_fail(error, HL_STATUS_INTERNAL, "too little shared memory for the rows to check");
    shared->abort_word = 0;
    atomic_store(&shared->aborted, false);
    atomic_store(&shared->failed, false);
    memset(shared->marks, 0, sizeof shared->marks);
    memset(shared->rank, 0, sizeof shared->rank);
    memset(r->job.barriers, 0, sizeof r->job.barriers);
    atomic_store(&r->job.ready, 0);
    atomic_store(&r->job.go, false);
    TRY(cuMemsetD8Async((CUdeviceptr)(uintptr_t)r->job.ring.taken, 0, 4, r->side));
    TRY(cuMemsetD8Async(r->job.memory + r->plan.counters_at, 0, r->plan.counters_bytes, r->side));
    for (int rank = 0; rank < r->program->ranks; rank++) {
        const struct hl_cuda_rank_plan *from = &r->plan.rank[rank];
        if (from->n_samples)
            TRY(cuMemcpyHtoDAsync(r->job.memory + from->samples_at, from->samples, from->n_samples * 4ull,
                                  r->side));
    }
    enum hl_status status = hl_cuda_fill_constants(&r->job, r->side, error);
    if (!status)
        status = set_clock(r, error); /* waits for all of it */
    return status;
}

static void *rank_main(void *rank)
{
    hl_cuda_rank_run(rank);
    return NULL;
}

static enum hl_status start_threads(struct runner *r, struct hl_error *error)
{
    for (int rank = 0; rank < r->program->ranks; rank++)
        if (pthread_create(&r->rank[rank].thread, NULL, rank_main, &r->rank[rank]) != 0)
            return hl_fail(error, HL_STATUS_INTERNAL, "cannot start a host thread for rank %d", rank);
    while (atomic_load(&r->job.ready) < (uint32_t)r->program->ranks && !atomic_load(&r->shared->failed))
        nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
    atomic_store(&r->job.go, true);
    return HL_STATUS_OK;
}

static enum hl_status start_run(struct runner *r, const void *bytes, struct hl_error *error)
{
    r->program = hl_program_unpack(bytes, &r->config);
    if (!r->program)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a program");
    enum hl_status status = hl_cuda_check_nccl(&r->driver, &r->config, r->program->ranks, error);
    if (!status)
        status = hl_cuda_plan_init(&r->plan, &r->config, r->program, error);
    if (status)
        return status;
    r->job.plan = &r->plan;
    status = take_memory(r, error);
    if (!status)
        status = hl_cuda_subject_open(&r->job.subject, &r->driver, &r->plan, r->shared, error);
    for (int rank = 0; !status && rank < r->program->ranks; rank++)
        status = make_rank(r, rank, error);
    if (!status)
        status = load_kernels(r, error);
    if (!status)
        status = prepare_memory(r, error);
    if (!status)
        status = start_threads(r, error);
    r->running = !status;
    return status;
}

static void forget_run(struct runner *r)
{
    for (int rank = 0; r->program && rank < r->program->ranks; rank++) {
        struct hl_cuda_rank *from = &r->rank[rank];
        for (uint16_t graph = 0; from->graphs && graph < r->program->n_graphs; graph++)
            if (from->graphs[graph])
                r->driver.cuGraphExecDestroy(from->graphs[graph]);
        for (uint16_t event = 0; from->events && event < r->program->n_events; event++)
            if (from->events[event])
                r->driver.cuEventDestroy(from->events[event]);
        free(from->graphs);
        free(from->events);
        *from = (struct hl_cuda_rank){ 0 };
    }
    hl_cuda_subject_close(&r->job.subject);
    hl_cuda_plan_finish(&r->plan);
    if (r->program)
        hl_program_destroy(r->program);
    r->program = NULL;
    r->running = false;
}

/* Has every rank done all that it had to do? */
static bool is_idle(const struct runner *r)
{
    for (int rank = 0; rank < r->program->ranks; rank++)
        if (!atomic_load(&r->shared->rank[rank].done))
            return false;
    return true;
}

/* Lets all waits pass, then waits for hosts and device. Fails when they do not leave in time: then only the
 * end of this process helps. */
static enum hl_status end_run(struct runner *r, struct hl_error *error)
{
    if (!r->running)
        return HL_STATUS_OK;
    if (!hl_cuda_subject_is_released(&r->job.subject) && !is_idle(r))
        return hl_fail(error, HL_STATUS_INTERNAL, "the subject's kernels cannot be released");
    atomic_store(&r->shared->aborted, true);
    *(volatile uint32_t *)&r->shared->abort_word = 1;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RELEASE_MS / 1000;
    until.tv_nsec += RELEASE_MS % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    for (int rank = 0; rank < r->program->ranks; rank++)
        if (pthread_timedjoin_np(r->rank[rank].thread, NULL, &until) != 0)
            return hl_fail(error, HL_STATUS_INTERNAL, "the host of rank %d does not leave", rank);
    const uint64_t until_ns = hl_monotonic_ns() + RELEASE_MS * 1000000ull;
    for (int rank = 0; rank < r->program->ranks; rank++)
        for (int stream = 0; stream < r->program->n_streams; stream++) {
            CUresult result;
            while ((result = r->driver.cuStreamQuery(r->streams[rank][stream])) == CUDA_ERROR_NOT_READY)
                if (hl_monotonic_ns() > until_ns)
                    return hl_fail(error, HL_STATUS_INTERNAL, "stream %d of rank %d does not drain", stream,
                                   rank);
            TRY(cuStreamQuery(r->streams[rank][stream]));
        }
    forget_run(r);
    return HL_STATUS_OK;
}

/*
 * Serving
 */

static enum hl_status read_words(struct runner *r, const struct hl_request *request, struct hl_error *error)
{
    if (!r->running || request->count > STAGING_WORDS)
        return hl_fail(error, HL_STATUS_INTERNAL, "nothing to read");
    if (r->job.subject.workspace[request->workspace].memory) {
        const enum hl_status status =
            hl_cuda_subject_read(&r->job.subject, request->rank, request->workspace, request->first,
                                 request->count, r->staging, r->side, error);
        if (status)
            return status;
        TRY(cuStreamSynchronize(r->side));
        return HL_STATUS_OK;
    }
    const uint64_t at = r->plan.rank[request->rank].workspace_at[request->workspace] + request->first * 4ull;
    TRY(cuMemcpyDtoHAsync(r->staging, r->job.memory + at, request->count * 4ull, r->side));
    TRY(cuStreamSynchronize(r->side));
    return HL_STATUS_OK;
}

static enum hl_status receive_run(struct runner *r, const struct hl_request *request, struct hl_error *error)
{
    void *bytes = malloc(request->bytes);
    if (!bytes || hl_transfer(r->fd, bytes, request->bytes, -1, false) < 0)
        _exit(99);
    r->job.seed = request->seed;
    const enum hl_status status = start_run(r, bytes, error);
    free(bytes);
    if (status && !r->running)
        forget_run(r);
    return status;
}

static void answer(struct runner *r, enum hl_status status, const struct hl_error *error, uint32_t count)
{
    struct hl_reply reply = { .status = status, .count = status ? 0 : count };
    if (status)
        snprintf(reply.message, sizeof reply.message, "%.255s", error->message);
    if (hl_transfer(r->fd, &reply, sizeof reply, -1, true) < 0 ||
        (reply.count && hl_transfer(r->fd, r->staging, reply.count * 4ull, -1, true) < 0))
        _exit(0);
}

static void serve(struct runner *r, const struct hl_request *request)
{
    struct hl_error error;
    uint32_t count = 0;
    enum hl_status status = HL_STATUS_OK;
    switch (request->kind) {
    case HL_REQUEST_RUN: status = receive_run(r, request, &error); break;
    case HL_REQUEST_READ:
        status = read_words(r, request, &error);
        count = request->count;
        break;
    case HL_REQUEST_END: status = end_run(r, &error); break;
    }
    answer(r, status, &error, count);
}

_Noreturn void hl_cuda_runner(int fd, struct hl_shared *shared, uint64_t shared_bytes)
{
    static struct runner runner; /* large */
    struct hl_error error;
    runner.fd = fd;
    runner.shared = shared;
    prctl(PR_SET_TIMERSLACK, 1000ul); /* short naps are short */
    setenv("CUDA_MODULE_LOADING", "EAGER", 1);
    setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 0);
    hl_witness_begin(0);
    const enum hl_status status = set_up(&runner, shared_bytes, &error);
    answer(&runner, status, &error, 0);
    struct hl_request request;
    while (!status && hl_transfer(fd, &request, sizeof request, -1, false) == 0)
        serve(&runner, &request);
    _exit(0);
}

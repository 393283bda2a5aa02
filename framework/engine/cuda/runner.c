/* The runner's life: set up CUDA, then serve the engine; see runner.h.
 *
 * All memory is taken before anything runs, because freeing it, and much else in the driver, waits for
 * kernels that may never end. What the watchdog wants to see is copied by streams that nothing else uses,
 * through memory that was pinned beforehand. */
#include "runner.h"
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "issue.h"
#include "process.h"
#include "room.h"
#include "seat.h"

/* Words of a read, or of all guards. */
#define STAGING_WORDS (2u * HL_CUDA_GUARD_SEEN * HL_CUDA_GUARDS * HL_RANKS_MAX * HL_CUDA_WORKSPACES_MAX)

/* A GPU that has not done a small copy after so long does not answer. Time slices of other processes' kernels
 * take some milliseconds each. */
#define SILENT_MS 1000
#define POLL_NS 20000
/* Round trips that compare a GPU's clock with the host's. */
#define HL_CLOCK_TRIPS 3

/* A rank's memory. */
struct arena {
    CUdeviceptr at;
    uint64_t bytes;
    int gpu;
};

struct runner {
    int fd;
    struct hl_cuda_process p;
    struct arena arenas[HL_RANKS_MAX];
    CUstream sides[HL_RANKS_MAX]; /* of each GPU, for the watchdog's reads */
    uint32_t *staging;            /* pinned */
    struct hl_cuda_rank seats[HL_RANKS_MAX];
    int nccl_ranks;      /* of the communicators that ended their last run well, or 0 */
    uint32_t marks_used; /* by the run before, at most */
};

/* Goes on with the next CUDA call only while all before it went well. */
#define TRY(call) \
    do { \
        const enum hl_status status_ = hl_driver_check(&r->p.driver, r->p.driver.call, #call, error); \
        if (status_) \
            return status_; \
    } while (0)

static bool is_virtual(const struct runner *r) { return r->p.config.world.placement == HL_PLACEMENT_VIRTUAL; }

/* Makes the GPU's context current; the first time also what the runner needs there. */
static enum hl_status use_gpu(struct runner *r, int gpu, struct hl_error *error)
{
    const enum hl_status status = hl_cuda_process_use(&r->p, gpu, error);
    if (status)
        return status;
    if (!r->sides[gpu])
        TRY(cuStreamCreate(&r->sides[gpu], CU_STREAM_NON_BLOCKING));
    if (!r->staging)
        TRY(cuMemAllocHost((void **)&r->staging, STAGING_WORDS * sizeof *r->staging));
    return HL_STATUS_OK;
}

/*
 * Every run
 */

static enum hl_status take_arena(struct runner *r, int rank, struct hl_error *error)
{
    struct arena *arena = &r->arenas[rank];
    const int gpu = r->p.shared->device[rank];
    const uint64_t bytes = hl_cuda_plan_arena_bytes(&r->p.plan);
    size_t free_bytes, all_bytes;
    if (arena->bytes && (arena->bytes < bytes || arena->gpu != gpu)) {
        arena->bytes = 0;
        TRY(cuMemFree(arena->at));
    }
    if (arena->bytes)
        return HL_STATUS_OK;
    TRY(cuMemGetInfo(&free_bytes, &all_bytes));
    if (bytes > free_bytes)
        return hl_fail(
            error, HL_STATUS_USAGE,
            "rank %d takes %llu MiB of GPU memory and %llu MiB are free; take fewer sizes, tokens or ranks",
            rank, (unsigned long long)(bytes >> 20), (unsigned long long)(free_bytes >> 20));
    TRY(cuMemAlloc(&arena->at, bytes));
    arena->bytes = bytes;
    arena->gpu = gpu;
    return HL_STATUS_OK;
}

/* Every rank's memory on its GPU, and a handle of it for the ranks that are processes. */
static enum hl_status take_memory(struct runner *r, struct hl_error *error)
{
    for (int rank = 0; rank < r->p.program->ranks; rank++) {
        const int gpu = hl_cuda_plan_gpu(&r->p.plan, r->p.gpus, rank);
        r->p.shared->device[rank] = gpu;
        enum hl_status status = use_gpu(r, gpu, error);
        if (!status)
            status = take_arena(r, rank, error);
        if (status)
            return status;
        r->p.job.memory[rank] = r->arenas[rank].at;
        if (!is_virtual(r)) {
            CUipcMemHandle handle;
            TRY(cuIpcGetMemHandle(&handle, r->arenas[rank].at));
            memcpy(r->p.shared->memory[rank], &handle, sizeof handle);
        }
    }
    return HL_STATUS_OK;
}

/* The clock of a rank's GPU against the host's: the middle of the shortest of some round trips. */
static enum hl_status set_clock(struct runner *r, int rank, uint32_t *marks, struct hl_error *error)
{
    struct hl_shared *shared = r->p.shared;
    const int gpu = shared->device[rank];
    uint64_t best_ns = UINT64_MAX;
    const enum hl_status status = use_gpu(r, gpu, error);
    for (uint32_t i = 0; !status && i < HL_CLOCK_TRIPS; i++, ++*marks) {
        const uint64_t before_ns = hl_monotonic_ns();
        TRY(hl_device_clock(&r->p.job.ring, r->sides[gpu]));
        TRY(cuStreamSynchronize(r->sides[gpu]));
        const uint64_t after_ns = hl_monotonic_ns();
        if (after_ns - before_ns >= best_ns)
            continue;
        best_ns = after_ns - before_ns;
        shared->gpu_to_host_ns[rank] =
            (int64_t)(before_ns + best_ns / 2) - (int64_t)shared->marks[*marks].time_ns;
    }
    return status;
}

static enum hl_status set_clocks(struct runner *r, struct hl_error *error)
{
    struct hl_shared *shared = r->p.shared;
    const int gpu = shared->device[0];
    uint32_t marks = 0;
    enum hl_status status = use_gpu(r, gpu, error);
    if (status)
        return status;
    TRY(cuMemsetD8Async(r->p.job.memory[0], 0, 4, r->sides[gpu])); /* the count of marks */
    for (int rank = 0; !status && rank < r->p.program->ranks; rank++) {
        if (rank && shared->device[rank] == shared->device[rank - 1])
            shared->gpu_to_host_ns[rank] = shared->gpu_to_host_ns[rank - 1];
        else
            status = set_clock(r, rank, &marks, error);
    }
    return status;
}

static enum hl_status reset_shared(struct runner *r, struct hl_error *error)
{
    struct hl_shared *shared = r->p.shared;
    if (r->p.plan.sample_bytes > shared->copies_bytes)
        return hl_fail(error, HL_STATUS_INTERNAL, "too little shared memory for the rows to check");
    shared->abort_word = 0;
    shared->strikes = 0;
    atomic_store(&shared->aborted, false);
    atomic_store(&shared->failing, false);
    atomic_store(&shared->failed, false);
    atomic_store(&shared->serialised, false);
    atomic_store(&shared->turn, 0);
    atomic_store(&shared->frozen, 0);
    atomic_store(&shared->silent, 0);
    atomic_store(&shared->ready, 0);
    atomic_store(&shared->go, false);
    shared->stray = (struct hl_stray_write){ .by_rank = -1 };
    memset(shared->marks, 0, r->marks_used * sizeof *shared->marks);
    for (int rank = 0; rank < HL_RANKS_MAX; rank++)
        memset(&shared->rank[rank], 0, offsetof(struct hl_shared_rank, events));
    r->marks_used = HL_MARKS; /* until it is known to be fewer */
    return HL_STATUS_OK;
}

/* Communicators serve one run after another, until one ends badly. */
static enum hl_status renew_nccl(struct runner *r, struct hl_error *error)
{
    const int ranks = r->p.program->ranks, workspaces = r->p.program->n_workspaces;
    if (!r->p.job.nccl || (r->nccl_ranks == ranks && r->p.shared->nccl_ids >= workspaces))
        return HL_STATUS_OK;
    return hl_nccl_renew(&r->p.nccl, workspaces, r->p.shared, error);
}

static enum hl_status seat_ranks(struct runner *r, struct hl_error *error)
{
    enum hl_status status = HL_STATUS_OK;
    for (int rank = 0; !status && rank < r->p.program->ranks; rank++) {
        const int gpu = r->p.shared->device[rank];
        status = use_gpu(r, gpu, error);
        if (!status)
            status = hl_seat_take(&r->seats[rank], &r->p.job, rank, r->p.contexts[gpu], error);
    }
    for (int rank = 0; !status && rank < r->p.program->ranks; rank++)
        status = hl_seat_start(&r->seats[rank], error);
    return status;
}

static enum hl_status start_run(struct runner *r, const struct hl_request *request, struct hl_error *error)
{
    enum hl_status status = hl_cuda_process_receive(&r->p, r->fd, request, error);
    if (!status)
        status = hl_cuda_check_nccl(&r->p.driver, &r->p.config, r->p.program->ranks, error);
    if (!status)
        status = take_memory(r, error);
    if (!status)
        status = hl_cuda_process_prepare(&r->p, error);
    if (!status)
        status = renew_nccl(r, error);
    if (!status)
        status = hl_cuda_subject_open(&r->p.job.subject, &r->p.driver, r->p.contexts, &r->p.plan, r->p.shared,
                                      error);
    if (!status)
        status = hl_cuda_share_room(&r->p, error);
    if (!status)
        status = reset_shared(r, error);
    if (!status)
        status = set_clocks(r, error);
    if (!status && is_virtual(r))
        status = seat_ranks(r, error);
    r->p.running = !status;
    return status;
}

static void forget_run(struct runner *r)
{
    for (int rank = 0; rank < HL_RANKS_MAX; rank++)
        hl_seat_clear(&r->seats[rank]);
    hl_cuda_subject_close(&r->p.job.subject);
    hl_cuda_process_forget(&r->p);
}

/* Entries of the ring that the run can have written. */
static uint32_t marks_of(const struct runner *r)
{
    uint64_t marks = 2 * r->p.plan.calls + HL_CLOCK_TRIPS * HL_RANKS_MAX;
    for (int rank = 0; r->p.program && rank < r->p.program->ranks; rank++)
        for (uint32_t i = 0; i < r->p.program->rank[rank].n_ops; i++)
            marks += r->p.program->rank[rank].ops[i].kind == HL_OP_WORKSPACE_INIT;
    return marks < HL_MARKS ? (uint32_t)marks : HL_MARKS;
}

static enum hl_status end_run(struct runner *r, struct hl_error *error)
{
    enum hl_status status = HL_STATUS_OK;
    bool well = r->p.running;
    for (int rank = 0; r->p.running && rank < r->p.program->ranks; rank++)
        well = well && atomic_load(&r->p.shared->rank[rank].done);
    if (r->p.running && !well && !hl_cuda_subject_is_released(&r->p.job.subject))
        return hl_fail(error, HL_STATUS_INTERNAL, "the subject's kernels cannot be released");
    for (int rank = 0; !status && rank < HL_RANKS_MAX; rank++)
        status = hl_seat_leave(&r->seats[rank], error);
    if (status)
        return status;
    r->marks_used = marks_of(r);
    if (r->p.job.nccl)
        r->nccl_ranks = well ? r->p.program->ranks : 0;
    forget_run(r);
    return HL_STATUS_OK;
}

/*
 * Looking at a run
 */

/* Makes ready for copies of a GPU. One that did not do the last copy still owes it, and is asked for no
 * other. */
static enum hl_status use_side(struct runner *r, int gpu, struct hl_error *error)
{
    const enum hl_status status = use_gpu(r, gpu, error);
    if (status)
        return status;
    if (atomic_load(&r->p.shared->silent) >> gpu & 1)
        return hl_fail(error, HL_STATUS_INTERNAL, "GPU %d does not answer", gpu);
    if (atomic_load(&r->p.shared->frozen) >> gpu & 1)
        TRY(cuStreamWaitValue32(r->sides[gpu], (CUdeviceptr)(uintptr_t)r->p.job.abort_word, 1,
                                CU_STREAM_WAIT_VALUE_GEQ));
    return HL_STATUS_OK;
}

/* Copies words of a rank's memory, without waiting for them. */
static enum hl_status copy_words(struct runner *r, int rank, uint64_t at, uint32_t count, uint32_t *to,
                                 struct hl_error *error)
{
    const int gpu = r->p.shared->device[rank];
    const enum hl_status status = use_side(r, gpu, error);
    if (!status)
        TRY(cuMemcpyDtoHAsync(to, r->arenas[rank].at + at, count * 4ull, r->sides[gpu]));
    return status;
}

/* Polled: a device that stands still would hold this process in the driver, too. */
static enum hl_status wait_for_copies(struct runner *r, struct hl_error *error)
{
    const uint64_t until_ns = hl_monotonic_ns() + SILENT_MS * 1000000ull;
    for (int gpu = 0; gpu < HL_RANKS_MAX; gpu++) {
        CUresult result = CUDA_SUCCESS;
        while (r->sides[gpu] && (result = r->p.driver.cuStreamQuery(r->sides[gpu])) == CUDA_ERROR_NOT_READY &&
               hl_monotonic_ns() < until_ns)
            nanosleep(&(struct timespec){ .tv_nsec = POLL_NS }, NULL);
        if (result == CUDA_ERROR_NOT_READY) {
            atomic_fetch_or(&r->p.shared->silent, 1u << gpu);
            return hl_fail(error, HL_STATUS_INTERNAL, "GPU %d does not do a copy", gpu);
        }
        const enum hl_status status =
            hl_driver_check(&r->p.driver, result, "copy what the watchdog asked for", error);
        if (status)
            return status;
    }
    return HL_STATUS_OK;
}

static enum hl_status read_words(struct runner *r, const struct hl_request *request, struct hl_error *error)
{
    if (!r->p.running || request->count > STAGING_WORDS)
        return hl_fail(error, HL_STATUS_INTERNAL, "nothing to read");
    const uint64_t at =
        r->p.plan.rank[request->rank].workspace_at[request->workspace] + request->first * 4ull;
    const int gpu = r->p.shared->device[request->rank];
    enum hl_status status = use_side(r, gpu, error);
    if (status)
        return status;
    if (r->p.job.subject.workspace[request->workspace].memory[0])
        status = hl_cuda_subject_read(&r->p.job.subject, request->rank, request->workspace, request->first,
                                      request->count, r->staging, r->sides[gpu], error);
    else
        status = copy_words(r, request->rank, at, request->count, r->staging, error);
    return status ? status : wait_for_copies(r, error);
}

/* The first word of a guard that is no canary. `seen` are its first words, then its last ones: those between
 * two buffers are told from the nearer one. */
static void find_stray(struct runner *r, int rank, int workspace, int guard, const uint32_t *seen)
{
    struct hl_stray_write *stray = &r->p.shared->stray;
    for (uint32_t i = 0; !stray->found && i < 2 * HL_CUDA_GUARD_SEEN; i++) {
        const bool last = i >= HL_CUDA_GUARD_SEEN;
        const bool before =
            guard == 0 || guard == HL_CUDA_GUARD_BEFORE_ALL || (guard != HL_CUDA_GUARD_BEHIND && last);
        const int64_t words = r->p.plan.guard_words;
        const int64_t at = last ? (int64_t)i - 2 * (int64_t)HL_CUDA_GUARD_SEEN + words : (int64_t)i;
        if (seen[i] == HL_CUDA_CANARY)
            continue;
        *stray = (struct hl_stray_write){ .found = true,
                                          .rank = rank,
                                          .workspace = workspace,
                                          .buffer = guard == HL_CUDA_GUARD_BEFORE_ALL ? -1 : guard - !before,
                                          .distance = before ? at - words : at,
                                          .value = seen[i],
                                          .by_rank = -1 };
    }
}

static enum hl_status copy_guard(struct runner *r, int rank, int workspace, int guard, uint32_t *to,
                                 struct hl_error *error)
{
    const uint64_t begin = hl_cuda_plan_guard_at(&r->p.plan, rank, workspace, guard);
    const uint64_t end = begin + r->p.plan.guard_words * 4ull;
    if (r->p.plan.guard_words == 2 * HL_CUDA_GUARD_SEEN) /* all of it */
        return copy_words(r, rank, begin, 2 * HL_CUDA_GUARD_SEEN, to, error);
    const enum hl_status status = copy_words(r, rank, begin, HL_CUDA_GUARD_SEEN, to, error);
    return status ? status
                  : copy_words(r, rank, end - HL_CUDA_GUARD_SEEN * 4ull, HL_CUDA_GUARD_SEEN,
                               to + HL_CUDA_GUARD_SEEN, error);
}

static enum hl_status check_guards(struct runner *r, struct hl_error *error)
{
    const int ranks = r->p.program ? r->p.program->ranks : 0;
    const uint32_t each = 2 * HL_CUDA_GUARD_SEEN;
    enum hl_status status = HL_STATUS_OK;
    uint32_t *to = r->staging;
    if (!r->p.running)
        return hl_fail(error, HL_STATUS_INTERNAL, "nothing to look at");
    for (int rank = 0; rank < ranks; rank++)
        for (int w = 0; w < r->p.program->n_workspaces; w++)
            for (int g = 0; !status && g < HL_CUDA_GUARDS; g++, to += each)
                status = copy_guard(r, rank, w, g, to, error);
    if (!status)
        status = wait_for_copies(r, error);
    to = r->staging;
    for (int rank = 0; !status && rank < ranks; rank++)
        for (int w = 0; w < r->p.program->n_workspaces; w++)
            for (int g = 0; g < HL_CUDA_GUARDS; g++, to += each)
                find_stray(r, rank, w, g, to);
    return status;
}

/*
 * Serving
 */

static bool serve(struct runner *r, const struct hl_request *request)
{
    struct hl_error error;
    uint32_t count = 0;
    enum hl_status status = HL_STATUS_OK;
    switch (request->kind) {
    case HL_REQUEST_RUN: status = start_run(r, request, &error); break;
    case HL_REQUEST_READ:
        status = read_words(r, request, &error);
        count = request->count;
        break;
    case HL_REQUEST_GUARDS: status = check_guards(r, &error); break;
    case HL_REQUEST_END: status = end_run(r, &error); break;
    }
    if (request->kind == HL_REQUEST_RUN && status) { /* ranks that sit already get up again */
        struct hl_error ignored;
        atomic_store(&r->p.shared->aborted, true);
        if (end_run(r, &ignored))
            _exit(99);
    }
    return hl_answer(r->fd, status, &error, r->staging, count);
}

_Noreturn void hl_cuda_runner(int fd, struct hl_shared *shared)
{
    static struct runner runner; /* large */
    struct hl_error error;
    struct hl_request request;
    runner.fd = fd;
    enum hl_status status = hl_cuda_process_init(&runner.p, shared, &error);
    if (!status)
        status = use_gpu(&runner, 0, &error);
    bool goes_on = hl_answer(fd, status, &error, NULL, 0) && !status;
    while (goes_on && hl_transfer(fd, &request, sizeof request, -1, false) == 0)
        goes_on = serve(&runner, &request);
    _exit(0);
}

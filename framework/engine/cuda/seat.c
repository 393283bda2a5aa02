/* A rank's seat; see seat.h. */
#include "seat.h"
#include <stdlib.h>
#include <time.h>

/* An aborted run gets so long to leave the device. */
#define RELEASE_MS 1500

#define TRY(call) \
    do { \
        const enum hl_status status_ = \
            hl_driver_check(seat->job->driver, seat->job->driver->call, #call, error); \
        if (status_) \
            return status_; \
    } while (0)

enum hl_status hl_seat_take(struct hl_cuda_rank *seat, struct hl_cuda_job *job, int rank, CUcontext context,
                            struct hl_error *error)
{
    const struct hl_program *program = job->plan->program;
    seat->job = job;
    seat->rank = rank;
    seat->capturing = HL_NONE;
    seat->marks = 0;
    if (seat->context != context) { /* the streams are another GPU's */
        for (int stream = 0; stream < HL_CUDA_STREAMS_MAX; stream++)
            seat->streams[stream] = NULL;
        seat->aside = NULL;
        seat->context = context;
    }
    seat->events = calloc(program->n_events + 1u, sizeof *seat->events);
    seat->graphs = calloc(program->n_graphs + 1u, sizeof *seat->graphs);
    if (!seat->events || !seat->graphs)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a rank");
    for (int stream = 0; stream < program->n_streams; stream++)
        if (!seat->streams[stream])
            TRY(cuStreamCreate(&seat->streams[stream], CU_STREAM_NON_BLOCKING));
    if (!seat->aside)
        TRY(cuStreamCreate(&seat->aside, CU_STREAM_NON_BLOCKING));
    for (uint16_t event = 0; event < program->n_events; event++)
        TRY(cuEventCreate(&seat->events[event], CU_EVENT_DISABLE_TIMING));
    return HL_STATUS_OK;
}

static void *rank_main(void *seat)
{
    hl_cuda_rank_run(seat);
    return NULL;
}

enum hl_status hl_seat_start(struct hl_cuda_rank *seat, struct hl_error *error)
{
    if (pthread_create(&seat->thread, NULL, rank_main, seat) != 0)
        return hl_fail(error, HL_STATUS_INTERNAL, "cannot start a host thread for rank %d", seat->rank);
    seat->started = true;
    return HL_STATUS_OK;
}

static enum hl_status join(struct hl_cuda_rank *seat, struct hl_error *error)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RELEASE_MS / 1000;
    until.tv_nsec += RELEASE_MS % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    if (pthread_timedjoin_np(seat->thread, NULL, &until) != 0)
        return hl_fail(error, HL_STATUS_INTERNAL, "the host of rank %d does not leave", seat->rank);
    seat->started = false;
    return HL_STATUS_OK;
}

static enum hl_status drain(struct hl_cuda_rank *seat, CUstream stream, struct hl_error *error)
{
    const uint64_t until_ns = hl_monotonic_ns() + RELEASE_MS * 1000000ull;
    while (seat->job->driver->cuStreamQuery(stream) == CUDA_ERROR_NOT_READY)
        if (hl_monotonic_ns() > until_ns)
            return hl_fail(error, HL_STATUS_INTERNAL, "a stream of rank %d does not drain", seat->rank);
    TRY(cuStreamQuery(stream));
    return HL_STATUS_OK;
}

enum hl_status hl_seat_leave(struct hl_cuda_rank *seat, struct hl_error *error)
{
    if (!seat->started)
        return HL_STATUS_OK;
    enum hl_status status = join(seat, error);
    if (status)
        return status;
    TRY(cuCtxSetCurrent(seat->context));
    if (seat->job->nccl && !atomic_load(&seat->job->shared->rank[seat->rank].done))
        hl_nccl_leave(seat);
    for (int stream = 0; !status && stream < seat->job->plan->program->n_streams; stream++)
        status = drain(seat, seat->streams[stream], error);
    return status ? status : drain(seat, seat->aside, error);
}

void hl_seat_clear(struct hl_cuda_rank *seat)
{
    const struct hl_program *program = seat->job ? seat->job->plan->program : NULL;
    for (uint16_t graph = 0; program && seat->graphs && graph < program->n_graphs; graph++)
        if (seat->graphs[graph])
            seat->job->driver->cuGraphExecDestroy(seat->graphs[graph]);
    for (uint16_t event = 0; program && seat->events && event < program->n_events; event++)
        if (seat->events[event])
            seat->job->driver->cuEventDestroy(seat->events[event]);
    free(seat->graphs);
    free(seat->events);
    seat->graphs = NULL;
    seat->events = NULL;
    seat->job = NULL;
}

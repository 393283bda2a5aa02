/* The fake GPU; see fake_gpu.h. */
#include "fake_gpu.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../framework/fault/weave.h"
#include "walk.h"

/* A launch, kept for graphs. */
struct launch {
    enum { LAUNCH_BEFORE, LAUNCH_AFTER, LAUNCH_FILL, LAUNCH_CALL, LAUNCH_COPY } kind;
    union {
        struct hl_device_call call;
        struct hl_device_fill fill;
    };
};

struct CUgraph_st {
    struct launch *launches;
    uint32_t n;
};

/* A stream belongs to a rank; while captured, its launches go to a graph. */
struct CUstream_st {
    int rank;
    struct CUgraph_st *capture;
};
struct CUevent_st {
    struct CUgraph_st *capture;
};

static struct hl_fake_gpu *current;
static struct CUstream_st streams[HL_RANKS_MAX][HL_CUDA_STREAMS_MAX];
static struct CUstream_st asides[HL_RANKS_MAX];
static struct CUevent_st events[HL_RANKS_MAX * 64];
static _Atomic uint32_t n_events;
static char *logs[HL_RANKS_MAX];
static pthread_mutex_t device = PTHREAD_MUTEX_INITIALIZER; /* marks and counters */

static int note(int rank, const char *word)
{
    const size_t length = logs[rank] ? strlen(logs[rank]) : 0;
    logs[rank] = realloc(logs[rank], length + strlen(word) + 2);
    cr_assert_not_null(logs[rank]);
    sprintf(logs[rank] + length, "%s%s", length ? " " : "", word);
    return current->fails_at && strcmp(current->fails_at, word) == 0 ? CUDA_ERROR_LAUNCH_FAILED
                                                                     : CUDA_SUCCESS;
}

static void write_mark(enum hl_mark_kind kind, uint32_t what)
{
    const struct hl_mark_ring *ring = &current->job.ring;
    const uint32_t index = (*ring->taken)++;
    struct hl_mark *mark = &ring->marks[index % HL_MARKS];
    mark->time_ns = hl_monotonic_ns();
    mark->what = (uint32_t)kind << 30 | what;
    __atomic_store_n(&mark->number, index + 1, __ATOMIC_RELEASE);
}

static void run_call(const struct hl_device_call *c, bool before)
{
    const size_t words = (size_t)c->tokens * c->row_words;
    const uint32_t execution = c->counter[0];
    const uint32_t sample = execution < c->executions ? c->samples[execution] : HL_CUDA_NOT_SAMPLED;
    uint32_t *copies = sample == HL_CUDA_NOT_SAMPLED ? NULL : c->copies + (size_t)sample * 4;
    if (before && copies)
        memcpy(copies, c->input, words * 4);
    if (!before && copies)
        memcpy(copies + words, c->residual_out, words * 4);
    if (!before && copies)
        memcpy(copies + 2 * words, c->norm_out, words * 4);
    c->counter[0] += !before;
    write_mark(before ? HL_MARK_CALL_BEGIN : HL_MARK_CALL_END, c->what);
}

static void run_fill(const struct hl_device_fill *f)
{
    const uint32_t turn = f->counter ? ++f->counter[0] : f->turn;
    const enum hl_tenant tenant = hl_tenant_of(hl_row_seed(f->seed, f->who, turn, UINT32_MAX));
    for (uint32_t row = 0; row < f->n_rows; row++) {
        const uint64_t x = hl_row_seed(f->seed, f->who, turn, row);
        const struct hl_residue_words residue =
            hl_residue_draw(x, f->row_words, f->subnormal_rows, f->nan_rows);
        for (uint32_t i = 0; i < f->row_words; i++)
            f->rows[row * f->row_words + i] =
                f->kind == HL_FILL_FRESH       ? hl_ordinary_word(x, f->dtype, i)
                : f->kind == HL_FILL_PATTERN   ? hl_pattern_word(f->pattern, f->dtype, x, i, f->row_words)
                : f->kind == HL_FILL_SOURCE    ? f->source[row * f->row_words + i]
                : f->kind == HL_FILL_LEFTOVERS ? hl_tenant_word(tenant, x, i, f->row_words)
                                               : hl_residue_word(&residue, x, f->dtype, i);
    }
}

static void execute(const struct launch *l)
{
    pthread_mutex_lock(&device);
    if (l->kind == LAUNCH_BEFORE || l->kind == LAUNCH_AFTER)
        run_call(&l->call, l->kind == LAUNCH_BEFORE);
    else if (l->kind == LAUNCH_FILL)
        run_fill(&l->fill);
    pthread_mutex_unlock(&device);
}

static int enqueue(CUstream stream, struct launch l, const char *word)
{
    struct CUgraph_st *graph = stream->capture;
    if (!graph) {
        execute(&l);
        return note(stream->rank, word);
    }
    graph->launches = realloc(graph->launches, (graph->n + 1u) * sizeof l);
    cr_assert_not_null(graph->launches);
    graph->launches[graph->n++] = l;
    return note(stream->rank, word);
}

/*
 * The table
 */

static int fake_before(const struct hl_device_call *call, CUstream stream)
{
    return enqueue(stream, (struct launch){ .kind = LAUNCH_BEFORE, .call = *call }, "before");
}
static int fake_after(const struct hl_device_call *call, CUstream stream)
{
    return enqueue(stream, (struct launch){ .kind = LAUNCH_AFTER, .call = *call }, "after");
}
static int fake_fill(const struct hl_device_fill *fill, CUstream stream)
{
    static const char *const words[] = { "fresh", "pattern", "source", "residue", "leftovers" };
    return enqueue(stream, (struct launch){ .kind = LAUNCH_FILL, .fill = *fill }, words[fill->kind]);
}
static int fake_launch(const struct hl_cuda_call *call, const struct hl_cuda_launch *launch, CUstream stream)
{
#define X(id, step, doc) [HL_KERNEL_##id] = #step,
    static const char *const names[] = { HL_KERNELS(X) };
#undef X
    char word[64];
    cr_assert(call->tokens <= call->layout.tokens_max && launch->ctas > 0);
    snprintf(word, sizeof word, "%s%s", names[launch->kernel], launch->pdl ? "+pdl" : "");
    return enqueue(stream, (struct launch){ .kind = LAUNCH_CALL }, word);
}
static int fake_load(const struct hl_cuda_call *call, const struct hl_cuda_launch *launch)
{
    cr_assert(launch->ctas > 0);
    return note(call->rank, "load");
}
static int fake_init(const struct hl_device_init *init, CUstream stream)
{
    const uint32_t gaps_at = init->buffers_at - init->gap;
    for (uint32_t i = 0; i < init->n_words; i++)
        if (i < gaps_at)
            init->words[i] = i < HL_FLAG_WORDS ? init->flags[i] : 0;
        else if ((i - gaps_at) % (init->words_per_buffer + init->gap) >= init->gap)
            init->words[i] = init->sentinel;
    pthread_mutex_lock(&device);
    write_mark(HL_MARK_INIT, init->what);
    pthread_mutex_unlock(&device);
    return note(stream->rank, "init");
}
static CUresult fake_fill_bytes(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream)
{
    memset((void *)(uintptr_t)to, value, bytes);
    return note(stream->rank, "clear");
}
static CUresult fake_fill_words(CUdeviceptr to, unsigned value, size_t words, CUstream stream)
{
    for (size_t i = 0; i < words; i++)
        ((uint32_t *)(uintptr_t)to)[i] = value;
    return note(stream->rank, "guard");
}
static CUresult fake_upload_words(CUdeviceptr to, const void *from, size_t bytes, CUstream stream)
{
    memcpy((void *)(uintptr_t)to, from, bytes);
    return note(stream->rank, "samples");
}
static int fake_take_room(const uint32_t *abort_word, uint32_t *ret_ctas, CUstream stream)
{
    cr_assert_eq(abort_word, &current->shared->abort_word, "nobody could end that kernel");
    *ret_ctas = 264;
    return note(stream->rank, "foreign");
}
static CUresult fake_wait_value(CUstream stream, CUdeviceptr word, cuuint32_t value, unsigned flags)
{
    cr_assert_eq((uintptr_t)word, (uintptr_t)&current->shared->abort_word);
    cr_assert(value == 1 && flags == CU_STREAM_WAIT_VALUE_GEQ, "an abort lets go of it");
    return note(stream->rank, "hold");
}
static CUresult fake_context_sync(void) { return CUDA_SUCCESS; }
static CUresult fake_copy(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    (void)to, (void)from, (void)bytes;
    return enqueue(stream, (struct launch){ .kind = LAUNCH_COPY }, "copy");
}
static CUresult fake_begin_capture(CUstream stream, CUstreamCaptureMode mode)
{
    cr_assert_null(stream->capture, "a stream is captured twice");
    cr_assert_neq(mode, CU_STREAM_CAPTURE_MODE_GLOBAL, "other ranks' calls would break the capture");
    stream->capture = calloc(1, sizeof *stream->capture);
    return note(stream->rank, "begin-capture");
}
static CUresult fake_end_capture(CUstream stream, CUgraph *ret_graph)
{
    cr_assert_not_null(stream->capture);
    *ret_graph = stream->capture;
    for (int s = 0; s < HL_CUDA_STREAMS_MAX; s++)
        if (streams[stream->rank][s].capture == *ret_graph)
            streams[stream->rank][s].capture = NULL;
    return note(stream->rank, "end-capture");
}
static CUresult fake_instantiate(CUgraphExec *ret_exec, CUgraph graph, unsigned long long flags)
{
    cr_assert_eq(flags, 0);
    struct CUgraph_st *copy = malloc(sizeof *copy);
    *copy = *graph;
    graph->launches = NULL;
    *ret_exec = (CUgraphExec)copy;
    return CUDA_SUCCESS;
}
static CUresult fake_destroy_graph(CUgraph graph)
{
    free(graph->launches);
    free(graph);
    return CUDA_SUCCESS;
}
static CUresult fake_upload(CUgraphExec exec, CUstream stream)
{
    (void)exec;
    return note(stream->rank, "upload");
}
static CUresult fake_graph_launch(CUgraphExec exec, CUstream stream)
{
    const struct CUgraph_st *graph = (const struct CUgraph_st *)exec;
    cr_assert_null(stream->capture);
    cr_assert_not_null(graph, "a graph is launched that was not captured");
    for (uint32_t i = 0; i < graph->n; i++)
        execute(&graph->launches[i]);
    return note(stream->rank, "graph");
}
static CUresult fake_event_record(CUevent event, CUstream stream)
{
    event->capture = stream->capture;
    return note(stream->rank, "record");
}
static CUresult fake_event_wait(CUstream stream, CUevent event, unsigned flags)
{
    (void)flags;
    if (event->capture)
        stream->capture = event->capture;
    return note(stream->rank, "wait");
}
static CUresult fake_query(CUstream stream)
{
    cr_assert_null(stream->capture, "a captured stream is asked whether it is empty");
    return note(stream->rank, "query");
}
static CUresult fake_set_context(CUcontext context)
{
    (void)context;
    return CUDA_SUCCESS;
}
static CUresult fake_error_name(CUresult result, const char **ret_name)
{
    *ret_name = result == CUDA_ERROR_LAUNCH_FAILED ? "CUDA_ERROR_LAUNCH_FAILED" : "other";
    return CUDA_SUCCESS;
}

static const struct hl_driver fake_driver = {
    .cuGetErrorName = fake_error_name,
    .cuCtxSetCurrent = fake_set_context,
    .cuCtxSynchronize = fake_context_sync,
    .cuMemsetD8Async = fake_fill_bytes,
    .cuMemsetD32Async = fake_fill_words,
    .cuMemcpyHtoDAsync = fake_upload_words,
    .cuMemcpyDtoDAsync = fake_copy,
    .cuStreamQuery = fake_query,
    .cuStreamWaitEvent = fake_event_wait,
    .cuStreamWaitValue32 = fake_wait_value,
    .cuStreamBeginCapture = fake_begin_capture,
    .cuStreamEndCapture = fake_end_capture,
    .cuEventRecord = fake_event_record,
    .cuGraphInstantiateWithFlags = fake_instantiate,
    .cuGraphDestroy = fake_destroy_graph,
    .cuGraphUpload = fake_upload,
    .cuGraphLaunch = fake_graph_launch,
    .hl_cuda_launch = fake_launch,
    .hl_cuda_load = fake_load,
    .hl_device_before_call = fake_before,
    .hl_device_after_call = fake_after,
    .hl_device_fill = fake_fill,
    .hl_device_init = fake_init,
    .hl_device_take_room = fake_take_room,
};

/*
 * A run
 */

static void make_ranks(struct hl_fake_gpu *gpu)
{
    for (int rank = 0; rank < gpu->program->ranks; rank++) {
        struct hl_cuda_rank *r = &gpu->rank[rank];
        *r = (struct hl_cuda_rank){ .job = &gpu->job, .rank = rank, .capturing = HL_NONE };
        r->events = calloc(gpu->program->n_events + 1u, sizeof *r->events);
        r->graphs = calloc(gpu->program->n_graphs + 1u, sizeof *r->graphs);
        for (int s = 0; s < gpu->program->n_streams; s++) {
            streams[rank][s] = (struct CUstream_st){ .rank = rank };
            r->streams[s] = &streams[rank][s];
        }
        for (int e = 0; e < gpu->program->n_events; e++)
            r->events[e] = &events[n_events++];
        r->aside = &asides[rank];
        asides[rank] = (struct CUstream_st){ .rank = rank };
    }
}

struct hl_config hl_reduced_config(enum hl_mode mode)
{
    struct hl_config config = hl_plain_config(mode);
    config.subject.sentinel_compare = HL_COMPARE_BITS;
    config.payload.residue = (struct hl_residue){ 0.5, 0 };
    return config;
}

struct hl_config hl_fault_config(enum hl_fault_kind kind)
{
    struct hl_config config = hl_reduced_config(HL_MODE_EAGER);
    config.n_faults = 1;
    config.faults[0] = (struct hl_fault){
        .kind = kind, .rank = 1, .call = 5, .calls = 1, .probability = 1, .delay_ns = 1000
    };
    return config;
}

struct hl_fake_gpu *hl_fake_gpu_create(const struct hl_config *config, uint64_t seed)
{
    struct hl_error error;
    struct hl_fake_gpu *gpu = calloc(1, sizeof *gpu);
    cr_assert_not_null(gpu);
    current = gpu;
    n_events = 0;
    gpu->config = *config;
    gpu->driver = fake_driver;
    cr_assert_eq(hl_program_create(config, seed, &gpu->program, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(hl_faults_weave(gpu->program, seed, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(hl_cuda_plan_init(&gpu->plan, &gpu->config, gpu->program, &error), HL_STATUS_OK, "%s",
                 error.message);
    gpu->shared = aligned_alloc(4096, (sizeof *gpu->shared + gpu->plan.sample_bytes + 4095) / 4096 * 4096);
    cr_assert(gpu->shared);
    memset(gpu->shared, 0, sizeof *gpu->shared);
    static uint32_t taken;
    taken = 0;
    gpu->job = (struct hl_cuda_job){ .driver = &gpu->driver,
                                     .plan = &gpu->plan,
                                     .shared = gpu->shared,
                                     .seed = seed,
                                     .abort_word = &gpu->shared->abort_word,
                                     .ring = { gpu->shared->marks, &taken },
                                     .copies = gpu->shared->copies };
    for (int rank = 0; rank < gpu->program->ranks; rank++) {
        gpu->memory[rank] = calloc(1, gpu->plan.rank[rank].bytes);
        cr_assert(gpu->memory[rank]);
        gpu->job.memory[rank] = (CUdeviceptr)(uintptr_t)gpu->memory[rank];
    }
    for (int kernel = 0; kernel < HL_KERNEL_COUNT; kernel++)
        gpu->shared->share[kernel] = UINT32_MAX;
    for (int rank = 0; rank < HL_RANKS_MAX; rank++) {
        free(logs[rank]);
        logs[rank] = NULL;
    }
    make_ranks(gpu);
    return gpu;
}

void hl_fake_gpu_destroy(struct hl_fake_gpu *gpu)
{
    for (int rank = 0; rank < gpu->program->ranks; rank++) {
        for (int g = 0; g < gpu->program->n_graphs; g++)
            if (gpu->rank[rank].graphs[g])
                fake_destroy_graph((CUgraph)gpu->rank[rank].graphs[g]);
        free(gpu->rank[rank].events);
        free(gpu->rank[rank].graphs);
        free(gpu->memory[rank]);
    }
    hl_cuda_plan_finish(&gpu->plan);
    hl_program_destroy(gpu->program);
    free(gpu->shared);
    free(gpu);
}

static void *rank_main(void *rank)
{
    hl_cuda_rank_run(rank);
    return NULL;
}

void hl_fake_gpu_run(struct hl_fake_gpu *gpu, const struct hl_feed *feed)
{
    struct hl_cuda_events feeder;
    struct hl_error error;
    bool over;
    cr_assert_eq(hl_cuda_events_init(&feeder, &gpu->plan, gpu->shared, feed, gpu->job.seed, &error),
                 HL_STATUS_OK);
    for (int rank = 0; rank < gpu->program->ranks; rank++)
        cr_assert_eq(pthread_create(&gpu->rank[rank].thread, NULL, rank_main, &gpu->rank[rank]), 0);
    atomic_store(&gpu->shared->go, true);
    do {
        over = true;
        for (int rank = 0; rank < gpu->program->ranks; rank++)
            over &= atomic_load(&gpu->shared->rank[rank].done);
        over |= atomic_load(&gpu->shared->failed) || atomic_load(&gpu->shared->aborted);
        hl_cuda_events_drain(&feeder);
    } while (!over);
    for (int rank = 0; rank < gpu->program->ranks; rank++)
        pthread_join(gpu->rank[rank].thread, NULL);
    cr_assert_not(feeder.failed, "the feed lost track");
    hl_cuda_events_finish(&feeder);
}

const char *hl_fake_gpu_log(const struct hl_fake_gpu *gpu, int rank)
{
    (void)gpu;
    return logs[rank] ? logs[rank] : "";
}

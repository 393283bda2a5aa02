/* Ranks on GPUs of their own: how long a fused call takes over the real link, beside NCCL's allreduce and the
 * norm after it, over token counts and two hidden sizes, in graphs and call by call.
 *
 *     bench_peers [SUBJECT [TOKENS_MAX]]
 *
 * SUBJECT: a plugin, such as flashinfer@0.6.12, whose trtllm kernels are measured beside ours.
 *
 * A host thread a rank, as serving engines have a process; the median of rounds, and a round lasts from the
 * first thread's start to the last stream's end. Every candidate's rows are held against NCCL's. NCCL's
 * library as in engine/cuda/nccl.h. */
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "peers_subject.h"
#include "virtual_ranks.h"

enum { ROUNDS = 7, TOKENS_MAX = 2048, BF16_OF_NCCL = 9, SUM_OF_NCCL = 0 };
#define LIMIT_MS 4000.0

static struct {
    int (*init_all)(void **comms, int n, const int *devices);
    int (*all_reduce)(const void *in, void *out, size_t n, int dtype, int op, void *comm,
                      cudaStream_t stream);
    void *comms[HL_RANKS_MAX];
} nccl;

static const struct candidate {
    const char *name;
    enum hl_protocol protocol;
    bool theirs; /* the subject's kernels */
} candidates[] = { { "nccl + norm", HL_NCCL, false },
                   { "mnnvl one-shot", HL_MNNVL_ONESHOT, false },
                   { "mnnvl two-shot", HL_MNNVL_TWOSHOT, false },
                   { "trtllm one-shot", HL_TRTLLM_ONESHOT, false },
                   { "trtllm two-shot", HL_TRTLLM_TWOSHOT, false },
                   { "subject one-shot", HL_TRTLLM_ONESHOT, true },
                   { "subject two-shot", HL_TRTLLM_TWOSHOT, true } };

enum how { GRAPH, EAGER };
static const char *const how_names[] = { "graph", "eager" };

/* What is measured now; the threads of all ranks read it. */
static struct {
    struct hl_peers p;
    struct hl_peers_subject subject;
    int n_candidates;
    struct candidate candidate;
    enum how how;
    uint32_t tokens;
    int calls;   /* of a graph, or of an eager burst */
    int repeats; /* of it in a round */
    pthread_barrier_t together;
    double begin_ms[HL_RANKS_MAX], end_ms[HL_RANKS_MAX], us[ROUNDS];
    bool hung, refused;
} b;

static void *look_up(void *library, const char *name)
{
    void *symbol = dlsym(library, name);
    if (!symbol) {
        fprintf(stderr, "the NCCL library lacks %s\n", name);
        exit(99);
    }
    return symbol;
}

static void must_nccl(int result, const char *what)
{
    if (result == 0)
        return;
    fprintf(stderr, "%s: NCCL says %d (ncclResult_t)\n", what, result);
    exit(99);
}

static void load_nccl(void)
{
    const char *path = getenv("HANGLAB_NCCL");
    int devices[HL_RANKS_MAX];
    setenv("NCCL_NVLS_ENABLE", "0", 1);
    void *library = dlopen(path && *path ? path : "libnccl.so.2", RTLD_NOW);
    if (!library) {
        fprintf(stderr, "%s; HANGLAB_NCCL may name NCCL's library\n", dlerror());
        exit(99);
    }
    *(void **)&nccl.init_all = look_up(library, "ncclCommInitAll");
    *(void **)&nccl.all_reduce = look_up(library, "ncclAllReduce");
    for (int r = 0; r < b.p.ranks; r++)
        devices[r] = r;
    must_nccl(nccl.init_all(nccl.comms, b.p.ranks, devices), "make communicators");
}

/*
 * One rank's part of a measurement, on its thread
 */

static void enqueue(int rank, const struct hl_peers_call *call)
{
    const struct hl_peer *own = &b.p.rank[rank];
    if (b.candidate.protocol == HL_NCCL)
        must_nccl(nccl.all_reduce(own->input, own->residual_out, (size_t)b.tokens * b.p.hidden, BF16_OF_NCCL,
                                  SUM_OF_NCCL, nccl.comms[rank], own->stream),
                  "enqueue an allreduce");
    if (!b.candidate.theirs)
        hl_peers_enqueue(call, own->stream);
    else if (!b.refused && !hl_peers_subject_enqueue(&b.subject, call, own->stream))
        b.refused = true; /* by all ranks, which ask for the same */
}

static cudaGraphExec_t capture(int rank, const struct hl_peers_call *call)
{
    const cudaStream_t stream = b.p.rank[rank].stream;
    cudaGraph_t recorded;
    cudaGraphExec_t graph;
    HL_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    for (int i = 0; i < b.calls; i++)
        enqueue(rank, call);
    HL_CUDA(cudaStreamEndCapture(stream, &recorded));
    HL_CUDA(cudaGraphInstantiate(&graph, recorded, 0));
    HL_CUDA(cudaGraphUpload(graph, stream));
    HL_CUDA(cudaGraphDestroy(recorded));
    HL_CUDA(cudaStreamSynchronize(stream));
    return graph;
}

/* False: it hangs. */
static bool play(int rank, const struct hl_peers_call *call, cudaGraphExec_t graph, int repeats)
{
    pthread_barrier_wait(&b.together);
    b.begin_ms[rank] = hl_now_ms();
    for (int i = 0; i < repeats; i++)
        if (graph)
            HL_CUDA(cudaGraphLaunch(graph, b.p.rank[rank].stream));
        else
            for (int c = 0; c < b.calls; c++)
                enqueue(rank, call);
    const bool ended = hl_peers_drain(&b.p, rank, LIMIT_MS);
    b.end_ms[rank] = hl_now_ms();
    if (!ended)
        b.hung = true;
    pthread_barrier_wait(&b.together);
    return !b.hung;
}

/* Microseconds a call of the round that all ranks have just ended. */
static double us_of_round(void)
{
    double begin_ms = b.begin_ms[0], end_ms = b.end_ms[0];
    for (int r = 1; r < b.p.ranks; r++) {
        begin_ms = fmin(begin_ms, b.begin_ms[r]);
        end_ms = fmax(end_ms, b.end_ms[r]);
    }
    return (end_ms - begin_ms) * 1e3 / b.repeats / b.calls;
}

static void *rank_main(void *which)
{
    const int rank = (int)(intptr_t)which;
    const struct hl_peers_call call = hl_peers_prepare(&b.p, rank, b.candidate.protocol, b.tokens, 0);
    cudaGraphExec_t graph = b.how == GRAPH ? capture(rank, &call) : NULL;
    bool goes = play(rank, &call, graph, 1); /* not counted */
    for (int round = 0; goes && round < ROUNDS; round++) {
        goes = play(rank, &call, graph, b.repeats);
        if (rank == 0)
            b.us[round] = us_of_round();
    }
    if (goes && graph)
        HL_CUDA(cudaGraphExecDestroy(graph));
    return NULL;
}

/*
 * Rows
 */

static float element(const uint32_t *row, uint64_t i)
{
    const uint32_t bits = (row[i / 2] >> (i % 2 * 16)) << 16;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static uint32_t *norm_rows(int rank)
{
    const size_t bytes = (size_t)b.tokens * b.p.hidden * 2;
    uint32_t *rows = malloc(bytes);
    hl_peers_use(rank);
    HL_CUDA(cudaMemcpy(rows, b.p.rank[rank].norm_out, bytes, cudaMemcpyDeviceToHost));
    HL_CUDA(cudaMemset(b.p.rank[rank].norm_out, 0xff, bytes));
    HL_CUDA(cudaDeviceSynchronize());
    return rows;
}

/* Elements of all ranks' norms that are off by more than bf16's rounding of two different sums. The first
 * rows ever, which are NCCL's of rank 0, are what all others are held against. */
static uint64_t count_wrong(uint32_t **reference)
{
    uint64_t wrong = 0;
    for (int rank = 0; rank < b.p.ranks; rank++) {
        uint32_t *rows = norm_rows(rank);
        if (!*reference) {
            *reference = rows;
            continue;
        }
        for (uint64_t i = 0; i < (uint64_t)b.tokens * b.p.hidden; i++) {
            const float x = element(rows, i), y = element(*reference, i);
            wrong += !(fabsf(x - y) <= 0.03f * fabsf(y) + 0.02f);
        }
        free(rows);
    }
    return wrong;
}

static int ascending(const void *x, const void *y)
{
    const double a = *(const double *)x, c = *(const double *)y;
    return (a > c) - (a < c);
}

/* Prints its cell of the table. */
static void measure_candidate(uint32_t **reference)
{
    pthread_t threads[HL_RANKS_MAX];
    const bool small = b.tokens <= 64;
    if (b.candidate.protocol == HL_TRTLLM_TWOSHOT && b.tokens <= (unsigned)b.p.ranks) {
        printf(" - |");
        return;
    }
    b.calls = small ? 32 : 8;
    b.repeats = small ? 12 : b.tokens <= 512 ? 6 : 2;
    for (intptr_t r = 0; r < b.p.ranks; r++)
        if (pthread_create(&threads[r], NULL, rank_main, (void *)r) != 0)
            exit(99);
    for (int r = 0; r < b.p.ranks; r++)
        pthread_join(threads[r], NULL);
    if (b.hung) {
        printf(" hangs\n");
        fflush(stdout);
        _Exit(1); /* NCCL's kernels look at no abort word */
    }
    if (b.refused) {
        printf(" refused |");
        b.refused = false;
        return;
    }
    const uint64_t wrong = count_wrong(reference);
    qsort(b.us, ROUNDS, sizeof *b.us, ascending);
    printf(wrong ? " %.2f (%llu wrong) |" : " %.2f |", b.us[ROUNDS / 2], (unsigned long long)wrong);
}

static void measure(uint32_t tokens)
{
    uint32_t *reference = NULL;
    b.tokens = tokens;
    for (b.how = GRAPH; b.how <= EAGER; b.how++) {
        printf("| %s | %u | %u |", how_names[b.how], b.p.hidden, tokens);
        for (int i = 0; i < b.n_candidates; i++) {
            b.candidate = candidates[i];
            measure_candidate(&reference);
        }
        printf("\n");
        fflush(stdout);
    }
    free(reference);
}

int main(int argc, char **argv)
{
    static const uint32_t counts[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, TOKENS_MAX };
    static const uint32_t hiddens[] = { 4096, 7168 };
    const char *subject = argc > 1 ? argv[1] : NULL;
    const uint32_t tokens_max = argc > 2 ? (uint32_t)atoi(argv[2]) : TOKENS_MAX;
    struct cudaDeviceProp prop;
    if (!hl_peers_find(&b.p)) {
        puts("ranks on GPUs of their own take 2 GPUs");
        return 77;
    }
    HL_CUDA(cudaGetDeviceProperties(&prop, 0));
    load_nccl();
    pthread_barrier_init(&b.together, NULL, (unsigned)b.p.ranks);
    b.n_candidates = (int)(sizeof candidates / sizeof *candidates) - (subject ? 0 : 2);
    printf("%d x %s, bf16, us a call\n| how | hidden | tokens |", b.p.ranks, prop.name);
    for (int i = 0; i < b.n_candidates; i++)
        printf(" %s |", candidates[i].name);
    printf("\n|-|-|-|");
    for (int i = 0; i < b.n_candidates; i++)
        printf("-|");
    puts("");
    for (size_t h = 0; h < sizeof hiddens / sizeof *hiddens; h++) {
        hl_peers_make(&b.p, hiddens[h], TOKENS_MAX, TOKENS_MAX);
        if (subject)
            hl_peers_subject_open(&b.subject, subject, &b.p);
        for (size_t i = 0; i < sizeof counts / sizeof *counts && counts[i] <= tokens_max; i++)
            measure(counts[i]);
        if (subject)
            hl_peers_subject_close(&b.subject, &b.p);
        hl_peers_free(&b.p);
    }
    return 0;
}

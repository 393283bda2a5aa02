/* Ranks on GPUs of their own: how long a fused call takes over the real link, beside NCCL's allreduce and the
 * norm after it, over token counts and two hidden sizes.
 *
 * One rank a GPU, peer access, graphs of 8 calls, the median of rounds that alternate between the candidates.
 * Every candidate's rows are held against NCCL's. Takes 2 GPUs or more; NCCL's library as in
 * engine/cuda/nccl.h. */
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "../../../kernels/cuda/launch.h"

enum { CALLS = 8, ROUNDS = 7, TOKENS_MAX = 2048, BF16_OF_NCCL = 9, SUM_OF_NCCL = 0 };
#define LIMIT_MS 3000.0

#define MUST(call) must((call), #call, __LINE__)
static void must(int error, const char *call, int line)
{
    if (error == cudaSuccess)
        return;
    fprintf(stderr, "%s:%d: %s: %d %s\n", __FILE__, line, call, error,
            cudaGetErrorString((cudaError_t)error));
    exit(99);
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* NCCL, or NULL members. */
static struct {
    int (*init_all)(void **comms, int n, const int *devices);
    int (*group_start)(void), (*group_end)(void);
    int (*all_reduce)(const void *in, void *out, size_t n, int dtype, int op, void *comm,
                      cudaStream_t stream);
    void *comms[HL_RANKS_MAX];
} nccl;

struct rank {
    cudaStream_t stream;
    uint32_t *input, *residual, *gamma, *residual_out, *norm_out, *workspace;
};

static struct world {
    int ranks;
    uint32_t hidden;
    struct rank rank[HL_RANKS_MAX];
    uint32_t *abort_word;
    struct hl_layout layout;
} w;

struct candidate {
    const char *name;
    enum hl_protocol protocol;
    bool pdl;
    cudaGraphExec_t graphs[HL_RANKS_MAX];
    double us[ROUNDS];
};

static uint64_t row_words(void) { return w.hidden / 2; }

static void *look_up(void *library, const char *name)
{
    void *symbol = dlsym(library, name);
    if (!symbol) {
        fprintf(stderr, "the NCCL library lacks %s\n", name);
        exit(99);
    }
    return symbol;
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
    *(void **)&nccl.group_start = look_up(library, "ncclGroupStart");
    *(void **)&nccl.group_end = look_up(library, "ncclGroupEnd");
    *(void **)&nccl.all_reduce = look_up(library, "ncclAllReduce");
    for (int r = 0; r < w.ranks; r++)
        devices[r] = r;
    MUST(nccl.init_all(nccl.comms, w.ranks, devices));
}

static void *fill(uint64_t words, uint32_t seed)
{
    uint32_t *host = malloc(words * 4), *device, x = seed;
    for (uint64_t i = 0; i < words; i++) {
        x = x * 1664525u + 1013904223u;
        host[i] = 0x3e803e80u + (x >> 7 & 0x01ff01ffu) + (x & 0x80008000u); /* 1/4 to 1, either sign */
    }
    MUST(cudaMalloc((void **)&device, words * 4));
    MUST(cudaMemcpy(device, host, words * 4, cudaMemcpyHostToDevice));
    free(host);
    return device;
}

static void *reserve(uint64_t words)
{
    void *device;
    MUST(cudaMalloc(&device, words * 4));
    return device;
}

static void make_ranks(void)
{
    const uint64_t words = TOKENS_MAX * row_words();
    uint32_t largest = 0; /* of the families that take turns in it */
    for (int family = HL_FAMILY_MNNVL; family <= HL_FAMILY_NCCL; family++) {
        const struct hl_layout l =
            hl_layout_make((enum hl_family)family, w.ranks, TOKENS_MAX, w.hidden, HL_BF16);
        largest = l.words > largest ? l.words : largest;
    }
    for (int r = 0; r < w.ranks; r++) {
        MUST(cudaSetDevice(r));
        w.rank[r] = (struct rank){ .input = fill(words, 17u + (uint32_t)r),
                                   .residual = fill(words, 5),
                                   .gamma = fill(row_words(), 3),
                                   .residual_out = reserve(words),
                                   .norm_out = reserve(words),
                                   .workspace = reserve(largest) };
        MUST(cudaStreamCreateWithFlags(&w.rank[r].stream, cudaStreamNonBlocking));
    }
}

static void free_ranks(void)
{
    for (int r = 0; r < w.ranks; r++) {
        MUST(cudaSetDevice(r));
        void *const all[] = { w.rank[r].input,        w.rank[r].residual, w.rank[r].gamma,
                              w.rank[r].residual_out, w.rank[r].norm_out, w.rank[r].workspace };
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            MUST(cudaFree(all[i]));
        MUST(cudaStreamDestroy(w.rank[r].stream));
    }
}

/* Workspaces as new, for calls of one family. */
static void reset(enum hl_family family)
{
    w.layout = hl_layout_make(family, w.ranks, TOKENS_MAX, w.hidden, HL_BF16);
    uint32_t *image = calloc(w.layout.words, 4);
    hl_workspace_flags(&w.layout, image);
    for (uint32_t i = w.layout.buffers_at; i < w.layout.words; i++)
        image[i] = hl_sentinel_word(&w.layout);
    for (int r = 0; r < w.ranks; r++) {
        MUST(cudaSetDevice(r));
        MUST(cudaMemcpy(w.rank[r].workspace, image, w.layout.words * 4ull, cudaMemcpyHostToDevice));
        MUST(cudaDeviceSynchronize());
    }
    free(image);
    *(volatile uint32_t *)w.abort_word = 0;
}

/* Two calls' kernels may be there at once; all of them must fit. */
static uint32_t ctas_of(const struct hl_cuda_call *call, struct hl_cuda_launch *launch, int kernels)
{
    uint32_t resident;
    launch->ctas = hl_kernel_ctas(launch->kernel, call->tokens, 132);
    MUST(hl_cuda_resident_ctas(call, launch, &resident));
    const uint32_t share = resident / (2u * (unsigned)kernels);
    return launch->ctas < share ? launch->ctas : share;
}

static void enqueue(const struct candidate *c, int r, uint32_t tokens)
{
    const struct rank *own = &w.rank[r];
    struct hl_cuda_call call = { .layout = w.layout,
                                 .protocol = c->protocol,
                                 .rank = r,
                                 .tokens = tokens,
                                 .input = own->input,
                                 .residual = own->residual,
                                 .gamma = own->gamma,
                                 .residual_out = own->residual_out,
                                 .norm_out = own->norm_out,
                                 .abort_word = w.abort_word };
    const struct hl_kernel_list list = hl_protocol_kernels(c->protocol);
    for (int peer = 0; peer < w.ranks; peer++)
        call.workspace[peer] = w.rank[peer].workspace;
    for (int i = 0; i < list.count; i++) {
        struct hl_cuda_launch launch = { .kernel = list.kernels[i], .pdl = c->pdl };
        if (launch.kernel == HL_KERNEL_NCCL_ALLREDUCE)
            continue; /* NCCL's own is on the stream */
        launch.ctas = ctas_of(&call, &launch, list.count);
        MUST(hl_cuda_launch(&call, &launch, own->stream));
    }
}

/* One thread records for all ranks, so NCCL's calls of one number stand in a group. */
static void capture(struct candidate *c, uint32_t tokens)
{
    cudaGraph_t recorded;
    for (int r = 0; r < w.ranks; r++) {
        MUST(cudaSetDevice(r));
        MUST(cudaStreamBeginCapture(w.rank[r].stream, cudaStreamCaptureModeRelaxed));
    }
    for (int i = 0; i < CALLS; i++) {
        MUST(nccl.group_start());
        for (int r = 0; r < w.ranks && c->protocol == HL_NCCL; r++)
            MUST(nccl.all_reduce(w.rank[r].input, w.rank[r].residual_out, (size_t)tokens * w.hidden,
                                 BF16_OF_NCCL, SUM_OF_NCCL, nccl.comms[r], w.rank[r].stream));
        MUST(nccl.group_end());
        for (int r = 0; r < w.ranks; r++) {
            MUST(cudaSetDevice(r));
            enqueue(c, r, tokens);
        }
    }
    for (int r = 0; r < w.ranks; r++) {
        MUST(cudaSetDevice(r));
        MUST(cudaStreamEndCapture(w.rank[r].stream, &recorded));
        MUST(cudaGraphInstantiate(&c->graphs[r], recorded, 0));
        MUST(cudaGraphUpload(c->graphs[r], w.rank[r].stream));
        MUST(cudaGraphDestroy(recorded));
        MUST(cudaDeviceSynchronize());
    }
}

/* Microseconds a call. */
static double replay(const struct candidate *c, int replays)
{
    const double begin_ms = now_ms();
    for (int i = 0; i < replays; i++)
        for (int r = 0; r < w.ranks; r++) {
            MUST(cudaSetDevice(r));
            MUST(cudaGraphLaunch(c->graphs[r], w.rank[r].stream));
        }
    for (int r = 0; r < w.ranks; r++) {
        int state;
        while ((state = cudaStreamQuery(w.rank[r].stream)) == cudaErrorNotReady)
            if (now_ms() - begin_ms > LIMIT_MS) {
                *(volatile uint32_t *)w.abort_word = 1;
                fprintf(stderr, "%s hangs\n", c->name);
                exit(1);
            }
        MUST(state);
    }
    return (now_ms() - begin_ms) * 1e3 / replays / CALLS;
}

static float element(const uint32_t *row, uint32_t i)
{
    const uint32_t bits = (row[i / 2] >> (i % 2 * 16)) << 16;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Elements of the last rank's norm that are off by more than bf16's rounding of two different sums. */
static uint64_t compare(uint32_t tokens, uint32_t **reference)
{
    const uint64_t words = tokens * row_words();
    uint32_t *rows = malloc(words * 4);
    uint64_t wrong = 0;
    MUST(cudaSetDevice(w.ranks - 1));
    MUST(cudaMemcpy(rows, w.rank[w.ranks - 1].norm_out, words * 4, cudaMemcpyDeviceToHost));
    if (!*reference) {
        *reference = rows;
        return 0;
    }
    for (uint32_t i = 0; i < tokens * w.hidden; i++) {
        const float a = element(rows, i), b = element(*reference, i);
        wrong += !(fabsf(a - b) <= 0.03f * fabsf(b) + 0.02f);
    }
    free(rows);
    return wrong;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(uint32_t tokens)
{
    struct candidate all[] = { { .name = "nccl + norm", .protocol = HL_NCCL },
                               { .name = "mnnvl one-shot", .protocol = HL_MNNVL_ONESHOT, .pdl = true },
                               { .name = "mnnvl two-shot", .protocol = HL_MNNVL_TWOSHOT, .pdl = true },
                               { .name = "trtllm one-shot", .protocol = HL_TRTLLM_ONESHOT, .pdl = true },
                               { .name = "trtllm two-shot", .protocol = HL_TRTLLM_TWOSHOT, .pdl = true } };
    const int n = sizeof all / sizeof *all, replays = tokens <= 64 ? 20 : 4;
    uint32_t *reference = NULL;
    printf("| %u | %u |", w.hidden, tokens);
    for (int i = 0; i < n; i++) {
        if (all[i].protocol == HL_TRTLLM_TWOSHOT && tokens <= (unsigned)w.ranks) {
            printf(" - |");
            continue;
        }
        reset(hl_protocol_family(all[i].protocol));
        capture(&all[i], tokens);
        replay(&all[i], 1);
        const uint64_t wrong = compare(tokens, &reference);
        for (int round = 0; round < ROUNDS; round++)
            all[i].us[round] = replay(&all[i], replays);
        qsort(all[i].us, ROUNDS, sizeof *all[i].us, ascending);
        printf(wrong ? " %.2f (%llu wrong) |" : " %.2f |", all[i].us[ROUNDS / 2], (unsigned long long)wrong);
        for (int r = 0; r < w.ranks; r++)
            MUST(cudaGraphExecDestroy(all[i].graphs[r]));
    }
    printf("\n");
    fflush(stdout);
    free(reference);
}

int main(void)
{
    struct cudaDeviceProp prop;
    static const uint32_t counts[] = { 1, 4, 16, 64, 128, 256, 512, 1024, TOKENS_MAX };
    int gpus = 0;
    setenv("CUDA_MODULE_LOADING", "EAGER", 1);
    if (cudaGetDeviceCount(&gpus) != cudaSuccess || gpus < 2) {
        printf("%d GPUs here; ranks on GPUs of their own take 2\n", gpus);
        return 77;
    }
    w.ranks = gpus >= 8 ? 8 : gpus >= 4 ? 4 : 2;
    MUST(cudaGetDeviceProperties(&prop, 0));
    for (int a = 0; a < w.ranks; a++) {
        MUST(cudaSetDevice(a));
        for (int b = 0; b < w.ranks; b++)
            if (a != b)
                MUST(cudaDeviceEnablePeerAccess(b, 0));
    }
    MUST(cudaHostAlloc((void **)&w.abort_word, 4, cudaHostAllocPortable | cudaHostAllocMapped));
    load_nccl();
    printf("%d x %s, bf16, us a call in graphs of %d\n", w.ranks, prop.name, CALLS);
    puts("| hidden | tokens | nccl + norm | mnnvl one-shot | mnnvl two-shot | trtllm one-shot | trtllm "
         "two-shot |\n"
         "|-|-|-|-|-|-|-|");
    for (w.hidden = 4096; w.hidden <= 7168; w.hidden += 3072) {
        make_ranks();
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            measure(counts[i]);
        free_ranks();
    }
    return 0;
}

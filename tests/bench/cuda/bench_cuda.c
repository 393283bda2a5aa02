/* How fast are the CUDA kernels? Per call inside graphs, ranks on one GPU, beside the hand-written twin in
 * the same run; then the two-shot's bytes a second beside a device copy's.
 *
 * Each time is the median of rounds that alternate between the candidates, forth and back; a ratio is the
 * median over rounds of the ratio within one, so that a clock that drifts spoils none. A replay is a graph of
 * 16 calls per rank; FlashInfer's trtllm one-shot took 4.6, 5.6, 6.8 and 7.6 us on an H200 measured this way.
 */
#include "twin.h"
#include "virtual_ranks.h"
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HL_CALLS_PER_GRAPH 16
#define HL_REPLAYS 40
#define HL_ROUNDS 61
#define HL_LIMIT_MS 5000.0

/* One way to do a call. */
struct hl_candidate {
    const char *name;
    enum hl_protocol protocol;
    enum { HL_STEP_SOURCE, HL_TWIN, HL_EMPTY } build;
    bool pdl;
    uint32_t blocks;
    cudaGraphExec_t graphs[HL_RANKS_MAX];
    double us[HL_ROUNDS];
};

static int hl_compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double hl_median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, hl_compare_doubles);
    return values[count / 2];
}

static void hl_capture(struct hl_group *g, struct hl_candidate *c, uint32_t tokens, uint32_t calls)
{
    g->pdl = c->pdl;
    g->blocks = c->blocks;
    for (int r = 0; r < g->layout.ranks; r++) {
        cudaGraph_t recorded;
        HL_CUDA(cudaStreamBeginCapture(g->streams[r], cudaStreamCaptureModeThreadLocal));
        for (uint32_t k = 0; k < calls; k++) {
            const struct hl_group_call what = { .protocol = c->protocol,
                                                .tokens = tokens,
                                                .set = k % g->sets };
            struct hl_cuda_call call;
            hl_group_fill(g, r, what, &call);
            if (c->build == HL_STEP_SOURCE)
                hl_group_enqueue(g, r, what);
            else
                HL_CUDA(
                    (c->build == HL_TWIN ? hl_twin_launch : hl_empty_launch)(&call, c->pdl, g->streams[r]));
        }
        HL_CUDA(cudaStreamEndCapture(g->streams[r], &recorded));
        HL_CUDA(cudaGraphInstantiate(&c->graphs[r], recorded, 0));
        HL_CUDA(cudaGraphUpload(c->graphs[r], g->streams[r]));
        HL_CUDA(cudaGraphDestroy(recorded));
    }
    HL_CUDA(cudaDeviceSynchronize());
}

/* Microseconds a call over `replays` graphs. */
static double hl_replay(struct hl_group *g, struct hl_candidate *c, uint32_t replays, uint32_t calls)
{
    const double begin_ms = hl_now_ms();
    for (uint32_t i = 0; i < replays; i++)
        for (int r = 0; r < g->layout.ranks; r++)
            HL_CUDA(cudaGraphLaunch(c->graphs[r], g->streams[r]));
    if (!hl_group_wait(g, HL_LIMIT_MS)) {
        fprintf(stderr, "%s hangs\n", c->name);
        exit(1);
    }
    return (hl_now_ms() - begin_ms) * 1e3 / replays / calls;
}

static void hl_release(struct hl_group *g, struct hl_candidate *c)
{
    for (int r = 0; r < g->layout.ranks; r++)
        HL_CUDA(cudaGraphExecDestroy(c->graphs[r]));
}

/* The candidates of one family alternate on one workspace; each one's rows are checked first. */
static void hl_measure(struct hl_group *g, struct hl_candidate *candidates, size_t count, uint32_t tokens)
{
    for (size_t i = 0; i < count; i++) {
        const struct hl_group_call call = { .protocol = candidates[i].protocol, .tokens = tokens, .set = 0 };
        hl_group_reset(g);
        hl_capture(g, &candidates[i], tokens, HL_CALLS_PER_GRAPH);
        hl_replay(g, &candidates[i], 2, HL_CALLS_PER_GRAPH);
        if (candidates[i].build != HL_EMPTY && hl_group_check(g, call)) {
            fprintf(stderr, "%s computes wrong rows\n", candidates[i].name);
            exit(1);
        }
    }
    for (int round = 0; round < HL_ROUNDS; round++)
        for (size_t k = 0; k < count; k++) {
            struct hl_candidate *c = &candidates[round % 2 ? count - 1 - k : k];
            c->us[round] = hl_replay(g, c, HL_REPLAYS, HL_CALLS_PER_GRAPH);
        }
    for (size_t i = 0; i < count; i++)
        hl_release(g, &candidates[i]);
}

/* Of the candidate's time to the twin's, before hl_median() sorts them. */
static double hl_ratio(const struct hl_candidate *c, const struct hl_candidate *twin)
{
    double ratios[HL_ROUNDS];
    for (int round = 0; round < HL_ROUNDS; round++)
        ratios[round] = c->us[round] / twin->us[round];
    return hl_median(ratios, HL_ROUNDS);
}

static void hl_bench_oneshot(int ranks, uint32_t tokens, double goal_us)
{
    struct hl_group g;
    struct hl_candidate mnnvl[] = {
        { .name = "empty", .protocol = HL_MNNVL_ONESHOT, .build = HL_EMPTY },
        { .name = "twin", .protocol = HL_MNNVL_ONESHOT, .build = HL_TWIN },
        { .name = "step", .protocol = HL_MNNVL_ONESHOT },
        { .name = "empty pdl", .protocol = HL_MNNVL_ONESHOT, .build = HL_EMPTY, .pdl = true },
        { .name = "twin pdl", .protocol = HL_MNNVL_ONESHOT, .build = HL_TWIN, .pdl = true },
        { .name = "step pdl", .protocol = HL_MNNVL_ONESHOT, .pdl = true },
    };
    struct hl_candidate trtllm[] = {
        { .name = "trtllm", .protocol = HL_TRTLLM_ONESHOT },
        { .name = "trtllm pdl", .protocol = HL_TRTLLM_ONESHOT, .pdl = true },
    };
    hl_group_init(&g, HL_FAMILY_MNNVL, ranks, HL_BF16, 4096, tokens, 4, 3);
    hl_measure(&g, mnnvl, 6, tokens);
    hl_group_finish(&g);
    hl_group_init(&g, HL_FAMILY_TRTLLM, ranks, HL_BF16, 4096, tokens, 4, 3);
    hl_measure(&g, trtllm, 2, tokens);
    hl_group_finish(&g);
    printf("| %d x %-2u | %5.2f |", ranks, tokens, goal_us);
    for (int i = 0; i < 6; i += 3) {
        const double ratio = hl_ratio(&mnnvl[i + 2], &mnnvl[i + 1]);
        printf(" %5.2f | %5.2f | %5.2f | %5.3f |", hl_median(mnnvl[i].us, HL_ROUNDS),
               hl_median(mnnvl[i + 1].us, HL_ROUNDS), hl_median(mnnvl[i + 2].us, HL_ROUNDS), ratio);
    }
    printf(" %5.2f | %5.2f |\n", hl_median(trtllm[0].us, HL_ROUNDS), hl_median(trtllm[1].us, HL_ROUNDS));
    fflush(stdout);
}

/* Bytes a second of a large device copy, read plus written. */
static double hl_copy_rate(void)
{
    const size_t bytes = (size_t)1 << 30;
    void *from, *to;
    double rates[9];
    HL_CUDA(cudaMalloc(&from, bytes));
    HL_CUDA(cudaMalloc(&to, bytes));
    HL_CUDA(cudaMemset(from, 0x5a, bytes));
    for (int i = 0; i < 9; i++) {
        HL_CUDA(cudaDeviceSynchronize());
        const double begin_ms = hl_now_ms();
        for (int k = 0; k < 4; k++)
            HL_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, 0));
        HL_CUDA(cudaDeviceSynchronize());
        rates[i] = 4 * 2 * (double)bytes / ((hl_now_ms() - begin_ms) * 1e-3);
    }
    HL_CUDA(cudaFree(from));
    HL_CUDA(cudaFree(to));
    return hl_median(rates, 9);
}

/* Bytes that one rank must move in a two-shot call, each counted once read or written: rows to scatter and
 * their slots (3), to gather (1), reduced rows to all (1), their reading, residual, two outputs (4), clears
 * (2). */
static double hl_twoshot_bytes(const struct hl_group *g, uint32_t tokens)
{
    return (double)tokens * g->layout.row_words * 4 * 10;
}

static void hl_bench_twoshot(enum hl_family family, enum hl_protocol protocol, int ranks, uint32_t tokens,
                             double copy)
{
    enum { calls = 4, rounds = 9 };
    struct hl_group g;
    struct hl_candidate c = { .name = "two-shot", .protocol = protocol, .pdl = true };
    hl_group_init(&g, family, ranks, HL_BF16, 4096, tokens, 2, 3);
    hl_capture(&g, &c, tokens, calls);
    hl_replay(&g, &c, 2, calls);
    /* The first rows only: check_cuda looks at all of them, which takes a CPU a while. */
    if (hl_group_check(&g, (struct hl_group_call){ .protocol = protocol, .tokens = 64, .set = 1 })) {
        fprintf(stderr, "the two-shot computes wrong rows\n");
        exit(1);
    }
    for (int i = 0; i < rounds; i++)
        c.us[i] = hl_replay(&g, &c, 8, calls);
    const double us = hl_median(c.us, rounds), rate = ranks * hl_twoshot_bytes(&g, tokens) / (us * 1e-6);
    printf("| %s | %d | %4u | %8.1f us | %5.2f TB/s | %4.0f %% of the copy |\n",
           family == HL_FAMILY_MNNVL ? "mnnvl" : "trtllm", ranks, tokens, us, rate * 1e-12,
           100 * rate / copy);
    fflush(stdout);
    hl_release(&g, &c);
    hl_group_finish(&g);
}

int main(void)
{
    struct cudaDeviceProp prop;
    int driver;
    setenv("CUDA_MODULE_LOADING", "EAGER", 1);
    setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 1);
    if (cudaGetDeviceProperties(&prop, 0) != cudaSuccess) {
        puts("no GPU");
        return 77;
    }
    HL_CUDA(cudaDriverGetVersion(&driver));
    printf("%s, driver for CUDA %d.%d; one-shot, bf16, hidden 4096, us a call in graphs of %d\n", prop.name,
           driver / 1000, driver % 1000 / 10, HL_CALLS_PER_GRAPH);
    puts("| ranks x tokens | goal | empty | twin | mnnvl | ratio | empty, pdl | twin, pdl | mnnvl, pdl | "
         "ratio "
         "| trtllm | trtllm, pdl |\n|-|-|-|-|-|-|-|-|-|-|-|-|");
    hl_bench_oneshot(2, 4, 4.0);
    hl_bench_oneshot(4, 4, 5.3);
    hl_bench_oneshot(4, 16, 5.6);
    hl_bench_oneshot(8, 4, 7.5);
    hl_bench_oneshot(8, 16, 12.0);
    const double copy = hl_copy_rate();
    printf("device copy: %.2f TB/s\n| family | ranks | tokens | a call | bytes | |\n|-|-|-|-|-|-|\n",
           copy * 1e-12);
    for (uint32_t tokens = 512; tokens <= 2048; tokens *= 4)
        for (int ranks = 2; ranks <= 8; ranks *= 2) {
            hl_bench_twoshot(HL_FAMILY_MNNVL, HL_MNNVL_TWOSHOT, ranks, tokens, copy);
            hl_bench_twoshot(HL_FAMILY_TRTLLM, HL_TRTLLM_TWOSHOT, ranks, tokens, copy);
        }
    return 0;
}

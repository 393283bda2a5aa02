/* Do the CUDA kernels compute the right rows, and hang exactly where they must?
 *
 * Every protocol, data type and world size runs sequences of calls of changing sizes on one workspace,
 * one-shot and two-shot in turn, eager and in graphs, with and without programmatic dependent launch. Then
 * the product's central fact: negative-subnormal words hang a float comparison under -ftz=true and pass a
 * comparison of bits. Then the mutants, which must hang or give wrong rows. Exit: 0, 1 a failed case, 77 no
 * GPU. */
#include "virtual_ranks.h"
#include "../../../kernels/cuda/fill.h"
#include "../../../kernels/sim/numbers.h"
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HL_HANG_MS 200.0
#define HL_CASE_MS 4000.0

static const char *const dtype_names[] = {
#define X(id, name, doc) name,
    HL_DTYPES(X)
#undef X
};
static const char *const family_names[] = { "mnnvl", "trtllm", "nccl" };
static const char *const mutant_names[] = {
#define X(id, name, doc) name,
    HL_MUTANTS(X)
#undef X
};
static int failures;

static void hl_report(bool ok, const char *what)
{
    printf("%s  %s\n", ok ? "ok  " : "FAIL", what);
    fflush(stdout);
    failures += !ok;
}

/* Call `k` of a sequence: sizes vary, strategies alternate. */
static struct hl_group_call hl_nth_call(const struct hl_group *g, uint32_t k)
{
    static const uint32_t sizes[] = { 4, 1, 16, 3, 64, 7, 2, 33, 5, 17, 1, 48 };
    const uint32_t ranks = (uint32_t)g->layout.ranks;
    uint32_t tokens = sizes[k % (sizeof sizes / sizeof sizes[0])];
    if (tokens > g->layout.tokens_max)
        tokens = g->layout.tokens_max;
    struct hl_group_call call = { .tokens = tokens, .set = k % HL_INPUT_SETS };
    const bool twoshot =
        k % 3 == 1 && g->mutant != HL_MUTANT_DROP_STORE; /* that one drops a one-shot's store */
    switch (g->layout.family) {
    case HL_FAMILY_MNNVL: call.protocol = twoshot ? HL_MNNVL_TWOSHOT : HL_MNNVL_ONESHOT; break;
    case HL_FAMILY_TRTLLM:
        call.protocol = twoshot && tokens > ranks ? HL_TRTLLM_TWOSHOT : HL_TRTLLM_ONESHOT;
        break;
    default: call.protocol = k % 5 == 4 ? HL_NORM_ONLY : HL_NCCL; break;
    }
    return call;
}

/* Enqueues the calls begin..end on all ranks, each rank's in a graph of its own if `graph`. */
static void hl_issue(struct hl_group *g, uint32_t begin, uint32_t end, bool graph)
{
    cudaGraphExec_t execs[HL_RANKS_MAX];
    if (!graph) {
        for (uint32_t k = begin; k < end; k++)
            for (int r = 0; r < g->layout.ranks; r++)
                hl_group_enqueue(g, r, hl_nth_call(g, k));
        return;
    }
    for (int r = 0; r < g->layout.ranks; r++) {
        cudaGraph_t recorded;
        HL_CUDA(cudaStreamBeginCapture(g->streams[r], cudaStreamCaptureModeThreadLocal));
        for (uint32_t k = begin; k < end; k++)
            hl_group_enqueue(g, r, hl_nth_call(g, k));
        HL_CUDA(cudaStreamEndCapture(g->streams[r], &recorded));
        HL_CUDA(cudaGraphInstantiate(&execs[r], recorded, 0));
        HL_CUDA(cudaGraphUpload(execs[r], g->streams[r]));
        HL_CUDA(cudaGraphDestroy(recorded));
    }
    for (int r = 0; r < g->layout.ranks; r++)
        HL_CUDA(cudaGraphLaunch(execs[r], g->streams[r]));
    for (int r = 0; r < g->layout.ranks; r++) /* destroyed once the launch has ended */
        HL_CUDA(cudaGraphExecDestroy(execs[r]));
}

/* `calls` calls in batches of HL_INPUT_SETS; false as soon as one hangs or is wrong. */
static bool hl_sequence(struct hl_group *g, uint32_t calls, bool graph, uint64_t *ret_errors, bool *ret_hung)
{
    *ret_errors = 0;
    *ret_hung = false;
    for (uint32_t k = 0; k < calls; k += HL_INPUT_SETS) {
        const uint32_t end = k + HL_INPUT_SETS < calls ? k + HL_INPUT_SETS : calls;
        hl_group_poison(g);
        hl_issue(g, k, end, graph);
        *ret_hung = !hl_group_wait(g, g->mutant == HL_MUTANT_NONE ? HL_CASE_MS : HL_HANG_MS);
        if (*ret_hung)
            return false;
        for (uint32_t i = k; i < end; i++)
            *ret_errors += hl_group_check(g, hl_nth_call(g, i));
        if (*ret_errors)
            return false;
    }
    return true;
}

static void hl_check_shape(enum hl_family family, int ranks, enum hl_dtype dtype, uint32_t hidden,
                           uint32_t tokens_max, uint32_t calls)
{
    struct hl_group g;
    hl_group_init(&g, family, ranks, dtype, hidden, tokens_max, HL_INPUT_SETS, 7 + hidden);
    for (int compare = 0; compare < (family == HL_FAMILY_MNNVL ? 2 : 1); compare++)
        for (int mode = 0; mode < 4; mode++) {
            char what[160];
            uint64_t errors;
            bool hung;
            g.compare = (enum hl_compare)compare;
            g.pdl = mode & 1;
            hl_group_reset(&g);
            const bool ok = hl_sequence(&g, calls, mode & 2, &errors, &hung);
            snprintf(what, sizeof what,
                     "%s %d ranks %s hidden %u, %u calls to %u tokens, %s%s%s: %s, %llu wrong",
                     family_names[family], ranks, dtype_names[dtype], hidden, calls, tokens_max,
                     mode & 2 ? "graph" : "eager", g.pdl ? " pdl" : "", compare ? " float-ftz" : "",
                     hung ? "HUNG" : "ended", (unsigned long long)errors);
            hl_report(ok, what);
        }
    hl_group_finish(&g);
}

static void hl_check_large(enum hl_family family, enum hl_protocol protocol, int ranks, uint32_t tokens)
{
    struct hl_group g;
    char what[120];
    hl_group_init(&g, family, ranks, HL_BF16, 4096, tokens, 2, tokens);
    for (uint32_t k = 0; k < 4; k++)
        for (int r = 0; r < ranks; r++)
            hl_group_enqueue(&g, r,
                             (struct hl_group_call){ .protocol = protocol, .tokens = tokens, .set = k % 2 });
    const bool ended = hl_group_wait(&g, HL_CASE_MS);
    const uint64_t errors =
        hl_group_check(&g, (struct hl_group_call){ .protocol = protocol, .tokens = tokens, .set = 1 });
    snprintf(what, sizeof what, "%s two-shot %d ranks x %u tokens: %s, %llu wrong", family_names[family],
             ranks, tokens, ended ? "ended" : "HUNG", (unsigned long long)errors);
    hl_report(ended && errors == 0, what);
    hl_group_finish(&g);
}

/* Words that rank 0's one-shot buffer 0 still misses, by the comparison of bits and by that of floats. */
static void hl_count_missing(const struct hl_group *g, uint32_t tokens, uint32_t *ret_bits,
                             uint32_t *ret_float)
{
    const uint32_t words = tokens * (uint32_t)g->layout.ranks * g->layout.row_words;
    uint32_t *slots = malloc(words * 4);
    HL_CUDA(cudaMemcpy(slots, g->workspaces[0] + g->layout.buffers_at, words * 4, cudaMemcpyDeviceToHost));
    *ret_bits = *ret_float = 0;
    for (uint32_t i = 0; i < words; i++) {
        *ret_bits += hl_is_sentinel(slots[i], HL_COMPARE_BITS);
        *ret_float += hl_is_sentinel(slots[i], HL_COMPARE_FLOAT_FTZ);
    }
    free(slots);
}

/* (0x0000, 0x8001..0x807f) pairs of bf16 in rank 1's rows: as fp32 words these are negative subnormals. */
static void hl_check_negative_subnormals(enum hl_protocol protocol, enum hl_compare compare, bool pdl,
                                         bool must_hang)
{
    const uint32_t tokens = 4;
    struct hl_group g;
    uint32_t missing_bits, missing_float;
    char what[240];
    hl_group_init(&g, HL_FAMILY_MNNVL, 2, HL_BF16, 4096, 16, 2, 11);
    g.compare = compare;
    g.pdl = pdl;
    for (uint32_t i = 0; i < 127; i++)
        g.host_inputs[1][17 * i] = (0x8001u + i) << 16;
    hl_group_upload(&g);
    const struct hl_group_call call = { .protocol = protocol, .tokens = tokens, .set = 0 };
    for (int r = 0; r < 2; r++)
        hl_group_enqueue(&g, r, call);
    const bool ended = hl_group_wait(&g, HL_HANG_MS);
    hl_count_missing(&g, tokens, &missing_bits, &missing_float);
    const uint64_t errors = ended ? hl_group_check(&g, call) : 0;
    const double begin_ms = hl_now_ms();
    hl_group_reset(&g); /* the way back: fresh workspaces, ordinary rows */
    const struct hl_group_call next = { .protocol = HL_MNNVL_ONESHOT, .tokens = tokens, .set = 1 };
    for (int r = 0; r < 2; r++)
        hl_group_enqueue(&g, r, next);
    const bool recovered = hl_group_wait(&g, HL_CASE_MS) && hl_group_check(&g, next) == 0;
    snprintf(what, sizeof what,
             "negative subnormals, %s, %s%s: %s, %llu wrong; buffer 0 of rank 0 holds %u sentinels, %u words "
             "that a float "
             "comparison refuses; next call after re-init %s (%.1f ms with its check)",
             protocol == HL_MNNVL_ONESHOT ? "one-shot" : "two-shot", compare ? "float-ftz" : "bits",
             pdl ? " pdl" : "", ended ? "ended" : "HUNG, released by the abort word",
             (unsigned long long)errors, missing_bits, missing_float, recovered ? "right" : "WRONG",
             hl_now_ms() - begin_ms);
    hl_report(ended != must_hang && errors == 0 && recovered && (!must_hang || missing_float > 0), what);
    hl_group_finish(&g);
}

static void hl_check_mutant(enum hl_family family, enum hl_mutant mutant)
{
    struct hl_group g;
    uint64_t errors;
    bool hung;
    char what[120];
    hl_group_init(&g, family, 4, HL_BF16, 4096, 64, HL_INPUT_SETS, 5);
    g.mutant = mutant;
    if (mutant == HL_MUTANT_NO_SANITISE)
        for (uint32_t i = 0; i < 64; i++)
            g.host_inputs[1][i * 31] = HL_SENTINEL;
    hl_group_upload(&g);
    const bool passed = hl_sequence(&g, 48, false, &errors, &hung);
    snprintf(what, sizeof what, "mutant %s %s: %s, %llu wrong", family_names[family], mutant_names[mutant],
             hung ? "hung" : "ended", (unsigned long long)errors);
    hl_report(!passed, what);
    hl_group_finish(&g);
}

/* Two executions of a filler leave different rows, each the ones that hl_fresh_64ths() tells; a copy leaves
 * its source. */
static void hl_check_filler(enum hl_dtype dtype)
{
    enum { rows = 5, row_words = 1440 };
    static uint32_t host[rows * row_words];
    static float values[2 * row_words];
    struct hl_cuda_fill fill = {
        .rows = rows, .row_words = row_words, .dtype = dtype, .seed = 9, .pdl = true
    };
    uint32_t *first, elements = 4 * row_words / hl_dtype_bytes(dtype);
    uint64_t errors = 0;
    char what[80];
    HL_CUDA(cudaMalloc((void **)&first, sizeof host));
    HL_CUDA(cudaMalloc((void **)&fill.output, sizeof host));
    HL_CUDA(cudaMalloc((void **)&fill.executions, 8));
    HL_CUDA(cudaMemset(fill.executions, 0, 8));
    HL_CUDA(hl_cuda_fill(&fill, NULL));
    HL_CUDA(hl_cuda_fill(&fill, NULL));
    struct hl_cuda_fill copy = fill;
    copy.source = fill.output;
    copy.output = first;
    copy.executions = NULL;
    HL_CUDA(hl_cuda_fill(&copy, NULL));
    HL_CUDA(cudaMemcpy(host, first, sizeof host, cudaMemcpyDeviceToHost));
    for (uint32_t row = 0; row < rows; row++) {
        hl_unpack_row(host + row * row_words, row_words, dtype, values);
        for (uint32_t i = 0; i < elements; i++)
            errors += values[i] != (float)hl_fresh_64ths(9, 1, row, i) / 64;
    }
    snprintf(what, sizeof what, "filler %s: %llu wrong", dtype_names[dtype], (unsigned long long)errors);
    hl_report(errors == 0, what);
    HL_CUDA(cudaFree(first));
    HL_CUDA(cudaFree(fill.output));
    HL_CUDA(cudaFree(fill.executions));
}

/* The mutants that have a CUDA build. */
static const enum hl_mutant built[] = {
#define X(id) id,
    HL_CUDA_MUTANTS(X)
#undef X
};

int main(int argc, char **argv)
{
    struct cudaDeviceProp prop;
    const bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    setenv("CUDA_MODULE_LOADING", "EAGER", 1);      /* a lazy load beside a spinning kernel can deadlock */
    setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 1); /* a queue for each rank */
    if (cudaGetDeviceProperties(&prop, 0) != cudaSuccess) {
        puts("no GPU");
        return 77;
    }
    printf("%s, sm_%d%d, %d SMs\n", prop.name, prop.major, prop.minor, prop.multiProcessorCount);
    for (int dtype = 0; dtype < HL_DTYPE_COUNT; dtype++)
        hl_check_filler((enum hl_dtype)dtype);
    hl_check_negative_subnormals(HL_MNNVL_ONESHOT, HL_COMPARE_BITS, false, false);
    hl_check_negative_subnormals(HL_MNNVL_ONESHOT, HL_COMPARE_FLOAT_FTZ, false, true);
    hl_check_negative_subnormals(HL_MNNVL_TWOSHOT, HL_COMPARE_BITS, true, false);
    hl_check_negative_subnormals(HL_MNNVL_TWOSHOT, HL_COMPARE_FLOAT_FTZ, true, true);
    for (int family = 0; family < 3; family++)
        hl_check_shape((enum hl_family)family, 4, HL_BF16, 4096, 64, quick ? 24 : 240);
    for (int family = 0; family < 3; family++)
        for (int dtype = 0; dtype < HL_DTYPE_COUNT; dtype++)
            for (int ranks = 2; ranks <= 16; ranks *= 2)
                hl_check_shape((enum hl_family)family, ranks, (enum hl_dtype)dtype, 1024, 64, 24);
    for (int family = 0; family < 3; family++) { /* a row that fills no warp, and rows that take a cluster */
        hl_check_shape((enum hl_family)family, 2, HL_BF16, 360, 64, 24);
        hl_check_shape((enum hl_family)family, 4, HL_BF16, 2880, 64, 24);
        hl_check_shape((enum hl_family)family, 4, HL_BF16, 16384, 16, 24);
        hl_check_shape((enum hl_family)family, 2, HL_FP32, 16384, 16, 24);
    }
    for (uint32_t tokens = 512; tokens <= 2048; tokens *= 4)
        for (int ranks = 2; ranks <= 8; ranks *= 2) {
            hl_check_large(HL_FAMILY_MNNVL, HL_MNNVL_TWOSHOT, ranks, tokens);
            hl_check_large(HL_FAMILY_TRTLLM, HL_TRTLLM_TWOSHOT, ranks, tokens);
        }
    for (int family = 0; family < 2; family++)
        for (size_t i = 0; i < sizeof built / sizeof *built; i++)
            if (built[i] != HL_MUTANT_NONE)
                hl_check_mutant((enum hl_family)family, built[i]);
    printf("%d failed\n", failures);
    return failures != 0;
}

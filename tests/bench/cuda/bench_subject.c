/* Our trtllm one-shot beside a subject's, such as FlashInfer's own: the same inputs, in turns, in one
 * process.
 *
 * Usage: bench_subject SUBJECT [BLOCKS [HIDDEN [TOKENS]]]; BLOCKS: of our clusters, by default (0) as few as
 * hold a row; HIDDEN: that one alone (0: both); TOKENS: at most. Each line of the table is a child, which is
 * killed where the subject's grids of all ranks do not fit the GPU at once and spin for ever. A number is the
 * median of rounds that alternate between the two; the ratio is the median of the rounds' own ratios. Outputs
 * are compared, too. */
#include <cuda_runtime_api.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../../../framework/subject/subject.h"
#include "../../../kernels/sim/numbers.h"
#include "virtual_ranks.h"

#define CALLS 16 /* of a round's graph, or of an eager burst */
#define REPLAYS 20
#define ROUNDS 15
#define LIMIT_S 5

struct bench {
    struct hl_group g;
    const struct hl_subject_plugin *plugin;
    void *state, *memory;
    struct hl_subject_ranks ranks[HL_RANKS_MAX];
    struct hl_cuda_launch launch;
    uint32_t tokens;
    cudaGraphExec_t graphs[2][HL_RANKS_MAX]; /* ours, theirs */
};

static uint32_t blocks; /* of our clusters; 0: as few as hold a row */

static void must(int failed, const char *message)
{
    if (!failed)
        return;
    fprintf(stderr, "%s\n", message);
    exit(99);
}

static void open_subject(struct bench *b, const char *name)
{
    char path[HL_SUBJECT_PATH_MAX], message[HL_SUBJECT_MESSAGE_MAX] = "";
    struct hl_subject_layout layout;
    struct hl_error error = { 0 };
    const struct hl_subject_shape shape = hl_subject_shape_of(&b->g.layout, HL_SUBJECT_ONESHOT);
    must(hl_subject_find(name, path, &error) || hl_subject_load(path, &b->plugin, &error) ||
             hl_subject_check_shape(b->plugin, &shape, &error),
         error.message);
    must(b->plugin->create(&shape, &b->state, message), message);
    must(hl_subject_describe(b->plugin, b->state, &shape, &layout, &error), error.message);
    const size_t stride = ((size_t)layout.words * 4 + 255) / 256 * 256;
    HL_CUDA(cudaMalloc(&b->memory, stride * (size_t)b->g.layout.ranks));
    for (int r = 0; r < b->g.layout.ranks; r++) {
        b->ranks[r].rank = r;
        for (int peer = 0; peer < b->g.layout.ranks; peer++)
            b->ranks[r].workspace[peer] = (char *)b->memory + (size_t)peer * stride;
        must(b->plugin->reset(b->state, &b->ranks[r], b->g.streams[r], message), message);
    }
    HL_CUDA(cudaDeviceSynchronize());
}

/* As many CTAs as the ranks' share of the GPU; asked once, not at every launch. */
static void plan_launch(struct bench *b, bool pdl)
{
    struct hl_cuda_call call;
    uint32_t resident;
    hl_group_fill(&b->g, 0, (struct hl_group_call){ .protocol = HL_TRTLLM_ONESHOT, .tokens = b->tokens },
                  &call);
    b->launch = (struct hl_cuda_launch){ .kernel = HL_KERNEL_TRTLLM_ONESHOT, .blocks = blocks, .pdl = pdl };
    b->launch.ctas = hl_kernel_ctas(b->launch.kernel, b->tokens, b->g.sms);
    HL_CUDA(hl_cuda_resident_ctas(&call, &b->launch, &resident));
    const uint32_t share = resident / (uint32_t)(b->g.layout.ranks * (pdl ? 2 : 1));
    b->launch.ctas = b->launch.ctas < share ? b->launch.ctas : share;
}

static void enqueue(struct bench *b, bool theirs, int rank, uint32_t set)
{
    char message[HL_SUBJECT_MESSAGE_MAX] = "";
    struct hl_cuda_call call;
    hl_group_fill(&b->g, rank,
                  (struct hl_group_call){ .protocol = HL_TRTLLM_ONESHOT, .tokens = b->tokens, .set = set },
                  &call);
    if (!theirs) {
        HL_CUDA(hl_cuda_launch(&call, &b->launch, b->g.streams[rank]));
        return;
    }
    const struct hl_subject_call to = { .ranks = b->ranks[rank],
                                        .strategy = HL_SUBJECT_ONESHOT,
                                        .tokens = b->tokens,
                                        .input = call.input,
                                        .residual = call.residual,
                                        .gamma = call.gamma,
                                        .residual_out = call.residual_out,
                                        .norm_out = call.norm_out,
                                        .epsilon = HL_RMS_EPSILON,
                                        .pdl = b->launch.pdl,
                                        .abort_word = b->g.abort_word_device };
    must(b->plugin->enqueue(b->state, &to, b->g.streams[rank], message), message);
}

static void capture(struct bench *b, bool theirs)
{
    for (int r = 0; r < b->g.layout.ranks; r++) {
        cudaGraph_t graph;
        HL_CUDA(cudaStreamBeginCapture(b->g.streams[r], cudaStreamCaptureModeRelaxed));
        for (uint32_t k = 0; k < CALLS; k++)
            enqueue(b, theirs, r, k % b->g.sets);
        HL_CUDA(cudaStreamEndCapture(b->g.streams[r], &graph));
        HL_CUDA(cudaGraphInstantiate(&b->graphs[theirs][r], graph, 0));
        HL_CUDA(cudaGraphUpload(b->graphs[theirs][r], b->g.streams[r]));
        HL_CUDA(cudaGraphDestroy(graph));
    }
    HL_CUDA(cudaDeviceSynchronize());
}

/* Microseconds a call. */
static double round_us(struct bench *b, bool theirs, bool eager)
{
    const double begin_ms = hl_now_ms();
    for (uint32_t i = 0; i < REPLAYS; i++)
        if (eager)
            for (uint32_t k = 0; k < CALLS; k++)
                for (int r = 0; r < b->g.layout.ranks; r++)
                    enqueue(b, theirs, r, k % b->g.sets);
        else
            for (int r = 0; r < b->g.layout.ranks; r++)
                HL_CUDA(cudaGraphLaunch(b->graphs[theirs][r], b->g.streams[r]));
    must(!hl_group_wait(&b->g, LIMIT_S * 1e3), "it hangs");
    return (hl_now_ms() - begin_ms) * 1e3 / REPLAYS / CALLS;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double median(double *values)
{
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

/* Norm out of rank 0 in set 0. */
static float *take_rows(struct bench *b, bool theirs)
{
    const uint32_t words = b->tokens * b->g.layout.row_words;
    uint32_t *packed = malloc(words * 4);
    float *rows = malloc(words * 2 * sizeof *rows);
    hl_group_poison(&b->g);
    round_us(b, theirs, false);
    HL_CUDA(cudaMemcpy(packed, b->g.norm_out[0], words * 4, cudaMemcpyDeviceToHost));
    hl_unpack_row(packed, words, HL_BF16, rows);
    free(packed);
    return rows;
}

/* The largest difference between our outputs and theirs, as a part of the larger of the two. */
static double difference(struct bench *b)
{
    float *ours = take_rows(b, false), *theirs = take_rows(b, true);
    double most = 0;
    for (uint32_t i = 0; i < b->tokens * b->g.layout.row_words * 2; i++) {
        const double size = fmax(fmax(fabs(ours[i]), fabs(theirs[i])), 0.25);
        most = fmax(most, fabs((double)ours[i] - theirs[i]) / size);
        if (isnan(ours[i]) != isnan(theirs[i]))
            most = INFINITY;
    }
    free(ours);
    free(theirs);
    return most;
}

static void measure(struct bench *b, bool eager, double us[2], double *ret_ratio)
{
    double times[2][ROUNDS], ratios[ROUNDS];
    round_us(b, false, eager);
    round_us(b, true, eager);
    for (int i = 0; i < ROUNDS; i++) {
        const bool first = i % 2;
        times[first][i] = round_us(b, first, eager);
        times[!first][i] = round_us(b, !first, eager);
        ratios[i] = times[0][i] / times[1][i];
    }
    us[0] = median(times[0]);
    us[1] = median(times[1]);
    *ret_ratio = median(ratios);
}

static void bench_line(const char *subject, int ranks, uint32_t tokens, uint32_t hidden)
{
    static struct bench b;
    b.tokens = tokens;
    HL_CUDA(cudaSetDevice(0));
    hl_group_init(&b.g, HL_FAMILY_TRTLLM, ranks, HL_BF16, hidden, tokens, 4, 3);
    open_subject(&b, subject);
    plan_launch(&b, false);
    printf("| %d | %2u | %4u ", ranks, tokens, hidden);
    for (int pdl = 0; pdl < 2; pdl++) {
        plan_launch(&b, pdl);
        capture(&b, false);
        capture(&b, true);
        if (pdl == 0)
            printf("| %.4f ", difference(&b));
        for (int eager = 0; eager < 2 - pdl; eager++) {
            double us[2], ratio;
            measure(&b, eager, us, &ratio);
            printf("| %5.2f | %5.2f | %5.3f ", us[0], us[1], ratio);
            fflush(stdout);
        }
    }
    puts("|");
    fflush(stdout);
    _exit(0);
}

static void run_line(const char *subject, int ranks, uint32_t tokens, uint32_t hidden)
{
    int status = 0;
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0)
        bench_line(subject, ranks, tokens, hidden);
    for (int i = 0; i < LIMIT_S * 100; i++) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
            if (status)
                printf(" | %d x %u x %u ended with status %#x\n", ranks, tokens, hidden, status);
            return;
        }
        usleep(10000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    printf(" | %d x %u x %u: no end within %d s: the grids do not fit the GPU together |\n", ranks, tokens,
           hidden, LIMIT_S);
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 5) {
        fprintf(stderr, "usage: %s SUBJECT [BLOCKS [HIDDEN [TOKENS]]], such as flashinfer@0.6.12\n", argv[0]);
        return 64;
    }
    blocks = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    const unsigned long only_hidden = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    const unsigned long tokens_max = argc > 4 ? strtoul(argv[4], NULL, 10) : 64;
    setenv("CUDA_MODULE_LOADING", "EAGER", 1);
    setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", 1);
    printf("hanglab's trtllm one-shot beside %s's, bf16, us a call; ratio: ours / theirs\n", argv[1]);
    puts("| ranks | tokens | hidden | difference | graph: ours | theirs | ratio | eager: ours | theirs | "
         "ratio | "
         "graph, PDL: ours | theirs | ratio |\n|-|-|-|-|-|-|-|-|-|-|-|-|-|");
    for (int hidden = 4096; hidden <= 7168; hidden += 3072)
        for (int ranks = 2; ranks <= 8; ranks *= 2)
            for (uint32_t tokens = 1; tokens <= tokens_max; tokens *= 4)
                if (!only_hidden || only_hidden == (unsigned long)hidden)
                    run_line(argv[1], ranks, tokens, (uint32_t)hidden);
    return 0;
}

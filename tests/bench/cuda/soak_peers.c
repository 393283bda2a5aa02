/* Ten million calls between GPUs of their own: does one hang, is one wrong?
 *
 *     soak_peers CALLS SECONDS [HIDDEN]
 *
 * Graphs of many calls, as decode graphs are: single tokens one-shot, and a mix of sizes, both protocols,
 * replayed until so many calls have ended or so long. A call counts once, not for every rank. Every word of
 * every call is checked on the GPUs (peers_oracle.h). No progress for LIMIT_MS is a hang. Without hanglab's
 * engine; under its watchdog as any program: `hanglab watch -- soak_peers ..`. */
#include <cuda_runtime_api.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "peers.h"
#include "peers_oracle.h"
#include "virtual_ranks.h"

enum { CALLS_MAX = 256, ROWS_MAX = 2048, TOKENS_MAX = 128, REPLAYS = 32 /* of a graph at a stretch */ };
#define LIMIT_MS 2000.0

/* What a graph holds: calls of these sizes, in turn. 128 tokens take two shots. */
static const struct kind {
    const char *name;
    enum hl_protocol oneshot, twoshot;
    uint32_t calls, sizes[12]; /* 0 ends them */
} kinds[] = {
    { "mnnvl, 1 token", HL_MNNVL_ONESHOT, HL_MNNVL_TWOSHOT, 256, { 1 } },
    { "trtllm, 1 token", HL_TRTLLM_ONESHOT, HL_TRTLLM_TWOSHOT, 256, { 1 } },
    { "mnnvl, mix", HL_MNNVL_ONESHOT, HL_MNNVL_TWOSHOT, 88, { 1, 2, 1, 4, 1, 16, 1, 128, 1, 8, 3 } },
    { "trtllm, mix", HL_TRTLLM_ONESHOT, HL_TRTLLM_TWOSHOT, 88, { 1, 2, 1, 4, 1, 16, 1, 128, 1, 8, 3 } },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static struct {
    struct hl_peers p;
    struct hl_peers_oracle oracle[HL_RANKS_MAX];
    cudaGraphExec_t graphs[KINDS][HL_RANKS_MAX];
    uint64_t replays[KINDS];
    double ms[KINDS];
    uint32_t asked; /* replays of all kinds: each rank's report comes to it */
} s;

static void make_oracle(int rank)
{
    const struct hl_peer *own = &s.p.rank[rank];
    struct hl_peers_oracle *o = &s.oracle[rank];
    *o = (struct hl_peers_oracle){ .rank = rank,
                                   .ranks = s.p.ranks,
                                   .seed = 1,
                                   .row_words = s.p.hidden / 2,
                                   .input = own->input,
                                   .residual = own->residual,
                                   .gamma = own->gamma,
                                   .residual_out = own->residual_out,
                                   .norm_out = own->norm_out };
    hl_peers_use(rank);
    HL_CUDA(cudaMalloc((void **)&o->replay, sizeof *o->replay));
    HL_CUDA(cudaMemset(o->replay, 0, sizeof *o->replay));
    HL_CUDA(
        cudaHostAlloc((void **)&o->report, sizeof *o->report, cudaHostAllocPortable | cudaHostAllocMapped));
    *o->report = (struct hl_peers_report){ 0 };
    HL_CUDA(cudaDeviceSynchronize());
}

static uint32_t size_of(const struct kind *kind, uint32_t call)
{
    uint32_t n = 0;
    while (kind->sizes[n])
        n++;
    return kind->sizes[call % n];
}

static void capture(const struct kind *kind, int rank, cudaGraphExec_t *ret_graph)
{
    const cudaStream_t stream = s.p.rank[rank].stream;
    cudaGraph_t recorded;
    struct hl_peers_oracle *o = &s.oracle[rank];
    o->rows = 0;
    for (uint32_t c = 0; c < kind->calls; c++)
        o->rows += size_of(kind, c);
    hl_peers_use(rank);
    HL_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    HL_CUDA(hl_peers_oracle_fill(o, stream));
    for (uint32_t c = 0, row = 0; c < kind->calls; row += size_of(kind, c), c++) {
        const uint32_t tokens = size_of(kind, c);
        const struct hl_peers_call call =
            hl_peers_prepare(&s.p, rank, tokens < TOKENS_MAX ? kind->oneshot : kind->twoshot, tokens, row);
        hl_peers_enqueue(&call, stream);
    }
    HL_CUDA(hl_peers_oracle_check(o, stream));
    HL_CUDA(cudaStreamEndCapture(stream, &recorded));
    HL_CUDA(cudaGraphInstantiate(ret_graph, recorded, 0));
    HL_CUDA(cudaGraphUpload(*ret_graph, stream));
    HL_CUDA(cudaGraphDestroy(recorded));
    HL_CUDA(cudaStreamSynchronize(stream));
}

static uint32_t done(int rank) { return *(volatile uint32_t *)&s.oracle[rank].report->replays; }

/* Until all ranks' reports have come to what was asked. A hang ends the program. */
static void wait_for_ranks(const struct kind *kind)
{
    uint32_t before[HL_RANKS_MAX] = { 0 };
    double progress_ms = hl_now_ms();
    for (bool all = false; !all;) {
        all = true;
        for (int r = 0; r < s.p.ranks; r++) {
            if (done(r) != before[r])
                progress_ms = hl_now_ms();
            before[r] = done(r);
            all = all && before[r] == s.asked;
        }
        if (hl_now_ms() - progress_ms < LIMIT_MS)
            continue;
        for (int r = 0; r < s.p.ranks; r++)
            printf("%s hangs: rank %d has ended replay %u of %u\n", kind->name, r, done(r), s.asked);
        *(volatile uint32_t *)s.p.abort_word = 1;
        exit(1);
    }
}

static void replay(int k)
{
    const double begin_ms = hl_now_ms();
    for (int i = 0; i < REPLAYS; i++)
        for (int r = 0; r < s.p.ranks; r++) {
            hl_peers_use(r);
            HL_CUDA(cudaGraphLaunch(s.graphs[k][r], s.p.rank[r].stream));
        }
    s.asked += REPLAYS;
    wait_for_ranks(&kinds[k]);
    s.replays[k] += REPLAYS;
    s.ms[k] += hl_now_ms() - begin_ms;
}

static uint64_t wrong_words(void)
{
    uint64_t wrong = 0;
    for (int r = 0; r < s.p.ranks; r++) {
        const struct hl_peers_report *report = s.oracle[r].report;
        if (report->wrong)
            printf("rank %d: %u words are wrong, the first in replay %u, row %u, word %u: 0x%08x and not "
                   "0x%08x\n",
                   r, report->wrong, report->first_replay, report->first_row, report->first_word, report->got,
                   report->expected);
        wrong += report->wrong;
    }
    return wrong;
}

/* Returns the calls. */
static uint64_t print_table(void)
{
    uint64_t calls = 0;
    printf("| graph | calls | us a call |\n|-|-|-|\n");
    for (int k = 0; k < KINDS; k++) {
        const uint64_t n = s.replays[k] * kinds[k].calls;
        printf("| %s | %" PRIu64 " | %.2f |\n", kinds[k].name, n, s.ms[k] * 1e3 / (double)n);
        calls += n;
    }
    return calls;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: soak_peers CALLS SECONDS [HIDDEN]: until so many calls or so long\n");
        return 64;
    }
    const uint64_t goal = strtoull(argv[1], NULL, 10);
    const double limit_ms = strtod(argv[2], NULL) * 1e3, begin_ms = hl_now_ms();
    if (!hl_peers_find(&s.p)) {
        puts("ranks on GPUs of their own take 2 GPUs");
        return 77;
    }
    hl_peers_make(&s.p, argc > 3 ? (uint32_t)atoi(argv[3]) : 4096, TOKENS_MAX, ROWS_MAX);
    for (int r = 0; r < s.p.ranks; r++) {
        make_oracle(r);
        for (int k = 0; k < KINDS; k++)
            capture(&kinds[k], r, &s.graphs[k][r]);
    }
    uint64_t calls = 0, wrong = 0;
    while (calls < goal && wrong == 0 && hl_now_ms() - begin_ms < limit_ms) {
        for (int k = 0; k < KINDS; k++) {
            replay(k);
            calls += REPLAYS * kinds[k].calls;
        }
        wrong = wrong_words();
    }
    calls = print_table();
    printf("%d ranks, hidden %u: %" PRIu64 " calls, no hang, %" PRIu64 " wrong words, %.1f s\n", s.p.ranks,
           s.p.hidden, calls, wrong, (hl_now_ms() - begin_ms) * 1e-3);
    return wrong ? 1 : calls < goal ? 3 : 0;
}

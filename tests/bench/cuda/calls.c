/* Fused allreduces of four virtual ranks on one GPU, as an ordinary program that hanglab's engine knows
 * nothing of: what watching costs a call, what it does to a race, and whether healthy calls are left alone.
 *
 * It does what its standard input says, a line at a time, and answers each with a line. So several of it,
 * each watched in another way, stay ready and take turns.
 *
 *   work MARKED                  us a call: the fastest of rounds of graphs of 16 calls a rank
 *   race MARKED TRIALS WINDOW IN of so many first calls of a workspace, those that hung. In one of IN trials
 *                                rank 1 fills its workspace up to WINDOW ns late: if a peer's rows are there
 *                                already, they are erased and it waits for ever
 *   calm CALLS SLOW PAUSE HOW    so many healthy calls, SLOW times as long as they could be; before the last
 *                                ones the host pauses for PAUSE ms: HOW idle, with nothing pending, or
 *                                waiting, with three ranks waiting for the fourth. Prints the calls made
 *
 * MARKED is 1: with the marks of `hanglab run` around each call. */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../../../framework/engine/cuda/device.h"
#include "delay.h"
#include "pin.h"
#include "virtual_ranks.h"

#define RANKS 4
#define TOKENS 4
#define HIDDEN 4096
#define CALLS 16 /* a graph and rank */
#define REPLAYS 40
#define ROUNDS 5
#define LIMIT_MS 30000.0
#define HANG_MS 3.0 /* a first call takes some tens of microseconds */
#define CALL_NS 4000

static struct hl_group group;
static uint32_t *fresh; /* a workspace as it begins */
static struct hl_mark_ring ring;
static uint32_t *counters[RANKS]; /* of marked calls */

struct graphs {
    cudaGraphExec_t of_rank[RANKS];
};
static struct graphs many[2], one[2], slow; /* [marked] */

static void set_up_marks(void)
{
    struct hl_mark *marks;
    HL_CUDA(cudaHostAlloc((void **)&marks, HL_MARKS * sizeof *marks, cudaHostAllocMapped));
    HL_CUDA(cudaHostGetDevicePointer((void **)&ring.marks, marks, 0));
    HL_CUDA(cudaMalloc((void **)&ring.taken, 4));
    HL_CUDA(cudaMemset(ring.taken, 0, 4));
    for (int rank = 0; rank < RANKS; rank++) {
        HL_CUDA(cudaMalloc((void **)&counters[rank], 8));
        HL_CUDA(cudaMemset(counters[rank], 0, 8));
    }
}

/* One call of a rank as the CUDA engine issues it: between two marks, none of its rows copied. */
static void enqueue_marked(int rank, struct hl_group_call what)
{
    struct hl_cuda_call call;
    hl_group_fill(&group, rank, what, &call);
    const struct hl_device_call around = { .ring = ring,
                                           .what = hl_mark_what(0, rank, what.set),
                                           .counter = counters[rank],
                                           .tokens = call.tokens,
                                           .row_words = call.layout.row_words,
                                           .input = call.input,
                                           .residual_out = call.residual_out,
                                           .norm_out = call.norm_out };
    HL_CUDA(hl_device_before_call(&around, group.streams[rank]));
    hl_group_enqueue(&group, rank, what);
    HL_CUDA(hl_device_after_call(&around, group.streams[rank]));
}

/* `late_ns`: the last rank comes so late to each call, and the others wait for it. */
static struct graphs capture(int calls, bool marked, uint32_t late_ns)
{
    struct graphs graphs;
    for (int rank = 0; rank < RANKS; rank++) {
        cudaGraph_t recorded;
        HL_CUDA(cudaStreamBeginCapture(group.streams[rank], cudaStreamCaptureModeThreadLocal));
        for (uint32_t i = 0; i < (uint32_t)calls; i++) {
            const struct hl_group_call what = { HL_MNNVL_ONESHOT, TOKENS, i % group.sets };
            if (late_ns && rank == RANKS - 1)
                HL_CUDA(hl_delay(late_ns, group.streams[rank]));
            if (marked)
                enqueue_marked(rank, what);
            else
                hl_group_enqueue(&group, rank, what);
        }
        HL_CUDA(cudaStreamEndCapture(group.streams[rank], &recorded));
        HL_CUDA(cudaGraphInstantiate(&graphs.of_rank[rank], recorded, 0));
        HL_CUDA(cudaGraphUpload(graphs.of_rank[rank], group.streams[rank]));
        HL_CUDA(cudaGraphDestroy(recorded));
    }
    HL_CUDA(cudaDeviceSynchronize());
    return graphs;
}

static void set_up(void)
{
    hl_group_init(&group, HL_FAMILY_MNNVL, RANKS, HL_BF16, HIDDEN, TOKENS, 4, 3);
    const size_t bytes = (size_t)group.layout.words * 4;
    HL_CUDA(cudaMalloc((void **)&fresh, bytes));
    HL_CUDA(cudaMemcpy(fresh, group.workspaces[0], bytes, cudaMemcpyDeviceToDevice));
    set_up_marks();
    HL_CUDA(hl_device_load());
    HL_CUDA(hl_delay(1000, group.streams[0]));
    for (int marked = 0; marked < 2; marked++) {
        many[marked] = capture(CALLS, marked, 0);
        one[marked] = capture(1, marked, 0);
    }
    slow = capture(CALLS, false, 9 * CALL_NS);
}

static void launch(const struct graphs *graphs, int rank)
{
    HL_CUDA(cudaGraphLaunch(graphs->of_rank[rank], group.streams[rank]));
}

static void fill_workspace(int rank)
{
    HL_CUDA(cudaMemcpyAsync(group.workspaces[rank], fresh, (size_t)group.layout.words * 4,
                            cudaMemcpyDeviceToDevice, group.streams[rank]));
}

/* After a hang; all of it waits for the device. */
static void start_anew(void)
{
    for (int rank = 0; rank < RANKS; rank++)
        fill_workspace(rank);
    HL_CUDA(cudaDeviceSynchronize());
    *group.abort_word = 0;
}

static void must_pass(void)
{
    if (hl_group_wait(&group, LIMIT_MS))
        return;
    fprintf(stderr, "healthy calls hang\n");
    exit(1);
}

static double round_us(const struct graphs *graphs)
{
    const double begin_ms = hl_now_ms();
    for (int i = 0; i < REPLAYS; i++)
        for (int rank = 0; rank < RANKS; rank++)
            launch(graphs, rank);
    must_pass();
    return (hl_now_ms() - begin_ms) * 1e3 / REPLAYS / CALLS;
}

static void do_work(int marked)
{
    double fastest_us = 1e9;
    for (int i = 0; i < ROUNDS; i++) {
        const double us = round_us(&many[marked]);
        fastest_us = us < fastest_us ? us : fastest_us;
    }
    printf("%.4f\n", fastest_us);
}

/* How late the fill comes is drawn by the number of the trial, so it is the same whoever watches. */
static uint32_t draw(uint64_t trial, uint32_t below)
{
    uint64_t z = (trial + 1) * 0x9e3779b97f4a7c15ull; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return (uint32_t)((z ^ z >> 31) >> 32) % below;
}

static void do_race(int marked, int trials, uint32_t window_ns, uint32_t one_in)
{
    static uint64_t trial;
    int hung = 0;
    for (int i = 0; i < trials; i++) {
        start_anew();
        const uint32_t late_ns = draw(2 * trial, one_in) == 0 ? draw(2 * trial + 1, window_ns) : 0;
        trial++;
        HL_CUDA(hl_delay(late_ns, group.streams[1]));
        fill_workspace(1);
        launch(&one[marked], 1);
        for (int rank = 0; rank < RANKS; rank++)
            if (rank != 1)
                launch(&one[marked], rank);
        hung += !hl_group_wait(&group, HANG_MS);
    }
    start_anew();
    printf("%d\n", hung);
}

static void pause_host(const struct graphs *graphs, double ms, bool waiting)
{
    must_pass();
    for (int rank = 0; rank < RANKS - 1 && waiting; rank++)
        launch(graphs, rank);
    usleep((useconds_t)(ms * 1e3));
    if (waiting)
        launch(graphs, RANKS - 1);
    must_pass();
}

static void do_calm(double calls, bool slowly, double pause_ms, bool waiting)
{
    const struct graphs *graphs = slowly ? &slow : &many[0];
    double made = 0;
    for (int i = 0; made < calls; i++) {
        if (made + RANKS * CALLS * 50 >= calls && pause_ms > 0) {
            pause_host(graphs, pause_ms, waiting);
            made += waiting ? RANKS * CALLS : 0;
            pause_ms = 0;
        }
        for (int rank = 0; rank < RANKS; rank++)
            launch(graphs, rank);
        made += RANKS * CALLS;
        if (i % 64 == 63) /* ranks that are replayed without an end drift apart no further than that */
            must_pass();
    }
    must_pass();
    printf("%.0f\n", made);
}

int main(void)
{
    char line[128], how[16];
    int marked, trials, slowly;
    unsigned window_ns, one_in;
    double calls, pause_ms;
    set_up();
    hl_pin_to_last_core();
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "work %d", &marked) == 1)
            do_work(marked != 0);
        else if (sscanf(line, "race %d %d %u %u", &marked, &trials, &window_ns, &one_in) == 4 &&
                 window_ns > 0 && one_in > 0)
            do_race(marked != 0, trials, window_ns, one_in);
        else if (sscanf(line, "calm %lf %d %lf %15s", &calls, &slowly, &pause_ms, how) == 4)
            do_calm(calls, slowly > 1, pause_ms, strcmp(how, "waiting") == 0);
        else
            return 64;
        fflush(stdout);
    }
    return 0;
}

/* The simulator's pace: scheduled steps a second on one core, 8 ranks, one CTA a rank, one-shot, at the
 * reduced row length, with the feed's events made and dropped. */
#include "bench.h"
#include "../../framework/engine/sim/clock.h"

enum { RANKS = 8 };

static void drop(void *user, const struct hl_event *event)
{
    (void)user;
    (void)event;
}

struct world {
    struct hl_sim *sim;
    struct hl_clock *clock;
    uint64_t steps;
};

/* Calls without end: filler, call, and again. */
static void start(struct world *w)
{
    static struct hl_config config = {
        .world = { .ranks = RANKS, .sms = 132, .launch_queue = 64 },
        .subject = { .dtype = HL_BF16, .hidden = 64, .workspaces = 1 },
    };
    static struct hl_op ops[] = {
        { .kind = HL_OP_WORKSPACE_INIT },
        { .kind = HL_OP_SYNC },
        { .kind = HL_OP_BARRIER },
        { .kind = HL_OP_FILLER, .content = HL_CONTENT_FRESH, .rows = 1 },
        { .kind = HL_OP_CALL, .protocol = HL_MNNVL_ONESHOT, .tokens = 1, .pdl = true },
    };
    static struct hl_block block = { .rows = 1 };
    static struct hl_program program = {
        .ranks = RANKS, .blocks = &block, .n_blocks = 1, .n_streams = 1, .n_workspaces = 1, .n_sites = 1
    };
    for (int rank = 0; rank < RANKS; rank++)
        program.rank[rank] = (struct hl_rank_program){ .ops = ops, .n_ops = 5, .loop_to = 3 };
    const struct hl_run_spec spec = {
        .config = &config, .program = &program, .seed = 1, .feed = { .on_event = drop }
    };
    hl_bench_require(hl_sim_create(&spec, &w->sim, NULL) == HL_STATUS_OK, "create a world");
    hl_bench_require(hl_clock_create(w->sim, 1, &w->clock, NULL) == HL_STATUS_OK, "create a clock");
}

/* A hundredth of a second of virtual time. */
static void run(void *context)
{
    struct world *w = context;
    const uint64_t before = hl_clock_steps(w->clock);
    hl_bench_require(hl_clock_run(w->clock, hl_clock_now_ns(w->clock) + 10000000), "the world goes on");
    w->steps = hl_clock_steps(w->clock) - before;
}

int main(void)
{
    struct world w;
    double pace[9];
    start(&w);
    run(&w);
    for (int i = 0; i < 9; i++) {
        const double from = hl_bench_now_s();
        run(&w);
        pace[i] = (double)w.steps / (hl_bench_now_s() - from);
    }
    qsort(pace, 9, sizeof *pace, hl_bench_compare);
    hl_bench_row("simulator, 8 ranks, one CTA a rank, one-shot", pace[4] / 1e6, "M steps/s",
                 HL_BENCH_AT_LEAST, 3);
    hl_clock_destroy(w.clock);
    hl_sim_destroy(w.sim);
    return hl_bench_finish();
}

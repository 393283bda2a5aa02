/* Time to a complete verdict by ranks, the pace and memory of the search without reduction, random schedules
 * a second; and Spin, with its own reduction, on the exported model of the same protocol beside it. */
#include "bench.h"
#include <string.h>
#include "../../framework/search/promela.h"
#include "../../framework/search/walk.h"

static struct hl_space *make(int ranks, enum hl_mutant mutant, uint32_t calls)
{
    static struct hl_space_spec spec;
    struct hl_space *space;
    spec = (struct hl_space_spec){
        .ranks = ranks, .streams = 1, .workspaces = 1, .dtype = HL_BF16, .mutant = mutant, .sms = 132
    };
    for (int rank = 0; rank < ranks; rank++) {
        struct hl_space_stream_program *p = &spec.program[rank][0];
        p->n = calls ? calls : 1;
        p->loop_to = calls ? UINT32_MAX : 0;
        for (uint32_t i = 0; i < p->n; i++)
            p->calls[i] = (struct hl_space_call){ .protocol = HL_MNNVL_ONESHOT, .tokens = 1 };
    }
    hl_bench_require(hl_space_create(&spec, &space, NULL) == HL_STATUS_OK, "create a space");
    return space;
}

struct run {
    struct hl_space *space;
    struct hl_explore_options options;
    struct hl_explored explored;
};

static void explore(void *context)
{
    struct run *r = context;
    hl_bench_require(hl_explore(r->space, &r->options, &r->explored, NULL) == HL_STATUS_OK, "explore");
}

static void verdict(int ranks, double target_s)
{
    char what[64];
    struct run r = { .space = make(ranks, HL_MUTANT_NONE, 0), .options = { .reduce = true } };
    const double seconds = hl_bench_median_s(explore, &r, 5);
    hl_bench_require(r.explored.answer == HL_ANSWER_PROVEN_FREE, "the protocol is free of hangs");
    snprintf(what, sizeof what, "proof, one-shot, %d ranks, unbounded", ranks);
    hl_bench_row(what, seconds * 1e3, "ms", HL_BENCH_AT_MOST, target_s * 1e3);
    hl_space_destroy(r.space);
}

/* Several CTAs, and the protocols of two stages. */
static void other_verdict(const char *what, enum hl_protocol protocol, int ranks, uint32_t tokens)
{
    static struct hl_space_spec spec;
    struct run r = { .options = { .reduce = true } };
    spec = (struct hl_space_spec){ .ranks = ranks, .streams = 1, .workspaces = 1, .sms = 132 };
    for (int rank = 0; rank < ranks; rank++) {
        spec.program[rank][0].n = 1;
        spec.program[rank][0].calls[0] =
            (struct hl_space_call){ .protocol = protocol, .tokens = (uint8_t)tokens };
    }
    hl_bench_require(hl_space_create(&spec, &r.space, NULL) == HL_STATUS_OK, "create a space");
    const double seconds = hl_bench_median_s(explore, &r, 5);
    hl_bench_require(r.explored.answer == HL_ANSWER_PROVEN_FREE, "the protocol is free of hangs");
    hl_bench_row(what, seconds * 1e3, "ms", HL_BENCH_AT_MOST, 1000);
    hl_space_destroy(r.space);
}

static void full_search(void)
{
    struct run r = { .space = make(3, HL_MUTANT_NONE, 0) };
    const double seconds = hl_bench_median_s(explore, &r, 9);
    hl_bench_row("every order of every step, 3 ranks", (double)r.explored.states / seconds / 1e6,
                 "M states/s", HL_BENCH_AT_LEAST, 3);
    hl_bench_row("the same", r.explored.bytes_per_state, "B/state", HL_BENCH_AT_MOST, 32);
    hl_space_destroy(r.space);
}

static void mutant(void)
{
    struct run r = { .space = make(3, HL_MUTANT_LATE_CLEAR, 0), .options = { .reduce = true } };
    const double seconds = hl_bench_median_s(explore, &r, 5);
    hl_bench_require(r.explored.answer == HL_ANSWER_HANG, "late-clear hangs");
    hl_bench_row("late-clear found, 3 ranks", seconds * 1e3, "ms", HL_BENCH_AT_MOST, 1000);
    hl_space_destroy(r.space);
}

static void random_schedules(void)
{
    struct hl_space *space = make(8, HL_MUTANT_NONE, 4);
    const struct hl_walk_options options = { .seed = 1, .schedules = 20000, .steps_max = 100000 };
    struct hl_walked walked = { 0 };
    hl_bench_require(hl_walk(space, &options, &walked, NULL) == HL_STATUS_OK && !walked.hangs, "walk");
    hl_bench_row("random schedules, 8 ranks x 4 calls", (double)walked.schedules / walked.seconds, "1/s",
                 HL_BENCH_AT_LEAST, 30000);
    hl_space_destroy(space);
}

/* Seconds that Spin's verifier takes on the exported model, without its compilation. */
static void spin_beside(int ranks)
{
    char folder[] = "/tmp/hanglab-bench-XXXXXX", command[256], path[64];
    struct hl_space *space = make(ranks, HL_MUTANT_NONE, 0);
    hl_bench_require(mkdtemp(folder) != NULL, "make a folder");
    snprintf(path, sizeof path, "%s/model.pml", folder);
    FILE *model = fopen(path, "w");
    hl_bench_require(model && hl_promela_write(space, "bench", model, NULL) == HL_STATUS_OK && !fclose(model),
                     "export a model");
    snprintf(command, sizeof command,
             "cd %s && spin -a model.pml >log 2>&1 && cc -O3 -DSAFETY -o pan pan.c >>log 2>&1", folder);
    if (system(command) == 0) {
        snprintf(command, sizeof command, "cd %s && ./pan -m10000000 -w20 | grep -q 'errors: 0'", folder);
        const double start = hl_bench_now_s();
        hl_bench_require(system(command) == 0, "Spin says the same");
        printf("%-44s %14.3f  ms\n", ranks == 3 ? "  Spin on the exported model, 3 ranks" : "  Spin, 4 ranks",
               (hl_bench_now_s() - start) * 1e3);
    } else {
        printf("%-44s %14s\n", "  Spin", "not installed");
    }
    snprintf(command, sizeof command, "rm -r %s", folder);
    hl_bench_require(system(command) == 0, "remove a folder");
    hl_space_destroy(space);
}

int main(void)
{
    verdict(3, 0.02);
    spin_beside(3);
    verdict(4, 0.1);
    spin_beside(4);
    verdict(5, 2);
    verdict(6, 60);
    verdict(8, 60);
    verdict(16, 60);
    other_verdict("one-shot, 2 CTAs a rank, 2 ranks", HL_MNNVL_ONESHOT, 2, 2);
    other_verdict("one-shot, 2 CTAs a rank, 3 ranks", HL_MNNVL_ONESHOT, 3, 2);
    other_verdict("two-shot, 3 CTAs a rank, 3 ranks", HL_MNNVL_TWOSHOT, 3, 3);
    other_verdict("trtllm two-shot, 1 CTA a rank, 3 ranks", HL_TRTLLM_TWOSHOT, 3, 1);
    full_search();
    mutant();
    random_schedules();
    return hl_bench_finish();
}

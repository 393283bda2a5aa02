/* Does a healthy schedule ever hang, or compute a wrong row? Runs the cases of a scenario in turns on the GPU
 * until so many calls have finished, and counts. A call is counted once for every rank.
 *
 * Both geometries take turns: reduced, which brings most calls a second, and as written, where the blocks are
 * full. The oracle checks a sample of each run, some MiB of rows. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../../framework/campaign/run.h"
#include "../../../framework/engine/cuda/cuda.h"
#include "../bench.h"

struct tally {
    uint64_t runs, calls, checked;
    uint64_t verdicts[HL_VERDICT_COUNT];
};

static volatile sig_atomic_t stopped;
static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static void soak_run(const struct hl_scenario *scenario, const struct hl_case *c, int round,
                     struct tally *tally)
{
    const struct hl_run_options options = { .engine = &hl_engine_cuda, .seed = 1, .out_dir = "soak-out" };
    struct hl_run_result result;
    struct hl_error error = { 0 };
    const enum hl_status status =
        hl_run_once(scenario, c, &options, round, HL_VERDICT_SKIPPED, &result, &error);
    if (status != HL_STATUS_OK)
        fprintf(stderr, "%s: %s\n", c->id, error.message);
    hl_bench_require(status == HL_STATUS_OK, "a case of the soak cannot be run");
    tally->runs++;
    tally->calls += result.calls;
    tally->checked += result.calls_checked;
    tally->verdicts[result.finding.verdict]++;
    if (result.finding.verdict != HL_VERDICT_PASS)
        printf("run %d of %s, seed %" PRIu64 ": %s; evidence in %s\n", round, c->id, result.seed,
               result.finding.summary, result.bundle ? result.bundle : "no bundle");
    hl_run_result_finish(&result);
}

static void print_tally(const char *name, const struct tally *t, double seconds)
{
    const uint64_t passed = t->verdicts[HL_VERDICT_PASS], hung = t->verdicts[HL_VERDICT_HANG],
                   corrupt = t->verdicts[HL_VERDICT_CORRUPT];
    printf("| %s | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64 " | %" PRIu64
           " | %.0f s |\n",
           name, t->runs, t->calls, t->checked, hung, corrupt, t->runs - passed - hung - corrupt, seconds);
}

int main(int argc, char **argv)
{
    if (argc < 4 || argc > 5) {
        fprintf(stderr,
                "usage: soak_cuda SCENARIO CALLS SECONDS [TEXT]: until so many calls or so long; only "
                "cases with TEXT in their id\n");
        return 64;
    }
    const uint64_t goal = strtoull(argv[2], NULL, 10);
    const double limit_s = strtod(argv[3], NULL);
    struct hl_scenario *scenario;
    struct hl_error error = { 0 };
    if (hl_cuda_find_gpu(&error) != HL_STATUS_OK || hl_scenario_load(argv[1], &scenario, &error)) {
        fprintf(stderr, "soak: %s\n", error.message);
        return hl_status_exit_code(error.status);
    }
    struct tally tally[HL_GEOMETRY_COUNT] = { 0 };
    double seconds[HL_GEOMETRY_COUNT] = { 0 };
    uint64_t calls = 0, bad = 0;
    const double begin_s = hl_bench_now_s();
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    for (int round = 0; !stopped && calls < goal && hl_bench_now_s() - begin_s < limit_s; round++) {
        /* A quarter of the time for runs as written. */
        const enum hl_geometry geometry = seconds[HL_GEOMETRY_FULL] * 3 < seconds[HL_GEOMETRY_REDUCED]
                                              ? HL_GEOMETRY_FULL
                                              : HL_GEOMETRY_REDUCED;
        const double from_s = hl_bench_now_s();
        for (size_t i = 0; i < scenario->n_cases && !stopped; i++) {
            if (argc == 5 && !strstr(scenario->cases[i].id, argv[4]))
                continue;
            scenario->cases[i].config.geometry = geometry;
            soak_run(scenario, &scenario->cases[i], round, &tally[geometry]);
        }
        seconds[geometry] += hl_bench_now_s() - from_s;
        calls = tally[HL_GEOMETRY_REDUCED].calls + tally[HL_GEOMETRY_FULL].calls;
    }
    printf("| geometry | runs | calls | checked | hung | corrupt | other | time |\n"
           "|-|-|-|-|-|-|-|-|\n");
    print_tally("reduced", &tally[HL_GEOMETRY_REDUCED], seconds[HL_GEOMETRY_REDUCED]);
    print_tally("as written", &tally[HL_GEOMETRY_FULL], seconds[HL_GEOMETRY_FULL]);
    for (int g = 0; g < HL_GEOMETRY_COUNT; g++)
        bad += tally[g].runs - tally[g].verdicts[HL_VERDICT_PASS];
    hl_cuda_stop_runner();
    hl_scenario_destroy(scenario);
    return bad ? 1 : calls < goal ? 3 : 0;
}

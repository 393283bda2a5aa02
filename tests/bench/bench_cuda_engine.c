/* The CUDA engine's turnover: clean runs a second, and how soon the next run starts after a hang that was
 * released, and after one whose runner was killed. Says so and measures nothing where there is no GPU.
 *
 *     bench_cuda_engine [GPUS [process]]
 *
 * 4 ranks on one GPU, or one on each of so many, as threads or processes. */
#include "bench.h"
#include <string.h>
#include "../../framework/campaign/run.h"
#include "../../framework/engine/cuda/cuda.h"

static const char clean_text[] = "hanglab: 1\nname: clean\nworld: {ranks: 4, placement: virtual}\n"
                                 "subject: {backend: mnnvl, dtype: bf16, hidden: 4096}\n"
                                 "schedule: {mode: full, layers: 2, sizes: [16, 4], replays: 6}\n";
static const char hang_text[] =
    "hanglab: 1\nname: hang\nworld: {ranks: 4, placement: virtual}\n"
    "subject: {backend: mnnvl, dtype: bf16, hidden: 4096, sentinel_compare: float-ftz}\n"
    "schedule: {mode: full, layers: 2, sizes: [16, 4], replays: 6}\n"
    "payload: {rows: pattern, pattern: subnormal}\n"
    "watchdog: {threshold: 20ms}\n";

static int gpus; /* 0: one */
static enum hl_placement placement = HL_PLACEMENT_VIRTUAL;

static struct hl_scenario *parse(const char *text, enum hl_geometry geometry)
{
    struct hl_scenario *scenario;
    struct hl_error error = { 0 };
    const enum hl_status status = hl_scenario_parse("bench", text, strlen(text), &scenario, &error);
    hl_bench_require(status == HL_STATUS_OK, error.message);
    struct hl_config *config = &scenario->cases[0].config;
    config->geometry = geometry;
    config->world.gpus = gpus;
    config->world.ranks = gpus ? gpus : config->world.ranks;
    config->world.placement = placement;
    return scenario;
}

/* The engine with a clock on how long a run takes to let go, and how long the next one to start; and how long
 * its program took. */
static double end_s, start_s, run_s;

static enum hl_verdict run(const struct hl_engine *engine, const struct hl_scenario *scenario, int index)
{
    const struct hl_run_options options = { .engine = engine, .seed = 1 };
    struct hl_run_result result;
    struct hl_error error = { 0 };
    const enum hl_status status =
        hl_run_once(scenario, &scenario->cases[0], &options, index, HL_VERDICT_SKIPPED, &result, &error);
    hl_bench_require(status == HL_STATUS_OK, error.message);
    const enum hl_verdict verdict = result.finding.verdict;
    run_s = (double)result.virtual_ns * 1e-9;
    hl_run_result_finish(&result);
    return verdict;
}

static void timed_end(struct hl_run *r)
{
    const double from = hl_bench_now_s();
    hl_engine_cuda.end(r);
    end_s = hl_bench_now_s() - from;
}

static enum hl_status timed_start(const struct hl_run_spec *spec, struct hl_run **ret_run,
                                  struct hl_error *error)
{
    const double from = hl_bench_now_s();
    const enum hl_status status = hl_engine_cuda.start(spec, ret_run, error);
    start_s = hl_bench_now_s() - from;
    return status;
}

/* Clean runs a second, and which part of their time is start and end. */
static double pace(const struct hl_engine *timed, const struct hl_scenario *scenario, int runs)
{
    double starting_s = 0, running_s = 0, ending_s = 0;
    run(timed, scenario, 0);
    const double from = hl_bench_now_s();
    for (int i = 1; i <= runs; i++) {
        hl_bench_require(run(timed, scenario, i) == HL_VERDICT_PASS, "a clean run passes");
        starting_s += start_s;
        running_s += run_s;
        ending_s += end_s;
    }
    const double all_s = hl_bench_now_s() - from;
    fprintf(stderr, "a run: start %.2f ms, program %.2f ms, end %.2f ms, all %.2f ms\n",
            starting_s / runs * 1e3, running_s / runs * 1e3, ending_s / runs * 1e3, all_s / runs * 1e3);
    return runs / all_s;
}

int main(int argc, char **argv)
{
    struct hl_error error;
    gpus = argc > 1 ? atoi(argv[1]) : 0;
    placement = argc > 2 && strcmp(argv[2], "process") == 0 ? HL_PLACEMENT_PROCESS : HL_PLACEMENT_VIRTUAL;
    if (hl_cuda_find_gpu(&error) != HL_STATUS_OK) {
        fprintf(stderr, "cuda engine: not measured: %s\n", error.message);
        return 0;
    }
    struct hl_engine timed = hl_engine_cuda;
    timed.start = timed_start;
    timed.end = timed_end;
    struct hl_scenario *small = parse(clean_text, HL_GEOMETRY_REDUCED),
                       *clean = parse(clean_text, HL_GEOMETRY_FULL),
                       *hang = parse(hang_text, HL_GEOMETRY_FULL);
    hl_bench_row("cuda, clean runs, reduced geometry", pace(&timed, small, 100), "runs/s", HL_BENCH_AT_LEAST,
                 50);
    hl_bench_row("cuda, clean runs, as written", pace(&timed, clean, 50), "runs/s", HL_BENCH_AT_LEAST, 50);
    hl_bench_require(run(&timed, hang, 0) == HL_VERDICT_HANG, "subnormal rows hang");
    const double release_s = end_s;
    hl_bench_require(run(&timed, clean, 0) == HL_VERDICT_PASS, "the run after a hang passes");
    hl_bench_row("cuda, from a hang to the next run's start", (release_s + start_s) * 1e3, "ms",
                 HL_BENCH_AT_MOST, 10);
    hl_bench_row("  of it: release of the hang", release_s * 1e3, "ms", HL_BENCH_AT_MOST, 10);
    const double from_s = hl_bench_now_s();
    hl_cuda_stop_runner();
    printf("%-44s %14.3f  s\n", "cuda, end of the runner, killed", hl_bench_now_s() - from_s);
    hl_bench_require(run(&timed, clean, 0) == HL_VERDICT_PASS, "the run after a kill passes");
    hl_bench_row("cuda, start after the runner was killed", start_s, "s", HL_BENCH_AT_MOST, 1);
    hl_cuda_stop_runner();
    hl_scenario_destroy(small);
    hl_scenario_destroy(clean);
    hl_scenario_destroy(hang);
    return hl_bench_finish();
}

/* The watchdog of `hanglab run` on fused allreduces: how long from a hang's last progress to its finished
 * bundle, over causes and levels of detail; what a run pays for being looked at; and hosts that pause.
 *
 * Latency has two parts: how long nothing had moved when the run was looked at last (the bundle says so), and
 * the time from there until the engine is told to end the run, which is when the bundle stands. */
#include "watch_bench.h"
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <time.h>
#include "../../../framework/campaign/run.h"
#include "../../../framework/engine/cuda/crew.h"
#include "../../../framework/engine/cuda/cuda.h"
#include "../../../framework/scenario/words.h"
#include "../../../watchdog/watch.h"

#define HANGS_MAX 1024
#define PAIRS 40
#define BLIND_MS 40 /* a healthy run has ended by then */

static const char hangs_text[] =
    "hanglab: 1\nname: hangs\nworld: {ranks: 4}\n"
    "subject: {hidden: 4096, sentinel_compare: bits}\n"
    "schedule: {mode: eager, layers: 2, sizes: [16, 8], replays: 4, padding: false}\n"
    "watchdog: {threshold: 50ms}\n"
    "faults: [{fault: none, rank: 1, call: 9}]\n"
    "matrix:\n"
    "  kind:\n"
    "    skip-call: {faults.0.fault: skip-call, schedule.mode: full}\n"
    "    sentinel: {subject.sentinel_compare: float-ftz, payload.rows: pattern, payload.pattern: subnormal}\n"
    "    drop-store: {subject.mutant: drop-store}\n"
    "    missed-arrival: {subject.mutant: missed-arrival}\n"
    "    host-block: {faults.0.fault: host-block}\n"
    "    stall-stream: {faults.0.fault: stall-stream}\n"
    "    other-strategy: {faults.0.fault: other-strategy}\n"
    "    wrong-group: {faults.0.fault: wrong-group}\n";

static const char healthy_text[] = "hanglab: 1\nname: healthy\nworld: {ranks: 4}\n"
                                   "subject: {hidden: 4096, sentinel_compare: bits}\n"
                                   "schedule: {mode: full, layers: 4, sizes: [16, 4], replays: 100}\n";

/* A rank's host is late while its peers wait inside their kernels. */
static const char pauses_text[] = "hanglab: 1\nname: pauses\nworld: {ranks: 4}\n"
                                  "subject: {hidden: 4096, sentinel_compare: bits}\n"
                                  "schedule: {mode: full, layers: 4, sizes: [16, 4], replays: 100}\n"
                                  "faults: [{fault: host-delay, rank: 1, call: 90, delay: 10s}]\n"
                                  "matrix:\n"
                                  "  pause:\n"
                                  "    10 s of 15: {faults.0.delay: 10s, watchdog.threshold: 15s}\n"
                                  "    1 s of 2: {faults.0.delay: 1s, watchdog.threshold: 2s}\n"
                                  "    50 ms, auto: {faults.0.delay: 50ms, watchdog.threshold: auto}\n";

static struct hl_scenario *parse(const char *text)
{
    struct hl_scenario *scenario;
    struct hl_error error = { 0 };
    const enum hl_status status = hl_scenario_parse("bench", text, strlen(text), &scenario, &error);
    hl_bench_require(status == HL_STATUS_OK, error.message);
    return scenario;
}

/*
 * Latency
 */

/* The engine, with a clock on when it was looked at last and when it was told to end. */
static double looked_s, ended_s;

static enum hl_run_state timed_advance(struct hl_run *run, uint64_t slice_ns, uint64_t *ret_now_ns)
{
    const enum hl_run_state state = hl_engine_cuda.advance(run, slice_ns, ret_now_ns);
    looked_s = hl_bench_now_s();
    return state;
}

static void timed_end(struct hl_run *run)
{
    ended_s = hl_bench_now_s();
    hl_engine_cuda.end(run);
}

static double stalled_ms(const char *bundle)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/verdict.json", bundle);
    json_t *json = json_load_file(path, 0, NULL);
    hl_bench_require(json != NULL, "a bundle has no verdict.json");
    const double ms = (double)json_integer_value(json_object_get(json, "stalled_ns")) / 1e6;
    json_decref(json);
    return ms;
}

/* One hang; its latency in ms, or -1: it did not hang, or was not kept. */
static double hang_ms(const struct hl_scenario *scenario, const struct hl_case *c, int run, int *known)
{
    struct hl_engine timed = hl_engine_cuda;
    struct hl_run_result result;
    struct hl_error error = { 0 };
    timed.advance = timed_advance;
    timed.end = timed_end;
    const struct hl_run_options options = { .engine = &timed, .seed = 1, .out_dir = hl_bench_folder() };
    const enum hl_status status =
        hl_run_once(scenario, c, &options, run, HL_VERDICT_SKIPPED, &result, &error);
    hl_bench_require(status == HL_STATUS_OK, error.message);
    if (result.finding.verdict != HL_VERDICT_HANG || !result.bundle)
        fprintf(stderr, "%s, run %d: %s %s\n", c->id, run, result.finding.summary, result.bundle_error);
    double ms = -1;
    if (result.finding.verdict == HL_VERDICT_HANG && result.bundle) {
        ms = stalled_ms(result.bundle) + (ended_s - looked_s) * 1e3;
        *known += result.finding.cause != HL_CAUSE_UNKNOWN;
    }
    hl_run_result_finish(&result);
    return ms;
}

static void measure_latency(struct hl_scenario *scenario, enum hl_detail detail, int rounds)
{
    static double ms[HANGS_MAX];
    char what[64];
    int n = 0, known = 0;
    const char *level = detail == HL_DETAIL_LIGHT ? "light" : hl_levels[detail - HL_DETAIL_LIGHT];
    for (int round = 0; round < rounds; round++)
        for (size_t i = 0; i < scenario->n_cases && n < HANGS_MAX; i++) {
            scenario->cases[i].config.watchdog.detail = detail;
            ms[n] = hang_ms(scenario, &scenario->cases[i], round, &known);
            if (round == 0)
                printf("  %-42s %14.3f  ms\n", scenario->cases[i].id, ms[n]);
            n += ms[n] >= 0; /* some are races */
        }
    hl_bench_require(n > 0, "nothing hangs");
    hl_cuda_stop_runner(); /* a level has processes of its own */
    qsort(ms, (size_t)n, sizeof *ms, hl_bench_compare);
    printf("%s: %d hangs, with a known cause %d\n", level, n, known);
    snprintf(what, sizeof what, "run, %s: progress to bundle, median", level);
    hl_bench_row(what, ms[n / 2], "ms", HL_BENCH_AT_MOST, 100);
    printf("%-44s %14.3f  ms\n", "  90 of 100", ms[n * 90 / 100]);
    snprintf(what, sizeof what, "run, %s: progress to bundle, p99", level);
    hl_bench_row(what, ms[n * 99 / 100], "ms", HL_BENCH_AT_MOST, 300);
    printf("%-44s %14.3f  ms\n", "  the longest", ms[n - 1]);
}

/*
 * What looking costs
 */

static void on_event(void *watch, const struct hl_event *event)
{
    if (watch)
        hl_watch_event(watch, event);
}

/* From the first begin to the last end of a call, over the calls of a rank: by the GPU's own marks, so the
 * clock is the same, whoever looks. */
static double marked_us(int ranks)
{
    const struct hl_shared *shared = hl_crew_shared();
    uint64_t begin_ns = UINT64_MAX, end_ns = 0, calls = 0;
    for (uint32_t i = 0; i < HL_MARKS && shared->marks[i].number == i + 1; i++) {
        const struct hl_mark *mark = &shared->marks[i];
        const enum hl_mark_kind kind = hl_mark_kind_of(mark->what);
        if (kind == HL_MARK_CALL_BEGIN && mark->time_ns < begin_ns)
            begin_ns = mark->time_ns;
        if (kind == HL_MARK_CALL_END && mark->time_ns > end_ns)
            end_ns = mark->time_ns;
        calls += kind == HL_MARK_CALL_END;
    }
    hl_bench_require(calls > 0, "a run left no marks");
    return (double)(end_ns - begin_ns) / 1e3 / ((double)calls / ranks);
}

/* A run that is looked at as `hanglab run` does, or by nobody until it has ended; us a call. */
static double run_us(const struct hl_config *config, uint64_t seed, bool watched)
{
    struct hl_program *program;
    struct hl_run *run;
    struct hl_error error = { 0 };
    struct hl_watch *watch = NULL;
    uint64_t now_ns = 0;
    hl_bench_require(hl_program_create(config, seed, &program, &error) == HL_STATUS_OK, error.message);
    if (watched)
        watch = hl_watch_create(program->ranks, program->n_workspaces, 0);
    const struct hl_run_spec spec = { config, program, seed, { on_event, watch } };
    hl_bench_require(hl_engine_cuda.start(&spec, &run, &error) == HL_STATUS_OK, error.message);
    if (!watched)
        nanosleep(&(struct timespec){ .tv_nsec = BLIND_MS * 1000000L }, NULL);
    enum hl_run_state state;
    int looks = 0;
    do {
        state = hl_engine_cuda.advance(run, 1000000, &now_ns);
        hl_bench_require(!watch || !hl_watch_stalled(watch, now_ns), "a healthy run stands still");
    } while (state == HL_RUN_GOING && ++looks < 10000);
    hl_bench_require(state == HL_RUN_ENDED, "a healthy run does not end");
    hl_bench_require(watched || looks == 0, "a run took longer than nobody looked");
    const double us = marked_us(program->ranks);
    hl_engine_cuda.end(run);
    if (watch)
        hl_watch_destroy(watch);
    hl_program_destroy(program);
    return us;
}

static void measure_looking(void)
{
    struct hl_scenario *healthy = parse(healthy_text);
    const struct hl_config *config = &healthy->cases[0].config;
    double percent[PAIRS], us[PAIRS];
    run_us(config, 1, true);
    for (int i = 0; i < PAIRS; i++) {
        double on, off;
        if (i % 2)
            on = run_us(config, (uint64_t)i, true);
        off = run_us(config, (uint64_t)i, false);
        if (i % 2 == 0)
            on = run_us(config, (uint64_t)i, true);
        us[i] = off;
        percent[i] = (on / off - 1) * 100;
    }
    qsort(us, PAIRS, sizeof *us, hl_bench_compare);
    qsort(percent, PAIRS, sizeof *percent, hl_bench_compare);
    printf("%-44s %14.3f  us a call\n", "hanglab run, nobody looks", us[PAIRS / 2]);
    hl_bench_row("hanglab run, light: looked at", percent[PAIRS / 2], "%", HL_BENCH_AT_MOST, 2);
    /* The 14th and 27th of 40 enclose the median with 96 %. */
    printf("%-44s [%.2f, %.2f] %%\n", "  95 %", percent[13], percent[26]);
    hl_scenario_destroy(healthy);
}

int hl_bench_pauses(double *calls)
{
    const struct hl_run_options options = { .engine = &hl_engine_cuda,
                                            .seed = 1,
                                            .out_dir = hl_bench_folder() };
    struct hl_scenario *scenario = parse(pauses_text);
    int alarms = 0;
    for (size_t i = 0; i < scenario->n_cases; i++) {
        struct hl_run_result result;
        struct hl_error error = { 0 };
        const enum hl_status status =
            hl_run_once(scenario, &scenario->cases[i], &options, 0, HL_VERDICT_SKIPPED, &result, &error);
        hl_bench_require(status == HL_STATUS_OK, error.message);
        printf("%-44s %14" PRIu64 "  calls     %s\n", scenario->cases[i].id, result.calls,
               hl_words_name(&hl_words_verdicts, result.finding.verdict));
        *calls += (double)result.calls;
        alarms += result.finding.verdict != HL_VERDICT_PASS;
        hl_run_result_finish(&result);
    }
    hl_cuda_stop_runner();
    hl_scenario_destroy(scenario);
    return alarms;
}

void hl_bench_runs(int rounds)
{
    static const enum hl_detail details[] = { HL_DETAIL_LIGHT, HL_DETAIL_CUPTI, HL_DETAIL_NODE,
                                              HL_DETAIL_PC };
    measure_looking();
    struct hl_scenario *hangs = parse(hangs_text);
    for (int i = 0; i < 4; i++)
        measure_latency(hangs, details[i], i == 0 ? rounds : (rounds + 3) / 4);
    hl_scenario_destroy(hangs);
}

/* Sweeps in the simulator: cases a minute, what the sweep itself costs a case, and a month of nights in which
 * a regression of 1 % appears on day 12. */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "../../framework/campaign/folder.h"
#include "../../framework/campaign/compare.h"
#include "../../framework/campaign/inputs.h"
#include "../../framework/campaign/sweep.h"
#include "bench.h"

#define NIGHTS 30
#define BAD_NIGHT 12

static char folder[] = "/tmp/hanglab-bench-XXXXXX";

static double own_cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static struct hl_sweep a_sweep(const struct hl_inputs *inputs, const char *out_dir)
{
    return (struct hl_sweep){ .items = inputs->items,
                              .n_items = inputs->n_items,
                              .engine = &hl_engine_sim,
                              .out_dir = out_dir,
                              .seed = 1,
                              .jobs = 2,
                              .shard = 1,
                              .shards = 1,
                              .evidence_bytes = 1 << 30,
                              .evidence_newest = 3 };
}

static void measure_rate(void)
{
    char path[PATH_MAX], out_dir[128];
    char *paths[] = { path };
    struct hl_inputs inputs;
    struct hl_error error;
    const char *source = getenv("HANGLAB_SOURCE");
    snprintf(path, sizeof path, "%s/scenarios/nightly/10-minutes", source ? source : ".");
    hl_bench_require(hl_inputs_load(paths, 1, NULL, 0, &inputs, &error) == HL_STATUS_OK, error.message);
    snprintf(out_dir, sizeof out_dir, "%s/rate", folder);
    struct hl_sweep sweep = a_sweep(&inputs, out_dir);
    sweep.time_budget_s = 10;
    const double cpu = own_cpu_s();
    hl_bench_require(hl_sweep_run(&sweep, &error) == HL_STATUS_OK, error.message);
    hl_bench_row("sweep: the nightly set, 2 jobs", (double)sweep.runs / sweep.wall_s * 60, "runs/min",
                 HL_BENCH_AT_LEAST, 10000);
    hl_bench_row("sweep: own processor time a run", (own_cpu_s() - cpu) * 1e3 / (double)sweep.runs, "ms",
                 HL_BENCH_AT_MOST, 1);
    hl_sweep_finish(&sweep);
    hl_inputs_finish(&inputs);
}

/* One night: 1000 runs, which hang at 1 % from BAD_NIGHT on. */
static void run_night(struct hl_night *night, int number)
{
    char text[512];
    struct hl_inputs inputs;
    struct hl_error error;
    snprintf(
        text, sizeof text,
        "hanglab: 1\nname: month\nworld: {ranks: 2}\nsubject: {backend: mnnvl, hidden: 1024}\n"
        "schedule: {mode: eager, layers: 1, sizes: [4], replays: 1}\npayload: {rows: real}\nruns: 1000\n%s",
        number >= BAD_NIGHT ? "faults: [{fault: skip-call, rank: 1, call: 1, probability: 0.01}]\n" : "");
    hl_bench_require(hl_inputs_parse("month.yaml", text, strlen(text), &inputs, &error) == HL_STATUS_OK,
                     error.message);
    struct hl_sweep sweep = a_sweep(&inputs, night->name);
    sweep.seed = (uint64_t)number;
    hl_bench_require(hl_sweep_run(&sweep, &error) == HL_STATUS_OK, error.message);
    night->results = sweep.results;
    hl_inputs_finish(&inputs);
}

static void measure_month(void)
{
    struct hl_night nights[NIGHTS];
    struct hl_comparison comparison;
    struct hl_error error;
    char names[NIGHTS][64];
    int first_told = 0;
    for (int i = 0; i < NIGHTS; i++) {
        snprintf(names[i], sizeof names[i], "%s/night-%02d", folder, i + 1);
        nights[i] = (struct hl_night){ .name = names[i] };
        run_night(&nights[i], i + 1);
        if (i == 0 || first_told)
            continue;
        hl_bench_require(hl_compare_nights(nights, i + 1, 0.01, &comparison, &error) == HL_STATUS_OK,
                         error.message);
        if (hl_comparison_exit_code(&comparison) == 1)
            first_told = i + 1;
        hl_comparison_finish(&comparison);
    }
    hl_bench_require(hl_compare_nights(nights, NIGHTS, 0.01, &comparison, &error) == HL_STATUS_OK,
                     error.message);
    hl_bench_require(comparison.n_changes == 1, "a month with one regression has another number of changes");
    hl_bench_require(comparison.changes[0].first == BAD_NIGHT - 1, "the first bad night is another one");
    hl_bench_row("month: 1 % from night 12 on, told after night", first_told, "", HL_BENCH_AT_MOST,
                 BAD_NIGHT);
    hl_comparison_finish(&comparison);
    for (int i = 0; i < NIGHTS; i++)
        hl_results_finish(&nights[i].results);
}

int main(void)
{
    hl_bench_require(mkdtemp(folder) != NULL, "cannot make a folder in /tmp");
    measure_rate();
    measure_month();
    hl_folder_remove(folder);
    return hl_bench_finish();
}

/* Negative controls: the cases of scenarios/catalogue that must pass (the healthy twins, and the faults that
 * do no harm), so many runs an entry that a false alarm of one in a thousand would show.
 *
 *     bench_controls [--runs N] [--seed N]
 *
 * --runs are those of one entry, dealt to its cases; by default 200, which is quick. The runs are dealt to
 * one process a core. */
#include <getopt.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../../framework/campaign/run.h"
#include "bench.h"

enum { JOBS_MAX = 64, ENTRIES_MAX = 256 };

/* What one process has seen of one entry. */
struct tally {
    uint64_t runs, passed, inconclusive;
};

struct controls {
    glob_t entries;
    uint64_t runs, seed;
    int jobs;
    struct tally (*tally)[ENTRIES_MAX]; /* [job][entry], shared by the processes */
};

static void run_once(const struct controls *k, struct tally *t, const struct hl_scenario *scenario,
                     const struct hl_case *c, int index)
{
    const struct hl_run_options options = { .engine = &hl_engine_sim, .seed = k->seed };
    struct hl_run_result result;
    struct hl_error error;
    if (hl_run_once(scenario, c, &options, index, HL_VERDICT_SKIPPED, &result, &error) != HL_STATUS_OK) {
        fprintf(stderr, "%s: %s\n", c->id, error.message);
        _exit(1);
    }
    t->runs++;
    t->passed += result.finding.verdict == HL_VERDICT_PASS;
    t->inconclusive += result.finding.verdict == HL_VERDICT_INCONCLUSIVE;
    if (result.finding.verdict != HL_VERDICT_PASS)
        fprintf(stderr, "%s, run seed %" PRIu64 ": %s\n", c->id, result.seed, result.finding.summary);
    hl_run_result_finish(&result);
}

static void run_entry(const struct controls *k, int job, size_t entry)
{
    struct hl_scenario *scenario;
    struct hl_error error;
    uint64_t n = 0;
    if (hl_scenario_load(k->entries.gl_pathv[entry], &scenario, &error) != HL_STATUS_OK) {
        fprintf(stderr, "%s\n", error.message);
        _exit(1);
    }
    for (size_t i = 0; i < scenario->n_cases; i++)
        n += scenario->cases[i].expected.verdict == HL_VERDICT_PASS;
    for (size_t i = 0; i < scenario->n_cases; i++)
        for (uint64_t run = (uint64_t)job; run * n < k->runs; run += (uint64_t)k->jobs)
            if (scenario->cases[i].expected.verdict == HL_VERDICT_PASS)
                run_once(k, &k->tally[job][entry], scenario, &scenario->cases[i], (int)run);
    hl_scenario_destroy(scenario);
}

static void run_all(const struct controls *k)
{
    pid_t pid[JOBS_MAX];
    for (int job = 0; job < k->jobs; job++) {
        pid[job] = fork();
        hl_bench_require(pid[job] >= 0, "start a process");
        for (size_t entry = 0; pid[job] == 0 && entry < k->entries.gl_pathc; entry++)
            run_entry(k, job, entry);
        if (pid[job] == 0)
            _exit(0);
    }
    for (int job = 0; job < k->jobs; job++) {
        int status;
        hl_bench_require(waitpid(pid[job], &status, 0) == pid[job] && status == 0, "run the controls");
    }
}

static void report(const struct controls *k, double seconds)
{
    struct tally all = { 0 };
    uint64_t fewest = UINT64_MAX;
    for (size_t entry = 0; entry < k->entries.gl_pathc; entry++) {
        uint64_t runs = 0;
        for (int job = 0; job < k->jobs; job++) {
            runs += k->tally[job][entry].runs;
            all.passed += k->tally[job][entry].passed;
            all.inconclusive += k->tally[job][entry].inconclusive;
        }
        all.runs += runs;
        fewest = runs < fewest ? runs : fewest;
    }
    printf("%zu entries, %" PRIu64 " runs in %.0f s on %d cores; %" PRIu64 " runs never met their fault\n",
           k->entries.gl_pathc, all.runs, seconds, k->jobs, all.inconclusive);
    hl_bench_row("runs of the entry with the fewest", (double)fewest, "runs", HL_BENCH_AT_LEAST,
                 (double)k->runs);
    hl_bench_row("controls that did not pass", (double)(all.runs - all.passed - all.inconclusive), "runs",
                 HL_BENCH_AT_MOST, 0);
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "runs", required_argument, NULL, 'r' },
                                             { "seed", required_argument, NULL, 's' },
                                             { 0 } };
    struct controls k = { .runs = 200, .seed = 1 };
    char pattern[PATH_MAX];
    const char *root = getenv("HANGLAB_SOURCE");
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        switch (option) {
        case 'r': k.runs = strtoull(optarg, NULL, 10); break;
        case 's': k.seed = strtoull(optarg, NULL, 10); break;
        default: return 64;
        }
    }
    hl_bench_require(root != NULL, "find HANGLAB_SOURCE in the environment; `./dev bench` sets it");
    snprintf(pattern, sizeof pattern, "%s/scenarios/catalogue/*.yaml", root);
    hl_bench_require(glob(pattern, 0, NULL, &k.entries) == 0 && k.entries.gl_pathc <= ENTRIES_MAX,
                     "find the catalogue");
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    k.jobs = cores < 1 ? 1 : cores > JOBS_MAX ? JOBS_MAX : (int)cores;
    k.tally = mmap(NULL, (size_t)k.jobs * sizeof *k.tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                   -1, 0);
    hl_bench_require(k.tally != MAP_FAILED, "take memory");
    const double start = hl_bench_now_s();
    run_all(&k);
    report(&k, hl_bench_now_s() - start);
    globfree(&k.entries);
    return hl_bench_finish();
}

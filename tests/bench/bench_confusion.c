/* The classifier against random faults: which cause it finds, by the cause that the fault has, and how often
 * the verdict is right. Then healthy runs, as many as asked for, none of which may hang or be wrong.
 *
 *     bench_confusion [--engine sim|cuda] [--cases N] [--healthy N] [--seed N] [--gpus N] [--misses]
 *
 * --gpus: worlds of N ranks, each on a GPU of its own, in place of 2 to 8 ranks on one.
 * What an engine cannot run (a dead rank among virtual ones, sizes that the reduced geometry cannot keep
 * apart) is counted as skipped, with the reason once.
 * --misses prints every case that went wrong as a scenario file, with the seed of its run. */
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include "../../framework/campaign/run.h"
#include "../../framework/engine/engines.h"
#include "../../framework/program/random.h"
#include "bench.h"
#include "random_case.h"

#define BASE(threshold) \
    "hanglab: 1\nname: random\nworld: {ranks: 4}\nwatchdog: {threshold: " threshold "}\n" \
    "payload: {residue: {negative_subnormal_rows: 0}}\nruns: 1\n"

struct tally {
    uint64_t runs, skipped, passed, verdict_right, decided, cause_right, second_right;
    uint64_t found[HL_CAUSE_COUNT];
};

struct bench {
    struct hl_scenario *scenario;
    const struct hl_engine *engine;
    bool misses;
    struct tally tally[HL_TROUBLE_COUNT];
};

static void print_miss(const struct bench *b, const struct hl_random_case *r,
                       const struct hl_finding *finding)
{
    struct hl_case c = b->scenario->cases[0];
    c.config = r->config;
    printf("# %s: expected %s, found verdict %d, %s (or %s): %s\n# hanglab run --run-seed %" PRIu64 "\n",
           hl_trouble_name(r->trouble), hl_cause_name(r->cause), (int)finding->verdict,
           hl_cause_name(finding->cause), hl_cause_name(finding->other_cause), finding->summary, r->seed);
    hl_case_write_yaml(b->scenario, &c, stdout);
    puts("");
}

static bool has_right_cause(const struct hl_random_case *r, const struct hl_finding *finding)
{
    return finding->cause == r->cause || (r->also != HL_CAUSE_NONE && finding->cause == r->also);
}

/* A pass has no cause, and what never met its fault has none either. */
static bool has_cause(const struct hl_finding *finding)
{
    return finding->verdict != HL_VERDICT_PASS && finding->verdict != HL_VERDICT_INCONCLUSIVE;
}

static void run_case(struct bench *b, const struct hl_random_case *r)
{
    struct hl_case c = b->scenario->cases[0];
    const struct hl_run_options options = { .engine = b->engine, .seed = r->seed, .seed_is_of_run = true };
    struct hl_run_result result;
    struct hl_error error;
    c.config = r->config;
    struct tally *t = &b->tally[r->trouble];
    const enum hl_status status =
        hl_run_once(b->scenario, &c, &options, 0, HL_VERDICT_SKIPPED, &result, &error);
    if (status == HL_STATUS_USAGE || status == HL_STATUS_NO_GPU) {
        if (t->skipped++ == 0)
            printf("# %s: skipped: %s\n", hl_trouble_name(r->trouble), error.message);
        return;
    }
    if (status != HL_STATUS_OK) {
        fprintf(stderr, "%s\n", error.message);
        hl_bench_require(false, "a case cannot be run");
    }
    const struct hl_finding *finding = &result.finding;
    const bool verdict_right = r->verdicts >> finding->verdict & 1;
    const bool passed = finding->verdict == HL_VERDICT_PASS;
    t->runs++;
    t->passed += passed;
    t->verdict_right += verdict_right;
    if (has_cause(finding)) {
        t->decided++;
        t->found[finding->cause]++;
        t->cause_right += has_right_cause(r, finding);
        t->second_right += !has_right_cause(r, finding) && finding->other_cause == r->cause;
    }
    if (b->misses && (!verdict_right || (has_cause(finding) && !has_right_cause(r, finding))))
        print_miss(b, r, finding);
    hl_run_result_finish(&result);
}

static void draw_and_run(struct bench *b, enum hl_trouble trouble, uint64_t *random)
{
    struct hl_random_case r;
    struct hl_error error;
    if (hl_random_case_draw(&b->scenario->cases[0].config, trouble, random, &r, &error) != HL_STATUS_OK) {
        fprintf(stderr, "%s\n", error.message);
        hl_bench_require(false, "a case cannot be drawn");
    }
    run_case(b, &r);
}

static void print_matrix(const struct bench *b)
{
    printf("%-22s %6s %6s %8s  %s\n", "fault", "runs", "pass", "verdict", "causes found in the others");
    for (int i = 0; i < HL_TROUBLE_COUNT; i++) {
        const struct tally *t = &b->tally[i];
        if (!t->runs && !t->skipped)
            continue;
        printf("%-22s %6" PRIu64 " %6" PRIu64 " %7.2f%%", hl_trouble_name((enum hl_trouble)i), t->runs,
               t->passed, t->runs ? 100.0 * (double)t->verdict_right / (double)t->runs : 0.0);
        for (int cause = 0; cause < HL_CAUSE_COUNT; cause++)
            if (t->found[cause])
                printf("  %s %" PRIu64, hl_cause_name((enum hl_cause)cause), t->found[cause]);
        if (t->skipped)
            printf("  (skipped %" PRIu64 ")", t->skipped);
        if (t->second_right)
            printf("  (as second candidate %" PRIu64 ")", t->second_right);
        puts("");
    }
}

static void report(const struct bench *b)
{
    struct tally sum = { 0 };
    for (int i = HL_TROUBLE_NONE + 1; i < HL_TROUBLE_COUNT; i++) {
        sum.runs += b->tally[i].runs;
        sum.verdict_right += b->tally[i].verdict_right;
        sum.decided += b->tally[i].decided;
        sum.cause_right += b->tally[i].cause_right;
    }
    const struct tally *healthy = &b->tally[HL_TROUBLE_NONE];
    print_matrix(b);
    const bool is_sim = b->engine == &hl_engine_sim;
    if (sum.decided) {
        hl_bench_row("random faults, verdict right", 100.0 * (double)sum.verdict_right / (double)sum.runs,
                     "%", HL_BENCH_AT_LEAST, is_sim ? 100 : 99);
        hl_bench_row("random faults, exact cause", 100.0 * (double)sum.cause_right / (double)sum.decided, "%",
                     HL_BENCH_AT_LEAST, is_sim ? 99 : 95);
    }
    hl_bench_row("healthy runs that did not pass", (double)(healthy->runs - healthy->passed), "runs",
                 HL_BENCH_AT_MOST, 0);
}

/* A fault or a mutant that was added and is not drawn here would be right by not being looked at. */
static void require_all_troubles(void)
{
    static const struct {
        enum hl_fault_kind fault;
        enum hl_mutant mutant;
    } troubles[] = {
#define X(id, name, fault, mutant) { fault, mutant },
        HL_TROUBLES(X)
#undef X
    };
    uint64_t faults = 0, mutants = 0;
    for (size_t i = 0; i < sizeof troubles / sizeof *troubles; i++) {
        faults |= 1ull << troubles[i].fault;
        mutants |= 1ull << troubles[i].mutant;
    }
    hl_bench_require(faults == (1ull << HL_FAULT_COUNT) - 1 && mutants == (1ull << HL_MUTANT_COUNT) - 1,
                     "find every fault and mutant among the troubles of random_case.h");
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "engine", required_argument, NULL, 'e' },
                                             { "cases", required_argument, NULL, 'c' },
                                             { "healthy", required_argument, NULL, 'h' },
                                             { "seed", required_argument, NULL, 's' },
                                             { "misses", no_argument, NULL, 'm' },
                                             { "gpus", required_argument, NULL, 'g' },
                                             { 0 } };
    uint64_t cases = 2000, healthy = 2000, seed = 1;
    const char *engine = "sim";
    int gpus = 0;
    static struct bench bench;
    struct hl_error error;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        switch (option) {
        case 'e': engine = optarg; break;
        case 'c': cases = strtoull(optarg, NULL, 10); break;
        case 'h': healthy = strtoull(optarg, NULL, 10); break;
        case 's': seed = strtoull(optarg, NULL, 10); break;
        case 'm': bench.misses = true; break;
        case 'g': gpus = atoi(optarg); break;
        default: return 64;
        }
    }
    if (hl_find_engine(engine, &bench.engine, &error) != HL_STATUS_OK) {
        fprintf(stderr, "%s\n", error.message);
        return hl_status_exit_code(error.status);
    }
    /* A hang on a GPU costs its threshold in real time. */
    const char *base = bench.engine == &hl_engine_sim ? BASE("1s") : BASE("300ms");
    hl_bench_require(hl_scenario_parse("base", base, strlen(base), &bench.scenario, &error) == HL_STATUS_OK,
                     "read the base configuration");
    bench.scenario->cases[0].config.world.gpus = gpus;
    require_all_troubles();
    uint64_t random = hl_random_stream(seed, 0, 0);
    for (uint64_t i = 0; i < cases; i++)
        draw_and_run(&bench, (enum hl_trouble)(1 + i % (HL_TROUBLE_COUNT - 1)), &random);
    for (uint64_t i = 0; i < healthy; i++)
        draw_and_run(&bench, HL_TROUBLE_NONE, &random);
    report(&bench);
    hl_scenario_destroy(bench.scenario);
    return hl_bench_finish();
}

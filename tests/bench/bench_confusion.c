/* The classifier against random faults: which cause it finds, by the cause that the fault has, and how often
 * the verdict is right. Then healthy runs, as many as asked for, none of which may hang or be wrong.
 *
 *     bench_confusion [--cases N] [--healthy N] [--seed N] [--misses]
 *
 * --misses prints every case that went wrong as a scenario file, with the seed of its run. */
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include "../../framework/campaign/run.h"
#include "../../framework/program/random.h"
#include "bench.h"
#include "random_case.h"

static const char base_text[] = "hanglab: 1\nname: random\nworld: {ranks: 4}\n"
                                "payload: {residue: {negative_subnormal_rows: 0}}\nruns: 1\n";

static const char *const trouble_names[] = {
#define X(id, name) [id] = name,
    HL_TROUBLES(X)
#undef X
};

struct tally {
    uint64_t runs, passed, verdict_right, decided, cause_right, second_right;
    uint64_t found[HL_CAUSE_COUNT];
};

struct bench {
    struct hl_scenario *scenario;
    bool misses;
    struct tally tally[HL_TROUBLE_COUNT];
};

static void print_miss(const struct bench *b, const struct hl_random_case *r,
                       const struct hl_finding *finding)
{
    struct hl_case c = b->scenario->cases[0];
    c.config = r->config;
    printf("# %s: expected %s, found verdict %d, %s (or %s): %s\n# hanglab run --run-seed %" PRIu64 "\n",
           trouble_names[r->trouble], hl_cause_name(r->cause), (int)finding->verdict,
           hl_cause_name(finding->cause), hl_cause_name(finding->other_cause), finding->summary, r->seed);
    hl_case_write_yaml(b->scenario, &c, stdout);
    puts("");
}

static bool has_right_cause(const struct hl_random_case *r, const struct hl_finding *finding)
{
    return finding->cause == r->cause || (r->also != HL_CAUSE_NONE && finding->cause == r->also);
}

static void run_case(struct bench *b, const struct hl_random_case *r)
{
    struct hl_case c = b->scenario->cases[0];
    const struct hl_run_options options = { .engine = &hl_engine_sim,
                                            .seed = r->seed,
                                            .seed_is_of_run = true };
    struct hl_run_result result;
    struct hl_error error;
    c.config = r->config;
    if (hl_run_once(b->scenario, &c, &options, 0, HL_VERDICT_SKIPPED, &result, &error) != HL_STATUS_OK) {
        fprintf(stderr, "%s\n", error.message);
        hl_bench_require(false, "a case cannot be run");
    }
    const struct hl_finding *finding = &result.finding;
    struct tally *t = &b->tally[r->trouble];
    const bool verdict_right = r->verdicts >> finding->verdict & 1;
    const bool passed = finding->verdict == HL_VERDICT_PASS;
    t->runs++;
    t->passed += passed;
    t->verdict_right += verdict_right;
    if (!passed) {
        t->decided++;
        t->found[finding->cause]++;
        t->cause_right += has_right_cause(r, finding);
        t->second_right += !has_right_cause(r, finding) && finding->other_cause == r->cause;
    }
    if (b->misses && (!verdict_right || (!passed && !has_right_cause(r, finding))))
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
    printf("%-20s %6s %6s %8s  %s\n", "fault", "runs", "pass", "verdict", "causes found in the others");
    for (int i = 0; i < HL_TROUBLE_COUNT; i++) {
        const struct tally *t = &b->tally[i];
        if (!t->runs)
            continue;
        printf("%-20s %6" PRIu64 " %6" PRIu64 " %7.2f%%", trouble_names[i], t->runs, t->passed,
               100.0 * (double)t->verdict_right / (double)t->runs);
        for (int cause = 0; cause < HL_CAUSE_COUNT; cause++)
            if (t->found[cause])
                printf("  %s %" PRIu64, hl_cause_name((enum hl_cause)cause), t->found[cause]);
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
    if (sum.decided) {
        hl_bench_row("random faults, verdict right", 100.0 * (double)sum.verdict_right / (double)sum.runs,
                     "%", HL_BENCH_AT_LEAST, 100);
        hl_bench_row("random faults, exact cause", 100.0 * (double)sum.cause_right / (double)sum.decided, "%",
                     HL_BENCH_AT_LEAST, 99);
    }
    hl_bench_row("healthy runs that did not pass", (double)(healthy->runs - healthy->passed), "runs",
                 HL_BENCH_AT_MOST, 0);
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "cases", required_argument, NULL, 'c' },
                                             { "healthy", required_argument, NULL, 'h' },
                                             { "seed", required_argument, NULL, 's' },
                                             { "misses", no_argument, NULL, 'm' },
                                             { 0 } };
    uint64_t cases = 2000, healthy = 2000, seed = 1;
    static struct bench bench;
    struct hl_error error;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        switch (option) {
        case 'c': cases = strtoull(optarg, NULL, 10); break;
        case 'h': healthy = strtoull(optarg, NULL, 10); break;
        case 's': seed = strtoull(optarg, NULL, 10); break;
        case 'm': bench.misses = true; break;
        default: return 64;
        }
    }
    hl_bench_require(hl_scenario_parse("base", base_text, strlen(base_text), &bench.scenario, &error) ==
                         HL_STATUS_OK,
                     "read the base configuration");
    uint64_t random = hl_random_stream(seed, 0, 0);
    for (uint64_t i = 0; i < cases; i++)
        draw_and_run(&bench, (enum hl_trouble)(1 + i % (HL_TROUBLE_COUNT - 1)), &random);
    for (uint64_t i = 0; i < healthy; i++)
        draw_and_run(&bench, HL_TROUBLE_NONE, &random);
    report(&bench);
    hl_scenario_destroy(bench.scenario);
    return hl_bench_finish();
}

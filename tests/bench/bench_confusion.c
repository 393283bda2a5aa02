/* The classifier against random faults: which cause it finds, by the cause that the fault has, and how often
 * the verdict is right. Then healthy runs, as many as asked for, none of which may hang or be wrong.
 *
 *     bench_confusion [--engine sim|cuda] [--cases N] [--first N] [--healthy N] [--seed N] [--seconds N]
 *                     [--gpus N] [--each] [--misses] [--out DIR]
 *
 * --gpus: worlds of N ranks, each on a GPU of its own, in place of 2 to 8 ranks on one.
 * --cases counts those that ran: what an engine cannot run (a mutant without a build, sizes that the reduced
 * geometry cannot keep apart) is skipped, with the reason once. --each prints a line a case, --misses every
 * case that went wrong as a scenario file with the seed of its run, --out leaves its evidence there. --first
 * and --seconds cut a long list into pieces. */
#include <getopt.h>
#include <inttypes.h>
#include <string.h>
#include "../../framework/engine/engines.h"
#include "../../framework/scenario/words.h"
#include "bench.h"
#include "confusion_worker.h"

#define BASE(threshold) \
    "hanglab: 1\nname: random\nworld: {ranks: 4}\nwatchdog: {threshold: " threshold "}\n" \
    "payload: {residue: {negative_subnormal_rows: 0}}\nruns: 1\n"

struct tally {
    uint64_t runs, skipped, lost, passed, verdict_right, decided, cause_right, second_right;
    uint64_t found[HL_CAUSE_COUNT];
};

/* Far more than any case takes. */
#define CASE_LIMIT_S 20

struct bench {
    struct hl_confusion confusion;
    struct hl_worker worker;
    uint64_t cases, healthy, first;
    bool each;
    double until_s; /* 0: no limit */
    struct tally tally[HL_TROUBLE_COUNT];
};

static bool is_late(const struct bench *b) { return b->until_s > 0 && hl_bench_now_s() > b->until_s; }

/* Runs a case and counts it. False: it was skipped. */
static bool count_case(struct bench *b, enum hl_trouble trouble, uint64_t index)
{
    struct tally *t = &b->tally[trouble];
    struct hl_outcome o;
    const bool ended = hl_worker_run(&b->worker, trouble, index, CASE_LIMIT_S, &o);
    if (ended && o.skipped) {
        if (t->skipped++ == 0)
            printf("# %s: skipped: %s\n", hl_trouble_name(trouble), o.why);
        return false;
    }
    t->runs++;
    if (!ended) {
        t->lost++;
        printf("# %s: case %" PRIu64 " did not come back in %d s\n", hl_trouble_name(trouble), index,
               CASE_LIMIT_S);
        return true;
    }
    if (b->each)
        printf("%-22s %8" PRIu64 " %-12s %-20s %6.2f s  %s\n", hl_trouble_name(trouble), index,
               hl_words_name(&hl_words_verdicts, (int)o.verdict), hl_cause_name(o.cause), o.seconds,
               !o.verdict_right                             ? "WRONG VERDICT"
               : o.cause != HL_CAUSE_NONE && !o.cause_right ? "WRONG CAUSE"
                                                            : "right");
    fflush(stdout);
    t->passed += o.verdict == HL_VERDICT_PASS;
    t->verdict_right += o.verdict_right;
    if (o.cause == HL_CAUSE_NONE)
        return true;
    t->decided++;
    t->found[o.cause]++;
    t->cause_right += o.cause_right;
    t->second_right += !o.cause_right && o.other_cause == o.expected;
    return true;
}

/* Troubles in turn, until so many cases have run. On a GPU, where a rank that is a process takes a crew of
 * its own and so seconds, those that need one come every third time. */
static void run_faulty(struct bench *b)
{
    enum { TURN = HL_TROUBLE_COUNT - 1 };
    const uint64_t most = 4 * b->cases + TURN;
    for (uint64_t i = b->first, ran = 0; ran < b->cases && i < b->first + most && !is_late(b); i++) {
        const enum hl_trouble trouble = (enum hl_trouble)(1 + i % TURN);
        if (hl_is_cuda(b->confusion.engine) && hl_trouble_needs_process(trouble) && i / TURN % 3)
            continue;
        ran += count_case(b, trouble, i);
    }
}

static void run_healthy(struct bench *b)
{
    for (uint64_t i = 0; i < b->healthy && !is_late(b); i++)
        count_case(b, HL_TROUBLE_NONE, i);
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
        if (t->lost)
            printf("  (lost %" PRIu64 ")", t->lost);
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
    const bool is_sim = !hl_is_cuda(b->confusion.engine);
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

static void read_options(int argc, char **argv, struct bench *b, const char **ret_engine, int *ret_gpus)
{
    static const struct option options[] = { { "engine", required_argument, NULL, 'e' },
                                             { "cases", required_argument, NULL, 'c' },
                                             { "healthy", required_argument, NULL, 'h' },
                                             { "seed", required_argument, NULL, 's' },
                                             { "first", required_argument, NULL, 'f' },
                                             { "seconds", required_argument, NULL, 't' },
                                             { "misses", no_argument, NULL, 'm' },
                                             { "each", no_argument, NULL, 'v' },
                                             { "out", required_argument, NULL, 'o' },
                                             { "gpus", required_argument, NULL, 'g' },
                                             { 0 } };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        switch (option) {
        case 'e': *ret_engine = optarg; break;
        case 'c': b->cases = strtoull(optarg, NULL, 10); break;
        case 'h': b->healthy = strtoull(optarg, NULL, 10); break;
        case 's': b->confusion.seed = strtoull(optarg, NULL, 10); break;
        case 'f': b->first = strtoull(optarg, NULL, 10); break;
        case 't': b->until_s = hl_bench_now_s() + strtod(optarg, NULL); break;
        case 'm': b->confusion.misses = true; break;
        case 'v': b->each = true; break;
        case 'o': b->confusion.out_dir = optarg; break;
        case 'g': *ret_gpus = atoi(optarg); break;
        default: exit(64);
        }
    }
}

int main(int argc, char **argv)
{
    static struct bench bench = { .confusion = { .seed = 1 }, .cases = 2000, .healthy = 2000 };
    const char *engine = "sim";
    int gpus = 0;
    struct hl_scenario *scenario;
    struct hl_error error;
    read_options(argc, argv, &bench, &engine, &gpus);
    if (hl_find_engine(engine, &bench.confusion.engine, &error) != HL_STATUS_OK) {
        fprintf(stderr, "%s\n", error.message);
        return hl_status_exit_code(error.status);
    }
    /* A hang on a GPU costs its threshold in real time. */
    const char *base = hl_is_cuda(bench.confusion.engine) ? BASE("200ms") : BASE("1s");
    hl_bench_require(hl_scenario_parse("base", base, strlen(base), &scenario, &error) == HL_STATUS_OK,
                     "read the base configuration");
    scenario->cases[0].config.world.gpus = gpus;
    require_all_troubles();
    bench.confusion.scenario = scenario;
    bench.worker.confusion = &bench.confusion;
    run_faulty(&bench);
    run_healthy(&bench);
    hl_worker_finish(&bench.worker);
    report(&bench);
    hl_scenario_destroy(scenario);
    return hl_bench_finish();
}

/* The worker; see confusion_worker.h. Each case has a random stream of its own, so that one can be drawn
 * again without the others. */
#include "confusion_worker.h"
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../../framework/engine/engines.h"
#include "../../framework/program/random.h"
#include "../../framework/scenario/words.h"
#include "bench.h"

struct request {
    enum hl_trouble trouble;
    uint64_t index;
};

static bool has_right_cause(const struct hl_random_case *r, const struct hl_finding *finding)
{
    return finding->cause == r->cause || (r->also != HL_CAUSE_NONE && finding->cause == r->also);
}

/* A pass has no cause, and what never met its fault has none either. */
static bool has_cause(enum hl_verdict verdict)
{
    return verdict != HL_VERDICT_PASS && verdict != HL_VERDICT_INCONCLUSIVE;
}

static bool is_miss(const struct hl_random_case *r, const struct hl_finding *finding)
{
    return !(r->verdicts >> finding->verdict & 1) ||
           (has_cause(finding->verdict) && !has_right_cause(r, finding));
}

static bool wants_bundle(void *random_case, const struct hl_run_result *result)
{
    return is_miss(random_case, &result->finding);
}

static void print_miss(const struct hl_confusion *confusion, const struct hl_random_case *r,
                       const struct hl_run_result *result)
{
    const struct hl_finding *f = &result->finding;
    struct hl_case c = confusion->scenario->cases[0];
    c.config = r->config;
    printf("# %s: expected", hl_trouble_name(r->trouble));
    for (int v = 0; v < HL_VERDICT_COUNT; v++)
        if (r->verdicts >> v & 1)
            printf(" %s", hl_words_name(&hl_words_verdicts, v));
    printf(" of %s, found %s of %s (or %s), %s: %s\n# evidence %s\n# hanglab run --run-seed %" PRIu64 "\n",
           hl_cause_name(r->cause), hl_words_name(&hl_words_verdicts, (int)f->verdict),
           hl_cause_name(f->cause), hl_cause_name(f->other_cause),
           hl_words_name(&hl_words_certainties, (int)f->certainty), f->summary,
           result->bundle ? result->bundle : "was not asked for", r->seed);
    hl_case_write_yaml(confusion->scenario, &c, stdout);
    puts("");
}

static struct hl_outcome run_case(const struct hl_confusion *confusion, struct hl_random_case *r,
                                  uint64_t index)
{
    char folder[4096];
    struct hl_case c = confusion->scenario->cases[0];
    const struct hl_run_options options = { .engine = confusion->engine,
                                            .seed = r->seed,
                                            .seed_is_of_run = true,
                                            .out_dir = confusion->out_dir ? folder : NULL,
                                            .wants_bundle = wants_bundle,
                                            .user = r };
    struct hl_run_result result;
    struct hl_error error;
    struct hl_outcome outcome = { .expected = r->cause };
    c.config = r->config;
    snprintf(folder, sizeof folder, "%s/%" PRIu64, confusion->out_dir ? confusion->out_dir : "", index);
    const enum hl_status status =
        hl_run_once(confusion->scenario, &c, &options, 0, HL_VERDICT_SKIPPED, &result, &error);
    if (status == HL_STATUS_USAGE || status == HL_STATUS_NO_GPU) {
        outcome.skipped = true;
        snprintf(outcome.why, sizeof outcome.why, "%.*s", (int)sizeof outcome.why - 1, error.message);
        return outcome;
    }
    if (status != HL_STATUS_OK) {
        fprintf(stderr, "%s\n", error.message);
        hl_bench_require(false, "a case cannot be run");
    }
    const struct hl_finding *f = &result.finding;
    outcome.verdict = f->verdict;
    outcome.cause = has_cause(f->verdict) ? f->cause : HL_CAUSE_NONE;
    outcome.other_cause = f->other_cause;
    outcome.verdict_right = r->verdicts >> f->verdict & 1;
    outcome.cause_right = has_right_cause(r, f);
    if (confusion->misses && is_miss(r, f))
        print_miss(confusion, r, &result);
    hl_run_result_finish(&result);
    return outcome;
}

static struct hl_outcome draw_and_run(const struct hl_confusion *confusion, const struct request *request)
{
    struct hl_random_case r;
    struct hl_error error;
    uint64_t random = hl_random_stream(confusion->seed, request->trouble, request->index);
    if (hl_random_case_draw(&confusion->scenario->cases[0].config, request->trouble,
                            hl_is_cuda(confusion->engine), &random, &r, &error) != HL_STATUS_OK) {
        fprintf(stderr, "%s\n", error.message);
        hl_bench_require(false, "a case cannot be drawn");
    }
    return run_case(confusion, &r, request->index);
}

_Noreturn static void work(const struct hl_confusion *confusion, int requests, int outcomes)
{
    struct request request;
    while (read(requests, &request, sizeof request) == sizeof request) {
        const double start_s = hl_bench_now_s();
        struct hl_outcome outcome = draw_and_run(confusion, &request);
        outcome.seconds = hl_bench_now_s() - start_s;
        fflush(stdout);
        if (write(outcomes, &outcome, sizeof outcome) != sizeof outcome)
            break;
    }
    hl_engine_leave(confusion->engine);
    _exit(0);
}

static void start(struct hl_worker *worker)
{
    int requests[2], outcomes[2];
    fflush(NULL);
    hl_bench_require(pipe(requests) == 0 && pipe(outcomes) == 0, "make pipes");
    worker->pid = fork();
    hl_bench_require(worker->pid >= 0, "start a worker");
    if (worker->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing spins on a GPU for nobody */
        close(requests[1]);
        close(outcomes[0]);
        work(worker->confusion, requests[0], outcomes[1]);
    }
    close(requests[0]);
    close(outcomes[1]);
    worker->requests = requests[1];
    worker->outcomes = outcomes[0];
}

void hl_worker_finish(struct hl_worker *worker)
{
    if (!worker->pid)
        return;
    close(worker->requests);
    close(worker->outcomes);
    waitpid(worker->pid, NULL, 0);
    worker->pid = 0;
}

bool hl_worker_run(struct hl_worker *worker, enum hl_trouble trouble, uint64_t index, int limit_s,
                   struct hl_outcome *ret_outcome)
{
    const struct request request = { trouble, index };
    if (!worker->pid)
        start(worker);
    struct pollfd ready = { .fd = worker->outcomes, .events = POLLIN };
    if (write(worker->requests, &request, sizeof request) == sizeof request &&
        poll(&ready, 1, limit_s * 1000) == 1 &&
        read(worker->outcomes, ret_outcome, sizeof *ret_outcome) == sizeof *ret_outcome)
        return true;
    kill(worker->pid, SIGKILL);
    hl_worker_finish(worker);
    return false;
}

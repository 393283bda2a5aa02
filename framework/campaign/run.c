/* One run down the road. Whatever happens on it (a hang, a wrong number, a fault that never fired, a
 * checker that could not check) ends as a verdict; only hanglab's own failures are errors. */
#include "run.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../fault/weave.h"
#include "../program/random.h"
#include "../verdict/oracle.h"
#include "../../watchdog/watch.h"
#include "bundle.h"
#include "../scenario/words.h"

/* The run's own time between two looks at it. */
#define SLICE_NS 1000000u

struct road {
    struct hl_program *program;
    struct hl_watch *watch;
    struct hl_oracle *oracle;
    struct hl_timeline *timeline;
    struct hl_evidence evidence;
    uint64_t calls;
    bool unchecked; /* the oracle could not check a call */
};

uint64_t hl_run_seed(uint64_t seed, const char *case_id, int run)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (; *case_id; case_id++)
        hash = (hash ^ (unsigned char)*case_id) * 1099511628211u;
    return hl_random_stream(seed, hash, (uint64_t)run) & HL_SEED_MAX;
}

static void on_event(void *user, const struct hl_event *event)
{
    struct road *road = user;
    road->calls += event->kind == HL_EVENT_CALL_END;
    hl_watch_event(road->watch, event);
    hl_oracle_event(road->oracle, event);
    hl_timeline_event(road->timeline, event);
}

static void road_finish(struct road *road)
{
    hl_evidence_finish(&road->evidence);
    free(road->timeline);
    if (road->oracle)
        hl_oracle_destroy(road->oracle);
    if (road->watch)
        hl_watch_destroy(road->watch);
    if (road->program)
        hl_program_destroy(road->program);
}

static enum hl_status road_init(struct road *road, const struct hl_config *config, uint64_t seed,
                                struct hl_error *error)
{
    *road = (struct road){ 0 };
    hl_evidence_init(&road->evidence);
    enum hl_status status = hl_program_create(config, seed, &road->program, error);
    if (status == HL_STATUS_OK)
        status = hl_faults_weave(road->program, seed, error);
    if (status == HL_STATUS_OK) {
        const int ranks = road->program->ranks, workspaces = road->program->n_workspaces;
        road->watch = hl_watch_create(ranks, workspaces, config->watchdog.threshold_ns);
        /* A plugin sums as it likes: n rows, then the residual. */
        road->oracle = hl_oracle_create(ranks, workspaces, config->subject.plugin[0] ? ranks + 1 : 0);
        road->timeline = calloc(1, sizeof *road->timeline);
        if (!road->watch || !road->oracle || !road->timeline)
            status = hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    }
    if (status != HL_STATUS_OK)
        road_finish(road);
    return status;
}

/* Drives the run until it ended, crashed or stands still, then collects the evidence. */
static enum hl_status drive(struct road *road, const struct hl_engine *engine, struct hl_run *run,
                            struct hl_error *error)
{
    uint64_t now_ns = 0;
    enum hl_run_state state;
    do
        state = engine->advance(run, SLICE_NS, &now_ns);
    while (state == HL_RUN_GOING && !hl_watch_stalled(road->watch, now_ns));

    const struct hl_probe probe = engine->probe(run);
    if (hl_watch_collect(road->watch, &probe, now_ns, &road->evidence) < 0)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory while collecting evidence");
    struct hl_evidence *e = &road->evidence;
    e->hung = state == HL_RUN_GOING || state == HL_RUN_STUCK;
    e->time_ns = now_ns;
    if (state == HL_RUN_CRASHED) {
        e->crashed = true;
        snprintf(e->crash_reason, sizeof e->crash_reason, "%s", engine->crash_reason(run));
    }
    e->wrong = hl_oracle_result(road->oracle, &e->calls_checked, &road->unchecked);
    hl_oracle_add_inputs(road->oracle, e);
    if (e->hung || e->wrong.kind != HL_WRONG_NONE)
        hl_watch_look_at_buffers(&probe, e);
    return HL_STATUS_OK;
}

static void make_inconclusive(struct hl_finding *finding, const char *why)
{
    finding->verdict = HL_VERDICT_INCONCLUSIVE;
    snprintf(finding->summary, sizeof finding->summary, "%s", why);
}

/* Why a woven fault did not do what it was asked to; false when it did, or was not drawn in this run. */
static bool fault_failed(const struct road *road, int index, char *why, size_t size)
{
    const struct hl_fault *fault = &road->program->config.faults[index];
    const struct hl_fault_fate *fate = &road->program->fates[index];
    const char *name = hl_words_name(&hl_words_faults, fault->kind);
    if (fate->fate == HL_FATE_NO_PLACE)
        snprintf(why, size, "fault %d (%s on rank %d) can never fire: %s", index, name, fault->rank,
                 fate->why);
    else if (fate->fate == HL_FATE_WOVEN && !(road->evidence.faults_fired & 1u << index))
        snprintf(why, size, "fault %d (%s on rank %d) never fired, so the run shows nothing of it", index,
                 name, fault->rank);
    else
        return false;
    return true;
}

/* A pass counts only if everything that was asked for was really tried and checked. */
static void doubt(const struct road *road, struct hl_finding *finding)
{
    if (finding->verdict != HL_VERDICT_PASS)
        return;
    char why[320];
    for (int i = 0; i < road->program->config.n_faults; i++) {
        if (!fault_failed(road, i, why, sizeof why))
            continue;
        make_inconclusive(finding, why);
        return;
    }
    const struct hl_strike *strike = &road->program->config.subject.strike;
    const enum hl_mutant mutant = road->program->config.subject.mutant;
    if (HL_MUTANT_COUNTS_CALLS(mutant) && road->evidence.strikes == 0) {
        snprintf(why, sizeof why,
                 "mutant %s never struck: no kernel of rank %d that it changes comes to that place "
                 "(subject.strike: call %d, token %d, cta %d; -1 is every call, the last token or CTA)",
                 hl_words_name(&hl_words_mutants, mutant), strike->rank, strike->call, strike->token,
                 strike->cta);
        make_inconclusive(finding, why);
    } else if (road->unchecked)
        make_inconclusive(finding, "the oracle could not check every call");
    else if (road->evidence.calls_checked == 0)
        make_inconclusive(finding, "no call ended with a result that could be checked");
}

static void describe_sizes(const struct road *road, const struct hl_config *config,
                           struct hl_run_result *result)
{
    const struct hl_layout *layout = &road->evidence.layout[0];
    result->real = (struct hl_sizes){ config->subject.hidden, road->program->tokens_max };
    result->executed =
        (struct hl_sizes){ layout->row_words * 4 / hl_dtype_bytes(layout->dtype), layout->tokens_max };
}

enum hl_status hl_run_once(const struct hl_scenario *scenario, const struct hl_case *c,
                           const struct hl_run_options *options, int run_index, enum hl_verdict worst,
                           struct hl_run_result *ret_result, struct hl_error *error)
{
    struct hl_run_result result = { .seed = options->seed };
    if (!options->seed_is_of_run)
        result.seed = hl_run_seed(options->seed, c->id, run_index);

    struct road road;
    enum hl_status status = road_init(&road, &c->config, result.seed, error);
    if (status != HL_STATUS_OK)
        return status;
    const struct hl_run_spec spec = {
        .config = &c->config, .program = road.program, .seed = result.seed, .feed = { on_event, &road }
    };
    struct hl_run *run;
    status = options->engine->start(&spec, &run, error);
    if (status != HL_STATUS_OK) {
        road_finish(&road);
        return status;
    }
    status = drive(&road, options->engine, run, error);
    if (status == HL_STATUS_OK) {
        result.finding = hl_classify(&road.evidence);
        doubt(&road, &result.finding);
        result.signature = hl_signature_of(&result.finding, &road.evidence, road.program);
        result.faults_fired = road.evidence.faults_fired;
        result.calls = road.calls;
        result.calls_checked = road.evidence.calls_checked;
        result.virtual_ns = road.evidence.time_ns;
        describe_sizes(&road, &c->config, &result);
        if (options->out_dir && result.finding.verdict < worst && result.finding.verdict < HL_VERDICT_PASS &&
            (!options->wants_bundle || options->wants_bundle(options->user, &result))) {
            const struct hl_probe probe = options->engine->probe(run);
            const struct hl_bundle bundle = { scenario,      c,
                                              &result,       &road.evidence,
                                              road.timeline, road.program,
                                              &probe,        options->engine->name,
                                              run_index };
            struct hl_error why;
            if (hl_bundle_write(&bundle, options->out_dir, &result.bundle, &why) != HL_STATUS_OK)
                snprintf(result.bundle_error, sizeof result.bundle_error, "%.*s",
                         (int)sizeof result.bundle_error - 1, why.message);
        }
        *ret_result = result;
    }
    options->engine->end(run);
    road_finish(&road);
    return status;
}

void hl_run_result_finish(struct hl_run_result *result)
{
    free(result->bundle);
    result->bundle = NULL;
}

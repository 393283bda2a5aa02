/* All runs of a case: the worst verdict, how often it hung, and whether that was to be expected. */
#include "run.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../scenario/words.h"
#include "folder.h"
#include "statistics.h"

/* Takes over what a run with a new worst verdict shows, and its bundle. */
static void take_worst(struct hl_case_result *result, struct hl_run_result *run, int index)
{
    if (result->evidence)
        hl_folder_remove(result->evidence); /* of a milder run: one bundle a case is kept */
    free(result->evidence);
    result->evidence = run->bundle;
    run->bundle = NULL;
    memcpy(result->evidence_error, run->bundle_error, sizeof result->evidence_error);
    result->verdict = run->finding.verdict;
    result->finding = run->finding;
    result->seed = run->seed;
    result->run = index;
    result->real = run->real;
    result->executed = run->executed;
    memset(result->causes, 0, sizeof result->causes);
}

/* A fault may be left out of a run by its probability, but if it is left out of all of them, then a pass says
 * nothing of it. */
static void doubt(const struct hl_config *config, uint32_t fired, struct hl_case_result *result)
{
    for (int i = 0; i < config->n_faults && result->verdict == HL_VERDICT_PASS; i++) {
        if (config->faults[i].kind == HL_FAULT_NONE || fired & 1u << i)
            continue;
        result->verdict = result->finding.verdict = HL_VERDICT_INCONCLUSIVE;
        snprintf(result->finding.summary, sizeof result->finding.summary,
                 "fault %d (%s on rank %d) fired in none of the runs; try more --runs", i,
                 hl_words_name(&hl_words_faults, config->faults[i].kind), config->faults[i].rank);
    }
}

enum hl_status hl_case_run(const struct hl_scenario *scenario, const struct hl_case *c,
                           const struct hl_run_options *options, struct hl_case_result *ret_result,
                           struct hl_error *error)
{
    struct hl_case_result result = { .verdict = HL_VERDICT_SKIPPED };
    result.runs = options->seed_is_of_run ? 1 : options->runs > 0 ? options->runs : c->config.runs;
    uint32_t fired = 0;
    for (int i = 0; i < result.runs; i++) {
        struct hl_run_result run;
        const enum hl_status status = hl_run_once(scenario, c, options, i, result.verdict, &run, error);
        if (status == HL_STATUS_NO_GPU && i == 0) { /* too few GPUs here for this case */
            *ret_result = (struct hl_case_result){ .verdict = HL_VERDICT_SKIPPED };
            snprintf(ret_result->reason, sizeof ret_result->reason, "%.*s",
                     (int)sizeof ret_result->reason - 1, error->message);
            return HL_STATUS_OK;
        }
        if (status != HL_STATUS_OK) {
            hl_case_result_finish(&result);
            return status;
        }
        result.counts[run.finding.verdict]++;
        fired |= run.faults_fired;
        if (run.finding.verdict < result.verdict)
            take_worst(&result, &run, i);
        if (run.finding.verdict == result.verdict)
            result.causes[run.finding.cause]++;
        hl_run_result_finish(&run);
    }
    doubt(&c->config, fired, &result);
    const int hangs = result.counts[HL_VERDICT_HANG];
    const struct hl_interval interval = hl_clopper_pearson(hangs, result.runs, 0.95);
    result.rate = result.runs ? (double)hangs / result.runs : 0;
    result.rate_low = interval.low;
    result.rate_high = interval.high;
    if (result.verdict == HL_VERDICT_INCONCLUSIVE || result.verdict == HL_VERDICT_CRASH)
        snprintf(result.reason, sizeof result.reason, "%s", result.finding.summary);
    result.ok = hl_case_as_expected(&c->expected, &result);
    *ret_result = result;
    return HL_STATUS_OK;
}

void hl_case_result_finish(struct hl_case_result *result)
{
    free(result->evidence);
    result->evidence = NULL;
}

bool hl_case_as_expected(const struct hl_expectation *expected, const struct hl_case_result *result)
{
    if (result->status != HL_STATUS_OK || result->verdict != expected->verdict)
        return false;
    if (expected->cause >= 0 && (int)result->finding.cause != expected->cause)
        return false;
    const double rate = result->runs ? (double)result->counts[expected->verdict] / result->runs : 0;
    return rate >= expected->rate_min && rate <= expected->rate_max;
}

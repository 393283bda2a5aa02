/* Cases and campaigns: verdicts over runs, seeds, expectations, crashes and failures of one case among
 * others. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../framework/campaign/campaign.h"

static const char text[] = "hanglab: 1\n"
                           "name: campaign\n"
                           "world: {ranks: 2}\n"
                           "subject: {backend: mnnvl, hidden: 64, sentinel_compare: float-ftz}\n"
                           "schedule: {mode: eager, layers: 1, sizes: [2], replays: 1}\n"
                           "payload: {rows: real}\n"
                           "runs: 4\n"
                           "matrix:\n"
                           "  schedule.replays: [1, 2, 3, 4]\n";

/* The simulator, but for two cases: one kills its process, one fails in hanglab itself. */
static enum hl_status start_sabotaged(const struct hl_run_spec *spec, struct hl_run **ret_run,
                                      struct hl_error *error)
{
    if (spec->config->schedule.replays == 2)
        kill(getpid(), SIGKILL);
    if (spec->config->schedule.replays == 3)
        return hl_fail(error, HL_STATUS_INTERNAL, "sabotaged");
    return hl_engine_sim.start(spec, ret_run, error);
}

struct outcome {
    struct hl_scenario *scenario;
    struct hl_campaign campaign;
    size_t told;
};

static void on_case(void *user, const struct hl_campaign *campaign, const struct hl_campaign_item *item)
{
    struct outcome *o = user;
    cr_assert_eq((size_t)(item - campaign->items), o->told, "cases are told in order");
    o->told++;
}

static void load(struct outcome *o, const char *yaml)
{
    struct hl_error error;
    *o = (struct outcome){ 0 };
    cr_assert_eq(hl_scenario_parse("campaign.yaml", yaml, strlen(yaml), &o->scenario, &error), HL_STATUS_OK,
                 "%s", error.message);
    o->campaign.n_items = o->scenario->n_cases;
    o->campaign.items = calloc(o->scenario->n_cases, sizeof *o->campaign.items);
    for (size_t i = 0; i < o->scenario->n_cases; i++)
        o->campaign.items[i] =
            (struct hl_campaign_item){ .scenario = o->scenario, .c = &o->scenario->cases[i] };
    o->campaign.run = (struct hl_run_options){ .engine = &hl_engine_sim, .seed = 1 };
    o->campaign.jobs = 2;
    o->campaign.user = o;
    o->campaign.on_case = on_case;
}

static void finish(struct outcome *o)
{
    hl_campaign_finish(&o->campaign);
    hl_scenario_destroy(o->scenario);
}

Test(campaign, a_crash_and_a_failure_cost_their_own_cases_only)
{
    struct outcome o;
    struct hl_error error;
    load(&o, text);
    struct hl_engine engine = hl_engine_sim;
    engine.start = start_sabotaged;
    o.campaign.run.engine = &engine;
    cr_assert_eq(hl_campaign_run(&o.campaign, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(o.told, 4);
    const struct hl_campaign_item *items = o.campaign.items;
    cr_assert_eq(items[0].result.verdict, HL_VERDICT_PASS, "%s", items[0].result.finding.summary);
    cr_assert_eq(items[1].result.verdict, HL_VERDICT_CRASH);
    cr_assert_not_null(strstr(items[1].result.reason, "signal 9"), "%s", items[1].result.reason);
    cr_assert_eq(items[2].result.verdict, HL_VERDICT_INCONCLUSIVE);
    cr_assert_not_null(strstr(items[2].result.reason, "sabotaged"), "%s", items[2].result.reason);
    cr_assert_eq(items[3].result.verdict, HL_VERDICT_PASS);
    cr_assert_eq(hl_campaign_exit_code(&o.campaign), 2);
    finish(&o);
}

static enum hl_status start_without_gpus(const struct hl_run_spec *spec, struct hl_run **ret_run,
                                         struct hl_error *error)
{
    if (spec->config->schedule.replays == 3)
        return hl_fail(error, HL_STATUS_NO_GPU, "4 GPUs are wanted");
    return hl_engine_sim.start(spec, ret_run, error);
}

Test(campaign, a_case_that_wants_more_gpus_than_there_are_is_skipped_with_the_reason)
{
    struct outcome o;
    struct hl_error error;
    load(&o, text);
    struct hl_engine engine = hl_engine_sim;
    engine.start = start_without_gpus;
    o.campaign.run.engine = &engine;
    cr_assert_eq(hl_campaign_run(&o.campaign, &error), HL_STATUS_OK, "%s", error.message);
    const struct hl_case_result *result = &o.campaign.items[2].result;
    cr_assert_eq(result->verdict, HL_VERDICT_SKIPPED);
    cr_assert_str_eq(result->reason, "4 GPUs are wanted");
    cr_assert_eq(result->runs, 0);
    cr_assert_eq(hl_campaign_count(&o.campaign).skipped, 1);
    cr_assert_eq(hl_campaign_exit_code(&o.campaign), 0);
    finish(&o);
}

Test(campaign, a_case_counts_its_runs_and_their_interval)
{
    struct outcome o;
    struct hl_case_result result;
    struct hl_error error;
    load(&o, text);
    cr_assert_eq(hl_case_run(o.scenario, &o.scenario->cases[0], &o.campaign.run, &result, &error),
                 HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(result.runs, 4);
    cr_assert_eq(result.counts[HL_VERDICT_PASS], 4);
    cr_assert(result.ok && result.rate == 0 && result.rate_low == 0);
    cr_assert_float_eq(result.rate_high, 0.602364, 1e-6);
    hl_case_result_finish(&result);
    o.campaign.run.runs = 2;
    cr_assert_eq(hl_case_run(o.scenario, &o.scenario->cases[0], &o.campaign.run, &result, &error),
                 HL_STATUS_OK);
    cr_assert_eq(result.runs, 2);
    hl_case_result_finish(&result);
    finish(&o);
}

Test(campaign, seeds_depend_on_seed_case_and_run_and_stay_exact_in_json)
{
    const uint64_t seed = hl_run_seed(1, "a", 0);
    cr_assert_eq(seed, hl_run_seed(1, "a", 0));
    cr_assert_neq(seed, hl_run_seed(2, "a", 0));
    cr_assert_neq(seed, hl_run_seed(1, "b", 0));
    cr_assert_neq(seed, hl_run_seed(1, "a", 1));
    for (int run = 0; run < 1000; run++)
        cr_assert_leq(hl_run_seed(1, "a", run), HL_SEED_MAX);
}

Test(campaign, a_fault_without_a_place_is_inconclusive_never_pass)
{
    struct outcome o;
    struct hl_case_result result;
    struct hl_error error;
    load(&o, "hanglab: 1\nname: faulty\nworld: {ranks: 2}\nsubject: {backend: nccl, hidden: 64}\n"
             "schedule: {mode: eager, layers: 1, sizes: [2], replays: 1}\nruns: 2\n"
             "faults: [{fault: skip-call, rank: 1, call: 9999}]\n");
    cr_assert_eq(hl_case_run(o.scenario, &o.scenario->cases[0], &o.campaign.run, &result, &error),
                 HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(result.verdict, HL_VERDICT_INCONCLUSIVE);
    cr_assert_not_null(strstr(result.reason, "skip-call"), "%s", result.reason);
    hl_case_result_finish(&result);
    finish(&o);
}

Test(campaign, a_fault_that_no_run_draws_is_inconclusive)
{
    struct outcome o;
    struct hl_case_result result;
    struct hl_error error;
    load(&o, "hanglab: 1\nname: rare\nworld: {ranks: 2}\nsubject: {backend: nccl, hidden: 64}\n"
             "schedule: {mode: eager, layers: 1, sizes: [2], replays: 1}\nruns: 2\n"
             "faults: [{fault: skip-call, rank: 1, call: 0, probability: 0.000001}]\n");
    cr_assert_eq(hl_case_run(o.scenario, &o.scenario->cases[0], &o.campaign.run, &result, &error),
                 HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(result.verdict, HL_VERDICT_INCONCLUSIVE);
    cr_assert_not_null(strstr(result.reason, "none of the runs"), "%s", result.reason);
    hl_case_result_finish(&result);
    finish(&o);
}

static bool as_expected(struct hl_expectation expected, enum hl_verdict verdict, enum hl_cause cause,
                        int hangs)
{
    struct hl_case_result result = { .verdict = verdict, .finding = { .cause = cause }, .runs = 20 };
    result.counts[HL_VERDICT_HANG] = hangs;
    result.counts[HL_VERDICT_PASS] = 20 - hangs;
    return hl_case_as_expected(&expected, &result);
}

Test(campaign, expectations_hold_verdict_cause_and_rate)
{
    const struct hl_expectation pass = { HL_VERDICT_PASS, -1, 0, 1 };
    const struct hl_expectation hang = { HL_VERDICT_HANG, HL_CAUSE_SENTINEL_COLLISION, 0.1, 0.5 };
    cr_assert(as_expected(pass, HL_VERDICT_PASS, HL_CAUSE_NONE, 0));
    cr_assert_not(as_expected(pass, HL_VERDICT_HANG, HL_CAUSE_UNKNOWN, 1));
    cr_assert(as_expected(hang, HL_VERDICT_HANG, HL_CAUSE_SENTINEL_COLLISION, 5));
    cr_assert_not(as_expected(hang, HL_VERDICT_HANG, HL_CAUSE_LATE_CLEAR, 5));
    cr_assert_not(as_expected(hang, HL_VERDICT_HANG, HL_CAUSE_SENTINEL_COLLISION, 1));
    cr_assert_not(as_expected(hang, HL_VERDICT_HANG, HL_CAUSE_SENTINEL_COLLISION, 11));
    cr_assert_not(as_expected(hang, HL_VERDICT_PASS, HL_CAUSE_NONE, 0));
}

/* Exit code of a campaign with one result of each verdict given. */
static int code_of(const enum hl_verdict *verdicts, size_t n, bool ok)
{
    struct hl_campaign_item items[8] = { 0 };
    struct hl_campaign campaign = { .items = items, .n_items = n, .n_finished = n };
    for (size_t i = 0; i < n; i++)
        items[i].result = (struct hl_case_result){ .verdict = verdicts[i], .ok = ok };
    return hl_campaign_exit_code(&campaign);
}

Test(campaign, exit_code_1_outranks_2_outranks_3)
{
    const enum hl_verdict all[] = { HL_VERDICT_PASS, HL_VERDICT_INCONCLUSIVE, HL_VERDICT_CORRUPT,
                                    HL_VERDICT_HANG };
    cr_assert_eq(code_of(all, 4, true), 0, "what is expected is no failure");
    cr_assert_eq(code_of(all, 4, false), 1);
    cr_assert_eq(code_of(all + 1, 2, false), 2);
    cr_assert_eq(code_of(all + 1, 1, false), 3);
    cr_assert_eq(code_of(all, 1, false), 2, "a negative control that passes is a failure");
    cr_assert_eq(code_of((enum hl_verdict[]){ HL_VERDICT_CRASH }, 1, false), 2);
    cr_assert_eq(code_of((enum hl_verdict[]){ HL_VERDICT_SKIPPED }, 1, false), 0);
}

/* Runs the cases of a scenario on the simulator and holds each against the scenario's own `expect`. */
#pragma once
#include <criterion/criterion.h>
#include <string.h>
#include "../framework/campaign/run.h"
#include "../framework/verdict/classifier.h"

static void expect_cases(const char *yaml)
{
    struct hl_scenario *scenario;
    struct hl_error error;
    const struct hl_run_options options = { .engine = &hl_engine_sim, .seed = 1 };
    cr_assert_eq(hl_scenario_parse("test.yaml", yaml, strlen(yaml), &scenario, &error), HL_STATUS_OK, "%s",
                 error.message);
    for (size_t i = 0; i < scenario->n_cases; i++) {
        const struct hl_case *c = &scenario->cases[i];
        struct hl_case_result result;
        cr_assert_eq(hl_case_run(scenario, c, &options, &result, &error), HL_STATUS_OK, "%s: %s", c->id,
                     error.message);
        cr_expect(result.ok, "%s: verdict %d in %d of %d runs, cause %s: %s %s", c->id, result.verdict,
                  result.counts[result.verdict], result.runs, hl_cause_name(result.finding.cause),
                  result.finding.summary, result.reason);
        hl_case_result_finish(&result);
    }
    hl_scenario_destroy(scenario);
}

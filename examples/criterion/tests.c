/* Tests of a fused allreduce: what must not hang, and what is known to hang and must be told by its cause. */
#include <hanglab/criterion.h>

/* Every case of every file below scenarios/. */
HL_CRITERION_SCENARIOS(allreduce, scenarios, "scenarios")

/* One case, by name: the filters leave exactly one. */
HL_CRITERION_CASE(allreduce, decode_graph, "scenarios/schedules.yaml", "schedule.mode=full",
                  "subject.backend=mnnvl")

/* A scenario built in code, where a file would not do: here the rank that fails is computed. */
Test(allreduce, any_rank_that_leaves_out_a_call_is_named)
{
    for (int rank = 0; rank < 4; rank++) {
        struct hl_builder *builder = hl_builder_create("skipped");
        struct hl_cases *cases;
        struct hl_result *result;
        struct hl_error error;
        hl_builder_set(builder, "schedule.layers", "2");
        hl_builder_set(builder, "schedule.sizes", "[8]");
        hl_builder_set(builder, "schedule.replays", "3");
        hl_builder_set(builder, "runs", "2");
        hl_builder_add(builder, "faults", "{fault: skip-call, rank: %d, call: 2}", rank);
        cr_assert_eq(hl_builder_build(builder, &cases, &error), HL_STATUS_OK, "%s", error.message);
        cr_assert_eq(hl_cases_run(cases, 0, NULL, &result, &error), HL_STATUS_OK, "%s", error.message);
        cr_assert_eq(hl_result_verdict(result), HL_VERDICT_HANG, "%s", hl_result_text(result));
        cr_assert_str_eq(hl_result_cause(result), "peer-missing-call", "%s", hl_result_text(result));
        cr_assert_eq(hl_result_culprit(result)->rank, rank, "%s", hl_result_text(result));
        hl_result_destroy(result);
        hl_cases_destroy(cases);
        hl_builder_destroy(builder);
    }
}

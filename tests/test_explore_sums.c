/* What a search says of sums where calls go on without end. */
#include <criterion/criterion.h>
#include "../framework/search/explore.h"

/* The large call comes back to a buffer three laps later, and finds what the last one of it left there: of
 * the same place in the list, so that only rows that differ from lap to lap tell. */
static enum hl_answer large_and_small(enum hl_mutant mutant, bool reduce)
{
    static struct hl_space_spec spec;
    spec = (struct hl_space_spec){
        .ranks = 2, .streams = 1, .workspaces = 1, .dtype = HL_BF16, .mutant = mutant, .sms = 132
    };
    for (int rank = 0; rank < 2; rank++) {
        struct hl_space_stream_program *p = &spec.program[rank][0];
        p->n = 3;
        for (uint32_t i = 0; i < p->n; i++)
            p->calls[i] = (struct hl_space_call){
                .has_rows = true, .protocol = HL_MNNVL_ONESHOT, .tokens = i ? 1 : 2, .written = 2
            };
    }
    struct hl_space *space;
    struct hl_explored explored;
    const struct hl_explore_options options = { .reduce = reduce };
    cr_assert_eq(hl_space_create(&spec, &space, NULL), HL_STATUS_OK);
    cr_assert_eq(hl_explore(space, &options, &explored, NULL), HL_STATUS_OK);
    cr_expect_eq(explored.reduced, reduce);
    hl_space_destroy(space);
    return explored.answer;
}

Test(sums, of_calls_without_end_are_told_from_those_of_laps_before)
{
    cr_expect_eq(large_and_small(HL_MUTANT_NONE, true), HL_ANSWER_PROVEN_FREE);
    cr_expect_eq(large_and_small(HL_MUTANT_NONE, false), HL_ANSWER_PROVEN_FREE);
    cr_expect_eq(large_and_small(HL_MUTANT_SHORT_CLEAR, true), HL_ANSWER_CORRUPT);
    cr_expect_eq(large_and_small(HL_MUTANT_SHORT_CLEAR, false), HL_ANSWER_CORRUPT);
}

/* Rows are compared themselves, because sums of other rows may be the same once they are rounded. */
Test(sums, of_rows_that_do_not_belong_together_are_told_though_they_round_alike)
{
    static struct hl_space_spec spec;
    struct hl_space *space;
    spec = (struct hl_space_spec){ .ranks = 2, .streams = 1, .workspaces = 1, .dtype = HL_BF16, .sms = 132 };
    for (int rank = 0; rank < 2; rank++) {
        spec.program[rank][0].n = 1;
        spec.program[rank][0].calls[0] = (struct hl_space_call){
            .has_rows = true, .protocol = HL_MNNVL_ONESHOT, .tokens = 1, .written = 1
        };
    }
    cr_assert_eq(hl_space_create(&spec, &space, NULL), HL_STATUS_OK);
    const struct hl_cx *cx = hl_space_cx(space, 0, 0, 0, 0), *peer = hl_space_cx(space, 1, 0, 0, 0);
    const uint32_t other = *peer->input ^ 1;
    space->footprint.summed = hl_row_digest(cx->input, 1) + hl_row_digest(peer->input, 1);
    cr_expect(hl_space_summed_right_rows(space, cx));
    space->footprint.summed = hl_row_digest(cx->input, 1) + hl_row_digest(&other, 1);
    cr_expect(!hl_space_summed_right_rows(space, cx));
    hl_space_destroy(space);
}

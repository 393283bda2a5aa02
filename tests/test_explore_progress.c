/* Promises about CTAs: what ends under one ends under all stronger ones, and without any promise a wait is
 * enough to hang. */
#include <criterion/criterion.h>
#include "../framework/search/frontier.h"

static struct hl_space_spec calls(int ranks, enum hl_protocol protocol, uint32_t tokens)
{
    struct hl_space_spec spec = {
        .ranks = ranks, .streams = 1, .workspaces = 1, .dtype = HL_BF16, .sms = 132, .room = 64
    };
    for (int rank = 0; rank < ranks; rank++) {
        spec.program[rank][0].n = 1;
        spec.program[rank][0].calls[0] =
            (struct hl_space_call){ .protocol = protocol, .tokens = (uint8_t)tokens };
    }
    return spec;
}

static struct hl_frontier frontier_of(struct hl_space_spec spec, enum hl_promise own)
{
    struct hl_frontier frontier;
    struct hl_explored explored;
    struct hl_space *space;
    struct hl_error error;
    const struct hl_explore_options options = { .reduce = true, .states_max = 1000000 };
    spec.promise = own;
    cr_assert_eq(hl_space_create(&spec, &space, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(hl_explore(space, &options, &explored, &error), HL_STATUS_OK, "%s", error.message);
    hl_space_destroy(space);
    cr_assert_eq(hl_frontier_find(&spec, hl_frontier_ending(&explored), &options, &frontier, &error),
                 HL_STATUS_OK, "%s", error.message);
    return frontier;
}

Test(progress, the_protocols_end_under_every_promise_and_under_none_they_do_not)
{
    for (int protocol = HL_MNNVL_ONESHOT; protocol <= HL_TRTLLM_TWOSHOT; protocol++)
        for (int relaxed = 0; relaxed < 2; relaxed++) {
            struct hl_space_spec spec = calls(3, (enum hl_protocol)protocol, 1);
            spec.relaxed = relaxed;
            const struct hl_frontier f = frontier_of(spec, HL_PROMISE_FAIR);
            cr_expect_eq(hl_frontier_weakest(&f), HL_PROMISE_OBE, "protocol %d", protocol);
            cr_expect_eq(f.under[HL_PROMISE_UNFAIR], HL_ANSWER_HANG, "protocol %d", protocol);
        }
}

Test(progress, what_never_waits_ends_without_any_promise)
{
    const struct hl_frontier f = frontier_of(calls(3, HL_NORM_ONLY, 2), HL_PROMISE_FAIR);
    cr_expect_eq(hl_frontier_weakest(&f), HL_PROMISE_UNFAIR);
}

/* The same answers, whichever promise the case asks for first. */
Test(progress, the_frontier_does_not_depend_on_where_it_begins)
{
    struct hl_space_spec spec = calls(2, HL_TRTLLM_TWOSHOT, 2);
    unsigned between = 0;
    spec.one_gpu = true;
    for (spec.room = 1; spec.room <= 4; spec.room++) {
        const struct hl_frontier first = frontier_of(spec, HL_PROMISE_FAIR);
        cr_expect_eq(first.under[HL_PROMISE_FAIR], HL_ANSWER_PROVEN_FREE);
        between += first.under[HL_PROMISE_OBE] == HL_ANSWER_HANG;
        for (int own = HL_PROMISE_LOBE; own < HL_PROMISE_COUNT; own++) {
            const struct hl_frontier f = frontier_of(spec, (enum hl_promise)own);
            cr_expect_arr_eq(f.under, first.under, sizeof f.under, "room for %u, from promise %d", spec.room,
                             own);
        }
    }
    cr_expect(between >= 1 && between <= 3, "%u of 4 hang under obe", between);
}

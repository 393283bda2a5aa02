/* Promises about CTAs: what ends under one ends under all stronger ones, and without any promise a wait is
 * enough to hang. And streams that wait for ever while others go on: they are found, and the searches that
 * say that there are none are right. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../framework/search/frontier.h"
#include "../framework/search/lasso.h"
#include "../framework/search/story.h"

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

/*
 * Lassos
 */

static struct hl_space *create(const struct hl_space_spec *spec)
{
    struct hl_space *space;
    struct hl_error error;
    cr_assert_eq(hl_space_create(spec, &space, &error), HL_STATUS_OK, "%s", error.message);
    return space;
}

static struct hl_explored explore(struct hl_space *space)
{
    struct hl_explored explored;
    struct hl_error error;
    const struct hl_explore_options options = { .reduce = true, .states_max = 1000000 };
    cr_assert_eq(hl_explore(space, &options, &explored, &error), HL_STATUS_OK, "%s", error.message);
    return explored;
}

static struct hl_path find_lasso(struct hl_space *space)
{
    struct hl_path path;
    struct hl_error error;
    bool whole;
    cr_assert_eq(hl_lasso_find(space, 2000000, NULL, &path, &whole, &error), HL_STATUS_OK, "%s",
                 error.message);
    cr_assert(whole);
    return path;
}

/* Two streams on two workspaces: one without end, and one with a single call, which some ranks leave out. */
static struct hl_space_spec two_streams(int ranks, uint32_t who_calls)
{
    struct hl_space_spec spec = calls(ranks, HL_MNNVL_ONESHOT, 1);
    spec.streams = spec.workspaces = 2;
    for (int rank = 0; rank < ranks; rank++) {
        spec.program[rank][1].calls[0] =
            (struct hl_space_call){ .protocol = HL_TRTLLM_ONESHOT, .tokens = 1, .workspace = 1 };
        spec.program[rank][1].n = who_calls >> rank & 1;
        spec.program[rank][1].loop_to = UINT32_MAX;
    }
    return spec;
}

Test(lassos, a_stream_that_waits_while_another_goes_on_for_ever_is_found)
{
    const struct hl_space_spec wrong = two_streams(2, 1), twin = two_streams(2, 3);
    struct hl_space *space = create(&wrong);
    struct hl_story story;
    struct hl_error error;
    int rank, stream;
    const struct hl_explored explored = explore(space);
    cr_expect(explored.answer == HL_ANSWER_PROVEN_FREE && explored.may_starve, "no state of it hangs");
    struct hl_path path = find_lasso(space);
    cr_expect(path.n == 90 && path.again == 66, "%u, %u (docs/explore.md says 24 and 66)",
              path.n - path.again, path.again);
    cr_assert(hl_lasso_holds(space, &path, &rank, &stream));
    cr_expect(rank == 0 && stream == 1);
    cr_assert_eq(hl_story_tell(space, &path, NULL, &story, &error), HL_STATUS_OK, "%s", error.message);
    cr_expect(story.hangs);
    cr_expect_str_eq(story.sentence,
                     "Rank 0, call 0, waits for the row of rank 1 in buffer 0; rank 1 has gone on "
                     "and will never store it. Others go on for ever.");
    path.again--; /* not the same state any more */
    cr_expect_not(hl_lasso_holds(space, &path, &rank, &stream));
    hl_path_finish(&path);
    hl_space_destroy(space);
    space = create(&twin); /* a scheduler could starve its second stream, too: unfairly */
    cr_expect_eq(explore(space).answer, HL_ANSWER_PROVEN_FREE);
    cr_expect_eq(find_lasso(space).n, 0);
    hl_space_destroy(space);
}

Test(lassos, a_schedule_file_brings_one_back)
{
    char file[] = "/tmp/hanglab-schedule-XXXXXX";
    const struct hl_space_spec spec = two_streams(2, 2);
    struct hl_space *space = create(&spec);
    struct hl_path path = find_lasso(space), read;
    struct hl_error error;
    int rank, stream;
    close(mkstemp(file));
    cr_assert_eq(hl_path_write(space, &path, "test", &(struct hl_schedule_of){ .ranks = 2 }, file, &error),
                 HL_STATUS_OK);
    cr_assert_eq(hl_path_read(space, file, &read, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(read.n, path.n);
    cr_expect_eq(read.again, path.again);
    cr_expect(hl_lasso_holds(space, &read, &rank, &stream) && rank == 1 && stream == 1);
    unlink(file);
    hl_path_finish(&path);
    hl_path_finish(&read);
    hl_space_destroy(space);
}

/* What the reduced search says, held against the graph of all states. */
Test(lassos, where_no_stream_can_be_left_behind_there_are_none)
{
    static const enum hl_mutant mutants[] = { HL_MUTANT_NONE,        HL_MUTANT_WRONG_CLEAR_OFFSET,
                                              HL_MUTANT_SHORT_CLEAR, HL_MUTANT_NO_RELEASE,
                                              HL_MUTANT_OVERSHOOT,   HL_MUTANT_STRAY_STORE };
    unsigned proven = 0, open = 0;
    for (int protocol = HL_MNNVL_ONESHOT; protocol <= HL_TRTLLM_TWOSHOT; protocol++)
        for (size_t m = 0; m < sizeof mutants / sizeof *mutants; m++)
            for (int relaxed = 0; relaxed < 2; relaxed++) {
                struct hl_space_spec spec = calls(2, (enum hl_protocol)protocol, 1);
                spec.mutant = mutants[m];
                spec.relaxed = relaxed;
                spec.pdl = !relaxed;
                struct hl_space *space = create(&spec);
                const struct hl_explored explored = explore(space);
                if (explored.answer != HL_ANSWER_HANG) {
                    struct hl_path path = find_lasso(space);
                    cr_expect_eq(path.n, 0, "protocol %d, mutant %d", protocol, mutants[m]);
                    proven += !explored.may_starve;
                    open += explored.may_starve;
                    hl_path_finish(&path);
                }
                hl_space_destroy(space);
            }
    cr_expect(proven >= 30 && open >= 3, "%u proven, %u open", proven, open);
}

Test(lassos, of_the_protocols_there_are_none)
{
    for (int protocol = HL_MNNVL_ONESHOT; protocol <= HL_TRTLLM_TWOSHOT; protocol++)
        for (int ranks = 2; ranks <= 8; ranks += 3)
            for (int relaxed = 0; relaxed < 2; relaxed++) {
                struct hl_space_spec spec = calls(ranks, (enum hl_protocol)protocol, 2);
                spec.relaxed = relaxed;
                spec.pdl = true;
                struct hl_space *space = create(&spec);
                const struct hl_explored explored = explore(space);
                cr_expect(explored.answer == HL_ANSWER_PROVEN_FREE && !explored.may_starve,
                          "protocol %d, %d ranks, relaxed %d", protocol, ranks, relaxed);
                hl_space_destroy(space);
            }
}

/* What a sweep runs next, and which bundles it keeps. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../framework/campaign/keeper.h"
#include "../framework/campaign/plan.h"

Test(plan, rounds_weigh_cases_and_every_fourth_run_is_a_repeat)
{
    struct hl_plan plan;
    struct hl_plan_item item;
    const int weights[] = { 1, 3 };
    static const int order[][2] = { { 0, 0 }, { 1, 0 }, { 1, 1 }, { 1, 2 }, { 0, 1 }, { 1, 3 } };
    cr_assert(hl_plan_init(&plan, 2));
    plan.weights = weights;
    for (int i = 0; i < 6; i++) {
        cr_assert(hl_plan_next(&plan, &item));
        cr_assert(item.case_number == order[i][0] && item.run == order[i][1], "%d: case %d run %d", i,
                  item.case_number, item.run);
    }
    hl_plan_suspect(&plan, 1);
    hl_plan_suspect(&plan, 1);
    int repeats = 0;
    for (int i = 0; i < 40; i++) {
        cr_assert(hl_plan_next(&plan, &item));
        if (item.run < HL_FIRST_REPEAT)
            continue;
        cr_assert_eq(item.case_number, 1);
        cr_assert_eq(item.run, HL_FIRST_REPEAT + repeats);
        repeats++;
    }
    cr_assert_eq(repeats, 10);
    hl_plan_finish(&plan);
}

static bool skips_odd(void *user, struct hl_plan_item item)
{
    (void)user;
    return item.run % 2;
}

Test(plan, a_plan_with_an_end_skips_what_is_done_and_ends)
{
    struct hl_plan plan;
    struct hl_plan_item item;
    const int weights[] = { 1, 2 }, runs_of[] = { 4, 7 };
    cr_assert(hl_plan_init(&plan, 2));
    plan.weights = weights;
    plan.runs_of = runs_of;
    plan.skips = skips_odd;
    int count = 0;
    while (hl_plan_next(&plan, &item))
        count++;
    cr_assert_eq(count, 2 + 4);
    cr_assert_not(hl_plan_next(&plan, &item));
    hl_plan_finish(&plan);
}

Test(plan, the_first_bundle_and_the_newest_are_kept)
{
    struct hl_keeper *keeper = hl_keeper_create("/tmp", 1 << 30, 2);
    static const char *const dropped[] = { NULL, NULL, NULL, "b1", "b2", "b3" };
    for (int i = 0; i < 6; i++) {
        char name[8], *old;
        snprintf(name, sizeof name, "b%d", i);
        cr_assert(hl_keeper_add(keeper, 5, name, &old));
        cr_assert(dropped[i] ? old && strcmp(old, dropped[i]) == 0 : !old, "%d: %s", i, old ? old : "none");
        free(old);
    }
    cr_assert(hl_keeper_wants(keeper, 1));
    cr_assert_not(hl_keeper_wants(keeper, 1), "a second one within a second");
    cr_assert(hl_keeper_wants(keeper, 2), "another signature");
    hl_keeper_destroy(keeper);
    keeper = hl_keeper_create("/tmp", 0, 2);
    char *old;
    cr_assert(hl_keeper_add(keeper, 0, "b", &old));
    cr_assert(hl_keeper_is_full(keeper));
    cr_assert_not(hl_keeper_wants(keeper, 3));
    hl_keeper_destroy(keeper);
}

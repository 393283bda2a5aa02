/* Nights against nights: simulated months, with and without a regression, hold the comparison to its word. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include "../framework/campaign/compare.h"
#include "../framework/program/random.h"

#define NIGHTS 30
#define RUNS 1000

/* A night of runs that hang at a rate; `known` is a hang that is always there. */
static void simulate_night(struct hl_night *night, double rate, double known, uint64_t random)
{
    static const struct hl_stored_case c = { { 1, 1 }, "month", "month", 1, { HL_VERDICT_PASS, -1, 0, 1 } };
    static const struct hl_stored_signature signatures[] = {
        { "month", "hang old", HL_VERDICT_HANG, HL_CAUSE_LATE_CLEAR },
        { "month", "hang regression", HL_VERDICT_HANG, HL_CAUSE_PEER_MISSING_CALL }
    };
    bool is_new;
    *night = (struct hl_night){ .name = "night" };
    const int number = hl_results_case(&night->results, &c, &is_new);
    for (int i = 0; i < RUNS; i++) {
        const double draw = hl_random_unit(&random);
        const int which = draw < rate ? 1 : draw < rate + known ? 0 : -1;
        struct hl_stored_run run = { .id = { (uint64_t)i, 1 },
                                     .case_number = number,
                                     .run = i,
                                     .verdict = which < 0 ? HL_VERDICT_PASS : HL_VERDICT_HANG,
                                     .cause = which < 0 ? HL_CAUSE_NONE : signatures[which].cause,
                                     .signature = -1 };
        if (which >= 0)
            run.signature = hl_results_signature(&night->results, &signatures[which], &is_new);
        hl_results_run(&night->results, &run);
    }
}

/* Nights before `day` (0-based) hang at rate 0, later ones at 1 %. */
static struct hl_comparison simulate_month(struct hl_night *nights, int day, double known, uint64_t seed)
{
    struct hl_comparison comparison;
    for (int i = 0; i < NIGHTS; i++)
        simulate_night(&nights[i], i >= day ? 0.01 : 0, known, hl_random_stream(seed, 1, (uint64_t)i));
    cr_assert_eq(hl_compare_nights(nights, NIGHTS, 0.01, &comparison, NULL), HL_STATUS_OK);
    return comparison;
}

static void forget_month(struct hl_night *nights, struct hl_comparison *comparison)
{
    hl_comparison_finish(comparison);
    for (int i = 0; i < NIGHTS; i++)
        hl_results_finish(&nights[i].results);
}

Test(compare, a_regression_of_1_percent_on_day_12_is_reported_with_its_first_bad_night)
{
    struct hl_night nights[NIGHTS];
    for (uint64_t seed = 0; seed < 5; seed++) {
        struct hl_comparison comparison = simulate_month(nights, 11, 0.002, seed);
        int found = 0;
        for (int i = 0; i < comparison.n_changes; i++) {
            const struct hl_change *change = &comparison.changes[i];
            cr_assert(change->significant);
            cr_assert_str_eq(change->signature->text, "hang regression", "the old hang has not changed");
            cr_assert_eq(change->kind, HL_CHANGE_NEW);
            cr_assert_eq(change->first, 11, "day %d", change->first + 1);
            cr_assert_eq(change->before.hits, 0);
            cr_assert_eq(change->before.runs, 11 * RUNS);
            cr_assert(change->unexpected);
            found++;
        }
        cr_assert_eq(found, 1);
        cr_assert_eq(hl_comparison_exit_code(&comparison), 1);
        forget_month(nights, &comparison);
    }
}

/* On the very morning after: the nights until then are enough. */
Test(compare, the_first_bad_night_itself_shows_it)
{
    struct hl_night nights[12];
    struct hl_comparison comparison;
    for (int i = 0; i < 12; i++)
        simulate_night(&nights[i], i >= 11 ? 0.01 : 0, 0.002, hl_random_stream(3, 1, (uint64_t)i));
    cr_assert_eq(hl_compare_nights(nights, 12, 0.01, &comparison, NULL), HL_STATUS_OK);
    cr_assert_eq(comparison.n_changes, 1);
    cr_assert_eq(comparison.changes[0].first, 11);
    cr_assert(comparison.changes[0].significant);
    hl_comparison_finish(&comparison);
    for (int i = 0; i < 12; i++)
        hl_results_finish(&nights[i].results);
}

/* 1 % is promised; of 100 quiet months more than 5 would contradict it (p < 0.001). */
Test(compare, quiet_months_stay_quiet)
{
    struct hl_night nights[NIGHTS];
    int alarms = 0;
    for (uint64_t seed = 100; seed < 200; seed++) {
        struct hl_comparison comparison = simulate_month(nights, NIGHTS, 0.005, seed);
        for (int i = 0; i < comparison.n_changes; i++)
            alarms += comparison.changes[i].significant;
        forget_month(nights, &comparison);
    }
    cr_assert_leq(alarms, 5);
}

static enum hl_change_kind only_change(double before, double after, struct hl_change *ret_change)
{
    struct hl_night nights[2];
    struct hl_comparison comparison;
    simulate_night(&nights[0], before, 0, 1);
    simulate_night(&nights[1], after, 0, 2);
    cr_assert_eq(hl_compare_nights(nights, 2, 0.01, &comparison, NULL), HL_STATUS_OK);
    cr_assert_eq(comparison.n_changes, 1);
    *ret_change = comparison.changes[0];
    hl_comparison_finish(&comparison);
    hl_results_finish(&nights[0].results);
    hl_results_finish(&nights[1].results);
    return ret_change->kind;
}

Test(compare, two_nights_tell_new_gone_more_and_less)
{
    struct hl_change change;
    cr_assert_eq(only_change(0, 0.05, &change), HL_CHANGE_NEW);
    cr_assert_eq(only_change(0.05, 0, &change), HL_CHANGE_GONE);
    cr_assert_eq(only_change(0.02, 0.2, &change), HL_CHANGE_MORE);
    cr_assert_eq(only_change(0.2, 0.02, &change), HL_CHANGE_LESS);
    cr_assert(change.significant);
}

Test(compare, a_single_new_hang_is_told_but_not_called_significant)
{
    struct hl_change change;
    cr_assert_eq(only_change(0, 0.001, &change), HL_CHANGE_NEW);
    cr_assert_not(change.significant);
    cr_assert_gt(change.p, 0.1);
}

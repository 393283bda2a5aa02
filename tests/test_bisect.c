/* bisect: the posterior, its answers about planted culprits, axes of parameters on the simulator, and a real
 * git repository with a planted commit. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../framework/program/random.h"
#include "../framework/scenario/scenario.h"
#include "../framework/search/reduce/belief.h"
#include "../framework/search/reduce/bisect.h"
#include "../framework/search/reduce/points.h"
#include "../framework/search/reduce/schedules.h"
#include "command.h"

/*
 * The posterior
 */

Test(belief, a_hang_clears_everything_above_it)
{
    struct hl_belief belief;
    cr_assert(hl_belief_init(&belief, 10, 0.01, false, 0.3, 0.02));
    belief.hangs[4] = 1;
    hl_belief_update(&belief);
    double below = 0, above = 0;
    for (int k = 0; k <= 10; k++)
        *(k <= 4 ? &below : &above) += belief.posterior[k];
    cr_expect_float_eq(below, 1, 1e-12);
    cr_expect_float_eq(above, 0, 1e-12);
    hl_belief_finish(&belief);
}

/* One point each way, by hand: with rate_min near 0 the factor of one hang and m passes at bad points is
 * B(3/2, 1/2 + m) / B(1/2, 1/2); so after one hang at the last of 2 points and one pass at the first,
 * P(first) : P(last) = prior_first B(3/2, 3/2) : (1 - prior_first - prior_none) B(3/2, 1/2) = 1/4 : 1 of
 * these. */
Test(belief, is_what_the_formula_says)
{
    struct hl_belief belief;
    cr_assert(hl_belief_init(&belief, 2, 1e-9, false, 0.2, 0.4));
    belief.hangs[1] = 1;
    belief.passes[0] = 1;
    hl_belief_update(&belief);
    cr_expect_float_eq(belief.posterior[0], 0.2, 1e-6, "%g", belief.posterior[0]);
    cr_expect_float_eq(belief.posterior[1], 0.8, 1e-6);
    cr_expect_float_eq(belief.posterior[2], 0, 1e-12);
    hl_belief_finish(&belief);
}

Test(belief, keeps_together_what_cannot_be_told_apart)
{
    struct hl_belief belief;
    int low = 0, high = 0;
    cr_assert(hl_belief_init(&belief, 6, 0.01, false, 0.3, 0.02));
    belief.mute[2] = belief.mute[3] = true;
    belief.hangs[4] = 5;
    belief.passes[1] = 200;
    hl_belief_update(&belief);
    cr_expect_gt(hl_belief_best(&belief, &low, &high), 0.99);
    cr_expect_eq(low, 2);
    cr_expect_eq(high, 4);
    hl_belief_finish(&belief);
}

Test(bound, is_the_capacity_of_a_z_channel)
{
    cr_expect_float_eq(hl_one_sided_capacity(1), 1, 1e-12);
    cr_expect_float_eq(hl_one_sided_capacity(0.5), log2(1.25), 1e-12);
    /* For 256 commits: 25 runs at a rate of 0.5, 146 at 0.1, 1503 at 0.01. */
    cr_expect_float_eq(hl_bisect_bound(256, 0.5), 24.9, 0.1);
    cr_expect_float_eq(hl_bisect_bound(256, 0.1), 145.9, 0.2);
    cr_expect_float_eq(hl_bisect_bound(256, 0.01), 1502.5, 2);
}

/*
 * Plants
 */

struct plant {
    uint64_t seed;
    int first_bad, broken_from, broken_to; /* broken ones show nothing */
    double rate;
    bool rising; /* the rate grows from 0.02 at the culprit */
};

static enum hl_status run(void *user, int point, int first, int n, enum hl_shown *ret_shown,
                          struct hl_error *error)
{
    const struct plant *p = user;
    (void)error;
    for (int i = 0; i < n; i++) {
        uint64_t state = hl_random_stream(p->seed, (uint64_t)point, (uint64_t)(first + i));
        const double rate = p->rising ? fmin(1, 0.02 * (1 + point - p->first_bad)) : p->rate;
        ret_shown[i] = point >= p->broken_from && point < p->broken_to          ? HL_SHOWN_NOTHING
                       : point >= p->first_bad && hl_random_unit(&state) < rate ? HL_SHOWN_HANG
                                                                                : HL_SHOWN_PASS;
    }
    return HL_STATUS_OK;
}

static struct hl_bisect_result bisect(const struct plant *plant, int points, bool rates_differ)
{
    struct hl_bisect_result result;
    const struct hl_bisect_options options = {
        .points = points, .run = run, .user = (void *)plant, .rates_differ = rates_differ
    };
    cr_assert_eq(hl_bisect(&options, &result, NULL), HL_STATUS_OK);
    return result;
}

Test(bisect, is_right_at_all_rates)
{
    const double rates[] = { 1.0, 0.3, 0.1, 0.03 };
    int right = 0;
    for (int i = 0; i < 40; i++) {
        uint64_t state = hl_random_stream(3, 1, (uint64_t)i);
        const struct plant plant = { .seed = (uint64_t)i,
                                     .first_bad = 1 + (int)hl_random_below(&state, 63),
                                     .rate = rates[i % 4] };
        struct hl_bisect_result r = bisect(&plant, 64, false);
        right += r.end == HL_BISECT_FOUND && r.first_bad == plant.first_bad;
        cr_expect_leq((double)r.runs, 12 * hl_bisect_bound(64, plant.rate), "plant %d: %ld runs", i, r.runs);
        hl_bisect_result_finish(&r);
    }
    cr_expect_geq(right, 38, "%d of 40", right);
}

Test(bisect, says_when_there_is_no_culprit)
{
    const struct plant none = { .seed = 1, .first_bad = 64, .rate = 1 };
    struct hl_bisect_result r = bisect(&none, 64, false);
    cr_expect_eq(r.end, HL_BISECT_NONE);
    cr_expect_eq(r.hangs, 0);
    hl_bisect_result_finish(&r);
    const struct plant all = { .seed = 2, .first_bad = 0, .rate = 0.3 };
    r = bisect(&all, 64, false);
    cr_expect_eq(r.end, HL_BISECT_FIRST);
    hl_bisect_result_finish(&r);
}

Test(bisect, is_not_misled_by_a_rate_that_grows)
{
    int right = 0;
    for (int i = 0; i < 20; i++) {
        const struct plant plant = { .seed = (uint64_t)i, .first_bad = 3 + i, .rising = true };
        struct hl_bisect_result r = bisect(&plant, 64, true);
        right += r.end == HL_BISECT_FOUND && r.first_bad == plant.first_bad;
        hl_bisect_result_finish(&r);
    }
    cr_expect_geq(right, 19, "%d of 20", right);
}

Test(bisect, leaves_an_interval_where_nothing_can_run)
{
    const struct plant plant = { .seed = 7, .first_bad = 20, .broken_from = 18, .broken_to = 23, .rate = 1 };
    struct hl_bisect_result r = bisect(&plant, 64, false);
    cr_expect_eq(r.end, HL_BISECT_FOUND);
    cr_expect_eq(r.low, 18);
    cr_expect_eq(r.high, 23);
    hl_bisect_result_finish(&r);
}

/*
 * Axes of parameters
 */

Test(points, are_ranges_and_lists)
{
    struct hl_points points;
    struct hl_error error;
    cr_assert_eq(hl_points_parse("schedule.pieces=9..7", &points, &error), HL_STATUS_OK);
    cr_expect_eq(points.n, 3);
    cr_expect_str_eq(points.values[0], "9");
    cr_expect_str_eq(points.values[2], "7");
    hl_points_finish(&points);
    cr_assert_eq(hl_points_parse("schedule.sizes=4,[8,4],16", &points, &error), HL_STATUS_OK);
    cr_expect_eq(points.n, 3);
    cr_expect_str_eq(points.values[1], "[8,4]");
    hl_points_finish(&points);
    cr_expect_eq(hl_points_parse("schedule.peices=1..2", &points, &error), HL_STATUS_USAGE);
    cr_expect_not_null(strstr(error.message, "did you mean 'schedule.pieces'"), "%s", error.message);
    cr_expect_eq(hl_points_parse("schedule.pieces=4", &points, &error), HL_STATUS_USAGE);
    cr_expect_eq(hl_points_parse("schedule.replays=0..99999999", &points, &error), HL_STATUS_USAGE);
}

static const char pieces[] = "hanglab: 1\n"
                             "name: pieces\n"
                             "world: {ranks: 2}\n"
                             "subject: {backend: mnnvl, sentinel_compare: float-ftz}\n"
                             "schedule: {mode: piecewise, layers: 4, sizes: 8, replays: 2}\n"
                             "payload: {residue: {negative_subnormal_rows: 0.01}}\n";

Test(command, bisects_a_parameter)
{
    struct command c;
    command_init(&c);
    command_write(&c, "pieces.yaml", pieces);
    /* One piece has no split attention, so no row of it is unwritten. */
    command_expect(&c, "hanglab bisect pieces.yaml --over schedule.pieces=1..5 --engine sim", 0);
    command_said(&c, "hang rate raised by: every chance at 1");
    command_said(&c, "first bad: schedule.pieces=2, last good: 1");
    command_expect(&c, "hanglab bisect pieces.yaml --over schedule.pieces=2..5 --engine sim --format json",
                   0);
    command_said(&c, "\"end\":\"first\"");
    command_expect(
        &c, "hanglab bisect pieces.yaml --over subject.sentinel_compare=bits,float-ftz --engine sim", 0);
    command_said(&c, "first bad: subject.sentinel_compare=float-ftz, last good: bits");
    command_expect(&c,
                   "hanglab bisect pieces.yaml --over schedule.replays=1..4 --engine sim -j1 --format json "
                   "| sed 's/,\"wall_s.*//' >1; hanglab bisect pieces.yaml --over schedule.replays=1..4 "
                   "--engine sim -j3 --format json | sed 's/,\"wall_s.*//' >2; cmp 1 2",
                   0);
    command_finish(&c);
}

Test(command, a_step_speaks_to_git)
{
    struct command c;
    command_init(&c);
    command_write(&c, "pieces.yaml", pieces);
    command_expect(&c, "hanglab bisect pieces.yaml --step --engine sim --runs 300", 1);
    command_expect(&c, "hanglab bisect pieces.yaml --step --engine sim --runs 300 --cause late-clear", 125);
    command_expect(
        &c, "sed -i 's/float-ftz/bits/' pieces.yaml && hanglab bisect pieces.yaml --step --engine sim", 0);
    command_expect(&c, "hanglab bisect none.yaml --step", 125);
    command_expect(&c, "hanglab bisect pieces.yaml --step --no-such-option", 125);
    command_finish(&c);
}

Test(command, bisect_refuses_what_it_cannot_do)
{
    struct command c;
    command_init(&c);
    command_write(&c, "pieces.yaml", pieces);
    command_expect(&c, "hanglab bisect pieces.yaml", 64);
    command_expect(
        &c, "HANGLAB_SUBJECTS=$PWD hanglab bisect pieces.yaml --over flashinfer=0.6.2..0.6.12 --engine sim",
        64);
    command_said(&c, "0 releases of these");
    command_expect(&c, "hanglab bisect pieces.yaml --over schedule.pieces=1..9999 --engine sim", 64);
    command_said(&c, "schedule.pieces cannot be 9999");
    command_expect(&c, "hanglab bisect --over git=HEAD~3..HEAD", 64);
    command_said(&c, "--test CMD");
    command_expect(&c, "git init -q . && hanglab bisect --over git=nosuch..HEAD --test true", 64);
    command_finish(&c);
}

/* Twelve commits; from the eighth on the kernel hangs in three of ten runs, and the fifth does not build. */
static const char history[] =
    "git init -q repo && cd repo && git config user.name t && git config user.email t@t && "
    "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do "
    "  rate=0; [ $i -ge 8 ] && rate=3; echo \"rate=$rate # $i\" >kernel; rm -f broken; [ $i = 5 ] && echo "
    ">broken; "
    "  git add -A && git commit -qm \"change $i\" && git tag v$i; "
    "done";

Test(command, bisects_git_revisions)
{
    struct command c;
    command_init(&c);
    command_expect(&c, history, 0);
    const char *line =
        "hanglab bisect --repository repo --over git=v1..v12 --build '[ ! -e broken ] && cp kernel built "
        "&& echo built >>../builds' --test '. ./built; [ $((HANGLAB_SEED / 7 % 10)) -ge $rate ]' "
        "--out work";
    command_expect(&c, line, 0);
    command_said(&c, "first bad: git=");
    command_expect(&c, "git -C repo rev-parse v8 | cut -c1-40 >hash && cat hash", 0);
    char hash[41];
    snprintf(hash, sizeof hash, "%.40s", c.out);
    command_expect(&c, line, 0);
    char answer[64];
    snprintf(answer, sizeof answer, "first bad: git=%s", hash);
    command_said(&c, answer);
    /* The second time nothing was built again. */
    command_expect(&c, "test $(wc -l <work/builds) -le $(ls -d work/*/ | wc -l)", 0);
    command_finish(&c);
}

Test(command, a_test_that_takes_too_long_hangs)
{
    struct command c;
    command_init(&c);
    command_expect(&c, history, 0);
    command_expect(
        &c,
        "hanglab bisect --repository repo --over git=v6..v9 --timeout 0.2s --test '. ./kernel; [ $rate = 0 "
        "] || sleep 60' --out work",
        0);
    command_said(&c, "first bad: git=");
    command_finish(&c);
}

/* The late clear of explore's hang: a schedule with its steps, and the one step that decides. */
Test(schedules, the_first_step_behind_which_it_hangs_is_found_and_named)
{
    static const char text[] = "hanglab: 1\nname: late\nsubject: {mutant: late-clear}\n"
                               "schedule: {mode: eager, sizes: [4], pdl: false}\n";
    const struct hl_portfolio_options options = { .cover.ranks = 3,
                                                  .explore = { .reduce = true, .seconds_max = 60 },
                                                  .walk = { .seed = 1 } };
    char file[] = "/tmp/hanglab-schedules-XXXXXX";
    struct hl_scenario *scenario;
    struct hl_portfolio found;
    struct hl_schedules schedules;
    struct hl_bisect_result result;
    struct hl_error error;
    const int fd = mkstemp(file);
    cr_assert_geq(fd, 0);
    close(fd);
    cr_assert_eq(hl_scenario_parse("late", text, strlen(text), &scenario, &error), HL_STATUS_OK);
    const struct hl_config *config = &scenario->cases[0].config;
    cr_assert_eq(hl_portfolio_run(config, &options, &found, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(found.answer, HL_ANSWER_HANG);
    const struct hl_schedule_of of = hl_portfolio_schedule_of(&found, &options);
    cr_assert_eq(hl_path_write(found.space, &found.path, "late", &of, file, &error), HL_STATUS_OK);
    cr_assert_eq(hl_schedules_init(&schedules, config, file, 1, &error), HL_STATUS_OK, "%s", error.message);
    cr_expect_eq(schedules.n, (int)found.path.n + 1);

    enum hl_shown ends[2][20];
    cr_assert_eq(hl_schedules_run(&schedules, 0, 0, 20, ends[0], &error), HL_STATUS_OK);
    cr_assert_eq(hl_schedules_run(&schedules, schedules.n - 1, 0, 20, ends[1], &error), HL_STATUS_OK);
    for (int i = 0; i < 20; i++) {
        cr_expect_eq(ends[0][i], HL_SHOWN_PASS);
        cr_expect_eq(ends[1][i], HL_SHOWN_HANG);
    }
    const struct hl_bisect_options bisect = {
        .points = schedules.n, .run = hl_schedules_run, .user = &schedules, .rates_differ = true
    };
    cr_assert_eq(hl_bisect(&bisect, &result, &error), HL_STATUS_OK);
    cr_expect_eq(result.end, HL_BISECT_FOUND);
    cr_expect_geq(result.probability, 0.99);
    /* The store that the late clear erases. */
    cr_expect_not_null(strstr(schedules.names[result.first_bad], "stores to"), "%s",
                       schedules.names[result.first_bad]);
    hl_bisect_result_finish(&result);
    hl_schedules_finish(&schedules);
    hl_portfolio_finish(&found);
    hl_scenario_destroy(scenario);
    unlink(file);
}

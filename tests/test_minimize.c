/* minimize: its schedule of parts, its answers about planted hangs that are rare, and the real simulator. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../framework/campaign/sequential.h"
#include "../framework/program/random.h"
#include "../framework/search/reduce/cdd.h"
#include "../framework/search/reduce/minimize.h"
#include "command.h"

/*
 * Counter-based delta debugging
 */

/* Needs elements 3 and 11; or, when `either` is set, 3 and one of 7 and 8. */
struct need {
    bool either;
    int asked;
};

static int shows(void *user, const bool *remove)
{
    struct need *need = user;
    need->asked++;
    return need->either ? !remove[3] && !(remove[7] && remove[8]) : !remove[3] && !remove[11];
}

Test(cdd, parts_shrink_as_the_counter_grows)
{
    /* p_r = 0.1 / (1 - 1/e)^r: 0.1, 0.158, 0.25, 0.396, 0.626, 0.99. */
    const int sizes[] = { 9, 6, 3, 2, 1, 1 };
    for (int round = 0; round < 6; round++)
        cr_expect_eq(hl_cdd_part_size(round), sizes[round], "round %d: %d", round, hl_cdd_part_size(round));
}

Test(cdd, keeps_what_is_needed_and_nothing_else)
{
    bool remove[16] = { false };
    struct need need = { 0 };
    cr_assert_eq(hl_cdd_reduce(16, remove, shows, &need), 0);
    for (int i = 0; i < 16; i++)
        cr_expect_eq(remove[i], i != 3 && i != 11, "element %d", i);
    cr_expect_leq(need.asked, 40);
}

Test(cdd, keeps_one_of_two_that_replace_each_other)
{
    bool remove[16] = { false };
    struct need need = { .either = true };
    cr_assert_eq(hl_cdd_reduce(16, remove, shows, &need), 0);
    int kept = 0;
    for (int i = 0; i < 16; i++)
        kept += !remove[i];
    cr_expect_eq(kept, 2);
    cr_expect(!remove[3] && remove[7] != remove[8]);
}

static int stop_at_once(void *user, const bool *remove)
{
    (void)user;
    (void)remove;
    return -7;
}

Test(cdd, passes_a_stop_on)
{
    bool remove[4] = { false };
    cr_expect_eq(hl_cdd_reduce(4, remove, stop_at_once, NULL), -7);
    cr_expect_eq(hl_cdd_reduce(0, remove, stop_at_once, NULL), 0);
}

/*
 * The sequential test
 */

Test(sequential, errs_as_seldom_as_it_says)
{
    int wrong_low = 0, wrong_high = 0;
    for (uint64_t i = 0; i < 2000; i++) {
        for (int high = 0; high < 2; high++) {
            struct hl_sequential test = hl_sequential_init(0.1, 0.3, 0.05);
            enum hl_sequential_answer answer;
            uint64_t state = hl_random_stream(5, i, (uint64_t)high);
            do
                answer = hl_sequential_add(&test, hl_random_unit(&state) < (high ? 0.3 : 0.1));
            while (answer == HL_SEQUENTIAL_OPEN);
            wrong_high += high && answer == HL_SEQUENTIAL_LOW;
            wrong_low += !high && answer == HL_SEQUENTIAL_HIGH;
        }
    }
    /* At most 5 % of 2000, and not zero: the test is not wasteful. */
    cr_expect(wrong_low > 10 && wrong_low <= 115, "%d", wrong_low);
    cr_expect(wrong_high > 10 && wrong_high <= 115, "%d", wrong_high);
}

/*
 * Plants: a hang that needs two of six faults, at least 4 ranks and at least 3 replays
 */

struct plant {
    double rate;
    int runs;
};

static enum hl_status trial(void *user, const struct hl_scenario *scenario, const struct hl_case *c,
                            int first, int n, struct hl_likeness *ret_likenesses, struct hl_error *error)
{
    struct plant *plant = user;
    const struct hl_config *config = &c->config;
    (void)scenario;
    (void)error;
    int needed = 0;
    uint64_t text = (uint64_t)config->n_faults * 31 + (uint64_t)config->schedule.replays;
    for (int i = 0; i < config->n_faults; i++) {
        needed += config->faults[i].delay_ns == 2000000 || config->faults[i].delay_ns == 5000000;
        text = hl_random_stream(text, config->faults[i].delay_ns, 0);
    }
    const bool armed = needed == 2 && config->world.ranks >= 4 && config->schedule.replays >= 3;
    for (int i = 0; i < n; i++) {
        uint64_t state = hl_random_stream(text, 1, (uint64_t)(first + i));
        const bool hangs = armed && hl_random_unit(&state) < plant->rate;
        ret_likenesses[i] =
            hangs ? (struct hl_likeness){ HL_VERDICT_HANG, HL_CAUSE_LATE_CLEAR, 0, HL_BLAME_SLOT }
                  : (struct hl_likeness){ .verdict = HL_VERDICT_PASS, .stage = -1 };
    }
    plant->runs += n;
    return HL_STATUS_OK;
}

static struct hl_scenario *plant_scenario(void)
{
    char text[2048] = "hanglab: 1\nname: plant\nworld: {ranks: 8}\nsubject: {dtype: fp16}\nfaults:\n";
    struct hl_scenario *scenario;
    struct hl_error error;
    for (int i = 1; i <= 6; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text),
                 "  - {fault: host-delay, rank: %d, call: %d, delay: %dms}\n", i, i, i);
    cr_assert_eq(hl_scenario_parse("plant", text, strlen(text), &scenario, &error), HL_STATUS_OK, "%s",
                 error.message);
    return scenario;
}

static void expect_minimal(double rate)
{
    struct hl_scenario *scenario = plant_scenario();
    struct plant plant = { .rate = rate };
    struct hl_minimize_result r;
    const struct hl_minimize_options options = {
        .scenario = scenario, .c = &scenario->cases[0], .trial = trial, .trial_user = &plant, .cause = -1
    };
    cr_assert_eq(hl_minimize(&options, &r, NULL), HL_STATUS_OK);
    cr_expect_eq(r.end, HL_MINIMIZE_MINIMAL);
    cr_expect_eq(r.config.n_faults, 2, "%d faults", r.config.n_faults);
    cr_expect_eq(r.config.faults[0].delay_ns, 2000000);
    cr_expect_eq(r.config.faults[1].delay_ns, 5000000);
    cr_expect_eq(r.config.world.ranks, 4);
    cr_expect_eq(r.config.schedule.replays, 3);
    cr_expect_eq(r.config.schedule.layers, 1);
    cr_expect_eq(r.config.subject.dtype, HL_BF16, "a needless setting goes back to its default");
    cr_expect_eq(r.runs, plant.runs, "every run is counted");
    int needs = 0;
    for (int i = 0; i < r.n_needs; i++)
        needs += strncmp(r.needs[i].what, "fault host-delay", 16) == 0 ||
                 strstr(r.needs[i].what, "ranks: 4") || strstr(r.needs[i].what, "replays: 3");
    cr_expect_eq(needs, 4, "two faults, the ranks and the replays are told to be necessary");
    hl_minimize_result_finish(&r);
    hl_scenario_destroy(scenario);
}

Test(minimize, finds_a_hang_that_always_shows) { expect_minimal(1); }
Test(minimize, finds_a_hang_of_three_in_ten_runs) { expect_minimal(0.3); }
Test(minimize, finds_a_hang_of_one_in_ten_runs) { expect_minimal(0.1); }

Test(minimize, says_when_there_is_no_hang)
{
    struct hl_scenario *scenario = plant_scenario();
    struct plant plant = { .rate = 0 };
    struct hl_minimize_result r;
    const struct hl_minimize_options options = { .scenario = scenario,
                                                 .c = &scenario->cases[0],
                                                 .trial = trial,
                                                 .trial_user = &plant,
                                                 .cause = -1,
                                                 .runs_max = 50 };
    cr_assert_eq(hl_minimize(&options, &r, NULL), HL_STATUS_OK);
    cr_expect_eq(r.end, HL_MINIMIZE_NO_HANG);
    cr_expect_eq(r.before_runs, 50);
    hl_minimize_result_finish(&r);
    hl_scenario_destroy(scenario);
}

/*
 * The command, on the simulator
 */

static const char busy[] = "hanglab: 1\n"
                           "name: busy\n"
                           "world: {ranks: 4}\n"
                           "subject: {backend: mnnvl, dtype: fp16}\n"
                           "schedule: {mode: full, layers: 2, sizes: [8, 4], replays: 6}\n"
                           "faults:\n"
                           "  - {fault: host-delay, rank: 1, call: 3, delay: 50us}\n"
                           "  - {fault: skip-call, rank: 2, call: 9}\n"
                           "  - {fault: host-delay, rank: 3, call: every, delay: 20us}\n"
                           "runs: 4\n"
                           "matrix: {schedule.pdl: [true, false]}\n";

Test(command, minimizes_to_a_file_that_still_hangs)
{
    struct command c;
    command_init(&c);
    command_write(&c, "busy.yaml", busy);
    command_expect(&c, "hanglab minimize 'busy.yaml#schedule.pdl=false' --engine sim --out small.yaml", 0);
    command_said(&c, "hang, peer-missing-call");
    command_said(&c, "fault host-delay on rank 1, call 3");
    command_expect(&c, "grep -c 'fault:' small.yaml && grep 'fault: skip-call' small.yaml", 0);
    cr_expect_eq(c.out[0], '1', "one fault is left:\n%s", c.out);
    command_expect(
        &c, "grep 'ranks: 2' small.yaml && grep 'layers: 1' small.yaml && grep 'mode: eager' small.yaml", 0);
    command_expect(&c, "hanglab run small.yaml --engine sim", 0);
    command_said(&c, "peer-missing-call");
    command_finish(&c);
}

Test(command, minimizes_the_same_way_for_any_number_of_jobs)
{
    struct command c;
    command_init(&c);
    command_write(&c, "busy.yaml", busy);
    command_expect(&c, "hanglab minimize busy.yaml --filter schedule.pdl=true --engine sim -o 1.yaml -j 1",
                   0);
    command_expect(&c, "hanglab minimize busy.yaml --filter schedule.pdl=true --engine sim -o 2.yaml -j 3",
                   0);
    command_expect(&c, "cmp 1.yaml 2.yaml", 0);
    command_finish(&c);
}

Test(command, minimize_tells_what_it_cannot_do)
{
    struct command c;
    command_init(&c);
    command_write(&c, "busy.yaml", busy);
    command_expect(&c, "hanglab minimize busy.yaml --engine sim", 64);
    command_said(&c, "FILE#CASE");
    command_expect(&c, "hanglab minimize busy.yaml#schedule.pdl=no --engine sim", 64);
    command_said(&c, "has no case 'schedule.pdl=no'");
    command_expect(&c, "hanglab minimize busy.yaml#schedule.pdl=true --cause init-race --runs 5 --engine sim",
                   3);
    command_said(&c, "nothing to minimize");
    command_expect(&c, "hanglab minimize busy.yaml#schedule.pdl=true --engine sim --out none/x.yaml", 99);
    command_said(&c, "cannot write this file");
    command_finish(&c);
}

/* `explore` as its users meet it: cut off and resumed, its hang as a schedule, a page and a scenario. */
#include <jansson.h>
#include <stdlib.h>
#include "command.h"

static const char large[] = "hanglab: 1\nname: large\nworld: {ranks: 8}\n"
                            "schedule: {mode: eager, sizes: [4], pdl: false}\n";
static const char late[] = "hanglab: 1\nname: late\nworld: {ranks: 4}\nsubject: {mutant: late-clear}\n"
                           "schedule: {mode: eager, sizes: [4], pdl: false}\n";
/* A twin of calls that share a workspace on two streams: few of its runs hang by themselves. */
static const char twin[] = "hanglab: 1\nname: twin\nworld: {ranks: 4}\n"
                           "schedule: {mode: eager, layers: 2, sizes: [16, 8], replays: 4}\n"
                           "faults: [{fault: second-stream, rank: 1, call: 4}]\n";

static struct command c;

static void setup(void)
{
    command_init(&c);
    command_write(&c, "large.yaml", large);
    command_write(&c, "late.yaml", late);
    command_write(&c, "twin.yaml", twin);
}
static void teardown(void) { command_finish(&c); }
TestSuite(explore_command, .init = setup, .fini = teardown, .timeout = 100);

Test(explore_command, an_interrupt_leaves_a_checkpoint_and_a_partial_verdict)
{
    /* 8 ranks in every order: far more states than fit into the time. Without --foreground, timeout signals
     * hanglab, and then the whole group, hanglab with it: twice at once. */
    command_expect(&c,
                   "timeout -s INT 0.5 hanglab explore large.yaml --no-reduction "
                   "--states 4000000000 --checkpoint kept",
                   124);
    command_said(&c, "large: bound-reached");
    command_expect(&c, "test -s kept", 0);
    command_expect(&c, "hanglab explore large.yaml --ranks 4 --checkpoint kept --resume", 64);
    command_said(&c, "'ranks searched: 8' where this one has 'ranks searched: 4'");
    command_expect(&c, "hanglab explore large.yaml --checkpoint kept --resume", 64);
    command_said(&c, "'reduction: off' where this one has 'reduction: on'");
    /* Goes on with what it has: the states of both are more than those of either. */
    command_expect(
        &c,
        "hanglab explore large.yaml --no-reduction --states 1 --time-budget 1s --checkpoint kept --resume "
        "--format json",
        3);
    json_t *object = json_loads(c.out, JSON_DISABLE_EOF_CHECK, NULL);
    cr_assert_not_null(object, "%s", c.out);
    cr_expect_gt(json_integer_value(json_object_get(object, "states")), 1000);
    json_decref(object);
}

/* No file may be larger than 512 bytes: the search ends as it would, and says what is not kept. */
Test(explore_command, a_full_disk_costs_the_checkpoint_and_not_the_search)
{
    static const char full[] =
        "(trap '' XFSZ; ulimit -f 1; hanglab explore large.yaml --no-reduction --states "
        "%s --time-budget %s --checkpoint kept %s; echo code $?) 2>&1 | cat";
    char line[512];
    snprintf(line, sizeof line, full, "60000", "10", "");
    command_expect(&c, line, 0);
    command_said(&c, "large: bound-reached");
    command_said(&c, "cannot write the checkpoint kept: File too large; nothing is kept there");
    command_said(&c, "code 3");
    command_expect(&c, "test ! -e kept && test ! -e kept.tmp", 0);
    command_expect(
        &c, "hanglab explore large.yaml --no-reduction --states 50000 --time-budget 10 --checkpoint kept", 3);
    snprintf(line, sizeof line, full, "60000", "10", "--resume");
    command_expect(&c, line, 0);
    command_said(&c, "the one before is still there");
    command_said(&c, "code 3");
}

Test(explore_command, a_second_interrupt_at_once_is_the_same_wish)
{
    command_expect(&c,
                   "hanglab explore large.yaml --no-reduction --states 4000000000 --checkpoint kept & it=$!; "
                   "sleep 0.5; kill -INT $it; sleep 0.05; kill -INT $it; wait $it",
                   3);
    command_said(&c, "large: bound-reached");
    command_expect(&c, "test -s kept", 0);
}

/* Nobody reads the checkpoint that it is about to write, so that it cannot end by itself. */
Test(explore_command, a_second_interrupt_a_while_later_kills)
{
    command_expect(
        &c,
        "mkfifo kept.tmp; hanglab explore large.yaml --no-reduction --states 4000000000 "
        "--checkpoint kept & it=$!; sleep 0.5; kill -INT $it; sleep 1.2; kill -INT $it && wait $it",
        130);
}

Test(explore_command, says_of_many_cases_how_they_were_answered)
{
    command_expect(&c,
                   "hanglab explore \"$HANGLAB_SOURCE\"/scenarios/catalogue/host-delay.yaml --ranks 3 "
                   "--filter 'twin=late by 500 ms'",
                   3);
    command_said(&c, "unseen     time: ");
    command_said(&c, "otherwise; 9 whose cause no search sees; 0 not decided; 0 refused");
    command_expect(&c, "hanglab explore large.yaml late.yaml --ranks 3 --tokens 1 --format json", 1);
    command_said(&c, "\"type\":\"summary\",\"cases\":2,\"ok\":1,\"otherwise\":1,");
    command_expect(&c,
                   "hanglab explore \"$HANGLAB_SOURCE\"/scenarios/catalogue/other-size.yaml --tokens 2 "
                   "--filter 'twin=more tokens' --filter schedule.mode=full --format json",
                   64);
    command_said(&c, "\"answer\":\"refused\"");
    command_said(&c, "take --tokens 3");
    command_said(&c, "\"refused\":3,\"exit\":64");
}

Test(explore_command, a_resume_without_a_checkpoint_begins)
{
    command_expect(&c, "hanglab explore large.yaml --resume", 64);
    command_expect(&c, "hanglab explore large.yaml --checkpoint kept --resume", 0);
    command_said(&c, "the search begins");
    command_said(&c, "large: proven-free");
    command_expect(&c, "test ! -e kept", 0);
    command_expect(&c, "hanglab explore large.yaml late.yaml --checkpoint kept", 64);
    command_said(&c, "a checkpoint is of one case");
}

Test(explore_command, finds_the_same_hang_for_any_jobs)
{
    static char first[1 << 16];
    for (int jobs = 1; jobs <= 3; jobs++) {
        char line[128];
        snprintf(line, sizeof line, "hanglab explore late.yaml --random 20000 --jobs %d --format json", jobs);
        command_expect(&c, line, 1);
        json_t *object = json_loads(c.out, JSON_DISABLE_EOF_CHECK, NULL);
        cr_assert_not_null(object);
        json_object_del(object, "wall_s");
        char *text = json_dumps(object, JSON_SORT_KEYS);
        if (jobs == 1)
            snprintf(first, sizeof first, "%s", text);
        cr_expect_str_eq(text, first);
        free(text);
        json_decref(object);
    }
}

Test(explore_command, the_results_have_the_lanes_and_what_decides)
{
    command_expect(&c, "hanglab explore late.yaml --ranks 3 --out left", 1);
    command_said(&c, "The order of two steps decides");
    command_said(&c, "As a page: left/report.html");
    command_expect(&c, "cat left/results.jsonl", 0);
    json_t *object = json_loads(c.out, JSON_DISABLE_EOF_CHECK, NULL);
    cr_assert_not_null(object);
    cr_expect_eq(json_array_size(json_object_get(object, "schedule")),
                 (size_t)json_integer_value(json_object_get(object, "turns")));
    const json_t *decides = json_object_get(object, "decides");
    cr_expect_str_eq(json_string_value(json_object_get(decides, "else")), "goes on for ever");
    cr_expect_not_null(
        strstr(json_string_value(json_object_get(json_object_get(decides, "first"), "text")), "stores"));
    cr_expect_not_null(
        strstr(json_string_value(json_object_get(json_object_get(decides, "second"), "text")), "clears"));
    json_decref(object);
    command_expect(&c, "hanglab report left", 0);
    command_expect(&c, "grep -c 'If the second comes before' left/report.html", 0);
}

/* Hangs among the runs of a scenario. */
static int hangs_of(const char *file, int runs)
{
    char line[160];
    snprintf(line, sizeof line,
             "hanglab run %s --engine sim --runs %d --seed 77 --format json --out o | head -1", file, runs);
    command_expect(&c, line, 0);
    json_t *object = json_loads(c.out, JSON_DISABLE_EOF_CHECK, NULL);
    cr_assert_not_null(object, "%s", c.out);
    const int hangs = (int)json_integer_value(json_object_get(object, "hangs"));
    json_decref(object);
    return hangs;
}

Test(explore_command, a_counterexample_becomes_a_scenario_that_hangs_far_more_often)
{
    command_expect(&c, "hanglab explore twin.yaml --time-budget 20 --scenario steered.yaml", 1);
    command_said(&c, "steered.yaml hangs in");
    command_expect(&c, "hanglab run steered.yaml --engine sim", 0); /* it expects the hang, and its cause */
    const int steered = hangs_of("steered.yaml", 100), before = hangs_of("twin.yaml", 100);
    cr_expect_gt(steered, 80, "%d of 100", steered);
    cr_expect_lt(before, 65, "%d of 100", before);
}

Test(explore_command, a_hang_of_a_store_before_a_clear_becomes_a_scenario_too)
{
    command_expect(&c, "hanglab explore late.yaml --scenario steered.yaml", 1);
    command_expect(&c, "grep -q 'clears buffer' steered.yaml", 0);
    cr_expect_gt(hangs_of("steered.yaml", 100), 60);
}

/* The memset itself is what has to be late: no call of the rank comes before it. */
Test(explore_command, a_hang_of_a_memset_behind_a_store_becomes_a_scenario_too)
{
    command_expect(&c,
                   "hanglab explore \"$HANGLAB_SOURCE\"/scenarios/catalogue/late-memset.yaml --filter "
                   "twin=late-memset --filter subject.backend=mnnvl --filter schedule.mode=eager --tokens 1 "
                   "--scenario steered.yaml",
                   0);
    command_said(&c, "What steers it: the memset comes");
    cr_expect_gt(hangs_of("steered.yaml", 100), 95);
}

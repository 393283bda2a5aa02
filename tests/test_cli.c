/* The command as its users meet it: exit codes, usage errors, formats, and the same bytes for any --jobs. */
#include <jansson.h>
#include "command.h"

/* Every row of `hang` is a subnormal pattern that a flushing comparison refuses (flashinfer#3304). */
#define SCENARIO(name, more) \
    "hanglab: 1\nname: " name "\nworld: {ranks: 2}\n" \
    "schedule: {mode: eager, layers: 1, sizes: [2], replays: 2}\nruns: 3\n" more

static const char passing[] =
    SCENARIO("passing", "subject: {backend: nccl, hidden: 64}\npayload: {rows: real}\n");
static const char refused[] =
    SCENARIO("refused", "subject: {backend: mnnvl, hidden: 64, sentinel_compare: float-ftz}\n"
                        "payload: {rows: pattern, pattern: subnormal}\n");
static const char expected[] =
    SCENARIO("expected", "subject: {backend: mnnvl, hidden: 64}\n"
                         "payload: {rows: pattern, pattern: subnormal}\n"
                         "matrix:\n"
                         "  subject.sentinel_compare: [float-ftz, bits]\n"
                         "  schedule.replays: [1, 2, 3]\n"
                         "expect:\n"
                         "  - {when: {subject.sentinel_compare: float-ftz}, verdict: hang, "
                         "cause: sentinel-collision}\n");
static const char never_fires[] =
    SCENARIO("never-fires", "subject: {backend: nccl, hidden: 64}\n"
                            "faults: [{fault: skip-call, rank: 1, call: 9999}]\n");

static struct command c;

static void setup(void)
{
    command_init(&c);
    command_write(&c, "passing.yaml", passing);
    command_write(&c, "refused.yaml", refused);
    command_write(&c, "expected.yaml", expected);
    command_write(&c, "never-fires.yaml", never_fires);
}
static void teardown(void) { command_finish(&c); }
TestSuite(cli, .init = setup, .fini = teardown, .timeout = 60);

Test(cli, help_and_version_go_to_stdout)
{
    command_expect(&c, "hanglab --help", 0);
    cr_assert(strstr(c.out, "explain") && strstr(c.out, "doctor"));
    command_expect(&c, "hanglab --version", 0);
    cr_assert_eq(strncmp(c.out, "hanglab ", 8), 0);
    command_expect(&c, "hanglab run --help", 0);
    static const char *const options[] = { "--engine", "--seed", "--runs",        "--filter",  "--out",
                                           "--format", "--jobs", "--time-budget", "--geometry" };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        command_said(&c, options[i]);
    command_expect(&c, "hanglab --help > /dev/full", 99);
}

Test(cli, a_mistake_in_a_file_opens_with_its_place)
{
    command_write(&c, "mistake.yaml", "hanglab: 1\nname: mistake\nruns: many\n");
    command_expect(&c, "hanglab run mistake.yaml", 64);
    cr_assert_eq(strncmp(c.err, "mistake.yaml:3:7: error: ", 25), 0, "%s", c.err);
}

Test(cli, wrong_usage_ends_with_64_and_says_what_is_right)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        { "hanglab", "Usage" },
        { "hanglab rnu", "did you mean 'run'" },
        { "hanglab run", "which scenario" },
        { "hanglab run nowhere.yaml", "nowhere.yaml" },
        { "hanglab run --no-such-option passing.yaml", "no-such-option" },
        { "hanglab run --runs 0 passing.yaml", "--runs takes an integer from 1" },
        { "hanglab run --runs 1x passing.yaml", "--runs" },
        { "hanglab run --seed -1 passing.yaml", "--seed" },
        { "hanglab run --jobs many passing.yaml", "--jobs" },
        { "hanglab run --time-budget soon passing.yaml", "--time-budget" },
        { "hanglab run --format yaml passing.yaml", "--format takes" },
        { "hanglab run --geometry tiny passing.yaml", "no 'tiny' among" },
        { "hanglab run --engine opencl passing.yaml", "the engine is sim, cuda or auto" },
        { "hanglab run --filter schedule.mode=full expected.yaml", "filter 'schedule.mode=full'" },
        { "hanglab run --filter schedule.replays=1 --filter subject.sentinel_compare=none expected.yaml",
          "no case satisfies all filters" },
        { "hanglab run --run-seed 5 expected.yaml", "--run-seed is for one case" },
        { "hanglab run passing.yaml passing.yaml", "the name 'passing'" },
        { "mkdir empty; hanglab run empty", "no scenario" },
        { "hanglab explain", "which bundle" },
        { "hanglab list nothing-such", "nothing-such" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        command_expect(&c, cases[i].line, 64);
        command_said(&c, cases[i].says);
        cr_assert_str_empty(c.out, "%s: errors belong on stderr", cases[i].line);
    }
}

Test(cli, a_bad_scenario_ends_with_64_and_nothing_runs)
{
    command_write(&c, "bad.yaml", "hanglab: 1\nname: bad\nsubject: {backend: mnnvk}\n");
    command_expect(&c, "hanglab run --format json passing.yaml bad.yaml", 64);
    command_said(&c, "bad.yaml:3:");
    command_said(&c, "mnnvl");
    cr_assert_str_empty(c.out);
}

Test(cli, asking_for_a_gpu_without_one_ends_with_77)
{
    command_expect(&c, "hanglab run --engine cuda passing.yaml", 77);
    command_said(&c, "sim");
}

Test(cli, exit_codes_tell_hang_corrupt_and_inconclusive_apart)
{
    command_expect(&c, "hanglab run passing.yaml", 0);
    command_said(&c, "1 configuration: 1 pass, all as expected.");
    command_expect(&c, "hanglab run expected.yaml", 0);
    command_said(&c, "6 configurations: 3 pass, 3 hang (sentinel-collision), all as expected.");
    command_expect(&c, "hanglab run refused.yaml", 1);
    command_said(&c, "UNEXPECTED");
    command_expect(&c, "hanglab run never-fires.yaml", 3);
    command_said(&c, "can never fire");
    command_expect(&c, "hanglab run never-fires.yaml refused.yaml passing.yaml", 1);
}

Test(cli, lost_output_is_a_failure_of_its_own)
{
    command_expect(&c, "hanglab run passing.yaml > /dev/full", 99);
    command_expect(&c, "hanglab list faults > /dev/full", 99);
}

static void check_case(const json_t *json, size_t *ret_hangs)
{
    const char *id, *verdict, *engine, *want;
    int ok, runs, hangs;
    double rate, low, high;
    json_error_t error;
    cr_assert_eq(json_unpack_ex((json_t *)json, &error, 0,
                                "{s:s, s:s, s:s, s:s, s:b, s:i, s:i, s:F, s:[F, F]}", "id", &id, "verdict",
                                &verdict, "engine", &engine, "expected", &want, "ok", &ok, "runs", &runs,
                                "hangs", &hangs, "rate", &rate, "rate_ci95", &low, &high),
                 0, "%s", error.text);
    cr_assert_str_eq(engine, "sim");
    cr_assert_str_eq(verdict, want);
    cr_assert(ok && runs == 3 && low <= rate && rate <= high);
    cr_assert_eq(json_object_size(json_object_get(json, "params")), 2);
    if (strcmp(verdict, "hang") != 0)
        return;
    (*ret_hangs)++;
    cr_assert_str_eq(json_string_value(json_object_get(json, "cause")), "sentinel-collision");
    const json_t *culprit = json_object_get(json, "culprit");
    const char *value = json_string_value(json_object_get(culprit, "value"));
    cr_assert(json_is_integer(json_object_get(culprit, "rank")));
    cr_assert(json_is_object(json_object_get(culprit, "slot")));
    cr_assert(value && strncmp(value, "0x80", 4) == 0 && strcmp(value, "0x80000000") != 0);
    cr_assert(json_is_string(json_object_get(json, "evidence")));
}

Test(cli, json_is_a_line_a_case_and_a_summary)
{
    command_expect(&c, "hanglab run --format json expected.yaml", 0);
    size_t cases = 0, hangs = 0, summaries = 0;
    for (char *line = strtok(c.out, "\n"); line; line = strtok(NULL, "\n")) {
        json_error_t error;
        json_t *json = json_loads(line, JSON_REJECT_DUPLICATES, &error);
        cr_assert_not_null(json, "%s: %s", error.text, line);
        const char *type = json_string_value(json_object_get(json, "type"));
        if (strcmp(type, "summary") == 0) {
            summaries++;
            cr_assert_eq(json_integer_value(json_object_get(json, "cases")), 6);
            cr_assert_eq(json_integer_value(json_object_get(json, "ok")), 6);
            cr_assert_eq(json_integer_value(json_object_get(json, "unexpected")), 0);
            cr_assert_eq(json_integer_value(json_object_get(json, "exit")), 0);
            cr_assert(json_is_number(json_object_get(json, "wall_s")));
        } else {
            cr_assert_eq(summaries, 0, "the summary comes last");
            check_case(json, &hangs);
            cases++;
        }
        json_decref(json);
    }
    cr_assert(cases == 6 && hangs == 3 && summaries == 1);
}

Test(cli, json_is_the_same_for_any_number_of_jobs_and_any_choice)
{
    static const char line[] = "hanglab run --seed 7 --format json --jobs %d expected.yaml passing.yaml | "
                               "sed 's/\"wall_s\":[^}]*//'";
    char text[256];
    snprintf(text, sizeof text, line, 1);
    command_expect(&c, text, 0);
    char *first = strdup(c.out);
    snprintf(text, sizeof text, line, 2);
    command_expect(&c, text, 0);
    cr_assert_str_eq(c.out, first);

    /* A case alone gives the very line that it gives among others. */
    command_expect(&c,
                   "hanglab run --seed 7 --format json --filter schedule.replays=2 "
                   "--filter subject.sentinel_compare=float-ftz expected.yaml | head -n 1",
                   0);
    cr_assert(strlen(c.out) > 100 && strstr(first, c.out), "%s\nis not in\n%s", c.out, first);
    free(first);
}

Test(cli, filters_on_one_path_are_alternatives_and_ids_match_in_part)
{
    command_expect(&c,
                   "hanglab list --filter schedule.replays=1 --filter schedule.replays=3 "
                   "--filter subject.sentinel_compare=bits expected.yaml | grep -c ^expected/",
                   0);
    cr_assert_str_eq(c.out, "2\n");
    command_expect(&c, "hanglab list --filter replays=3 expected.yaml | grep -c ^expected/", 0);
    cr_assert_str_eq(c.out, "2\n");
}

Test(cli, a_folder_is_every_scenario_in_it_in_order)
{
    command_expect(&c,
                   "mkdir -p d/sub && cp passing.yaml d/b.yaml && cp expected.yaml d/sub/a.yaml && "
                   "sed s/passing/first/ passing.yaml > d/a.yml && cp passing.yaml d/note.txt && "
                   "hanglab list d | grep -o '^[a-z]*' | uniq | tr '\\n' ' '",
                   0);
    cr_assert_str_eq(c.out, "first passing expected ");
}

Test(cli, a_bundle_reproduces_its_run)
{
    command_expect(&c, "hanglab run --seed 3 --format json refused.yaml", 1);
    json_t *first = json_loads(strtok(c.out, "\n"), 0, NULL);
    char line[512];
    snprintf(line, sizeof line, "TMPDIR=$PWD HANGLAB=hanglab sh '%s/repro.sh' --format json",
             json_string_value(json_object_get(first, "evidence")));
    command_expect(&c, line, 1);
    json_t *again = json_loads(strtok(c.out, "\n"), 0, NULL);
    static const char *const keys[] = { "seed", "verdict", "cause", "certainty", "culprit" };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        cr_assert(json_equal(json_object_get(first, keys[i]), json_object_get(again, keys[i])), "%s",
                  keys[i]);
    json_decref(first);
    json_decref(again);
}

Test(cli, one_bundle_a_case_is_kept)
{
    command_expect(
        &c, "hanglab run expected.yaml > /dev/null && ls hanglab-out/evidence/* | grep -cx '[0-9][0-9]*'", 0);
    cr_assert_str_eq(c.out, "3\n");
}

Test(cli, evidence_that_cannot_be_written_is_told_and_the_verdict_stands)
{
    command_expect(&c, "touch occupied; hanglab run --format json --out occupied refused.yaml", 1);
    command_said(&c, "\"verdict\":\"hang\"");
    command_said(&c, "\"evidence_error\"");
    command_said(&c, "hanglab: no evidence of refused");
    command_expect(&c, "hanglab run --out occupied expected.yaml", 99);
}

Test(cli, a_spent_time_budget_skips_the_rest)
{
    command_expect(&c, "hanglab run --format json --time-budget 0.000001 expected.yaml", 0);
    command_said(&c, "\"verdict\":\"skipped\"");
    command_said(&c, "time budget");
    command_said(&c, "\"skipped\":6");
}

Test(cli, an_interrupt_prints_what_was_done)
{
    command_write(&c, "long.yaml",
                  "hanglab: 1\nname: long\nworld: {ranks: 2}\nsubject: {backend: nccl, hidden: 64}\n"
                  "schedule: {mode: eager, layers: 1, sizes: [2], replays: 2}\nruns: 1000000\n");
    command_expect(&c,
                   "hanglab run --format json --runs 1000000 long.yaml & pid=$!; sleep 0.5; kill -TERM $pid; "
                   "wait $pid",
                   3);
    command_said(&c, "\"reason\":\"interrupted\"");
    command_said(&c, "\"interrupted\":true");
}

Test(cli, junit_and_tap_tell_the_failure)
{
    command_expect(&c, "hanglab run --format junit passing.yaml refused.yaml", 1);
    command_said(&c, "<testsuites name=\"hanglab\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\"");
    command_said(&c, "<failure type=\"hang\" message=\"hang: sentinel-collision, expected pass\">");
    command_expect(&c, "hanglab run --format tap passing.yaml refused.yaml", 1);
    cr_assert_eq(strncmp(c.out, "TAP version 14\n1..2\nok 1 - passing\nnot ok 2 - refused\n", 50), 0, "%s",
                 c.out);
}

Test(cli, list_knows_the_word_tables)
{
    command_expect(&c, "hanglab list", 0);
    command_said(&c, "faults");
    command_expect(&c, "hanglab list faults", 0);
    command_said(&c, "skip-call");
    command_expect(&c, "hanglab list causes", 0);
    command_said(&c, "sentinel-collision");
    command_said(&c, "evidence");
    command_expect(&c, "hanglab list backends", 0);
    command_said(&c, "mnnvl");
}

Test(cli, schema_is_json)
{
    command_expect(&c, "hanglab schema", 0);
    json_t *json = json_loads(c.out, 0, NULL);
    cr_assert(json_is_object(json));
    json_decref(json);
}

/* docs/nightly.md has every night in a folder of its own below one that a fresh clone does not have. */
Test(cli, folders_of_nights_are_made_with_those_that_they_lie_in)
{
    command_expect(&c, "hanglab sweep passing.yaml --engine sim --time-budget 1 --out nights/new/first", 0);
    command_expect(
        &c, "hanglab sweep passing.yaml --engine sim --time-budget 1 --seed 2 --out nights/new/second", 0);
    command_expect(&c, "hanglab merge nights/new/first nights/new/second --out whole/of/them", 0);
    command_expect(&c, "hanglab compare nights/new/first whole/of/them", 0);
}

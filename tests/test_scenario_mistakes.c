/* What a wrong scenario file gets: the exact place, the line with a caret, what was expected and the
 * nearest word; and that no file, however hostile, costs more than a moment and 256 MiB. */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "../framework/scenario/scenario.h"
#include "../framework/scenario/yaml.h"

#define HEAD "hanglab: 1\nname: demo\n"

/* Parses what must be wrong. */
static struct hl_error mistake_in_bytes(const char *text, size_t size)
{
    struct hl_scenario *scenario = (void *)-1;
    struct hl_error error = { 0 };
    enum hl_status status = hl_scenario_parse("f.yaml", text, size, &scenario, &error);
    cr_assert_eq(status, HL_STATUS_USAGE, "this should be refused:\n%.200s\n%s", text, error.message);
    cr_assert_eq(error.status, HL_STATUS_USAGE);
    cr_assert_eq((void *)scenario, (void *)-1, "a ret_ parameter is set on success only");
    return error;
}

static void assert_mistake(const char *text, const char *expected)
{
    struct hl_error error = mistake_in_bytes(text, strlen(text));
    cr_assert_str_eq(error.message, expected);
}

static void assert_fine(const char *text)
{
    struct hl_scenario *scenario;
    struct hl_error error;
    cr_assert_eq(hl_scenario_parse("f.yaml", text, strlen(text), &scenario, &error), HL_STATUS_OK, "%s\n%s",
                 text, error.message);
    hl_scenario_destroy(scenario);
}

static void assert_has(const char *text, const char *part)
{
    struct hl_error error = mistake_in_bytes(text, strlen(text));
    cr_assert_not_null(strstr(error.message, part), "\"%s\" is missing in:\n%s", part, error.message);
}

Test(mistakes, a_wrong_word_is_shown_with_the_nearest_right_one)
{
    assert_mistake(HEAD "subject: {backend: mnnvll}\n",
                   "f.yaml:3:20: error: subject.backend cannot be mnnvll\n"
                   "subject: {backend: mnnvll}\n"
                   "                   ^\n"
                   "expected one of mnnvl, trtllm, nccl, auto\n"
                   "did you mean \"mnnvl\"?");
}

Test(mistakes, an_unknown_key_is_shown_with_the_keys_of_its_section)
{
    assert_mistake(HEAD "watchdog:\n\n  detial: light # and more\n",
                   "f.yaml:5:3: error: unknown key \"detial\" in watchdog\n"
                   "  detial: light # and more\n"
                   "  ^\n"
                   "expected one of threshold, detail\n"
                   "did you mean \"detail\"?");
    assert_has(HEAD "mtrix: {}\n", "f.yaml:3:1: error: unknown key \"mtrix\"\n");
    assert_has(HEAD "mtrix: {}\n", "did you mean \"matrix\"?");
}

Test(mistakes, all_of_a_file_are_told_at_once)
{
    assert_mistake(HEAD "world: {ranks: 3}\nruns: 0\nschedule: {pdl: yes}\n",
                   "f.yaml:3:16: error: world.ranks cannot be 3\n"
                   "world: {ranks: 3}\n"
                   "               ^\n"
                   "expected one of 2, 4, 8, 16\n"
                   "f.yaml:4:7: error: runs cannot be 0\n"
                   "runs: 0\n"
                   "      ^\n"
                   "expected an integer from 1 to 1000000\n"
                   "f.yaml:5:17: error: schedule.pdl cannot be yes\n"
                   "schedule: {pdl: yes}\n"
                   "                ^\n"
                   "expected true or false\n"
                   "did you mean \"true\"?");
}

Test(mistakes, more_than_fit_are_counted)
{
    char text[8192] = HEAD "expect:\n";
    for (int i = 0; i < 300; i++)
        strcat(text, "- {verdict: hng}\n");
    struct hl_error error = mistake_in_bytes(text, strlen(text));
    cr_assert_lt(strlen(error.message), sizeof error.message);
    int shown = 0;
    for (const char *at = error.message; (at = strstr(at, ": error: ")); at++)
        shown++;
    cr_assert_geq(shown, 5);
    char last[32];
    snprintf(last, sizeof last, "\n... and %d more", 300 - shown);
    cr_assert_str_eq(strrchr(error.message, '\n'), last);
}

Test(mistakes, columns_count_characters_and_carets_follow_tabs)
{
    assert_mistake("{title: \"\xC3\xBC\xE2\x82\xAC\", runs: 0, hanglab: 1, name: a}\n",
                   "f.yaml:1:21: error: runs cannot be 0\n"
                   "{title: \"\xC3\xBC\xE2\x82\xAC\", runs: 0, hanglab: 1, name: a}\n"
                   "                    ^\n"
                   "expected an integer from 1 to 1000000");
    assert_has(HEAD "runs:\t0\n", "f.yaml:3:7: error: runs cannot be 0\nruns:\t0\n     \t^\n");
    assert_has("\xEF\xBB\xBFhanglab: 1\r\nname: demo\r\nruns: 0\r\n",
               "f.yaml:3:7: error: runs cannot be 0\nruns: 0\n      ^");
}

/* Each of these lines, third in a file, is a mistake in that line. */
static void assert_wrong_lines(const char *const *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char text[256];
        snprintf(text, sizeof text, HEAD "%s\n", lines[i]);
        assert_has(text, "f.yaml:3:");
    }
}

Test(mistakes, ranges_are_checked_on_both_sides)
{
    static const char *const wrong[] = {
        "world: {ranks: 1}",
        "world: {ranks: 32}",
        "world: {sms: 0}",
        "subject: {hidden: 56}",
        "subject: {hidden: 16392}",
        "subject: {hidden: 4100}",
        "subject: {workspaces: 3}",
        "schedule: {layers: 0}",
        "schedule: {layers: 257}",
        "schedule: {sizes: 0}",
        "schedule: {sizes: [16385]}",
        "schedule: {sizes: []}",
        "schedule: {sizes: [[4]]}",
        "schedule: {warmups: -1}",
        "schedule: {replays: 1000001}",
        "schedule: {replays: 1.5}",
        "schedule: {replays: \"3\"}",
        "schedule: {replays: 99999999999999999999}",
        "schedule: {replays: 0x10}",
        "schedule: {replays: 1e3}",
        "schedule: {replays:}",
        "schedule: {pdl: 1}",
        "schedule: {pdl: [true]}",
        "runs: 0",
        "runs: {}",
        "watchdog: {threshold: 5}",
        "watchdog: {threshold: 5 s}",
        "watchdog: {threshold: 999ns}",
        "watchdog: {threshold: 2h}",
        "watchdog: {threshold: 3601s}",
        "watchdog: {threshold: 1.2.3s}",
        "flags: {nodes: 0}",
        "payload: {residue: {nan_rows: 1.01}}",
        "payload: {residue: {nan_rows: -0.1}}",
        "payload: {residue: {nan_rows: nan}}",
        "geometry: half",
        "payload: {residue: {nan_rows: inf}}",
        "flags: {flashinfer-allreduce-fusion-backend: nccl}",
        "faults: [{fault: skip-call, rank: -1}]",
        "faults: [{fault: skip-call, rank: 0, call: -1}]",
        "faults: [{fault: skip-call, rank: 0, calls: 0}]",
        "faults: [{fault: host-delay, rank: 0, delay: 0ms}]",
    };
    assert_wrong_lines(wrong, sizeof wrong / sizeof *wrong);
}

Test(mistakes, lists_and_mappings_are_told_from_values)
{
    static const char *const wrong[] = {
        "faults: [{fault: skip-call}]",
        "faults: [{rank: 1}]",
        "faults: {}",
        "faults: [skip-call]",
        "faults:",
        "title: [a]",
        "title: \"a\\nb\"",
        "world: 4",
        "world:",
        "matrix: []",
        "exclude: {}",
        "expect: {}",
        "matrix: {runs: 3}",
        "matrix: {runs: []}",
        "matrix: {name: [a]}",
        "matrix: {world: [1]}",
        "matrix: {faults: [1]}",
        "exclude: [{}]",
        "expect: [{}]",
        "expect: [{verdict: hang, rate: {min: 2}}]",
        "expect: [{verdict: hang, rate: {min: 0.6, max: 0.5}}]",
        "expect: [{verdict: hang, when: [a]}]",
    };
    assert_wrong_lines(wrong, sizeof wrong / sizeof *wrong);
}

Test(mistakes, names_are_fit_for_file_names)
{
    static const char *const wrong[] = { "a b", "../x", "-x", ".x", "\"\"", "\xC3\xBC" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char text[64];
        snprintf(text, sizeof text, "hanglab: 1\nname: %s\n", wrong[i]);
        assert_has(text, "f.yaml:2:7: error: name ");
    }
}

Test(mistakes, version_and_name_are_needed)
{
    assert_has("name: demo\n", "f.yaml:1:1: error: the key \"hanglab\" is missing");
    assert_has("hanglab: 1\n", "f.yaml:1:1: error: the key \"name\" is missing");
    assert_has("hanglab: 2\nname: demo\n", "f.yaml:1:10: error: this hanglab reads version 1");
}

Test(mistakes, of_the_matrix_point_at_the_axis_or_the_value)
{
    assert_has(HEAD "matrix:\n  subject.backend: [mnnvl, nvls]\n",
               "f.yaml:4:28: error: subject.backend cannot be nvls");
    assert_has(HEAD "matrix:\n  subject.backend: [mnnvl, nccl, mnnvl]\n",
               "f.yaml:4:34: error: subject.backend has the value mnnvl twice");
    assert_has(HEAD "matrix:\n  mode: [eager]\n", "did you mean \"schedule.mode\"?");
    assert_has(HEAD "matrix:\n  subject.mode: [eager]\n", "did you mean \"schedule.mode\"?");
    assert_has(HEAD "matrix:\n  faults.0.rank: [1]\n",
               "f.yaml:4:3: error: faults.0.rank, but the list `faults` has 0");
    assert_has(HEAD "faults: [{fault: skip-call, rank: 1}]\nmatrix:\n  faults.0.rnk: [1]\n",
               "did you mean \"faults.0.rank\"?");
    assert_has(HEAD "matrix:\n  faults.00.rank: [1]\n", "no value has the path \"faults.00.rank\"");
    assert_has(HEAD "matrix:\n  a: {x: {runs: 1}}\n  runs: [1, 2]\n",
               "f.yaml:5:3: error: runs sets runs, and so does the axis a");
    assert_has(HEAD "matrix:\n  a: {x: {run: 1}}\n", "f.yaml:4:11: error: no value has the path \"run\"");
    assert_has(HEAD "matrix: {a: {old one: {runs: 1}}}\nexpect: [{when: {a: old-one}, verdict: hang}]\n",
               "did you mean \"old one\"?");
    assert_has(HEAD "exclude: [{subject.bakend: nccl}]\n", "did you mean \"subject.backend\"?");
    assert_has(HEAD "matrix: {runs: [1, 2]}\nexclude: [{runs: 1}, {runs: 2}]\n",
               "f.yaml:4:10: error: every case is excluded");
}

Test(mistakes, too_many_cases_are_refused)
{
    char text[16384];
    int n = snprintf(text, sizeof text, HEAD "matrix:\n");
    const char *const paths[] = { "schedule.layers", "runs", "world.sms" };
    for (int axis = 0; axis < 3; axis++) {
        n += snprintf(text + n, sizeof text - (size_t)n, "  %s: [", paths[axis]);
        for (int i = 1; i <= 100; i++)
            n += snprintf(text + n, sizeof text - (size_t)n, "%d,", i);
        n += snprintf(text + n, sizeof text - (size_t)n, "]\n");
    }
    assert_has(text, "f.yaml:4:3: error: the matrix has more than 100000 combinations");
}

Test(mistakes, values_that_do_not_go_together_point_at_the_one_that_brought_it_in)
{
    assert_has(HEAD "faults: [{fault: skip-call, rank: 2}]\nmatrix:\n  world.ranks: [4, 2]\n",
               "f.yaml:3:35: error: there is no rank 2: world.ranks is 2");
    assert_has(HEAD "faults: [{fault: skip-call, rank: 1}]\nmatrix:\n  faults.0.rank: [3, 4]\n",
               "f.yaml:5:22: error: there is no rank 4: world.ranks is 4");
    assert_has(HEAD "faults: [{fault: other-size, rank: 1}]\n",
               "f.yaml:3:18: error: other-size needs the key tokens");
    assert_has(HEAD "faults: [{fault: swap-order, rank: 1}]\n", "expected subject.workspaces: 2");
    assert_has(HEAD "subject: {backend: trtllm}\nmatrix:\n  world.ranks: [8, 16]\n",
               "f.yaml:5:20: error: trtllm cannot choose a strategy for 16 ranks");
}

/* A place where nothing strikes, because the fault or the mutant takes none of its kind. */
Test(mistakes, of_a_place_that_no_case_can_use_name_what_is_taken)
{
    assert_has(HEAD "faults: [{fault: skip-call, rank: 1, call: 3, tokens: 7}]\n",
               "f.yaml:3:55: error: skip-call does not take `tokens`, and so no case uses it");
    assert_has(HEAD "faults: [{fault: kill-rank, rank: 1, call: 3, calls: 2}]\n",
               "expected rank, call, probability");
    assert_has(HEAD "subject: {mutant: drop-store, strike: {cta: 3}}\n",
               "error: drop-store does not take `subject.strike.cta`, and so no case uses it");
    assert_has(HEAD "subject: {mutant: missed-arrival, strike: {token: 3}}\n",
               "expected rank, call, calls, cta");
    assert_has(HEAD "subject: {strike: {call: every}}\n", "expected no place to strike at");
}

/* One base serves all cases, and a file may spell defaults out. */
Test(mistakes, are_none_where_one_case_uses_the_place_or_it_is_the_default)
{
    assert_fine(HEAD "faults: [{fault: skip-call, rank: 1, tokens: 7}]\n"
                     "matrix: {faults.0.fault: [skip-call, other-size]}\n");
    assert_fine(HEAD "subject: {strike: {cta: 3}}\nmatrix: {subject.mutant: [none, overshoot]}\n");
    assert_fine(HEAD
                "subject: {mutant: none, strike: {rank: 1, call: 4, calls: 1, token: last, cta: last}}\n");
    assert_fine(HEAD "faults: [{fault: none, rank: 1, call: 3, tokens: 7}]\n");
}

Test(mistakes, of_yaml_itself_have_a_place_too)
{
    assert_has("hanglab: 1\nname: demo\nname: twice\n",
               "f.yaml:3:1: error: the key \"name\" stands here for the second time");
    assert_has(HEAD "world: {ranks: 4, ranks: 8}\n", "f.yaml:3:19: error: the key \"ranks\"");
    assert_has(HEAD "runs: *nowhere\n", "f.yaml:3:8: error: the alias *nowhere has no anchor");
    assert_has(HEAD "world: &w {sms: *w}\n", "would contain itself");
    assert_has(HEAD "world: {<<: 4}\n", "f.yaml:3:13: error: cannot merge a single value");
    assert_has(HEAD "? [a]\n: b\n", "a key is a list");
    assert_has(HEAD "runs: !!int 3\n", "f.yaml:3:13: error: tags such as !!str are not used");
    assert_has(HEAD "---\n" HEAD, "f.yaml:3:1: error: a second document");
    assert_has(HEAD "schedule:\n\tmode: eager\n", "f.yaml:4:1: error: not YAML: ");
    assert_has(HEAD "world: {ranks: 4\n", "error: not YAML: ");
    assert_has(HEAD "title: \"open\n", "error: not YAML: ");
    assert_has(HEAD "title: \"a\\0b\"\n", "f.yaml:3:9: error: a NUL character in a text");
    assert_has("", "f.yaml:1:1: error: there is no scenario in this file");
    assert_has("# nothing\n", "there is no scenario in this file");
    assert_has("text\n", "f.yaml:1:1: error: the scenario is a single value");
    assert_has("- hanglab: 1\n", "f.yaml:1:1: error: the scenario is a list");
}

Test(mistakes, binary_files_are_named_as_such)
{
    static const char nul[] = "hanglab: 1\nna\0me: x\n";
    struct hl_error error = mistake_in_bytes(nul, sizeof nul - 1);
    cr_assert_eq(strncmp(error.message, "f.yaml:2:3: error: not a text file: byte 0x00\n", 46), 0, "%s",
                 error.message);
    assert_has("hanglab: 1\nname: \xFF\n", "f.yaml:2:7: error: not a text file: byte 0xff");
    assert_has("name: \xC0\x80\n", "byte 0xc0");
    assert_has("name: \xED\xA0\x80\n", "byte 0xed");
    assert_has("name: \xF4\x90\x80\x80\n", "byte 0xf4");
    assert_has("name: \xE2\x82", "byte 0xe2");
    assert_has("title: \x1B[31m\n", "f.yaml:1:"); /* and the message must not colour a terminal: */
    error = mistake_in_bytes("titel: \x1B[31m\n", 13);
    cr_assert_null(strchr(error.message, '\x1B'));
}

Test(mistakes, files_that_cannot_be_read_say_why)
{
    struct hl_scenario *scenario;
    struct hl_error error;
    cr_assert_eq(hl_scenario_load("/nonexistent/x.yaml", &scenario, &error), HL_STATUS_USAGE);
    cr_assert_str_eq(error.message, "/nonexistent/x.yaml: cannot read this file: No such file or directory");
    cr_assert_eq(hl_scenario_load("/", &scenario, &error), HL_STATUS_USAGE);
    cr_assert_str_eq(error.message, "/: cannot read this file: it is a folder");
    cr_assert_eq(hl_scenario_load("/dev/zero", &scenario, &error), HL_STATUS_USAGE, "endless");
    cr_assert_eq(hl_scenario_load("/dev/null", &scenario, NULL), HL_STATUS_USAGE, "no place for the message");
}

/*
 * Hostile files
 */

/* `pattern` over and over, as long as a scenario may be, after `head` and before `tail`. */
static void assert_harmless(const char *head, const char *pattern, const char *tail)
{
    size_t room = HL_YAML_BYTES_MAX, size = strlen(head), step = strlen(pattern);
    char *text = malloc(room + 1);
    strcpy(text, head);
    for (; size + step + strlen(tail) <= room; size += step)
        memcpy(text + size, pattern, step);
    memcpy(text + size, tail, strlen(tail));
    size += strlen(tail);
    text[size] = '\0';
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    struct hl_error error = mistake_in_bytes(text, size);
    getrusage(RUSAGE_SELF, &after);
    cr_assert_eq(strncmp(error.message, "f.yaml:", 7), 0, "%s", error.message);
    free(text);
#ifndef __SANITIZE_ADDRESS__
    long seconds =
        after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec;
    cr_assert_leq(seconds, 2, "%s%s.. took %ld s", head, pattern, seconds);
    cr_assert_lt(after.ru_maxrss, 256 * 1024, "%s%s.. took %ld KiB", head, pattern, after.ru_maxrss);
#endif
}

Test(hostile, deep_files_end_in_an_error)
{
    assert_harmless("", "[", "");
    assert_harmless("", "{a: ", "");
    assert_harmless("", "- ", "\n");
    assert_harmless("", "? ", "\n");
    assert_harmless("", ": ", "\n");
    assert_harmless("", "[\n", "");
    assert_has("[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
               "f.yaml:1:33: error: nested more than 32 levels deep");
}

Test(hostile, long_files_end_in_an_error)
{
    assert_harmless("", "#", "");
    assert_harmless("", "\n", "");
    assert_harmless("", "x", "");
    assert_harmless("a: \"", "x", "");
    assert_harmless("[", ",", "]");
    assert_harmless("[", "1,", "]");
    assert_harmless("", "&a ", "");
    assert_harmless("", "!!str ", "");
    assert_harmless("", "---\n", "");
    assert_harmless("", "%YAML 1.2\n", "");
    assert_harmless("", "a: b\n", "");
    assert_harmless("a: |\n", "  x\n", "");
    assert_harmless("[", "&a 1,", "]");
    assert_harmless("a: &a 1\nb: [", "*a,", "]");
    assert_harmless(HEAD "matrix: {runs: [", "1,", "]}");
    assert_harmless(HEAD "expect: [", "{bad: 1},", "]");
}

Test(hostile, a_file_larger_than_a_scenario_may_be_is_refused)
{
    size_t size = HL_YAML_BYTES_MAX + 1;
    char *text = malloc(size);
    memset(text, ' ', size);
    struct hl_error error = mistake_in_bytes(text, size);
    cr_assert_eq(strncmp(error.message, "f.yaml:1:1: error: the file has more than 524288 bytes", 54), 0,
                 "%s", error.message);
    free(text);
}

Test(hostile, alias_bombs_do_not_go_off)
{
    char text[16384];
    int n = snprintf(text, sizeof text, "a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 30; i++)
        n += snprintf(text + n, sizeof text - (size_t)n,
                      "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1,
                      i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    assert_has(text, "values once its aliases are followed");
    n = snprintf(text, sizeof text, "a0: &a0 {k: 1}\n");
    for (int i = 1; i < 60; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "a%d: &a%d {<<: *a%d, k%d: *a%d, l%d: *a%d}\n", i, i,
                      i - 1, i, i - 1, i, i - 1);
    assert_has(text, "values once its aliases are followed");
}

/* A good file cut anywhere, or with any one byte changed, is read or refused, never worse. */
Test(hostile, truncated_and_damaged_files_are_read_or_refused)
{
    static const char good[] =
        HEAD "subject: {backend: mnnvl, dtype: bf16}\n"
             "faults:\n  - &f {fault: skip-call, rank: 2, call: 37}\n  - {<<: *f, rank: 1}\n"
             "matrix:\n  subject.backend: [mnnvl, \"nccl\"]\n  k: {a b: {runs: 3}}\n"
             "expect: [{when: {subject.backend: mnnvl}, verdict: hang, rate: {min: 0.5}}]\n";
    static const char bytes[] = { '\0', '\n', ' ',  '\t', '[', '}', ':', '*',
                                  '&',  '"',  '\'', '|',  '?', '-', '#', '\xFF' };
    char text[sizeof good];
    int accepted = 0;
    for (size_t i = 0; i + 1 < sizeof good; i++)
        for (size_t b = 0; b <= sizeof bytes; b++) {
            struct hl_scenario *scenario = NULL;
            struct hl_error error = { 0 };
            size_t size = b < sizeof bytes ? sizeof good - 1 : i;
            memcpy(text, good, sizeof good);
            if (b < sizeof bytes)
                text[i] = bytes[b];
            enum hl_status status = hl_scenario_parse("f.yaml", text, size, &scenario, &error);
            cr_assert(status == HL_STATUS_OK || (status == HL_STATUS_USAGE && error.message[0]));
            accepted += status == HL_STATUS_OK;
            hl_scenario_destroy(scenario);
        }
    cr_assert_gt(accepted, 0);
}

/* libhanglab as a program of somebody else's sees it: through <hanglab/hanglab.h> alone. */
#include <criterion/criterion.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "hanglab/hanglab.h"

/* What may not change within libhanglab.so.0. */
_Static_assert(sizeof(struct hl_settings) == 104 && offsetof(struct hl_settings, reserved) == 40, "ABI");
_Static_assert(sizeof(struct hl_error) == 2052 && offsetof(struct hl_error, message) == 4, "ABI");
_Static_assert(offsetof(struct hl_culprit, call) == 8 && offsetof(struct hl_culprit, value) == 80, "ABI");
_Static_assert(HL_VERDICT_HANG == 0 && HL_VERDICT_CORRUPT == 1 && HL_VERDICT_CRASH == 2 &&
                   HL_VERDICT_SLOW == 3 && HL_VERDICT_INCONCLUSIVE == 4 && HL_VERDICT_PASS == 5 &&
                   HL_VERDICT_SKIPPED == 6,
               "ABI");
_Static_assert(HL_STATUS_OK == 0 && HL_STATUS_USAGE == 1 && HL_STATUS_NO_GPU == 2 && HL_STATUS_IO == 3 &&
                   HL_STATUS_MEMORY == 4 && HL_STATUS_INTERNAL == 5,
               "ABI");

static char folder[] = "/tmp/hanglab-library-XXXXXX";

static void setup(void) { cr_assert_not_null(mkdtemp(folder)); }
static void teardown(void)
{
    char line[64];
    snprintf(line, sizeof line, "rm -rf %s", folder);
    cr_assert_eq(system(line), 0);
}
TestSuite(library, .init = setup, .fini = teardown, .timeout = 60);

/* Two ranks, one layer; every row is a pattern that a flushing comparison refuses (flashinfer#3304). */
static struct hl_builder *small(const char *name)
{
    struct hl_builder *builder = hl_builder_create(name);
    hl_builder_set(builder, "world.ranks", "%d", 2);
    hl_builder_set(builder, "subject.hidden", "64");
    hl_builder_set(builder, "subject.sentinel_compare", "float-ftz");
    hl_builder_set(builder, "schedule.layers", "1");
    hl_builder_set(builder, "schedule.sizes", "[2]");
    hl_builder_set(builder, "schedule.replays", "2");
    hl_builder_set(builder, "payload", "{rows: pattern, pattern: subnormal}");
    hl_builder_set(builder, "runs", "3");
    return builder;
}

static struct hl_cases *build(struct hl_builder *builder)
{
    struct hl_cases *cases;
    struct hl_error error;
    cr_assert_eq(hl_builder_build(builder, &cases, &error), HL_STATUS_OK, "%s", error.message);
    hl_builder_destroy(builder);
    return cases;
}

static struct hl_result *run(const struct hl_cases *cases, size_t index, const struct hl_settings *settings)
{
    struct hl_result *result;
    struct hl_error error;
    cr_assert_eq(hl_cases_run(cases, index, settings, &result, &error), HL_STATUS_OK, "%s", error.message);
    return result;
}

Test(library, a_hang_is_told_with_cause_culprit_and_evidence)
{
    struct hl_cases *cases = build(small("refused"));
    const struct hl_settings settings = { .out_dir = folder };
    struct hl_result *r = run(cases, 0, &settings);
    hl_cases_destroy(cases); /* a result stands alone */
    double low, high;
    cr_assert_eq(hl_result_verdict(r), HL_VERDICT_HANG, "%s", hl_result_text(r));
    cr_assert_str_eq(hl_verdict_name(hl_result_verdict(r)), "hang");
    cr_assert_not(hl_result_ok(r));
    cr_assert_str_eq(hl_result_id(r), "refused");
    cr_assert_str_eq(hl_result_expected(r), "pass");
    cr_assert_str_eq(hl_result_cause(r), "sentinel-collision");
    cr_assert_str_eq(hl_result_certainty(r), "proven");
    cr_assert(hl_result_culprit(r)->call == 0 && hl_result_culprit(r)->buffer == 0);
    cr_assert_eq(hl_result_runs(r), 3);
    cr_assert_eq(hl_result_count(r, HL_VERDICT_HANG), 3);
    cr_assert_eq(hl_result_count(r, HL_VERDICT_PASS), 0);
    cr_assert_float_eq(hl_result_rate(r, &low, &high), 1, 1e-12);
    cr_assert_float_eq(low, 0.292402, 1e-6);
    cr_assert_float_eq(high, 1, 1e-12);
    char path[512];
    snprintf(path, sizeof path, "%s/verdict.json", hl_result_evidence(r));
    cr_assert_eq(access(path, R_OK), 0, "%s", path);
    cr_assert_not_null(strstr(hl_result_text(r), hl_result_evidence(r)), "%s", hl_result_text(r));
    cr_assert_not_null(strstr(hl_result_text(r), "sentinel-collision (proven)"), "%s", hl_result_text(r));
    cr_assert_neq(hl_result_text(r)[strlen(hl_result_text(r)) - 1], '\n');
    hl_result_destroy(r);
}

Test(library, an_expected_hang_is_ok_and_a_pass_has_no_cause)
{
    struct hl_builder *builder = small("expected");
    hl_builder_set(builder, "matrix.subject.sentinel_compare", "[float-ftz, bits]");
    hl_builder_add(builder, "expect",
                   "{when: {subject.sentinel_compare: float-ftz}, verdict: hang, "
                   "cause: sentinel-collision, rate: {min: 0.5}}");
    struct hl_cases *cases = build(builder);
    cr_assert_eq(hl_cases_count(cases), 2);
    struct hl_result *hang = run(cases, 0, NULL), *pass = run(cases, 1, NULL);
    cr_assert(hl_result_ok(hang) && hl_result_ok(pass));
    cr_assert_str_eq(hl_result_expected(hang), "hang, cause sentinel-collision, rate 0.5 to 1");
    cr_assert_str_eq(hl_result_cause(pass), "none");
    cr_assert_str_eq(hl_result_text(pass),
                     "expected/subject.sentinel_compare=bits: pass in 3 of 3 runs, expected: pass");
    cr_assert_null(hl_result_evidence(hang), "no out_dir, no evidence");
    hl_result_destroy(hang);
    hl_result_destroy(pass);
    hl_cases_destroy(cases);
}

Test(library, a_seed_reproduces_its_run)
{
    struct hl_builder *builder = small("rare");
    hl_builder_set(builder, "schedule.mode", "piecewise");
    hl_builder_set(builder, "schedule.layers", "2");
    hl_builder_set(builder, "payload", "{residue: {negative_subnormal_rows: 0.3}}");
    struct hl_cases *cases = build(builder);
    const struct hl_settings settings = { .seed = 7, .runs = 10 };
    struct hl_result *all = run(cases, 0, &settings);
    cr_assert_eq(hl_result_runs(all), 10);
    cr_assert_eq(hl_result_verdict(all), HL_VERDICT_HANG, "%s", hl_result_text(all));
    const struct hl_settings again = { .run_seed = hl_result_seed(all) };
    struct hl_result *one = run(cases, 0, &again);
    cr_assert_eq(hl_result_runs(one), 1);
    cr_assert_str_eq(hl_result_summary(one), hl_result_summary(all));
    hl_result_destroy(one);
    hl_result_destroy(all);
    hl_cases_destroy(cases);
}

struct heard {
    size_t count;
    char texts[4][2048];
};

static void on_result(void *user, size_t index, const struct hl_result *result)
{
    struct heard *heard = user;
    cr_assert_eq(index, heard->count, "results come in order");
    snprintf(heard->texts[heard->count++], sizeof heard->texts[0], "%s", hl_result_text(result));
}

Test(library, all_cases_give_the_results_that_each_gives_alone)
{
    struct hl_builder *builder = small("many");
    hl_builder_set(builder, "matrix.schedule.replays", "[1, 2]");
    hl_builder_set(builder, "matrix.subject.sentinel_compare", "[float-ftz, bits]");
    struct hl_cases *cases = build(builder);
    struct hl_error error;
    struct heard heard = { 0 };
    const struct hl_settings settings = { .jobs = 2, .out_dir = folder };
    cr_assert_eq(hl_cases_run_all(cases, &settings, on_result, &heard, &error), HL_STATUS_OK, "%s",
                 error.message);
    cr_assert_eq(heard.count, 4);
    for (size_t i = 0; i < heard.count; i++) {
        struct hl_result *alone = run(cases, i, &settings);
        cr_assert_str_eq(heard.texts[i], hl_result_text(alone));
        hl_result_destroy(alone);
    }
    hl_cases_destroy(cases);
}

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

Test(library, files_and_folders_load_and_filters_choose)
{
    struct hl_cases *cases;
    struct hl_error error;
    write_file("b.yaml", "hanglab: 1\nname: second\n");
    write_file("a.yaml",
               "hanglab: 1\nname: first\nmatrix:\n  world.ranks: [2, 4]\n  schedule.pdl: [true, false]\n");
    cr_assert_eq(hl_cases_load(folder, NULL, 0, &cases, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(hl_cases_count(cases), 5);
    cr_assert_str_eq(hl_cases_id(cases, 1), "first/world.ranks=2,schedule.pdl=false");
    cr_assert_str_eq(hl_cases_param(cases, 1, "world.ranks"), "2");
    cr_assert_null(hl_cases_param(cases, 1, "world.sms"));
    cr_assert_str_eq(hl_cases_id(cases, 4), "second");
    cr_assert_not_null(strstr(hl_cases_path(cases, 4), "/b.yaml"));
    hl_cases_destroy(cases);
    const char *const filters[] = { "world.ranks=4", "first", "schedule.pdl=true" };
    cr_assert_eq(hl_cases_load(folder, filters, 3, &cases, NULL), HL_STATUS_OK);
    cr_assert_eq(hl_cases_count(cases), 1);
    cr_assert_str_eq(hl_cases_id(cases, 0), "first/world.ranks=4,schedule.pdl=true");
    hl_cases_destroy(cases);
    const char *const none[] = { "world.ranks=16" };
    struct hl_cases *untouched = NULL;
    cr_assert_eq(hl_cases_load(folder, none, 1, &untouched, &error), HL_STATUS_USAGE);
    cr_assert_null(untouched);
    cr_assert_eq(hl_cases_load("/nowhere/at/all.yaml", NULL, 0, &untouched, NULL), HL_STATUS_USAGE);
}

/* What a mistake in code is told as. */
static void expect_mistake(struct hl_builder *builder, const char *says)
{
    struct hl_cases *cases;
    struct hl_error error;
    cr_assert_eq(hl_builder_build(builder, &cases, &error), HL_STATUS_USAGE, "%s is accepted", says);
    cr_assert_not_null(strstr(error.message, says), "no '%s' in: %s", says, error.message);
    hl_builder_destroy(builder);
}

Test(library, mistakes_of_a_built_scenario_are_told_like_those_of_a_file)
{
    struct hl_builder *builder = small("typo");
    hl_builder_set(builder, "subject.backend", "mnvl");
    expect_mistake(builder, "did you mean \"mnnvl\"?");
    builder = small("unknown-key");
    hl_builder_set(builder, "schedule.replay", "3");
    expect_mistake(builder, "replays");
    builder = small("both");
    hl_builder_set(builder, "payload.rows", "real"); /* small() set all of payload */
    expect_mistake(builder, "payload");
    builder = small("lines");
    hl_builder_set(builder, "runs", "1\nname: other");
    expect_mistake(builder, "runs: a value takes one line");
    expect_mistake(hl_builder_create("no good name"), "name");
}

Test(library, a_builder_can_be_changed_and_built_again)
{
    struct hl_builder *builder = small("again");
    struct hl_cases *cases;
    for (int n = 1; n <= 3; n++) {
        hl_builder_set(builder, "runs", "%d", n);
        cr_assert_eq(hl_builder_build(builder, &cases, NULL), HL_STATUS_OK);
        struct hl_result *result = run(cases, 0, NULL);
        cr_assert_eq(hl_result_runs(result), n);
        hl_result_destroy(result);
        hl_cases_destroy(cases);
    }
    hl_builder_destroy(builder);
}

static void expect_refused(const struct hl_cases *cases, struct hl_settings settings, const char *says)
{
    struct hl_result *result = NULL;
    struct hl_error error;
    cr_assert_eq(hl_cases_run(cases, 0, &settings, &result, &error), HL_STATUS_USAGE);
    cr_assert_null(result);
    cr_assert_not_null(strstr(error.message, says), "no '%s' in: %s", says, error.message);
}

Test(library, settings_are_checked)
{
    struct hl_cases *cases = build(small("settings"));
    expect_refused(cases, (struct hl_settings){ .engine = "simm" }, "the engine is sim, cuda or auto");
    expect_refused(cases, (struct hl_settings){ .runs = -1 }, "runs and jobs");
    expect_refused(cases, (struct hl_settings){ .seed = 1ull << 53 }, "2^53 - 1");
    expect_refused(cases, (struct hl_settings){ .reserved = { cases } }, "reserved");
    hl_cases_destroy(cases);
    hl_cases_destroy(NULL);
    hl_result_destroy(NULL);
    hl_builder_destroy(NULL);
}

/* One sorted name a line. */
static char *lines_of(const char *format, const char *argument)
{
    char command[1024], *text = NULL;
    size_t size = 0;
    snprintf(command, sizeof command, format, argument);
    FILE *pipe = popen(command, "r");
    cr_assert_not_null(pipe);
    cr_assert_gt(getdelim(&text, &size, '\0', pipe), 0, "%s says nothing", command);
    cr_assert_eq(pclose(pipe), 0, "%s", command);
    return text;
}

Test(library, exports_what_its_headers_declare_and_nothing_else)
{
    const char *source = getenv("HANGLAB_SOURCE"), *build_folder = getenv("HANGLAB_BUILD");
    cr_assert(source && build_folder, "meson test sets HANGLAB_SOURCE and HANGLAB_BUILD");
    char *exported = lines_of("nm -D --defined-only %s/framework/library/libhanglab.so.0 | "
                              "sed 's/.* //' | LC_ALL=C sort",
                              build_folder);
    char *declared = lines_of("grep -hoE '^HL_API [^(]*' %s/framework/include/hanglab/*.h | "
                              "sed 's/.*[ *]//' | LC_ALL=C sort",
                              source);
    cr_assert_str_eq(exported, declared);
    char *soname = lines_of("readelf -d %s/framework/library/libhanglab.so.0 | grep SONAME", build_folder);
    cr_assert_not_null(strstr(soname, "[libhanglab.so.0]"), "%s", soname);
    free(exported);
    free(declared);
    free(soname);
}

/* <hanglab/criterion.h>: what its tests say when they do not simply pass or fail. The example project shows
 * the rest, against the installed library (outside.sh). */
#include <criterion/criterion.h>
#include "hanglab/criterion.h"

static char path[] = "/tmp/hanglab-criterion-XXXXXX";

static void setup(void)
{
    const int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    cr_assert_not_null(file);
    fputs("hanglab: 1\nname: file\nworld: {ranks: 2}\nsubject: {backend: nccl, hidden: 64}\n"
          "schedule: {layers: 1, sizes: [2], replays: 1}\nruns: 1\n"
          "matrix: {twin: {\"a<b\": {runs: 2}, other: {runs: 1}}}\n",
          file);
    fclose(file);
}
static void teardown(void)
{
    unlink(path);
    cr_assert_eq(system("rm -rf hanglab-out-of-tests"), 0);
}
TestSuite(criterion_header, .init = setup, .fini = teardown);

static struct hl_criterion_outcome run_one(const char *filter)
{
    setenv("HANGLAB_OUT", "hanglab-out-of-tests", 1);
    return hl_criterion_run_one((const char *const[]){ path, filter, NULL });
}

Test(criterion_header, a_plain_test_takes_one_case_and_names_the_others)
{
    const struct hl_criterion_outcome outcome = run_one("twin");
    cr_assert(!outcome.ok && !outcome.skip);
    cr_assert_not_null(strstr(outcome.text, "the filters leave more"), "%s", outcome.text);
    cr_assert_not_null(strstr(outcome.text, "\n  file/twin=other"), "%s", outcome.text);
    cr_assert(run_one("twin=other").ok);
}

Test(criterion_header, messages_hold_nothing_that_breaks_the_xml)
{
    const struct hl_criterion_outcome outcome = run_one("twin");
    cr_assert_not_null(strstr(outcome.text, "file/twin=a(b"), "%s", outcome.text);
    cr_assert_eq(strcspn(outcome.text, "<>&"), strlen(outcome.text));
    cr_assert_str_eq(hl_criterion_bad("a", "\t<b>\n&\x1b").text, "a:  (b)\n+ ");
}

Test(criterion_header, numbers_of_the_environment_are_checked)
{
    static const char *const wrong[] = { "1e6", "-1", " 1", "1x", "1000001", "99999999999999999999" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        setenv("HANGLAB_RUNS", wrong[i], 1);
        const struct hl_criterion_outcome outcome = run_one("twin=other");
        cr_assert(!outcome.ok && !outcome.skip, "HANGLAB_RUNS=%s is accepted", wrong[i]);
        cr_assert_not_null(strstr(outcome.text, "HANGLAB_RUNS takes"), "%s", outcome.text);
    }
    setenv("HANGLAB_RUNS", "3", 1);
    const struct hl_criterion_outcome outcome = run_one("twin=other");
    cr_assert(outcome.ok);
    cr_assert_not_null(strstr(outcome.text, "pass in 3 of 3 runs"), "%s", outcome.text);
}

Test(criterion_header, without_a_gpu_a_test_for_one_is_skipped)
{
    setenv("HANGLAB_ENGINE", "cuda", 1);
    const struct hl_criterion_outcome outcome = run_one("twin=other");
    cr_assert(outcome.skip || outcome.ok, "%s", outcome.text);
    setenv("HANGLAB_ENGINE", "opencl", 1);
    cr_assert_not(run_one("twin=other").ok || run_one("twin=other").skip);
}

Test(criterion_header, a_case_that_went_away_since_the_start_fails)
{
    struct hl_criterion_param param = { .path = path, .id = "file/twin=other" };
    cr_assert(hl_criterion_run_param(&param).ok);
    param.id = "file/twin=gone";
    cr_assert_not_null(strstr(hl_criterion_run_param(&param).text, "has changed"));
    param.path = "nowhere.yaml";
    cr_assert_not_null(strstr(hl_criterion_run_param(&param).text, "nowhere.yaml: cannot read"));
}

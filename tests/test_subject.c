/* Subjects from shared objects: found, loaded, distrusted, read through their own layout, and never the end
 * of the command. */
#include <criterion/criterion.h>
#include "../framework/subject/subject.h"
#include "command.h"

static const char *fake(const char *mistake)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/tests/subjects/fake-%s.so", getenv("HANGLAB_BUILD"), mistake);
    return path;
}

static struct hl_subject_shape small_shape(void)
{
    return (struct hl_subject_shape){ .family = HL_SUBJECT_MNNVL,
                                      .dtype = HL_SUBJECT_BF16,
                                      .strategies = HL_SUBJECT_ONESHOT,
                                      .ranks = 2,
                                      .tokens_max = 4,
                                      .hidden = 64 };
}

Test(subject, a_right_one_is_loaded_and_described)
{
    const struct hl_subject_plugin *plugin;
    const struct hl_subject_shape shape = small_shape();
    struct hl_subject_layout layout;
    struct hl_error error;
    cr_assert_eq(hl_subject_load(fake("none"), &plugin, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(hl_subject_check_shape(plugin, &shape, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(hl_subject_describe(plugin, NULL, &shape, &layout, &error), HL_STATUS_OK, "%s",
                 error.message);
    cr_expect_eq(layout.buffers_at, 16);
}

Test(subject, each_mistake_has_a_message_of_its_own)
{
    static const struct {
        const char *mistake, *message;
        int code;
    } mistakes[] = {
        { "other-abi", "built for version 7 of <hanglab/subject.h>, this hanglab has version 1", 64 },
        { "no-symbol", "exports no `hl_subject_plugin`", 64 },
        { "no-destroy", "lacks one of create, describe, reset, enqueue and destroy", 64 },
        { "describe-dies", "died of signal 6", 64 },
        { "describe-fails", "describe: hidden 4096 is not mine", 64 },
        { "overlap", "the buffers and arrived overlap at word 7", 64 },
        { "outside", "are outside of the workspace", 64 },
        { "small-buffer", "a buffer of 8 words is too small", 64 },
        { "no-arrived", "there is no flag 'arrived'", 64 },
        { "many-flags", "99 flags, and at most 16 fit", 64 },
        { "twice", "the flag 'current' is there twice", 64 },
        { "sentinel", "the sentinel is 0xffffffff", 64 },
        { "none", "", 0 },
    };
    struct command c;
    char line[600];
    command_init(&c);
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        snprintf(line, sizeof line, "hanglab list subjects %s", fake(mistakes[i].mistake));
        cr_expect_eq(command_run(&c, line), mistakes[i].code, "%s: %s", mistakes[i].mistake, c.err);
        cr_expect_not_null(strstr(c.err, mistakes[i].message), "%s: %s", mistakes[i].mistake, c.err);
    }
    command_finish(&c);
}

Test(subject, what_it_does_not_support_is_named_by_key)
{
    const struct hl_subject_plugin *plugin;
    struct hl_error error;
    cr_assert_eq(hl_subject_load(fake("none"), &plugin, &error), HL_STATUS_OK);
    struct hl_subject_shape shape = small_shape();
    shape.family = HL_SUBJECT_TRTLLM;
    cr_assert_eq(hl_subject_check_shape(plugin, &shape, &error), HL_STATUS_USAGE);
    cr_expect_str_eq(error.message, "subject.backend: fake 1 does not support trtllm");
    shape = small_shape();
    shape.ranks = 8;
    cr_assert_eq(hl_subject_check_shape(plugin, &shape, &error), HL_STATUS_USAGE);
    cr_expect_str_eq(error.message, "world.ranks: fake 1 does not support 8");
    shape = small_shape();
    shape.strategies = HL_SUBJECT_ONESHOT | HL_SUBJECT_TWOSHOT;
    cr_assert_eq(hl_subject_check_shape(plugin, &shape, &error), HL_STATUS_USAGE);
    cr_expect_str_eq(error.message, "subject.strategy: fake 1 does not support twoshot");
}

/* Every word of hanglab's own layout that means something is found where the plugin has it, and only those.
 */
Test(subject, the_map_leads_to_the_plugins_words)
{
    const struct hl_layout l = hl_layout_make(HL_FAMILY_MNNVL, 2, 4, 64, HL_BF16);
    struct hl_subject_layout s = { .n_flags = 2, .buffers_at = 100, .buffer_words = l.words_per_buffer + 8 };
    struct hl_subject_map map;
    struct hl_subject_span span;
    s.flags[0] = (struct hl_subject_flag){ "current", 40 };
    s.flags[1] = (struct hl_subject_flag){ "arrived", 50 };
    s.sharing = HL_SUBJECT_SHARES_BROADCAST;
    hl_subject_map_init(&map, &l, &s);
    uint32_t mapped = 0;
    for (uint32_t at = 0; at < l.words; at += span.words) {
        const bool found = hl_subject_map_find(&map, at, l.words - at, &span);
        cr_assert_gt(span.words, 0);
        mapped += found ? span.words : 0;
    }
    cr_expect_eq(mapped, 2 + 3 * l.words_per_buffer);
    cr_assert(hl_subject_map_find(&map, HL_MNNVL_CURRENT, 16, &span));
    cr_expect_eq(span.at, 40);
    cr_expect_eq(span.words, 1);
    cr_assert(hl_subject_map_find(&map, HL_MNNVL_ARRIVED, 1, &span));
    cr_expect_eq(span.at, 50);
    cr_expect_not(hl_subject_map_find(&map, HL_MNNVL_DIRTY, 100, &span));
    cr_expect_eq(span.words, HL_MNNVL_ARRIVED - HL_MNNVL_DIRTY);
    cr_assert(hl_subject_map_find(&map, l.buffers_at + l.words_per_buffer + 3, 5, &span));
    cr_expect_eq(span.at, 100 + l.words_per_buffer + 8 + 3);
    cr_expect_not(span.of_rank_0);
    cr_assert(hl_subject_map_find(&map, l.buffers_at + l.words_per_buffer / 2, 5, &span));
    cr_expect(span.of_rank_0);
}

static const char scenario[] = "hanglab: 1\nname: fake\nworld: {ranks: 2}\nruns: 1\n"
                               "subject: {strategy: oneshot, hidden: 64}\n"
                               "schedule: {layers: 1, sizes: [4], replays: 1}\n"
                               "matrix: {schedule.mode: [eager, full]}\n";

Test(subject, the_simulator_skips_its_cases_and_says_why)
{
    struct command c;
    char line[800];
    command_init(&c);
    command_write(&c, "fake.yaml", scenario);
    snprintf(line, sizeof line, "hanglab run fake.yaml --engine sim --subject %s", fake("none"));
    command_expect(&c, line, 0);
    cr_expect_not_null(strstr(c.out, "2 skipped"), "%s", c.out);
    cr_expect_not_null(strstr(c.out, "runs on a GPU only"), "%s", c.out);
    command_write(&c, "other.yaml", "hanglab: 1\nname: other\nsubject: {plugin: flashinfer@0.6.9}\n");
    command_expect(&c, "hanglab explore other.yaml", 64);
    cr_expect_not_null(strstr(c.err, "cannot be searched"), "%s", c.err);
    command_finish(&c);
}

Test(subject, names_lead_to_the_folder_of_subjects)
{
    struct command c;
    command_init(&c);
    command_write(&c, "fake.yaml", scenario);
    cr_expect_eq(command_run(&c, "HANGLAB_SUBJECTS=$PWD/s hanglab run fake.yaml --engine sim --subject "
                                 "flashinfer@9.9"),
                 64);
    cr_expect_not_null(strstr(c.err, "`./dev subject flashinfer==9.9` installs it"), "%s", c.err);
    cr_expect_eq(command_run(&c, "HANGLAB_SUBJECTS=$PWD/s hanglab list subjects"), 0);
    cr_expect_not_null(strstr(c.out, "none; `./dev subject"), "%s", c.out);
    char line[800];
    snprintf(
        line, sizeof line,
        "for v in 0.6.2 0.6.11 0.6.9; do mkdir -p s/flashinfer@$v && cp %s s/flashinfer@$v/subject.so; done; "
        "HANGLAB_SUBJECTS=$PWD/s hanglab list subjects",
        fake("none"));
    cr_expect_eq(command_run(&c, line), 0, "%s", c.err);
    const char *second = strstr(c.out, "flashinfer@0.6.2\n"), *third = strstr(c.out, "flashinfer@0.6.9\n");
    cr_expect(second && third && second < third && third < strstr(c.out, "flashinfer@0.6.11\n"), "%s", c.out);
    command_finish(&c);
}

Test(subject, an_axis_of_releases_takes_the_installed_ones)
{
    struct command c;
    char line[900];
    command_init(&c);
    command_write(&c, "fake.yaml", scenario);
    cr_expect_eq(command_run(&c, "HANGLAB_SUBJECTS=$PWD/s hanglab bisect --over flashinfer=0.6.2..0.6.15 "
                                 "--engine sim --filter eager fake.yaml"),
                 64);
    cr_expect_not_null(strstr(c.err, "0 releases of these in"), "%s", c.err);
    cr_expect_eq(
        command_run(&c, "hanglab bisect --over flashinfer=0.6.2 --engine sim --filter eager fake.yaml"), 64);
    cr_expect_not_null(strstr(c.err, "takes RELEASE..RELEASE"), "%s", c.err);
    snprintf(
        line, sizeof line,
        "for v in 0.6.2 0.6.9 0.7.0; do mkdir -p s/flashinfer@$v && cp %s s/flashinfer@$v/subject.so; done; "
        "HANGLAB_SUBJECTS=$PWD/s hanglab bisect --over flashinfer=0.6.9..0.6.2 --runs 4 --engine sim "
        "--filter eager "
        "fake.yaml",
        fake("none"));
    cr_expect_eq(command_run(&c, line), 77); /* the simulator runs none of them; the axis begins at 0.6.9 */
    cr_expect_not_null(strstr(c.err, "flashinfer@0.6.9 runs on a GPU only"), "%s", c.err);
    command_finish(&c);
}

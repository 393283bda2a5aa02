/* The reports' own duties: escaping, wrapping, and a last line that says it all. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include "../reports/phrase.h"
#include "../reports/progress.h"
#include "../reports/report.h"
#include "../reports/table.h"

/* A campaign of one case with the worst name that YAML allows. */
struct sample {
    struct hl_scenario scenario;
    struct hl_case c;
    struct hl_campaign_item item;
    struct hl_campaign campaign;
};

static void sample_init(struct sample *s, enum hl_verdict verdict, bool ok)
{
    *s =
        (struct sample){ .scenario = { .name = "a<b", .title = "t" }, .c = { .id = "a<b/x=\"1\" & #2\\\n" } };
    s->c.config.world.ranks = 4;
    s->c.expected = (struct hl_expectation){ HL_VERDICT_PASS, -1, 0, 1 };
    s->item = (struct hl_campaign_item){ &s->scenario, &s->c, { .verdict = verdict, .runs = 20, .ok = ok } };
    s->item.result.counts[verdict] = 20;
    s->campaign = (struct hl_campaign){ .items = &s->item, .n_items = 1, .n_finished = 1 };
}

static char *report(struct sample *s, const struct hl_report_format *format)
{
    char *text = NULL;
    size_t size;
    const struct hl_engine engine = { .name = "sim" };
    s->campaign.run.engine = &engine;
    const struct hl_report to = { .out = open_memstream(&text, &size), .columns = 100 };
    if (format->begin)
        format->begin(&to, &s->campaign);
    if (format->on_case)
        format->on_case(&to, &s->campaign, &s->item);
    if (format->end)
        format->end(&to, &s->campaign);
    fclose(to.out);
    return text;
}

static void assert_in(const char *text, const char *part)
{
    cr_assert_not_null(strstr(text, part), "'%s' is not in:\n%s", part, text);
}

Test(reports, junit_escapes_what_xml_cannot_carry)
{
    struct sample s;
    sample_init(&s, HL_VERDICT_HANG, false);
    strcpy(s.item.result.finding.summary, "1 < 2 \x01");
    char *text = report(&s, &hl_report_junit);
    assert_in(text, "name=\"a&lt;b/x=&quot;1&quot; &amp; #2\\&#10;\"");
    assert_in(text, ">1 &lt; 2 ?</failure>");
    free(text);
}

Test(reports, tap_escapes_what_would_be_a_directive)
{
    struct sample s;
    sample_init(&s, HL_VERDICT_HANG, false);
    char *text = report(&s, &hl_report_tap);
    assert_in(text, "not ok 1 - a<b/x=\"1\" & \\#2\\\\ \n  ---\n  verdict: \"hang\"\n");
    assert_in(text, "\n  ...\n");
    free(text);
}

Test(reports, the_last_line_sums_up)
{
    static const struct {
        enum hl_verdict verdict;
        bool ok;
        const char *line;
    } cases[] = {
        { HL_VERDICT_PASS, true, "\n1 configuration: 1 pass, all as expected.\n" },
        { HL_VERDICT_CORRUPT, false, "\n1 configuration: 1 corrupt, 1 UNEXPECTED.\n" },
        { HL_VERDICT_SKIPPED, false, "\n1 configuration: 1 skipped, nothing was run.\n" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sample s;
        sample_init(&s, cases[i].verdict, cases[i].ok);
        char *text = report(&s, &hl_report_text);
        assert_in(text, cases[i].line);
        cr_assert_null(strchr(text, '\033'), "no colour unless asked for");
        free(text);
    }
}

Test(reports, people_and_programs_read_why_a_case_was_skipped)
{
    struct sample s;
    sample_init(&s, HL_VERDICT_SKIPPED, false);
    s.item.result.runs = 0;
    strcpy(s.item.result.reason, "4 GPUs are wanted");
    char *text = report(&s, &hl_report_text), *json = report(&s, &hl_report_json);
    assert_in(text, "\nskipped (1 configuration)\n  why       4 GPUs are wanted\n");
    assert_in(json, "\"verdict\":\"skipped\"");
    assert_in(json, "\"reason\":\"4 GPUs are wanted\"");
    free(text);
    free(json);
}

Test(reports, a_paragraph_is_wrapped_at_words)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    hl_write_wrapped(out, "one two  three\nfour averyveryverylongword x", 4, 2, 14);
    fclose(out);
    cr_assert_str_eq(text, "one two\n  three four\n  averyveryverylongword\n  x\n");
    free(text);
}

Test(reports, a_table_wraps_long_cells_and_cuts_nothing)
{
    struct hl_table table;
    char *text = NULL;
    size_t size;
    cr_assert(hl_table_init(&table, 2, 2));
    hl_table_set(&table, 0, 0, HL_COLOUR_NONE, "name");
    hl_table_set(&table, 0, 1, HL_COLOUR_NONE, "verdict");
    hl_table_set(&table, 1, 0, HL_COLOUR_GOOD, "piecewise graph, fused");
    FILE *out = open_memstream(&text, &size);
    hl_table_write(&table, 1, 25, false, out);
    fclose(out);
    cr_assert_str_eq(text,
                     "  name          verdict\n"
                     "  piecewise     -\n"
                     "  graph, fused\n",
                     "%s", text);
    free(text);
    hl_table_finish(&table);
}

Test(reports, a_culprit_is_said_as_far_as_it_is_known)
{
    char text[256];
    struct hl_culprit culprit = { -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1 };
    hl_phrase_culprit(&culprit, text, sizeof text);
    cr_assert_str_empty(text);
    culprit.rank = 1;
    culprit.call = 37;
    culprit.slot_rank = 0;
    hl_phrase_culprit(&culprit, text, sizeof text);
    cr_assert_str_eq(text, "rank 1, call 37, slot of rank 0");
    hl_phrase_culprit(&culprit, text, 9);
    cr_assert_str_eq(text, "rank 1, ");
}

Test(reports, the_live_line_tells_hangs_by_cause_and_never_wraps)
{
    struct sample s;
    struct hl_progress_bar progress;
    char *text = NULL;
    size_t size;
    sample_init(&s, HL_VERDICT_HANG, false);
    s.item.result.finding.cause = HL_CAUSE_SENTINEL_COLLISION;
    s.campaign.n_items = 4;
    s.campaign.wall_s = 30;
    for (int columns = 100; columns >= 40; columns -= 60) {
        FILE *out = open_memstream(&text, &size);
        hl_progress_init(&progress, out, true);
        progress.is_terminal = true;
        progress.columns = columns;
        hl_progress_case(&progress, &s.campaign, &s.item);
        hl_progress_tick(&progress, &s.campaign, 1);
        fclose(out);
        if (columns == 100)
            cr_assert_str_eq(text, "[#####...............] 1/4 cases, 1 min 30 s left, 1 UNEXPECTED, 1 hung: "
                                   "sentinel-collision 1");
        else
            cr_assert_str_eq(text, "[#####...............] 1/4 cases, 1 min");
        free(text);
    }
}

Test(reports, every_format_can_be_found)
{
    for (int i = 0; hl_report_formats[i]; i++)
        cr_assert_eq(hl_report_find(hl_report_formats[i]->name), hl_report_formats[i]);
    cr_assert_null(hl_report_find("yaml"));
}

/* JUnit XML, as CI servers read it (the Jenkins xunit schema): an unexpected verdict is a failure; a case
 * that told nothing, an error. Neither host nor date is in it, so that the same campaign gives the same file.
 */
#include <string.h>
#include "../framework/scenario/words.h"
#include "phrase.h"

/* Escapes markup; characters that XML 1.0 cannot carry become '?'. */
static void write_escaped(FILE *out, const char *text)
{
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        switch (c) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '"': fputs("&quot;", out); break;
        case '\n': fputs("&#10;", out); break;
        case '\t': fputs("&#9;", out); break;
        default: fputc(c < 0x20 || c == 0x7f ? '?' : c, out); break;
        }
    }
}

static void write_attribute(FILE *out, const char *name, const char *value)
{
    fprintf(out, " %s=\"", name);
    write_escaped(out, value);
    fputc('"', out);
}

struct tally {
    size_t tests, failures, errors, skipped;
};

static bool is_error(const struct hl_case_result *r) { return r->verdict == HL_VERDICT_INCONCLUSIVE; }

static struct tally count(const struct hl_campaign *campaign, const struct hl_scenario *scenario)
{
    struct tally t = { 0 };
    for (size_t i = 0; i < campaign->n_finished; i++) {
        const struct hl_campaign_item *item = &campaign->items[i];
        if (scenario && item->scenario != scenario)
            continue;
        t.tests++;
        if (item->result.verdict == HL_VERDICT_SKIPPED)
            t.skipped++;
        else if (!item->result.ok && is_error(&item->result))
            t.errors++;
        else if (!item->result.ok)
            t.failures++;
    }
    return t;
}

static void write_tally(FILE *out, struct tally t)
{
    fprintf(out, " tests=\"%zu\" failures=\"%zu\" errors=\"%zu\" skipped=\"%zu\"", t.tests, t.failures,
            t.errors, t.skipped);
}

static void write_problem(FILE *out, const struct hl_campaign_item *item)
{
    const struct hl_case_result *r = &item->result;
    const char *element = is_error(r) ? "error" : "failure";
    char expected[128], message[512];
    hl_phrase_expected(item->c, r, expected, sizeof expected);
    snprintf(message, sizeof message, "%s%s%s, expected %s", hl_words_name(&hl_words_verdicts, r->verdict),
             r->finding.cause ? ": " : "", r->finding.cause ? hl_cause_name(r->finding.cause) : "", expected);
    fprintf(out, "      <%s", element);
    write_attribute(out, "type", hl_words_name(&hl_words_verdicts, r->verdict));
    write_attribute(out, "message", message);
    fputc('>', out);
    write_escaped(out, r->finding.summary[0] ? r->finding.summary : r->reason);
    if (r->evidence) {
        write_escaped(out, "\nhanglab explain ");
        write_escaped(out, r->evidence);
    }
    fprintf(out, "</%s>\n", element);
}

static void write_case(FILE *out, const struct hl_campaign_item *item)
{
    const struct hl_case_result *r = &item->result;
    fputs("    <testcase", out);
    write_attribute(out, "classname", item->scenario->name);
    write_attribute(out, "name", item->c->id);
    if (r->verdict != HL_VERDICT_SKIPPED && r->ok) {
        fputs("/>\n", out);
        return;
    }
    fputs(">\n", out);
    if (r->verdict == HL_VERDICT_SKIPPED) {
        fputs("      <skipped", out);
        write_attribute(out, "message", r->reason);
        fputs("/>\n", out);
    } else {
        write_problem(out, item);
    }
    fputs("    </testcase>\n", out);
}

static void end(const struct hl_report *report, const struct hl_campaign *campaign)
{
    FILE *out = report->out;
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"hanglab\"", out);
    write_tally(out, count(campaign, NULL));
    fprintf(out, " time=\"%.3f\">\n", campaign->wall_s);
    const struct hl_scenario *scenario = NULL;
    for (size_t i = 0; i < campaign->n_finished; i++) {
        const struct hl_campaign_item *item = &campaign->items[i];
        if (item->scenario != scenario) {
            fputs(scenario ? "  </testsuite>\n" : "", out);
            scenario = item->scenario;
            fputs("  <testsuite", out);
            write_attribute(out, "name", scenario->name);
            write_tally(out, count(campaign, scenario));
            fputs(">\n", out);
        }
        write_case(out, item);
    }
    fputs(scenario ? "  </testsuite>\n</testsuites>\n" : "</testsuites>\n", out);
}

const struct hl_report_format hl_report_junit = { "junit", "JUnit XML at the end, for CI servers", NULL, NULL,
                                                  end };

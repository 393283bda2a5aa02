/* TAP version 14: a line a case as it ends, with a YAML block where something is not as expected. */
#include <string.h>
#include <jansson.h>
#include "../framework/scenario/words.h"
#include "phrase.h"

static void begin(const struct hl_report *report, const struct hl_campaign *campaign)
{
    fprintf(report->out, "TAP version 14\n1..%zu\n", campaign->n_items);
}

/* '#' and '\' would be read as a directive's beginning and an escape. */
static void write_description(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '#' || *text == '\\')
            fputc('\\', out);
        fputc((unsigned char)*text < 0x20 ? ' ' : *text, out);
    }
}

/* A JSON string is a YAML scalar. */
static void write_field(FILE *out, const char *name, const char *value)
{
    json_t *string = json_string(value);
    fprintf(out, "  %s: ", name);
    json_dumpf(string, out, JSON_ENCODE_ANY);
    fputc('\n', out);
    json_decref(string);
}

static void write_problem(FILE *out, const struct hl_campaign_item *item)
{
    const struct hl_case_result *r = &item->result;
    char text[512];
    fputs("  ---\n", out);
    write_field(out, "verdict", hl_words_name(&hl_words_verdicts, r->verdict));
    hl_phrase_expected(item->c, r, text, sizeof text);
    write_field(out, "expected", text);
    if (r->finding.cause != HL_CAUSE_NONE) {
        write_field(out, "cause", hl_cause_name(r->finding.cause));
        write_field(out, "certainty", hl_words_name(&hl_words_certainties, r->finding.certainty));
        hl_phrase_culprit(&r->finding.culprit, text, sizeof text);
        write_field(out, "culprit", text);
    }
    write_field(out, "message", r->finding.summary[0] ? r->finding.summary : r->reason);
    if (r->evidence)
        write_field(out, "evidence", r->evidence);
    fputs("  ...\n", out);
}

static void on_case(const struct hl_report *report, const struct hl_campaign *campaign,
                    const struct hl_campaign_item *item)
{
    const bool skipped = item->result.verdict == HL_VERDICT_SKIPPED;
    const bool ok = skipped || item->result.ok;
    fprintf(report->out, "%sok %zu - ", ok ? "" : "not ", (size_t)(item - campaign->items) + 1);
    write_description(report->out, item->c->id);
    if (skipped) {
        fputs(" # SKIP ", report->out);
        write_description(report->out, item->result.reason);
    }
    fputc('\n', report->out);
    if (!ok)
        write_problem(report->out, item);
    fflush(report->out);
}

const struct hl_report_format hl_report_tap = { "tap", "TAP version 14, a line a case as it ends", begin,
                                                on_case, NULL };

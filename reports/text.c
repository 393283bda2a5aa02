/* The report for people: a table a scenario, a finding a cause, and one last line. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "../framework/program/resolve.h"
#include "../framework/scenario/words.h"
#include "phrase.h"
#include "table.h"

/* Columns of running text, however wide the terminal. */
#define PARAGRAPH 100

/* Matrix axes that are shown as columns. */
#define AXES_MAX 16
struct axes {
    const char *paths[AXES_MAX];
    int count;
};

static const char *value_of(const struct hl_case *c, const char *path)
{
    for (int i = 0; i < c->n_params; i++)
        if (strcmp(c->params[i].path, path) == 0)
            return c->params[i].value;
    return "";
}

static bool varies(const struct hl_campaign_item *items, size_t n, const char *path)
{
    for (size_t i = 1; i < n; i++)
        if (strcmp(value_of(items[i].c, path), value_of(items[0].c, path)) != 0)
            return true;
    return false;
}

/* The axes that differ between the items: what is the same everywhere tells nothing. */
static struct axes find_axes(const struct hl_campaign_item *items, size_t n)
{
    struct axes axes = { .count = 0 };
    for (size_t i = 0; i < n; i++)
        for (int p = 0; p < items[i].c->n_params; p++) {
            const char *path = items[i].c->params[p].path;
            bool known = false;
            for (int a = 0; a < axes.count; a++)
                known |= strcmp(axes.paths[a], path) == 0;
            if (!known && axes.count < AXES_MAX && varies(items, n, path))
                axes.paths[axes.count++] = path;
        }
    return axes;
}

/* The last part of a path, or all of it where two axes end alike. */
static const char *heading(const struct axes *axes, int axis)
{
    const char *dot = strrchr(axes->paths[axis], '.');
    const char *last = dot ? dot + 1 : axes->paths[axis];
    for (int other = 0; other < axes->count; other++) {
        const char *other_dot = strrchr(axes->paths[other], '.');
        if (other != axis && strcmp(other_dot ? other_dot + 1 : axes->paths[other], last) == 0)
            return axes->paths[axis];
    }
    return last;
}

static enum hl_colour verdict_colour(enum hl_verdict verdict)
{
    switch (verdict) {
    case HL_VERDICT_PASS: return HL_COLOUR_GOOD;
    case HL_VERDICT_HANG:
    case HL_VERDICT_CORRUPT:
    case HL_VERDICT_CRASH: return HL_COLOUR_BAD;
    case HL_VERDICT_SKIPPED: return HL_COLOUR_DIM;
    default: return HL_COLOUR_DOUBT;
    }
}

/* Its certainty goes without saying where it is proven. */
static void describe_cause(const struct hl_finding *finding, char *text, size_t size)
{
    const char *certainty = hl_words_name(&hl_words_certainties, finding->certainty);
    if (finding->certainty == HL_CERTAINTY_PROVEN)
        snprintf(text, size, "%s", hl_cause_name(finding->cause));
    else
        snprintf(text, size, "%s (%s)", hl_cause_name(finding->cause), certainty);
}

static void fill_row(struct hl_table *table, int row, const struct axes *axes,
                     const struct hl_campaign_item *item)
{
    const struct hl_case_result *r = &item->result;
    int column = 0;
    for (int a = 0; a < axes->count; a++)
        hl_table_set(table, row, column++, HL_COLOUR_NONE, "%s", value_of(item->c, axes->paths[a]));
    if (axes->count == 0)
        hl_table_set(table, row, column++, HL_COLOUR_NONE, "%s", item->c->id);
    /* How often it hung has a column of its own. */
    const char *verdict = hl_words_name(&hl_words_verdicts, r->verdict);
    if (r->verdict > HL_VERDICT_HANG && r->verdict < HL_VERDICT_PASS && r->runs > 0)
        hl_table_set(table, row, column++, verdict_colour(r->verdict), "%s %d/%d", verdict,
                     r->counts[r->verdict], r->runs);
    else
        hl_table_set(table, row, column++, verdict_colour(r->verdict), "%s", verdict);
    if (r->runs > 0) {
        hl_table_set(table, row, column, HL_COLOUR_NONE, "%d/%d", r->counts[HL_VERDICT_HANG], r->runs);
        hl_table_set(table, row, column + 1, HL_COLOUR_NONE, "%.0f-%.0f %%", r->rate_low * 100,
                     r->rate_high * 100);
    }
    column += 2;
    char cause[HL_CELL_MAX] = "";
    if (r->finding.cause != HL_CAUSE_NONE)
        describe_cause(&r->finding, cause, sizeof cause);
    hl_table_set(table, row, column++, HL_COLOUR_NONE, "%s", cause);
    if (r->verdict == HL_VERDICT_SKIPPED)
        return;
    hl_table_set(table, row, column, r->ok ? HL_COLOUR_GOOD : HL_COLOUR_LOUD, r->ok ? "ok" : "UNEXPECTED");
    assert(column == table->columns - 1);
}

static void write_table(const struct hl_report *report, const struct hl_campaign_item *items, size_t n)
{
    static const char *const headings[] = { "verdict", "hung", "95 %", "cause", "expected" };
    const int n_headings = sizeof headings / sizeof headings[0];
    const struct axes axes = find_axes(items, n);
    const int names = axes.count ? axes.count : 1;
    struct hl_table table;
    if (!hl_table_init(&table, names + n_headings, (int)n + 1)) {
        fputs("  (out of memory for the table)\n", report->out);
        return;
    }
    for (int a = 0; a < names; a++)
        hl_table_set(&table, 0, a, HL_COLOUR_DIM, "%s", axes.count ? heading(&axes, a) : "case");
    for (int i = 0; i < n_headings; i++)
        hl_table_set(&table, 0, names + i, HL_COLOUR_DIM, "%s", headings[i]);
    for (size_t i = 0; i < n; i++)
        fill_row(&table, (int)i + 1, &axes, &items[i]);
    hl_table_write(&table, names, report->columns, report->colour, report->out);
    hl_table_finish(&table);
}

static struct hl_sizes larger(struct hl_sizes a, struct hl_sizes b)
{
    return (struct hl_sizes){ a.hidden > b.hidden ? a.hidden : b.hidden,
                              a.tokens_max > b.tokens_max ? a.tokens_max : b.tokens_max };
}

/* Says how far the executed sizes are from those in the scenario. */
static void write_sizes(const struct hl_report *report, const struct hl_campaign_item *items, size_t n)
{
    struct hl_sizes real = { 0 }, executed = { 0 };
    for (size_t i = 0; i < n; i++) {
        const struct hl_case_result *r = &items[i].result;
        real = larger(real, r->real);
        executed = larger(executed, r->executed);
    }
    if (real.hidden != executed.hidden || real.tokens_max != executed.tokens_max)
        fprintf(report->out, "  reduced: hidden %u runs as %u, calls of up to %u tokens as up to %u\n",
                real.hidden, executed.hidden, real.tokens_max, executed.tokens_max);
}

static void write_scenario(const struct hl_report *report, const struct hl_campaign_item *items, size_t n)
{
    const struct hl_scenario *s = items[0].scenario;
    const char *title = s->title ? s->title : "";
    fprintf(report->out, "\n%s%s%s\n", s->name, title[0] ? ": " : "", title);
    write_sizes(report, items, n);
    fputc('\n', report->out);
    write_table(report, items, n);
}

static bool is_finding(const struct hl_campaign_item *item) { return item->result.verdict < HL_VERDICT_PASS; }

/* Two items whose finding would be told in the same words. */
static bool same_finding(const struct hl_campaign_item *a, const struct hl_campaign_item *b)
{
    return is_finding(a) && is_finding(b) && a->result.verdict == b->result.verdict &&
           a->result.finding.cause == b->result.finding.cause &&
           (a->result.finding.cause != HL_CAUSE_NONE || strcmp(a->result.reason, b->result.reason) == 0);
}

static void write_field(const struct hl_report *report, const char *name, const char *text)
{
    if (!text || !text[0])
        return;
    const int indent = 12, columns = report->columns < PARAGRAPH ? report->columns : PARAGRAPH;
    fprintf(report->out, "  %s%-9s%s ", hl_colour_on(HL_COLOUR_DIM, report->colour), name,
            hl_colour_off(report->colour));
    hl_write_wrapped(report->out, text, indent, indent, columns);
}

static void write_finding(const struct hl_report *report, const struct hl_campaign_item *item, size_t count)
{
    const struct hl_case_result *r = &item->result;
    const struct hl_finding *f = &r->finding;
    char text[512];
    const bool named = f->cause != HL_CAUSE_NONE;
    fprintf(report->out, "\n%s%s%s%s%s", hl_colour_on(verdict_colour(r->verdict), report->colour),
            hl_words_name(&hl_words_verdicts, r->verdict), named ? ": " : "",
            named ? hl_cause_name(f->cause) : "", hl_colour_off(report->colour));
    if (named)
        fprintf(report->out, ", %s", hl_words_name(&hl_words_certainties, f->certainty));
    fprintf(report->out, " (%zu configuration%s)\n", count, count == 1 ? "" : "s");
    if (f->other_cause != HL_CAUSE_NONE)
        write_field(report, "or else", hl_cause_name(f->other_cause));
    /* An id and a path are for copying: in one line, however long. */
    fprintf(report->out, "  %s%-9s%s %s\n", hl_colour_on(HL_COLOUR_DIM, report->colour), "e.g.",
            hl_colour_off(report->colour), item->c->id);
    write_field(report, "what", f->summary[0] ? f->summary : r->reason);
    for (int cause = 0; cause < HL_CAUSE_COUNT; cause++)
        if (named && cause != (int)f->cause && r->causes[cause] > 0) {
            snprintf(text, sizeof text, "%d of its %d runs with this verdict: %s", r->causes[cause],
                     r->counts[r->verdict], hl_cause_name((enum hl_cause)cause));
            write_field(report, "but", text);
        }
    hl_phrase_culprit(&f->culprit, text, sizeof text);
    write_field(report, "culprit", named ? text : "");
    write_field(report, "to do", named ? hl_cause_hint(f->cause) : "");
    if (r->evidence) {
        fprintf(report->out, "  %s%-9s%s hanglab explain %s\n", hl_colour_on(HL_COLOUR_DIM, report->colour),
                "explain", hl_colour_off(report->colour), r->evidence);
    }
    write_field(report, "no bundle", r->evidence_error);
}

static void write_findings(const struct hl_report *report, const struct hl_campaign *campaign)
{
    const struct hl_campaign_item *items = campaign->items;
    for (size_t i = 0; i < campaign->n_finished; i++) {
        size_t before = 0, count = 0;
        for (size_t j = 0; j < campaign->n_finished; j++) {
            const bool same = same_finding(&items[i], &items[j]);
            before += same && j < i;
            count += same;
        }
        if (count > 0 && before == 0)
            write_finding(report, &items[i], count);
    }
}

/* Names each case that was expected to end otherwise, as --filter takes it. */
static void write_unexpected(const struct hl_report *report, const struct hl_campaign *campaign)
{
    bool any = false;
    for (size_t i = 0; i < campaign->n_finished; i++) {
        const struct hl_campaign_item *item = &campaign->items[i];
        char expected[128];
        if (item->result.ok || item->result.verdict == HL_VERDICT_SKIPPED)
            continue;
        if (!any)
            fprintf(report->out, "\n%sUNEXPECTED%s\n", hl_colour_on(HL_COLOUR_LOUD, report->colour),
                    hl_colour_off(report->colour));
        any = true;
        hl_phrase_expected(item->c, &item->result, expected, sizeof expected);
        fprintf(report->out, "  %s: %s, expected %s\n", item->c->id,
                hl_words_name(&hl_words_verdicts, item->result.verdict), expected);
    }
}

/* Why cases were not run, each reason once. */
static void write_skipped(const struct hl_report *report, const struct hl_campaign *campaign)
{
    const struct hl_campaign_item *items = campaign->items;
    for (size_t i = 0; i < campaign->n_finished; i++) {
        size_t before = 0, count = 0;
        if (items[i].result.verdict != HL_VERDICT_SKIPPED)
            continue;
        for (size_t j = 0; j < campaign->n_finished; j++) {
            const bool same = items[j].result.verdict == HL_VERDICT_SKIPPED &&
                              strcmp(items[i].result.reason, items[j].result.reason) == 0;
            before += same && j < i;
            count += same;
        }
        if (before > 0)
            continue;
        fprintf(report->out, "\n%sskipped%s (%zu configuration%s)\n",
                hl_colour_on(HL_COLOUR_DIM, report->colour), hl_colour_off(report->colour), count,
                count == 1 ? "" : "s");
        write_field(report, "why", items[i].result.reason);
    }
}

/* Sentences of which each is said once. */
struct said {
    char (*texts)[sizeof((struct hl_note *)0)->text];
    size_t count;
};

static bool is_new(struct said *said, const char *text)
{
    for (size_t i = 0; i < said->count; i++)
        if (strcmp(said->texts[i], text) == 0)
            return false;
    void *more = realloc(said->texts, (said->count + 1) * sizeof *said->texts);
    if (!more)
        return true; /* rather twice than not at all */
    said->texts = more;
    strcpy(said->texts[said->count++], text);
    return true;
}

/* What flags and `auto` were resolved to, warnings first. */
static void write_notes(const struct hl_report *report, const struct hl_campaign *campaign)
{
    struct said said = { 0 };
    bool any = false;
    for (int severity = HL_SEVERITY_COUNT - 1; severity >= 0; severity--)
        for (size_t i = 0; i < campaign->n_finished; i++) {
            struct hl_config resolved;
            struct hl_notes notes = { 0 };
            hl_resolve(&campaign->items[i].c->config, &resolved, &notes, NULL);
            for (int k = 0; k < notes.n; k++) {
                const struct hl_note *note = &notes.note[k];
                if ((int)note->severity != severity || !is_new(&said, note->text))
                    continue;
                fputs(any ? "" : "\n", report->out);
                any = true;
                write_field(report, severity == HL_SEVERITY_WARNING ? "warning" : "note", note->text);
            }
        }
    free(said.texts);
}

/* " (sentinel-collision, late-clear)": the causes of all items with a verdict. */
static void write_causes(FILE *out, const struct hl_campaign *campaign, enum hl_verdict verdict)
{
    bool seen[HL_CAUSE_COUNT] = { false };
    bool any = false;
    for (size_t i = 0; i < campaign->n_finished; i++) {
        const struct hl_case_result *r = &campaign->items[i].result;
        if (r->verdict != verdict || r->finding.cause == HL_CAUSE_NONE || seen[r->finding.cause])
            continue;
        seen[r->finding.cause] = true;
        fprintf(out, "%s%s", any ? ", " : " (", hl_cause_name(r->finding.cause));
        any = true;
    }
    fputs(any ? ")" : "", out);
}

static void write_last_line(const struct hl_report *report, const struct hl_campaign *campaign)
{
    const struct hl_campaign_counts counts = hl_campaign_count(campaign);
    static const enum hl_verdict order[] = { HL_VERDICT_PASS,   HL_VERDICT_HANG, HL_VERDICT_CORRUPT,
                                             HL_VERDICT_CRASH,  HL_VERDICT_SLOW, HL_VERDICT_INCONCLUSIVE,
                                             HL_VERDICT_SKIPPED };
    fprintf(report->out, "\n%s%zu configuration%s:", campaign->interrupted ? "Interrupted. " : "",
            campaign->n_items, campaign->n_items == 1 ? "" : "s");
    bool any = false;
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if (counts.verdicts[order[i]] == 0)
            continue;
        fprintf(report->out, "%s %zu %s", any ? "," : "", counts.verdicts[order[i]],
                hl_words_name(&hl_words_verdicts, order[i]));
        write_causes(report->out, campaign, order[i]);
        any = true;
    }
    const bool good = counts.unexpected == 0;
    fputs(any ? ", " : " ", report->out);
    fputs(hl_colour_on(good ? HL_COLOUR_GOOD : HL_COLOUR_LOUD, report->colour), report->out);
    if (!good)
        fprintf(report->out, "%zu UNEXPECTED", counts.unexpected);
    else
        fputs(counts.ok == 0   ? "nothing was run"
              : counts.skipped ? "all that ran as expected"
                               : "all as expected",
              report->out);
    fprintf(report->out, "%s.\n", hl_colour_off(report->colour));
}

static void end(const struct hl_report *report, const struct hl_campaign *campaign)
{
    for (size_t first = 0, next; first < campaign->n_finished; first = next) {
        const struct hl_campaign_item *items = campaign->items;
        for (next = first; next < campaign->n_finished && items[next].scenario == items[first].scenario;)
            next++;
        write_scenario(report, &items[first], next - first);
    }
    write_findings(report, campaign);
    write_skipped(report, campaign);
    write_unexpected(report, campaign);
    write_notes(report, campaign);
    write_last_line(report, campaign);
}

const struct hl_report_format hl_report_text = { "text", "tables and findings for people, at the end", NULL,
                                                 NULL, end };

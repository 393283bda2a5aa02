/* A night for people: a table of scenarios, a line and a bundle a signature, and what may be claimed. */
#include "night.h"
#include <inttypes.h>
#include <string.h>
#include "../framework/scenario/words.h"
#include "phrase.h"
#include "table.h"

static const char *verdict_word(enum hl_verdict verdict)
{
    return hl_words_name(&hl_words_verdicts, verdict);
}

/* "1.2 % (0.6 to 2.1 %)": the 95 % interval is exact. */
static void write_rate(char *text, size_t size, int hits, int runs)
{
    const struct hl_interval rate = hl_clopper_pearson(hits, runs, 0.95);
    snprintf(text, size, "%.2g %% (%.2g to %.2g %%)", runs ? 100.0 * hits / runs : 0, 100 * rate.low,
             100 * rate.high);
}

static int regular_runs(const struct hl_case_results *c)
{
    int runs = 0;
    for (int v = 0; v < HL_VERDICT_COUNT; v++)
        runs += c->counts[HL_REGULAR][v];
    return runs;
}

/* The gravest standing of a scenario's cases. */
static enum hl_standing standing_of(const struct hl_results *results, int scenario)
{
    enum hl_standing worst = HL_STANDING_OK;
    for (int i = 0; i < results->n_cases; i++) {
        const struct hl_case_results *c = &results->cases[i];
        const enum hl_standing standing =
            c->scenario == scenario && regular_runs(c) > 0 ? hl_case_standing(c) : HL_STANDING_OK;
        if (standing > worst)
            worst = standing;
    }
    return worst;
}

static const char *const standing_words[] = { "as expected", "too few runs", "NOT SHOWN", "UNEXPECTED" };
static const enum hl_colour standing_colours[] = { HL_COLOUR_GOOD, HL_COLOUR_DOUBT, HL_COLOUR_BAD,
                                                   HL_COLOUR_BAD };

static void write_scenarios(const struct hl_night_report *report)
{
    static const char *const headings[] = {
        "scenario", "cases", "runs", "repeats", "hangs", "rate (95 %)", "processes with a hang", "standing"
    };
    enum { COLUMNS = sizeof headings / sizeof headings[0] };
    const struct hl_results *results = report->results;
    struct hl_table table;
    if (!hl_table_init(&table, COLUMNS, results->n_scenarios + 1))
        return;
    for (int i = 0; i < COLUMNS; i++)
        hl_table_set(&table, 0, i, HL_COLOUR_NONE, "%s", headings[i]);
    for (int i = 0; i < results->n_scenarios; i++) {
        const struct hl_scenario_results *s = &results->scenarios[i];
        const enum hl_standing standing = standing_of(results, i);
        char rate[64];
        write_rate(rate, sizeof rate, s->hangs[HL_REGULAR], s->runs[HL_REGULAR]);
        hl_table_set(&table, i + 1, 0, HL_COLOUR_NONE, "%s", s->name);
        hl_table_set(&table, i + 1, 1, HL_COLOUR_NONE, "%d", s->cases);
        hl_table_set(&table, i + 1, 2, HL_COLOUR_NONE, "%d", s->runs[HL_REGULAR]);
        hl_table_set(&table, i + 1, 3, HL_COLOUR_NONE, "%d", s->runs[HL_REPEAT]);
        hl_table_set(&table, i + 1, 4, HL_COLOUR_NONE, "%d", s->hangs[HL_REGULAR]);
        hl_table_set(&table, i + 1, 5, HL_COLOUR_NONE, "%s", rate);
        hl_table_set(&table, i + 1, 6, HL_COLOUR_NONE, "%d of %d", s->hung_processes, s->processes);
        hl_table_set(&table, i + 1, 7, standing_colours[standing], "%s", standing_words[standing]);
    }
    hl_table_write(&table, 1, report->columns, report->colour, report->out);
    hl_table_finish(&table);
}

static void write_signature(const struct hl_night_report *report, const struct hl_signature_results *s)
{
    const struct hl_results *results = report->results;
    const struct hl_scenario_results *scenario = &results->scenarios[s->scenario];
    char rate[64], line[512];
    write_rate(rate, sizeof rate, s->counts[HL_REGULAR], scenario->runs[HL_REGULAR]);
    snprintf(line, sizeof line, "%s%s: %s", s->unexpected ? "" : "(expected) ", scenario->name, s->text);
    hl_write_wrapped(report->out, line, 0, 4, report->columns);
    fprintf(report->out, "    %d of %d runs, %s", s->counts[HL_REGULAR], scenario->runs[HL_REGULAR], rate);
    if (scenario->runs[HL_REPEAT] > 0)
        fprintf(report->out, ", %d of %d repeats", s->counts[HL_REPEAT], scenario->runs[HL_REPEAT]);
    fprintf(report->out, "; in %d case%s, first %s\n", s->cases, s->cases == 1 ? "" : "s",
            s->first_case >= 0 ? results->cases[s->first_case].id : "-");
    const char *bundle = s->newest ? s->newest : s->oldest;
    if (bundle)
        fprintf(report->out, "    %s/%s\n", report->out_dir, bundle);
}

/* The unexpected ones first. */
static void write_signatures(const struct hl_night_report *report)
{
    const struct hl_results *results = report->results;
    if (results->n_signatures > 0)
        fputc('\n', report->out);
    for (int expected = 0; expected < 2; expected++)
        for (int i = 0; i < results->n_signatures; i++)
            if ((results->signatures[i].unexpected == 0) == expected &&
                results->signatures[i].first_case >= 0)
                write_signature(report, &results->signatures[i]);
}

/* Cases that are meant to fail test the pipeline itself. */
static void write_controls(const struct hl_night_report *report)
{
    for (int i = 0; i < report->results->n_cases; i++) {
        const struct hl_case_results *c = &report->results->cases[i];
        const enum hl_standing standing = hl_case_standing(c);
        const int runs = regular_runs(c);
        if (standing == HL_STANDING_MISSED)
            fprintf(report->out,
                    "THIS NIGHT IS SUSPICIOUS: %s is meant to show %s, and did in %d of %d runs only. Do not "
                    "trust its "
                    "passes.\n",
                    c->id, verdict_word(c->expected.verdict), c->shown[HL_REGULAR], runs);
        else if (standing == HL_STANDING_OPEN && runs > 0)
            fprintf(report->out, "%s is meant to show %s; %d runs are too few to say that it does not.\n",
                    c->id, verdict_word(c->expected.verdict), runs);
    }
}

/* Sums up a scenario's cases that should pass. */
static struct hl_sample clean_cases(const struct hl_results *results, int scenario)
{
    struct hl_sample sample = { 0, 0 };
    for (int i = 0; i < results->n_cases; i++) {
        const struct hl_case_results *c = &results->cases[i];
        if (c->scenario != scenario || c->expected.verdict != HL_VERDICT_PASS)
            continue;
        sample.hits += c->counts[HL_REGULAR][HL_VERDICT_HANG];
        sample.runs += regular_runs(c);
    }
    return sample;
}

static void write_claims(const struct hl_night_report *report)
{
    for (int i = 0; i < report->results->n_scenarios; i++) {
        const struct hl_sample sample = clean_cases(report->results, i);
        const char *name = report->results->scenarios[i].name;
        if (sample.runs == 0)
            continue;
        if (sample.hits == 0) {
            const uint64_t needed = hl_clean_runs_needed(report->clean_limit, 0.95);
            const double below = hl_clopper_pearson(0, sample.runs, 0.90).high; /* 95 %, one-sided */
            fprintf(report->out, "%s: no hang in %d runs that should pass: less than %.2g (95 %%); ", name,
                    sample.runs, below);
            if (needed > (uint64_t)sample.runs)
                fprintf(report->out, "%" PRIu64 " more clean runs until it may be said to be less than %g\n",
                        needed - (uint64_t)sample.runs, report->clean_limit);
            else
                fprintf(report->out, "it may be said to be less than %g\n", report->clean_limit);
        }
        if (report->question.high <= 0)
            continue;
        static const char *const answers[] = { "not decided yet", "it hangs less than the lower rate",
                                               "it hangs more than the higher rate" };
        const struct hl_question *q = &report->question;
        fprintf(report->out, "%s: less than %g or more than %g? %s (either error at most %g)\n", name, q->low,
                q->high, answers[hl_decide_rate(q->low, q->high, q->error, sample.hits, sample.runs)],
                q->error);
    }
}

static void write_last_line(const struct hl_night_report *report)
{
    int unexpected = 0, missed = 0;
    for (int i = 0; i < report->results->n_signatures; i++)
        unexpected += report->results->signatures[i].unexpected > 0;
    for (int i = 0; i < report->results->n_cases; i++)
        missed += hl_case_standing(&report->results->cases[i]) == HL_STANDING_MISSED;
    fprintf(report->out,
            "\n%s%zu runs of %d cases: ", report->interrupted ? "Interrupted (go on with --resume). " : "",
            report->results->runs.count, report->results->n_cases);
    if (unexpected || missed)
        fprintf(report->out, "%d unexpected signature%s, %d expected failure%s not shown.\n", unexpected,
                unexpected == 1 ? "" : "s", missed, missed == 1 ? "" : "s");
    else
        fputs("nothing unexpected.\n", report->out);
}

void hl_night_write_text(const struct hl_night_report *report)
{
    write_scenarios(report);
    write_signatures(report);
    fputc('\n', report->out);
    write_claims(report);
    write_controls(report);
    write_last_line(report);
}

/*
 * Changes
 */

static void write_change(FILE *out, const struct hl_night *nights, const struct hl_change *change,
                         int columns)
{
    char before[64], after[64], line[768];
    write_rate(before, sizeof before, change->before.hits, change->before.runs);
    write_rate(after, sizeof after, change->after.hits, change->after.runs);
    snprintf(line, sizeof line, "%s, first night %s: %s: %s%s", hl_change_name(change->kind),
             nights[change->first].name, change->scenario, change->signature->text,
             change->unexpected ? "" : " (expected)");
    hl_write_wrapped(out, line, 0, 4, columns);
    fprintf(out, "    %d of %d runs, %s; before: %d of %d, %s\n", change->after.hits, change->after.runs,
            after, change->before.hits, change->before.runs, before);
    fprintf(out, "    p = %.2g: %s\n", change->p,
            change->significant ? "significant" : "chance may explain it");
    const char *bundle = change->signature->newest ? change->signature->newest : change->signature->oldest;
    if (bundle)
        fprintf(out, "    %s/%s\n", nights[change->witness].name, bundle);
}

void hl_changes_write_text(FILE *out, const struct hl_night *nights, int n_nights,
                           const struct hl_comparison *comparison, double false_positives, int columns)
{
    for (int i = 0; i < comparison->n_changes; i++)
        write_change(out, nights, &comparison->changes[i], columns);
    fprintf(out,
            "%s%d change%s in %d nights. Nights without any change would show a significant one with a "
            "probability of "
            "at most %g (%d tests, each at %.2g).\n",
            comparison->n_changes ? "\n" : "", comparison->n_changes, comparison->n_changes == 1 ? "" : "s",
            n_nights, false_positives, comparison->n_tests, comparison->level);
}

/* A night for machines: JSON Lines of scenarios and signatures, then a summary; and of changes. */
#include <jansson.h>
#include "../framework/scenario/words.h"
#include "../framework/verdict/classifier.h"
#include "night.h"

static void set(json_t *object, const char *key, json_t *value) { json_object_set_new(object, key, value); }

static void write_line(FILE *out, json_t *json)
{
    json_dumpf(json, out, JSON_COMPACT | JSON_REAL_PRECISION(6));
    json_decref(json);
    fputc('\n', out);
}

static json_t *rate_json(int hits, int runs)
{
    const struct hl_interval rate = hl_clopper_pearson(hits, runs, 0.95);
    return json_pack("[f, f]", rate.low, rate.high);
}

static void write_scenario(const struct hl_night_report *report, const struct hl_scenario_results *s)
{
    json_t *json =
        json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:o, s:i, s:i}", "type", "scenario", "scenario",
                  s->name, "cases", s->cases, "runs", s->runs[HL_REGULAR], "repeats", s->runs[HL_REPEAT],
                  "hangs", s->hangs[HL_REGULAR], "repeat_hangs", s->hangs[HL_REPEAT], "rate_ci95",
                  rate_json(s->hangs[HL_REGULAR], s->runs[HL_REGULAR]), "processes", s->processes,
                  "processes_hung", s->hung_processes);
    if (json)
        write_line(report->out, json);
}

static void write_signature(const struct hl_night_report *report, const struct hl_signature_results *s)
{
    const struct hl_results *results = report->results;
    const struct hl_scenario_results *scenario = &results->scenarios[s->scenario];
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:b, s:i, s:i, s:i, s:o, s:i, s:i}", "type", "signature",
                             "scenario", scenario->name, "signature", s->text, "verdict",
                             hl_words_name(&hl_words_verdicts, s->verdict), "expected", s->unexpected == 0,
                             "hits", s->counts[HL_REGULAR], "runs", scenario->runs[HL_REGULAR], "repeat_hits",
                             s->counts[HL_REPEAT], "rate_ci95",
                             rate_json(s->counts[HL_REGULAR], scenario->runs[HL_REGULAR]), "cases", s->cases,
                             "processes", s->processes);
    if (!json)
        return;
    if (s->cause != HL_CAUSE_NONE)
        set(json, "cause", json_string(hl_cause_name(s->cause)));
    if (s->first_case >= 0)
        set(json, "first_case", json_string(results->cases[s->first_case].id));
    const char *bundle = s->newest ? s->newest : s->oldest;
    if (bundle)
        set(json, "evidence", json_sprintf("%s/%s", report->out_dir, bundle));
    write_line(report->out, json);
}

void hl_night_write_json(const struct hl_night_report *report)
{
    const struct hl_results *results = report->results;
    int unexpected = 0, missed = 0;
    for (int i = 0; i < results->n_scenarios; i++)
        write_scenario(report, &results->scenarios[i]);
    for (int i = 0; i < results->n_signatures; i++) {
        if (results->signatures[i].first_case >= 0)
            write_signature(report, &results->signatures[i]);
        unexpected += results->signatures[i].unexpected > 0;
    }
    for (int i = 0; i < results->n_cases; i++)
        missed += hl_case_standing(&results->cases[i]) == HL_STANDING_MISSED;
    json_t *json =
        json_pack("{s:s, s:i, s:I, s:i, s:i}", "type", "summary", "cases", results->n_cases, "runs",
                  (json_int_t)results->runs.count, "unexpected_signatures", unexpected, "not_shown", missed);
    if (json)
        set(json, "exit", json_integer(hl_results_exit_code(results)));
    if (json && report->interrupted)
        set(json, "interrupted", json_true());
    if (json)
        write_line(report->out, json);
}

void hl_changes_write_json(FILE *out, const struct hl_night *nights, const struct hl_comparison *comparison)
{
    for (int i = 0; i < comparison->n_changes; i++) {
        const struct hl_change *c = &comparison->changes[i];
        json_t *json = json_pack(
            "{s:s, s:s, s:s, s:s, s:s, s:[i, i], s:[i, i], s:f, s:b, s:b}", "type", "change", "change",
            hl_change_name(c->kind), "first_night", nights[c->first].name, "scenario", c->scenario,
            "signature", c->signature->text, "before", c->before.hits, c->before.runs, "after", c->after.hits,
            c->after.runs, "p", c->p, "significant", (int)c->significant, "expected", !c->unexpected);
        const char *bundle = c->signature->newest ? c->signature->newest : c->signature->oldest;
        if (json && bundle)
            set(json, "evidence", json_sprintf("%s/%s", nights[c->witness].name, bundle));
        if (json)
            write_line(out, json);
    }
    json_t *json = json_pack("{s:s, s:i, s:i, s:f, s:i}", "type", "summary", "changes", comparison->n_changes,
                             "tests", comparison->n_tests, "level", comparison->level, "exit",
                             hl_comparison_exit_code(comparison));
    if (json)
        write_line(out, json);
}

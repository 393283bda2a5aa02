/* JSON Lines (design section 10): one object a case as it ends, then a summary. Only the summary's wall_s
 * may differ between two runs of the same files, seed and build. */
#include <jansson.h>
#include <math.h>
#include "../framework/campaign/bundle_json.h"
#include "../framework/scenario/words.h"
#include "report.h"

static void set(json_t *object, const char *key, json_t *value) { json_object_set_new(object, key, value); }

static void write_line(const struct hl_report *report, json_t *json)
{
    json_dumpf(json, report->out, JSON_COMPACT | JSON_REAL_PRECISION(6));
    json_decref(json);
    fputc('\n', report->out);
    fflush(report->out); /* a reader sees each case as it ends */
}

static json_t *params_json(const struct hl_case *c)
{
    json_t *params = json_object();
    for (int i = 0; i < c->n_params; i++)
        set(params, c->params[i].path, json_string(c->params[i].value));
    return params;
}

static json_t *sizes_json(struct hl_sizes sizes)
{
    return json_pack("{s:I, s:I}", "hidden", (json_int_t)sizes.hidden, "tokens_max",
                     (json_int_t)sizes.tokens_max);
}

/* How often each cause was found, where it was not always the same; else NULL. */
static json_t *causes_json(const struct hl_case_result *r)
{
    json_t *causes = json_object();
    for (int cause = 0; cause < HL_CAUSE_COUNT; cause++)
        if (r->causes[cause] > 0)
            set(causes, hl_cause_name((enum hl_cause)cause), json_integer(r->causes[cause]));
    if (json_object_size(causes) > 1)
        return causes;
    json_decref(causes);
    return NULL;
}

/* What the runs have shown; nothing of it is known of a case that was not run to its end. */
static void add_runs(json_t *json, const struct hl_case_result *r)
{
    set(json, "hangs", json_integer(r->counts[HL_VERDICT_HANG]));
    set(json, "rate", json_real(r->rate));
    set(json, "rate_ci95", json_pack("[f, f]", r->rate_low, r->rate_high));
    json_t *culprit = r->finding.cause != HL_CAUSE_NONE ? hl_culprit_json(&r->finding.culprit) : NULL;
    if (culprit)
        set(json, "culprit", culprit);
}

static void on_case(const struct hl_report *report, const struct hl_campaign *campaign,
                    const struct hl_campaign_item *item)
{
    const struct hl_case_result *r = &item->result;
    json_t *json = json_pack("{s:s, s:s, s:o, s:s}", "type", "case", "id", item->c->id, "params",
                             params_json(item->c), "engine", campaign->run.engine->name);
    if (r->runs > 0)
        set(json, "seed", json_integer((json_int_t)r->seed));
    set(json, "runs", json_integer(r->runs));
    set(json, "verdict", json_string(hl_words_name(&hl_words_verdicts, r->verdict)));
    set(json, "expected", json_string(hl_words_name(&hl_words_verdicts, item->c->expected.verdict)));
    if (r->verdict != HL_VERDICT_SKIPPED)
        set(json, "ok", json_boolean(r->ok));
    if (r->finding.cause != HL_CAUSE_NONE) {
        set(json, "cause", json_string(hl_cause_name(r->finding.cause)));
        set(json, "certainty", json_string(hl_words_name(&hl_words_certainties, r->finding.certainty)));
    }
    if (r->runs > 0)
        add_runs(json, r);
    json_t *causes = causes_json(r);
    if (causes)
        set(json, "causes", causes);
    if (r->evidence)
        set(json, "evidence", json_string(r->evidence));
    if (r->evidence_error[0])
        set(json, "evidence_error", json_string(r->evidence_error));
    if (r->reason[0])
        set(json, "reason", json_string(r->reason));
    if (r->runs > 0)
        set(json, "geometry",
            json_pack("{s:o, s:o}", "real", sizes_json(r->real), "executed", sizes_json(r->executed)));
    json_t *notes = hl_notes_json(&item->c->config);
    if (notes)
        set(json, "notes", notes);
    write_line(report, json);
}

static void end(const struct hl_report *report, const struct hl_campaign *campaign)
{
    const struct hl_campaign_counts counts = hl_campaign_count(campaign);
    json_t *json =
        json_pack("{s:s, s:I, s:I, s:I}", "type", "summary", "cases", (json_int_t)campaign->n_items, "ok",
                  (json_int_t)counts.ok, "unexpected", (json_int_t)counts.unexpected);
    if (counts.skipped)
        set(json, "skipped", json_integer((json_int_t)counts.skipped));
    if (campaign->interrupted)
        set(json, "interrupted", json_true());
    set(json, "exit", json_integer(hl_campaign_exit_code(campaign)));
    set(json, "wall_s", json_real(round(campaign->wall_s * 1000) / 1000));
    write_line(report, json);
}

const struct hl_report_format hl_report_json = { "json",
                                                 "JSON Lines: an object a case as it ends, then a summary",
                                                 NULL, on_case, end };

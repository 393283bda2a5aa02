/* Runs cases for the library, and tells what came of it. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../reports/phrase.h"
#include "../campaign/pool.h"
#include "../engine/engines.h"
#include "../scenario/words.h"
#include "library.h"

struct hl_result {
    char *id;
    struct hl_case_result inside;
    char expected[160];
    char *text;
};

static const char *verdict_name(enum hl_verdict verdict)
{
    return hl_words_name(&hl_words_verdicts, (int)verdict);
}

const char *hl_verdict_name(enum hl_verdict verdict) { return verdict_name(verdict); }

static void write_expected(const struct hl_expectation *e, char *text, size_t size)
{
    int length = snprintf(text, size, "%s", verdict_name(e->verdict));
    if (e->cause >= 0)
        length += snprintf(text + length, size - (size_t)length, ", cause %s",
                           hl_cause_name((enum hl_cause)e->cause));
    if (e->rate_min > 0 || e->rate_max < 1)
        length += snprintf(text + length, size - (size_t)length, ", rate %g to %g", e->rate_min, e->rate_max);
    assert(length < (int)size);
}

/* Where the text of a part begins, and where it ends. */
enum { COLUMN = 12, COLUMNS = 100 };

static void write_part(FILE *out, const char *name, const char *text)
{
    if (!text[0])
        return;
    fprintf(out, "  %-*s", COLUMN - 2, name);
    hl_write_wrapped(out, text, COLUMN, COLUMN, COLUMNS);
}

/* Who and why: of a run that hung or was wrong. */
static void write_finding(const struct hl_result *result, FILE *out)
{
    const struct hl_finding *finding = &result->inside.finding;
    char text[256];
    if (finding->cause != HL_CAUSE_NONE) {
        snprintf(text, sizeof text, "%s (%s): %s", hl_cause_name(finding->cause), hl_result_certainty(result),
                 hl_cause_meaning(finding->cause));
        write_part(out, "cause", text);
    }
    hl_phrase_culprit(&finding->culprit, text, sizeof text);
    write_part(out, "culprit", text);
    write_part(out, "what", finding->summary);
    if (finding->cause != HL_CAUSE_NONE)
        write_part(out, "to do", hl_cause_hint(finding->cause));
}

static char *make_text(const struct hl_result *result)
{
    const struct hl_case_result *r = &result->inside;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    fprintf(out, "%s: %s", result->id, verdict_name(r->verdict));
    if (r->runs > 0)
        fprintf(out, " in %d of %d run%s", r->counts[r->verdict], r->runs, r->runs == 1 ? "" : "s");
    fprintf(out, ", expected: %s\n", result->expected);
    if (r->verdict < HL_VERDICT_INCONCLUSIVE)
        write_finding(result, out);
    else
        write_part(out, "why", r->reason);
    if (r->runs > 0 && r->verdict < HL_VERDICT_PASS)
        fprintf(out, "  %-*s%llu (run %d)\n", COLUMN - 2, "seed", (unsigned long long)r->seed, r->run);
    if (r->evidence) /* a path stays in one piece */
        fprintf(out, "  %-*s%s\n", COLUMN - 2, "evidence", r->evidence);
    write_part(out, "evidence", r->evidence_error);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    text[size - 1] = '\0'; /* the last newline */
    return text;
}

enum hl_status hl_result_create(const struct hl_case *c, struct hl_case_result *from,
                                struct hl_result **ret_result, struct hl_error *error)
{
    struct hl_result *result = calloc(1, sizeof *result);
    if (result) {
        result->inside = *from;
        from->evidence = NULL;
        result->id = strdup(c->id);
        write_expected(&c->expected, result->expected, sizeof result->expected);
        result->text = result->id ? make_text(result) : NULL;
    }
    if (!result || !result->text) {
        hl_result_destroy(result);
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    }
    *ret_result = result;
    return HL_STATUS_OK;
}

void hl_result_destroy(struct hl_result *result)
{
    if (!result)
        return;
    hl_case_result_finish(&result->inside);
    free(result->id);
    free(result->text);
    free(result);
}

const char *hl_result_id(const struct hl_result *result) { return result->id; }
bool hl_result_ok(const struct hl_result *result) { return result->inside.ok; }
const char *hl_result_expected(const struct hl_result *result) { return result->expected; }
enum hl_verdict hl_result_verdict(const struct hl_result *result) { return result->inside.verdict; }

const char *hl_result_cause(const struct hl_result *result)
{
    return hl_cause_name(result->inside.finding.cause);
}

const char *hl_result_certainty(const struct hl_result *result)
{
    return hl_words_name(&hl_words_certainties, result->inside.finding.certainty);
}

const struct hl_culprit *hl_result_culprit(const struct hl_result *result)
{
    return &result->inside.finding.culprit;
}

const char *hl_result_summary(const struct hl_result *result)
{
    return result->inside.reason[0] ? result->inside.reason : result->inside.finding.summary;
}

const char *hl_result_text(const struct hl_result *result) { return result->text; }
uint64_t hl_result_seed(const struct hl_result *result) { return result->inside.seed; }
const char *hl_result_evidence(const struct hl_result *result) { return result->inside.evidence; }
int hl_result_runs(const struct hl_result *result) { return result->inside.runs; }

int hl_result_count(const struct hl_result *result, enum hl_verdict verdict)
{
    return (unsigned)verdict < HL_VERDICT_COUNT ? result->inside.counts[verdict] : 0;
}

double hl_result_rate(const struct hl_result *result, double *ret_low, double *ret_high)
{
    if (ret_low)
        *ret_low = result->inside.rate_low;
    if (ret_high)
        *ret_high = result->inside.rate_high;
    return result->inside.rate;
}

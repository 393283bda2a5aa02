/* Counting; see results.h. */
#include "results.h"
#include <stdlib.h>
#include <string.h>

/* What a pair in `seen` is of. */
enum { PAIR_CASE = 1, PAIR_PROCESS, PAIR_SCENARIO_PROCESS, PAIR_HUNG_PROCESS };

static bool is_first(struct hl_results *results, int kind, int number, uint64_t other)
{
    struct hl_hash hash = hl_hash_number(HL_HASH_INIT, (uint64_t)kind);
    hash = hl_hash_number(hl_hash_number(hash, (uint64_t)number), other);
    bool is_new = false;
    if (!hl_hash_map_put(&results->seen, hash, &is_new))
        results->out_of_memory = true;
    return is_new;
}

/* Makes room for one more; the arrays double. */
static void *more(void *array, int count, size_t size)
{
    if (count & (count - 1)) /* not full: capacities are powers of two */
        return array;
    return realloc(array, (count ? 2 * (size_t)count : 1) * size);
}

static int scenario_number(struct hl_results *results, const char *name)
{
    for (int i = results->n_scenarios - 1; i >= 0; i--)
        if (strcmp(results->scenarios[i].name, name) == 0)
            return i;
    void *larger = more(results->scenarios, results->n_scenarios, sizeof *results->scenarios);
    char *copy = strdup(name);
    if (larger)
        results->scenarios = larger;
    if (!larger || !copy) {
        free(copy);
        return -1;
    }
    results->scenarios[results->n_scenarios] = (struct hl_scenario_results){ .name = copy };
    return results->n_scenarios++;
}

int hl_results_case(struct hl_results *results, const struct hl_stored_case *c, bool *ret_new)
{
    int *number = hl_hash_map_put(&results->case_numbers, c->hash, ret_new);
    if (number && !*ret_new)
        return *number;
    const int scenario = number ? scenario_number(results, c->scenario) : -1;
    void *larger = more(results->cases, results->n_cases, sizeof *results->cases);
    char *id = strdup(c->id);
    if (larger)
        results->cases = larger;
    if (scenario < 0 || !larger || !id) {
        free(id);
        return -1;
    }
    results->cases[results->n_cases] = (struct hl_case_results){
        .hash = c->hash, .id = id, .scenario = scenario, .runs = c->runs, .expected = c->expected
    };
    results->scenarios[scenario].cases++;
    return *number = results->n_cases++;
}

int hl_results_signature(struct hl_results *results, const struct hl_stored_signature *signature,
                         bool *ret_new)
{
    const struct hl_hash hash =
        hl_hash_text(hl_hash_text(HL_HASH_INIT, signature->scenario), signature->text);
    int *number = hl_hash_map_put(&results->signature_numbers, hash, ret_new);
    if (number && !*ret_new)
        return *number;
    const int scenario = number ? scenario_number(results, signature->scenario) : -1;
    void *larger = more(results->signatures, results->n_signatures, sizeof *results->signatures);
    char *text = strdup(signature->text);
    if (larger)
        results->signatures = larger;
    if (scenario < 0 || !larger || !text) {
        free(text);
        return -1;
    }
    results->signatures[results->n_signatures] = (struct hl_signature_results){ .text = text,
                                                                                .scenario = scenario,
                                                                                .verdict = signature->verdict,
                                                                                .cause = signature->cause,
                                                                                .first_case = -1 };
    return *number = results->n_signatures++;
}

bool hl_is_expected(const struct hl_expectation *expected, enum hl_verdict verdict, enum hl_cause cause)
{
    return verdict == HL_VERDICT_PASS || verdict == HL_VERDICT_SKIPPED ||
           (verdict == expected->verdict && (expected->cause < 0 || expected->cause == (int)cause));
}

static void count_signature(struct hl_results *results, const struct hl_stored_run *run, bool expected)
{
    struct hl_signature_results *s = &results->signatures[run->signature];
    s->counts[run->repeat]++;
    s->unexpected += !expected;
    s->cases += is_first(results, PAIR_CASE, run->signature, (uint64_t)run->case_number);
    s->processes += is_first(results, PAIR_PROCESS, run->signature, run->process);
    if (s->first_case < 0)
        s->first_case = run->case_number;
    if (!run->evidence)
        return;
    if (results->on_evidence)
        results->on_evidence(results->user, run->signature, run->evidence);
    char **place = s->oldest ? &s->newest : &s->oldest;
    free(*place);
    *place = strdup(run->evidence);
}

void hl_results_run(struct hl_results *results, const struct hl_stored_run *run)
{
    bool is_new = false;
    if (!hl_hash_map_put(&results->runs, run->id, &is_new))
        results->out_of_memory = true;
    if (!is_new)
        return;
    struct hl_case_results *c = &results->cases[run->case_number];
    struct hl_scenario_results *scenario = &results->scenarios[c->scenario];
    const bool hung = run->verdict == HL_VERDICT_HANG;
    const bool expected = hl_is_expected(&c->expected, run->verdict, run->cause);
    c->counts[run->repeat][run->verdict]++;
    c->shown[run->repeat] += expected && run->verdict == c->expected.verdict;
    c->unexpected[run->verdict] += !expected;
    scenario->runs[run->repeat]++;
    scenario->hangs[run->repeat] += hung;
    if (!run->repeat) {
        scenario->processes += is_first(results, PAIR_SCENARIO_PROCESS, c->scenario, run->process);
        if (hung)
            scenario->hung_processes += is_first(results, PAIR_HUNG_PROCESS, c->scenario, run->process);
    }
    if (run->signature >= 0)
        count_signature(results, run, expected);
}

bool hl_results_have(const struct hl_results *results, struct hl_hash run_id)
{
    return hl_hash_map_find(&results->runs, run_id) != NULL;
}

void hl_results_finish(struct hl_results *results)
{
    for (int i = 0; i < results->n_cases; i++)
        free(results->cases[i].id);
    for (int i = 0; i < results->n_signatures; i++) {
        free(results->signatures[i].text);
        free(results->signatures[i].oldest);
        free(results->signatures[i].newest);
    }
    for (int i = 0; i < results->n_scenarios; i++)
        free(results->scenarios[i].name);
    free(results->cases);
    free(results->signatures);
    free(results->scenarios);
    hl_hash_map_finish(&results->case_numbers);
    hl_hash_map_finish(&results->signature_numbers);
    hl_hash_map_finish(&results->runs);
    hl_hash_map_finish(&results->seen);
    *results = (struct hl_results){ 0 };
}

struct hl_stored_case hl_results_stored_case(const struct hl_results *results, int number)
{
    const struct hl_case_results *c = &results->cases[number];
    return (struct hl_stored_case){ c->hash, results->scenarios[c->scenario].name, c->id, c->runs,
                                    c->expected };
}

struct hl_stored_signature hl_results_stored_signature(const struct hl_results *results, int number)
{
    const struct hl_signature_results *s = &results->signatures[number];
    return (struct hl_stored_signature){ results->scenarios[s->scenario].name, s->text, s->verdict,
                                         s->cause };
}

/*
 * Reading a store
 */

static bool read_case(void *user, int number, const struct hl_stored_case *c)
{
    struct hl_results *results = user;
    bool is_new;
    return hl_results_case(results, c, &is_new) == number;
}

static bool read_signature(void *user, int number, const struct hl_stored_signature *signature)
{
    struct hl_results *results = user;
    bool is_new;
    return hl_results_signature(results, signature, &is_new) == number;
}

static bool read_run(void *user, const struct hl_stored_run *run)
{
    struct hl_results *results = user;
    if (run->case_number < 0 || run->case_number >= results->n_cases ||
        run->signature >= results->n_signatures)
        return false;
    hl_results_run(results, run);
    return !results->out_of_memory;
}

enum hl_status hl_results_read(struct hl_results *results, struct hl_store *store, struct hl_error *error)
{
    const struct hl_store_reader reader = { results, read_case, read_signature, read_run };
    bool complete;
    if (!hl_hash_map_reserve(&results->runs, hl_store_count_runs(store)))
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for the results");
    const enum hl_status status = hl_store_read(store, &reader, &complete, error);
    if (status == HL_STATUS_OK && !complete)
        return hl_fail(error, HL_STATUS_IO,
                       results->out_of_memory ? "out of memory for the results"
                                              : "results.sqlite is damaged: its numbers do not fit together");
    return status;
}

/*
 * Judging
 */

enum hl_standing hl_case_standing(const struct hl_case_results *c)
{
    for (int v = 0; v < HL_VERDICT_COUNT; v++)
        if (c->unexpected[v])
            return HL_STANDING_UNEXPECTED;
    if (c->expected.verdict == HL_VERDICT_PASS)
        return HL_STANDING_OK;
    int runs = 0;
    for (int v = 0; v < HL_VERDICT_COUNT; v++)
        runs += v == HL_VERDICT_SKIPPED ? 0 : c->counts[HL_REGULAR][v];
    if (runs == 0 && c->counts[HL_REGULAR][HL_VERDICT_SKIPPED])
        return HL_STANDING_OK; /* it was not run here, as its report says */
    const int shown = c->shown[HL_REGULAR];
    const struct hl_interval rate = hl_clopper_pearson(shown, runs, HL_STANDING_CONFIDENCE);
    if (rate.low > c->expected.rate_max)
        return HL_STANDING_UNEXPECTED;
    if (rate.high < c->expected.rate_min)
        return HL_STANDING_MISSED;
    if (shown > 0)
        return HL_STANDING_OK;
    /* Without a rate, the scenario's own number of runs is what should have shown it. */
    return c->expected.rate_min > 0 || runs < c->runs ? HL_STANDING_OPEN : HL_STANDING_MISSED;
}

int hl_results_exit_code(const struct hl_results *results)
{
    bool hang = false, wrong = false, open = false;
    for (int i = 0; i < results->n_cases; i++) {
        const struct hl_case_results *c = &results->cases[i];
        const enum hl_standing standing = hl_case_standing(c);
        const bool too_often = standing == HL_STANDING_UNEXPECTED && c->expected.verdict == HL_VERDICT_HANG &&
                               c->shown[HL_REGULAR] > 0;
        hang |= c->unexpected[HL_VERDICT_HANG] > 0 || too_often;
        wrong |= standing == HL_STANDING_MISSED || c->unexpected[HL_VERDICT_CORRUPT] ||
                 c->unexpected[HL_VERDICT_CRASH] || c->unexpected[HL_VERDICT_SLOW];
        open |= standing == HL_STANDING_OPEN || c->unexpected[HL_VERDICT_INCONCLUSIVE];
    }
    return hang ? 1 : wrong ? 2 : open ? 3 : 0;
}

/* The rounds of minimize; see minimize.h. */
#include "minimize.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "../../campaign/statistics.h"
#include "../../program/resolve.h"
#include "cdd.h"
#include "minimizer.h"

enum {
    HITS_WANTED = 20,      /* of a rate that is to be known within a fourth */
    FRESH_RUNS = 10000000, /* runs from here on decide nothing */
    CONFIRM_RUNS_MAX = 400,
    BLOCK = 20
};

/* One more line of what went. */
static int note_removed(struct hl_minimizer *m, const char *from, const char *to)
{
    struct hl_minimize_result *r = m->result;
    void *grown = realloc(r->removed, (size_t)(r->n_removed + 1) * sizeof *r->removed);
    if (!grown) {
        m->status = hl_fail(m->error, HL_STATUS_MEMORY, "out of memory");
        return -1;
    }
    r->removed = grown;
    snprintf(r->removed[r->n_removed++], sizeof *r->removed, "%s%s%s", from, to ? " -> " : "", to ? to : "");
    return 0;
}

/* The lower end of what the rate may be: candidates that hang as often must not fail by its chance. */
static double surely(int hits, int runs) { return runs ? hl_clopper_pearson(hits, runs, 0.68).low : 0; }

/*
 * The original
 */

/* A hang outranks a wrong result, and that a crash; among equals the more frequent one counts. */
static void pick_target(struct hl_minimizer *m, const struct hl_likeness *seen, int n)
{
    int best_count = 0;
    for (int i = 0; i < n; i++) {
        const struct hl_likeness *s = &seen[i];
        if (s->verdict >= HL_VERDICT_SLOW || (m->options->cause >= 0 && (int)s->cause != m->options->cause))
            continue;
        int count = 0;
        for (int k = 0; k < n; k++)
            count += hl_likeness_is_same(s, &seen[k]);
        if (best_count == 0 || s->verdict < m->target.verdict ||
            (s->verdict == m->target.verdict && count > best_count)) {
            m->target = *s;
            best_count = count;
        }
    }
    m->result->before_hits = best_count;
}

/* Runs the original until its hang has shown twenty times. 0: it never did. */
static int meet_original(struct hl_minimizer *m)
{
    const int runs_max = m->options->runs_max > 0 ? m->options->runs_max : 1000;
    struct hl_likeness *seen = calloc((size_t)runs_max, sizeof *seen);
    int n = 0, hits = 0;
    if (!seen)
        m->status = hl_fail(m->error, HL_STATUS_MEMORY, "out of memory");
    while (seen && hits < HITS_WANTED && n < runs_max && !hl_minimizer_time_is_up(m)) {
        const int block = runs_max - n < HITS_WANTED ? runs_max - n : HITS_WANTED;
        bool refused;
        if (hl_minimizer_run(m, &m->current, n, block, &seen[n], &refused) < 0)
            break;
        if (refused) {
            m->status = hl_fail(m->error, HL_STATUS_USAGE, "case %s cannot run", m->options->c->id);
            break;
        }
        n += block;
        pick_target(m, seen, n);
        hits = m->result->before_hits;
    }
    free(seen);
    m->result->before_runs = n;
    m->rate = surely(hits, n);
    return m->status == HL_STATUS_OK ? hits : -1;
}

/*
 * Preparation
 */

/* Presets and `auto` become what they resolve to, so that every number is there to be turned down. */
static int spell_out(struct hl_minimizer *m)
{
    struct hl_config c;
    if (hl_resolve(&m->current, &c, NULL, NULL) != HL_STATUS_OK)
        return 0;
    if (c.schedule.mode == HL_MODE_PIECEWISE || c.schedule.mode == HL_MODE_BREAKABLE)
        c.schedule.pieces = hl_resolved_pieces(&c);
    c.schedule.preset = HL_PRESET_NONE;
    const int answer = hl_minimizer_ask(m, &c, "with presets and auto spelt out");
    if (answer > 0)
        m->current = c;
    return answer;
}

/* A hang that shows in every run makes every later question cheap, and is worth more to whoever debugs it. */
static int make_sure(struct hl_minimizer *m)
{
    struct hl_config c;
    struct hl_likeness likenesses[BLOCK];
    bool refused;
    if (!hl_config_make_sure(&m->current, &c))
        return 0;
    const int answer = hl_minimizer_ask(m, &c, "with probabilities set to 1");
    if (answer <= 0)
        return answer;
    const int hits = hl_minimizer_run(m, &c, 0, BLOCK, likenesses, &refused);
    if (hits < 0)
        return -1;
    const double rate = surely(hits, BLOCK);
    if (rate < m->rate)
        return 0;
    m->rate = rate;
    m->current = c;
    return note_removed(m, "chance: probabilities of faults and residue", "1") < 0 ? -1 : 1;
}

/*
 * Rounds
 */

struct group_test {
    struct hl_minimizer *m;
    enum hl_group group;
    int n;
};

static int test_group(void *user, const bool *remove)
{
    const struct group_test *t = user;
    struct hl_config c;
    char what[HL_CHANGE_TEXT_MAX] = "", one[HL_CHANGE_TEXT_MAX];
    int removed = 0;
    for (int i = 0; i < t->n; i++)
        if (remove[i] && removed++ == 0) {
            hl_group_describe(&t->m->current, t->group, i, one);
            snprintf(what, sizeof what, "without %.*s", (int)sizeof what - 48, one);
        }
    if (removed > 1)
        snprintf(what + strlen(what), 32, " and %d more", removed - 1);
    if (!hl_group_without(&t->m->current, t->group, remove, &c))
        return 0;
    return hl_minimizer_ask(t->m, &c, what);
}

/* The number of members that went; below 0: stop. */
static int reduce_group(struct hl_minimizer *m, enum hl_group group)
{
    bool remove[HL_MEMBERS_MAX] = { false };
    struct group_test test = { m, group, hl_group_count(&m->current, group) };
    struct hl_config c;
    const int end = hl_cdd_reduce(test.n, remove, test_group, &test);
    int gone = 0;
    for (int i = 0; i < test.n; i++) {
        char text[HL_CHANGE_TEXT_MAX], instead[HL_CHANGE_TEXT_MAX];
        if (!remove[i])
            continue;
        hl_group_describe(&m->current, group, i, text);
        hl_group_substitute(&m->current, group, i, instead);
        if (note_removed(m, text, group == HL_GROUP_SETTINGS ? instead : NULL) < 0)
            return -1;
        gone++;
    }
    if (gone > 0 && hl_group_without(&m->current, group, remove, &c))
        m->current = c;
    return end < 0 ? end : gone;
}

static int try_dial(struct hl_minimizer *m, const struct hl_dial *dial, int position)
{
    struct hl_config c;
    char what[HL_CHANGE_TEXT_MAX + 8] = "with ";
    hl_dial_turn(&m->current, dial, position, &c);
    hl_dial_describe(dial, hl_dial_value(dial, position), what + strlen(what));
    return hl_minimizer_ask(m, &c, what);
}

/* The smallest value that keeps the hang, if smaller values never bring it back: the value below it loses it
 * in any case. */
static int turn_dial(struct hl_minimizer *m, const struct hl_dial *dial)
{
    int low = -1, high = dial->n_smaller, answer = 0; /* low loses the hang, high keeps it */
    for (int at = 0; high - low > 1; at = low + (high - low) / 2) {
        answer = try_dial(m, dial, at);
        if (answer < 0)
            break;
        *(answer ? &high : &low) = at;
    }
    if (high == dial->n_smaller)
        return answer < 0 ? -1 : 0;
    struct hl_config c;
    char from[HL_CHANGE_TEXT_MAX], to[32];
    hl_dial_turn(&m->current, dial, high, &c);
    hl_dial_describe(dial, dial->value, from);
    snprintf(to, sizeof to, "%ld", hl_dial_value(dial, high));
    m->current = c;
    return note_removed(m, from, to) < 0 || answer < 0 ? -1 : 1;
}

static int turn_dials(struct hl_minimizer *m)
{
    struct hl_dial dials[HL_DIALS_MAX];
    const int n = hl_dials_list(&m->current, dials);
    int turned = 0;
    for (int i = 0; i < n; i++) {
        const int answer = turn_dial(m, &dials[i]);
        if (answer < 0)
            return answer;
        turned += answer;
    }
    return turned;
}

/* Round after round, until one finds nothing more to take away. Below 0: stopped before. */
static int reduce(struct hl_minimizer *m)
{
    for (int gone = 1; gone > 0;) {
        gone = 0;
        for (int step = 0; step <= HL_GROUP_COUNT; step++) {
            const int n = step < HL_GROUP_COUNT ? reduce_group(m, (enum hl_group)step) : turn_dials(m);
            if (n < 0)
                return n;
            gone += n;
        }
    }
    return 0;
}

/*
 * The result
 */

static void note_need(struct hl_minimizer *m, const char *what, const char *instead,
                      const struct hl_config *without)
{
    struct hl_minimize_result *r = m->result;
    const struct hl_reply *answer = hl_minimizer_recall(m, without);
    if (!answer || answer->yes)
        return; /* not asked, because the time was up */
    struct hl_minimize_need *grown = realloc(r->needs, (size_t)(r->n_needs + 1) * sizeof *grown);
    if (!grown) {
        m->status = hl_fail(m->error, HL_STATUS_MEMORY, "out of memory");
        return;
    }
    r->needs = grown;
    struct hl_minimize_need *need = &r->needs[r->n_needs++];
    *need =
        (struct hl_minimize_need){ .hits = answer->hits, .runs = answer->runs, .refused = answer->refused };
    snprintf(need->what, sizeof need->what, "%s", what);
    snprintf(need->instead, sizeof need->instead, "%s", instead);
}

/* What the last round asked in vain is what is necessary. */
static void note_needs(struct hl_minimizer *m)
{
    struct hl_config c;
    char what[HL_CHANGE_TEXT_MAX], instead[HL_CHANGE_TEXT_MAX];
    for (int group = 0; group < HL_GROUP_COUNT; group++) {
        const int n = hl_group_count(&m->current, (enum hl_group)group);
        for (int i = 0; i < n; i++) {
            bool remove[HL_MEMBERS_MAX] = { false };
            remove[i] = true;
            if (!hl_group_without(&m->current, (enum hl_group)group, remove, &c))
                continue;
            hl_group_describe(&m->current, (enum hl_group)group, i, what);
            hl_group_substitute(&m->current, (enum hl_group)group, i, instead);
            note_need(m, what, instead, &c);
        }
    }
    struct hl_dial dials[HL_DIALS_MAX];
    const int n = hl_dials_list(&m->current, dials);
    for (int i = 0; i < n; i++) {
        hl_dial_turn(&m->current, &dials[i], dials[i].n_smaller - 1, &c);
        hl_dial_describe(&dials[i], dials[i].value, what);
        snprintf(instead, sizeof instead, "%ld", hl_dial_value(&dials[i], dials[i].n_smaller - 1));
        note_need(m, what, instead, &c);
    }
}

/* How often the result hangs, in runs that no question has seen. */
static void confirm(struct hl_minimizer *m)
{
    struct hl_minimize_result *r = m->result;
    struct hl_likeness likenesses[BLOCK];
    bool refused;
    while (r->after_hits < HITS_WANTED && r->after_runs < CONFIRM_RUNS_MAX) {
        const int hits =
            hl_minimizer_run(m, &m->current, FRESH_RUNS + r->after_runs, BLOCK, likenesses, &refused);
        if (hits < 0)
            return;
        r->after_hits += hits;
        r->after_runs += BLOCK;
    }
}

static void minimize(struct hl_minimizer *m)
{
    struct hl_minimize_result *r = m->result;
    const int hits = meet_original(m);
    if (hits <= 0) {
        r->end = HL_MINIMIZE_NO_HANG;
        return;
    }
    r->end = HL_MINIMIZE_CUT_SHORT;
    if (spell_out(m) >= 0 && make_sure(m) >= 0 && reduce(m) >= 0)
        r->end = HL_MINIMIZE_MINIMAL;
    if (m->status != HL_STATUS_OK)
        return;
    note_needs(m);
    confirm(m);
}

enum hl_status hl_minimize(const struct hl_minimize_options *options, struct hl_minimize_result *ret_result,
                           struct hl_error *error)
{
    struct hl_minimize_result result = { .end = HL_MINIMIZE_NO_HANG };
    struct hl_minimizer m = { .options = options,
                              .current = options->c->config,
                              .result = &result,
                              .status = HL_STATUS_OK,
                              .error = error };
    m.begun_s = hl_minimizer_wall_s(&m); /* of a clock that began at 0: now */
    minimize(&m);
    result.likeness = m.target;
    result.config = m.current;
    result.wall_s = hl_minimizer_wall_s(&m);
    hl_minimizer_finish(&m);
    if (m.status != HL_STATUS_OK) {
        hl_minimize_result_finish(&result);
        return m.status;
    }
    *ret_result = result;
    return HL_STATUS_OK;
}

void hl_minimize_result_finish(struct hl_minimize_result *result)
{
    free(result->removed);
    free(result->needs);
    result->removed = NULL;
    result->needs = NULL;
}

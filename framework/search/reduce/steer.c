/* Tries candidates, and keeps the one that hangs most often; see steer.h. */
#include "steer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../campaign/statistics.h"
#include "scenario_file.h"

enum { RUNS = 20, ENOUGH = 16, FRESH_RUNS = 40, FRESH_FIRST = 30000000 };

struct candidate {
    int rank, call; /* whose host is late, before which call; -1: each */
    uint64_t delay_ns;
    bool is_short;  /* no more calls than the search needed, where the case can be so short */
    bool is_memset; /* it is late with the memset of the case's fault instead */
};

static bool delay_memset(struct hl_config *c, uint64_t delay_ns)
{
    for (int i = 0; i < c->n_faults; i++)
        if (c->faults[i].kind == HL_FAULT_LATE_MEMSET) {
            c->faults[i].delay_ns = delay_ns;
            return true;
        }
    return false;
}

/* The configuration with a candidate's delay; false: there is no room for it. */
static bool apply(const struct hl_steer_options *o, const struct hl_config *base, const struct candidate *k,
                  struct hl_config *to)
{
    *to = *base;
    if (k->is_short) {
        const int last = !o->decides ? 2 : o->call[0] > o->call[1] ? o->call[0] : o->call[1];
        to->schedule.layers = 1;
        to->schedule.replays = last + 2 < base->schedule.replays ? last + 2 : base->schedule.replays;
    }
    if (k->delay_ns == 0)
        return true;
    if (k->is_memset)
        return delay_memset(to, k->delay_ns);
    if (to->n_faults == HL_FAULTS_MAX)
        return false;
    to->faults[to->n_faults++] = (struct hl_fault){ .kind = HL_FAULT_HOST_DELAY,
                                                    .rank = k->rank,
                                                    .call = k->call,
                                                    .calls = 1,
                                                    .probability = 1,
                                                    .delay_ns = k->delay_ns };
    return true;
}

static void describe(const struct candidate *k, char *text, size_t size)
{
    char late[96] = "nothing: it hangs by itself";
    if (k->is_memset)
        snprintf(late, sizeof late, "the memset comes %g us after the barrier", (double)k->delay_ns / 1e3);
    else if (k->delay_ns && k->call < 0)
        snprintf(late, sizeof late, "rank %d's host is %g us late before each call", k->rank,
                 (double)k->delay_ns / 1e3);
    else if (k->delay_ns)
        snprintf(late, sizeof late, "rank %d's host is %g us late before its call %d", k->rank,
                 (double)k->delay_ns / 1e3, k->call);
    snprintf(text, size, "%s%s", late, k->is_short ? "; one layer, and few passes" : "");
}

/* Runs a configuration as the scenario file that it would be. */
static enum hl_status count(const struct hl_steer_options *o, const struct hl_config *config, int first,
                            int n, int *ret_hits, struct hl_likeness *ret_likeness, struct hl_error *error)
{
    struct hl_scenario *scenario = NULL;
    struct hl_likeness likenesses[FRESH_RUNS];
    const struct hl_case c = { .id = (char *)config->name,
                               .config = *config,
                               .expected = { .verdict = HL_VERDICT_HANG, .cause = -1, .rate_max = 1 } };
    char *text = NULL;
    size_t size;
    *ret_hits = 0;
    FILE *out = open_memstream(&text, &size);
    enum hl_status status = out ? hl_case_write_yaml(o->scenario, &c, out) : HL_STATUS_MEMORY;
    if (out && fclose(out) != 0)
        status = HL_STATUS_MEMORY;
    if (status)
        hl_fail(error, status, "out of memory");
    else
        status = hl_scenario_parse("a candidate", text, size, &scenario, error);
    free(text);
    if (!status)
        status = o->trial(o->trial_user, scenario, &scenario->cases[0], first, n, likenesses, error);
    for (int i = 0; !status && i < n; i++)
        if (likenesses[i].verdict == HL_VERDICT_HANG && !(*ret_hits)++)
            *ret_likeness = likenesses[i];
    hl_scenario_destroy(scenario);
    return status;
}

/* The ranks and calls to be late, most promising first: the one whose step came too late, the other, or each.
 */
static int list(const struct hl_steer_options *o, int ranks, bool is_short, struct candidate *to)
{
    static const uint64_t delays_ns[] = { 200000, 20000, 2000000 };
    int n = 0;
    to[n++] = (struct candidate){ .is_short = is_short };
    for (int d = 0; d < 3; d++)
        to[n++] = (struct candidate){ .is_memset = true, .delay_ns = delays_ns[d], .is_short = is_short };
    for (int each = 0; o->decides && each < 2; each++)
        for (int i = 1; i >= 0; i--)
            for (int d = 0; d < 3; d++)
                to[n++] =
                    (struct candidate){ o->rank[i] % ranks, each ? -1 : o->call[i], delays_ns[d], is_short };
    for (int rank = 0; rank < ranks; rank++) /* others may be easier to hit than the two that were found */
        for (int call = -1; call <= 2; call += call < 0 ? 2 : 1)
            to[n++] = (struct candidate){ rank, call, delays_ns[0], is_short };
    return n;
}

/* The best of the candidates, and of those before. */
static enum hl_status try_all(const struct hl_steer_options *o, const struct hl_config *base, bool is_short,
                              int *best_hits, struct hl_steered *best, struct hl_error *error)
{
    struct candidate candidates[1 + 3 + 12 + 3 * HL_RANKS_MAX];
    const int n = list(o, base->world.ranks, is_short, candidates);
    for (int i = 0; i < n && *best_hits < RUNS; i++) {
        struct hl_config config;
        struct hl_likeness likeness = { .verdict = HL_VERDICT_PASS };
        int hits = 0;
        if (!apply(o, base, &candidates[i], &config))
            continue;
        const enum hl_status status = count(o, &config, 0, RUNS, &hits, &likeness, error);
        if (status && (status != HL_STATUS_USAGE || (i == 0 && !is_short)))
            return status; /* else: it has no such call */
        best->tried++;
        if (i == 0 && !status)
            best->before_hits = hits;
        if (status || hits <= *best_hits)
            continue;
        *best_hits = hits;
        best->config = config;
        best->likeness = likeness;
        describe(&candidates[i], best->what, sizeof best->what);
    }
    return HL_STATUS_OK;
}

enum hl_status hl_steer(const struct hl_steer_options *o, struct hl_steered *ret_steered,
                        struct hl_error *error)
{
    struct hl_steered best = { .before_runs = RUNS,
                               .runs = FRESH_RUNS,
                               .likeness = { .verdict = HL_VERDICT_PASS } };
    struct hl_config base = o->c->config;
    const bool takes_ranks = o->ranks == 2 || o->ranks == 4 || o->ranks == 8 || o->ranks == 16;
    base.world.ranks = takes_ranks ? o->ranks : base.world.ranks;
    int hits = -1;
    enum hl_status status = try_all(o, &base, true, &hits, &best, error);
    if (!status && hits < ENOUGH)
        status = try_all(o, &base, false, &hits, &best, error);
    if (!status)
        status = count(o, &best.config, FRESH_FIRST, FRESH_RUNS, &best.hits, &best.likeness, error);
    if (!status)
        *ret_steered = best;
    return status;
}

struct file {
    const struct hl_steer_options *options;
    const struct hl_steered *steered;
};

static enum hl_status write_file(void *user, FILE *out)
{
    const struct file *file = user;
    const struct hl_steer_options *o = file->options;
    const struct hl_steered *s = file->steered;
    const struct hl_interval rate = hl_clopper_pearson(s->hits, s->runs, 0.95);
    struct hl_scenario scenario = *o->scenario;
    struct hl_case c = { .id = (char *)o->c->id,
                         .config = s->config,
                         .expected = { HL_VERDICT_HANG, (int)s->likeness.cause, 0, 1 } };
    char title[512];
    snprintf(title, sizeof title, "steered: %s",
             o->scenario->title && o->scenario->title[0] ? o->scenario->title : o->c->id);
    snprintf(c.config.name, sizeof c.config.name, "%.*s-steered", HL_NAME_MAX - 9, o->c->config.name);
    scenario.title = title;
    c.config.runs = hl_runs_to_show(s->hits, s->runs);
    fprintf(out, "# A hang that `hanglab explore` found of %s.\n", o->c->id);
    for (int i = 0; o->decides && i < 2; i++)
        fprintf(out, "#   rank %d, call %d: %s\n", o->rank[i], o->call[i], o->step_text[i]);
    fprintf(out, "%s# What steers it: %s.\n",
            o->decides ? "# In this order it hangs; the other way round it passes.\n#\n" : "", s->what);
    fprintf(out,
            "# It hangs in %d of %d runs on the engine %s (95 %%: %.2g to %.2g); without a late host, in %d "
            "of %d.\n#\n",
            s->hits, s->runs, o->engine, rate.low, rate.high, s->before_hits, s->before_runs);
    return hl_case_write_yaml(&scenario, &c, out);
}

enum hl_status hl_steer_write(const struct hl_steer_options *options, const struct hl_steered *steered,
                              const char *path, struct hl_error *error)
{
    struct file file = { options, steered };
    return hl_scenario_file_write(path, write_file, &file, error);
}

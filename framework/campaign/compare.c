/* The search for changes; see compare.h. */
#include "compare.h"
#include <stdlib.h>
#include <string.h>

const char *hl_change_name(enum hl_change_kind kind)
{
    static const char *const names[] = {
#define NAME(id, name, doc) name,
        HL_CHANGES(NAME)
#undef NAME
    };
    return names[kind];
}

/* One signature of one scenario over all nights. */
struct series {
    const char *scenario, *text;
    struct hl_sample *samples;                      /* by night */
    const struct hl_signature_results **signatures; /* by night; NULL where it did not show */
};

struct all_series {
    struct series *list;
    int count;
    struct hl_hash_map numbers;
};

static const struct hl_scenario_results *find_scenario(const struct hl_results *results, const char *name)
{
    for (int i = 0; i < results->n_scenarios; i++)
        if (strcmp(results->scenarios[i].name, name) == 0)
            return &results->scenarios[i];
    return NULL;
}

static struct series *get_series(struct all_series *all, const char *scenario, const char *text, int n_nights)
{
    bool is_new;
    int *number =
        hl_hash_map_put(&all->numbers, hl_hash_text(hl_hash_text(HL_HASH_INIT, scenario), text), &is_new);
    if (!number)
        return NULL;
    if (!is_new)
        return &all->list[*number];
    struct series *larger = realloc(all->list, ((size_t)all->count + 1) * sizeof *larger);
    if (!larger)
        return NULL;
    all->list = larger;
    struct series *series = &larger[all->count];
    *series = (struct series){ .scenario = scenario,
                               .text = text,
                               .samples = calloc((size_t)n_nights, sizeof *series->samples),
                               .signatures = calloc((size_t)n_nights, sizeof(void *)) };
    *number = all->count++;
    return series->samples && series->signatures ? series : NULL;
}

static bool collect(struct all_series *all, const struct hl_night *nights, int n_nights)
{
    for (int night = 0; night < n_nights; night++) {
        const struct hl_results *results = &nights[night].results;
        for (int i = 0; i < results->n_signatures; i++) {
            const struct hl_signature_results *s = &results->signatures[i];
            struct series *series = get_series(all, results->scenarios[s->scenario].name, s->text, n_nights);
            if (!series)
                return false;
            series->signatures[night] = s;
            series->samples[night].hits = s->counts[HL_REGULAR];
        }
    }
    for (int i = 0; i < all->count; i++)
        for (int night = 0; night < n_nights; night++) {
            const struct hl_scenario_results *scenario =
                find_scenario(&nights[night].results, all->list[i].scenario);
            all->list[i].samples[night].runs = scenario ? scenario->runs[HL_REGULAR] : 0;
        }
    return true;
}

static struct hl_sample sum(const struct hl_sample *samples, int first, int end)
{
    struct hl_sample all = { 0, 0 };
    for (int i = first; i < end; i++) {
        all.hits += samples[i].hits;
        all.runs += samples[i].runs;
    }
    return all;
}

/* The best split of nights [first, end); its p, or 1. */
static double best_split(const struct hl_sample *samples, int first, int end, int *ret_split)
{
    double least = 1;
    for (int split = first + 1; split < end; split++) {
        const struct hl_sample before = sum(samples, first, split), after = sum(samples, split, end);
        if (before.runs == 0 || after.runs == 0)
            continue;
        const double p = hl_fisher_exact(before.hits, before.runs, after.hits, after.runs);
        if (p >= least)
            continue;
        least = p;
        *ret_split = split;
    }
    return least;
}

static enum hl_change_kind kind_of(struct hl_sample before, struct hl_sample after)
{
    if (before.hits == 0)
        return HL_CHANGE_NEW;
    if (after.hits == 0)
        return HL_CHANGE_GONE;
    return (double)after.hits * before.runs > (double)before.hits * after.runs ? HL_CHANGE_MORE
                                                                               : HL_CHANGE_LESS;
}

/* The newest night in [first, end) that shows the signature. */
static int find_witness(const struct series *series, int first, int end)
{
    for (int night = end - 1; night >= first; night--)
        if (series->signatures[night])
            return night;
    return -1;
}

static bool add_change(struct hl_comparison *comparison, const struct series *series, int start, int split,
                       int end, double p)
{
    struct hl_change change = { .scenario = series->scenario,
                                .first = split,
                                .last = end - 1,
                                .before = sum(series->samples, start, split),
                                .after = sum(series->samples, split, end),
                                .p = p,
                                .significant = p <= comparison->level };
    change.kind = kind_of(change.before, change.after);
    change.witness = find_witness(series, split, end);
    if (change.witness < 0)
        change.witness = find_witness(series, start, split);
    if (change.witness < 0)
        return true; /* seen in repeats of other nights only */
    change.signature = series->signatures[change.witness];
    change.unexpected = change.signature->unexpected > 0;
    struct hl_change *larger =
        realloc(comparison->changes, ((size_t)comparison->n_changes + 1) * sizeof *larger);
    if (!larger)
        return false;
    comparison->changes = larger;
    comparison->changes[comparison->n_changes++] = change;
    return true;
}

/* Changes are looked for as the nights came, so that the first one is found with the nights until then. */
static bool search(struct hl_comparison *comparison, const struct series *series, int n_nights)
{
    int start = 0, changed_at = -1, before = 0;
    double changed_p = 1;
    for (int end = 2; end <= n_nights; end++) {
        int split = start;
        const double p = best_split(series->samples, start, end, &split);
        if (p > comparison->level)
            continue;
        if (changed_at >= 0 && !add_change(comparison, series, before, changed_at, split, changed_p))
            return false;
        before = start;
        changed_at = split;
        changed_p = p;
        start = split;
    }
    if (changed_at >= 0)
        return add_change(comparison, series, before, changed_at, n_nights, changed_p);
    const struct hl_sample old = sum(series->samples, 0, n_nights - 1), last = series->samples[n_nights - 1];
    if (old.hits > 0 || last.hits == 0 || old.runs == 0)
        return true;
    return add_change(comparison, series, 0, n_nights - 1, n_nights,
                      hl_fisher_exact(old.hits, old.runs, last.hits, last.runs));
}

static int by_night(const void *a, const void *b)
{
    const struct hl_change *x = a, *y = b;
    return x->first != y->first ? (x->first > y->first) - (x->first < y->first)
                                : strcmp(x->scenario, y->scenario);
}

enum hl_status hl_compare_nights(const struct hl_night *nights, int n_nights, double false_positives,
                                 struct hl_comparison *ret_comparison, struct hl_error *error)
{
    struct hl_comparison comparison = { 0 };
    struct all_series all = { 0 };
    bool good = collect(&all, nights, n_nights);
    comparison.n_signatures = all.count;
    comparison.n_tests = all.count * (n_nights * (n_nights - 1) / 2);
    comparison.level = comparison.n_tests ? false_positives / comparison.n_tests : false_positives;
    for (int i = 0; good && i < all.count; i++)
        good = search(&comparison, &all.list[i], n_nights);
    for (int i = 0; i < all.count; i++) {
        free(all.list[i].samples);
        free(all.list[i].signatures);
    }
    free(all.list);
    hl_hash_map_finish(&all.numbers);
    if (!good) {
        hl_comparison_finish(&comparison);
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for the comparison");
    }
    if (comparison.n_changes > 0)
        qsort(comparison.changes, (size_t)comparison.n_changes, sizeof *comparison.changes, by_night);
    *ret_comparison = comparison;
    return HL_STATUS_OK;
}

void hl_comparison_finish(struct hl_comparison *comparison)
{
    free(comparison->changes);
    *comparison = (struct hl_comparison){ 0 };
}

int hl_comparison_exit_code(const struct hl_comparison *comparison)
{
    int code = 0;
    for (int i = 0; i < comparison->n_changes; i++) {
        const struct hl_change *change = &comparison->changes[i];
        if (!change->significant || (change->kind != HL_CHANGE_NEW && change->kind != HL_CHANGE_MORE))
            continue;
        if (change->signature->verdict == HL_VERDICT_HANG)
            return 1;
        code = 2;
    }
    return code;
}

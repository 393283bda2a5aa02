/* Covering arrays and swarms: every combination that the excludes allow is there, nothing that they forbid,
 * and always the same rows. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../framework/campaign/select.h"
#include "../framework/program/random.h"

#define AXES_MAX 8
#define RULES_MAX 4

/* Excluded: every case with these choices (-1: any). */
struct rules {
    int count;
    int choices[RULES_MAX][AXES_MAX];
};

struct example {
    struct hl_matrix matrix;
    int n_choices[AXES_MAX];
    struct rules rules;
};

static bool excludes(const struct hl_matrix *matrix, const int *choices)
{
    const struct rules *rules = matrix->rules;
    for (int r = 0; r < rules->count; r++) {
        bool holds = true;
        for (int a = 0; a < matrix->n_axes; a++)
            holds = holds && (rules->choices[r][a] < 0 || rules->choices[r][a] == choices[a]);
        if (holds)
            return true;
    }
    return false;
}

static void example_init(struct example *e, uint64_t *random)
{
    const int n_axes = 2 + (int)hl_random_below(random, 5);
    *e = (struct example){ .rules.count = (int)hl_random_below(random, RULES_MAX + 1) };
    e->matrix = (struct hl_matrix){ n_axes, e->n_choices, &e->rules, excludes };
    for (int a = 0; a < n_axes; a++)
        e->n_choices[a] = 1 + (int)hl_random_below(random, 4);
    for (int r = 0; r < e->rules.count; r++) {
        for (int a = 0; a < AXES_MAX; a++)
            e->rules.choices[r][a] = -1;
        for (int k = 0; k < 2; k++) {
            const int a = (int)hl_random_below(random, (uint32_t)n_axes);
            e->rules.choices[r][a] = (int)hl_random_below(random, (uint32_t)e->n_choices[a]);
        }
    }
}

static bool next_case(const struct example *e, int *choices)
{
    for (int a = e->matrix.n_axes - 1; a >= 0; a--) {
        if (++choices[a] < e->n_choices[a])
            return true;
        choices[a] = 0;
    }
    return false;
}

/* Do the two agree on the axes in the set? */
static bool agree(const int *a, const int *b, unsigned axes)
{
    for (int i = 0; axes >> i; i++)
        if (axes >> i & 1 && a[i] != b[i])
            return false;
    return true;
}

/* Every combination of `strength` values of any allowed case must be in a row. */
static void assert_covers(const struct example *e, int strength, const int *rows, size_t count)
{
    const int n_axes = e->matrix.n_axes;
    int choices[AXES_MAX] = { 0 };
    do {
        if (excludes(&e->matrix, choices))
            continue;
        for (unsigned axes = 0; axes < 1u << n_axes; axes++) {
            if (__builtin_popcount(axes) != (strength < n_axes ? strength : n_axes))
                continue;
            bool found = false;
            for (size_t r = 0; r < count && !found; r++)
                found = agree(choices, rows + r * (size_t)n_axes, axes);
            cr_assert(found, "strength %d: the values of axes %#x are in no row", strength, axes);
        }
    } while (next_case(e, choices));
}

Test(covering, every_allowed_combination_is_in_a_row_and_no_forbidden_case_is)
{
    uint64_t random = 20261124;
    for (int i = 0; i < 60; i++) {
        struct example e;
        example_init(&e, &random);
        for (int strength = 2; strength <= HL_STRENGTH_MAX; strength++) {
            struct hl_matrix_rows rows = { .n_axes = e.matrix.n_axes };
            cr_assert_eq(hl_covering_array(&e.matrix, strength, &rows, NULL), HL_STATUS_OK);
            for (size_t r = 0; r < rows.count; r++)
                cr_assert_not(excludes(&e.matrix, rows.choices + r * (size_t)rows.n_axes), "row %zu", r);
            assert_covers(&e, strength, rows.choices, rows.count);
            free(rows.choices);
        }
    }
}

/* The best known arrays have 15 and 9 rows (Colbourn's tables); greedy ones are somewhat larger. */
Test(covering, arrays_are_small_and_always_the_same)
{
    static const struct {
        int axes, choices, strength;
        size_t rows_max;
    } sizes[] = { { 8, 2, 2, 9 }, { 4, 3, 2, 13 }, { 8, 3, 2, 21 }, { 6, 2, 3, 18 } };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct example e = { .matrix = { sizes[i].axes, e.n_choices, &e.rules, excludes } };
        struct hl_matrix_rows rows = { .n_axes = sizes[i].axes }, again = rows;
        for (int a = 0; a < sizes[i].axes; a++)
            e.n_choices[a] = sizes[i].choices;
        cr_assert_eq(hl_covering_array(&e.matrix, sizes[i].strength, &rows, NULL), HL_STATUS_OK);
        cr_assert_eq(hl_covering_array(&e.matrix, sizes[i].strength, &again, NULL), HL_STATUS_OK);
        cr_expect_leq(rows.count, sizes[i].rows_max, "%zu: %zu rows", i, rows.count);
        cr_assert_eq(rows.count, again.count);
        cr_assert_eq(memcmp(rows.choices, again.choices, rows.count * (size_t)rows.n_axes * sizeof(int)), 0);
        free(rows.choices);
        free(again.choices);
    }
}

Test(covering, swarms_hold_allowed_cases_only_and_each_once)
{
    uint64_t random = 7;
    for (int i = 0; i < 20; i++) {
        struct example e;
        int *rows, *again;
        size_t count, count_again;
        example_init(&e, &random);
        const struct hl_selection selection = { .swarm = 10, .seed = (uint64_t)i };
        cr_assert_eq(hl_select(&selection, &e.matrix, &rows, &count, NULL), HL_STATUS_OK);
        cr_assert_eq(hl_select(&selection, &e.matrix, &again, &count_again, NULL), HL_STATUS_OK);
        const size_t n_axes = (size_t)e.matrix.n_axes, size = n_axes * sizeof(int);
        cr_assert_eq(count, count_again);
        cr_assert(count == 0 || memcmp(rows, again, count * size) == 0, "the same seed, the same rows");
        for (size_t r = 0; r < count; r++) {
            cr_assert_not(excludes(&e.matrix, rows + r * n_axes));
            for (size_t k = 0; k < r; k++)
                cr_assert_neq(memcmp(rows + r * n_axes, rows + k * n_axes, size), 0, "rows %zu and %zu", r,
                              k);
        }
        free(rows);
        free(again);
    }
}

/* 2 * 3^11 = 354,294 combinations: too many to expand, and a covering array of them is small. */
Test(covering, a_matrix_too_large_to_expand_can_be_covered)
{
    static const char *const axes[] = {
        "schedule.layers",     "schedule.replays",   "schedule.warmups", "world.sms",
        "world.resident_ctas", "world.launch_queue", "schedule.pieces",  "subject.hidden",
        "faults.0.call",       "faults.0.calls",     "faults.0.rank",    "schedule.calls_per_layer"
    };
    char path[] = "/tmp/hanglab-covering-XXXXXX";
    FILE *out = fdopen(mkstemp(path), "w");
    fputs("hanglab: 1\nname: large\nworld: {ranks: 4}\nschedule: {mode: eager, layers: 1, replays: 1}\n"
          "faults: [{fault: skip-call, rank: 1, call: 0}]\nmatrix:\n",
          out);
    for (size_t i = 0; i < sizeof axes / sizeof axes[0]; i++)
        fprintf(out, "  %s: %s\n", axes[i],
                strcmp(axes[i], "subject.hidden") == 0 ? "[1024, 2048, 4096]"
                : strcmp(axes[i], "world.sms") == 0    ? "[66, 132, 144]"
                : i == 11                              ? "[1, 2]"
                                                       : "[1, 2, 3]");
    fputs("exclude: [{schedule.layers: 1, schedule.replays: 2}]\n", out);
    fclose(out);
    const struct hl_selection selection = { .strength = 2 };
    const struct hl_selector selector = { &selection, hl_select };
    struct hl_scenario *scenario;
    struct hl_error error;
    cr_assert_neq(hl_scenario_load(path, &scenario, &error), HL_STATUS_OK);
    cr_assert_eq(hl_scenario_load_selected(path, &selector, &scenario, &error), HL_STATUS_OK, "%s",
                 error.message);
    remove(path);
    cr_assert_lt(scenario->n_cases, 30);
    bool pair = false;
    for (size_t i = 0; i < scenario->n_cases; i++) {
        const struct hl_schedule *schedule = &scenario->cases[i].config.schedule;
        cr_assert_not(schedule->layers == 1 && schedule->replays == 2);
        pair |= schedule->layers == 2 && schedule->replays == 2;
    }
    cr_assert(pair);
    hl_scenario_destroy(scenario);
}

/* From a document to its cases: every combination of the axes' choices that no rule excludes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "document.h"

static const struct hl_expectation pass = { HL_VERDICT_PASS, -1, 0, 1 };

/* Steps to the next combination, the last axis fastest; false after the last one. */
static bool next_combination(const struct hl_document *d, int *choices)
{
    for (int i = d->n_axes - 1; i >= 0; i--) {
        if (++choices[i] < d->axes[i].n_choices)
            return true;
        choices[i] = 0;
    }
    return false;
}

/* The first rule that holds for these choices; an open choice (-1) satisfies no condition. */
static const struct hl_rule *first_match(const struct hl_rules *rules, const int *choices)
{
    for (int i = 0; i < rules->count; i++) {
        const struct hl_rule *rule = &rules->rules[i];
        bool match = !rule->never;
        for (int k = 0; match && k < rule->n_conditions; k++) {
            const int choice = choices[rule->conditions[k].axis];
            match = choice >= 0 && rule->conditions[k].accepts[choice];
        }
        if (match)
            return rule;
    }
    return NULL;
}

/* Combinations, excluded ones included; false, reported, when there are too many. */
static bool check_count(struct hl_document *d)
{
    const struct hl_node *matrix = hl_document_node(d, "matrix");
    size_t product = 1;
    for (int i = 0; i < d->n_axes; i++) {
        product *= (size_t)d->axes[i].n_choices;
        if (product <= HL_CASES_MAX)
            continue;
        hl_diagnose(&d->diagnostics, matrix->offset,
                    (struct hl_hint){ .expected = "shorter axes, or several files" },
                    "the matrix has more than %d combinations", HL_CASES_MAX);
        return false;
    }
    return true;
}

/* "name/axis=value,axis=value" */
static char *make_id(struct hl_document *d, const int *choices)
{
    size_t size = strlen(d->config.name);
    for (int i = 0; i < d->n_axes; i++)
        size += strlen(d->axes[i].name) + strlen(d->axes[i].choices[choices[i]].text) + 2;
    char *id = hl_arena_alloc(d->arena, size + 1);
    if (!id)
        return NULL;
    char *end = stpcpy(id, d->config.name);
    for (int i = 0; i < d->n_axes; i++) {
        end = stpcpy(end, i ? "," : "/");
        end = stpcpy(end, d->axes[i].name);
        end = stpcpy(end, "=");
        end = stpcpy(end, d->axes[i].choices[choices[i]].text);
    }
    return id;
}

static bool make_case(struct hl_document *d, const int *choices, struct hl_case *c)
{
    *c = (struct hl_case){ .id = make_id(d, choices), .config = d->config, .n_params = d->n_axes };
    c->params = hl_arena_alloc(d->arena, (size_t)d->n_axes * sizeof *c->params);
    if (!c->id || !c->params) {
        hl_diagnose_memory(&d->diagnostics);
        return false;
    }
    for (int i = 0; i < d->n_axes; i++) {
        const struct hl_choice *choice = &d->axes[i].choices[choices[i]];
        c->params[i] = (struct hl_param){ d->axes[i].name, choice->text };
        for (int s = 0; s < choice->n_settings; s++) {
            const struct hl_setting *setting = &choice->settings[s];
            hl_value_read(setting->path.field, setting->value, (char *)&c->config + setting->path.base,
                          &d->diagnostics);
        }
    }
    const struct hl_rule *rule = first_match(&d->expect, choices);
    c->expected = rule ? rule->expected : pass;
    return hl_document_check_case(d, &c->config, choices);
}

static bool excludes(const struct hl_matrix *matrix, const int *choices)
{
    return first_match(matrix->rules, choices) != NULL;
}

static bool no_case(struct hl_document *d)
{
    hl_diagnose(&d->diagnostics, hl_document_node(d, "exclude")->offset, (struct hl_hint){ 0 },
                "every case is excluded");
    return false;
}

static bool alloc_cases(struct hl_document *d, struct hl_scenario *scenario, size_t count)
{
    scenario->cases = hl_arena_alloc(d->arena, count * sizeof *scenario->cases);
    if (!scenario->cases)
        hl_diagnose_memory(&d->diagnostics);
    return scenario->cases != NULL;
}

static void expand_all(struct hl_document *d, struct hl_scenario *scenario)
{
    int *choices = hl_document_alloc(d, (size_t)d->n_axes, sizeof *choices);
    if (!choices || !check_count(d))
        return;
    size_t count = 0;
    do
        count += !first_match(&d->exclude, choices);
    while (next_combination(d, choices));
    if (count == 0 ? !no_case(d) : !alloc_cases(d, scenario, count))
        return;
    /* A mistake in one case is often one in many others: the first is enough. */
    bool ok = true;
    do
        if (!first_match(&d->exclude, choices))
            ok = make_case(d, choices, &scenario->cases[scenario->n_cases++]);
    while (ok && next_combination(d, choices));
    if (ok)
        hl_document_check_unused(d, &scenario->cases[scenario->n_cases - 1].config);
}

static void expand_rows(struct hl_document *d, struct hl_scenario *scenario, const int *rows, size_t count)
{
    if (count == 0 ? !no_case(d) : !alloc_cases(d, scenario, count))
        return;
    for (size_t i = 0; i < count; i++)
        if (!make_case(d, rows + i * (size_t)d->n_axes, &scenario->cases[scenario->n_cases++]))
            return;
}

void hl_document_expand(struct hl_document *d, struct hl_scenario *scenario)
{
    if (!d->selector || d->n_axes == 0) {
        expand_all(d, scenario);
        return;
    }
    int *n_choices = hl_document_alloc(d, (size_t)d->n_axes, sizeof *n_choices), *rows = NULL;
    if (!n_choices)
        return;
    for (int i = 0; i < d->n_axes; i++)
        n_choices[i] = d->axes[i].n_choices;
    const struct hl_matrix matrix = { d->n_axes, n_choices, &d->exclude, excludes };
    size_t count = 0;
    struct hl_error why;
    if (d->selector->select(d->selector->user, &matrix, &rows, &count, &why) == HL_STATUS_OK)
        expand_rows(d, scenario, rows, count);
    else
        hl_diagnose(&d->diagnostics, hl_document_node(d, "matrix")->offset, (struct hl_hint){ 0 }, "%s",
                    why.message);
    free(rows);
}

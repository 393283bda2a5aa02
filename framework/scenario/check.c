/* Values that are right by themselves but cannot run together.
 *
 * What a case needs and lacks is refused. What it merely does not use is no mistake, since one base
 * configuration serves all cases of a matrix; where and when a fault or a mutant strikes, said by a key that
 * no case can use, is one: it would strike elsewhere than its author thinks. */
#include <stdio.h>
#include <string.h>
#include "document.h"
#include "uses.h"

struct check {
    struct hl_document *d;
    const struct hl_config *config;
    const int *choices;
    bool ok;
};

/* Where the value of `path` was given in this case; its default has the place of `otherwise`. */
static size_t place_of(const struct check *c, const char *path, size_t otherwise)
{
    for (int i = 0; i < c->d->n_axes; i++) {
        const struct hl_choice *choice = &c->d->axes[i].choices[c->choices[i]];
        for (int s = 0; s < choice->n_settings; s++)
            if (strcmp(choice->settings[s].name, path) == 0)
                return choice->settings[s].value->offset;
    }
    struct hl_path found;
    char nearest[HL_VALUE_TEXT_MAX];
    const struct hl_node *node = NULL;
    if (hl_path_find(path, &found, nearest, sizeof nearest))
        node = found.fault < 0 ? c->d->nodes[found.field - hl_scenario_fields.rows]
                               : c->d->fault_nodes[found.fault][found.field - hl_fault_fields.rows];
    return node ? node->offset : otherwise;
}

static void check_subject(struct check *c)
{
    const struct hl_config *config = c->config;
    const struct hl_subject *s = &config->subject;
    bool trtllm =
        s->backend == HL_BACKEND_TRTLLM || (s->backend == HL_BACKEND_AUTO && config->flags.nodes == 1);
    if (!trtllm || config->schedule.preset != HL_PRESET_NONE || s->strategy != HL_STRATEGY_AUTO ||
        config->world.ranks != 16)
        return;
    c->ok = false;
    hl_diagnose(
        &c->d->diagnostics, place_of(c, "world.ranks", c->d->root->offset),
        (struct hl_hint){ .expected = "subject.strategy: oneshot or twoshot with 16 ranks" },
        "trtllm cannot choose a strategy for 16 ranks: FlashInfer's threshold table has no entry for them "
        "(trtllm_ar.py:973-986, KeyError)");
}

static void check_fault(struct check *c, int index)
{
    const struct hl_fault *fault = &c->config->faults[index];
    struct hl_diagnostics *diagnostics = &c->d->diagnostics;
    const int count_before = diagnostics->count;
    const char *name = hl_words_name(&hl_words_faults, (int)fault->kind);
    char path[32];
    snprintf(path, sizeof path, "faults.%d.fault", index);
    size_t kind_place = place_of(c, path, c->d->root->offset);
    snprintf(path, sizeof path, "faults.%d.rank", index);
    if (fault->rank >= c->config->world.ranks)
        hl_diagnose(diagnostics, place_of(c, path, kind_place), (struct hl_hint){ 0 },
                    "there is no rank %d: world.ranks is %d, and ranks count from 0", fault->rank,
                    c->config->world.ranks);
    const bool two_by_preset =
        c->config->subject.workspaces == 0 && c->config->schedule.preset == HL_PRESET_SGLANG;
    if (fault->kind == HL_FAULT_SWAP_ORDER && c->config->subject.workspaces < 2 && !two_by_preset)
        hl_diagnose(diagnostics, kind_place, (struct hl_hint){ .expected = "subject.workspaces: 2" },
                    "%s swaps calls of two workspaces, and there is one", name);
    if (fault->kind == HL_FAULT_OTHER_SIZE && fault->tokens == 0)
        hl_diagnose(diagnostics, kind_place, (struct hl_hint){ .expected = "tokens: N beside it" },
                    "%s needs the key tokens", name);
    if (diagnostics->count > count_before)
        c->ok = false;
}

static void note_used(struct hl_document *d, const struct hl_config *config)
{
    for (int i = 0; i < hl_scenario_fields.count; i++)
        d->used[i] = d->used[i] || hl_config_uses(config, -1, hl_scenario_fields.rows[i].path);
    for (int f = 0; f < config->n_faults; f++)
        for (int i = 0; i < hl_fault_fields.count; i++)
            d->fault_used[f][i] =
                d->fault_used[f][i] || hl_config_uses(config, f, hl_fault_fields.rows[i].path);
}

/* A value that is the default says nothing, so that a file which spells all of them out loads. */
static bool is_default(const struct hl_field *field, const void *base, const void *defaults)
{
    char given[HL_VALUE_TEXT_MAX], initial[HL_VALUE_TEXT_MAX];
    if (!hl_value_is_present(field, defaults))
        return !hl_value_is_present(field, base);
    hl_value_format(field, base, given);
    hl_value_format(field, defaults, initial);
    return strcmp(given, initial) == 0;
}

/* The values of a fault, or with -1 those of the configuration itself. */
static void check_unused(struct hl_document *d, const struct hl_config *config, int fault)
{
    static struct hl_config normal;
    const struct hl_field_table *table = fault < 0 ? &hl_scenario_fields : &hl_fault_fields;
    const struct hl_node *const *nodes = fault < 0 ? d->nodes : d->fault_nodes[fault];
    const bool *used = fault < 0 ? d->used : d->fault_used[fault];
    const void *base = fault < 0 ? (const void *)&d->config : &d->config.faults[fault];
    void *defaults = fault < 0 ? (void *)&normal : &normal.faults[0];
    char takes[128];
    snprintf(takes, sizeof takes, "%s%s", hl_config_takes(config, fault), fault < 0 ? "" : ", probability");
    hl_values_init(table, defaults);
    for (int i = 0; i < table->count; i++)
        if (nodes[i] && !used[i] && table->rows[i].kind != HL_KIND_SECTION &&
            !is_default(&table->rows[i], base, defaults))
            hl_diagnose(&d->diagnostics, nodes[i]->offset, (struct hl_hint){ .expected = takes },
                        "%s does not take `%s`, and so no case uses it",
                        fault < 0 ? hl_words_name(&hl_words_mutants, (int)config->subject.mutant)
                                  : hl_words_name(&hl_words_faults, (int)config->faults[fault].kind),
                        table->rows[i].path);
}

void hl_document_check_unused(struct hl_document *d, const struct hl_config *config)
{
    for (int f = -1; f < config->n_faults; f++)
        check_unused(d, config, f);
}

bool hl_document_check_case(struct hl_document *d, const struct hl_config *config, const int *choices)
{
    struct check c = { d, config, choices, true };
    check_subject(&c);
    for (int i = 0; i < config->n_faults; i++)
        check_fault(&c, i);
    note_used(d, config);
    return c.ok;
}

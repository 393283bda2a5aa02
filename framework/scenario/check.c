/* Values that are right by themselves but cannot run together.
 *
 * Only what a case needs and lacks is refused. What it merely does not use is no mistake: one base
 * configuration serves all cases of a matrix, and a case that is written back must load again. */
#include <stdio.h>
#include <string.h>
#include "document.h"

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

bool hl_document_check_case(struct hl_document *d, const struct hl_config *config, const int *choices)
{
    struct check c = { d, config, choices, true };
    check_subject(&c);
    for (int i = 0; i < config->n_faults; i++)
        check_fault(&c, i);
    return c.ok;
}

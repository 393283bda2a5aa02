/* The axes of the matrix, and the rules about its cases. */
#include <stdio.h>
#include <string.h>
#include "document.h"

/* Checks the value and returns its canonical text, which lives as long as the scenario; or NULL. */
static const char *value_text(struct hl_document *d, const struct hl_path *path, const struct hl_node *node)
{
    struct hl_config config = d->config;
    char text[HL_VALUE_TEXT_MAX], *copy;
    char *base = (char *)&config + path->base;
    if (!hl_value_read(path->field, node, base, &d->diagnostics))
        return NULL;
    hl_value_format(path->field, base, text);
    copy = hl_arena_copy(d->arena, text, strlen(text));
    if (!copy)
        hl_diagnose_memory(&d->diagnostics);
    return copy;
}

/*
 * Axes
 */

static bool sets(const struct hl_axis *axis, const char *name)
{
    for (int c = 0; c < axis->n_choices; c++)
        for (int s = 0; s < axis->choices[c].n_settings; s++)
            if (strcmp(axis->choices[c].settings[s].name, name) == 0)
                return true;
    return false;
}

static int axis_that_sets(const struct hl_document *d, const char *name)
{
    for (int i = 0; i < d->n_axes; i++)
        if (sets(&d->axes[i], name))
            return i;
    return -1;
}

static int axis_named(const struct hl_document *d, const char *name)
{
    for (int i = 0; i < d->n_axes; i++)
        if (strcmp(d->axes[i].name, name) == 0)
            return i;
    return -1;
}

static void add_choice(struct hl_document *d, struct hl_axis *axis, struct hl_choice choice,
                       const struct hl_node *node)
{
    for (int i = 0; i < axis->n_choices; i++)
        if (strcmp(axis->choices[i].text, choice.text) == 0) {
            hl_diagnose(&d->diagnostics, node->offset, (struct hl_hint){ 0 }, "%s has the value %.60s twice",
                        axis->name, choice.text);
            return;
        }
    axis->choices[axis->n_choices++] = choice;
}

/* subject.backend: [mnnvl, trtllm] */
static void read_path_axis(struct hl_document *d, struct hl_axis *axis, const struct hl_entry *entry)
{
    struct hl_path path;
    if (!hl_document_find_path(d, entry->key, &path))
        return;
    if (!hl_document_is(d, entry->value, HL_NODE_LIST, axis->name, "a list of the values that it takes"))
        return;
    for (const struct hl_entry *item = entry->value->first; item; item = item->next) {
        struct hl_setting *setting = hl_document_alloc(d, 1, sizeof *setting);
        const char *text = value_text(d, &path, item->value);
        if (!setting || !text)
            continue;
        *setting = (struct hl_setting){ path, axis->name, item->value, text };
        add_choice(d, axis, (struct hl_choice){ text, setting, 1 }, item->value);
    }
}

static bool read_settings(struct hl_document *d, struct hl_choice *choice, const struct hl_node *map)
{
    choice->settings = hl_document_alloc(d, (size_t)map->count, sizeof *choice->settings);
    if (!choice->settings)
        return false;
    for (const struct hl_entry *entry = map->first; entry; entry = entry->next) {
        struct hl_setting *setting = &choice->settings[choice->n_settings];
        *setting = (struct hl_setting){ .name = entry->key->text, .value = entry->value };
        if (!hl_document_find_path(d, entry->key, &setting->path))
            continue;
        setting->text = value_text(d, &setting->path, entry->value);
        choice->n_settings += setting->text != NULL;
    }
    return true;
}

/* configuration: {old kernel: {subject.sentinel_compare: float-ftz}, new kernel: {..}} */
static void read_named_axis(struct hl_document *d, struct hl_axis *axis, const struct hl_entry *entry)
{
    for (const struct hl_entry *item = entry->value->first; item; item = item->next) {
        struct hl_choice choice = { .text =
                                        hl_arena_copy(d->arena, item->key->text, strlen(item->key->text)) };
        if (!choice.text) {
            hl_diagnose_memory(&d->diagnostics);
            return;
        }
        if (strpbrk(choice.text, "\n\r\t\033") || choice.text[0] == '\0' || strlen(choice.text) > HL_NAME_MAX)
            hl_diagnose(&d->diagnostics, item->key->offset,
                        (struct hl_hint){ .expected = "a short line of text" },
                        "not a name for a choice of %s", axis->name);
        if (hl_document_is(d, item->value, HL_NODE_MAP, choice.text, "a mapping of dotted paths to values") &&
            read_settings(d, &choice, item->value))
            add_choice(d, axis, choice, item->key);
    }
}

static bool is_name(const char *text)
{
    return text[0] &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == strlen(text);
}

/* Two axes that set one path would make the order of the file decide. */
static void check_apart(struct hl_document *d, const struct hl_axis *axis, const struct hl_node *key)
{
    for (int c = 0; c < axis->n_choices; c++)
        for (int s = 0; s < axis->choices[c].n_settings; s++) {
            const char *name = axis->choices[c].settings[s].name;
            int other = axis_that_sets(d, name);
            if (other < 0)
                continue;
            hl_diagnose(&d->diagnostics, key->offset, (struct hl_hint){ 0 },
                        "%s sets %s, and so does the axis %s", axis->name, name, d->axes[other].name);
            return;
        }
}

static void read_axis(struct hl_document *d, const struct hl_entry *entry)
{
    const char *name = entry->key->text;
    struct hl_axis axis = { .name = hl_arena_copy(d->arena, name, strlen(name)),
                            .choices =
                                hl_document_alloc(d, (size_t)entry->value->count, sizeof *axis.choices) };
    if (!axis.name || !axis.choices) {
        hl_diagnose_memory(&d->diagnostics);
        return;
    }
    int before = d->diagnostics.count;
    if (entry->value->count > HL_CHOICES_MAX) {
        hl_diagnose(&d->diagnostics, entry->key->offset, (struct hl_hint){ 0 },
                    "%s has %d values; an axis has at most %d", name, entry->value->count, HL_CHOICES_MAX);
        return;
    }
    /* A path would be a list; a mapping whose name is no path, and could not have been meant as one, is
     * named. */
    if (entry->value->kind == HL_NODE_MAP && is_name(name) && !hl_field_find(&hl_scenario_fields, name))
        read_named_axis(d, &axis, entry);
    else
        read_path_axis(d, &axis, entry);
    if (d->diagnostics.count > before)
        return;
    if (axis.n_choices == 0)
        hl_diagnose(&d->diagnostics, entry->value->offset,
                    (struct hl_hint){ .expected = "at least one value" }, "the axis %s is empty", axis.name);
    check_apart(d, &axis, entry->key);
    d->axes[d->n_axes++] = axis;
}

void hl_document_read_matrix(struct hl_document *d)
{
    const struct hl_node *matrix = hl_document_node(d, "matrix");
    if (!hl_document_is(d, matrix, HL_NODE_MAP, "matrix",
                        "a mapping such as {subject.backend: [mnnvl, trtllm]}"))
        return;
    d->axes = hl_document_alloc(d, (size_t)matrix->count, sizeof *d->axes);
    for (const struct hl_entry *entry = matrix->first; entry && d->axes; entry = entry->next)
        read_axis(d, entry);
}

/*
 * Rules
 */

/* Runs `accept` for a single value or for each value of a list. */
typedef bool hl_accept_fn(struct hl_document *d, void *context, const struct hl_node *node);

static bool for_each_value(struct hl_document *d, const struct hl_node *node, hl_accept_fn *accept,
                           void *context)
{
    if (node->kind != HL_NODE_LIST)
        return accept(d, context, node);
    bool ok = true;
    for (const struct hl_entry *item = node->first; item; item = item->next)
        ok = accept(d, context, item->value) && ok;
    return ok;
}

struct choice_context {
    const struct hl_axis *axis;
    bool *accepts;
};

/* configuration: old kernel */
static bool accept_choice(struct hl_document *d, void *context, const struct hl_node *node)
{
    struct choice_context *c = context;
    struct hl_nearest nearest = hl_nearest_init(node->kind == HL_NODE_SCALAR ? node->text : "");
    for (int i = 0; i < c->axis->n_choices; i++) {
        hl_nearest_offer(&nearest, c->axis->choices[i].text);
        if (strcmp(nearest.text, c->axis->choices[i].text) == 0) {
            c->accepts[i] = true;
            return true;
        }
    }
    hl_diagnose(
        &d->diagnostics, node->offset,
        (struct hl_hint){ .expected = "a choice of that axis of the matrix", .nearest = nearest.best },
        "%s has no choice \"%.60s\"", c->axis->name, nearest.text);
    return false;
}

struct value_context {
    struct hl_path path;
    const char *name;
    const struct hl_axis *axis;        /* that sets the path, or NULL: the path has one value throughout */
    char otherwise[HL_VALUE_TEXT_MAX]; /* the value where no choice sets it */
    bool *accepts;                     /* by choice of the axis; [0] without one */
};

static const char *text_under(const struct value_context *c, const struct hl_choice *choice)
{
    for (int i = 0; i < choice->n_settings; i++)
        if (strcmp(choice->settings[i].name, c->name) == 0)
            return choice->settings[i].text;
    return c->otherwise;
}

/* schedule.mode: eager */
static bool accept_value(struct hl_document *d, void *context, const struct hl_node *node)
{
    struct value_context *c = context;
    const char *wanted = value_text(d, &c->path, node);
    if (!wanted)
        return false;
    if (!c->axis)
        c->accepts[0] = c->accepts[0] || strcmp(c->otherwise, wanted) == 0;
    for (int i = 0; c->axis && i < c->axis->n_choices; i++)
        c->accepts[i] = c->accepts[i] || strcmp(text_under(c, &c->axis->choices[i]), wanted) == 0;
    return true;
}

static bool read_condition(struct hl_document *d, struct hl_rule *rule, const struct hl_entry *entry)
{
    const char *name = entry->key->text;
    int named = axis_named(d, name), axis = named;
    struct value_context value = { .name = name };
    bool is_path = named < 0 || sets(&d->axes[named], name);
    if (is_path) {
        if (!hl_document_find_path(d, entry->key, &value.path))
            return false;
        axis = axis_that_sets(d, name);
        hl_value_format(value.path.field, (const char *)&d->config + value.path.base, value.otherwise);
    }
    value.axis = axis < 0 ? NULL : &d->axes[axis];
    value.accepts = hl_document_alloc(d, value.axis ? (size_t)value.axis->n_choices : 1, sizeof(bool));
    if (!value.accepts)
        return false;
    struct choice_context choice = { value.axis, value.accepts };
    if (!for_each_value(d, entry->value, is_path ? accept_value : accept_choice,
                        is_path ? (void *)&value : &choice))
        return false;
    if (value.axis)
        rule->conditions[rule->n_conditions++] = (struct hl_condition){ axis, value.accepts };
    else
        rule->never = rule->never || !value.accepts[0];
    return true;
}

static void read_conditions(struct hl_document *d, struct hl_rule *rule, const struct hl_node *map)
{
    rule->conditions = hl_document_alloc(d, (size_t)map->count, sizeof *rule->conditions);
    for (const struct hl_entry *entry = map->first; entry && rule->conditions; entry = entry->next)
        read_condition(d, rule, entry);
}

static void read_excluded(struct hl_document *d, struct hl_rule *rule, const struct hl_node *map)
{
    if (map->count == 0)
        hl_diagnose(&d->diagnostics, map->offset, (struct hl_hint){ 0 },
                    "an empty mapping would exclude every case");
    read_conditions(d, rule, map);
}

static void read_expected(struct hl_document *d, struct hl_rule *rule, const struct hl_node *map)
{
    const struct hl_node *nodes[HL_FIELDS_MAX] = { 0 };
    hl_values_init(&hl_expect_fields, &rule->expected);
    hl_fields_read(d, &hl_expect_fields, map, &rule->expected, nodes);
    const struct hl_node *when = nodes[hl_field_index(&hl_expect_fields, "when")];
    const struct hl_node *rate = nodes[hl_field_index(&hl_expect_fields, "rate")];
    if (rate && rule->expected.rate_min > rule->expected.rate_max)
        hl_diagnose(&d->diagnostics, rate->offset, (struct hl_hint){ 0 },
                    "rate.min is greater than rate.max");
    if (hl_document_is(d, when, HL_NODE_MAP, "when", "a mapping such as {subject.backend: mnnvl}"))
        read_conditions(d, rule, when);
}

static struct hl_rules read_rules(struct hl_document *d, const char *path, const char *expected,
                                  void (*read)(struct hl_document *, struct hl_rule *,
                                               const struct hl_node *))
{
    struct hl_rules rules = { 0 };
    const struct hl_node *list = hl_document_node(d, path);
    if (!hl_document_is(d, list, HL_NODE_LIST, path, "a list of mappings"))
        return rules;
    if (list->count > HL_RULES_MAX) {
        hl_diagnose(&d->diagnostics, list->offset, (struct hl_hint){ 0 }, "%s has %d entries; at most %d",
                    path, list->count, HL_RULES_MAX);
        return rules;
    }
    rules.rules = hl_document_alloc(d, (size_t)list->count, sizeof *rules.rules);
    for (const struct hl_entry *item = list->first; item && rules.rules; item = item->next)
        if (hl_document_is(d, item->value, HL_NODE_MAP, path, expected))
            read(d, &rules.rules[rules.count++], item->value);
    return rules;
}

void hl_document_read_rules(struct hl_document *d)
{
    d->exclude = read_rules(d, "exclude", "a mapping such as {subject.backend: nccl}", read_excluded);
    d->expect = read_rules(d, "expect", "a mapping such as {verdict: hang, cause: sentinel-collision}",
                           read_expected);
}

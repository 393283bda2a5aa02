/* Reads the keys of a scenario file into a configuration, as the field tables say. */
#include <stdio.h>
#include <string.h>
#include "document.h"

void *hl_document_alloc(struct hl_document *d, size_t count, size_t size)
{
    void *memory = hl_arena_alloc(d->scratch, count * size);
    if (!memory)
        hl_diagnose_memory(&d->diagnostics);
    return memory;
}

bool hl_document_is(struct hl_document *d, const struct hl_node *node, enum hl_node_kind kind,
                    const char *path, const char *expected)
{
    if (!node || node->kind == kind)
        return node != NULL;
    hl_diagnose(&d->diagnostics, node->offset, (struct hl_hint){ .expected = expected }, "%s is %s", path,
                hl_node_describe(node));
    return false;
}

static void refuse_key(struct hl_document *d, const struct hl_field_table *table, const char *section,
                       const struct hl_node *key)
{
    char expected[1024] = "one of ";
    size_t n = strlen(expected);
    struct hl_nearest nearest = hl_nearest_init(key->text);
    for (int i = 0; i < table->count; i++) {
        const char *known = hl_field_key(&table->rows[i], section);
        if (!known)
            continue;
        hl_nearest_offer(&nearest, known);
        int added =
            snprintf(expected + n, sizeof expected - n, "%s%s", expected[n - 1] == ' ' ? "" : ", ", known);
        n += added > 0 && (size_t)added < sizeof expected - n ? (size_t)added : 0;
    }
    struct hl_hint hint = { .expected = expected, .nearest = nearest.best };
    if (section[0])
        hl_diagnose(&d->diagnostics, key->offset, hint, "unknown key \"%.60s\" in %s", key->text, section);
    else
        hl_diagnose(&d->diagnostics, key->offset, hint, "unknown key \"%.60s\"", key->text);
}

static const struct hl_field *find_key(const struct hl_field_table *table, const char *section,
                                       const char *key)
{
    for (int i = 0; i < table->count; i++) {
        const char *known = hl_field_key(&table->rows[i], section);
        if (known && strcmp(known, key) == 0)
            return &table->rows[i];
    }
    return NULL;
}

static void read_section(struct hl_document *d, const struct hl_field_table *table, const char *section,
                         const struct hl_node *map, void *base, const struct hl_node **nodes)
{
    if (!hl_document_is(d, map, HL_NODE_MAP, section[0] ? section : "the scenario", "a mapping, key: value"))
        return;
    for (const struct hl_entry *entry = map->first; entry; entry = entry->next) {
        const struct hl_field *field = find_key(table, section, entry->key->text);
        if (!field) {
            refuse_key(d, table, section, entry->key);
            continue;
        }
        nodes[field - table->rows] = entry->value;
        if (field->kind == HL_KIND_SECTION)
            read_section(d, table, field->path, entry->value, base, nodes);
        else if (field->kind != HL_KIND_OTHER)
            hl_value_read(field, entry->value, base, &d->diagnostics);
    }
}

void hl_fields_read(struct hl_document *d, const struct hl_field_table *table, const struct hl_node *map,
                    void *base, const struct hl_node **ret_nodes)
{
    int before = d->diagnostics.count;
    read_section(d, table, "", map, base, ret_nodes);
    for (int i = 0; i < table->count; i++) {
        const struct hl_field *field = &table->rows[i];
        /* After an unknown key the missing one is probably that key, misspelt: say it once. */
        if (!field->required || ret_nodes[i] || map->kind != HL_NODE_MAP || d->diagnostics.count > before)
            continue;
        char expected[1024] = "";
        hl_field_expectation(field, expected, sizeof expected);
        hl_diagnose(&d->diagnostics, map->offset,
                    (struct hl_hint){ .expected = expected[0] ? expected : NULL },
                    "the key \"%s\" is missing", field->path);
    }
}

const struct hl_node *hl_document_node(const struct hl_document *d, const char *path)
{
    return d->nodes[hl_field_index(&hl_scenario_fields, path)];
}

static void check_version(struct hl_document *d)
{
    const struct hl_node *version = hl_document_node(d, "hanglab");
    if (version && (version->kind != HL_NODE_SCALAR || strcmp(version->text, "1") != 0))
        hl_diagnose(&d->diagnostics, version->offset, (struct hl_hint){ .expected = "hanglab: 1" },
                    "this hanglab reads version 1 of the format only");
}

static void read_title(struct hl_document *d)
{
    enum { TITLE_MAX = 200 };
    const struct hl_node *title = hl_document_node(d, "title");
    d->title = "";
    if (!hl_document_is(d, title, HL_NODE_SCALAR, "title", "a line of text"))
        return;
    if (strlen(title->text) > TITLE_MAX || strpbrk(title->text, "\n\r\t\033"))
        hl_diagnose(&d->diagnostics, title->offset,
                    (struct hl_hint){ .expected = "one line of at most 200 bytes" },
                    "the title is too long or has more than one line");
    d->title = title->text;
}

static void read_faults(struct hl_document *d)
{
    const struct hl_node *list = hl_document_node(d, "faults");
    if (!hl_document_is(d, list, HL_NODE_LIST, "faults",
                        "a list such as [{fault: skip-call, rank: 2, call: 37}]"))
        return;
    if (list->count > HL_FAULTS_MAX) {
        hl_diagnose(&d->diagnostics, list->offset, (struct hl_hint){ 0 },
                    "%d faults; a scenario has at most %d", list->count, HL_FAULTS_MAX);
        return;
    }
    for (const struct hl_entry *item = list->first; item; item = item->next) {
        struct hl_fault *fault = &d->config.faults[d->config.n_faults];
        const char *expected = "a mapping such as {fault: skip-call, rank: 2, call: 37}";
        if (!hl_document_is(d, item->value, HL_NODE_MAP, "a fault", expected))
            continue;
        hl_values_init(&hl_fault_fields, fault);
        hl_fields_read(d, &hl_fault_fields, item->value, fault, d->fault_nodes[d->config.n_faults]);
        d->config.n_faults++;
    }
}

void hl_document_read_fields(struct hl_document *d)
{
    hl_values_init(&hl_scenario_fields, &d->config);
    hl_fields_read(d, &hl_scenario_fields, d->root, &d->config, d->nodes);
    check_version(d);
    read_title(d);
    read_faults(d);
}

bool hl_document_find_path(struct hl_document *d, const struct hl_node *key, struct hl_path *ret_path)
{
    char nearest[HL_VALUE_TEXT_MAX];
    struct hl_path path;
    if (!hl_path_find(key->text, &path, nearest, sizeof nearest)) {
        struct hl_hint hint = { .expected = "a dotted path to a value, such as subject.backend",
                                .nearest = nearest[0] ? nearest : NULL };
        hl_diagnose(&d->diagnostics, key->offset, hint, "no value has the path \"%.60s\"", key->text);
        return false;
    }
    if (path.fault >= d->config.n_faults) {
        hl_diagnose(&d->diagnostics, key->offset, (struct hl_hint){ 0 },
                    "%s, but the list `faults` has %d (they count from 0)", key->text, d->config.n_faults);
        return false;
    }
    *ret_path = path;
    return true;
}

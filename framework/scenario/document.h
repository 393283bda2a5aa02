/* A scenario file while it is being read: the base configuration, where each of its values stands, the
 * axes of the matrix, and the rules that exclude cases or say what is expected of them. */
#pragma once
#include "fields.h"
#include "scenario.h"
#include "value.h"
#include "yaml.h"

/* `path: value`, checked: the value is known to fit. */
struct hl_setting {
    struct hl_path path;
    const char *name; /* the path, as written */
    const struct hl_node *value;
    const char *text; /* of the value, canonical */
};

/* One value of an axis: what it sets. */
struct hl_choice {
    const char *text; /* of the value, or the name of the choice */
    struct hl_setting *settings;
    int n_settings;
};

struct hl_axis {
    const char *name; /* a dotted path; or a name of its own, whose choices set several paths */
    struct hl_choice *choices;
    int n_choices;
};

/* Holds for a case if accepts[i], i being what the case chose on the axis. */
struct hl_condition {
    int axis;
    bool *accepts;
};

struct hl_rule {
    struct hl_condition *conditions; /* all must hold */
    int n_conditions;
    bool never;                     /* contradicts a value that no axis changes */
    struct hl_expectation expected; /* rules of `expect` */
};

struct hl_rules {
    struct hl_rule *rules;
    int count;
};

struct hl_document {
    struct hl_arena *scratch; /* lives as long as the document */
    struct hl_arena *arena;   /* becomes the scenario's */
    struct hl_diagnostics diagnostics;
    const struct hl_node *root;
    struct hl_config config; /* without the matrix */
    const char *title;
    const struct hl_node *nodes[HL_FIELDS_MAX]; /* values as given, by row; or NULL */
    const struct hl_node *fault_nodes[HL_FAULTS_MAX][HL_FIELDS_MAX];
    struct hl_axis *axes;
    int n_axes;
    struct hl_rules exclude, expect;
    const struct hl_selector *selector; /* NULL: all cases */
    bool used[HL_FIELDS_MAX];           /* by row: a case can use it */
    bool fault_used[HL_FAULTS_MAX][HL_FIELDS_MAX];
};

/* Each reads its part into the document; mistakes go to its diagnostics. In this order. */
void hl_document_read_fields(struct hl_document *d);
void hl_document_read_matrix(struct hl_document *d);
void hl_document_read_rules(struct hl_document *d);

/* Reads the keys of a mapping, sections included, into the struct at `base` as the table says, and keeps
 * the values' nodes. */
void hl_fields_read(struct hl_document *d, const struct hl_field_table *table, const struct hl_node *map,
                    void *base, const struct hl_node **ret_nodes);
/* Finds a path that `key` names; false, reported, when it names none that this document can vary. */
bool hl_document_find_path(struct hl_document *d, const struct hl_node *key, struct hl_path *ret_path);
/* The node of the key `path` of the top level, or NULL. */
const struct hl_node *hl_document_node(const struct hl_document *d, const char *path);
/* Is `node` there and a list (a mapping)? Anything else but nothing at all is a mistake, reported. */
bool hl_document_is(struct hl_document *d, const struct hl_node *node, enum hl_node_kind kind,
                    const char *path, const char *expected);
void *hl_document_alloc(struct hl_document *d, size_t count, size_t size);

/* Fields that make no sense together, in the case that chose choices[i] on axis i. True when all is well. */
bool hl_document_check_case(struct hl_document *d, const struct hl_config *config, const int *choices);
/* Keys that were given and that no case can use, once all cases were checked. */
void hl_document_check_unused(struct hl_document *d, const struct hl_config *config);
/* The cases of the matrix that were chosen, or all, in file order, the last axis fastest. */
void hl_document_expand(struct hl_document *d, struct hl_scenario *scenario);

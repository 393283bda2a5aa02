/* YAML text to a tree of nodes that remember where they stand.
 *
 * libfyaml scans and parses; the tree is built here from its events, so that size, depth, aliases and
 * merge keys are bounded whatever the file holds: an alias is a pointer to the node that it names, never
 * a copy, and counts with that node's full size towards the limit. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "arena.h"
#include "diagnostics.h"

enum {
    HL_YAML_BYTES_MAX = 512 * 1024, /* libfyaml takes up to 350 bytes and 1 us for each of "[[[[..." */
    HL_YAML_NODES_MAX = 20000,      /* with every alias and merge key counted as what it stands for */
    HL_YAML_DEPTH_MAX = 32,         /* as written; an alias counts as one level */
    HL_YAML_KEYS_MAX = 1000,        /* of one mapping */
};

enum hl_node_kind { HL_NODE_SCALAR, HL_NODE_LIST, HL_NODE_MAP };

struct hl_node {
    enum hl_node_kind kind;
    bool plain;             /* scalar: not quoted */
    size_t offset;          /* in the text: of an alias, where the alias stands */
    const char *text;       /* scalar */
    struct hl_entry *first; /* list, map: in file order; merged entries last */
    int count;
    size_t size; /* nodes, this one included */
};

struct hl_entry {
    const struct hl_node *key; /* map: a scalar */
    const struct hl_node *value;
    struct hl_entry *next;
};

/* NULL after a mistake, which is then in `diagnostics`. */
const struct hl_node *hl_yaml_parse(struct hl_arena *arena, const char *text, size_t size,
                                    struct hl_diagnostics *diagnostics);
/* "a list", "a mapping", "a plain word or number": what a node is, for messages. */
const char *hl_node_describe(const struct hl_node *node);

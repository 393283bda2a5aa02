/* The tree builder; see yaml.h for its limits. */
#include <assert.h>
#include <libfyaml.h>
#include <stdint.h>
#include <string.h>
#include "yaml.h"

struct anchor {
    const char *name;
    struct hl_node *node;
    bool open; /* its node is still being read: an alias to it would contain itself */
    struct anchor *next;
};

enum { ANCHORS_MAX = 1000 };

struct reader {
    struct fy_parser *parser;
    struct hl_arena *arena;
    struct hl_diagnostics *diagnostics;
    struct anchor *anchors;
    int n_anchors;
    size_t nodes;
    size_t base; /* bytes skipped before what the parser sees */
    int depth;
};

static const struct hl_hint no_hint;

static struct hl_node *read_node(struct reader *r, struct fy_event *event);

/* The next event, or NULL: then the mistake, also the parser's own, is already reported. */
static struct fy_event *next_event(struct reader *r)
{
    struct fy_event *event = fy_parser_parse(r->parser);
    if (event)
        return event;
    struct fy_diag *diag = fy_parser_get_diag(r->parser);
    void *iterator = NULL;
    const struct fy_diag_error *found = fy_diag_errors_iterate(diag, &iterator);
    size_t offset = 0;
    if (found) {
        const char *text = r->diagnostics->text + r->base, *end = r->diagnostics->text + r->diagnostics->size;
        for (int line = 1; line < found->line && text; line++) {
            text = memchr(text, '\n', (size_t)(end - text));
            text = text ? text + 1 : NULL;
        }
        offset = text ? (size_t)(text - r->diagnostics->text) : r->diagnostics->size;
        for (int column = 1; column < found->column && offset < r->diagnostics->size; offset++)
            column += ((unsigned char)r->diagnostics->text[offset] & 0xC0) != 0x80;
    }
    hl_diagnose(r->diagnostics, offset, no_hint, "not YAML: %s", found ? found->msg : "it ends too early");
    fy_diag_unref(diag);
    return NULL;
}

static size_t offset_of(const struct reader *r, struct fy_event *event)
{
    const struct fy_mark *mark = fy_event_start_mark(event);
    return mark ? r->base + mark->input_pos : r->base;
}

/* Counts `size` more nodes at `offset`; false, reported, when these are too many. */
static bool count_nodes(struct reader *r, size_t size, size_t offset)
{
    r->nodes += size;
    if (r->nodes <= HL_YAML_NODES_MAX)
        return true;
    struct hl_hint hint = { .expected = "a smaller file, or fewer aliases in aliases" };
    hl_diagnose(r->diagnostics, offset, hint, "more than %d values once its aliases are followed",
                HL_YAML_NODES_MAX);
    return false;
}

static struct hl_node *new_node(struct reader *r, enum hl_node_kind kind, size_t offset)
{
    if (!count_nodes(r, 1, offset))
        return NULL;
    struct hl_node *node = hl_arena_alloc(r->arena, sizeof *node);
    if (!node) {
        hl_diagnose_memory(r->diagnostics);
        return NULL;
    }
    *node = (struct hl_node){ .kind = kind, .offset = offset, .size = 1 };
    return node;
}

static char *token_text(struct reader *r, struct fy_token *token, size_t offset)
{
    size_t length = 0;
    const char *text = fy_token_get_text(token, &length);
    if (text && memchr(text, '\0', length)) {
        hl_diagnose(r->diagnostics, offset, no_hint, "a NUL character in a text");
        return NULL;
    }
    char *copy = hl_arena_copy(r->arena, text ? text : "", text ? length : 0);
    if (!copy)
        hl_diagnose_memory(r->diagnostics);
    return copy;
}

/* Makes the node known under its anchor, still open; true also when it has none. */
static bool add_anchor(struct reader *r, struct fy_token *token, struct hl_node *node,
                       struct anchor **ret_anchor)
{
    *ret_anchor = NULL;
    if (!token)
        return true;
    if (++r->n_anchors > ANCHORS_MAX) {
        hl_diagnose(r->diagnostics, node->offset, no_hint, "more than %d anchors", ANCHORS_MAX);
        return false;
    }
    struct anchor *anchor = hl_arena_alloc(r->arena, sizeof *anchor);
    if (!anchor) {
        hl_diagnose_memory(r->diagnostics);
        return false;
    }
    *anchor = (struct anchor){ token_text(r, token, node->offset), node, true, r->anchors };
    r->anchors = *ret_anchor = anchor;
    return anchor->name != NULL;
}

static struct hl_node *read_alias(struct reader *r, struct fy_event *event)
{
    size_t offset = offset_of(r, event);
    const char *name = token_text(r, fy_event_get_token(event), offset);
    if (!name)
        return NULL;
    const struct anchor *found = r->anchors;
    while (found && strcmp(found->name, name) != 0)
        found = found->next;
    if (!found || found->open) {
        hl_diagnose(r->diagnostics, offset, no_hint,
                    found ? "the alias *%s stands inside what &%s names, so it would contain itself"
                          : "the alias *%s has no anchor &%s before it",
                    name, name);
        return NULL;
    }
    struct hl_node *node = new_node(r, found->node->kind, offset);
    if (!node || !count_nodes(r, found->node->size - 1, offset))
        return NULL;
    *node = *found->node;
    node->offset = offset;
    return node;
}

static bool append(struct reader *r, struct hl_node *node, struct hl_entry ***tail, const struct hl_node *key,
                   const struct hl_node *value)
{
    struct hl_entry *entry = hl_arena_alloc(r->arena, sizeof *entry);
    if (!entry) {
        hl_diagnose_memory(r->diagnostics);
        return false;
    }
    *entry = (struct hl_entry){ key, value, NULL };
    **tail = entry;
    *tail = &entry->next;
    node->count++;
    node->size += value->size + (key ? key->size : 0);
    if (key && node->count > HL_YAML_KEYS_MAX) {
        hl_diagnose(r->diagnostics, key->offset, no_hint, "more than %d keys in one mapping",
                    HL_YAML_KEYS_MAX);
        return false;
    }
    return true;
}

static const struct hl_entry *find_key(const struct hl_node *map, const char *key)
{
    for (const struct hl_entry *entry = map->first; entry; entry = entry->next)
        if (strcmp(entry->key->text, key) == 0)
            return entry;
    return NULL;
}

/* Adds the entries of a map, or of each map of a list, that `map` has not got itself. */
static bool merge(struct reader *r, struct hl_node *map, struct hl_entry ***tail,
                  const struct hl_node *source)
{
    if (source->kind == HL_NODE_LIST) {
        for (const struct hl_entry *item = source->first; item; item = item->next)
            if (!merge(r, map, tail, item->value))
                return false;
        return true;
    }
    if (source->kind != HL_NODE_MAP) {
        struct hl_hint hint = { .expected = "an alias of a mapping, or a list of them: <<: *name" };
        hl_diagnose(r->diagnostics, source->offset, hint, "cannot merge %s", hl_node_describe(source));
        return false;
    }
    for (const struct hl_entry *entry = source->first; entry; entry = entry->next) {
        if (find_key(map, entry->key->text))
            continue;
        if (!count_nodes(r, entry->value->size, source->offset) ||
            !append(r, map, tail, entry->key, entry->value))
            return false;
    }
    return true;
}

static bool check_key(struct reader *r, const struct hl_node *map, const struct hl_node *key)
{
    if (key->kind != HL_NODE_SCALAR) {
        hl_diagnose(r->diagnostics, key->offset, (struct hl_hint){ .expected = "a word" }, "a key is %s",
                    hl_node_describe(key));
        return false;
    }
    if (find_key(map, key->text)) {
        hl_diagnose(r->diagnostics, key->offset, no_hint, "the key \"%.60s\" stands here for the second time",
                    key->text);
        return false;
    }
    return true;
}

/* A value that is not there has no place: it gets the one of what it should belong to. */
static void place_empty(struct hl_node *node, const struct hl_node *owner)
{
    if (node && node->kind == HL_NODE_SCALAR && node->plain && node->text[0] == '\0')
        node->offset = owner->offset;
}

static bool read_map(struct reader *r, struct hl_node *map)
{
    struct hl_entry **tail = &map->first, *merges = NULL, **merges_tail = &merges;
    for (;;) {
        struct fy_event *event = next_event(r);
        if (!event)
            return false;
        if (event->type == FYET_MAPPING_END) {
            fy_parser_event_free(r->parser, event);
            break;
        }
        struct hl_node *key = read_node(r, event);
        place_empty(key, map);
        event = key ? next_event(r) : NULL;
        struct hl_node *value = event ? read_node(r, event) : NULL;
        place_empty(value, key);
        if (!value)
            return false;
        if (key->kind == HL_NODE_SCALAR && key->plain && strcmp(key->text, "<<") == 0) {
            struct hl_node list = { 0 };
            if (!append(r, &list, &merges_tail, NULL, value))
                return false;
        } else if (!check_key(r, map, key) || !append(r, map, &tail, key, value)) {
            return false;
        }
    }
    for (const struct hl_entry *entry = merges; entry; entry = entry->next)
        if (!merge(r, map, &tail, entry->value))
            return false;
    return true;
}

static bool read_list(struct reader *r, struct hl_node *list)
{
    struct hl_entry **tail = &list->first;
    for (;;) {
        struct fy_event *event = next_event(r);
        if (!event)
            return false;
        if (event->type == FYET_SEQUENCE_END) {
            fy_parser_event_free(r->parser, event);
            return true;
        }
        struct hl_node *item = read_node(r, event);
        place_empty(item, list);
        if (!item || !append(r, list, &tail, NULL, item))
            return false;
    }
}

static bool refuse_tag(struct reader *r, struct fy_event *event)
{
    if (!fy_event_get_tag_token(event))
        return false;
    hl_diagnose(r->diagnostics, offset_of(r, event), no_hint,
                "tags such as !!str are not used in scenario files");
    return true;
}

/* A node without what is below it; NULL after a mistake. */
static struct hl_node *start_node(struct reader *r, struct fy_event *event, struct anchor **ret_anchor)
{
    enum hl_node_kind kind = event->type == FYET_SCALAR           ? HL_NODE_SCALAR
                             : event->type == FYET_SEQUENCE_START ? HL_NODE_LIST
                                                                  : HL_NODE_MAP;
    size_t offset = offset_of(r, event);
    if (r->depth >= HL_YAML_DEPTH_MAX) {
        hl_diagnose(r->diagnostics, offset, no_hint, "nested more than %d levels deep", HL_YAML_DEPTH_MAX);
        return NULL;
    }
    struct hl_node *node = refuse_tag(r, event) ? NULL : new_node(r, kind, offset);
    if (node && kind == HL_NODE_SCALAR) {
        struct fy_token *token = fy_event_get_token(event);
        enum fy_scalar_style style = token ? fy_token_scalar_style(token) : FYSS_PLAIN;
        node->plain = style == FYSS_PLAIN;
        if (style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED)
            node->offset = offset - 1; /* the mark is behind the quote */
        node->text = token_text(r, token, offset);
        if (!node->text)
            return NULL;
    }
    return node && add_anchor(r, fy_event_get_anchor_token(event), node, ret_anchor) ? node : NULL;
}

/* Reads the node that starts with `event`, which it frees; NULL after a mistake. */
static struct hl_node *read_node(struct reader *r, struct fy_event *event)
{
    const enum fy_event_type type = event->type;
    assert(type == FYET_ALIAS || type == FYET_SCALAR || type == FYET_SEQUENCE_START ||
           type == FYET_MAPPING_START);
    struct anchor *anchor = NULL;
    struct hl_node *node = type == FYET_ALIAS ? read_alias(r, event) : start_node(r, event, &anchor);
    fy_parser_event_free(r->parser, event);
    if (!node || type == FYET_ALIAS || node->kind == HL_NODE_SCALAR) {
        if (anchor)
            anchor->open = false;
        return node;
    }
    r->depth++;
    bool ok = node->kind == HL_NODE_LIST ? read_list(r, node) : read_map(r, node);
    r->depth--;
    if (anchor)
        anchor->open = false;
    return ok ? node : NULL;
}

/* Reads events up to the root node's first one, then the node, then checks that nothing follows. */
static const struct hl_node *read_document(struct reader *r)
{
    const struct hl_node *root = NULL;
    for (;;) {
        struct fy_event *event = next_event(r);
        if (!event)
            return NULL;
        enum fy_event_type type = event->type;
        size_t offset = offset_of(r, event);
        if (type == FYET_STREAM_START || type == FYET_DOCUMENT_START || type == FYET_DOCUMENT_END ||
            type == FYET_STREAM_END) {
            fy_parser_event_free(r->parser, event);
            if (type == FYET_DOCUMENT_START && root) {
                hl_diagnose(r->diagnostics, offset, no_hint, "a second document: a scenario file holds one");
                return NULL;
            }
            if (type != FYET_STREAM_END)
                continue;
            if (!root)
                hl_diagnose(r->diagnostics, 0, no_hint, "there is no scenario in this file");
            return root;
        }
        root = read_node(r, event);
        if (!root)
            return NULL;
    }
}

/* Offset of the first byte that is not UTF-8 text, or `size`. */
static size_t find_binary(const char *text, size_t size)
{
    const unsigned char *s = (const unsigned char *)text;
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    for (size_t i = 0; i < size;) {
        int more = s[i] < 0x80 ? 0 : s[i] >> 5 == 6 ? 1 : s[i] >> 4 == 14 ? 2 : s[i] >> 3 == 30 ? 3 : -1;
        if (s[i] == 0 || more < 0 || size - i <= (size_t)more)
            return i;
        uint32_t point = more ? s[i] & (0x3Fu >> more) : s[i];
        for (int k = 1; k <= more; k++) {
            if ((s[i + (size_t)k] & 0xC0) != 0x80)
                return i;
            point = point << 6 | (s[i + (size_t)k] & 0x3F);
        }
        if (point < least[more] || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000))
            return i;
        i += (size_t)more + 1;
    }
    return size;
}

static const struct hl_node *parse_text(struct reader *r, const char *text, size_t size)
{
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL;
    struct fy_diag *diag = fy_diag_create(&diag_cfg);
    if (!diag) {
        hl_diagnose_memory(r->diagnostics);
        return NULL;
    }
    fy_diag_set_collect_errors(diag, true);
    struct fy_parse_cfg cfg = { .flags = FYPCF_QUIET, .diag = diag };
    const struct hl_node *root = NULL;
    r->parser = fy_parser_create(&cfg);
    if (!r->parser || fy_parser_set_string(r->parser, text, size))
        hl_diagnose_memory(r->diagnostics);
    else
        root = read_document(r);
    if (r->parser)
        fy_parser_destroy(r->parser);
    fy_diag_destroy(diag);
    return root;
}

const struct hl_node *hl_yaml_parse(struct hl_arena *arena, const char *text, size_t size,
                                    struct hl_diagnostics *diagnostics)
{
    struct reader reader = { .arena = arena, .diagnostics = diagnostics };
    if (size > HL_YAML_BYTES_MAX) {
        hl_diagnose(diagnostics, 0, no_hint,
                    "the file has more than %d bytes, which is the most for a scenario", HL_YAML_BYTES_MAX);
        return NULL;
    }
    size_t binary = find_binary(text, size);
    if (binary < size) {
        hl_diagnose(diagnostics, binary, (struct hl_hint){ .expected = "text in UTF-8" },
                    "not a text file: byte 0x%02x", (unsigned char)text[binary]);
        return NULL;
    }
    static const char mark[] = "\xEF\xBB\xBF";
    if (size >= 3 && memcmp(text, mark, 3) == 0)
        reader.base = 3;
    return parse_text(&reader, text + reader.base, size - reader.base);
}

const char *hl_node_describe(const struct hl_node *node)
{
    switch (node->kind) {
    case HL_NODE_SCALAR: return node->text[0] == '\0' && node->plain ? "nothing" : "a single value";
    case HL_NODE_LIST: return "a list";
    case HL_NODE_MAP: return "a mapping";
    }
    return "?";
}

/* A scenario built in code becomes the text of a scenario file: it means the same, and its mistakes are told
 * by the same diagnostics, with the line that was wrong. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "library.h"

struct entry {
    char *path, *value;
    bool is_item; /* of the list at `path` */
};

struct hl_builder {
    struct entry *entries;
    size_t n;
    struct hl_error error; /* the first mistake */
};

static struct entry *find(struct hl_builder *b, const char *path)
{
    for (size_t i = 0; i < b->n; i++)
        if (!b->entries[i].is_item && strcmp(b->entries[i].path, path) == 0)
            return &b->entries[i];
    return NULL;
}

/* Takes `value` over. */
static void put(struct hl_builder *b, const char *path, char *value, bool is_item)
{
    struct entry *old = is_item ? NULL : find(b, path);
    if (old) {
        free(old->value);
        old->value = value;
        return;
    }
    struct entry *more = realloc(b->entries, (b->n + 1) * sizeof *more);
    char *copy = more ? strdup(path) : NULL;
    if (more)
        b->entries = more;
    if (!copy) {
        free(value);
        hl_fail(&b->error, HL_STATUS_MEMORY, "out of memory");
        return;
    }
    b->entries[b->n++] = (struct entry){ copy, value, is_item };
}

static void say(struct hl_builder *b, const char *path, bool is_item, const char *format, va_list arguments)
{
    char *value;
    if (b->error.status != HL_STATUS_OK)
        return;
    if (vasprintf(&value, format, arguments) < 0) {
        hl_fail(&b->error, HL_STATUS_MEMORY, "out of memory");
    } else if (strchr(value, '\n') || strchr(path, '\n')) {
        hl_fail(&b->error, HL_STATUS_USAGE, "%s: a value takes one line; lists are [a, b], mappings {a: b}",
                path);
        free(value);
    } else {
        put(b, path, value, is_item);
    }
}

struct hl_builder *hl_builder_create(const char *name)
{
    struct hl_builder *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    hl_builder_set(b, "hanglab", "1");
    hl_builder_set(b, "name", "%s", name);
    return b;
}

void hl_builder_destroy(struct hl_builder *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->n; i++) {
        free(b->entries[i].path);
        free(b->entries[i].value);
    }
    free(b->entries);
    free(b);
}

void hl_builder_set(struct hl_builder *b, const char *path, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(b, path, false, format, arguments);
    va_end(arguments);
}

void hl_builder_add(struct hl_builder *b, const char *list, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(b, list, true, format, arguments);
    va_end(arguments);
}

/* Length of the key that follows the first `level` bytes of a path. An axis of the matrix is one key. */
static size_t key_length(const char *path, size_t level)
{
    const bool in_matrix = level > 0 && strncmp(path, "matrix.", level) == 0;
    return in_matrix ? strlen(path + level) : strcspn(path + level, ".");
}

/* Do both say something about one key: each a value, each an item, or each something below it? What differs
 * in that is written twice, so that the parser complains. */
static bool same_key(const struct entry *a, const struct entry *b, size_t level, size_t length)
{
    return strncmp(a->path, b->path, level + length) == 0 && a->is_item == b->is_item &&
           key_length(a->path, level) == length && !a->path[level + length] == !b->path[level + length];
}

/* Writes the keys that stand below the first `level` bytes of the path of entry `first`. */
static void write_level(const struct hl_builder *b, size_t first, size_t level, int indent, FILE *out)
{
    for (size_t i = first; i < b->n; i++) {
        const struct entry *e = &b->entries[i];
        if (strncmp(e->path, b->entries[first].path, level) != 0)
            continue;
        const size_t length = key_length(e->path, level);
        size_t earlier = first;
        while (!same_key(&b->entries[earlier], e, level, length))
            earlier++;
        if (earlier < i)
            continue;
        fprintf(out, "%*s%.*s:", indent, "", (int)length, e->path + level);
        if (e->path[level + length]) {
            fputc('\n', out);
            write_level(b, i, level + length + 1, indent + 2, out);
        } else if (!e->is_item) {
            fprintf(out, " %s\n", e->value);
        } else {
            fputc('\n', out);
            for (size_t k = i; k < b->n; k++)
                if (b->entries[k].is_item && strcmp(b->entries[k].path, e->path) == 0)
                    fprintf(out, "%*s- %s\n", indent + 2, "", b->entries[k].value);
        }
    }
}

enum hl_status hl_builder_build(const struct hl_builder *b, struct hl_cases **ret_cases,
                                struct hl_error *error)
{
    char *text = NULL;
    size_t size = 0;
    if (b->error.status != HL_STATUS_OK)
        return hl_fail(error, b->error.status, "%s", b->error.message);
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    write_level(b, 0, 0, 0, out);
    enum hl_status status = HL_STATUS_OK;
    if (fclose(out) != 0)
        status = hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    else
        status = hl_cases_parse("(built in code)", text, size, ret_cases, error);
    free(text);
    return status;
}

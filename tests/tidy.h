/* The rules of the house, as functions from a text to complaints, so that test_tidy.c can hold them against
 * the tree and also against planted mistakes: a rule that finds nothing anywhere proves nothing. */
#pragma once
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HL_FILE_LINES_MAX 500
#define HL_FUNCTION_LINES_MAX 70
#define HL_COLUMNS_MAX 110

/* Complaints, one a line: "path:line: what". */
struct hl_complaints {
    char *text;
    size_t size;
    FILE *out;
};

static inline void hl_complaints_init(struct hl_complaints *complaints)
{
    complaints->out = open_memstream(&complaints->text, &complaints->size);
    if (complaints->out == NULL)
        abort();
}

/* The text, to be freed by the caller. */
static inline char *hl_complaints_finish(struct hl_complaints *complaints)
{
    fclose(complaints->out);
    return complaints->text;
}

/* A rule looks at one file; `path` is relative to the source root. */
typedef void (*hl_rule)(const char *path, const char *text, FILE *out);

static inline bool hl_has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static inline bool hl_has_suffix(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && strcmp(text + n - m, suffix) == 0;
}

static inline bool hl_is_c(const char *path)
{
    return hl_has_suffix(path, ".c") || hl_has_suffix(path, ".h") || hl_has_suffix(path, ".cu") ||
           hl_has_suffix(path, ".cuh");
}

/* Walks the lines of a text: for (struct hl_line l = hl_first_line(text); l.start != NULL; hl_next_line(&l))
 */
struct hl_line {
    const char *start;
    size_t length; /* without the newline */
    int number;
};

static inline struct hl_line hl_line_at(const char *start, int number)
{
    return (struct hl_line){ *start == '\0' ? NULL : start, strcspn(start, "\n"), number };
}

static inline struct hl_line hl_first_line(const char *text) { return hl_line_at(text, 1); }

static inline void hl_next_line(struct hl_line *line)
{
    const char *end = line->start + line->length;
    *line = hl_line_at(*end == '\n' ? end + 1 : end, line->number + 1);
}

static inline bool hl_line_has(const struct hl_line *line, const char *needle)
{
    return memmem(line->start, line->length, needle, strlen(needle)) != NULL;
}

/* UTF-8 code points: continuation bytes take no column. */
static inline int hl_columns(const struct hl_line *line)
{
    int columns = 0;
    for (size_t i = 0; i < line->length; i++)
        columns += ((unsigned char)line->start[i] & 0xC0) != 0x80;
    return columns;
}

static inline void hl_rule_file_length(const char *path, const char *text, FILE *out)
{
    int lines = 0;
    for (struct hl_line l = hl_first_line(text); l.start != NULL; hl_next_line(&l))
        lines = l.number;
    if (lines > HL_FILE_LINES_MAX)
        fprintf(out, "%s:%d: the file has more than %d lines\n", path, lines, HL_FILE_LINES_MAX);
}

/* A row of a table, X(ID, "name", "doc"), stays on its line however long its text. */
static inline bool hl_is_table_row(const struct hl_line *line)
{
    size_t blanks = strspn(line->start, " ");
    return hl_has_prefix(line->start + blanks, "X(");
}

static inline void hl_rule_lines(const char *path, const char *text, FILE *out)
{
    size_t size = strlen(text);
    for (struct hl_line l = hl_first_line(text); l.start != NULL; hl_next_line(&l)) {
        if (hl_is_c(path) && hl_columns(&l) > HL_COLUMNS_MAX && !hl_is_table_row(&l))
            fprintf(out, "%s:%d: %d columns, at most %d\n", path, l.number, hl_columns(&l), HL_COLUMNS_MAX);
        if (hl_is_c(path) && memchr(l.start, '\t', l.length) != NULL)
            fprintf(out, "%s:%d: a tab\n", path, l.number);
        if (l.length > 0 && strchr(" \t\r", l.start[l.length - 1]) != NULL)
            fprintf(out, "%s:%d: blanks at the end of the line\n", path, l.number);
    }
    if (size > 0 && text[size - 1] != '\n')
        fprintf(out, "%s: no newline at the end\n", path);
}

/* In this style a function's body opens with a brace alone in column 0 and closes with one. */
static inline void hl_rule_function_length(const char *path, const char *text, FILE *out)
{
    if (!hl_is_c(path))
        return;
    int opened = 0;
    for (struct hl_line l = hl_first_line(text); l.start != NULL; hl_next_line(&l)) {
        if (l.length == 1 && l.start[0] == '{')
            opened = l.number;
        if (l.length == 0 || l.start[0] != '}' || opened == 0)
            continue;
        if (l.number - opened - 1 > HL_FUNCTION_LINES_MAX)
            fprintf(out, "%s:%d: a function of %d lines, at most %d\n", path, opened, l.number - opened - 1,
                    HL_FUNCTION_LINES_MAX);
        opened = 0;
    }
}

static inline void hl_rule_opening_paragraph(const char *path, const char *text, FILE *out)
{
    if (hl_is_c(path) && !hl_has_prefix(text, "/*") && !hl_has_prefix(text, "//"))
        fprintf(out, "%s:1: the file does not open with a paragraph that says why it exists\n", path);
}

/* Only the command prints; the library hands back text, writes to a FILE it was given, or fails with a
 * message. */
static inline void hl_rule_silent_library(const char *path, const char *text, FILE *out)
{
    static const char *const calls[] = { "printf(", "vprintf(", "puts(", "putchar(", "perror(" };
    if (!hl_is_c(path) || !hl_has_prefix(path, "framework/") || hl_has_prefix(path, "framework/cli/"))
        return;
    for (struct hl_line l = hl_first_line(text); l.start != NULL; hl_next_line(&l))
        for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
            const char *at = memmem(l.start, l.length, calls[i], strlen(calls[i]));
            if (at != NULL && (at == l.start || strchr(" \t;({", at[-1]) != NULL))
                fprintf(out, "%s:%d: %s) outside framework/cli\n", path, l.number, calls[i]);
        }
}

/* Written in two parts, so that this file does not break the rule itself. */
static inline void hl_rule_no_machine_paths(const char *path, const char *text, FILE *out)
{
    static const char *const paths[] = { "/wor"
                                         "k/",
                                         "/roo"
                                         "t/",
                                         "/hom"
                                         "e/" };
    for (struct hl_line l = hl_first_line(text); l.start != NULL; hl_next_line(&l))
        for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
            const char *at = memmem(l.start, l.length, paths[i], strlen(paths[i]));
            if (at != NULL && (at == l.start || strchr(" \t\"'=:(<`", at[-1]) != NULL))
                fprintf(out, "%s:%d: a path of one machine: %s\n", path, l.number, paths[i]);
        }
}

/* The road, in order: a part includes itself, what stands before it, and what it may always know. */
struct hl_part {
    const char *folder;
    int place; /* on the road; 0: off it */
};

static const struct hl_part hl_parts[] = {
    { "framework/include/", 1 },
    { "framework/scenario/", 2 },
    { "framework/program/", 3 },
    { "framework/fault/", 4 },
    { "framework/subject/", 5 },
    { "framework/engine/", 6 },
    { "framework/verdict/", 7 },
    { "framework/campaign/", 8 },
    { "framework/search/", 9 },
    { "reports/", 10 },
    { "framework/cli/", 11 },
    { "framework/library/", 12 },
    { "tests/", 13 },
};

static inline int hl_place(const char *path)
{
    for (size_t i = 0; i < sizeof(hl_parts) / sizeof(*hl_parts); i++)
        if (hl_has_prefix(path, hl_parts[i].folder))
            return hl_parts[i].place;
    return 0;
}

/* May `from` include `to`? Both relative to the source root. */
static inline bool hl_may_include(const char *from, const char *to)
{
    if (hl_has_prefix(from, "kernels/subjects/")) /* plugins: they know what any user's plugin knows */
        return hl_has_prefix(to, "framework/include/");
    if (hl_has_prefix(from, "kernels/"))
        return hl_has_prefix(to, "kernels/");
    if (hl_has_prefix(to, "kernels/"))
        return true;
    if (hl_has_prefix(from, "watchdog/"))
        return hl_has_prefix(to, "watchdog/");
    if (hl_has_prefix(to, "watchdog/"))
        return hl_place(from) >= hl_place("framework/engine/");
    return hl_place(to) > 0 && hl_place(to) <= hl_place(from);
}

/* Resolves "../a/b.h" against the folder of `from`: to a path relative to the source root. */
static inline void hl_resolve(const char *from, const char *name, size_t length, char *ret_path, size_t size)
{
    const char *slash = strrchr(from, '/');
    int folder = slash == NULL ? 0 : (int)(slash - from);
    while (length > 3 && hl_has_prefix(name, "../")) {
        while (folder > 0 && from[--folder] != '/') {
        }
        name += 3, length -= 3;
    }
    snprintf(ret_path, size, "%.*s%s%.*s", folder, from, folder > 0 ? "/" : "", (int)length, name);
}

/* The name between the quotes of an #include line; its length, or 0. */
static inline size_t hl_included(const struct hl_line *line, const char **ret_name)
{
    const char *end = line->start + line->length;
    if (line->length == 0 || line->start[0] != '#' || !hl_line_has(line, "include"))
        return 0;
    const char *open = memchr(line->start, '"', line->length);
    const char *close = open == NULL ? NULL : memchr(open + 1, '"', (size_t)(end - open - 1));
    if (close == NULL)
        return 0;
    *ret_name = open + 1;
    return (size_t)(close - open - 1);
}

static inline void hl_rule_include_direction(const char *path, const char *text, FILE *out)
{
    if (!hl_is_c(path) ||
        (hl_place(path) == 0 && !hl_has_prefix(path, "kernels/") && !hl_has_prefix(path, "watchdog/")))
        return;
    for (struct hl_line l = hl_first_line(text); l.start != NULL; hl_next_line(&l)) {
        const char *name;
        char target[512];
        size_t length = hl_included(&l, &name);
        if (length == 0)
            continue;
        if (hl_has_prefix(name, "hanglab/"))
            snprintf(target, sizeof(target), "framework/include/%.*s", (int)length, name);
        else if (hl_has_prefix(name, "kernels/") || hl_has_prefix(name, "framework/") ||
                 hl_has_prefix(name, "watchdog/"))
            snprintf(target, sizeof(target), "%.*s", (int)length, name);
        else
            hl_resolve(path, name, length, target, sizeof(target));
        if (!hl_may_include(path, target))
            fprintf(out, "%s:%d: includes %s, against the direction of the road\n", path, l.number, target);
    }
}

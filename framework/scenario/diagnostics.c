/* Turns byte offsets into lines, columns and carets. Columns count characters, not bytes, from 1. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "diagnostics.h"

/* A line longer than this is shown as a window around the caret. */
enum { WINDOW_BYTES = 100, MORE_BYTES = 64, SHOWN_MAX = 10 };

struct hl_diagnostics hl_diagnostics_init(const char *name, const char *text, size_t size,
                                          struct hl_error *error)
{
    return (struct hl_diagnostics){ .name = name, .text = text, .size = size, .error = error };
}

static bool is_continuation(char byte) { return ((unsigned char)byte & 0xC0) == 0x80; }

struct place {
    size_t line, column;
    const char *begin, *end; /* of the line */
};

static struct place place_of(const struct hl_diagnostics *d, size_t offset)
{
    if (offset > d->size)
        offset = d->size;
    struct place place = { .line = 1, .column = 1, .begin = d->text };
    for (size_t i = 0; i < offset; i++)
        if (d->text[i] == '\n') {
            place.line++;
            place.begin = d->text + i + 1;
        }
    for (const char *c = place.begin; c < d->text + offset; c++)
        place.column += !is_continuation(*c);
    place.end = memchr(place.begin, '\n', d->size - (size_t)(place.begin - d->text));
    if (!place.end)
        place.end = d->text + d->size;
    if (place.end > place.begin && place.end[-1] == '\r')
        place.end--;
    return place;
}

/* The source line, or a window of it, and the caret below; what a terminal might obey is blanked. */
static int print_source(char *out, size_t room, const struct place *place, const char *at)
{
    const char *begin = place->begin, *end = place->end;
    if (end - begin > WINDOW_BYTES && at - begin > WINDOW_BYTES / 2)
        begin = at - WINDOW_BYTES / 2;
    while (begin > place->begin && is_continuation(*begin))
        begin--;
    if (end - begin > WINDOW_BYTES)
        end = begin + WINDOW_BYTES;
    while (end < place->end && is_continuation(*end))
        end++;
    char source[WINDOW_BYTES + 8], caret[WINDOW_BYTES + 8];
    size_t n = 0, blanks = 0;
    for (const char *c = begin; c < end; c++) {
        unsigned char byte = (unsigned char)*c;
        source[n++] = byte == '\t' || (byte >= 0x20 && byte != 0x7F) ? *c : '?';
        if (c < at && !is_continuation(*c))
            caret[blanks++] = *c == '\t' ? '\t' : ' ';
    }
    return snprintf(out, room, "%.*s\n%.*s^", (int)n, source, (int)blanks, caret);
}

/* Appends when all of it fits, so that no diagnostic is cut in the middle. */
static bool append(struct hl_diagnostics *d, const char *text)
{
    size_t size = strlen(text), capacity = sizeof d->error->message - MORE_BYTES;
    bool first = d->shown == 0;
    if (d->length + size + !first >= capacity)
        return false;
    char *end = d->error->message + d->length;
    d->length += (size_t)sprintf(end, "%s%s", first ? "" : "\n", text);
    d->shown++;
    return true;
}

void hl_diagnose(struct hl_diagnostics *d, size_t offset, struct hl_hint hint, const char *format, ...)
{
    d->count++;
    if (!d->error || d->shown + 1 < d->count || d->shown >= SHOWN_MAX)
        return;
    struct place place = place_of(d, offset);
    const char *at = d->text + (offset < d->size ? offset : d->size);
    char text[sizeof d->error->message - MORE_BYTES];
    size_t room = sizeof text, n = 0;
#define PRINT(...) \
    (n += (size_t)snprintf(text + n, n < room ? room - n : 0, __VA_ARGS__), n = n < room ? n : room - 1)
    PRINT("%.200s:%zu:%zu: error: ", d->name, place.line, place.column);
    va_list args;
    va_start(args, format);
    n += (size_t)vsnprintf(text + n, room - n, format, args);
    va_end(args);
    n = n < room ? n : room - 1;
    PRINT("\n");
    n += (size_t)print_source(text + n, room - n, &place, at);
    n = n < room ? n : room - 1;
    if (hint.expected)
        PRINT("\nexpected %s", hint.expected);
    if (hint.nearest)
        PRINT("\ndid you mean \"%s\"?", hint.nearest);
#undef PRINT
    append(d, text);
}

void hl_diagnose_memory(struct hl_diagnostics *d)
{
    d->count++;
    d->out_of_memory = true;
}

enum hl_status hl_diagnostics_finish(struct hl_diagnostics *d)
{
    if (d->out_of_memory)
        return hl_fail(d->error, HL_STATUS_MEMORY, "%.200s: out of memory while reading the scenario",
                       d->name);
    if (d->count == 0)
        return HL_STATUS_OK;
    if (!d->error)
        return HL_STATUS_USAGE;
    d->error->status = HL_STATUS_USAGE;
    if (d->shown < d->count)
        sprintf(d->error->message + d->length, "\n... and %d more", d->count - d->shown);
    return HL_STATUS_USAGE;
}

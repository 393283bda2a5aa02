/* Tables for the terminal. A cell that is too long goes on in the next line: nothing is cut. */
#include "table.h"
#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define NARROWEST 12
#define NARROWEST_HEADING 16 /* up to here a heading stays whole */
#define COLUMNS_MAX 32

bool hl_table_init(struct hl_table *table, int columns, int rows)
{
    assert(columns > 0 && columns <= COLUMNS_MAX);
    *table =
        (struct hl_table){ columns, rows, calloc((size_t)columns * (size_t)rows, sizeof(struct hl_cell)) };
    return table->cells != NULL;
}

void hl_table_finish(struct hl_table *table)
{
    free(table->cells);
    table->cells = NULL;
}

void hl_table_set(struct hl_table *table, int row, int column, enum hl_colour colour, const char *format, ...)
{
    assert(row < table->rows && column < table->columns);
    struct hl_cell *cell = &table->cells[row * table->columns + column];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(cell->text, sizeof cell->text, format, arguments);
    va_end(arguments);
    cell->colour = colour;
}

const char *hl_colour_on(enum hl_colour which, bool colour)
{
    if (!colour)
        return "";
    switch (which) {
    case HL_COLOUR_NONE: return "";
    case HL_COLOUR_GOOD: return "\033[32m";
    case HL_COLOUR_BAD: return "\033[31m";
    case HL_COLOUR_DOUBT: return "\033[33m";
    case HL_COLOUR_LOUD: return "\033[1;31m";
    case HL_COLOUR_DIM: return "\033[2m";
    }
    return "";
}

const char *hl_colour_off(bool colour) { return colour ? "\033[0m" : ""; }

static const char *shown(const struct hl_cell *cell) { return cell->text[0] ? cell->text : "-"; }

static void measure(const struct hl_table *table, int *widths)
{
    for (int column = 0; column < table->columns; column++) {
        widths[column] = 1;
        for (int row = 0; row < table->rows; row++) {
            const int length = (int)strlen(shown(&table->cells[row * table->columns + column]));
            if (length > widths[column])
                widths[column] = length;
        }
    }
}

static int narrowest(const struct hl_table *table, int column)
{
    const int heading = (int)strlen(shown(&table->cells[column]));
    return heading > NARROWEST && heading <= NARROWEST_HEADING ? heading : NARROWEST;
}

/* False: even so the table is wider than `width`. */
static bool shrink(const struct hl_table *table, int *widths, int flexible, int gap, int width)
{
    int total = gap;
    for (int column = 0; column < table->columns; column++)
        total += widths[column] + gap;
    for (; total > width; total--) {
        int widest = -1;
        for (int column = 0; column < flexible; column++)
            if (widths[column] > narrowest(table, column) && (widest < 0 || widths[column] > widths[widest]))
                widest = column;
        if (widest < 0)
            return false;
        widths[widest]--;
    }
    return true;
}

/* Length of the piece of `text` that goes on one line: up to the last space or comma that fits. */
static int piece(const char *text, int width)
{
    const int length = (int)strlen(text);
    if (length <= width)
        return length;
    for (int n = width; n > 1; n--)
        if (text[n - 1] == ' ' || text[n - 1] == ',')
            return n;
    return width;
}

static void write_piece(const char *text, int length, int width, enum hl_colour which, bool colour, FILE *out)
{
    const bool paint = colour && which != HL_COLOUR_NONE;
    fprintf(out, "%s%.*s%s", hl_colour_on(which, paint), length, text, hl_colour_off(paint));
    if (length < width)
        fprintf(out, "%*s", width - length, "");
}

/* A row takes as many lines as its longest cell. */
static void write_row(const struct hl_table *table, int row, const int *widths, int gap, bool colour,
                      FILE *out)
{
    const struct hl_cell *cells = &table->cells[row * table->columns];
    const char *rest[COLUMNS_MAX];
    for (int column = 0; column < table->columns; column++)
        rest[column] = shown(&cells[column]);
    for (bool more = true; more;) {
        int last = table->columns - 1; /* nothing is written behind the last cell of a line */
        while (last > 0 && !*rest[last])
            last--;
        more = false;
        for (int column = 0; column <= last; column++) {
            const int n = piece(rest[column], widths[column]);
            fprintf(out, "%*s", gap, "");
            write_piece(rest[column], n, column == last ? 0 : widths[column], cells[column].colour, colour,
                        out);
            rest[column] += n + (int)strspn(rest[column] + n, " ");
            more |= *rest[column] != '\0';
        }
        fputc('\n', out);
    }
}

void hl_table_write(const struct hl_table *table, int flexible, int width, bool colour, FILE *out)
{
    int widths[COLUMNS_MAX], gap = 2;
    measure(table, widths);
    if (!shrink(table, widths, flexible, gap, width)) {
        gap = 1; /* closer, then; and with what that leaves for the names */
        measure(table, widths);
        shrink(table, widths, flexible, gap, width);
    }
    for (int row = 0; row < table->rows; row++)
        write_row(table, row, widths, gap, colour, out);
}

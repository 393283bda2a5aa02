/* Tables for the terminal. */
#include "table.h"
#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define GAP 2
#define NARROWEST 12
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

static void shrink(int *widths, int columns, int flexible, int width)
{
    int total = GAP;
    for (int column = 0; column < columns; column++)
        total += widths[column] + GAP;
    while (total > width) {
        int widest = -1;
        for (int column = 0; column < flexible; column++)
            if (widths[column] > NARROWEST && (widest < 0 || widths[column] > widths[widest]))
                widest = column;
        if (widest < 0)
            return;
        widths[widest]--;
        total--;
    }
}

static void write_cell(const struct hl_cell *cell, int width, bool last, bool colour, FILE *out)
{
    const char *text = shown(cell);
    const int length = (int)strlen(text);
    const bool paint = colour && cell->colour != HL_COLOUR_NONE;
    fprintf(out, "%*s%s", GAP, "", hl_colour_on(cell->colour, paint));
    if (length > width)
        fprintf(out, "%.*s..", width - 2, text);
    else
        fputs(text, out);
    fputs(hl_colour_off(paint), out);
    if (!last && length < width)
        fprintf(out, "%*s", width - length, "");
}

void hl_table_write(const struct hl_table *table, int flexible, int width, bool colour, FILE *out)
{
    int widths[COLUMNS_MAX];
    measure(table, widths);
    shrink(widths, table->columns, flexible, width);
    for (int row = 0; row < table->rows; row++) {
        for (int column = 0; column < table->columns; column++)
            write_cell(&table->cells[row * table->columns + column], widths[column],
                       column == table->columns - 1, colour, out);
        fputc('\n', out);
    }
}

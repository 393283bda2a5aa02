/* A table of text: columns as wide as their widest cell, wrapped where a reader would lose the line. */
#pragma once
#include <stdbool.h>
#include <stdio.h>

/* ANSI colours that carry meaning. */
enum hl_colour {
    HL_COLOUR_NONE,
    HL_COLOUR_GOOD,
    HL_COLOUR_BAD,
    HL_COLOUR_DOUBT,
    HL_COLOUR_LOUD,
    HL_COLOUR_DIM
};

#define HL_CELL_MAX 128
struct hl_cell {
    char text[HL_CELL_MAX];
    enum hl_colour colour;
};

/* Row 0 holds the headings. */
struct hl_table {
    int columns, rows;
    struct hl_cell *cells; /* [rows][columns] */
};

bool hl_table_init(struct hl_table *table, int columns, int rows); /* false: out of memory */
void hl_table_finish(struct hl_table *table);
/* Cells longer than a cell can be are cut; the empty text is shown as "-". */
void hl_table_set(struct hl_table *table, int row, int column, enum hl_colour colour, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* While the table is wider than `width`, its `flexible` first columns shrink, but not below 12 or their
 * heading, and then all columns move closer. */
void hl_table_write(const struct hl_table *table, int flexible, int width, bool colour, FILE *out);

/* "" when colour is off. */
const char *hl_colour_on(enum hl_colour which, bool colour);
const char *hl_colour_off(bool colour);

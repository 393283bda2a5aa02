/* The field tables: one row for each key of a scenario file.
 *
 * A row says where the key stands, what it takes, its range, unit, default and meaning, and where its
 * value goes. Reading, range checks, unknown keys, matrix axes, conditions, `hanglab schema` and writing a
 * case back all follow these rows; nothing else in hanglab knows the keys. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "words.h"

enum hl_kind {
    HL_KIND_SECTION,  /* a mapping; its keys are the rows below it, with its path and a dot in front */
    HL_KIND_INT,      /* int or uint32_t */
    HL_KIND_REAL,     /* double */
    HL_KIND_BOOL,     /* bool */
    HL_KIND_FLAG,     /* int: 0, 1, or -1 when not given */
    HL_KIND_WORD,     /* enum or int */
    HL_KIND_DURATION, /* uint64_t: nanoseconds */
    HL_KIND_SIZES,    /* schedule.sizes and schedule.n_sizes: one integer or a list of them */
    HL_KIND_NAME,     /* char[HL_NAME_MAX] */
    HL_KIND_PATH,     /* char[HL_NAME_MAX]; "none" is "" */
    HL_KIND_OTHER,    /* has a reader of its own: title, faults, matrix, exclude, expect */
};

struct hl_field {
    const char *path; /* dotted */
    enum hl_kind kind;
    size_t offset;                /* of the value in the table's struct */
    double min, max;              /* INT, REAL, DURATION (ns), SIZES (each of them) */
    const int *choices;           /* INT: the only values, ended by 0 */
    int multiple_of;              /* INT */
    const struct hl_words *words; /* WORD */
    const char *also;             /* INT, REAL, WORD, DURATION: a word that stands for the value also_value */
    int also_value;
    const char *initial; /* default, as a file would say it; NULL: none, absent stays `absent` */
    int absent;          /* INT, FLAG, WORD, DURATION: value that says "not given" */
    bool required;
    bool fixed; /* no matrix axis and no condition may name it */
    const char *doc;
};

struct hl_field_table {
    const struct hl_field *rows;
    int count;
};

extern const struct hl_field_table hl_scenario_fields; /* of struct hl_config */
extern const struct hl_field_table hl_fault_fields;    /* of struct hl_fault */
extern const struct hl_field_table hl_expect_fields;   /* of struct hl_expectation */

enum { HL_FIELDS_MAX = 128, HL_RULES_MAX = 1000, HL_CHOICES_MAX = 1000, HL_CASES_MAX = 100000 };

/* The row with this path, or NULL. */
const struct hl_field *hl_field_find(const struct hl_field_table *table, const char *path);
/* The row's number: for arrays that go with a table. */
int hl_field_index(const struct hl_field_table *table, const char *path);
/* Is `field` a key of the section `section` ("": of the top level)? Returns the key, or NULL. */
const char *hl_field_key(const struct hl_field *field, const char *section);

/* A dotted path into struct hl_config, such as schedule.sizes or faults.0.rank. */
struct hl_path {
    const struct hl_field *field;
    size_t base; /* of the struct that the field is in, within struct hl_config */
    int fault;   /* index, or -1 */
};

/* False when the path names no value. `ret_nearest` (room for `size`) then takes the nearest path, or "". */
bool hl_path_find(const char *path, struct hl_path *ret_path, char *ret_nearest, size_t size);

/* Scenario files: YAML to cases. Parsed with libfyaml; a mistake gets file:line:column, the line with a
 * caret, what was expected and the nearest valid word, and nothing runs. */
#pragma once
#include <stdio.h>
#include "hanglab/config.h"
#include "hanglab/error.h"
#include "hanglab/verdict.h"

/* What a case chose on one axis of the matrix: its path and the value in canonical spelling ("4", "5ms",
 * "[512,256]"), or its name and the name of the choice. */
struct hl_param {
    const char *path;
    const char *value;
};

struct hl_expectation {
    enum hl_verdict verdict;
    int cause;                 /* enum hl_cause, or -1: any */
    double rate_min, rate_max; /* of hangs (or of the verdict expected); 0 and 1: no bound */
};

struct hl_case {
    char *id; /* "name" or "name/path=value,path=value" in matrix order */
    struct hl_config config;
    struct hl_param *params; /* the matrix axes' values of this case */
    int n_params;
    struct hl_expectation expected;
};

struct hl_arena;
struct hl_scenario {
    struct hl_arena *arena; /* owns all of it */
    char *path;
    char *name, *title;
    struct hl_case *cases;
    size_t n_cases;
};

/* Reads, checks and expands a file. On failure nothing is allocated and *error holds the diagnostics. */
enum hl_status hl_scenario_load(const char *path, struct hl_scenario **ret_scenario, struct hl_error *error);

/* The matrix before it is expanded, for whoever wants some of its cases only. */
struct hl_matrix {
    int n_axes;
    const int *n_choices; /* by axis */
    const void *rules;
    /* Does a rule exclude every case with these choices? -1: any choice of that axis. */
    bool (*excludes)(const struct hl_matrix *matrix, const int *choices);
};

/* Chooses cases: *ret_rows, from malloc(), holds n_axes choices for each of them. */
struct hl_selector {
    const void *user;
    enum hl_status (*select)(const void *user, const struct hl_matrix *matrix, int **ret_rows,
                             size_t *ret_count, struct hl_error *error);
};

/* hl_scenario_load(), expanding only what the selector chooses (NULL: all): the matrix itself may then be of
 * any size. */
enum hl_status hl_scenario_load_selected(const char *path, const struct hl_selector *selector,
                                         struct hl_scenario **ret_scenario, struct hl_error *error);
/* The same as hl_scenario_load() from memory; `name` stands in the diagnostics for the path. */
enum hl_status hl_scenario_parse(const char *name, const char *text, size_t size,
                                 struct hl_scenario **ret_scenario, struct hl_error *error);
void hl_scenario_destroy(struct hl_scenario *scenario);

/* One case as a scenario file of its own, without a matrix: the configuration, and what is said about it. */
enum hl_status hl_case_write_yaml(const struct hl_scenario *scenario, const struct hl_case *c, FILE *out);

/* The part of it that decides a run: not its title, number of runs or expectation. */
void hl_config_write_yaml(const struct hl_config *config, FILE *out);

/* The whole format as JSON Schema. */
void hl_schema_write(FILE *out);

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
/* The same from memory; `name` stands in the diagnostics for the path. */
enum hl_status hl_scenario_parse(const char *name, const char *text, size_t size,
                                 struct hl_scenario **ret_scenario, struct hl_error *error);
void hl_scenario_destroy(struct hl_scenario *scenario);

/* One case as a scenario file of its own, without a matrix. */
enum hl_status hl_case_write_yaml(const struct hl_scenario *scenario, const struct hl_case *c, FILE *out);

/* The whole format as JSON Schema. */
void hl_schema_write(FILE *out);

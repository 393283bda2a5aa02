/* Which cases of a matrix too large to run: covering arrays, and random swarm configurations.
 *
 * A covering array of strength t has, for any t axes, every combination of their values that the excludes
 * allow in at least one case: most faults need few parameters at a time (D. R. Kuhn, D. R. Wallace, A. M.
 * Gallo, IEEE TSE 30 (2004) 418). A swarm configuration leaves out random values of every axis and draws its
 * cases from what is left: it reaches states that runs with everything at once keep missing (A. Groce et al.,
 * ISSTA 2012). Both depend on the matrix and the seed only. */
#pragma once
#include "../scenario/scenario.h"

#define HL_STRENGTH_MAX 4
#define HL_SWARM_CASES 16 /* at most, of one swarm configuration */

struct hl_selection {
    int strength; /* of the covering array; 0: none */
    int swarm;    /* configurations; 0: none */
    uint64_t seed;
};

/* For hl_selector: `user` is a struct hl_selection. Both kinds are joined, each case once. */
enum hl_status hl_select(const void *user, const struct hl_matrix *matrix, int **ret_rows, size_t *ret_count,
                         struct hl_error *error);

/* Rows of choices, n_axes each. */
struct hl_matrix_rows {
    int n_axes;
    int *choices;
    size_t count, capacity;
};

bool hl_matrix_rows_add(struct hl_matrix_rows *rows, const int *choices); /* false: out of memory */

/* Adds a covering array's rows. */
enum hl_status hl_covering_array(const struct hl_matrix *matrix, int strength, struct hl_matrix_rows *rows,
                                 struct hl_error *error);

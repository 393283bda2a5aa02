/* Rows of covering arrays and swarm configurations, each once. */
#include "select.h"
#include <stdlib.h>
#include <string.h>
#include "../program/random.h"
#include "hash.h"

#define SWARM_PURPOSE 0x737761726du /* "swarm" */
#define TRIES 64                    /* to draw a case that is not excluded */

bool hl_matrix_rows_add(struct hl_matrix_rows *rows, const int *choices)
{
    const size_t n_axes = (size_t)rows->n_axes;
    if (rows->count == rows->capacity) {
        const size_t capacity = rows->capacity ? 2 * rows->capacity : 256;
        int *larger = realloc(rows->choices, capacity * n_axes * sizeof *larger);
        if (!larger)
            return false;
        rows->choices = larger;
        rows->capacity = capacity;
    }
    memcpy(rows->choices + rows->count++ * n_axes, choices, n_axes * sizeof *choices);
    return true;
}

/* A random value of an axis among those that are kept. */
static int draw(const bool *keeps, int n_choices, uint64_t *random)
{
    int kept = 0;
    for (int i = 0; i < n_choices; i++)
        kept += keeps[i];
    uint32_t at = hl_random_below(random, (uint32_t)kept);
    for (int i = 0;; i++)
        if (keeps[i] && at-- == 0)
            return i;
}

/* Each value is kept with probability 1/2, and one at least. */
static void draw_kept(bool *keeps, int n_choices, uint64_t *random)
{
    bool any = false;
    for (int i = 0; i < n_choices; i++) {
        keeps[i] = hl_random_next(random) >> 63;
        any |= keeps[i];
    }
    if (!any)
        keeps[hl_random_below(random, (uint32_t)n_choices)] = true;
}

/* The cases of one configuration. `keeps` and `row` are scratch. */
static bool add_swarm(const struct hl_matrix *matrix, uint64_t random, bool *keeps, int *row,
                      struct hl_matrix_rows *rows)
{
    bool *at = keeps;
    for (int axis = 0; axis < matrix->n_axes; at += matrix->n_choices[axis++])
        draw_kept(at, matrix->n_choices[axis], &random);
    for (int i = 0; i < HL_SWARM_CASES; i++)
        for (int t = 0; t < TRIES; t++) {
            at = keeps;
            for (int axis = 0; axis < matrix->n_axes; at += matrix->n_choices[axis++])
                row[axis] = draw(at, matrix->n_choices[axis], &random);
            if (matrix->excludes(matrix, row))
                continue;
            if (!hl_matrix_rows_add(rows, row))
                return false;
            break;
        }
    return true;
}

static enum hl_status add_swarms(const struct hl_matrix *matrix, int n, uint64_t seed,
                                 struct hl_matrix_rows *rows, struct hl_error *error)
{
    size_t n_values = 0;
    for (int axis = 0; axis < matrix->n_axes; axis++)
        n_values += (size_t)matrix->n_choices[axis];
    bool *keeps = calloc(n_values, sizeof *keeps);
    int *row = calloc((size_t)matrix->n_axes, sizeof *row);
    bool good = keeps && row;
    for (int i = 0; good && i < n; i++)
        good = add_swarm(matrix, hl_random_stream(seed, SWARM_PURPOSE, (uint64_t)i), keeps, row, rows);
    free(keeps);
    free(row);
    return good ? HL_STATUS_OK : hl_fail(error, HL_STATUS_MEMORY, "out of memory for swarm configurations");
}

/* Keeps the first of equal rows. */
static bool drop_doubles(struct hl_matrix_rows *rows)
{
    const size_t size = (size_t)rows->n_axes * sizeof *rows->choices;
    struct hl_hash_map seen = { 0 };
    size_t kept = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const int *row = rows->choices + i * (size_t)rows->n_axes;
        bool is_new;
        if (!hl_hash_map_put(&seen, hl_hash_bytes(HL_HASH_INIT, row, size), &is_new)) {
            hl_hash_map_finish(&seen);
            return false;
        }
        if (is_new)
            memmove(rows->choices + kept++ * (size_t)rows->n_axes, row, size);
    }
    rows->count = kept;
    hl_hash_map_finish(&seen);
    return true;
}

enum hl_status hl_select(const void *user, const struct hl_matrix *matrix, int **ret_rows, size_t *ret_count,
                         struct hl_error *error)
{
    const struct hl_selection *selection = user;
    struct hl_matrix_rows rows = { .n_axes = matrix->n_axes };
    enum hl_status status = HL_STATUS_OK;
    if (selection->strength > 0)
        status = hl_covering_array(matrix, selection->strength, &rows, error);
    if (status == HL_STATUS_OK && selection->swarm > 0)
        status = add_swarms(matrix, selection->swarm, selection->seed, &rows, error);
    if (status == HL_STATUS_OK && !drop_doubles(&rows))
        status = hl_fail(error, HL_STATUS_MEMORY, "out of memory for %zu cases", rows.count);
    if (status != HL_STATUS_OK) {
        free(rows.choices);
        return status;
    }
    *ret_rows = rows.choices;
    *ret_count = rows.count;
    return HL_STATUS_OK;
}

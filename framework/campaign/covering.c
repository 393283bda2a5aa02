/* Covering arrays, greedy and one row at a time (D. M. Cohen et al., "The AETG system", IEEE TSE 23 (1997)
 * 437), without AETG's random candidates: a row starts with the first combination that is still missing and
 * takes, axis by axis, the value that covers most. The excludes are constraints: no choice is taken that
 * cannot be completed. */
#include <stdlib.h>
#include <string.h>
#include "select.h"

#define TUPLES_MAX ((size_t)1 << 28) /* 32 MiB of bits */

/* `strength` axes; their combinations of values are bits [first, first + count). */
struct group {
    int axes[HL_STRENGTH_MAX];
    size_t first, count;
};

struct cover {
    const struct hl_matrix *matrix;
    int strength;
    struct group *groups;
    size_t n_groups;
    size_t **groups_of; /* by axis, ended by SIZE_MAX */
    uint64_t *covered;
    int *row;
};

static bool is_covered(const struct cover *c, size_t tuple)
{
    return c->covered[tuple / 64] >> tuple % 64 & 1;
}
static void set_covered(struct cover *c, size_t tuple)
{
    c->covered[tuple / 64] |= (uint64_t)1 << tuple % 64;
}

/* Can the open choices from `axis` on be filled in? Leaves them as they were. */
static bool is_completable(const struct hl_matrix *matrix, int *row, int axis)
{
    if (matrix->excludes(matrix, row))
        return false;
    while (axis < matrix->n_axes && row[axis] >= 0)
        axis++;
    bool found = axis == matrix->n_axes;
    for (int choice = 0; !found && choice < matrix->n_choices[axis]; choice++) {
        row[axis] = choice;
        found = is_completable(matrix, row, axis + 1);
        row[axis] = -1;
    }
    return found;
}

/* The bit of the group's combination in the row; SIZE_MAX where an axis is open. */
static size_t tuple_of(const struct cover *c, const struct group *group)
{
    size_t at = 0;
    for (int i = 0; i < c->strength; i++) {
        const int axis = group->axes[i];
        if (c->row[axis] < 0)
            return SIZE_MAX;
        at = at * (size_t)c->matrix->n_choices[axis] + (size_t)c->row[axis];
    }
    return group->first + at;
}

static void put_tuple(struct cover *c, const struct group *group, size_t tuple)
{
    size_t at = tuple - group->first;
    for (int i = 0; i < c->matrix->n_axes; i++)
        c->row[i] = -1;
    for (int i = c->strength - 1; i >= 0; i--) {
        const int axis = group->axes[i];
        c->row[axis] = (int)(at % (size_t)c->matrix->n_choices[axis]);
        at /= (size_t)c->matrix->n_choices[axis];
    }
}

/* How many missing combinations the row has on groups with this axis. */
static size_t gain(const struct cover *c, int axis)
{
    size_t count = 0;
    for (const size_t *g = c->groups_of[axis]; *g != SIZE_MAX; g++) {
        const size_t tuple = tuple_of(c, &c->groups[*g]);
        count += tuple != SIZE_MAX && !is_covered(c, tuple);
    }
    return count;
}

/* Where nothing is gained, rows take turns, so that what coverage leaves open still varies. */
static void choose(struct cover *c, int axis, size_t n_rows)
{
    const int n = c->matrix->n_choices[axis];
    int best = -1;
    size_t best_gain = 0;
    for (int i = 0; i < n; i++) {
        c->row[axis] = (int)((n_rows + (size_t)i) % (size_t)n);
        const size_t this_gain = gain(c, axis);
        if (best >= 0 && this_gain <= best_gain)
            continue;
        int *row = c->row;
        if (!is_completable(c->matrix, row, 0))
            continue;
        best = row[axis];
        best_gain = this_gain;
    }
    c->row[axis] = best; /* there is one: the row was completable */
}

/* Covers a missing combination, and marks those that no case can have. */
static bool cover_all(struct cover *c, struct hl_matrix_rows *rows)
{
    size_t n_rows = 0;
    for (size_t g = 0; g < c->n_groups; g++)
        for (size_t t = c->groups[g].first; t < c->groups[g].first + c->groups[g].count; t++) {
            if (is_covered(c, t))
                continue;
            put_tuple(c, &c->groups[g], t);
            if (!is_completable(c->matrix, c->row, 0))
                continue;
            for (int axis = 0; axis < c->matrix->n_axes; axis++)
                if (c->row[axis] < 0)
                    choose(c, axis, n_rows);
            for (size_t i = 0; i < c->n_groups; i++)
                set_covered(c, tuple_of(c, &c->groups[i]));
            if (!hl_matrix_rows_add(rows, c->row))
                return false;
            n_rows++;
        }
    return true;
}

/* Steps to the next set of axes, in lexical order. */
static bool next_axes(int *axes, int strength, int n_axes)
{
    int i = strength - 1;
    while (i >= 0 && axes[i] == n_axes - strength + i)
        i--;
    if (i < 0)
        return false;
    axes[i]++;
    for (int k = i + 1; k < strength; k++)
        axes[k] = axes[k - 1] + 1;
    return true;
}

/* Fills in c->groups, or only counts them and their combinations where it is NULL. */
static size_t list_groups(struct cover *c)
{
    int axes[HL_STRENGTH_MAX] = { 0, 1, 2, 3 };
    size_t first = 0;
    c->n_groups = 0;
    do {
        size_t count = 1;
        for (int i = 0; i < c->strength; i++)
            count *= (size_t)c->matrix->n_choices[axes[i]]; /* each at most 1000: no overflow */
        if (c->groups) {
            struct group *group = &c->groups[c->n_groups];
            memcpy(group->axes, axes, sizeof axes);
            group->first = first;
            group->count = count;
        }
        c->n_groups++;
        first += count;
    } while (first <= TUPLES_MAX && next_axes(axes, c->strength, c->matrix->n_axes));
    return first;
}

static bool index_groups(struct cover *c)
{
    const size_t n_axes = (size_t)c->matrix->n_axes;
    for (size_t axis = 0; axis < n_axes; axis++) {
        size_t n = 0;
        size_t *list = malloc((c->n_groups + 1) * sizeof *list);
        if (!list)
            return false;
        for (size_t g = 0; g < c->n_groups; g++)
            for (int i = 0; i < c->strength; i++)
                if ((size_t)c->groups[g].axes[i] == axis)
                    list[n++] = g;
        list[n] = SIZE_MAX;
        c->groups_of[axis] = list;
    }
    return true;
}

enum hl_status hl_covering_array(const struct hl_matrix *matrix, int strength, struct hl_matrix_rows *rows,
                                 struct hl_error *error)
{
    const size_t n_axes = (size_t)matrix->n_axes;
    struct cover c = { .matrix = matrix, .strength = strength < matrix->n_axes ? strength : matrix->n_axes };
    const size_t tuples = list_groups(&c);
    if (tuples > TUPLES_MAX)
        return hl_fail(error, HL_STATUS_USAGE,
                       "the axes have too many combinations of %d values; choose a smaller --t-wise",
                       strength);
    c.groups = calloc(c.n_groups, sizeof *c.groups);
    c.groups_of = calloc(n_axes, sizeof *c.groups_of);
    c.covered = calloc(tuples / 64 + 1, sizeof *c.covered);
    c.row = calloc(n_axes, sizeof *c.row);
    bool good = c.groups && c.groups_of && c.covered && c.row;
    if (good) {
        list_groups(&c);
        good = index_groups(&c) && cover_all(&c, rows);
    }
    for (size_t axis = 0; c.groups_of && axis < n_axes; axis++)
        free(c.groups_of[axis]);
    free(c.groups);
    free(c.groups_of);
    free(c.covered);
    free(c.row);
    return good ? HL_STATUS_OK : hl_fail(error, HL_STATUS_MEMORY, "out of memory for a covering array");
}

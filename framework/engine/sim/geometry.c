/* The reduced geometry; see geometry.h. */
#include "geometry.h"
#include <stdlib.h>

/* A real count, and whether it occurs only in ops that carry a fault: then it stays apart. */
struct count {
    uint32_t real;
    bool fault_only;
};

static int compare_counts(const void *a, const void *b)
{
    const struct count *x = a, *y = b;
    return x->real < y->real ? -1 : x->real > y->real;
}

/* Distinct token counts of all calls and blocks, ascending; NULL when out of memory. */
static struct count *collect(const struct hl_program *program, uint32_t *ret_n)
{
    size_t n = 0, room = program->n_blocks;
    for (int rank = 0; rank < program->ranks; rank++)
        room += program->rank[rank].n_ops;
    struct count *counts = calloc(room + 1, sizeof *counts);
    if (!counts)
        return NULL;
    for (int rank = 0; rank < program->ranks; rank++)
        for (uint32_t i = 0; i < program->rank[rank].n_ops; i++) {
            const struct hl_op *op = &program->rank[rank].ops[i];
            if (op->kind == HL_OP_CALL)
                counts[n++] = (struct count){ op->tokens, op->fault != 0 };
        }
    for (uint32_t i = 0; i < program->n_blocks; i++)
        counts[n++] = (struct count){ program->blocks[i].rows, true };
    qsort(counts, n, sizeof *counts, compare_counts);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept && counts[kept - 1].real == counts[i].real)
            counts[kept - 1].fault_only &= counts[i].fault_only;
        else
            counts[kept++] = counts[i];
    }
    *ret_n = (uint32_t)kept;
    return counts;
}

/* Which of at most `HL_GEOMETRY_TOKENS_MAX` groups each count belongs to: neighbours with the nearest ratio
 * share one, faulty counts last. Returns the number of groups. */
static uint32_t group(const struct count *counts, uint32_t n, uint32_t *groups)
{
    uint32_t n_groups = n;
    for (uint32_t i = 0; i < n; i++)
        groups[i] = i;
    while (n_groups > HL_GEOMETRY_TOKENS_MAX) {
        uint32_t best = 1;
        double best_ratio = -1;
        for (uint32_t i = 1; i < n; i++) {
            if (groups[i] == groups[i - 1])
                continue;
            double ratio = (double)counts[i - 1].real / counts[i].real;
            if (counts[i].fault_only || counts[i - 1].fault_only)
                ratio /= 1e6;
            if (ratio > best_ratio) {
                best_ratio = ratio;
                best = i;
            }
        }
        for (uint32_t i = best; i < n; i++)
            groups[i]--;
        n_groups--;
    }
    return n_groups;
}

/* Strictly rising values 1..limit for the groups' largest counts: as many equal remainders as possible, then
 * as near to proportion as possible. Dynamic programming over (group, value). */
static void choose(const uint32_t *real, uint32_t n, uint32_t ranks, uint32_t *values)
{
    enum { LIMIT = HL_GEOMETRY_TOKENS_MAX };
    double cost[LIMIT][LIMIT + 1];
    uint32_t before[LIMIT][LIMIT + 1];
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t v = 1; v <= LIMIT; v++) {
            const double ideal = (double)LIMIT * real[i] / real[n - 1];
            double own = (v % ranks == real[i] % ranks ? 0 : 100) + (v > ideal ? v - ideal : ideal - v);
            cost[i][v] = i ? 1e9 : own;
            before[i][v] = 0;
            for (uint32_t u = 1; i && u < v; u++)
                if (cost[i - 1][u] + own < cost[i][v]) {
                    cost[i][v] = cost[i - 1][u] + own;
                    before[i][v] = u;
                }
        }
    uint32_t v = LIMIT;
    for (uint32_t u = 1; u <= LIMIT; u++)
        if (cost[n - 1][u] < cost[n - 1][v])
            v = u;
    for (uint32_t i = n; i-- > 0; v = before[i][v])
        values[i] = v;
}

static void reduce(struct hl_sim_geometry *g, const struct count *counts, uint32_t *groups, uint32_t ranks)
{
    uint32_t largest[HL_GEOMETRY_TOKENS_MAX] = { 0 }, values[HL_GEOMETRY_TOKENS_MAX] = { 0 };
    const uint32_t n_groups = group(counts, g->n, groups);
    for (uint32_t i = 0; i < g->n; i++)
        largest[groups[i]] = counts[i].real;
    choose(largest, n_groups, ranks, values);
    for (uint32_t i = 0; i < g->n; i++)
        g->executed[i] = values[groups[i]];
}

enum hl_status hl_geometry_init(struct hl_sim_geometry *g, const struct hl_config *config,
                                const struct hl_program *program, struct hl_error *error)
{
    *g = (struct hl_sim_geometry){ .hidden = config->subject.hidden };
    struct count *counts = collect(program, &g->n);
    uint32_t *groups = calloc(g->n + 1, sizeof *groups);
    g->real = calloc(g->n + 1, sizeof *g->real);
    g->executed = calloc(g->n + 1, sizeof *g->executed);
    if (!counts || !groups || !g->real || !g->executed) {
        free(counts);
        free(groups);
        hl_geometry_finish(g);
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for the simulator's geometry");
    }
    for (uint32_t i = 0; i < g->n; i++)
        g->real[i] = g->executed[i] = counts[i].real;
    g->real_tokens_max = g->n ? g->real[g->n - 1] : 1;
    if (config->geometry == HL_GEOMETRY_REDUCED) {
        if (g->hidden > HL_GEOMETRY_HIDDEN)
            g->hidden = HL_GEOMETRY_HIDDEN;
        if (g->real_tokens_max > HL_GEOMETRY_TOKENS_MAX)
            reduce(g, counts, groups, (uint32_t)program->ranks);
    }
    g->tokens_max = g->n ? g->executed[g->n - 1] : 1;
    free(counts);
    free(groups);
    return HL_STATUS_OK;
}

void hl_geometry_finish(struct hl_sim_geometry *g)
{
    free(g->real);
    free(g->executed);
    *g = (struct hl_sim_geometry){ 0 };
}

uint32_t hl_geometry_tokens(const struct hl_sim_geometry *g, uint32_t real)
{
    uint32_t low = 0, high = g->n;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (g->real[middle] < real)
            low = middle + 1;
        else
            high = middle;
    }
    return low < g->n ? g->executed[low] : g->tokens_max;
}

uint32_t hl_geometry_rows(const struct hl_sim_geometry *g, uint32_t rows, uint32_t block_rows)
{
    const uint32_t block = hl_geometry_tokens(g, block_rows);
    if (rows >= block_rows)
        return block;
    const uint32_t scaled = (uint32_t)(((uint64_t)rows * block + block_rows - 1) / block_rows);
    return scaled < block ? scaled : block - 1;
}

/* What watching costs: programs that differ only in who watches them work by turns. A turn's number is held
 * against that of the unwatched program in the same turn; shown are the median of these ratios and, between
 * brackets, what it lies between with 95 %. */
#include <math.h>
#include <string.h>
#include "watch_bench.h"

#define TURNS_MAX 101
static int turns; /* odd */

enum kind { GRAPH, EAGER, LONG, CALLS, MARKED, KINDS };
static const struct {
    const char *name, *line;
    bool of_calls; /* asked of `calls`, else of `hangs work` */
} kinds[] = {
    [GRAPH] = { "kernels of 2.7 us in graphs of 100", "graph", false },
    [EAGER] = { "kernels of 1 us, launched", "eager", false },
    [LONG] = { "kernels of 11 us, launched", "long", false },
    [CALLS] = { "fused calls in graphs of 16, 4 ranks", "work 0", true },
    [MARKED] = { "fused calls with hanglab run's marks", "work 1", true },
};

struct candidate {
    struct hl_watching watching;
    struct hl_server server;
    double us[KINDS][TURNS_MAX];
};

struct estimate {
    double low, median, high;
};

/* Of n sorted values, those that far from both ends enclose the median of what they are drawn from with 95 %:
 * the normal approximation of the binomial distribution. */
static int outside(int n)
{
    const int k = (int)((n - 1.96 * sqrt(n)) / 2);
    return k > 0 ? k : 0;
}

/* Percent more than the other one. */
static struct estimate compare(const double *us, const double *base)
{
    double percent[TURNS_MAX];
    for (int t = 0; t < turns; t++)
        percent[t] = (us[t] / base[t] - 1) * 100;
    qsort(percent, (size_t)turns, sizeof *percent, hl_bench_compare);
    return (struct estimate){ percent[outside(turns)], percent[turns / 2],
                              percent[turns - 1 - outside(turns)] };
}

static double median_of(const double *us)
{
    double sorted[TURNS_MAX];
    memcpy(sorted, us, sizeof sorted);
    qsort(sorted, (size_t)turns, sizeof *sorted, hl_bench_compare);
    return sorted[turns / 2];
}

/* One process samples the GPU at a time, so where there is one, the programs do not run together. */
static void take_turns(struct candidate *all, int n, bool of_calls)
{
    for (int i = 0; i < n; i++)
        hl_server_start(&all[i].server, of_calls ? "calls" : "hangs work -", &all[i].watching);
    for (int i = 0; i < n; i++)
        hl_server_wait(&all[i].server);
    for (int t = -1; t < turns; t++) /* the first one warms up */
        for (int k = 0; k < KINDS; k++)
            for (int i = 0; i < n; i++) {
                struct candidate *c = &all[t % 2 ? n - 1 - i : i];
                if (kinds[k].of_calls != of_calls || (k == MARKED && c->watching.way != HL_WAY_NONE))
                    continue;
                const double us = hl_server_ask(&c->server, kinds[k].line);
                if (t >= 0)
                    c->us[k][t] = us;
            }
    for (int i = 0; i < n; i++)
        hl_server_stop(&all[i].server);
}

static void print_estimate(const char *what, struct estimate e)
{
    printf("  %-42s %14.2f  %%         [%.2f, %.2f]\n", what, e.median, e.low, e.high);
}

static bool level_has_records(int level) { return level == HL_LEVEL_CUPTI || level == HL_LEVEL_NODE; }

/* The first candidate is the unwatched one. */
static void print_kind(enum kind k, const struct candidate *all, int n)
{
    const struct candidate *bare = NULL;
    char what[64];
    printf("%-44s %14.3f  us\n", kinds[k].name, median_of(all[0].us[k]));
    for (int i = 1; i < n; i++) {
        const struct candidate *c = &all[i];
        const char *level = c->watching.options ? c->watching.options : hl_levels[c->watching.level];
        snprintf(what, sizeof what, "%s, %s", level,
                 c->watching.way == HL_WAY_BARE ? "bare subscriber" : "hanglab");
        const struct estimate e = compare(c->us[k], all[0].us[k]);
        print_estimate(what, e);
        if (c->watching.way == HL_WAY_BARE) {
            bare = c;
        } else if (bare && bare->watching.level == c->watching.level) {
            const struct estimate above = compare(c->us[k], bare->us[k]);
            snprintf(what, sizeof what, "%s, above the bare one", level);
            print_estimate(what, above);
            snprintf(what, sizeof what, "  %s, above the bare one", level);
            if (level_has_records(c->watching.level))
                hl_bench_row(what, above.median, "%", HL_BENCH_AT_MOST, 5);
        }
        snprintf(what, sizeof what, "  %s: in all", level);
        if (c->watching.way == HL_WAY_HANGLAB && c->watching.level == HL_LEVEL_LIGHT)
            hl_bench_row(what, e.median, "%", HL_BENCH_AT_MOST, 2);
    }
}

static void measure(const struct hl_watching *watchings, int n)
{
    static struct candidate all[12];
    for (int of_calls = 0; of_calls < 2; of_calls++) {
        for (int i = 0; i < n; i++)
            all[i] = (struct candidate){ .watching = watchings[i] };
        take_turns(all, n, of_calls);
        for (int k = 0; k < MARKED; k++)
            if (kinds[k].of_calls == of_calls)
                print_kind((enum kind)k, all, n);
    }
    if (n > 2)
        print_estimate("the marks of `hanglab run` themselves", compare(all[0].us[MARKED], all[0].us[CALLS]));
}

void hl_bench_cost(int n)
{
    turns = n < TURNS_MAX ? n | 1 : TURNS_MAX;
    static const struct hl_watching records[] = {
        { HL_WAY_NONE, 0, NULL },
        { HL_WAY_BARE, HL_LEVEL_LIGHT, "subscribed" },
        { HL_WAY_BARE, HL_LEVEL_LIGHT, "syncs" },
        { HL_WAY_BARE, HL_LEVEL_LIGHT, "graphs" },
        { HL_WAY_BARE, HL_LEVEL_LIGHT, "launches" },
        { HL_WAY_BARE, HL_LEVEL_LIGHT, NULL },
        { HL_WAY_HANGLAB, HL_LEVEL_LIGHT, NULL },
        { HL_WAY_BARE, HL_LEVEL_CUPTI, NULL },
        { HL_WAY_HANGLAB, HL_LEVEL_CUPTI, NULL },
        { HL_WAY_BARE, HL_LEVEL_NODE, NULL },
        { HL_WAY_HANGLAB, HL_LEVEL_NODE, NULL },
    };
    static const struct hl_watching bare_samples[] = { { HL_WAY_NONE, 0, NULL },
                                                       { HL_WAY_BARE, HL_LEVEL_PC, NULL } };
    static const struct hl_watching samples[] = { { HL_WAY_NONE, 0, NULL },
                                                  { HL_WAY_HANGLAB, HL_LEVEL_PC, NULL } };
    measure(records, (int)(sizeof records / sizeof records[0]));
    measure(bare_samples, 2);
    measure(samples, 2);
}

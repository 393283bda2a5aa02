/* From the last progress to a finished bundle: a program stands still again and again, each time in the next
 * of four ways, and goes on as soon as its bundle is there. */
#include <string.h>
#include "watch_bench.h"

#define THRESHOLD "50ms"
#define WAYS 4
#define HANGS_MAX 2000

struct tally {
    const char *way;
    double ms[HANGS_MAX];
    int n;
};

/* A line for each hang: its way, and milliseconds, or -1 if it was not reported in 5 s. */
static int read_hangs(FILE *in, struct tally *all, struct tally ways[WAYS])
{
    char way[16];
    double ms;
    int missed = 0;
    while (all->n < HANGS_MAX && fscanf(in, "%15s %lf", way, &ms) == 2) {
        missed += ms < 0;
        for (int i = 0; i < WAYS; i++)
            if (strcmp(ways[i].way, way) == 0)
                ways[i].ms[ways[i].n++] = ms;
        all->ms[all->n++] = ms;
    }
    return missed;
}

static double percentile(struct tally *t, int percent)
{
    qsort(t->ms, (size_t)t->n, sizeof *t->ms, hl_bench_compare);
    const int at = t->n * percent / 100;
    return t->ms[at < t->n ? at : t->n - 1];
}

static void measure_level(int level, int hangs)
{
    static struct tally all, ways[WAYS];
    char program[2 * PATH_MAX], command[4 * PATH_MAX], what[64];
    const struct hl_watching watching = { HL_WAY_HANGLAB, level, "-t " THRESHOLD };
    all.n = 0;
    for (int i = 0; i < WAYS; i++)
        ways[i] = (struct tally){ .way = (const char *const[]){ "graph", "direct", "queue", "event" }[i] };
    snprintf(program, sizeof program, "hangs stuck all %d %s/out/evidence/watch-hangs 2>%s/stderr-%s", hangs,
             hl_bench_folder(), hl_bench_folder(), hl_levels[level]);
    hl_command_of(program, &watching, command);
    FILE *out = popen(command, "r");
    hl_bench_require(out != NULL, "cannot start a shell");
    const int missed = read_hangs(out, &all, ways);
    pclose(out);
    snprintf(command, sizeof command, "rm -rf %s/out", hl_bench_folder());
    hl_bench_require(system(command) == 0, "cannot remove the bundles");
    printf("%s: %d hangs, %d not reported\n", hl_levels[level], all.n, missed);
    hl_bench_require(all.n == hangs && missed == 0, "not all hangs were reported");
    snprintf(what, sizeof what, "%s: progress to bundle, median", hl_levels[level]);
    hl_bench_row(what, percentile(&all, 50), "ms", HL_BENCH_AT_MOST, 100);
    printf("%-44s %14.3f  ms\n", "  90 of 100", percentile(&all, 90));
    snprintf(what, sizeof what, "%s: progress to bundle, p99", hl_levels[level]);
    hl_bench_row(what, percentile(&all, 99), "ms", HL_BENCH_AT_MOST, 300);
    printf("%-44s %14.3f  ms\n", "  the longest", percentile(&all, 100));
    for (int i = 0; i < WAYS && ways[i].n; i++)
        printf("  %-42s %14.3f  ms, longest %.3f\n", ways[i].way, percentile(&ways[i], 50),
               percentile(&ways[i], 100));
}

void hl_bench_latency(int hangs)
{
    for (int level = 0; level < HL_LEVELS; level++)
        measure_level(level, level == HL_LEVEL_LIGHT ? hangs : hangs / 8);
}

/* hanglab watch on a GPU: how long from the last progress to a finished bundle, and what watching costs.
 *
 * Latency: a program stands still again and again, in four ways, and goes on as soon as its bundle is there.
 * Cost: the same program works, by turns without anything, under a bare CUPTI subscriber of the same kind and
 * under each level of detail; every number is the median of the turns. */
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../bench.h"

#define THRESHOLD_MS 50
#define HANGS_MAX 2000
#define TURNS 7

static char folder[PATH_MAX]; /* of this program, and of those that it runs */
static const char *const levels[] = { "light", "cupti", "node", "pc" };

static const char *hanglab(void)
{
    const char *program = getenv("HANGLAB_PROGRAM");
    hl_bench_require(program != NULL, "HANGLAB_PROGRAM is not set; `./dev bench` sets it");
    return program;
}

/* The numbers that a command prints, one a line; returns how many. */
static int read_numbers(const char *command, double *numbers, int max)
{
    int n = 0;
    FILE *out = popen(command, "r");
    hl_bench_require(out != NULL, "cannot start a shell");
    while (n < max && fscanf(out, "%lf", &numbers[n]) == 1)
        n++;
    pclose(out);
    return n;
}

/* Hangs of four kinds at a level of detail. */
static void measure_latency(const char *level, int hangs)
{
    static const char *const ways[] = { "graph", "direct", "queue", "event" };
    static double ms[HANGS_MAX];
    char out[] = "/tmp/hanglab-bench-XXXXXX", command[3 * PATH_MAX], what[64];
    int n = 0;
    hl_bench_require(mkdtemp(out) != NULL, "cannot make a folder in /tmp");
    for (int i = 0; i < 4; i++) {
        snprintf(command, sizeof command,
                 "'%s' watch -t %dms -d %s --out %s/%d -- '%s/hangs' stuck %s %d %s/%d/evidence/watch-hangs "
                 "2>%s/stderr",
                 hanglab(), THRESHOLD_MS, level, out, i, folder, ways[i], hangs / 4, out, i, out);
        const int more = read_numbers(command, ms + n, HANGS_MAX - n);
        if (more < hangs / 4)
            fprintf(stderr, "%s, %s: %d of %d hangs\n", level, ways[i], more, hangs / 4);
        n += more;
    }
    snprintf(command, sizeof command, "rm -rf %s", out);
    hl_bench_require(system(command) == 0 && n >= hangs / 4 * 4, "not all hangs were reported");
    qsort(ms, (size_t)n, sizeof *ms, hl_bench_compare);
    snprintf(what, sizeof what, "%s: progress to bundle, median of %d", level, n);
    hl_bench_row(what, ms[n / 2], "ms", HL_BENCH_AT_MOST, 100);
    snprintf(what, sizeof what, "%s: progress to bundle, p99", level);
    hl_bench_row(what, ms[n * 99 / 100], "ms", HL_BENCH_AT_MOST, 300);
    printf("%-44s %14.3f  %-8s  (the longest)\n", "", ms[n - 1], "ms");
}

/* Microseconds a kernel. Candidate 0: nothing; then for every level a bare subscriber, and hanglab. */
static double turn(int candidate, const char *how)
{
    char command[3 * PATH_MAX];
    double us;
    if (candidate == 0)
        snprintf(command, sizeof command, "'%s/hangs' work %s 10", folder, how);
    else if (candidate % 2)
        snprintf(command, sizeof command,
                 "BARE=%s CUDA_INJECTION64_PATH='%s/libbare_subscriber.so' '%s/hangs' work %s 10",
                 levels[candidate / 2], folder, folder, how);
    else
        snprintf(command, sizeof command, "'%s' watch -t 5s -d %s -- '%s/hangs' work %s 10", hanglab(),
                 levels[candidate / 2 - 1], folder, how);
    hl_bench_require(read_numbers(command, &us, 1) == 1, command);
    return us;
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, hl_bench_compare);
    return values[n / 2];
}

static void measure_cost(const char *how)
{
    double us[9][TURNS];
    char what[64];
    for (int t = 0; t < TURNS; t++)
        for (int c = 0; c < 9; c++)
            us[c][t] = turn(c, how);
    const double nothing = median(us[0], TURNS);
    printf("%-44s %14.3f  us\n", strcmp(how, "graph") == 0 ? "a kernel in a graph" : "a kernel, launched",
           nothing);
    for (int i = 0; i < 4; i++) {
        const double bare = median(us[1 + 2 * i], TURNS), watched = median(us[2 + 2 * i], TURNS);
        snprintf(what, sizeof what, "%s, %s: bare subscriber", how, levels[i]);
        printf("%-44s %14.2f  %%\n", what, (bare / nothing - 1) * 100);
        snprintf(what, sizeof what, "%s, %s: hanglab", how, levels[i]);
        printf("%-44s %14.2f  %%\n", what, (watched / nothing - 1) * 100);
        snprintf(what, sizeof what, "%s, %s: above the bare one", how, levels[i]);
        hl_bench_row(what, (watched / bare - 1) * 100, "%", HL_BENCH_AT_MOST, i == 0 ? 2 : 5);
    }
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    const int hangs = argc > 1 ? atoi(argv[1]) : 500;
    const ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 1);
    hl_bench_require(n > 0 && hangs >= 4 && hangs <= HANGS_MAX, "bench_watch [HANGS]");
    *strrchr(folder, '/') = '\0';
    if (access("/dev/nvidiactl", F_OK) != 0) {
        fprintf(stderr, "watch: not measured: there is no GPU here\n");
        return 77;
    }
    for (int i = 0; i < 4; i++)
        measure_latency(levels[i], i == 0 ? hangs : hangs / 5);
    measure_cost("graph");
    measure_cost("eager");
    return hl_bench_finish();
}

/* Are healthy calls left alone? Millions of them at the threshold at which hangs are found within a tenth
 * of a second; calls ten times slower; a host that pauses for ten seconds with nothing pending. And what is
 * said, rightly, when three ranks wait for the fourth one's host: nothing below the threshold. */
#include <string.h>
#include "watch_bench.h"

static const struct {
    const char *what, *options;
    int level;
    const char *lines[8]; /* for `calls` */
} runs[] = {
    { "light, threshold 50 ms",
      "-t 50ms",
      HL_LEVEL_LIGHT,
      { "calm 200000 1 1000 idle", "calm 200000 1 3000 idle", "calm 100000 10 20 waiting" } },
    { "light, threshold 50 ms, pause of 10 s",
      "-t 50ms",
      HL_LEVEL_LIGHT,
      { "calm 200000 1 10000 idle", "calm 100000 10 20 idle", "calm 100000 10 20 waiting" } },
    { "light, threshold auto, peers wait 4 s", NULL, HL_LEVEL_LIGHT, { "calm 100000 10 4000 waiting" } },
    { "light, threshold 15 s, peers wait 10 s",
      "-t 15s",
      HL_LEVEL_LIGHT,
      { "calm 100000 10 10000 waiting" } },
    { "cupti, threshold 50 ms",
      "-t 50ms",
      HL_LEVEL_CUPTI,
      { "calm 1000000 1 1000 idle", "calm 100000 10 20 waiting" } },
    { "node, threshold 50 ms",
      "-t 50ms",
      HL_LEVEL_NODE,
      { "calm 500000 1 1000 idle", "calm 100000 10 20 waiting" } },
    { "pc, threshold 50 ms",
      "-t 50ms",
      HL_LEVEL_PC,
      { "calm 1000000 1 1000 idle", "calm 100000 10 20 waiting" } },
};
#define RUNS ((int)(sizeof runs / sizeof runs[0]))

static void log_of(int run, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/alarms-%d", hl_bench_folder(), run);
}

/* How often `hanglab watch` has said that; shows the first ones. */
static int count(int run, const char *what)
{
    char path[PATH_MAX], line[1024];
    int n = 0;
    log_of(run, path);
    FILE *in = fopen(path, "r");
    hl_bench_require(in != NULL, "what hanglab watch said is gone");
    while (fgets(line, sizeof line, in))
        if (strstr(line, what) && n++ < 3)
            printf("  %s: %s", runs[run].what, line);
    fclose(in);
    return n;
}

void hl_bench_alarms(int millions)
{
    static struct hl_server servers[RUNS];
    for (int i = 0; i < RUNS; i++) {
        char program[2 * PATH_MAX], log[PATH_MAX];
        log_of(i, log);
        snprintf(program, sizeof program, "calls 2>'%s'", log);
        const struct hl_watching watching = { HL_WAY_HANGLAB, runs[i].level,
                                              runs[i].options ? runs[i].options : "-t auto" };
        hl_server_start(&servers[i], program, &watching);
    }
    for (int i = 0; i < RUNS; i++)
        hl_server_wait(&servers[i]);
    const double begin_s = hl_bench_now_s();
    fprintf(servers[0].to, "calm %d000000 1 100 idle\n", millions);
    for (int i = 0; i < RUNS; i++) { /* all lines at once: their programs share the GPU */
        for (int k = 0; k < 8 && runs[i].lines[k]; k++)
            fprintf(servers[i].to, "%s\n", runs[i].lines[k]);
        fflush(servers[i].to);
    }
    double all;
    int alarms = hl_bench_pauses(&all);
    for (int i = RUNS - 1; i >= 0; i--) { /* the shorter ones first */
        double calls = 0, made;
        for (int k = i ? 0 : -1; k < 0 || (k < 8 && runs[i].lines[k]); k++) {
            hl_bench_require(fscanf(servers[i].from, "%lf", &made) == 1, "healthy calls did not end");
            calls += made;
        }
        hl_server_stop(&servers[i]);
        const int hangs = count(i, "no progress for"), slow = count(i, "it goes on");
        printf("%-44s %14.0f  calls     alarms %d, of them amended to slow %d (%.0f s)\n", runs[i].what,
               calls, hangs, slow, hl_bench_now_s() - begin_s);
        all += calls;
        alarms += hangs;
    }
    hl_bench_row("healthy calls", all / 1e6, "million", HL_BENCH_AT_LEAST, 10);
    hl_bench_row("false alarms", alarms, "", HL_BENCH_AT_MOST, 0);
}

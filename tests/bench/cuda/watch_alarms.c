/* Are healthy calls left alone? Millions of them at the threshold at which hangs are found within a tenth of
 * a second; calls ten times slower; a host that pauses for ten seconds with nothing pending; kernels that
 * wait ten seconds for another rank's host, under a longer threshold; programs that share the GPU. */
#include <string.h>
#include "watch_bench.h"

static const struct {
    const char *what, *options;
    int level, phase;     /* those of a phase go on at the same time */
    const char *lines[4]; /* for `calls` */
} runs[] = {
    { "light, threshold 50 ms",
      "-t 50ms",
      HL_LEVEL_LIGHT,
      0,
      { "calm 200000 1 1000 idle", "calm 200000 1 3000 idle", "calm 100000 10 20 waiting" } },
    { "light, threshold 50 ms, host away for 10 s",
      "-t 50ms",
      HL_LEVEL_LIGHT,
      0,
      { "calm 128 1 10000 idle" } },
    { "light, threshold 15 s, peers wait 10 s", "-t 15s", HL_LEVEL_LIGHT, 1, { "calm 128 1 10000 waiting" } },
    { "light, threshold auto, peers wait 4 s", "-t auto", HL_LEVEL_LIGHT, 1, { "calm 128 1 4000 waiting" } },
    { "cupti, threshold 50 ms",
      "-t 50ms",
      HL_LEVEL_CUPTI,
      2,
      { "calm 1000000 1 500 idle", "calm 100000 10 20 waiting" } },
    { "node, threshold 50 ms",
      "-t 50ms",
      HL_LEVEL_NODE,
      3,
      { "calm 1000000 1 500 idle", "calm 100000 10 20 waiting" } },
    { "pc, threshold 50 ms",
      "-t 50ms",
      HL_LEVEL_PC,
      4,
      { "calm 1000000 1 500 idle", "calm 100000 10 20 waiting" } },
    { "light, threshold 1 s, three on the GPU", "-t 1s", HL_LEVEL_LIGHT, 5, { "calm 200000 1 100 idle" } },
    { "  the second", "-t 1s", HL_LEVEL_LIGHT, 5, { "calm 200000 10 100 waiting" } },
    { "  the third", "-t 1s", HL_LEVEL_LIGHT, 5, { "calm 200000 10 100 waiting" } },
};
#define RUNS ((int)(sizeof runs / sizeof runs[0]))
#define PHASES 6

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

/* How many lines a run is asked; the first one of all has the most calls. */
static int ask(int run, struct hl_server *server, int millions)
{
    int n = 0;
    if (run == 0)
        n += fprintf(server->to, "calm %d000000 1 100 idle\n", millions) > 0;
    for (int k = 0; k < 4 && runs[run].lines[k]; k++)
        n += fprintf(server->to, "%s\n", runs[run].lines[k]) > 0;
    fflush(server->to);
    return n;
}

static int answer(int run, struct hl_server *server, int lines, double *calls)
{
    double own = 0, made;
    for (int k = 0; k < lines; k++) {
        hl_bench_require(fscanf(server->from, "%lf", &made) == 1, "healthy calls did not end");
        own += made;
    }
    hl_server_stop(server);
    const int alarms = count(run, "no progress for"), slow = count(run, "it goes on");
    printf("%-44s %14.0f  calls     alarms %d, of them amended to slow %d\n", runs[run].what, own, alarms,
           slow);
    *calls += own;
    return alarms;
}

void hl_bench_alarms(int millions)
{
    static struct hl_server servers[RUNS];
    double calls = 0;
    int alarms = 0, lines[RUNS];
    for (int i = 0; i < RUNS; i++) {
        char program[2 * PATH_MAX], log[PATH_MAX];
        log_of(i, log);
        snprintf(program, sizeof program, "calls 2>'%s'", log);
        hl_server_start(&servers[i], program,
                        &(struct hl_watching){ HL_WAY_HANGLAB, runs[i].level, runs[i].options });
    }
    for (int i = 0; i < RUNS; i++)
        hl_server_wait(&servers[i]);
    for (int phase = 0; phase < PHASES; phase++) {
        for (int i = 0; i < RUNS; i++)
            lines[i] = runs[i].phase == phase ? ask(i, &servers[i], millions) : 0;
        if (phase == 1)
            alarms += hl_bench_pauses(&calls);
        for (int i = 0; i < RUNS; i++)
            if (lines[i])
                alarms += answer(i, &servers[i], lines[i], &calls);
    }
    hl_bench_row("healthy calls", calls / 1e6, "million", HL_BENCH_AT_LEAST, 10);
    hl_bench_row("false alarms", alarms, "", HL_BENCH_AT_MOST, 0);
}

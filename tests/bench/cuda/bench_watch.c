/* hanglab's watchdog on a GPU, in parts that can be called by name:
 *
 *   latency   how long from the last progress to a finished bundle, under `hanglab watch`
 *   runs      the same for fused allreduces under `hanglab run`, and what looking at one costs it
 *   cost      what watching costs kernels and calls, beside a bare CUPTI subscriber of the same kind
 *   observer  what watching does to a race that hangs rarely
 *   alarms    whether healthy calls, slow ones and pausing hosts are left alone
 *
 * A number behind the name is for shorter or longer ones: of hangs, rounds or turns. Lines come as they are
 * measured, so that a limit of time costs only what is left. */
#include <string.h>
#include <unistd.h>
#include "watch_bench.h"

static const struct {
    const char *name;
    void (*run)(int n);
    int n; /* by default */
} parts[] = {
    { "latency", hl_bench_latency, 500 },  { "runs", hl_bench_runs, 15 },     { "cost", hl_bench_cost, 15 },
    { "observer", hl_bench_observer, 40 }, { "alarms", hl_bench_alarms, 10 },
};
#define PARTS ((int)(sizeof parts / sizeof parts[0]))

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    const int n = argc > 2 ? atoi(argv[2]) : 0;
    bool known = argc == 1;
    for (int i = 0; i < PARTS && argc > 1; i++)
        known |= strcmp(parts[i].name, argv[1]) == 0;
    hl_bench_require(known && (argc < 3 || n > 0),
                     "bench_watch [latency | runs | cost | observer | alarms [NUMBER]]");
    if (access("/dev/nvidiactl", F_OK) != 0) {
        fprintf(stderr, "watch: not measured: there is no GPU here\n");
        return 77;
    }
    for (int i = 0; i < PARTS; i++) {
        if (argc > 1 && strcmp(parts[i].name, argv[1]) != 0)
            continue;
        printf("# %s\n", parts[i].name);
        parts[i].run(n ? n : parts[i].n);
    }
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", hl_bench_folder());
    hl_bench_require(system(command) == 0, "cannot remove a folder of /tmp");
    return hl_bench_finish();
}

/* What the parts of bench_watch share: the programs that it runs, and the table's columns. */
#pragma once
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include "../bench.h"

/* In front of a program's command line, to be watched that way; "": not at all. */
enum hl_way { HL_WAY_NONE, HL_WAY_BARE, HL_WAY_HANGLAB };
extern const char *const hl_levels[]; /* light, cupti, node, pc */
enum { HL_LEVEL_LIGHT, HL_LEVEL_CUPTI, HL_LEVEL_NODE, HL_LEVEL_PC, HL_LEVELS };

struct hl_watching {
    enum hl_way way;
    int level;
    const char *options; /* of `hanglab watch`, NULL: -t 5s; of the bare subscriber, NULL: the level */
};

/* A program that answers lines with lines. */
struct hl_server {
    pid_t pid;
    FILE *to, *from;
};

/* Of all: started first, and then waited for until each says "ready", so that CUDA's starts overlap. */
void hl_server_start(struct hl_server *server, const char *program, const struct hl_watching *watching);
void hl_server_wait(struct hl_server *server);
double hl_server_ask(struct hl_server *server, const char *line);
void hl_server_stop(struct hl_server *server);

/* A command line of hanglab or of a program beside this one. */
void hl_command_of(const char *program, const struct hl_watching *watching, char command[4 * PATH_MAX]);
/* A new folder in /tmp; it goes at the end. */
const char *hl_bench_folder(void);

/* The parts: so many hangs, rounds of hangs, turns, turns, millions of calls. */
void hl_bench_latency(int hangs);
void hl_bench_runs(int rounds);
void hl_bench_cost(int turns);
void hl_bench_observer(int turns);
void hl_bench_alarms(int millions);

/* Runs of `hanglab run` in which a host pauses for less than the threshold; how many of them do not pass.
 * Adds their calls. */
int hl_bench_pauses(double *calls);

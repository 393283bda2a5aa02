/* What every benchmark shares: a clock, the median of several runs, and one line of the table that
 * `./dev bench` prints. A benchmark's main() returns hl_bench_finish(): 1 if a target was missed. */
#pragma once
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define HL_BENCH_RUNS_MAX 64

enum hl_bench_goal { HL_BENCH_AT_MOST, HL_BENCH_AT_LEAST };

static bool hl_bench_missed;

static inline double hl_bench_now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static inline int hl_bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median wall time of `run(context)`, after one run that is not counted. */
static inline double hl_bench_median_s(void (*run)(void *context), void *context, int runs)
{
    double seconds[HL_BENCH_RUNS_MAX];
    assert(runs > 0 && runs <= HL_BENCH_RUNS_MAX);
    run(context);
    for (int i = 0; i < runs; i++) {
        double start = hl_bench_now_s();
        run(context);
        seconds[i] = hl_bench_now_s() - start;
    }
    qsort(seconds, (size_t)runs, sizeof(*seconds), hl_bench_compare);
    return seconds[runs / 2];
}

/* Prints one line of the table: what, value, unit, target. */
static inline void hl_bench_row(const char *what, double value, const char *unit, enum hl_bench_goal goal,
                                double target)
{
    bool met = goal == HL_BENCH_AT_MOST ? value <= target : value >= target;
    printf("%-44s %14.3f  %-8s  %s %g: %s\n", what, value, unit,
           goal == HL_BENCH_AT_MOST ? "at most" : "at least", target, met ? "met" : "MISSED");
    hl_bench_missed |= !met;
}

static inline int hl_bench_finish(void) { return hl_bench_missed ? 1 : 0; }

/* For what a benchmark cannot go on without. */
static inline void hl_bench_require(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "benchmark failed: %s\n", what);
    exit(1);
}

/* How long things take, for budgets and progress; no result depends on it. */
#pragma once
#include <time.h>

/* Seconds on a clock that is never set. */
static inline double hl_now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Runs cases in a process of their own: one that does not come back costs its time and no more. */
#pragma once
#include <sys/types.h>
#include "../../framework/campaign/run.h"
#include "random_case.h"

struct hl_confusion {
    const struct hl_scenario *scenario;
    const struct hl_engine *engine;
    uint64_t seed;
    bool misses;         /* print what went wrong */
    const char *out_dir; /* for the evidence of it; NULL: none */
};

/* How a case ended. */
struct hl_outcome {
    bool skipped;
    char why[240]; /* skipped: why */
    enum hl_verdict verdict;
    enum hl_cause cause, other_cause, expected; /* expected: of a run that does not pass */
    bool verdict_right, cause_right;
    double seconds;
};

struct hl_worker {
    const struct hl_confusion *confusion;
    pid_t pid;    /* 0: none runs */
    int requests; /* written to it */
    int outcomes; /* read from it */
};

/* Runs case number `index` of a trouble. False: it took longer than `limit_s`, or the worker died of it; the
 * next case gets a new one. */
bool hl_worker_run(struct hl_worker *worker, enum hl_trouble trouble, uint64_t index, int limit_s,
                   struct hl_outcome *ret_outcome);
void hl_worker_finish(struct hl_worker *worker);

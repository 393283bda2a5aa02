/* A pool of worker processes: many tasks, results in task order, and a crash that costs one task only.
 *
 * Tasks run in forked children, so that whatever a case does to its process (a crash, a leak, a corrupted
 * heap) stays there. A worker runs task after task; only a crash makes a new one. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "hanglab/error.h"

enum hl_pool_outcome {
    HL_POOL_DONE,
    HL_POOL_CRASHED,    /* the worker died: `signal`, or else `exit_code` */
    HL_POOL_NOT_STARTED /* may_start() said no, or the pool was interrupted */
};

struct hl_pool_result {
    size_t index;
    enum hl_pool_outcome outcome;
    const void *record; /* what work() returned, until deliver() returns */
    size_t size;
    int signal, exit_code;
    bool timed_out;   /* crashed: the pool killed it */
    bool interrupted; /* SIGINT or SIGTERM came before the task was done */
    unsigned worker;  /* the process that did it, counted from 1; 0: none */
};

struct hl_pool {
    size_t n_tasks;
    int jobs;
    void *user;
    /* In a worker: does a task and returns its record from malloc(), NULL when out of memory. */
    void *(*work)(void *user, size_t index, size_t *ret_size);
    /* In the caller: may one more task start? NULL: always. */
    bool (*may_start)(void *user);
    /* In the caller: exactly once for each task, in order of index. */
    void (*deliver)(void *user, const struct hl_pool_result *result);
    /* In the caller: whenever a task has finished, and about once a second. May be NULL. */
    void (*tick)(void *user, size_t finished);
    /* In the caller, instead of n_tasks and may_start(): the task to do next, by any number; false: there is
     * none, unless something more is delivered. Such tasks are delivered as they end, whatever their order,
     * and not at all when they are not started or interrupted. */
    bool (*next)(void *user, size_t *ret_index);
    int tasks_per_worker; /* after so many a new process takes over; 0: no limit */
    double timeout_s;     /* a task that takes longer is killed; 0: no limit */
    /* In a worker that has no more to do: ends what it kept from task to task. May be NULL. */
    void (*leave)(void *user);
};

/* Runs all tasks. SIGINT and SIGTERM end it early: workers are killed, what is not done is delivered as
 * not started, and *ret_interrupted is set. */
enum hl_status hl_pool_run(const struct hl_pool *pool, bool *ret_interrupted, struct hl_error *error);

/* Cores that this process may use. */
int hl_pool_default_jobs(void);

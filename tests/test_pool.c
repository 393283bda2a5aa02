/* The worker pool: order, isolation of crashes, and an orderly end on a signal. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../framework/campaign/pool.h"

#define TASKS_MAX 64

struct log {
    size_t count;
    struct {
        size_t index;
        enum hl_pool_outcome outcome;
        int signal, exit_code;
        bool interrupted;
        char record[64];
    } entries[TASKS_MAX];
    unsigned workers;   /* highest number of one */
    size_t starts_left; /* for may_start */
    size_t last_tick;
};

static void deliver(void *user, const struct hl_pool_result *result)
{
    struct log *log = user;
    cr_assert_lt(log->count, TASKS_MAX);
    log->entries[log->count].index = result->index;
    log->entries[log->count].outcome = result->outcome;
    log->entries[log->count].signal = result->signal;
    log->entries[log->count].exit_code = result->exit_code;
    log->entries[log->count].interrupted = result->interrupted;
    if (result->outcome == HL_POOL_DONE)
        memcpy(log->entries[log->count].record, result->record, result->size);
    log->workers = result->worker > log->workers ? result->worker : log->workers;
    log->count++;
}

static void tick(void *user, size_t finished) { ((struct log *)user)->last_tick = finished; }

static void nap_ms(long ms) { nanosleep(&(struct timespec){ 0, ms * 1000000 }, NULL); }

static void *text_record(size_t *ret_size, const char *format, unsigned long long value)
{
    char *record = malloc(64);
    *ret_size = (size_t)snprintf(record, 64, format, value) + 1;
    return record;
}

/* Early tasks take longest, so that they finish in the wrong order. */
static void *work_slow_first(void *user, size_t index, size_t *ret_size)
{
    (void)user;
    nap_ms(index % 4 == 0 ? 8 : 1);
    return text_record(ret_size, "task %llu", index);
}

static void *work_pid(void *user, size_t index, size_t *ret_size)
{
    (void)user;
    (void)index;
    return text_record(ret_size, "%llu", (unsigned long long)getpid());
}

static void *work_dying(void *user, size_t index, size_t *ret_size)
{
    (void)user;
    if (index == 2)
        kill(getpid(), SIGKILL);
    if (index == 3)
        _exit(7);
    return text_record(ret_size, "task %llu", index);
}

static void *work_without_memory(void *user, size_t index, size_t *ret_size)
{
    (void)user;
    return index == 0 ? NULL : text_record(ret_size, "task %llu", index);
}

static struct log run_pool(size_t n, int jobs, void *(*work)(void *, size_t, size_t *),
                           bool (*may_start)(void *), size_t starts)
{
    struct log log = { .starts_left = starts };
    const struct hl_pool pool = { n, jobs, &log, work, may_start, deliver, tick };
    bool interrupted = true;
    struct hl_error error;
    cr_assert_eq(hl_pool_run(&pool, &interrupted, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_not(interrupted);
    cr_assert_eq(log.count, n);
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(log.entries[i].index, i, "result %zu came at place %zu", log.entries[i].index, i);
    return log;
}

Test(pool, results_come_in_task_order_whatever_finishes_first)
{
    for (int jobs = 1; jobs <= 5; jobs += 2) {
        const struct log log = run_pool(20, jobs, work_slow_first, NULL, 0);
        for (size_t i = 0; i < 20; i++) {
            char want[32];
            snprintf(want, sizeof want, "task %zu", i);
            cr_assert_eq(log.entries[i].outcome, HL_POOL_DONE);
            cr_assert_str_eq(log.entries[i].record, want);
        }
        cr_assert_eq(log.last_tick, 20);
    }
}

Test(pool, one_worker_does_many_tasks)
{
    const struct log log = run_pool(10, 1, work_pid, NULL, 0);
    for (size_t i = 1; i < 10; i++)
        cr_assert_str_eq(log.entries[i].record, log.entries[0].record);
    cr_assert_neq(atoi(log.entries[0].record), getpid(), "tasks must not run in the caller's process");
}

Test(pool, a_crash_costs_its_own_task_only)
{
    for (int jobs = 1; jobs <= 3; jobs += 2) {
        const struct log log = run_pool(8, jobs, work_dying, NULL, 0);
        for (size_t i = 0; i < 8; i++)
            cr_assert_eq(log.entries[i].outcome, i == 2 || i == 3 ? HL_POOL_CRASHED : HL_POOL_DONE,
                         "task %zu", i);
        cr_assert_eq(log.entries[2].signal, SIGKILL);
        cr_assert_eq(log.entries[3].signal, 0);
        cr_assert_eq(log.entries[3].exit_code, 7);
    }
}

Test(pool, a_worker_out_of_memory_counts_as_a_crash_with_code_99)
{
    const struct log log = run_pool(2, 1, work_without_memory, NULL, 0);
    cr_assert_eq(log.entries[0].outcome, HL_POOL_CRASHED);
    cr_assert_eq(log.entries[0].exit_code, 99);
    cr_assert_eq(log.entries[1].outcome, HL_POOL_DONE);
}

static bool may_start_limited(void *user)
{
    struct log *log = user;
    return log->count < log->starts_left;
}

Test(pool, tasks_that_may_not_start_are_told_so)
{
    const struct log log = run_pool(6, 1, work_pid, may_start_limited, 3);
    for (size_t i = 0; i < 6; i++)
        cr_assert_eq(log.entries[i].outcome, i < 3 ? HL_POOL_DONE : HL_POOL_NOT_STARTED);
    cr_assert_not(log.entries[5].interrupted);
}

Test(pool, no_tasks_and_more_jobs_than_tasks_are_fine)
{
    run_pool(0, 4, work_pid, NULL, 0);
    run_pool(2, 64, work_pid, NULL, 0);
}

static void *work_quickly(void *user, size_t index, size_t *ret_size)
{
    (void)user;
    return text_record(ret_size, "task %llu", index);
}

static int leavings[2]; /* a pipe */

static void leave(void *user)
{
    (void)user;
    if (write(leavings[1], "x", 1) != 1)
        _exit(1);
}

Test(pool, every_worker_leaves_once_before_the_pool_ends)
{
    struct log log = { 0 };
    const struct hl_pool pool = { .n_tasks = 9,
                                  .jobs = 3,
                                  .user = &log,
                                  .work = work_quickly,
                                  .deliver = deliver,
                                  .tasks_per_worker = 3,
                                  .leave = leave };
    bool interrupted;
    char text[64];
    cr_assert_eq(pipe(leavings), 0);
    cr_assert_eq(hl_pool_run(&pool, &interrupted, NULL), HL_STATUS_OK);
    cr_assert_eq(log.count, 9);
    close(leavings[1]);
    cr_assert_eq(read(leavings[0], text, sizeof text), (ssize_t)log.workers);
}

/* The first task ends, the second one never would. */
static void *work_forever(void *user, size_t index, size_t *ret_size)
{
    (void)user;
    if (index == 1) {
        kill(getppid(), SIGTERM);
        for (;;)
            pause();
    }
    return text_record(ret_size, "task %llu", index);
}

Test(pool, a_signal_kills_the_workers_and_delivers_the_rest, .timeout = 10)
{
    struct log log = { 0 };
    const struct hl_pool pool = { 4, 1, &log, work_forever, NULL, deliver, NULL };
    struct sigaction before, after;
    sigaction(SIGTERM, NULL, &before);
    bool interrupted = false;
    cr_assert_eq(hl_pool_run(&pool, &interrupted, NULL), HL_STATUS_OK);
    cr_assert(interrupted);
    cr_assert_eq(log.count, 4);
    cr_assert_eq(log.entries[0].outcome, HL_POOL_DONE);
    for (size_t i = 1; i < 4; i++) {
        cr_assert_eq(log.entries[i].outcome, HL_POOL_NOT_STARTED);
        cr_assert(log.entries[i].interrupted);
    }
    cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "no worker may be left");
    sigaction(SIGTERM, NULL, &after);
    cr_assert_eq(before.sa_handler, after.sa_handler, "the caller's handler must be back");
}

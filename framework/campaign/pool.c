/* The worker pool: one socket a worker, a task number one way, a length-prefixed record the other. */
#include "pool.h"
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../scenario/clock.h"

#define TICK_MS 1000
#define JOBS_MAX 1024

struct worker {
    pid_t pid; /* 0: none */
    int fd;
    bool busy, timed_out;
    size_t task;
    unsigned number;
    int tasks_done;
    double started_s; /* the task */
};

struct slot {
    bool finished;
    struct hl_pool_result result;
    void *record;
};

struct state {
    const struct hl_pool *pool;
    struct worker *workers;
    struct pollfd *polls;
    int n_workers;
    struct slot *slots; /* NULL: tasks come from next() and are delivered as they end */
    size_t next, delivered, finished;
    bool has_task; /* `task` is to be given to the next idle worker */
    size_t task;
    unsigned n_started; /* workers, ever */
    sigset_t unblocked; /* signal mask while waiting */
    int start_errno;    /* why a worker could not be started */
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static int transfer(int fd, void *data, size_t size, bool out)
{
    for (size_t done = 0; done < size;) {
        char *at = (char *)data + done;
        const ssize_t n = out ? send(fd, at, size - done, MSG_NOSIGNAL) : recv(fd, at, size - done, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        done += (size_t)n;
    }
    return 0;
}

static void worker_main(const struct hl_pool *pool, int fd)
{
    uint64_t index;
    while (transfer(fd, &index, sizeof index, false) == 0) {
        size_t record_size = 0;
        void *record = pool->work(pool->user, (size_t)index, &record_size);
        if (!record)
            _exit(99);
        uint64_t size = record_size;
        if (transfer(fd, &size, sizeof size, true) < 0 || transfer(fd, record, record_size, true) < 0)
            _exit(99);
        free(record);
    }
    if (pool->leave)
        pool->leave(pool->user);
    _exit(0);
}

/* In the child: only its own socket stays open, a Ctrl-C is the parent's business, and no worker outlives it.
 */
static void worker_begin(struct state *s, int fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    sigprocmask(SIG_SETMASK, &s->unblocked, NULL);
    for (int i = 0; i < s->n_workers; i++)
        if (s->workers[i].pid)
            close(s->workers[i].fd);
    worker_main(s->pool, fd);
}

static int worker_start(struct state *s, struct worker *w)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        s->start_errno = errno;
        return -1;
    }
    fflush(NULL); /* or the child writes the parent's buffers once more */
    const pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        worker_begin(s, fds[1]);
    }
    const int fork_errno = errno;
    close(fds[1]);
    if (pid < 0) {
        s->start_errno = fork_errno;
        close(fds[0]);
        return -1;
    }
    *w = (struct worker){ .pid = pid, .fd = fds[0], .number = ++s->n_started };
    return 0;
}

/* Closes the worker's socket, which ends it, or kills it; returns its wait status. */
static int worker_stop(struct worker *w, bool kill_it)
{
    int status = 0;
    if (kill_it)
        kill(w->pid, SIGKILL);
    close(w->fd);
    while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
        ;
    *w = (struct worker){ 0 };
    return status;
}

static void deliver_in_order(struct state *s)
{
    for (; s->delivered < s->pool->n_tasks && s->slots[s->delivered].finished; s->delivered++) {
        struct slot *slot = &s->slots[s->delivered];
        slot->result.record = slot->record;
        s->pool->deliver(s->pool->user, &slot->result);
        free(slot->record);
        slot->record = NULL;
    }
}

static void finish_task(struct state *s, struct hl_pool_result result, void *record)
{
    s->finished++;
    if (s->slots) {
        struct slot *slot = &s->slots[result.index];
        assert(!slot->finished);
        *slot = (struct slot){ .finished = true, .result = result, .record = record };
        deliver_in_order(s);
    } else {
        result.record = record;
        s->pool->deliver(s->pool->user, &result);
        free(record);
    }
    if (s->pool->tick)
        s->pool->tick(s->pool->user, s->finished);
}

/* Is there a task for an idle worker? It waits in s->task until one takes it. */
static bool have_task(struct state *s)
{
    const struct hl_pool *pool = s->pool;
    if (interrupted)
        return false;
    if (!s->has_task && pool->next) {
        s->has_task = pool->next(pool->user, &s->task);
    } else if (!s->has_task && s->next < pool->n_tasks && (!pool->may_start || pool->may_start(pool->user))) {
        s->has_task = true;
        s->task = s->next++;
    }
    return s->has_task;
}

static bool assign(struct state *s, struct worker *w)
{
    uint64_t index = s->task;
    if (transfer(w->fd, &index, sizeof index, true) < 0)
        return false;
    w->busy = true;
    w->task = s->task;
    w->started_s = hl_now_s();
    s->has_task = false;
    return true;
}

/* Gives every idle worker a task, starting workers as needed. -1 when there is work but no worker can be had.
 */
static int assign_all(struct state *s)
{
    int busy = 0;
    for (int i = 0; i < s->n_workers; i++) {
        struct worker *w = &s->workers[i];
        if (!w->busy && have_task(s)) {
            if (w->pid && !assign(s, w))
                worker_stop(w, true); /* it died while idle */
            /* Without a new one the others go on: too few processes is a matter of speed only. */
            if (!w->pid && worker_start(s, w) == 0 && !assign(s, w))
                worker_stop(w, true);
        }
        busy += w->busy;
    }
    return busy == 0 && s->has_task && !interrupted ? -1 : busy;
}

static void receive(struct state *s, struct worker *w)
{
    struct hl_pool_result result = {
        .index = w->task, .outcome = HL_POOL_DONE, .timed_out = w->timed_out, .worker = w->number
    };
    const int tasks_max = s->pool->tasks_per_worker;
    uint64_t size = 0;
    void *record = NULL;
    w->busy = false;
    if (transfer(w->fd, &size, sizeof size, false) == 0 && (record = malloc(size ? size : 1)) != NULL &&
        transfer(w->fd, record, size, false) == 0) {
        result.size = size;
        result.timed_out = false; /* it ended just before it was killed */
        if (w->timed_out || (tasks_max > 0 && ++w->tasks_done >= tasks_max))
            worker_stop(w, false);
    } else {
        free(record);
        record = NULL;
        const int status = worker_stop(w, false);
        result.outcome = HL_POOL_CRASHED;
        result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    }
    finish_task(s, result, record);
}

/* A killed worker's socket closes, and so its task is received as crashed. */
static void kill_late_workers(struct state *s)
{
    const double limit_s = s->pool->timeout_s, now = limit_s > 0 ? hl_now_s() : 0;
    for (int i = 0; limit_s > 0 && i < s->n_workers; i++) {
        struct worker *w = &s->workers[i];
        if (!w->busy || w->timed_out || now - w->started_s < limit_s)
            continue;
        w->timed_out = true;
        kill(w->pid, SIGKILL);
    }
}

static void wait_for_workers(struct state *s)
{
    kill_late_workers(s);
    nfds_t n = 0;
    for (int i = 0; i < s->n_workers; i++)
        if (s->workers[i].busy)
            s->polls[n++] = (struct pollfd){ .fd = s->workers[i].fd, .events = POLLIN };
    const struct timespec timeout = { TICK_MS / 1000, TICK_MS % 1000 * 1000000L };
    const int ready = ppoll(s->polls, n, &timeout, &s->unblocked);
    if (ready <= 0) {
        if (ready == 0 && s->pool->tick)
            s->pool->tick(s->pool->user, s->finished);
        return;
    }
    nfds_t at = 0;
    for (int i = 0; i < s->n_workers; i++)
        if (s->workers[i].busy && s->polls[at++].revents)
            receive(s, &s->workers[i]);
}

static void run_all(struct state *s, bool *ret_starved)
{
    int busy;
    while ((busy = assign_all(s)) > 0 && !interrupted)
        wait_for_workers(s);
    *ret_starved = busy < 0;
    for (int i = 0; i < s->n_workers; i++) {
        struct worker w = s->workers[i];
        if (!w.pid)
            continue;
        worker_stop(&s->workers[i], w.busy);
    }
    for (size_t i = 0; s->slots && i < s->pool->n_tasks; i++)
        if (!s->slots[i].finished)
            finish_task(s,
                        (struct hl_pool_result){ .index = i,
                                                 .outcome = HL_POOL_NOT_STARTED,
                                                 .interrupted = interrupted || *ret_starved },
                        NULL);
}

enum hl_status hl_pool_run(const struct hl_pool *pool, bool *ret_interrupted, struct hl_error *error)
{
    assert(pool->work && pool->deliver);
    struct state s = { .pool = pool };
    s.n_workers = pool->jobs < 1 ? 1 : pool->jobs > JOBS_MAX ? JOBS_MAX : pool->jobs;
    if (!pool->next && (size_t)s.n_workers > pool->n_tasks)
        s.n_workers = (int)pool->n_tasks;
    s.workers = calloc((size_t)s.n_workers + 1, sizeof *s.workers);
    s.polls = calloc((size_t)s.n_workers + 1, sizeof *s.polls);
    s.slots = pool->next ? NULL : calloc(pool->n_tasks + 1, sizeof *s.slots);
    if (!s.workers || !s.polls || (!s.slots && !pool->next)) {
        free(s.workers);
        free(s.polls);
        free(s.slots);
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for %zu tasks", pool->n_tasks);
    }

    /* Blocked but while waiting, so that a signal is never lost between the check and the wait. */
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGTERM);
    struct sigaction action = { .sa_handler = on_signal }, old_int, old_term;
    sigprocmask(SIG_BLOCK, &blocked, &s.unblocked);
    sigaction(SIGINT, &action, &old_int);
    sigaction(SIGTERM, &action, &old_term);
    interrupted = 0;

    bool starved = false;
    run_all(&s, &starved);
    *ret_interrupted = interrupted;

    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    sigprocmask(SIG_SETMASK, &s.unblocked, NULL);
    free(s.workers);
    free(s.polls);
    free(s.slots);
    if (starved)
        return hl_fail(error, HL_STATUS_INTERNAL, "cannot start a worker process: %s; try a smaller --jobs",
                       strerror(s.start_errno));
    return HL_STATUS_OK;
}

int hl_pool_default_jobs(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores > 0 ? (int)cores : 1;
}

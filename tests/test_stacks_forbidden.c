/* Stacks of a process that may not be traced: its threads are asked by a signal, whatever they are at. */
#include <dlfcn.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>
#include "no_ptrace.h"
#include "stuck_process.h"

static struct hl_snapshot *snapshot; /* of test and target */

static void setup(void)
{
    snapshot = mmap(NULL, sizeof *snapshot, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(snapshot, MAP_FAILED);
}

TestSuite(stacks_forbidden, .init = setup, .timeout = 60);

/* What a supervisor sees that may trace nobody. */
static const char *look(struct hl_snapshot *with)
{
    static char text[65536];
    int answer[2], status;
    cr_assert_eq(pipe(answer), 0);
    const pid_t supervisor = fork();
    if (supervisor == 0) {
        struct hl_process_stacks stacks;
        if (forbid_ptrace() < 0)
            _exit(1);
        hl_stacks_collect(target, HL_STACK_LIMITS, with, &stacks);
        char *seen = text_of(&stacks);
        _exit(write(answer[1], seen, strlen(seen) + 1) < 0);
    }
    size_t n = 0;
    close(answer[1]);
    for (ssize_t got; (got = read(answer[0], text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = '\0';
    close(answer[0]);
    cr_assert_eq(waitpid(supervisor, &status, 0), supervisor);
    cr_assert_eq(status, 0);
    return text;
}

static void expect_said(const char *text, const char *expected)
{
    cr_expect(strstr(text, expected), "'%s' is not in:\n%s", expected, text);
}

/*
 * Stuck in every way
 */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int nothing_comes[2];

STUCK static void *locks_mutex(void *user)
{
    say_ready();
    pthread_mutex_lock(&mutex);
    return user;
}

STUCK static void *reads_pipe(void *user)
{
    char byte;
    say_ready();
    while (read(nothing_comes[0], &byte, 1) != 1)
        ;
    return user;
}

STUCK static void *spins(void *user)
{
    say_ready();
    for (;;)
        __asm__ volatile("");
    return user;
}

STUCK static int holds_loader_lock(struct dl_phdr_info *info, size_t size, void *user)
{
    (void)info, (void)size, (void)user;
    say_ready();
    while (pause() < 0)
        ;
    return 0;
}

static void *walks_objects(void *user)
{
    dl_iterate_phdr(holds_loader_lock, NULL);
    return user;
}

static void is_stuck_in_many_ways(void)
{
    static void *(*const ways[])(void *) = { locks_mutex, reads_pipe, spins, walks_objects };
    pthread_t thread;
    hl_snapshot_allow(snapshot);
    if (pipe(nothing_comes) < 0)
        _exit(1);
    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        pthread_create(&thread, NULL, ways[i], NULL);
    for (;;)
        pause();
}

/* One of them has the loader's lock: nothing that is done inside may want it. */
Test(stacks_forbidden, threads_tell_where_they_stand)
{
    char byte;
    start(is_stuck_in_many_ways);
    for (int i = 1; i < 4; i++)
        cr_assert_eq(read(ready[0], &byte, 1), 1);
    nap_ms(50);
    const char *text = look(snapshot);
    expect_said(text, "locks_mutex at ");
    expect_said(text, "reads_pipe at ");
    expect_said(text, "spins at ");
    expect_said(text, "holds_loader_lock at ");
    expect_said(text, "walks_objects at ");
    expect_said(text, "is_stuck_in_many_ways at ");
    cr_expect_null(strstr(text, "no stack"), "%s", text);
    stop();
}

Test(stacks_forbidden, without_a_snapshot_the_reason_is_said)
{
    char byte;
    start(is_stuck_in_many_ways);
    for (int i = 1; i < 4; i++)
        cr_assert_eq(read(ready[0], &byte, 1), 1);
    expect_said(look(NULL), "no stack: no permission: another user's, or Yama's; see hanglab doctor");
    stop();
}

/*
 * What is not asked, and goes on
 */

static void blocks_signals(void)
{
    sigset_t all;
    hl_snapshot_allow(snapshot);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    say_ready();
    nap_ms(100000);
}

Test(stacks_forbidden, a_thread_that_blocks_signals_is_not_waited_for)
{
    struct timespec from, to;
    start(blocks_signals);
    clock_gettime(CLOCK_MONOTONIC, &from);
    expect_said(look(snapshot), "it blocks signals");
    clock_gettime(CLOCK_MONOTONIC, &to);
    cr_expect_lt(to.tv_sec - from.tv_sec, 5);
    stop();
}

/* Its handler is gone: the signal would end it. */
static void becomes_another_program(void)
{
    hl_snapshot_allow(snapshot);
    say_ready();
    execlp("sleep", "sleep", "100", NULL);
}

Test(stacks_forbidden, a_process_that_has_become_another_program_is_left_alone)
{
    start(becomes_another_program);
    nap_ms(200);
    expect_said(look(snapshot), "it handles no signal of ours");
    nap_ms(50);
    cr_expect_eq(waitpid(target, NULL, WNOHANG), 0, "it was killed");
    stop();
}

/* Reads and locks are taken up again; what the thread does next is what it would have done. */
static void reads_and_tells(void)
{
    char byte;
    hl_snapshot_allow(snapshot);
    say_ready();
    if (read(to_test[0], &byte, 1) == 1 && byte == 'x')
        say_ready();
    nap_ms(100000);
}

Test(stacks_forbidden, a_blocked_call_goes_on_afterwards)
{
    char byte = 0;
    start(reads_and_tells);
    nap_ms(50);
    for (int i = 0; i < 5; i++)
        expect_said(look(snapshot), "reads_and_tells");
    struct pollfd poll_ready = { ready[0], POLLIN, 0 };
    cr_expect_eq(poll(&poll_ready, 1, 100), 0, "read() did not wait on");
    cr_assert_eq(write(to_test[1], "x", 1), 1);
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    stop();
}

/* Many looks at a thread that does things: none of them meets another one's snapshot. */
STUCK static int deep(int n) { return n == 0 ? (nap_ms(1), 1) : deep(n - 1) + 1; }

static void goes_deep(void)
{
    hl_snapshot_allow(snapshot);
    say_ready();
    for (int n = 0;; n = (n + 7) % 40)
        deep(n);
}

Test(stacks_forbidden, a_thread_that_goes_on_is_seen_in_one_piece)
{
    start(goes_deep);
    for (int i = 0; i < 20; i++)
        expect_said(look(snapshot), "goes_deep at ");
    stop();
}

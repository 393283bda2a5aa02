/* Stacks that cannot be had, and why; and processes that go on unharmed after they were looked at. */
#include <pthread.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include "stuck_process.h"

/*
 * What cannot be had, and why
 */

static void ends(void) { say_ready(); }

Test(stacks, a_zombie, .timeout = 20)
{
    struct hl_process_stacks stacks;
    start(ends);
    await_state(target, 'Z');
    hl_stacks_collect(target, HL_STACK_LIMITS, NULL, &stacks);
    char *text = text_of(&stacks);
    cr_assert(strstr(text, "it has ended, and its parent has not noticed yet"), "%s", text);
    free(text);
    hl_stacks_finish(&stacks);
    int status;
    cr_assert_eq(waitpid(target, &status, 0), target, "its end was taken from its parent");
}

Test(stacks, a_process_that_is_gone, .timeout = 20)
{
    struct hl_process_stacks stacks;
    start(ends);
    stop();
    hl_stacks_collect(target, HL_STACK_LIMITS, NULL, &stacks);
    cr_assert_str_eq(stacks.why_not, "there is no such process any more");
    cr_assert_eq(stacks.n_threads, 0);
    hl_stacks_finish(&stacks);
}

static void *lives_briefly(void *user)
{
    nap_ms((long)(intptr_t)user);
    return NULL;
}

static void ends_soon(void)
{
    pthread_t thread;
    for (int i = 0; i < 20; i++)
        pthread_create(&thread, NULL, lives_briefly, (void *)(intptr_t)(i / 2));
    say_ready();
    nap_ms(4);
}

/* Whenever it ends, a collection ends too, and its parent still gets to know. */
Test(stacks, a_process_that_ends_meanwhile, .timeout = 60)
{
    for (int i = 0; i < 30; i++) {
        struct hl_process_stacks stacks;
        int status;
        start(ends_soon);
        nap_ms(i % 6);
        hl_stacks_collect(target, HL_STACK_LIMITS, NULL, &stacks);
        free(text_of(&stacks));
        hl_stacks_finish(&stacks);
        cr_assert_eq(waitpid(target, &status, 0), target);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "it was harmed: status %x",
                  (unsigned)status);
        for (int end = 0; end < 2; end++)
            close(ready[end]), close(from_test[end]), close(to_test[end]);
    }
}

STUCK static void sleeps(void)
{
    say_ready();
    nap_ms(100000);
}

Test(stacks, a_process_of_another_user, .timeout = 20)
{
    if (geteuid() != 0)
        cr_skip_test("needs root, to become somebody else");
    start(sleeps);
    int text_pipe[2];
    cr_assert_eq(pipe(text_pipe), 0);
    const pid_t other = fork();
    if (other == 0) {
        struct hl_process_stacks stacks;
        if (setgid(65534) < 0 || setuid(65534) < 0)
            _exit(1);
        hl_stacks_collect(target, HL_STACK_LIMITS, NULL, &stacks);
        char *text = text_of(&stacks);
        _exit(write(text_pipe[1], text, strlen(text)) < 0);
    }
    int status;
    char text[1024] = "";
    cr_assert_eq(waitpid(other, &status, 0), other);
    cr_assert_eq(status, 0);
    cr_assert_gt(read(text_pipe[0], text, sizeof text - 1), 0);
    cr_assert(strstr(text, "no permission"), "%s", text);
    cr_assert(strstr(text, "hanglab doctor"), "%s", text);
    stop();
}

Test(stacks, a_process_that_a_debugger_holds, .timeout = 20)
{
    start(sleeps);
    const pid_t debugger = fork();
    if (debugger == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (ptrace(PTRACE_SEIZE, target, 0, 0) == 0)
            say_ready();
        pause();
    }
    char byte;
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    struct hl_process_stacks stacks;
    hl_stacks_collect(target, HL_STACK_LIMITS, NULL, &stacks);
    char expected[64];
    snprintf(expected, sizeof expected, "process %d traces it already", debugger);
    cr_assert(strstr(stacks.threads[0].why_not, expected), "%s", stacks.threads[0].why_not);
    hl_stacks_finish(&stacks);
    int status;
    kill(debugger, SIGKILL);
    waitpid(debugger, &status, 0);
    stop();
}

/* A parent in vfork() sleeps uninterruptibly until its child lets go. */
static void sleeps_uninterruptibly(void)
{
    if (vfork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        syscall(SYS_write, ready[1], "r", 1);
        syscall(SYS_pause);
        _exit(0);
    }
}

Test(stacks, a_thread_that_cannot_be_stopped_is_not_waited_for, .timeout = 20)
{
    struct hl_process_stacks stacks;
    start(sleeps_uninterruptibly);
    await_state(target, 'D');
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    hl_stacks_collect(target, HL_STACK_LIMITS, NULL, &stacks);
    clock_gettime(CLOCK_MONOTONIC, &to);
    cr_assert_lt((double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec), 0.9);
    cr_assert(strstr(stacks.threads[0].why_not, "it sleeps uninterruptibly in the kernel"), "%s",
              stacks.threads[0].why_not);
    cr_assert_eq(stacks.threads[0].n_frames, 0);
    hl_stacks_finish(&stacks);
    stop();
}

/*
 * Unharmed
 */

Test(stacks, a_stopped_process_stays_stopped, .timeout = 20)
{
    struct hl_process_stacks stacks;
    start(sleeps);
    await_state(target, 'S');
    kill(target, SIGSTOP);
    await_state(target, 'T');
    hl_stacks_collect(target, HL_STACK_LIMITS, NULL, &stacks);
    cr_assert(find(&stacks.threads[0], "sleeps"));
    hl_stacks_finish(&stacks);
    await_state(target, 'T');
    kill(target, SIGCONT);
    await_state(target, 'S');
    stop();
}

static atomic_int *counted;
static void counts_signals(int signal)
{
    (void)signal;
    atomic_fetch_add(counted, 1);
}

static void is_signalled(void)
{
    counted = shared;
    signal(SIGUSR1, counts_signals);
    say_ready();
    for (;;)
        ;
}

/* A signal that arrives while a thread is being stopped is delivered all the same. */
Test(stacks, no_signal_is_lost, .timeout = 100)
{
    start(is_signalled);
    for (int i = 1; i <= 50; i++) {
        struct hl_process_stacks stacks;
        kill(target, SIGUSR1);
        hl_stacks_collect(target, HL_STACK_LIMITS, NULL, &stacks);
        hl_stacks_finish(&stacks);
        for (int wait = 0; wait < 2000 && atomic_load(shared) < i; wait++)
            nap_ms(1);
        cr_assert_eq(atomic_load(shared), i);
    }
    stop();
}

Test(stacks, a_full_disk_is_an_error, .timeout = 20)
{
    struct hl_process_stacks stacks;
    start(sleeps);
    hl_stacks_collect(target, HL_STACK_LIMITS, NULL, &stacks);
    FILE *full = fopen("/dev/full", "w");
    cr_assert(full);
    setvbuf(full, NULL, _IONBF, 0);
    cr_assert_eq(hl_stacks_write(&stacks, full), -1);
    fclose(full);
    hl_stacks_finish(&stacks);
    stop();
}

/* A child that gets stuck on purpose, for tests of what is seen of it. */
#pragma once
#include <criterion/criterion.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../watchdog/host/stacks.h"

#define STUCK __attribute__((noinline, noclone))

static pid_t target;
static int ready[2], from_test[2], to_test[2];
static atomic_int *shared; /* of test and target */

static inline void nap_ms(long ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL); }

static inline char state_of(pid_t pid)
{
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = 0;
    if (file)
        fclose(file);
    return state;
}

static inline void await_state(pid_t pid, char state)
{
    for (int i = 0; i < 2000 && state_of(pid) != state; i++)
        nap_ms(1);
    cr_assert_eq(state_of(pid), state, "process %d is %c, not %c", pid, state_of(pid), state);
}

static inline void say_ready(void) { cr_assert_eq(write(ready[1], "r", 1), 1); }

/* Starts a child that runs `stand`, which says when it is about to stand still. */
static inline void start(void (*stand)(void))
{
    cr_assert_eq(pipe(ready) | pipe(from_test) | pipe(to_test), 0);
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    target = fork();
    if (target == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        stand();
        _exit(0);
    }
    char byte;
    cr_assert_eq(read(ready[0], &byte, 1), 1);
}

static inline void stop(void)
{
    int status;
    kill(target, SIGKILL);
    waitpid(target, &status, 0);
}

static inline const struct hl_frame *find(const struct hl_thread_stack *thread, const char *function)
{
    for (int i = 0; i < thread->n_frames; i++)
        if (thread->frames[i].function &&
            strncmp(thread->frames[i].function, function, strlen(function)) == 0)
            return &thread->frames[i];
    return NULL;
}

static inline char *text_of(const struct hl_process_stacks *stacks)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    cr_assert_eq(hl_stacks_write(stacks, out), 0);
    fclose(out);
    return text;
}

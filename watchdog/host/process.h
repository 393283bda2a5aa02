/* A process seen from outside: what /proc says of its threads, and holding them still. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "stacks.h"

/* Monotonic. */
uint64_t hl_process_now_ns(void);

/* The threads of a process, the main thread first; at most `max`. Returns how many there are, or -1 with
 * errno set. */
int hl_process_threads(int pid, int max, int *tids);

/* Name, state, wchan and system call; from before it is stopped, because stopping changes them. */
void hl_process_facts(int pid, struct hl_thread_stack *thread);

/* A thread that is held, and the signal that was on its way to it just then: it gets it when it goes on. */
struct hl_held_thread {
    int tid, signal;
    bool stopped;
};

/* Stops a thread without a signal. On failure `why_not` of the thread says why. One that did not stop by the
 * deadline stays traced, until the calling thread ends. */
bool hl_process_hold(int pid, uint64_t deadline_ns, struct hl_thread_stack *thread,
                     struct hl_held_thread *ret_held);
void hl_process_let_go(struct hl_held_thread *held);

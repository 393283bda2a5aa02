/* Where every thread of another process stands: its stack with functions and source lines, and what the
 * kernel says of it.
 *
 * For the supervisor, about a process that may be stuck in any way. Threads are stopped with PTRACE_SEIZE and
 * PTRACE_INTERRUPT, which send no signal, unwound by libdwfl (the unwinder of eu-stack: one library reads
 * memory, unwinds and finds source lines), and let go before anything is symbolised. Nothing here needs CUDA
 * or debug information; what cannot be had comes with the reason. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "snapshot.h"

struct hl_frame {
    uint64_t pc;
    const char *function; /* NULL: its object names no function there */
    const char *object;   /* file name without folder; NULL: memory that no file backs (generated code) */
    uint64_t offset;      /* of the pc in the function, or else in the object */
    const char *file;     /* NULL: no debug information */
    int line;
};

struct hl_thread_stack {
    int tid;
    char name[32];
    char state;              /* R, S, D, T, t, Z as in /proc; 0: not known */
    char wchan[64];          /* kernel function that it sleeps in; "" where not known */
    int syscall;             /* that it is inside; -1: none, or not known */
    char why_not[96];        /* "", or why there is no stack, or why it ends early */
    bool forbidden;          /* it may not be traced */
    struct hl_frame *frames; /* innermost first */
    int n_frames;
    /* Where it is inside the CUDA driver: the entry point (cuStreamSynchronize), and the first frame outside
     * of NVIDIA's libraries, which called it. -1: it is not inside, or the thread is one of the driver's own.
     */
    int driver_frame, caller_frame;
};

struct hl_process_stacks {
    int pid;
    char name[32];
    char why_not[160];               /* "", or why there are no stacks at all */
    struct hl_thread_stack *threads; /* the main thread first */
    int n_threads;
    int threads_left_out; /* beyond the limit */
    double stopped_ms;    /* for how long its threads were held */
    void *symbols;        /* owns the strings of the frames */
};

struct hl_stack_limits {
    int threads, frames; /* a process; a thread */
    int time_ms;         /* all of it; what has not been seen by then is told as such */
};

/* What fits into the time between a stall and its bundle. */
#define HL_STACK_LIMITS ((struct hl_stack_limits){ .threads = 256, .frames = 64, .time_ms = 1000 })

/* Never fails as a whole: `why_not` says what is missing. The target goes on afterwards as if nothing had
 * been, but that a few calls (epoll_wait, sigtimedwait) may return EINTR. A thread that may not be traced is
 * asked by a signal where the process allows that (`snapshot`, which both have mapped; NULL: it does not).
 * The caller calls hl_stacks_finish(). */
void hl_stacks_collect(int pid, struct hl_stack_limits limits, struct hl_snapshot *snapshot,
                       struct hl_process_stacks *ret_stacks);
void hl_stacks_finish(struct hl_process_stacks *stacks);

/* "function at file:line", or as much of it as is known. */
void hl_frame_describe(const struct hl_frame *frame, char *text, size_t size);

/* As text, as it stands in a bundle's stacks/rank<r>.txt. 0, or -1 when it could not be written. */
int hl_stacks_write(const struct hl_process_stacks *stacks, FILE *out);
/* The same in pieces: what is said of the process as a whole, and each thread. */
void hl_stacks_write_head(const struct hl_process_stacks *stacks, FILE *out);
void hl_stacks_write_thread(const struct hl_thread_stack *thread, FILE *out);

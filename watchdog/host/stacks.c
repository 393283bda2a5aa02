/* The order of a collection: what /proc says, hold all threads, unwind them, let them go, and only then look
 * for names, which takes longest. */
#include "stacks.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "process.h"
#include "unwind.h"

static void say_why(struct hl_process_stacks *stacks, const char *what)
{
    snprintf(stacks->why_not, sizeof stacks->why_not, "%s", what);
}

static bool list_threads(struct hl_stack_limits limits, struct hl_process_stacks *stacks)
{
    int *tids = calloc((size_t)limits.threads, sizeof tids[0]);
    const int n = tids ? hl_process_threads(stacks->pid, limits.threads, tids) : 0;
    if (n < 0)
        say_why(stacks, errno == ENOENT || errno == ESRCH ? "there is no such process any more"
                                                          : "its threads cannot be listed");
    stacks->n_threads = n < limits.threads ? n : limits.threads;
    stacks->threads_left_out = n > limits.threads ? n - limits.threads : 0;
    stacks->threads = n > 0 ? calloc((size_t)stacks->n_threads, sizeof stacks->threads[0]) : NULL;
    if (!tids || (n > 0 && !stacks->threads))
        say_why(stacks, "out of memory");
    for (int i = 0; stacks->threads && i < stacks->n_threads; i++) {
        stacks->threads[i] =
            (struct hl_thread_stack){ .tid = tids[i], .syscall = -1, .driver_frame = -1, .caller_frame = -1 };
        hl_process_facts(stacks->pid, &stacks->threads[i]);
    }
    free(tids);
    if (!stacks->threads) {
        stacks->n_threads = 0;
        return false;
    }
    snprintf(stacks->name, sizeof stacks->name, "%s", stacks->threads[0].name);
    return true;
}

static void ask_thread(struct hl_snapshot *snapshot, struct hl_stack_limits limits, uint64_t deadline_ns,
                       struct hl_process_stacks *stacks, struct hl_thread_stack *thread)
{
    if (!snapshot || !thread->forbidden ||
        !hl_snapshot_take(snapshot, stacks->pid, thread->tid, deadline_ns, thread->why_not,
                          sizeof thread->why_not))
        return;
    thread->why_not[0] = '\0';
    hl_unwind_thread(stacks->symbols, snapshot, limits.frames, deadline_ns, thread);
}

static void unwind_threads(struct hl_stack_limits limits, struct hl_snapshot *snapshot, uint64_t deadline_ns,
                           struct hl_process_stacks *stacks)
{
    struct hl_held_thread *held = calloc((size_t)stacks->n_threads, sizeof held[0]);
    if (!held) {
        say_why(stacks, "out of memory");
        return;
    }
    const uint64_t from_ns = hl_process_now_ns();
    for (int i = 0; i < stacks->n_threads; i++)
        hl_process_hold(stacks->pid, deadline_ns, &stacks->threads[i], &held[i]);
    for (int i = 0; i < stacks->n_threads; i++) {
        if (held[i].stopped)
            hl_unwind_thread(stacks->symbols, NULL, limits.frames, deadline_ns, &stacks->threads[i]);
        else
            ask_thread(snapshot, limits, deadline_ns, stacks, &stacks->threads[i]);
        hl_process_let_go(&held[i]);
    }
    stacks->stopped_ms = (double)(hl_process_now_ns() - from_ns) / 1e6;
    free(held);
}

struct job {
    struct hl_stack_limits limits;
    struct hl_snapshot *snapshot;
    struct hl_process_stacks *stacks;
};

static void *collect(void *user)
{
    const struct job *job = user;
    struct hl_process_stacks *stacks = job->stacks;
    const uint64_t deadline_ns = hl_process_now_ns() + (uint64_t)job->limits.time_ms * 1000000u;
    if (!list_threads(job->limits, stacks))
        return NULL;
    int error;
    stacks->symbols = hl_unwind_open(stacks->pid, &error);
    if (!stacks->symbols) {
        say_why(stacks, stacks->threads[0].state == 'Z' ? "it has ended, and its parent has not noticed yet"
                        : error == EACCES || error == EPERM
                            ? "no permission: another user's, or Yama's; see hanglab doctor"
                            : "its memory map cannot be read");
        return NULL;
    }
    unwind_threads(job->limits, job->snapshot, deadline_ns, stacks);
    for (int i = 0; i < stacks->n_threads; i++)
        hl_unwind_name(stacks->symbols, &stacks->threads[i], deadline_ns);
    return NULL;
}

/* In a thread of its own: the kernel frees whatever a tracer still holds when it ends, a thread that never
 * stopped included. Signals of the program are not for it. */
void hl_stacks_collect(int pid, struct hl_stack_limits limits, struct hl_snapshot *snapshot,
                       struct hl_process_stacks *ret_stacks)
{
    struct job job = { .limits = limits, .snapshot = snapshot, .stacks = ret_stacks };
    pthread_t thread;
    sigset_t all, before;
    *ret_stacks = (struct hl_process_stacks){ .pid = pid };
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&thread, NULL, collect, &job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        say_why(ret_stacks, "no thread could be made to look at it");
    else
        pthread_join(thread, NULL);
}

void hl_stacks_finish(struct hl_process_stacks *stacks)
{
    for (int i = 0; i < stacks->n_threads; i++)
        free(stacks->threads[i].frames);
    free(stacks->threads);
    if (stacks->symbols)
        hl_unwind_close(stacks->symbols);
    *stacks = (struct hl_process_stacks){ 0 };
}

/*
 * As text
 */

void hl_frame_describe(const struct hl_frame *frame, char *text, size_t size)
{
    /* Symbol versions (nanosleep@GLIBC_2.2.5) say nothing about where a thread stands. */
    int n = frame->function
                ? snprintf(text, size, "%.*s", (int)strcspn(frame->function, "@"), frame->function)
                : snprintf(text, size, "0x%llx", (unsigned long long)frame->pc);
    if (frame->file && n >= 0 && (size_t)n < size)
        snprintf(text + n, size - (size_t)n, " at %s:%d", frame->file, frame->line);
    else if (frame->object && n >= 0 && (size_t)n < size)
        snprintf(text + n, size - (size_t)n, " of %s", frame->object);
}

/* "inside the CUDA driver: cuStreamSynchronize, called by main at main.c:12" */
static void write_driver_call(const struct hl_thread_stack *thread, FILE *out)
{
    char text[512];
    if (thread->driver_frame < 0)
        return;
    fprintf(out, "    inside the CUDA driver: %s", thread->frames[thread->driver_frame].function);
    if (thread->caller_frame >= 0) {
        hl_frame_describe(&thread->frames[thread->caller_frame], text, sizeof text);
        fprintf(out, ", called by %s", text);
    }
    fputs("\n", out);
}

void hl_stacks_write_thread(const struct hl_thread_stack *thread, FILE *out)
{
    char text[512];
    fprintf(out, "  thread %d", thread->tid);
    if (thread->name[0])
        fprintf(out, " \"%s\"", thread->name);
    if (thread->state)
        fprintf(out, ", state %c", thread->state);
    if (thread->syscall >= 0)
        fprintf(out, ", system call %d", thread->syscall);
    if (thread->wchan[0])
        fprintf(out, ", sleeps in %s", thread->wchan);
    fputs("\n", out);
    write_driver_call(thread, out);
    for (int i = 0; i < thread->n_frames; i++) {
        const struct hl_frame *frame = &thread->frames[i];
        hl_frame_describe(frame, text, sizeof text);
        fprintf(out, "    #%d %s", i, text);
        if (frame->object)
            fprintf(out, " (%s+0x%llx)", frame->object, (unsigned long long)frame->offset);
        fputs("\n", out);
    }
    if (thread->why_not[0])
        fprintf(out, "    %s: %s\n", thread->n_frames ? "ends here" : "no stack", thread->why_not);
}

void hl_stacks_write_head(const struct hl_process_stacks *stacks, FILE *out)
{
    fprintf(out, "process %d", stacks->pid);
    if (stacks->name[0])
        fprintf(out, " \"%s\"", stacks->name);
    if (stacks->why_not[0])
        fprintf(out, ": %s", stacks->why_not);
    if (stacks->threads_left_out)
        fprintf(out, ", %d threads more than are shown", stacks->threads_left_out);
    fputs("\n", out);
}

int hl_stacks_write(const struct hl_process_stacks *stacks, FILE *out)
{
    hl_stacks_write_head(stacks, out);
    for (int i = 0; i < stacks->n_threads; i++)
        hl_stacks_write_thread(&stacks->threads[i], out);
    return ferror(out) ? -1 : 0;
}

/* /proc and ptrace.
 *
 * PTRACE_SEIZE, unlike PTRACE_ATTACH, sends no SIGSTOP: nothing is left behind when the tracer dies midway,
 * and a thread that job control has stopped stays so (ptrace(2)). */
#include "process.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#define POLL_NS 50000

uint64_t hl_process_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/*
 * /proc
 */

/* The start of a file of a thread, without a final newline; "" where it cannot be read. */
static void read_text(int pid, int tid, const char *name, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/%s", pid, tid, name);
    FILE *file = fopen(path, "re");
    const size_t n = file ? fread(text, 1, size - 1, file) : 0;
    if (file)
        fclose(file);
    text[n] = 0;
    text[strcspn(text, "\n")] = 0;
}

int hl_process_threads(int pid, int max, int *tids)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *folder = opendir(path);
    if (!folder)
        return -1;
    int n = 0;
    const struct dirent *entry;
    while ((entry = readdir(folder))) {
        const int tid = atoi(entry->d_name);
        if (tid <= 0)
            continue;
        if (n < max)
            tids[n] = tid;
        n++;
    }
    closedir(folder);
    if (n == 0)
        errno = ESRCH;
    return n ? n : -1;
}

/* stat is "tid (name) state ..."; a name may hold parentheses. */
static void read_stat(int pid, struct hl_thread_stack *thread)
{
    char stat[128];
    read_text(pid, thread->tid, "stat", stat, sizeof stat);
    const char *open = strchr(stat, '('), *close = strrchr(stat, ')');
    if (!open || !close || close < open)
        return;
    snprintf(thread->name, sizeof thread->name, "%.*s", (int)(close - open - 1), open + 1);
    if (close[1] == ' ')
        thread->state = close[2];
}

void hl_process_facts(int pid, struct hl_thread_stack *thread)
{
    char text[32];
    read_stat(pid, thread);
    read_text(pid, thread->tid, "wchan", thread->wchan, sizeof thread->wchan);
    if (strcmp(thread->wchan, "0") == 0)
        thread->wchan[0] = 0;
    read_text(pid, thread->tid, "syscall", text, sizeof text);
    thread->syscall = isdigit((unsigned char)text[0]) ? atoi(text) : -1;
}

/*
 * ptrace
 */

static int tracer_of(int pid, int tid)
{
    char path[64], line[128];
    int tracer = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/status", pid, tid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file) && sscanf(line, "TracerPid: %d", &tracer) != 1)
        ;
    if (file)
        fclose(file);
    return tracer;
}

static void say_why_refused(int pid, int error, struct hl_thread_stack *thread)
{
    const int tracer = tracer_of(pid, thread->tid);
    if (error == ESRCH)
        snprintf(thread->why_not, sizeof thread->why_not, "it ended while stacks were taken");
    else if (tracer)
        snprintf(thread->why_not, sizeof thread->why_not, "process %d traces it already, such as a debugger",
                 tracer);
    else if (error == EPERM && (thread->forbidden = true))
        snprintf(thread->why_not, sizeof thread->why_not,
                 "no permission: another user's, or Yama's; see hanglab doctor");
    else
        snprintf(thread->why_not, sizeof thread->why_not, "it cannot be stopped: %s", strerror(error));
}

static bool has_ended(int pid, struct hl_thread_stack *thread)
{
    char stat[128];
    read_text(pid, thread->tid, "stat", stat, sizeof stat);
    const char *close = strrchr(stat, ')');
    return !close || close[2] == 'Z' || close[2] == 'X';
}

/* Waits for the stop, and for nothing else: the end of a child is its parent's to collect. */
static bool await_stop(int pid, uint64_t deadline_ns, struct hl_thread_stack *thread,
                       struct hl_held_thread *held)
{
    for (;;) {
        siginfo_t info = { 0 };
        if (waitid(P_PID, (id_t)thread->tid, &info, WSTOPPED | WNOHANG | __WALL) == 0 && info.si_pid) {
            held->stopped = true;
            held->signal = info.si_status >> 8 == PTRACE_EVENT_STOP ? 0 : info.si_status & 0x7f;
            return true;
        }
        if (has_ended(pid, thread)) {
            snprintf(thread->why_not, sizeof thread->why_not, "it ended while stacks were taken");
            return false;
        }
        if (hl_process_now_ns() > deadline_ns) {
            snprintf(thread->why_not, sizeof thread->why_not, "it did not stop in time");
            return false;
        }
        nanosleep(&(struct timespec){ .tv_nsec = POLL_NS }, NULL);
    }
}

bool hl_process_hold(int pid, uint64_t deadline_ns, struct hl_thread_stack *thread,
                     struct hl_held_thread *ret_held)
{
    if (thread->state == 'Z' || thread->state == 'X') {
        snprintf(thread->why_not, sizeof thread->why_not, "it has ended, and its parent has not noticed yet");
        return false;
    }
    if (thread->state == 'D') { /* would stop only when its wait ends, and must not be waited for */
        snprintf(thread->why_not, sizeof thread->why_not, "it sleeps uninterruptibly in the kernel, in %.40s",
                 thread->wchan[0] ? thread->wchan : "a place not known");
        return false;
    }
    if (ptrace(PTRACE_SEIZE, thread->tid, 0, 0) < 0) {
        say_why_refused(pid, errno, thread);
        return false;
    }
    *ret_held = (struct hl_held_thread){ .tid = thread->tid };
    if (ptrace(PTRACE_INTERRUPT, thread->tid, 0, 0) < 0) {
        say_why_refused(pid, errno, thread);
        return false;
    }
    return await_stop(pid, deadline_ns, thread, ret_held);
}

void hl_process_let_go(struct hl_held_thread *held)
{
    if (held->stopped)
        ptrace(PTRACE_DETACH, held->tid, 0, (void *)(intptr_t)held->signal);
    held->stopped = false;
}

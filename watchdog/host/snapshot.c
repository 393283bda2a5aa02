/* The supervisor's side of a snapshot: one thread after the other. */
#include "snapshot.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "process.h"

#define ANSWER_NS 50000000u
#define POLL_NS 50000

/* Has a thread of that process this signal in the set of that name (SigBlk, SigCgt)? */
static bool is_in_set(int pid, int tid, const char *name, int number)
{
    char path[64], line[256];
    unsigned long long set = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/status", pid, tid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0)
            sscanf(line + strlen(name), ": %llx", &set);
    if (file)
        fclose(file);
    return set >> (number - 1) & 1;
}

static bool wait_done(const struct hl_snapshot *snapshot, uint64_t until_ns)
{
    while (!atomic_load(&snapshot->done) && hl_process_now_ns() < until_ns)
        nanosleep(&(struct timespec){ .tv_nsec = POLL_NS }, NULL);
    return atomic_load(&snapshot->done);
}

/* An exec() takes the handler away, and then the signal would end the process: so that is looked at first. */
bool hl_snapshot_take(struct hl_snapshot *snapshot, int pid, int tid, uint64_t deadline_ns, char *why,
                      size_t size)
{
    const uint64_t now_ns = hl_process_now_ns();
    const uint64_t until_ns = now_ns + ANSWER_NS < deadline_ns ? now_ns + ANSWER_NS : deadline_ns;
    uint32_t expected = (uint32_t)tid;
    if (!snapshot->signal || !is_in_set(pid, tid, "SigCgt", snapshot->signal)) {
        snprintf(why, size, "no permission to trace it, and it handles no signal of ours");
        return false;
    }
    if (is_in_set(pid, tid, "SigBlk", snapshot->signal)) {
        snprintf(why, size, "no permission to trace it, and it blocks signals");
        return false;
    }
    atomic_store(&snapshot->done, 0);
    atomic_store(&snapshot->wanted, expected);
    if (syscall(SYS_tgkill, pid, tid, snapshot->signal) == 0 && wait_done(snapshot, until_ns))
        return true;
    /* It has not begun, or is at it and will be done. */
    if (!atomic_compare_exchange_strong(&snapshot->wanted, &expected, 0) &&
        wait_done(snapshot, until_ns + ANSWER_NS))
        return true;
    snprintf(why, size, "no permission to trace it, and it did not answer a signal in time");
    return false;
}

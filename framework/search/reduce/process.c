/* See process.h. */
#include "process.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* In the child. A process group of its own, so that what it starts can be killed with it. */
static _Noreturn void become(const struct hl_process *process, int out)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int nothing = open("/dev/null", O_RDWR);
    const int log = process->log ? open(process->log, O_WRONLY | O_CREAT | O_APPEND, 0666) : nothing;
    for (int i = 0; process->set && process->set[i]; i += 2)
        setenv(process->set[i], process->set[i + 1], 1);
    if (nothing < 0 || log < 0 || dup2(nothing, 0) < 0 || dup2(out >= 0 ? out : log, 1) < 0 ||
        dup2(log, 2) < 0)
        _exit(126);
    if (process->folder && chdir(process->folder) < 0)
        _exit(126);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    execvp(process->argv[0], (char *const *)process->argv);
    _exit(127);
}

static enum hl_status start(const struct hl_process *process, int out, pid_t *ret_pid, struct hl_error *error)
{
    fflush(NULL);
    const pid_t pid = fork();
    if (pid < 0)
        return hl_fail(error, HL_STATUS_INTERNAL, "cannot start %s: %s", process->argv[0], strerror(errno));
    if (pid == 0)
        become(process, out);
    setpgid(pid, pid); /* by whoever comes first */
    *ret_pid = pid;
    return HL_STATUS_OK;
}

static struct hl_process_end wait_for(pid_t pid, double timeout_s)
{
    struct hl_process_end end = { 0 };
    struct timespec begun, now;
    int status = 0;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    for (long nap_ns = 200000;; nap_ns = nap_ns < 20000000 ? nap_ns * 2 : nap_ns) {
        const pid_t got = waitpid(pid, &status, timeout_s > 0 && !end.timed_out ? WNOHANG : 0);
        if (got == pid || (got < 0 && errno != EINTR))
            break;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (timeout_s > 0 && !end.timed_out &&
            (double)(now.tv_sec - begun.tv_sec) + 1e-9 * (double)(now.tv_nsec - begun.tv_nsec) > timeout_s) {
            end.timed_out = true;
            kill(-pid, SIGKILL);
            continue;
        }
        nanosleep(&(struct timespec){ .tv_nsec = nap_ns }, NULL);
    }
    kill(-pid, SIGKILL); /* what it left behind would disturb the next one */
    end.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return end;
}

enum hl_status hl_process_run(const struct hl_process *process, struct hl_process_end *ret_end,
                              struct hl_error *error)
{
    pid_t pid;
    const enum hl_status status = start(process, -1, &pid, error);
    if (status == HL_STATUS_OK)
        *ret_end = wait_for(pid, process->timeout_s);
    return status;
}

enum hl_status hl_process_read(const struct hl_process *process, char **ret_text, struct hl_error *error)
{
    int ends[2];
    pid_t pid;
    char *text = NULL;
    size_t size = 0;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return hl_fail(error, HL_STATUS_INTERNAL, "cannot make a pipe: %s", strerror(errno));
    const enum hl_status status = start(process, ends[1], &pid, error);
    close(ends[1]);
    FILE *in = status == HL_STATUS_OK ? fdopen(ends[0], "r") : NULL;
    if (!in) {
        close(ends[0]);
        return status != HL_STATUS_OK ? status : hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    }
    if (getdelim(&text, &size, '\0', in) < 0 && !text)
        text = NULL;
    fclose(in);
    const struct hl_process_end end = wait_for(pid, 0);
    if (end.code != 0 || !text) {
        free(text);
        return hl_fail(error, HL_STATUS_USAGE, "`%s %s ...` ended with code %d", process->argv[0],
                       process->argv[1] ? process->argv[1] : "", end.code);
    }
    *ret_text = text;
    return HL_STATUS_OK;
}

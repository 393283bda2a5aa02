/* What linking libhanglab adds to the start of a test program: Criterion starts one process a test. */
#include <limits.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

extern char **environ;

/* Starts it a few times, so that one measurement is far above the clock's noise. */
#define STARTS 20

static void start(void *context)
{
    const char *program = context;
    char *argv[] = { (char *)program, NULL };
    for (int i = 0; i < STARTS; i++) {
        pid_t pid;
        int status;
        hl_bench_require(posix_spawn(&pid, program, NULL, NULL, argv, environ) == 0, "cannot start");
        hl_bench_require(waitpid(pid, &status, 0) == pid && status == 0, "the program failed");
    }
}

/* The two programs stand beside this one. */
static double start_ms(const char *name)
{
    char path[PATH_MAX + 32];
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX);
    hl_bench_require(length > 0, "cannot read /proc/self/exe");
    path[length] = '\0';
    strcpy(strrchr(path, '/') + 1, name);
    return hl_bench_median_s(start, path, 9) * 1e3 / STARTS;
}

int main(void)
{
    double bare_ms = start_ms("startup_bare"), linked_ms = start_ms("startup_linked");
    hl_bench_row("start-up: what linking libhanglab adds", linked_ms - bare_ms, "ms", HL_BENCH_AT_MOST, 50);
    return hl_bench_finish();
}

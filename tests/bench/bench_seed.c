/* The whole seed scenario, as a person starts it: from the command to its last line. */
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

extern char **environ;

static const char *required_env(const char *name)
{
    const char *value = getenv(name);
    if (value == NULL)
        fprintf(stderr, "%s is not set; `./dev bench` sets it\n", name);
    hl_bench_require(value != NULL, "no environment");
    return value;
}

/* Evidence is written, as in real life, but to a folder of its own. */
static void run_seed(void *context)
{
    const char *out_dir = context;
    char scenario[PATH_MAX];
    snprintf(scenario, sizeof(scenario), "%s/scenarios/seed/sglang-23402.yaml",
             required_env("HANGLAB_SOURCE"));
    char *argv[] = { "hanglab", "run", scenario, "--out", (char *)out_dir, NULL };
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int status;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int failed = posix_spawn(&pid, required_env("HANGLAB_PROGRAM"), &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    hl_bench_require(failed == 0, "cannot start the command");
    hl_bench_require(waitpid(pid, &status, 0) == pid, "lost the command");
    hl_bench_require(WIFEXITED(status) && WEXITSTATUS(status) == 0,
                     "the seed scenario did not end as expected: see ./dev run");
}

int main(void)
{
    char out_dir[] = "/tmp/hanglab-bench-XXXXXX", command[sizeof(out_dir) + 16];
    hl_bench_require(mkdtemp(out_dir) != NULL, "cannot make a folder in /tmp");
    hl_bench_row("seed scenario, whole", hl_bench_median_s(run_seed, out_dir, 3), "s", HL_BENCH_AT_MOST, 10);
    snprintf(command, sizeof(command), "rm -rf %s", out_dir);
    return system(command) != 0 || hl_bench_finish();
}

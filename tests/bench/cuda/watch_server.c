/* Programs that bench_watch runs: each in the way in which it is to be watched, ready for lines. */
#include "watch_bench.h"
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

const char *const hl_levels[] = { "light", "cupti", "node", "pc" };

/* Of this program: the others are beside it. */
static const char *own_folder(void)
{
    static char folder[PATH_MAX / 2];
    const ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 1);
    hl_bench_require(n > 0, "there is no /proc/self/exe");
    folder[n] = '\0';
    *strrchr(folder, '/') = '\0';
    return folder;
}

/* As `./dev bench` says, or where it is in a build, or beside this program. */
static void find_hanglab(char path[PATH_MAX])
{
    const char *named = getenv("HANGLAB_PROGRAM");
    snprintf(path, PATH_MAX, "%s", named ? named : "");
    if (!named)
        snprintf(path, PATH_MAX, "%s/hanglab", own_folder());
    if (!named && access(path, X_OK) != 0)
        snprintf(path, PATH_MAX, "%s/../../../framework/cli/hanglab", own_folder());
    hl_bench_require(access(path, X_OK) == 0, "hanglab is not where HANGLAB_PROGRAM says, or is not built");
}

const char *hl_bench_folder(void)
{
    static char folder[] = "/tmp/hanglab-bench-XXXXXX";
    static bool made;
    if (!made)
        hl_bench_require(mkdtemp(folder) != NULL, "cannot make a folder in /tmp");
    made = true;
    return folder;
}

void hl_command_of(const char *program, const struct hl_watching *watching, char command[4 * PATH_MAX])
{
    const char *own = own_folder(), *level = hl_levels[watching->level];
    char hanglab[PATH_MAX];
    if (watching->way == HL_WAY_NONE) {
        snprintf(command, 4 * PATH_MAX, "exec '%s'/%s", own, program);
    } else if (watching->way == HL_WAY_BARE) {
        snprintf(command, 4 * PATH_MAX,
                 "BARE=%s CUDA_INJECTION64_PATH='%s/libbare_subscriber.so' exec '%s'/%s",
                 watching->options ? watching->options : level, own, own, program);
    } else {
        find_hanglab(hanglab);
        snprintf(command, 4 * PATH_MAX, "exec '%s' watch %s -d %s --out %s/out -- '%s'/%s", hanglab,
                 watching->options ? watching->options : "-t 5s", level, hl_bench_folder(), own, program);
    }
}

void hl_server_start(struct hl_server *server, const char *program, const struct hl_watching *watching)
{
    char command[4 * PATH_MAX];
    int to[2], from[2];
    hl_command_of(program, watching, command);
    hl_bench_require(pipe2(to, O_CLOEXEC) == 0 && pipe2(from, O_CLOEXEC) == 0, "cannot make a pipe");
    server->pid = fork();
    hl_bench_require(server->pid >= 0, "cannot start a process");
    if (server->pid == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    server->to = fdopen(to[1], "w");
    server->from = fdopen(from[0], "r");
    hl_bench_require(server->to && server->from, "cannot open a pipe");
}

void hl_server_wait(struct hl_server *server)
{
    char line[64] = "";
    hl_bench_require(fgets(line, sizeof line, server->from) && strcmp(line, "ready\n") == 0,
                     "a program to be measured did not start");
}

double hl_server_ask(struct hl_server *server, const char *line)
{
    double number = 0;
    fprintf(server->to, "%s\n", line);
    fflush(server->to);
    hl_bench_require(fscanf(server->from, "%lf", &number) == 1, "a program to be measured gave no number");
    return number;
}

void hl_server_stop(struct hl_server *server)
{
    fclose(server->to); /* it ends at the end of its input */
    fclose(server->from);
    waitpid(server->pid, NULL, 0);
}

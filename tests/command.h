/* Runs the built `hanglab` and keeps what it said. */
#pragma once
#include <criterion/criterion.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct command {
    char folder[64]; /* a temporary one, the working directory of every call */
    char *out, *err; /* of the last call */
};

static char *command_read(const struct command *c, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", c->folder, name);
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t size = 0;
    if (file && getdelim(&text, &size, '\0', file) < 0) {
        free(text);
        text = NULL;
    }
    if (file)
        fclose(file);
    return text ? text : strdup("");
}

static void command_init(struct command *c)
{
    *c = (struct command){ .folder = "/tmp/hanglab-test-XXXXXX" };
    cr_assert_not_null(mkdtemp(c->folder));
}

static void command_finish(struct command *c)
{
    char line[128];
    snprintf(line, sizeof line, "rm -rf %s", c->folder);
    cr_assert_eq(system(line), 0);
    free(c->out);
    free(c->err);
}

static inline void command_write(const struct command *c, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", c->folder, name);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file, "%s", path);
    fputs(text, file);
    fclose(file);
}

/* Runs a shell line in the folder, `hanglab` being the built one; returns the exit code. */
static int command_run(struct command *c, const char *line)
{
    const char *build = getenv("HANGLAB_BUILD");
    char shell[2048];
    cr_assert_not_null(build, "HANGLAB_BUILD must name the build folder; meson test sets it");
    snprintf(shell, sizeof shell,
             "cd %s && PATH='%s/framework/cli':$PATH && export PATH && { %s; } >out 2>err </dev/null",
             c->folder, build, line);
    const int status = system(shell);
    free(c->out);
    free(c->err);
    c->out = command_read(c, "out");
    c->err = command_read(c, "err");
    cr_assert(WIFEXITED(status), "%s: died of signal %d", line, WTERMSIG(status));
    return WEXITSTATUS(status);
}

static void command_expect(struct command *c, const char *line, int code)
{
    const int got = command_run(c, line);
    cr_assert_eq(got, code, "%s: exit code %d, expected %d\n%s%s", line, got, code, c->out, c->err);
}

/* Is `text` in what the last call wrote to stdout or stderr? */
static inline void command_said(const struct command *c, const char *text)
{
    cr_assert(strstr(c->out, text) || strstr(c->err, text), "'%s' is not in:\n%s%s", text, c->out, c->err);
}

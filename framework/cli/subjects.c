/* Subjects on the command line; see subjects.h. */
#include "subjects.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../subject/subject.h"
#include "command.h"

enum hl_status hl_inputs_set_subject(struct hl_inputs *inputs, const char *name, struct hl_error *error)
{
    char path[HL_SUBJECT_PATH_MAX];
    if (!name)
        return HL_STATUS_OK;
    if (!*name || strlen(name) >= HL_NAME_MAX)
        return hl_fail(error, HL_STATUS_USAGE, "--subject takes a path or a name of up to %d characters",
                       HL_NAME_MAX - 1);
    const enum hl_status status = hl_subject_find(name, path, error);
    for (size_t s = 0; !status && s < inputs->n_scenarios; s++)
        for (size_t i = 0; i < inputs->scenarios[s]->n_cases; i++) {
            char *plugin = inputs->scenarios[s]->cases[i].config.subject.plugin;
            memset(plugin, 0, HL_NAME_MAX);
            memcpy(plugin, name, strlen(name));
        }
    return status;
}

/*
 * Releases as an axis
 */

static const char *const axis_names[] = { "flashinfer" };

static const char *axis_name(const char *over)
{
    for (size_t i = 0; i < sizeof axis_names / sizeof *axis_names; i++) {
        const size_t n = strlen(axis_names[i]);
        if (strncmp(over, axis_names[i], n) == 0 && over[n] == '=')
            return axis_names[i];
    }
    return NULL;
}

bool hl_is_release_axis(const char *over) { return axis_name(over) != NULL; }

struct releases {
    const char *name;
    char from[64], to[64];
};

static enum hl_status parse_releases(const char *over, struct releases *r, struct hl_error *error)
{
    r->name = axis_name(over);
    const char *from = over + strlen(r->name) + 1, *dots = strstr(from, "..");
    if (!dots || dots == from || !dots[2] || (size_t)(dots - from) >= sizeof r->from ||
        strlen(dots + 2) >= sizeof r->to)
        return hl_fail(error, HL_STATUS_USAGE, "--over %s takes RELEASE..RELEASE, such as %s=0.6.2..0.6.15",
                       r->name, r->name);
    snprintf(r->from, sizeof r->from, "%.*s", (int)(dots - from), from);
    snprintf(r->to, sizeof r->to, "%s", dots + 2);
    return HL_STATUS_OK;
}

/* The release of an installed subject, if it is one of these. */
static const char *release_within(const struct releases *r, const char *installed)
{
    const size_t n = strlen(r->name);
    const bool falls = strverscmp(r->from, r->to) > 0;
    const char *least = falls ? r->to : r->from, *most = falls ? r->from : r->to;
    if (strncmp(installed, r->name, n) != 0 || installed[n] != '@')
        return NULL;
    const char *release = installed + n + 1;
    return strverscmp(least, release) <= 0 && strverscmp(release, most) <= 0 ? release : NULL;
}

/* Names come sorted by version; the axis runs the way it was written. */
static int write_axis(const struct releases *r, char **names, FILE *out)
{
    int n = 0, count = 0;
    while (names[count])
        count++;
    const bool falls = strverscmp(r->from, r->to) > 0;
    for (int i = 0; i < count; i++) {
        const char *name = names[falls ? count - 1 - i : i];
        if (release_within(r, name))
            fprintf(out, "%s%s", n++ ? "," : "subject.plugin=", name);
    }
    return n;
}

enum hl_status hl_release_axis(const char *over, char **ret_over, struct hl_error *error)
{
    struct releases r;
    char folder[HL_SUBJECT_PATH_MAX], **names, *text = NULL;
    size_t size;
    enum hl_status status = parse_releases(over, &r, error);
    if (!status)
        status = hl_subject_folder(folder, error);
    if (!status)
        status = hl_subject_names(&names, error);
    if (status)
        return status;
    FILE *out = open_memstream(&text, &size);
    const int n = out ? write_axis(&r, names, out) : 0;
    const bool written = out && fclose(out) == 0;
    hl_subject_names_free(names);
    if (!written)
        status = hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    else if (n < 2)
        status =
            hl_fail(error, HL_STATUS_USAGE,
                    "--over %s: %d release%s of these in %s, and an axis takes two; `./dev subject %s==%s "
                    "%s==%s` installs the ends",
                    over, n, n == 1 ? "" : "s", folder, r.name, r.from, r.name, r.to);
    if (status)
        free(text);
    else
        *ret_over = text;
    return status;
}

/*
 * A list
 */

static const char *const families[] = { [HL_SUBJECT_MNNVL] = "mnnvl", [HL_SUBJECT_TRTLLM] = "trtllm" };
static const char *const dtypes[] = { "bf16", "fp16", "fp32" };

/* A small call of every shape that the plugin supports: is its layout possible? */
static enum hl_status check_layouts(const struct hl_subject_plugin *plugin, int *ret_shapes,
                                    struct hl_error *error)
{
    enum hl_status status = HL_STATUS_OK;
    *ret_shapes = 0;
    for (uint32_t ranks = 2; ranks <= HL_SUBJECT_RANKS_MAX; ranks *= 2)
        for (int family = 0; family <= HL_SUBJECT_TRTLLM; family++)
            for (int dtype = 0; dtype <= HL_SUBJECT_FP32; dtype++)
                for (uint32_t strategy = HL_SUBJECT_ONESHOT; strategy <= HL_SUBJECT_TWOSHOT; strategy *= 2) {
                    const struct hl_subject_shape shape = { .family = (enum hl_subject_family)family,
                                                            .dtype = (enum hl_subject_dtype)dtype,
                                                            .strategies = strategy,
                                                            .ranks = ranks,
                                                            .tokens_max = 8,
                                                            .hidden = 4096 };
                    struct hl_subject_layout layout;
                    if (status || hl_subject_check_shape(plugin, &shape, NULL))
                        continue;
                    status = hl_subject_describe(plugin, NULL, &shape, &layout, error);
                    ++*ret_shapes;
                }
    return status;
}

static void print_bits(const char *what, uint32_t bits, const char *const *names, int n)
{
    printf("    %-10s", what);
    for (int i = 0; i < n; i++)
        if (bits >> i & 1)
            printf(" %s", names[i]);
    putchar('\n');
}

static void print_plugin(const struct hl_subject_plugin *p, const char *path, int shapes)
{
    static const char *const strategies[] = { "oneshot", "twoshot" };
    printf("    %-10s %s %s\n    %-10s %s\n", "is", p->name, p->release, "file", path);
    print_bits("backends", p->families, families, 2);
    print_bits("strategies", p->strategies, strategies, 2);
    print_bits("dtypes", p->dtypes, dtypes, 3);
    printf("    %-10s", "ranks");
    for (int ranks = 2; ranks <= HL_SUBJECT_RANKS_MAX; ranks++)
        if (p->world_sizes >> ranks & 1)
            printf(" %d", ranks);
    printf("\n    %-10s right in all %d shapes that it supports\n    %-10s %s\n", "layout", shapes, "a hang",
           p->abilities & HL_SUBJECT_POLLS_ABORT ? "is released by the abort word"
                                                 : "costs the runner's process");
}

static int look(const char *name)
{
    char path[HL_SUBJECT_PATH_MAX];
    const struct hl_subject_plugin *plugin;
    struct hl_error error;
    int shapes;
    enum hl_status status = hl_subject_find(name, path, &error);
    if (!status)
        status = hl_subject_load(path, &plugin, &error);
    if (!status)
        status = check_layouts(plugin, &shapes, &error);
    if (status)
        return hl_complain(&error);
    print_plugin(plugin, path, shapes);
    return hl_finish_output(0);
}

static int look_in_child(const char *name)
{
    int status;
    printf("  %s\n", name);
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        alarm(60); /* a plugin that never returns */
        _exit(look(name));
    }
    struct hl_error error;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        hl_fail(&error, HL_STATUS_INTERNAL, "%s: cannot start a process to load it", name);
    else if (WIFEXITED(status))
        return WEXITSTATUS(status);
    else
        hl_fail(&error, HL_STATUS_USAGE, "%s: it died of signal %d (%s) while it was loaded or described",
                name, WTERMSIG(status), strsignal(WTERMSIG(status)));
    return hl_complain(&error);
}

int hl_list_subjects(char **names, size_t n_names)
{
    char folder[HL_SUBJECT_PATH_MAX], **installed = NULL;
    struct hl_error error;
    int code = 0;
    if (n_names == 0) {
        if (hl_subject_folder(folder, &error) || hl_subject_names(&installed, &error))
            return hl_complain(&error);
        printf("Subjects in %s:%s\n", folder,
               installed[0] ? "" : " none; `./dev subject flashinfer==0.6.9` installs one");
    }
    for (size_t i = 0; n_names ? i < n_names : installed[i] != NULL; i++) {
        const int one = look_in_child(n_names ? names[i] : installed[i]);
        code = one ? one : code;
    }
    hl_subject_names_free(installed);
    return hl_finish_output(code);
}

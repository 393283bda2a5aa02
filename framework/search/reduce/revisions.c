/* See revisions.h. A build is remembered by a file beside its worktree, FOLDER/<hash>.<hash of the build
 * command>, that holds "ok" or "failed"; so a bisection that was broken off does not build again. */
#include "revisions.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../../campaign/run.h"
#include "process.h"

static enum hl_status make_folder(const char *path, char **ret_absolute, struct hl_error *error)
{
    char *copy = strdup(path);
    if (!copy)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    for (char *slash = copy + 1; (slash = strchr(slash, '/')) != NULL; *slash++ = '/') {
        *slash = '\0';
        mkdir(copy, 0777);
    }
    mkdir(copy, 0777);
    char *absolute = realpath(copy, NULL);
    free(copy);
    if (!absolute)
        return hl_fail(error, HL_STATUS_IO, "%s: cannot make this folder: %s", path, strerror(errno));
    *ret_absolute = absolute;
    return HL_STATUS_OK;
}

static enum hl_status git_read(const struct hl_revisions *r, const char *const *arguments, char **ret_text,
                               struct hl_error *error)
{
    const char *argv[16] = { "git", "-C", r->options.repository };
    for (int i = 0; arguments[i] && i < 12; i++)
        argv[3 + i] = arguments[i];
    return hl_process_read(&(struct hl_process){ .argv = argv }, ret_text, error);
}

static enum hl_status add_hashes(struct hl_revisions *r, char *text, struct hl_error *error)
{
    char *rest = text;
    for (char *line; (line = strtok_r(rest, "\n", &rest)) != NULL;) {
        char **grown = realloc(r->hashes, (size_t)(r->n + 1) * sizeof *grown);
        if (grown)
            r->hashes = grown;
        if (!grown || !(r->hashes[r->n] = strdup(line)))
            return hl_fail(error, HL_STATUS_MEMORY, "out of memory");
        r->n++;
    }
    return HL_STATUS_OK;
}

static enum hl_status list(struct hl_revisions *r, struct hl_error *error)
{
    const char *dots = strstr(r->options.range, "..");
    char *good = dots && dots > r->options.range && dots[2] && dots[2] != '.'
                     ? strndup(r->options.range, (size_t)(dots - r->options.range))
                     : NULL;
    if (!good)
        return hl_fail(error, HL_STATUS_USAGE, "--over git=GOOD..BAD takes two revisions, not '%s'",
                       r->options.range);
    char commit[256], *text = NULL;
    snprintf(commit, sizeof commit, "%.200s^{commit}", good);
    enum hl_status status =
        git_read(r, (const char *[]){ "rev-parse", "--verify", "--quiet", commit, NULL }, &text, error);
    if (status == HL_STATUS_OK)
        status = add_hashes(r, text, error);
    free(text);
    text = NULL;
    if (status == HL_STATUS_OK)
        status = git_read(
            r, (const char *[]){ "rev-list", "--reverse", "--first-parent", r->options.range, "--", NULL },
            &text, error);
    if (status == HL_STATUS_OK)
        status = add_hashes(r, text, error);
    free(text);
    free(good);
    if (status == HL_STATUS_USAGE)
        return hl_fail(error, HL_STATUS_USAGE,
                       "--over git=%s: git finds no commits from the first to the second in %s",
                       r->options.range, r->options.repository);
    return status;
}

enum hl_status hl_revisions_init(struct hl_revisions *revisions, const struct hl_revisions_options *options,
                                 struct hl_error *error)
{
    *revisions = (struct hl_revisions){ .options = *options };
    enum hl_status status = list(revisions, error);
    if (status == HL_STATUS_OK)
        status = make_folder(options->folder, &revisions->folder, error);
    if (status == HL_STATUS_OK) {
        revisions->built = calloc((size_t)revisions->n, sizeof *revisions->built);
        if (!revisions->built)
            status = hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    }
    if (status != HL_STATUS_OK)
        hl_revisions_finish(revisions);
    return status;
}

void hl_revisions_finish(struct hl_revisions *revisions)
{
    for (int i = 0; i < revisions->n; i++)
        free(revisions->hashes[i]);
    free(revisions->hashes);
    free(revisions->folder);
    free(revisions->built);
}

/* What was remembered of a build: 1, -1, or 0 for nothing. */
static int recall(const char *path)
{
    char word[16] = "";
    FILE *in = fopen(path, "re");
    if (!in)
        return 0;
    const bool read = fscanf(in, "%15s", word) == 1;
    fclose(in);
    return !read ? 0 : strcmp(word, "ok") == 0 ? 1 : strcmp(word, "failed") == 0 ? -1 : 0;
}

static void remember(const char *path, bool ok)
{
    FILE *out = fopen(path, "we");
    if (!out)
        return; /* it will be built once more */
    fputs(ok ? "ok\n" : "failed\n", out);
    fclose(out);
}

static enum hl_status check_out(const struct hl_revisions *r, const char *hash, const char *tree,
                                const char *log, struct hl_error *error)
{
    struct hl_process_end end;
    if (access(tree, F_OK) == 0)
        return HL_STATUS_OK;
    const char *const argv[] = {
        "git", "-C", r->options.repository, "worktree", "add", "--detach", "--force", tree, hash, NULL
    };
    const enum hl_status status =
        hl_process_run(&(struct hl_process){ .argv = argv, .log = log }, &end, error);
    if (status == HL_STATUS_OK && end.code != 0)
        return hl_fail(error, HL_STATUS_IO, "git worktree add %s: failed; see %s", tree, log);
    return status;
}

static enum hl_status build(struct hl_revisions *r, int point, const char *tree, struct hl_error *error)
{
    char log[PATH_MAX], mark[PATH_MAX];
    const char *hash = r->hashes[point], *command = r->options.build ? r->options.build : "true";
    struct hl_process_end end;
    snprintf(log, sizeof log, "%s/%s.log", r->folder, hash);
    snprintf(mark, sizeof mark, "%s/%s.%016llx", r->folder, hash,
             (unsigned long long)hl_run_seed(0, command, 0));
    r->built[point] = access(tree, F_OK) == 0 ? recall(mark) : 0;
    if (r->built[point] != 0)
        return HL_STATUS_OK;
    enum hl_status status = check_out(r, hash, tree, log, error);
    if (status == HL_STATUS_OK)
        status = hl_process_run(&(struct hl_process){ .argv = (const char *[]){ "sh", "-c", command, NULL },
                                                      .folder = tree,
                                                      .log = log },
                                &end, error);
    if (status != HL_STATUS_OK)
        return status;
    remember(mark, end.code == 0);
    r->built[point] = end.code == 0 ? 1 : -1;
    return HL_STATUS_OK;
}

static enum hl_status test(const struct hl_revisions *r, int point, const char *tree, int run,
                           enum hl_shown *ret_shown, struct hl_error *error)
{
    char seed[32];
    struct hl_process_end end;
    snprintf(seed, sizeof seed, "%llu",
             (unsigned long long)hl_run_seed(r->options.seed, r->hashes[point], run));
    const char *const set[] = { "HANGLAB_SEED",
                                seed,
                                "HANGLAB_REVISION",
                                r->hashes[point],
                                "HANGLAB_SCENARIO",
                                r->options.scenario ? r->options.scenario : "",
                                NULL };
    const enum hl_status status =
        hl_process_run(&(struct hl_process){ .argv = (const char *[]){ "sh", "-c", r->options.test, NULL },
                                             .folder = tree,
                                             .set = set,
                                             .timeout_s = r->options.timeout_s },
                       &end, error);
    if (status == HL_STATUS_OK)
        *ret_shown = end.timed_out || end.code == 1 ? HL_SHOWN_HANG
                     : end.code == 0                ? HL_SHOWN_PASS
                                                    : HL_SHOWN_NOTHING;
    return status;
}

enum hl_status hl_revisions_run(void *user, int point, int first, int n, enum hl_shown *ret_shown,
                                struct hl_error *error)
{
    struct hl_revisions *r = user;
    char tree[PATH_MAX];
    enum hl_status status = HL_STATUS_OK;
    snprintf(tree, sizeof tree, "%s/%s", r->folder, r->hashes[point]);
    if (r->built[point] == 0)
        status = build(r, point, tree, error);
    for (int i = 0; i < n && status == HL_STATUS_OK; i++) {
        ret_shown[i] = HL_SHOWN_NOTHING;
        if (r->built[point] > 0)
            status = test(r, point, tree, first + i, &ret_shown[i], error);
    }
    return status;
}

/* Streams a part's rows into the whole, with the whole's own numbers. */
#include "merge.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>
#include "folder.h"

struct numbers {
    int *list; /* by number of the part: the number in the whole */
    int count;
};

struct merging {
    struct hl_store *store;
    struct hl_results *results;
    const char *out_dir, *part;
    struct numbers cases, signatures;
    bool failed; /* copying a bundle or for want of memory: `why` says it */
    char why[512];
};

static bool fail(struct merging *m, const char *what, const char *why)
{
    m->failed = true;
    snprintf(m->why, sizeof m->why, "%.300s: %.100s", what, why);
    return false;
}

static bool enter(struct merging *m, struct numbers *numbers, int number, int own)
{
    int *larger = number == numbers->count && own >= 0
                      ? realloc(numbers->list, ((size_t)number + 1) * sizeof *larger)
                      : NULL;
    if (!larger)
        return fail(m, m->part,
                    own < 0 || number == numbers->count ? "out of memory" : "its database is damaged");
    numbers->list = larger;
    numbers->list[numbers->count++] = own;
    return true;
}

static bool on_case(void *user, int number, const struct hl_stored_case *c)
{
    struct merging *m = user;
    bool is_new;
    const int own = hl_results_case(m->results, c, &is_new);
    if (own >= 0 && is_new)
        hl_store_add_case(m->store, own, c);
    return enter(m, &m->cases, number, own);
}

static bool on_signature(void *user, int number, const struct hl_stored_signature *signature)
{
    struct merging *m = user;
    bool is_new;
    const int own = hl_results_signature(m->results, signature, &is_new);
    if (own >= 0 && is_new)
        hl_store_add_signature(m->store, own, signature);
    return enter(m, &m->signatures, number, own);
}

static bool copy_file(const char *from, const char *to)
{
    struct stat st;
    const int in = open(from, O_RDONLY | O_CLOEXEC);
    const int out =
        in < 0 || fstat(in, &st) < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, st.st_mode);
    bool good = out >= 0;
    for (off_t at = 0; good && at < st.st_size;)
        good = sendfile(out, in, &at, (size_t)(st.st_size - at)) > 0;
    good = good && fsync(out) == 0;
    const int why = errno;
    if (out >= 0)
        good = close(out) == 0 && good;
    if (in >= 0)
        close(in);
    errno = why;
    return good;
}

static bool copy_folder(const char *from, const char *to)
{
    DIR *dir = opendir(from);
    bool good = dir && mkdir(to, 0777) == 0;
    for (struct dirent *entry; good && (entry = readdir(dir)) != NULL;) {
        char source[PATH_MAX], target[PATH_MAX];
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        good = snprintf(source, sizeof source, "%s/%s", from, entry->d_name) < (int)sizeof source &&
               snprintf(target, sizeof target, "%s/%s", to, entry->d_name) < (int)sizeof target &&
               lstat(source, &st) == 0;
        if (good && S_ISDIR(st.st_mode))
            good = copy_folder(source, target);
        else if (good && S_ISREG(st.st_mode))
            good = copy_file(source, target);
    }
    if (dir)
        closedir(dir);
    return good;
}

/* A path from a database of somewhere else: it must stay below the folder. */
static bool is_bundle_path(const char *path)
{
    return strncmp(path, "evidence/", 9) == 0 && !strstr(path, "..") && strlen(path) < PATH_MAX / 2;
}

/* Under a temporary name first: a bundle is whole or absent. One that is there already is the same. */
static bool copy_bundle(struct merging *m, const char *bundle)
{
    char from[PATH_MAX], to[PATH_MAX], temporary[PATH_MAX];
    struct stat st;
    if (!is_bundle_path(bundle) ||
        snprintf(from, sizeof from, "%s/%s", m->part, bundle) >= (int)sizeof from ||
        snprintf(to, sizeof to, "%s/%s", m->out_dir, bundle) >= (int)sizeof to ||
        snprintf(temporary, sizeof temporary, "%s/evidence/.merging.%ld", m->out_dir, (long)getpid()) >=
            (int)sizeof temporary)
        return fail(m, m->part, "it names a bundle that is not one");
    if (stat(to, &st) == 0)
        return true;
    for (char *slash = to + strlen(m->out_dir); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        const bool failed = mkdir(to, 0777) < 0 && errno != EEXIST;
        *slash = '/';
        if (failed)
            return fail(m, to, strerror(errno));
    }
    hl_folder_remove(temporary);
    if (copy_folder(from, temporary) && rename(temporary, to) == 0)
        return true;
    const int why = errno;
    hl_folder_remove(temporary);
    return fail(m, from, strerror(why));
}

static bool on_run(void *user, const struct hl_stored_run *part_run)
{
    struct merging *m = user;
    struct hl_stored_run run = *part_run;
    if (run.case_number < 0 || run.case_number >= m->cases.count || run.signature >= m->signatures.count)
        return fail(m, m->part, "its database is damaged");
    if (hl_results_have(m->results, run.id))
        return true;
    if (run.evidence && !copy_bundle(m, run.evidence))
        return false;
    run.case_number = m->cases.list[run.case_number];
    const struct hl_stored_case c = hl_results_stored_case(m->results, run.case_number);
    struct hl_stored_signature signature;
    if (run.signature >= 0) {
        run.signature = m->signatures.list[run.signature];
        signature = hl_results_stored_signature(m->results, run.signature);
    }
    hl_store_add_run(m->store, &run, &c, run.signature >= 0 ? &signature : NULL);
    hl_results_run(m->results, &run);
    return !m->results->out_of_memory || fail(m, m->part, "out of memory");
}

enum hl_status hl_merge(struct hl_store *store, struct hl_results *results, const char *out_dir,
                        const char *part, struct hl_error *error)
{
    struct merging m = { .store = store, .results = results, .out_dir = out_dir, .part = part };
    struct hl_store *from;
    bool complete;
    enum hl_status status = hl_store_open(part, HL_STORE_EXISTING, &from, error);
    if (status != HL_STATUS_OK)
        return status;
    const struct hl_store_reader reader = { &m, on_case, on_signature, on_run };
    status = hl_store_read(from, &reader, &complete, error);
    hl_store_close(from);
    free(m.cases.list);
    free(m.signatures.list);
    if (status == HL_STATUS_OK && m.failed)
        status = hl_fail(error, HL_STATUS_IO, "%s", m.why);
    return status == HL_STATUS_OK ? hl_store_commit(store, error) : status;
}

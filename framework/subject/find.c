/* From a subject's name to its file; see subject.h. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "subject.h"

/* Not with snprintf() alone: a path that was cut off names another file. */
static bool join(char *to, const char *folder, const char *rest)
{
    return snprintf(to, HL_SUBJECT_PATH_MAX, "%s/%s", folder, rest) < HL_SUBJECT_PATH_MAX;
}

enum hl_status hl_subject_folder(char ret_path[HL_SUBJECT_PATH_MAX], struct hl_error *error)
{
    const char *own = getenv("HANGLAB_SUBJECTS"), *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    bool fits = true;
    if (own && *own)
        fits = snprintf(ret_path, HL_SUBJECT_PATH_MAX, "%s", own) < HL_SUBJECT_PATH_MAX;
    else if (data && *data == '/')
        fits = join(ret_path, data, "hanglab/subjects");
    else if (home && *home)
        fits = join(ret_path, home, ".local/share/hanglab/subjects");
    else
        return hl_fail(
            error, HL_STATUS_USAGE,
            "there is no folder of subjects: none of HANGLAB_SUBJECTS, XDG_DATA_HOME and HOME is set");
    return fits ? HL_STATUS_OK
                : hl_fail(error, HL_STATUS_USAGE, "the path of the folder of subjects is too long");
}

enum hl_status hl_subject_find(const char *name, char ret_path[HL_SUBJECT_PATH_MAX], struct hl_error *error)
{
    char folder[HL_SUBJECT_PATH_MAX], file[300];
    const bool is_path = strchr(name, '/') != NULL;
    if (is_path) {
        if (snprintf(ret_path, HL_SUBJECT_PATH_MAX, "%s", name) >= HL_SUBJECT_PATH_MAX)
            return hl_fail(error, HL_STATUS_USAGE, "subject.plugin: the path is too long");
    } else {
        const enum hl_status status = hl_subject_folder(folder, error);
        if (status)
            return status;
        snprintf(file, sizeof file, "%.200s/subject.so", name);
        if (!join(ret_path, folder, file))
            return hl_fail(error, HL_STATUS_USAGE, "the path of the folder of subjects is too long");
    }
    if (access(ret_path, R_OK) == 0)
        return HL_STATUS_OK;
    const char *at = strchr(name, '@');
    if (!is_path && errno == ENOENT && at)
        return hl_fail(error, HL_STATUS_USAGE,
                       "subject.plugin: there is no %s in %s; `./dev subject %.*s==%s` installs it", name,
                       folder, (int)(at - name), name, at + 1);
    return hl_fail(error, HL_STATUS_USAGE, "subject.plugin: cannot read %s: %s", ret_path, strerror(errno));
}

static int by_version(const void *a, const void *b)
{
    return strverscmp(*(char *const *)a, *(char *const *)b);
}

static bool has_subject(const char *folder, const char *name)
{
    char path[HL_SUBJECT_PATH_MAX], file[300];
    return snprintf(file, sizeof file, "%s/subject.so", name) < (int)sizeof file && name[0] != '.' &&
           join(path, folder, file) && access(path, R_OK) == 0;
}

enum hl_status hl_subject_names(char ***ret_names, struct hl_error *error)
{
    char folder[HL_SUBJECT_PATH_MAX];
    const enum hl_status status = hl_subject_folder(folder, error);
    if (status)
        return status;
    DIR *dir = opendir(folder);
    size_t n = 0;
    char **names = calloc(1, sizeof *names);
    bool ok = names != NULL;
    for (struct dirent *entry; ok && dir && (entry = readdir(dir));) {
        if (!has_subject(folder, entry->d_name))
            continue;
        char **grown = realloc(names, (n + 2) * sizeof *names);
        ok = grown != NULL;
        names = grown ? grown : names;
        if (ok)
            ok = (names[n] = strdup(entry->d_name)) != NULL;
        n += ok;
        names[n] = NULL;
    }
    if (dir)
        closedir(dir);
    if (!ok) {
        hl_subject_names_free(names);
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for the names of subjects");
    }
    qsort(names, n, sizeof *names, by_version);
    *ret_names = names;
    return HL_STATUS_OK;
}

void hl_subject_names_free(char **names)
{
    for (size_t i = 0; names && names[i]; i++)
        free(names[i]);
    free(names);
}

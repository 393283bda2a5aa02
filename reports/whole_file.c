/* A temporary name in the same folder, because a rename is atomic only within a file system. */
#include "whole_file.h"
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void make_folders_of(const char *path)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    for (char *slash = folder + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(folder, 0777); /* where that fails, opening the file tells why */
        *slash = '/';
    }
}

static bool write_out(FILE *out, hl_write_fn write, void *user)
{
    errno = 0;
    bool good = write(user, out) == 0;
    good = good && fflush(out) == 0 && !ferror(out) && fsync(fileno(out)) == 0;
    const int why = errno;
    good = fclose(out) == 0 && good;
    errno = why ? why : errno;
    return good;
}

enum hl_status hl_whole_file_write(const char *path, hl_write_fn write, void *user, struct hl_error *error)
{
    char temporary[PATH_MAX];
    const int n = snprintf(temporary, sizeof temporary, "%s.%ld.tmp", path, (long)getpid());
    if (n >= (int)sizeof temporary)
        return hl_fail(error, HL_STATUS_IO, "%s: the path is too long", path);
    make_folders_of(path);
    FILE *out = fopen(temporary, "we");
    if (!out)
        return hl_fail(error, HL_STATUS_IO, "%s: cannot write it: %s", path, strerror(errno));
    if (write_out(out, write, user) && rename(temporary, path) == 0)
        return HL_STATUS_OK;
    const int why = errno;
    unlink(temporary);
    return hl_fail(error, HL_STATUS_IO, "%s: cannot write it: %s", path,
                   why ? strerror(why) : "out of memory");
}

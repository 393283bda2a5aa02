/* Folders that are whole or absent: filled under a temporary name, then put in their place in one step. */
#include "folder.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    remove(path);
    return 0;
}

void hl_folder_remove(const char *path) { nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS); }

int hl_folder_make(const char *path)
{
    char *part = strdup(path);
    int failed = part ? 0 : -1;
    for (char *slash = part ? part + 1 : NULL; !failed && slash && (slash = strchr(slash, '/')) != NULL;
         slash++) {
        *slash = '\0';
        failed = mkdir(part, 0777) < 0 && errno != EEXIST ? -1 : 0;
        *slash = '/';
    }
    if (!failed)
        failed = mkdir(path, 0777) < 0 && errno != EEXIST ? -1 : 0;
    free(part);
    return failed;
}

static int sync_folder(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    const int failed = fsync(fd) < 0 && errno != EINVAL; /* some file systems cannot */
    close(fd);
    return failed ? -1 : 0;
}

/* Removes what killed processes left half filled: ".<name>.<pid>", pid no longer there. */
static void sweep_leftovers(const char *folder)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[PATH_MAX], *end;
        const char *dot = strrchr(entry->d_name, '.');
        const long pid = entry->d_name[0] == '.' && dot > entry->d_name ? strtol(dot + 1, &end, 10) : 0;
        if (pid <= 0 || *end != '\0')
            continue;
        const bool gone = pid == (long)getpid() || (kill((pid_t)pid, 0) < 0 && errno == ESRCH);
        if (gone && snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) < (int)sizeof path)
            hl_folder_remove(path);
    }
    closedir(dir);
}

/* Puts `from` in the place of `to`. A former bundle is exchanged, so that one of both is always there. */
static int put_in_place(const char *from, const char *to)
{
    if (rename(from, to) == 0)
        return 0;
    if (errno != EEXIST && errno != ENOTEMPTY)
        return -1;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) < 0) {
        if (errno != EINVAL && errno != ENOSYS)
            return -1;
        hl_folder_remove(to); /* a file system that cannot exchange */
        return rename(from, to);
    }
    hl_folder_remove(from);
    return 0;
}

static int sync_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)ftw;
    return type == FTW_D ? sync_folder(path) : 0;
}

int hl_folder_add(const char *folder, const char *name, hl_folder_file_fn write_file, const void *user)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    FILE *out = fopen(path, "wxe");
    if (!out)
        return -1;
    errno = 0;
    bool good = write_file(user, out) == 0;
    good = good && fflush(out) == 0 && !ferror(out) && fsync(fileno(out)) == 0;
    const int why = errno;
    good = fclose(out) == 0 && good;
    errno = why;
    return good ? 0 : -1;
}

int hl_folder_add_folder(const char *folder, const char *name)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return mkdir(path, 0777);
}

enum hl_status hl_folder_write(const char *parent, const char *name, hl_folder_fill_fn fill, const void *user,
                               char **ret_path, struct hl_error *error)
{
    char within[PATH_MAX - 300], temporary[PATH_MAX], path[PATH_MAX];
    if (snprintf(within, sizeof within, "%s", parent) >= (int)sizeof within || strlen(name) > 200)
        return hl_fail(error, HL_STATUS_IO, "%s: the path is too long; choose a shorter --out", parent);
    snprintf(path, sizeof path, "%s/%s", within, name);
    snprintf(temporary, sizeof temporary, "%s/.%s.%ld", within, name, (long)getpid());
    if (hl_folder_make(within) < 0)
        return hl_fail(error, HL_STATUS_IO, "%s: cannot make this folder: %s", within, strerror(errno));
    sweep_leftovers(within);
    if (mkdir(temporary, 0777) < 0 || fill(user, temporary) < 0 ||
        nftw(temporary, sync_entry, 16, FTW_PHYS) != 0 || put_in_place(temporary, path) < 0) {
        const int why = errno;
        hl_folder_remove(temporary);
        rmdir(within); /* stays if other bundles are in it */
        return hl_fail(error, HL_STATUS_IO, "%s: cannot write this bundle: %s", path,
                       why ? strerror(why) : "out of memory");
    }
    sync_folder(within);
    char *copy = strdup(path);
    if (!copy)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    *ret_path = copy;
    return HL_STATUS_OK;
}

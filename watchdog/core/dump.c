/* Light dumps: tables of blocks, warps and lanes, and the code, but no memory (flags and buffers have been
 * read by then). On an H100 4 virtual ranks took 0.5 s and 28 MiB, nearly all of it the code of all kernels.
 */
#include "dump.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "core.h"

#define POLLS 500
#define POLL_NS 20000000

/* The driver puts a process's own number for %p. */
static void name_file(const char *folder, const char *what, pid_t pid, char path[PATH_MAX])
{
    if (pid)
        snprintf(path, PATH_MAX, "%s/%s.%ld", folder, what, (long)pid);
    else
        snprintf(path, PATH_MAX, "%s/%s.%%p", folder, what);
}

void hl_core_dump_allow(const char *folder, pid_t pid)
{
    char path[PATH_MAX];
    setenv("CUDA_ENABLE_USER_TRIGGERED_COREDUMP", "1", 1);
    name_file(folder, "pipe", pid, path);
    setenv("CUDA_COREDUMP_PIPE", path, 1);
    name_file(folder, "core", pid, path);
    setenv("CUDA_COREDUMP_FILE", path, 1);
    setenv("CUDA_COREDUMP_GENERATION_FLAGS",
           "skip_nonrelocated_elf_images,skip_global_memory,skip_shared_memory,skip_local_memory,"
           "skip_constbank_memory,skip_abort",
           1);
}

static int move_file(const char *from, const char *to)
{
    if (rename(from, to) == 0)
        return 0;
    struct stat status;
    const int in = open(from, O_RDONLY | O_CLOEXEC),
              out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    bool good = in >= 0 && out >= 0 && fstat(in, &status) == 0;
    for (off_t left = good ? status.st_size : 0; good && left > 0;) {
        const ssize_t n = sendfile(out, in, NULL, (size_t)left);
        good = n > 0;
        left -= n > 0 ? n : 0;
    }
    const int why = errno;
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    unlink(from);
    errno = why;
    return good ? 0 : -1;
}

/* One byte is enough; without a reader (the process is gone, or was not allowed to) opening fails. */
static int trigger(const char *pipe)
{
    const int fd = open(pipe, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    const bool good = fd >= 0 && write(fd, "1", 1) == 1;
    const int why = errno;
    if (fd >= 0)
        close(fd);
    errno = why;
    return good ? 0 : -1;
}

int hl_core_dump(const char *folder, pid_t pid, const char *path, char *why, size_t size)
{
    char pipe[PATH_MAX], core[PATH_MAX];
    name_file(folder, "pipe", pid, pipe);
    name_file(folder, "core", pid, core);
    if (trigger(pipe) < 0) {
        snprintf(why, size, "the driver does not take requests for GPU core dumps: %s", strerror(errno));
        return -1;
    }
    for (int i = 0; i < POLLS && !hl_core_is_whole(core); i++)
        nanosleep(&(struct timespec){ .tv_nsec = POLL_NS }, NULL);
    const bool whole = hl_core_is_whole(core);
    const int moved = whole ? move_file(core, path) : -1;
    if (!whole)
        snprintf(why, size, "the driver wrote no whole GPU core dump in %d s", POLLS / 50);
    else if (moved < 0)
        snprintf(why, size, "%s: %s", path, strerror(errno));
    unlink(core);
    unlink(pipe);
    return moved;
}

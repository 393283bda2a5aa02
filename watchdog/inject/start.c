/* A process begins to be watched: it makes its page in the folder that its environment names. Whatever goes
 * wrong here costs the watching and not the program. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "../cupti/feed.h"
#include "../cupti/track.h"
#include "../cupti/watcher.h"
#include "inject.h"

static struct hl_page *page;
/* A copy: a program may change its environment, or write its title over it. */
static char folder[256];

static void say(const char *what, const char *path)
{
    fprintf(stderr, "hanglab watch: process %ld is not watched: %s %s: %s\n", (long)getpid(), what, path,
            strerror(errno));
}

/* All of it is allocated now: a disk that is full later on must not kill the program by a write to a page. */
static struct hl_page *make_page(void)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%ld%s", folder, (long)getpid(), HL_WATCH_PAGE_SUFFIX);
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < sizeof *page) {
        errno = EFBIG; /* to try would be a SIGXFSZ, which ends programs */
        say("no room for", path);
        return NULL;
    }
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        say("cannot make", path);
        return NULL;
    }
    void *memory = MAP_FAILED;
    errno = posix_fallocate(fd, 0, sizeof *page);
    if (errno == 0)
        memory = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        say("no room for", path);
        unlink(path);
    }
    close(fd);
    return memory == MAP_FAILED ? NULL : memory;
}

/* As launchers of jobs number the processes. */
static int rank_of_process(void)
{
    static const char *const names[] = { "RANK",     "OMPI_COMM_WORLD_RANK", "PMIX_RANK",
                                         "PMI_RANK", "SLURM_PROCID",         "LOCAL_RANK" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *end;
        const char *text = getenv(names[i]);
        const long rank = text ? strtol(text, &end, 10) : -1;
        if (rank >= 0 && *text && *end == '\0' && rank < 1 << 20)
            return (int)rank;
    }
    return -1;
}

static void read_command(char *command, size_t size)
{
    const int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? 0 : read(fd, command, size - 1);
    for (ssize_t i = 0; i + 1 < n; i++)
        if (command[i] == '\0')
            command[i] = ' ';
    if (fd >= 0)
        close(fd);
}

/* A child that was forked has the page, too, and is not who it tells of. */
static void at_exit(void)
{
    if (page->pid == (uint32_t)getpid())
        hl_watcher_stop();
}

static enum hl_page_detail detail_wanted(void)
{
    const char *text = getenv(HL_WATCH_DETAIL);
    const int detail = text ? atoi(text) : HL_PAGE_LIGHT;
    return detail >= HL_PAGE_LIGHT && detail <= HL_PAGE_PC ? (enum hl_page_detail)detail : HL_PAGE_LIGHT;
}

void hl_watch_this_process(void)
{
    const char *named = getenv(HL_WATCH_FOLDER), *record = getenv(HL_WATCH_RECORD);
    char path[512];
    if (!named || strlen(named) >= sizeof folder || page) /* hanglab's own names are shorter */
        return;
    strcpy(folder, named);
    page = make_page();
    if (!page)
        return;
    snprintf(path, sizeof path, "%s/%ld.feed", record ? record : "", (long)getpid());
    if (record && hl_feed_open(path) < 0)
        say("cannot record to", path);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    hl_page_init(page, (uint32_t)getpid(), detail_wanted(),
                 (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
    page->rank = rank_of_process();
    page->serves_memory = 1;
    read_command(page->command, sizeof page->command);
    hl_snapshot_allow(&page->snapshot);
    hl_watcher_start(page, folder);
    atexit(at_exit);
}

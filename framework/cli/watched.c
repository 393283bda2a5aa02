/* Starting, finding and ending what is watched. The supervisor is the subreaper of all that the command
 * starts, so everything stays below it: it may look at their stacks (Yama lets ancestors), and it can end
 * them. */
#include "watched.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../../watchdog/core/dump.h"
#include "../../watchdog/inject/inject.h"
#include "../campaign/folder.h"

/* A watchdog thread looks every millisecond; collecting takes less than so long. */
#define SILENT_MS 500
/* A read of device memory ends by itself before that, done or not. */
#define READ_MS 400
#define FOLDER_NAME "hanglab-watch-"

/*
 * Start
 */

/* Beside the program, as installed or in a bundle, or where it was built. */
static enum hl_status find_library(const char *name, char path[PATH_MAX], struct hl_error *error)
{
    static const char *const places[] = { "../lib", "../lib/x86_64-linux-gnu", "../lib/aarch64-linux-gnu",
                                          "../../watchdog/inject", "." };
    char self[PATH_MAX / 2];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char named[PATH_MAX];
        snprintf(named, sizeof named, "%s/%s/%s", self, places[i], name);
        if (access(named, R_OK) == 0 && realpath(named, path))
            return HL_STATUS_OK;
    }
    return hl_fail(error, HL_STATUS_USAGE,
                   "%s is not beside this program (%s/../lib): it is built where CUPTI's headers "
                   "are, that is with a CUDA 13 toolkit",
                   name, self);
}

/* A folder is its supervisor's as long as somebody holds its lock: that ends with the supervisor, however it
 * ends. -1: it is somebody else's, or gone. */
static int lock_folder(const char *path)
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
        fstat(fd, &st) == 0 && st.st_nlink > 0)
        return fd;
    close(fd);
    return -1;
}

/* What supervisors have left that were killed. Processes of theirs that still run keep their pages mapped. */
static void remove_orphans(const char *place)
{
    DIR *folder = opendir(place);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[PATH_MAX];
        if (strncmp(entry->d_name, FOLDER_NAME, strlen(FOLDER_NAME)) != 0 ||
            snprintf(path, sizeof path, "%s/%s", place, entry->d_name) >= (int)sizeof path)
            continue;
        const int lock = lock_folder(path);
        if (lock < 0)
            continue;
        hl_folder_remove(path);
        close(lock);
    }
    closedir(folder);
}

/* mkdtemp() makes it 0700. Between that and its lock, another supervisor may take it for an orphan: then
 * another one is made. */
static bool make_locked_folder(struct hl_job *job, const char *place)
{
    for (int tried = 0; tried < 100; tried++) {
        if (snprintf(job->folder, sizeof job->folder, "%s/" FOLDER_NAME "XXXXXX", place) >=
                (int)sizeof job->folder ||
            !mkdtemp(job->folder))
            return false;
        job->lock = lock_folder(job->folder);
        if (job->lock >= 0)
            return true;
    }
    errno = EBUSY;
    return false;
}

/* In memory where there is such a folder: pages are written all the time. */
static enum hl_status make_folder(struct hl_job *job, struct hl_error *error)
{
    const char *chosen = getenv("TMPDIR");
    const char *const places[] = { "/dev/shm", chosen ? chosen : "/tmp" };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        remove_orphans(places[i]);
        if (make_locked_folder(job, places[i]))
            return HL_STATUS_OK;
    }
    const int why = errno;
    job->folder[0] = '\0';
    return hl_fail(error, HL_STATUS_IO,
                   "cannot make a private folder in %s or %s: %s; set TMPDIR to one that can be written to",
                   places[0], places[1], strerror(why));
}

static void remove_folder(struct hl_job *job)
{
    if (!job->folder[0])
        return;
    hl_folder_remove(job->folder);
    close(job->lock);
    job->folder[0] = '\0';
}

/* In front of what is loaded so already. */
static void preload(const char *library)
{
    const char *others = getenv("LD_PRELOAD");
    char *all = NULL;
    if (asprintf(&all, "%s%s%s", library, others ? ":" : "", others ? others : "") > 0)
        setenv("LD_PRELOAD", all, 1);
    free(all);
}

_Noreturn static void run_command(const struct hl_job *job, char **argv, const char *library,
                                  enum hl_page_detail detail, int report)
{
    char number[16];
    snprintf(number, sizeof number, "%d", (int)detail);
    if (detail == HL_PAGE_CORE) {
        unsetenv("CUDA_INJECTION64_PATH"); /* a tool: the driver would dump nothing */
        preload(library);
        hl_core_dump_allow(job->folder, 0);
    } else {
        setenv("CUDA_INJECTION64_PATH", library, 1);
    }
    setenv(HL_WATCH_FOLDER, job->folder, 1);
    setenv(HL_WATCH_DETAIL, number, 1);
    signal(SIGPIPE, SIG_DFL); /* these main() ignores; all others are as whoever called us set them */
    signal(SIGXFSZ, SIG_DFL);
    execvp(argv[0], argv);
    const int why = errno;
    _exit(write(report, &why, sizeof why) == sizeof why ? 127 : 126);
}

enum hl_status hl_job_start(struct hl_job *job, char **argv, enum hl_page_detail detail,
                            struct hl_error *error)
{
    char library[PATH_MAX];
    int report[2], why = 0;
    *job = (struct hl_job){ 0 };
    enum hl_status status =
        find_library(detail == HL_PAGE_CORE ? HL_CALLS_LIBRARY : HL_WATCH_LIBRARY, library, error);
    if (!status)
        status = make_folder(job, error);
    if (status)
        return status;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (pipe2(report, O_CLOEXEC) < 0 || (job->pid = fork()) < 0) {
        status = hl_fail(error, HL_STATUS_INTERNAL, "cannot start a process: %s", strerror(errno));
        remove_folder(job);
        return status;
    }
    if (job->pid == 0)
        run_command(job, argv, library, detail, report[1]);
    close(report[1]);
    const bool failed = read(report[0], &why, sizeof why) == sizeof why; /* nothing comes once it runs */
    close(report[0]);
    if (!failed)
        return HL_STATUS_OK;
    waitpid(job->pid, NULL, 0);
    remove_folder(job);
    return hl_fail(error, HL_STATUS_USAGE, "cannot run %s: %s", argv[0], strerror(why));
}

/*
 * Watch
 */

static const struct hl_page *map_page(const char *path, size_t *ret_bytes)
{
    struct stat st;
    const struct hl_page *page = MAP_FAILED;
    const int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return NULL;
    /* A page without its magic number is still being made. */
    if (fstat(fd, &st) == 0 && st.st_size == (off_t)sizeof *page)
        page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (page == MAP_FAILED)
        return NULL;
    *ret_bytes = sizeof *page;
    if (page->magic == HL_PAGE_MAGIC && page->version == HL_PAGE_VERSION)
        return page;
    munmap((void *)(uintptr_t)page, sizeof *page);
    return NULL;
}

static bool comes_before(const struct hl_watched *a, const struct hl_watched *b)
{
    if (a->page->rank != b->page->rank)
        return b->page->rank < 0 || (a->page->rank >= 0 && a->page->rank < b->page->rank);
    return a->pid < b->pid;
}

static void take_in(struct hl_job *job, pid_t pid, const char *path)
{
    struct hl_watched watched = { .pid = pid };
    for (int i = 0; i < job->n; i++)
        if (job->watched[i].pid == pid)
            return;
    watched.page = job->n < HL_WATCHED_MAX ? map_page(path, &watched.bytes) : NULL;
    if (!watched.page)
        return;
    int at = job->n++;
    for (; at > 0 && comes_before(&watched, &job->watched[at - 1]); at--)
        job->watched[at] = job->watched[at - 1];
    job->watched[at] = watched;
}

void hl_job_look(struct hl_job *job)
{
    DIR *folder = opendir(job->folder);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[PATH_MAX], *end;
        const long pid = strtol(entry->d_name, &end, 10);
        if (pid <= 0 || strcmp(end, HL_WATCH_PAGE_SUFFIX) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", job->folder, entry->d_name);
        take_in(job, (pid_t)pid, path);
    }
    closedir(folder);
}

static void forget(struct hl_job *job, pid_t pid)
{
    char path[PATH_MAX];
    for (int i = 0; i < job->n; i++) {
        if (job->watched[i].pid != pid)
            continue;
        munmap((void *)(uintptr_t)job->watched[i].page, job->watched[i].bytes);
        memmove(&job->watched[i], &job->watched[i + 1], (size_t)(--job->n - i) * sizeof job->watched[0]);
        snprintf(path, sizeof path, "%s/%ld" HL_WATCH_PAGE_SUFFIX, job->folder, (long)pid);
        unlink(path);
        return;
    }
}

bool hl_job_reap(struct hl_job *job, int *ret_status)
{
    int status;
    bool ended = false;
    /* One that its own parent has reaped is only missed. */
    for (int i = job->n - 1; i >= 0; i--)
        if (kill(job->watched[i].pid, 0) < 0 && errno == ESRCH)
            forget(job, job->watched[i].pid);
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        forget(job, pid);
        if (pid == job->pid) {
            *ret_status = status;
            ended = true;
        }
    }
    return ended;
}

/* The letter of /proc/PID/stat, behind the name in parentheses; 0: no such process. */
static char process_state(pid_t pid, pid_t *ret_parent)
{
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    const ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    const char *behind = n > 0 ? strrchr(text, ')') : NULL;
    char state = 0;
    int parent = 0;
    if (behind && sscanf(behind, ") %c %d", &state, &parent) == 2)
        *ret_parent = parent;
    return state;
}

bool hl_process_runs(pid_t pid)
{
    pid_t parent;
    const char state = process_state(pid, &parent);
    return state && !strchr("TtZX", state);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Its watchdog thread has looked lately, so it is not stuck itself. */
static bool may_answer(const struct hl_page *page)
{
    const uint64_t beat_ms = atomic_load(&page->beat_ns) / 1000000; /* before the clock: beats go on */
    return atomic_load(&page->state) == HL_PAGE_WATCHING && now_ms() - beat_ms < SILENT_MS;
}

static void ask(struct hl_page *page, bool reads)
{
    atomic_store(&page->reads, reads);
    atomic_fetch_add(&page->asked, 1);
    syscall(SYS_futex, &page->asked, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* False: it has not answered in time. */
static bool await_answer(const struct hl_page *page, uint64_t until_ms)
{
    while (atomic_load(&page->answered) != atomic_load(&page->asked)) {
        if (!may_answer(page) || now_ms() >= until_ms)
            return false;
        nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
    }
    return true;
}

void hl_job_ask(const struct hl_job *job, int timeout_ms)
{
    const uint64_t until_ms = now_ms() + (uint64_t)timeout_ms;
    for (int i = 0; i < job->n; i++) {
        struct hl_page *page = (struct hl_page *)(uintptr_t)job->watched[i].page;
        if (may_answer(page))
            ask(page, false);
    }
    for (int i = 0; i < job->n; i++)
        await_answer(job->watched[i].page, until_ms);
}

int hl_job_read(void *job_, int process, uint64_t context, uint64_t address, uint32_t bytes, void *ret_data)
{
    static const char *const whys[] = {
        [HL_PAGE_READ_UNPREPARED] = "no stream was prepared for it",
        [HL_PAGE_READ_NO_MEMORY] = "it is no memory of the device",
        [HL_PAGE_READ_LATE] = "a copy does not return",
        [HL_PAGE_READ_FAILED] = "the driver refuses the copy",
    };
    struct hl_job *job = job_;
    struct hl_watched *watched = &job->watched[process];
    struct hl_page *page = (struct hl_page *)(uintptr_t)watched->page;
    /* It may still be at an answer before; one that gave none in time gets no further chance. */
    if (watched->deaf || !may_answer(page) || !await_answer(page, now_ms() + READ_MS)) {
        watched->deaf = true;
        watched->unread = "its watchdog thread does not answer";
        return -1;
    }
    page->read = (struct hl_page_read){ .context = context, .address = address, .bytes = bytes };
    ask(page, true);
    if (!await_answer(page, now_ms() + READ_MS)) {
        watched->deaf = true;
        watched->unread = "a read does not return";
        return -1;
    }
    if (page->read.result != HL_PAGE_READ_DONE) {
        watched->unread =
            whys[page->read.result <= HL_PAGE_READ_FAILED ? page->read.result : HL_PAGE_READ_FAILED];
        return -1;
    }
    memcpy(ret_data, page->window, bytes);
    return 0;
}

/*
 * End
 */

/* Does `pid` come from us? Its chain of parents leads here. */
static bool is_descendant(pid_t pid)
{
    const pid_t own = getpid();
    for (int depth = 0; pid > 1 && depth < 64; depth++) {
        if (pid == own)
            return depth > 0;
        pid_t parent = 0;
        if (!process_state(pid, &parent))
            return false;
        pid = parent;
    }
    return false;
}

static int signal_descendants(int signal_number)
{
    DIR *folder = opendir("/proc");
    int n = 0;
    if (!folder)
        return 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        pid_t parent;
        const pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        const char state = pid > 0 ? process_state(pid, &parent) : 0;
        if (state && state != 'Z' && is_descendant(pid) && kill(pid, signal_number) == 0)
            n++;
    }
    closedir(folder);
    return n;
}

void hl_job_kill(void)
{
    const uint64_t until_ms = now_ms() + 2000;
    signal_descendants(SIGTERM);
    while (now_ms() < until_ms && signal_descendants(0) > 0)
        nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
    signal_descendants(SIGKILL);
}

void hl_job_finish(struct hl_job *job)
{
    while (job->n > 0)
        forget(job, job->watched[0].pid);
    remove_folder(job);
}

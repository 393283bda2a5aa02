/* Stands in for a CUDA program under `hanglab watch`: it writes its page as a watched one would, and then
 * does what its first argument says. Its second is a recording to be played into the page. */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "../watchdog/cupti/feed.h"
#include "../watchdog/cupti/track.h"
#include "../watchdog/inject/inject.h"

static struct hl_page *page;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void make_page(void)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%ld.page", getenv(HL_WATCH_FOLDER), (long)getpid());
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *page) < 0)
        exit(90);
    page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        exit(91);
    hl_page_init(page, (uint32_t)getpid(), (enum hl_page_detail)atoi(getenv(HL_WATCH_DETAIL)), now_ns());
    snprintf(page->command, sizeof page->command, "fake_watched");
    page->rank = getenv("RANK") ? atoi(getenv("RANK")) : -1;
    hl_snapshot_allow(&page->snapshot);
}

/* What a recording has of the device's memory. */
static void read_memory(void)
{
    struct hl_page_read *read = &page->read;
    read->result =
        hl_feed_memory(read->address, read->bytes, page->window) ? HL_PAGE_READ_DONE : HL_PAGE_READ_NO_MEMORY;
}

/* Looks and answers, for so long. */
static void beat(unsigned ms)
{
    const uint64_t until_ns = now_ns() + ms * 1000000ull;
    while (now_ns() < until_ns) {
        atomic_store(&page->beat_ns, now_ns());
        const uint32_t asked = atomic_load(&page->asked);
        if (asked != atomic_load(&page->answered) && atomic_load(&page->reads))
            read_memory();
        atomic_store(&page->answered, asked);
        nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
    }
}

static uint32_t launch(void)
{
    const uint32_t stream = hl_page_stream(page, 0x1000, 0x2000, now_ns());
    const struct hl_page_launch launch = { .at_ns = now_ns(),
                                           .kernel = hl_page_kernel(page, 0x3000, "wait_for_peer"),
                                           .exec = HL_PAGE_NONE,
                                           .tid = (uint32_t)getpid(),
                                           .grid = { 4, 1, 1 },
                                           .block = { 64, 1, 1 } };
    hl_page_mark(page, stream, hl_page_launch(page, stream, &launch));
    hl_page_enter(page, hl_page_thread(page, (uint32_t)getpid()), HL_API_cuStreamSynchronize, 0x2000,
                  HL_PAGE_NONE, now_ns());
    return stream;
}

/* A recording's times are of another day: the page looks at them from the moment after the last. */
static void play(const char *path)
{
    FILE *in = fopen(path, "r");
    const int bad = in ? hl_feed_play(in, page) : -1;
    if (bad) {
        fprintf(stderr, "%s: line %d makes no sense\n", path, bad);
        exit(92);
    }
    fclose(in);
    const uint64_t shift_ns = now_ns() - atomic_load(&page->beat_ns);
    for (uint32_t i = 0; i < HL_PAGE_STREAMS; i++)
        if (atomic_load(&page->streams[i].key))
            atomic_fetch_add(&page->streams[i].progress_ns, shift_ns);
    for (uint32_t i = 0; i < HL_PAGE_THREADS; i++)
        atomic_fetch_add(&page->threads[i].since_ns, shift_ns);
    atomic_store(&page->asked, 1);
}

static int load_library(void)
{
    void *library = dlopen(getenv("CUDA_INJECTION64_PATH"), RTLD_NOW);
    int (*initialise)(void) = library ? (int (*)(void))dlsym(library, "InitializeInjection") : NULL;
    if (!initialise) {
        fprintf(stderr, "%s\n", dlerror());
        return 93;
    }
    initialise();
    usleep(300000); /* the supervisor looks every 50 ms */
    return 0;
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    struct stat st;
    if (strcmp(how, "inject") == 0)
        return load_library();
    if (strcmp(how, "folder") == 0) {
        printf("%o\n", stat(getenv(HL_WATCH_FOLDER), &st) == 0 ? st.st_mode & 07777 : 0);
        return 0;
    }
    make_page();
    if (argc > 2)
        play(argv[2]);
    else if (strcmp(how, "held") == 0) /* by the driver, with nothing on the device */
        hl_page_enter(page, hl_page_thread(page, (uint32_t)getpid()), HL_API_cuModuleLoadData, 0,
                      HL_PAGE_NONE, now_ns());
    else if (strcmp(how, "idle") != 0)
        launch();
    /* Only now: half a recording is a stall of its own. */
    atomic_store(&page->beat_ns, now_ns());
    atomic_store(&page->state, HL_PAGE_WATCHING);
    if (strcmp(how, "die") == 0) { /* as soon as it is asked, without an answer */
        while (atomic_load(&page->asked) == 0)
            atomic_store(&page->beat_ns, now_ns());
        raise(SIGKILL);
    }
    if (strcmp(how, "deaf") == 0) /* its watchdog thread hangs in the driver when it is asked */
        while (atomic_load(&page->asked) == 0)
            atomic_store(&page->beat_ns, now_ns());
    if (strcmp(how, "resume") == 0) {
        beat(700);
        hl_page_complete(page, 0, 0, 0);
        for (uint32_t i = 0; i < HL_PAGE_STREAMS; i++)
            hl_page_complete(page, i, atomic_load(&page->streams[i].launched), now_ns());
        hl_page_exit(page, hl_page_thread(page, (uint32_t)getpid()));
        beat(300);
        return 5;
    }
    if (strcmp(how, "idle") == 0) {
        beat(900);
        return 6;
    }
    beat(strcmp(how, "deaf") == 0 ? 0 : strcmp(how, "held") == 0 ? 8000 : 5000);
    sleep(5);
    return 0;
}

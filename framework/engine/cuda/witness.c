/* Pages of the processes that run CUDA; without CUPTI's headers there are none, and that is said. */
#include "witness.h"
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "../../../watchdog/cupti/symbols.h"
#include "../../../watchdog/cupti/track.h"
#include "../../../watchdog/cupti/watcher.h"
#include "scratch.h"
#include "shared.h"

#define ANSWER_NS 1000000000ull
/* What has not moved for so long stands still: the run as a whole has done so for its threshold. */
#define STILL_NS 1000000u

static struct witness {
    pid_t owner; /* who made it; a fork of that process only forgets it */
    enum hl_detail detail;
    int processes;
    struct hl_page *pages;       /* NULL: nothing is witnessed */
    char folder[HL_SCRATCH_MAX]; /* of cubins; "": none */
} witness;

static enum hl_page_detail page_detail(enum hl_detail detail)
{
    return detail == HL_DETAIL_CUPTI  ? HL_PAGE_CUPTI
           : detail == HL_DETAIL_NODE ? HL_PAGE_NODE
           : detail == HL_DETAIL_PC   ? HL_PAGE_PC
                                      : HL_PAGE_LIGHT;
}

bool hl_witness_fits(enum hl_detail detail) { return page_detail(detail) == page_detail(witness.detail); }

int hl_witness_count(void) { return witness.processes; }

enum hl_status hl_witness_init(enum hl_detail detail, int processes, struct hl_error *error)
{
    witness = (struct witness){ .owner = getpid(), .detail = detail };
    if (page_detail(detail) == HL_PAGE_LIGHT)
        return HL_STATUS_OK;
    witness.pages = mmap(NULL, (size_t)processes * sizeof *witness.pages, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (witness.pages == MAP_FAILED) {
        witness.pages = NULL;
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for what CUPTI tells");
    }
    witness.processes = processes;
    if (page_detail(detail) != HL_PAGE_PC)
        return HL_STATUS_OK;
    if (!hl_scratch_make(witness.folder, "/dev/shm", "cubins"))
        hl_scratch_make(witness.folder, "/tmp", "cubins"); /* without one, PCs stay without lines */
    return HL_STATUS_OK;
}

void hl_witness_finish(void)
{
    if (witness.pages)
        munmap(witness.pages, (size_t)witness.processes * sizeof *witness.pages);
    if (witness.owner == getpid())
        hl_scratch_remove(witness.folder);
    witness = (struct witness){ 0 };
}

void hl_witness_begin(int process)
{
    if (!witness.pages)
        return;
    struct hl_page *page = &witness.pages[process];
    hl_page_init(page, (uint32_t)getpid(), page_detail(witness.detail), hl_monotonic_ns());
    hl_watcher_start(page, witness.folder[0] ? witness.folder : NULL);
}

static void ask(struct hl_page *page)
{
    const uint64_t until_ns = hl_monotonic_ns() + ANSWER_NS;
    if (atomic_load(&page->state) != HL_PAGE_WATCHING)
        return;
    const uint32_t asked = atomic_fetch_add(&page->asked, 1) + 1;
    syscall(SYS_futex, &page->asked, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    while (atomic_load(&page->answered) != asked && hl_monotonic_ns() < until_ns)
        nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
}

void hl_witness_collect(int process, struct hl_device_evidence *ret_evidence)
{
    struct hl_page *copy = malloc(sizeof *copy);
    char why[256];
    memset(ret_evidence, 0, sizeof *ret_evidence);
    if (!copy)
        return;
    ask(&witness.pages[process]);
    memcpy(copy, &witness.pages[process], sizeof *copy);
    if (copy->n_samples && !hl_symbolise(copy, witness.folder, why, sizeof why) && !copy->why[0])
        snprintf(copy->why, sizeof copy->why, "source lines: %.200s", why);
    const uint64_t now_ns = hl_monotonic_ns();
    const struct hl_stall stall = hl_judge(copy, STILL_NS, now_ns);
    hl_device_evidence_of(copy, &stall, now_ns, ret_evidence);
    free(copy);
}

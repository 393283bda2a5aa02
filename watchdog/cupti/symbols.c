/* CUPTI maps a PC of a saved cubin to its line; that needs neither a GPU nor the process it came from. */
#include "symbols.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "library.h"

struct cubin {
    uint64_t crc;
    void *bytes; /* NULL: it was not kept */
    size_t size;
};

static struct cubin open_cubin(const struct hl_page *page, uint64_t crc, const char *folder)
{
    struct cubin cubin = { .crc = crc };
    struct stat st;
    char path[512];
    snprintf(path, sizeof path, "%s/%u-%016" PRIx64 ".cubin", folder, page->pid, crc);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cubin;
    if (fstat(fd, &st) == 0 && st.st_size > 0) {
        cubin.size = (size_t)st.st_size;
        cubin.bytes = mmap(NULL, cubin.size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (cubin.bytes == MAP_FAILED)
            cubin.bytes = NULL;
    }
    close(fd);
    return cubin;
}

static void close_cubin(struct cubin *cubin)
{
    if (cubin->bytes)
        munmap(cubin->bytes, cubin->size);
}

static void look_up(const struct hl_cupti *cupti, const struct hl_page *page, const struct cubin *cubin,
                    struct hl_page_sample *sample)
{
    if (sample->kernel >= HL_PAGE_KERNELS)
        return;
    CUpti_GetSassToSourceCorrelationParams params = {
        .size = CUpti_GetSassToSourceCorrelationParamsSize,
        .cubin = cubin->bytes,
        .cubinSize = cubin->size,
        .functionName = page->kernels[sample->kernel].name,
        .pcOffset = sample->pc,
    };
    if (cupti->cuptiGetSassToSourceCorrelation(&params) != CUPTI_SUCCESS)
        return;
    if (params.fileName && params.lineNumber) {
        const bool folder = params.dirName && params.dirName[0];
        snprintf(sample->file, sizeof sample->file, "%s%s%s", folder ? params.dirName : "", folder ? "/" : "",
                 params.fileName);
        sample->line = params.lineNumber;
    }
    free(params.fileName);
    free(params.dirName);
}

bool hl_symbolise(struct hl_page *page, const char *folder, char *why, size_t size)
{
    static struct hl_cupti cupti; /* the library stays open */
    if (!cupti.cuptiGetSassToSourceCorrelation && !hl_cupti_load(&cupti, why, size))
        return false;
    struct cubin cubin = { 0 };
    for (uint32_t i = 0; i < atomic_load(&page->n_samples); i++) {
        struct hl_page_sample *sample = &page->samples[i];
        if (i == 0 || sample->crc != cubin.crc) {
            close_cubin(&cubin);
            cubin = open_cubin(page, sample->crc, folder);
        }
        if (cubin.bytes)
            look_up(&cupti, page, &cubin, sample);
    }
    close_cubin(&cubin);
    return true;
}

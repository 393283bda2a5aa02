/* Reading device memory while kernels are stuck on it.
 *
 * An allocation, or the making of a stream, may wait for a kernel that never ends: so each context gets a
 * stream, an event and a pinned buffer at the first driver call that finds it idle. The stream has the
 * highest priority, because streams of equal priority may share a hardware queue, where a copy would stand
 * behind the stuck kernel. Nothing here waits without a bound. */
#include "inside.h"
#include <string.h>
#include <time.h>
#include "feed.h"

#define LATE_NS 200000000u

static struct place {
    CUcontext context; /* NULL: free */
    bool made, in_flight;
    CUstream stream;
    CUevent event;
    void *buffer;
} places[HL_CONTEXTS_MAX];
static atomic_flag busy = ATOMIC_FLAG_INIT; /* a thread is preparing */

static struct place *find_place(CUcontext context)
{
    for (int i = 0; i < HL_CONTEXTS_MAX; i++)
        if (places[i].context == context)
            return &places[i];
    return NULL;
}

static bool is_idle(CUcontext context)
{
    const struct hl_page *page = hl_watcher.page;
    for (uint32_t i = 0; i < HL_PAGE_STREAMS; i++) {
        const struct hl_page_stream *s = &page->streams[i];
        if (atomic_load(&s->key) && s->context == (uint64_t)(uintptr_t)context &&
            atomic_load(&s->launched) > atomic_load(&s->completed))
            return false;
    }
    return true;
}

static bool make(struct place *p)
{
    struct hl_cupti *cupti = &hl_watcher.cupti;
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    int lowest, highest;
    cupti->cuThreadExchangeStreamCaptureMode(&mode);
    const bool made =
        cupti->cuCtxGetStreamPriorityRange(&lowest, &highest) == CUDA_SUCCESS &&
        cupti->cuStreamCreateWithPriority(&p->stream, CU_STREAM_NON_BLOCKING, highest) == CUDA_SUCCESS &&
        cupti->cuEventCreate(&p->event, CU_EVENT_DISABLE_TIMING) == CUDA_SUCCESS &&
        cupti->cuMemHostAlloc(&p->buffer, HL_PAGE_WINDOW, 0) == CUDA_SUCCESS;
    cupti->cuThreadExchangeStreamCaptureMode(&mode);
    return made;
}

void hl_reader_prepare(CUcontext context)
{
    if (!hl_watcher.page->serves_memory || !context || find_place(context) ||
        atomic_load(&hl_watcher.page->capturing) || !is_idle(context) || atomic_flag_test_and_set(&busy))
        return;
    struct place *p = find_place(NULL);
    if (p) {
        p->context = context; /* once: what fails now fails again */
        p->made = make(p);
    }
    atomic_flag_clear(&busy);
}

void hl_reader_forget(CUcontext context)
{
    struct place *p = find_place(context);
    if (p)
        p->made = false; /* the rest ends with the context */
}

/* Is all of it memory that the device has, as far as the driver knows? A copy from elsewhere would be an
 * error of the program's context. */
static bool is_memory(uint64_t address, uint32_t bytes)
{
    CUpointer_attribute names[] = { CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, CU_POINTER_ATTRIBUTE_RANGE_SIZE,
                                    CU_POINTER_ATTRIBUTE_MAPPED };
    CUdeviceptr start = 0;
    size_t size = 0;
    int mapped = 0;
    void *values[] = { &start, &size, &mapped };
    return hl_watcher.cupti.cuPointerGetAttributes(3, names, values, address) == CUDA_SUCCESS && mapped &&
           address >= start && address - start <= size && bytes <= size - (address - start);
}

static bool has_come(struct place *p)
{
    p->in_flight = hl_watcher.cupti.cuEventQuery(p->event) == CUDA_ERROR_NOT_READY;
    return !p->in_flight;
}

static bool comes_in_time(struct place *p)
{
    const uint64_t until_ns = hl_now_ns() + LATE_NS;
    while (!has_come(p)) {
        if (hl_now_ns() > until_ns)
            return false;
        nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
    }
    return true;
}

static enum hl_page_read_result read_memory(struct place *p, uint64_t address, uint32_t bytes)
{
    struct hl_cupti *cupti = &hl_watcher.cupti;
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    if (!p || !p->made)
        return HL_PAGE_READ_UNPREPARED;
    cupti->cuThreadExchangeStreamCaptureMode(&mode);
    cupti->cuCtxSetCurrent(p->context);
    enum hl_page_read_result result = HL_PAGE_READ_FAILED;
    if (p->in_flight && !has_come(p))
        result = HL_PAGE_READ_LATE;
    else if (!is_memory(address, bytes))
        result = HL_PAGE_READ_NO_MEMORY;
    else if (cupti->cuMemcpyDtoHAsync(p->buffer, address, bytes, p->stream) == CUDA_SUCCESS &&
             cupti->cuEventRecord(p->event, p->stream) == CUDA_SUCCESS)
        result = comes_in_time(p) ? HL_PAGE_READ_DONE : HL_PAGE_READ_LATE;
    cupti->cuThreadExchangeStreamCaptureMode(&mode);
    return result;
}

void hl_reader_answer(void)
{
    struct hl_page *page = hl_watcher.page;
    struct hl_page_read *read = &page->read;
    const uint64_t begun_ns = hl_now_ns();
    struct place *p = find_place((CUcontext)(uintptr_t)read->context);
    read->result =
        read->bytes <= HL_PAGE_WINDOW ? read_memory(p, read->address, read->bytes) : HL_PAGE_READ_FAILED;
    if (read->result == HL_PAGE_READ_DONE) {
        memcpy(page->window, p->buffer, read->bytes);
        hl_feed_note_memory(read->address, page->window, read->bytes);
    }
    read->took_ns = hl_now_ns() - begun_ns;
}

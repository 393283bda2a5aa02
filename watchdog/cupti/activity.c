/* Activity records: which graph launches and kernels have ended.
 *
 * A record of what never ends is never complete, so only a forced flush brings what came before it; that is
 * done at a stall and at no other time. Kernels are traced by the concurrent kind: CUPTI's other kind lets
 * kernels run one after another only, which would deadlock an allreduce between streams by itself. */
#include "inside.h"
#include <stdatomic.h>

#define BUFFERS 16
#define BUFFER_BYTES (512u << 10)

/* Taken before anything runs: CUPTI asks for a buffer in a thread of the program, which may be stuck. */
static _Alignas(8) uint8_t buffers[BUFFERS][BUFFER_BYTES];
static atomic_flag taken[BUFFERS];

static void CUPTIAPI on_buffer_wanted(uint8_t **ret_buffer, size_t *ret_bytes, size_t *ret_records)
{
    *ret_buffer = NULL;
    *ret_bytes = 0;
    *ret_records = 0; /* as many as it holds */
    for (int i = 0; i < BUFFERS; i++)
        if (!atomic_flag_test_and_set(&taken[i])) {
            *ret_buffer = buffers[i];
            *ret_bytes = BUFFER_BYTES;
            return;
        }
    atomic_fetch_add(&hl_watcher.page->lost, 1); /* CUPTI drops the records */
}

static void keep_record(const CUpti_Activity *record)
{
    struct hl_page_finished f = { 0 };
    if (record->kind == CUPTI_ACTIVITY_KIND_GRAPH_TRACE) {
        const CUpti_ActivityGraphTrace2 *graph = (const void *)record;
        f = (struct hl_page_finished){ graph->correlationId, 0, graph->start, graph->end };
    } else if (record->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
        const CUpti_ActivityKernel10 *kernel = (const void *)record;
        f = (struct hl_page_finished){ kernel->correlationId, kernel->graphNodeId, kernel->start,
                                       kernel->end };
    } else {
        return;
    }
    hl_page_finish(hl_watcher.page, &f);
}

static void CUPTIAPI on_buffer_full(CUcontext context, uint32_t stream, uint8_t *buffer, size_t bytes,
                                    size_t valid)
{
    (void)context, (void)stream, (void)bytes;
    CUpti_Activity *record = NULL;
    while (hl_watcher.cupti.cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS)
        keep_record(record);
    atomic_flag_clear(&taken[(buffer - buffers[0]) / BUFFER_BYTES]);
}

void hl_activity_start(void)
{
    const bool nodes = hl_watcher.page->detail == HL_PAGE_NODE;
    CUptiResult result = hl_watcher.cupti.cuptiActivityRegisterCallbacks(on_buffer_wanted, on_buffer_full);
    if (result == CUPTI_SUCCESS)
        result = hl_watcher.cupti.cuptiActivityEnable(nodes ? CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL
                                                            : CUPTI_ACTIVITY_KIND_GRAPH_TRACE);
    if (result != CUPTI_SUCCESS)
        hl_watcher_lacks(nodes ? "records of kernels" : "records of graph launches", result);
}

void hl_activity_flush(void)
{
    const uint64_t before_ns = hl_now_ns();
    hl_watcher.cupti.cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
    hl_watcher.page->flush_ns = hl_now_ns() - before_ns;
}

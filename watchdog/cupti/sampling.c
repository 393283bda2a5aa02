/* PC samples: which instructions of which kernel are executed while nothing goes on.
 *
 * In continuous mode, which does not serialise kernels. It must be on before the kernel that hangs begins, so
 * it is from the creation of the context; what comes while all is well is thrown away.
 *
 * One process samples a GPU. CUPTI takes a second one; of three pairs on an H100, two lost a capture that was
 * under way, and in the third one lost its callbacks. */
#include "inside.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PCS 512
#define REASONS 64
#define PERIOD_LOG2 16 /* cycles between two samples of an SM */
#define HARDWARE_BYTES (32u << 20)
#define WORKER_MS 5
/* How long a stall is sampled: some samples of every SM that executes anything. */
#define COLLECT_MS 15
#define CUBINS_BYTES (256ull << 20)

struct context {
    CUcontext context;
    CUpti_PCSamplingData data;
    CUpti_PCSamplingPCData pcs[PCS];
    CUpti_PCSamplingStallReason reasons[PCS][REASONS];
    CUpti_PCSamplingData own; /* where CUPTI keeps what it has parsed */
    CUpti_PCSamplingPCData own_pcs[PCS];
    CUpti_PCSamplingStallReason own_reasons[PCS][REASONS];
};
static struct context contexts[HL_CONTEXTS_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a context comes or goes while others are read */

static void set_up(CUpti_PCSamplingData *data, CUpti_PCSamplingPCData *pcs,
                   CUpti_PCSamplingStallReason reasons[PCS][REASONS])
{
    *data = (CUpti_PCSamplingData){ .size = sizeof *data, .collectNumPcs = PCS, .pPcData = pcs };
    for (int i = 0; i < PCS; i++)
        pcs[i] = (CUpti_PCSamplingPCData){ .size = sizeof pcs[i], .stallReason = reasons[i] };
}

#define ATTRIBUTE(id) CUPTI_PC_SAMPLING_CONFIGURATION_ATTR_TYPE_##id

static CUptiResult configure(struct context *c)
{
    CUpti_PCSamplingConfigurationInfo info[4] = {
        { .attributeType = ATTRIBUTE(SAMPLING_PERIOD) },
        { .attributeType = ATTRIBUTE(HARDWARE_BUFFER_SIZE) },
        { .attributeType = ATTRIBUTE(WORKER_THREAD_PERIODIC_SLEEP_SPAN) },
        { .attributeType = ATTRIBUTE(SAMPLING_DATA_BUFFER) },
    };
    info[0].attributeData.samplingPeriodData.samplingPeriod = PERIOD_LOG2;
    info[1].attributeData.hardwareBufferSizeData.hardwareBufferSize = HARDWARE_BYTES;
    info[2].attributeData.workerThreadPeriodicSleepSpanData.workerThreadPeriodicSleepSpan = WORKER_MS;
    info[3].attributeData.samplingDataBufferData.samplingDataBuffer = &c->own;
    CUpti_PCSamplingConfigurationInfoParams params = { .size = CUpti_PCSamplingConfigurationInfoParamsSize,
                                                       .ctx = c->context,
                                                       .numAttributes = 4,
                                                       .pPCSamplingConfigurationInfo = info };
    return hl_watcher.cupti.cuptiPCSamplingSetConfigurationAttribute(&params);
}

static CUptiResult enable(struct context *c)
{
    CUpti_PCSamplingEnableParams params = { .size = CUpti_PCSamplingEnableParamsSize, .ctx = c->context };
    size_t reasons = 0;
    CUpti_PCSamplingGetNumStallReasonsParams count = { .size = CUpti_PCSamplingGetNumStallReasonsParamsSize,
                                                       .ctx = c->context,
                                                       .numStallReasons = &reasons };
    CUptiResult result = hl_watcher.cupti.cuptiPCSamplingEnable(&params);
    if (result == CUPTI_SUCCESS)
        result = hl_watcher.cupti.cuptiPCSamplingGetNumStallReasons(&count);
    if (result == CUPTI_SUCCESS && reasons > REASONS)
        result = CUPTI_ERROR_NOT_SUPPORTED; /* they would be written behind their rows */
    return result == CUPTI_SUCCESS ? configure(c) : result;
}

/* False: another process samples this GPU. A name in the abstract namespace of sockets is a lock that no file
 * outlives, and the end of the process gives it back. */
static bool take_gpu(CUcontext context)
{
    static char taken[HL_CONTEXTS_MAX][32];
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    char bus[32] = "";
    uint32_t device = 0;
    int at = 0;
    if (hl_watcher.cupti.cuptiGetDeviceId(context, &device) != CUPTI_SUCCESS ||
        hl_watcher.cupti.cuDeviceGetPCIBusId(bus, sizeof bus, (CUdevice)device) != CUDA_SUCCESS)
        return true;
    for (; at < HL_CONTEXTS_MAX && taken[at][0]; at++)
        if (strcmp(taken[at], bus) == 0)
            return true;
    snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "hanglab-samples-%s", bus);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (const struct sockaddr *)&name, sizeof name) < 0 && errno == EADDRINUSE) {
        close(fd);
        return false;
    }
    if (at < HL_CONTEXTS_MAX)
        strcpy(taken[at], bus);
    return true;
}

static void lack(const char *why)
{
    const size_t n = strlen(hl_watcher.page->why), size = sizeof hl_watcher.page->why;
    snprintf(hl_watcher.page->why + n, size - n, "%s%s", n ? "; " : "", why);
}

/* Into a free place; hl_page's `lost` counts those for which there is none. */
static void add_context(CUcontext context)
{
    struct context *free_one = NULL;
    for (int i = 0; i < HL_CONTEXTS_MAX && !free_one; i++)
        if (!contexts[i].context)
            free_one = &contexts[i];
    if (!free_one) {
        atomic_fetch_add(&hl_watcher.page->lost, 1);
        return;
    }
    set_up(&free_one->data, free_one->pcs, free_one->reasons);
    set_up(&free_one->own, free_one->own_pcs, free_one->own_reasons);
    free_one->context = context;
    const CUptiResult result = enable(free_one);
    if (result == CUPTI_SUCCESS)
        return;
    hl_watcher_lacks("PC samples", result);
    free_one->context = NULL;
}

void hl_sampling_context(CUcontext context)
{
    if (hl_watcher.page->detail != HL_PAGE_PC)
        return;
    pthread_mutex_lock(&lock);
    if (take_gpu(context))
        add_context(context);
    else
        lack("PC samples: another process samples this GPU, and only one can");
    pthread_mutex_unlock(&lock);
}

void hl_sampling_forget(CUcontext context)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < HL_CONTEXTS_MAX; i++)
        if (contexts[i].context == context)
            contexts[i].context = NULL;
    pthread_mutex_unlock(&lock);
}

/* Does the cubin have a section of that name? It is 64-bit ELF, little endian. */
static bool has_lines(const void *cubin, size_t bytes)
{
    static const char section[] = ".nv_debug_line_sass";
    return memmem(cubin, bytes, section, sizeof section - 1) != NULL;
}

static bool write_cubin(uint64_t crc, const void *cubin, size_t bytes)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%u-%016" PRIx64 ".cubin", hl_watcher.folder, hl_watcher.page->pid, crc);
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < bytes)
        return false; /* to try would be a SIGXFSZ, which ends programs */
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    const bool whole = write(fd, cubin, bytes) == (ssize_t)bytes;
    close(fd);
    if (!whole)
        unlink(path);
    return whole;
}

void hl_sampling_module(const void *cubin, size_t bytes)
{
    static _Atomic uint64_t kept;
    struct hl_page *page = hl_watcher.page;
    if (!hl_watcher.folder || !has_lines(cubin, bytes))
        return;
    CUpti_GetCubinCrcParams params = { .size = CUpti_GetCubinCrcParamsSize,
                                       .cubinSize = bytes,
                                       .cubin = cubin };
    const uint32_t at = atomic_fetch_add(&page->n_modules, 1);
    if (at >= HL_PAGE_MODULES || atomic_fetch_add(&kept, bytes) + bytes > CUBINS_BYTES ||
        hl_watcher.cupti.cuptiGetCubinCrc(&params) != CUPTI_SUCCESS ||
        !write_cubin(params.cubinCrc, cubin, bytes)) {
        atomic_fetch_add(&page->lost, 1);
        return;
    }
    page->modules[at] = (struct hl_page_module){ params.cubinCrc, bytes };
}

static void read_samples(struct context *c, bool keep)
{
    struct hl_page *page = hl_watcher.page;
    CUpti_PCSamplingGetDataParams params = { .size = CUpti_PCSamplingGetDataParamsSize,
                                             .ctx = c->context,
                                             .pcSamplingData = &c->data };
    do {
        if (hl_watcher.cupti.cuptiPCSamplingGetData(&params) != CUPTI_SUCCESS)
            return;
        page->samples_all += keep ? c->data.totalSamples : 0;
        for (size_t i = 0; i < c->data.totalNumPcs && keep; i++) {
            const CUpti_PCSamplingPCData *pc = &c->pcs[i];
            uint64_t samples = 0;
            for (size_t r = 0; r < pc->stallReasonCount; r++)
                samples += pc->stallReason[r].samples;
            /* A sampled function has no handle here; one of its cubin and index stands in. */
            const uint64_t function = (pc->cubinCrc << 16 ^ pc->functionIndex) | 1;
            if (samples)
                hl_page_sample(page, hl_page_kernel(page, function, pc->functionName), pc->cubinCrc,
                               pc->pcOffset, samples);
        }
    } while (c->data.remainingNumPcs > 0);
}

static void read_all(bool keep)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < HL_CONTEXTS_MAX; i++)
        if (contexts[i].context)
            read_samples(&contexts[i], keep);
    pthread_mutex_unlock(&lock);
}

void hl_sampling_drain(void) { read_all(false); }

void hl_sampling_collect(void)
{
    const uint64_t before_ns = hl_now_ns();
    read_all(false);
    nanosleep(&(struct timespec){ .tv_nsec = COLLECT_MS * 1000000L }, NULL);
    hl_page_samples_clear(hl_watcher.page);
    read_all(true);
    hl_watcher.page->sampling_ns = hl_now_ns() - before_ns;
}

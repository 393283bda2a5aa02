/* A libcuda whose events come when a test says that the launches before them have ended. */
#include <cuda.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

PUBLIC _Atomic uint64_t hl_fake_launches, hl_fake_ended;
/* What the watcher makes for itself. Nothing is launched there, and with HL_FAKE_STUCK nothing ends. */
#define IDLE_STREAM ((CUstream)(uintptr_t)(getenv("HL_FAKE_STUCK") ? 0x7001 : 0x7000))

PUBLIC CUresult cuEventCreate(CUevent *event, unsigned flags)
{
    (void)flags;
    *event = calloc(1, sizeof(uint64_t));
    return *event ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
PUBLIC CUresult cuEventRecord(CUevent event, CUstream stream)
{
    *(uint64_t *)event = (uintptr_t)stream == 0x7000 ? 0 : atomic_load(&hl_fake_launches);
    return CUDA_SUCCESS;
}
PUBLIC CUresult cuEventQuery(CUevent event)
{
    return *(uint64_t *)event <= atomic_load(&hl_fake_ended) ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}
PUBLIC CUresult cuCtxSetCurrent(CUcontext context)
{
    (void)context;
    return CUDA_SUCCESS;
}
/* A GPU for each test: the programs of one have the same parent. */
PUBLIC CUresult cuDeviceGetPCIBusId(char *bus, int size, CUdevice device)
{
    snprintf(bus, (size_t)size, "fake-%d-%d", device, (int)getppid());
    return CUDA_SUCCESS;
}
PUBLIC CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
    (void)mode;
    return CUDA_SUCCESS;
}

/*
 * Arguments of kernels, and memory, which is the program's own
 */

PUBLIC size_t hl_fake_param_bytes; /* of a kernel's one argument; 0: it has none */

PUBLIC CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t *at, size_t *bytes)
{
    (void)function;
    *at = 0;
    *bytes = hl_fake_param_bytes;
    return index == 0 && hl_fake_param_bytes ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
PUBLIC CUresult cuKernelGetParamInfo(CUkernel kernel, size_t index, size_t *at, size_t *bytes)
{
    (void)kernel, (void)index, (void)at, (void)bytes;
    return CUDA_ERROR_INVALID_HANDLE;
}
PUBLIC CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest)
{
    *least = 0;
    *greatest = -5;
    return CUDA_SUCCESS;
}
PUBLIC CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority)
{
    (void)flags, (void)priority;
    *stream = IDLE_STREAM;
    return CUDA_SUCCESS;
}
PUBLIC CUresult cuMemHostAlloc(void **memory, size_t bytes, unsigned flags)
{
    (void)flags;
    *memory = malloc(bytes);
    return *memory ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
PUBLIC CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    (void)stream;
    memcpy(to, (const void *)(uintptr_t)from, bytes);
    return CUDA_SUCCESS;
}
PUBLIC CUresult cuPointerGetAttributes(unsigned n, CUpointer_attribute *names, void **values,
                                       CUdeviceptr from)
{
    (void)n, (void)names;
    *(CUdeviceptr *)values[0] = from;
    *(size_t *)values[1] = SIZE_MAX;
    *(int *)values[2] = 1;
    return from < 4096 ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

/*
 * Core dumps on request: a recorded one is copied
 */

/* %p is the process. */
static bool expand(const char *name, char *path, size_t size)
{
    const char *form = getenv(name), *at = form ? strstr(form, "%p") : NULL;
    if (at)
        snprintf(path, size, "%.*s%ld%s", (int)(at - form), form, (long)getpid(), at + 2);
    return at != NULL;
}

static void *dump(void *user)
{
    char path[4096], request;
    (void)user;
    FILE *pipe = expand("CUDA_COREDUMP_PIPE", path, sizeof path) ? fopen(path, "r") : NULL;
    if (pipe && fread(&request, 1, 1, pipe) == 1 && expand("CUDA_COREDUMP_FILE", path, sizeof path)) {
        FILE *from = fopen(getenv("HL_FAKE_CORE"), "r"), *to = fopen(path, "w");
        int byte;
        while (from && to && (byte = getc(from)) != EOF)
            putc(byte, to);
        if (to)
            fclose(to);
    }
    return NULL;
}

static bool hl_fake_dump_on_request(void)
{
    char path[4096];
    pthread_t thread;
    const char *wanted = getenv("CUDA_ENABLE_USER_TRIGGERED_COREDUMP");
    if (!wanted || !getenv("HL_FAKE_CORE"))
        return true;
    return expand("CUDA_COREDUMP_PIPE", path, sizeof path) && mkfifo(path, 0600) == 0 &&
           pthread_create(&thread, NULL, dump, NULL) == 0;
}

/*
 * As programs find it: by dlsym() or cuGetProcAddress()
 */

static _Atomic(void *) captured_stream;

PUBLIC CUresult cuInit(unsigned flags)
{
    (void)flags;
    return hl_fake_dump_on_request() ? CUDA_SUCCESS : CUDA_ERROR_UNKNOWN;
}
PUBLIC CUresult cuCtxGetCurrent(CUcontext *context)
{
    *context = (CUcontext)0x1000;
    return CUDA_SUCCESS;
}
/* A kernel's handle is its name. */
PUBLIC CUresult cuFuncGetName(const char **name, CUfunction function)
{
    *name = (const char *)function;
    return CUDA_SUCCESS;
}
PUBLIC CUresult cuKernelGetName(const char **name, CUkernel kernel)
{
    (void)name, (void)kernel;
    return CUDA_ERROR_INVALID_HANDLE;
}
PUBLIC CUresult cuStreamBeginCapture_v2(CUstream stream, CUstreamCaptureMode mode)
{
    (void)mode;
    atomic_store(&captured_stream, stream);
    return CUDA_SUCCESS;
}
PUBLIC CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph)
{
    (void)stream;
    *graph = (CUgraph)1;
    atomic_store(&captured_stream, NULL);
    return CUDA_SUCCESS;
}
PUBLIC CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus *status)
{
    *status = stream == atomic_load(&captured_stream) ? CU_STREAM_CAPTURE_STATUS_ACTIVE
                                                      : CU_STREAM_CAPTURE_STATUS_NONE;
    return CUDA_SUCCESS;
}
PUBLIC CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                               unsigned bz, unsigned shared, CUstream stream, void **params, void **extra)
{
    (void)f, (void)gx, (void)gy, (void)gz, (void)bx, (void)by, (void)bz, (void)shared, (void)params;
    (void)extra;
    if (stream != atomic_load(&captured_stream))
        atomic_fetch_add(&hl_fake_launches, 1);
    return CUDA_SUCCESS;
}
PUBLIC CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream)
{
    (void)exec, (void)stream;
    atomic_fetch_add(&hl_fake_launches, 1);
    return CUDA_SUCCESS;
}
/* Returns once all launches have ended, or after ten seconds. */
PUBLIC CUresult cuStreamSynchronize_ptsz(CUstream stream)
{
    (void)stream;
    for (int i = 0; i < 1000 && atomic_load(&hl_fake_ended) < atomic_load(&hl_fake_launches); i++)
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    return CUDA_SUCCESS;
}
PUBLIC CUresult cuGetProcAddress_v2(const char *symbol, void **function, int version, cuuint64_t flags,
                                    CUdriverProcAddressQueryResult *status)
{
    (void)version, (void)status;
    *function =
        strcmp(symbol, "cuStreamSynchronize") == 0 && flags == CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM
            ? (void *)(uintptr_t)cuStreamSynchronize_ptsz
        : strcmp(symbol, "cuLaunchKernel") == 0 ? (void *)(uintptr_t)cuLaunchKernel
        : strcmp(symbol, "cuGraphLaunch") == 0  ? (void *)(uintptr_t)cuGraphLaunch
                                                : dlsym(RTLD_DEFAULT, symbol);
    return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

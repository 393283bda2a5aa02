/* A libcuda whose events come when a test says that the launches before them have ended. */
#include <cuda.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#define PUBLIC __attribute__((visibility("default")))

PUBLIC _Atomic uint64_t hl_fake_launches, hl_fake_ended;

PUBLIC CUresult cuEventCreate(CUevent *event, unsigned flags)
{
    (void)flags;
    *event = calloc(1, sizeof(uint64_t));
    return *event ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
PUBLIC CUresult cuEventRecord(CUevent event, CUstream stream)
{
    (void)stream;
    *(uint64_t *)event = atomic_load(&hl_fake_launches);
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
PUBLIC CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
    (void)mode;
    return CUDA_SUCCESS;
}

/*
 * Arguments of kernels, and memory: what a test says is at an address.
 */

PUBLIC size_t hl_fake_param_bytes; /* of a kernel's one argument */
PUBLIC int (*hl_fake_read)(uint64_t address, size_t bytes, void *data);

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
    *stream = (CUstream)0x7000;
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
    return hl_fake_read && hl_fake_read(from, bytes, to) == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
PUBLIC CUresult cuPointerGetAttributes(unsigned n, CUpointer_attribute *names, void **values,
                                       CUdeviceptr from)
{
    (void)n, (void)names;
    *(CUdeviceptr *)values[0] = from;
    *(size_t *)values[1] = SIZE_MAX;
    *(int *)values[2] = 1;
    return CUDA_SUCCESS;
}

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

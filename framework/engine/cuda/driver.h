/* Every call that the engine makes to CUDA, in one table of function pointers.
 *
 * The driver's library is opened when the first run starts, so the command itself starts where there is no
 * driver. Tests put a table of their own in its place and see which calls a program becomes. */
#pragma once
#include <cuda.h>
#include "hanglab/error.h"
#include "device.h"
#include "kernels/cuda/room.h"

/* Functions of libcuda; names go through cuda.h's macros, so that the versioned symbol is looked up. */
#define HL_DRIVER_CALLS(X) \
    X(cuInit) \
    X(cuGetErrorName) \
    X(cuDeviceGet) \
    X(cuDeviceGetAttribute) \
    X(cuDeviceGetCount) \
    X(cuDevicePrimaryCtxRetain) \
    X(cuDeviceCanAccessPeer) \
    X(cuCtxSetCurrent) \
    X(cuCtxSynchronize) \
    X(cuCtxEnablePeerAccess) \
    X(cuMemGetInfo) \
    X(cuMemAlloc) \
    X(cuMemFree) \
    X(cuMemAllocHost) \
    X(cuIpcGetMemHandle) \
    X(cuIpcOpenMemHandle) \
    X(cuMemHostRegister) \
    X(cuMemHostGetDevicePointer) \
    X(cuMemsetD8Async) \
    X(cuMemsetD32Async) \
    X(cuMemcpyHtoDAsync) \
    X(cuMemcpyDtoHAsync) \
    X(cuMemcpyDtoDAsync) \
    X(cuStreamCreate) \
    X(cuStreamQuery) \
    X(cuStreamSynchronize) \
    X(cuStreamWaitEvent) \
    X(cuStreamWaitValue32) \
    X(cuStreamBeginCapture) \
    X(cuStreamEndCapture) \
    X(cuEventCreate) \
    X(cuEventDestroy) \
    X(cuEventRecord) \
    X(cuGraphInstantiateWithFlags) \
    X(cuGraphDestroy) \
    X(cuGraphUpload) \
    X(cuGraphLaunch) \
    X(cuGraphExecDestroy)

/* Launches of kernels, through the runtime that is linked in. A result is a cudaError_t, whose numbers are
 * CUresult's. */
#define HL_LAUNCH_CALLS(X) \
    X(hl_cuda_launch) \
    X(hl_cuda_load) \
    X(hl_cuda_resident_ctas) \
    X(hl_cuda_sure_ctas) \
    X(hl_device_before_call) \
    X(hl_device_after_call) \
    X(hl_device_fill) \
    X(hl_device_init) \
    X(hl_device_clock) \
    X(hl_device_take_room) \
    X(hl_device_load)

struct hl_driver {
#define X(name) __typeof__(name) *name;
    HL_DRIVER_CALLS(X)
    HL_LAUNCH_CALLS(X)
#undef X
};

/* Opens libcuda.so.1 and fills the table. HL_STATUS_NO_GPU: there is no driver, or an older one than needed.
 */
enum hl_status hl_driver_load(struct hl_driver *driver, struct hl_error *error);

/* Fails with "what: CUDA_ERROR_..." unless `result` is CUDA_SUCCESS. */
enum hl_status hl_driver_check(const struct hl_driver *driver, int result, const char *what,
                               struct hl_error *error);

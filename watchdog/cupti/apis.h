/* The driver calls that are watched: those that put work on a stream, and those that can block their thread.
 *
 * Named without version and without the _ptsz and _ptds of their twins for the per-thread default stream: a
 * call is looked up by the name that CUPTI has for it, so every version and twin is found. Driver domain,
 * because nvcc 13's <<<>>> reaches the runtime as __cudaLaunchKernel, which tools that look for
 * cudaLaunchKernel miss (reference: "ten facts", 4). Callbacks of the synchronisation domain come on
 * completion only, so a hang is an entry without an exit. */
#pragma once

enum hl_api_kind {
    HL_API_LAUNCH,   /* of a kernel: the callback has its symbol name */
    HL_API_GRAPH,    /* of a graph */
    HL_API_SYNC,     /* waits for the device, by intention */
    HL_API_BLOCKING, /* may wait for the device, or for a lock of the driver */
    HL_API_CAPTURE_BEGIN,
    HL_API_CAPTURE_END
};

/* X(name, kind) */
#define HL_APIS(X) \
    X(cuLaunchKernel, HL_API_LAUNCH) \
    X(cuLaunchKernelEx, HL_API_LAUNCH) \
    X(cuLaunchCooperativeKernel, HL_API_LAUNCH) \
    X(cuGraphLaunch, HL_API_GRAPH) \
    X(cuStreamBeginCapture, HL_API_CAPTURE_BEGIN) \
    X(cuStreamBeginCaptureToGraph, HL_API_CAPTURE_BEGIN) \
    X(cuStreamEndCapture, HL_API_CAPTURE_END) \
    X(cuStreamSynchronize, HL_API_SYNC) \
    X(cuEventSynchronize, HL_API_SYNC) \
    X(cuCtxSynchronize, HL_API_SYNC) \
    X(cuMemcpyDtoH, HL_API_SYNC) \
    X(cuMemcpyHtoD, HL_API_SYNC) \
    X(cuMemcpy, HL_API_SYNC) \
    X(cuMemcpyDtoHAsync, HL_API_BLOCKING) \
    X(cuMemcpyHtoDAsync, HL_API_BLOCKING) \
    X(cuMemcpyAsync, HL_API_BLOCKING) \
    X(cuMemAlloc, HL_API_BLOCKING) \
    X(cuMemFree, HL_API_BLOCKING) \
    X(cuMemHostAlloc, HL_API_BLOCKING) \
    X(cuMemFreeHost, HL_API_BLOCKING) \
    X(cuModuleLoadData, HL_API_BLOCKING) \
    X(cuModuleLoadDataEx, HL_API_BLOCKING) \
    X(cuModuleUnload, HL_API_BLOCKING) \
    X(cuLibraryLoadData, HL_API_BLOCKING) \
    X(cuKernelGetFunction, HL_API_BLOCKING) \
    X(cuGraphInstantiateWithFlags, HL_API_BLOCKING) \
    X(cuGraphInstantiateWithParams, HL_API_BLOCKING) \
    X(cuGraphUpload, HL_API_BLOCKING) \
    X(cuGraphExecDestroy, HL_API_BLOCKING) \
    X(cuStreamDestroy, HL_API_BLOCKING) \
    X(cuCtxDestroy, HL_API_BLOCKING) \
    X(cuDevicePrimaryCtxRetain, HL_API_BLOCKING)

enum hl_api {
#define X(name, kind) HL_API_##name,
    HL_APIS(X)
#undef X
        HL_API_COUNT,
    HL_API_NONE = HL_API_COUNT
};

const char *hl_api_name(enum hl_api api);
enum hl_api_kind hl_api_kind(enum hl_api api);
/* From a name such as cuLaunchKernel_ptsz or cuMemAlloc_v2; HL_API_NONE: it is not watched. */
enum hl_api hl_api_of_name(const char *name);

/* The driver calls that libhanglab-calls.so stands in for, with what they say of themselves. */
#pragma once

/* X(name, suffix of its twin for the per-thread default stream, parameters, arguments, what goes into
 * struct hl_driver_call) */
#define HL_WRAPPED(X) \
    X(cuLaunchKernel, _ptsz, \
      (CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, \
       unsigned shared, CUstream stream, void **params, void **extra), \
      (f, gx, gy, gz, bx, by, bz, shared, stream, params, extra), .function = f, .stream = stream, \
      .grid = { gx, gy, gz }, .block = { bx, by, bz }, .params = params, .extra = extra) \
    X(cuLaunchCooperativeKernel, _ptsz, \
      (CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, \
       unsigned shared, CUstream stream, void **params), \
      (f, gx, gy, gz, bx, by, bz, shared, stream, params), .function = f, .stream = stream, \
      .grid = { gx, gy, gz }, .block = { bx, by, bz }, .params = params) \
    X(cuLaunchKernelEx, _ptsz, (const CUlaunchConfig *c, CUfunction f, void **params, void **extra), \
      (c, f, params, extra), .function = f, .stream = c->hStream, \
      .grid = { c->gridDimX, c->gridDimY, c->gridDimZ }, \
      .block = { c->blockDimX, c->blockDimY, c->blockDimZ }, .params = params, .extra = extra) \
    X(cuGraphLaunch, _ptsz, (CUgraphExec exec, CUstream stream), (exec, stream), .exec = exec, \
      .stream = stream) \
    X(cuStreamBeginCapture, _ptsz, (CUstream stream, CUstreamCaptureMode mode), (stream, mode), \
      .stream = stream) \
    X(cuStreamBeginCaptureToGraph, _ptsz, \
      (CUstream stream, CUgraph graph, const CUgraphNode *after, const CUgraphEdgeData *edges, size_t n, \
       CUstreamCaptureMode mode), \
      (stream, graph, after, edges, n, mode), .stream = stream) \
    X(cuStreamEndCapture, _ptsz, (CUstream stream, CUgraph * graph), (stream, graph), .stream = stream) \
    X(cuStreamSynchronize, _ptsz, (CUstream stream), (stream), .stream = stream) \
    X(cuEventSynchronize, _ptsz, (CUevent event), (event), ) \
    X(cuCtxSynchronize, _ptsz, (void), (), ) \
    X(cuCtxSynchronize_v2, _ptsz, (CUcontext context), (context), .context = context) \
    X(cuMemcpyDtoH, _ptds, (void *to, CUdeviceptr from, size_t n), (to, from, n), ) \
    X(cuMemcpyHtoD, _ptds, (CUdeviceptr to, const void *from, size_t n), (to, from, n), ) \
    X(cuMemcpy, _ptds, (CUdeviceptr to, CUdeviceptr from, size_t n), (to, from, n), ) \
    X(cuMemcpyDtoHAsync, _ptsz, (void *to, CUdeviceptr from, size_t n, CUstream stream), \
      (to, from, n, stream), .stream = stream) \
    X(cuMemcpyHtoDAsync, _ptsz, (CUdeviceptr to, const void *from, size_t n, CUstream stream), \
      (to, from, n, stream), .stream = stream) \
    X(cuMemcpyAsync, _ptsz, (CUdeviceptr to, CUdeviceptr from, size_t n, CUstream stream), \
      (to, from, n, stream), .stream = stream) \
    X(cuMemAlloc, _ptsz, (CUdeviceptr * to, size_t n), (to, n), ) \
    X(cuMemFree, _ptsz, (CUdeviceptr at), (at), ) \
    X(cuMemHostAlloc, _ptsz, (void **to, size_t n, unsigned flags), (to, n, flags), ) \
    X(cuMemFreeHost, _ptsz, (void *at), (at), ) \
    X(cuModuleLoadData, _ptsz, (CUmodule * module, const void *image), (module, image), ) \
    X(cuModuleUnload, _ptsz, (CUmodule module), (module), ) \
    X(cuKernelGetFunction, _ptsz, (CUfunction * f, CUkernel kernel), (f, kernel), ) \
    X(cuGraphInstantiateWithFlags, _ptsz, (CUgraphExec * exec, CUgraph graph, unsigned long long flags), \
      (exec, graph, flags), ) \
    X(cuGraphExecDestroy, _ptsz, (CUgraphExec exec), (exec), ) \
    X(cuStreamDestroy, _ptsz, (CUstream stream), (stream), .stream = stream) \
    X(cuCtxDestroy, _ptsz, (CUcontext context), (context), .context = context)

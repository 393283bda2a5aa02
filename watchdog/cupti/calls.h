/* The functions that the watcher takes from libcupti and libcuda. A list of its own, so that tests can make
 * libraries that have them. */
#pragma once

#define HL_CUPTI_CALLS(X) \
    X(cuptiGetVersion) \
    X(cuptiSubscribe_v2) \
    X(cuptiUnsubscribe) \
    X(cuptiEnableCallback) \
    X(cuptiGetCallbackName) \
    X(cuptiGetDeviceId) \
    X(cuptiGetGraphId) \
    X(cuptiGetGraphExecId) \
    X(cuptiGetGraphNodeId) \
    X(cuptiActivityRegisterCallbacks) \
    X(cuptiActivityEnable) \
    X(cuptiActivityFlushAll) \
    X(cuptiActivityGetNextRecord) \
    X(cuptiActivitySetAttribute) \
    X(cuptiGetResultString) \
    X(cuptiPCSamplingEnable) \
    X(cuptiPCSamplingGetData) \
    X(cuptiPCSamplingGetNumStallReasons) \
    X(cuptiPCSamplingSetConfigurationAttribute) \
    X(cuptiGetCubinCrc) \
    X(cuptiGetSassToSourceCorrelation)

/* What the watchdog asks of the driver itself, never from a thread of the program but in a callback. */
#define HL_WATCH_DRIVER_CALLS(X) \
    X(cuEventCreate) \
    X(cuEventRecord) \
    X(cuEventQuery) \
    X(cuCtxSetCurrent) \
    X(cuDeviceGetPCIBusId) \
    X(cuThreadExchangeStreamCaptureMode) \
    X(cuFuncGetParamInfo) \
    X(cuKernelGetParamInfo) \
    X(cuCtxGetStreamPriorityRange) \
    X(cuStreamCreateWithPriority) \
    X(cuMemHostAlloc) \
    X(cuMemcpyDtoHAsync) \
    X(cuPointerGetAttributes)

/* A libcupti that takes a subscriber and calls it when a test wants it. Ids of nodes and graphs are the
 * handles themselves. */
#include "stage.h"
#include <cupti_pcsampling.h>
#include <stdint.h>
#include "watchdog/cupti/calls.h"

#define PUBLIC __attribute__((visibility("default")))

static CUpti_CallbackFunc subscriber;

PUBLIC void hl_fake_callback(CUpti_CallbackDomain domain, CUpti_CallbackId id, const void *data);
void hl_fake_callback(CUpti_CallbackDomain domain, CUpti_CallbackId id, const void *data)
{
    if (subscriber)
        subscriber(NULL, domain, id, data);
}

PUBLIC CUptiResult cuptiSubscribe_v2(CUpti_SubscriberHandle *handle, CUpti_CallbackFunc callback, void *user,
                                     CUpti_SubscriberParams *params)
{
    (void)handle, (void)user, (void)params;
    subscriber = callback;
    return CUPTI_SUCCESS;
}
PUBLIC CUptiResult cuptiUnsubscribe(CUpti_SubscriberHandle handle)
{
    (void)handle;
    subscriber = NULL;
    return CUPTI_SUCCESS;
}
PUBLIC CUptiResult cuptiGetCallbackName(CUpti_CallbackDomain domain, uint32_t id, const char **name)
{
    (void)domain;
    *name = id == CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel             ? "cuLaunchKernel"
            : id == CUPTI_DRIVER_TRACE_CBID_cuGraphLaunch            ? "cuGraphLaunch"
            : id == CUPTI_DRIVER_TRACE_CBID_cuStreamSynchronize_ptsz ? "cuStreamSynchronize_ptsz"
            : id == CUPTI_DRIVER_TRACE_CBID_cuStreamBeginCapture_v2  ? "cuStreamBeginCapture_v2"
            : id == CUPTI_DRIVER_TRACE_CBID_cuStreamEndCapture       ? "cuStreamEndCapture"
                                                                     : NULL;
    return *name ? CUPTI_SUCCESS : CUPTI_ERROR_INVALID_PARAMETER;
}
PUBLIC CUptiResult cuptiGetGraphId(CUgraph graph, uint32_t *id)
{
    *id = (uint32_t)(uintptr_t)graph;
    return CUPTI_SUCCESS;
}
PUBLIC CUptiResult cuptiGetGraphExecId(CUgraphExec exec, uint32_t *id)
{
    *id = (uint32_t)(uintptr_t)exec;
    return CUPTI_SUCCESS;
}
PUBLIC CUptiResult cuptiGetGraphNodeId(CUgraphNode node, uint64_t *id)
{
    *id = (uintptr_t)node;
    return CUPTI_SUCCESS;
}

PUBLIC CUptiResult cuptiGetDeviceId(CUcontext context, uint32_t *device)
{
    (void)context;
    *device = 0;
    return CUPTI_SUCCESS;
}

/* The rest does nothing, well. */
#define NOTHING(name, ...) \
    PUBLIC CUptiResult name(__VA_ARGS__) { return CUPTI_SUCCESS; }
#pragma GCC diagnostic ignored "-Wunused-parameter"
NOTHING(cuptiGetVersion, uint32_t *version)
NOTHING(cuptiEnableCallback, uint32_t on, CUpti_SubscriberHandle handle, CUpti_CallbackDomain domain,
        CUpti_CallbackId id)
NOTHING(cuptiActivityRegisterCallbacks, CUpti_BuffersCallbackRequestFunc wanted,
        CUpti_BuffersCallbackCompleteFunc full)
NOTHING(cuptiActivityEnable, CUpti_ActivityKind kind)
NOTHING(cuptiActivityFlushAll, uint32_t flag)
NOTHING(cuptiActivityGetNextRecord, uint8_t *buffer, size_t valid, CUpti_Activity **record)
NOTHING(cuptiActivitySetAttribute, CUpti_ActivityAttribute attribute, size_t *size, void *value)
NOTHING(cuptiGetResultString, CUptiResult result, const char **text)
NOTHING(cuptiPCSamplingEnable, CUpti_PCSamplingEnableParams *params)
NOTHING(cuptiPCSamplingGetData, CUpti_PCSamplingGetDataParams *params)
NOTHING(cuptiPCSamplingGetNumStallReasons, CUpti_PCSamplingGetNumStallReasonsParams *params)
NOTHING(cuptiPCSamplingSetConfigurationAttribute, CUpti_PCSamplingConfigurationInfoParams *params)
NOTHING(cuptiGetCubinCrc, CUpti_GetCubinCrcParams *params)
NOTHING(cuptiGetSassToSourceCorrelation, CUpti_GetSassToSourceCorrelationParams *params)

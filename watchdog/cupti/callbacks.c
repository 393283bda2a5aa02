/* CUPTI's callbacks: driver calls, and resources that become graphs, nodes and modules of the page. */
#include "inside.h"
#include <stdio.h>
#include <string.h>

#define CBIDS 2048                 /* CUPTI of CUDA 13.0 has 814; later ones have more */
static uint8_t api_of_cbid[CBIDS]; /* enum hl_api + 1; 0: not watched */
static bool is_per_thread[CBIDS];  /* its stream 0 is the thread's own */

/*
 * Driver calls
 */

/* Pointers of a callback are not kept. */
static void read_params(const void *params, struct hl_driver_call *call)
{
    if (call->api == HL_API_cuGraphLaunch) {
        const cuGraphLaunch_params *p = params;
        call->exec = p->hGraph;
        call->stream = p->hStream;
    } else if (call->api == HL_API_cuLaunchKernelEx) {
        const cuLaunchKernelEx_params *p = params;
        const CUlaunchConfig *c = p->config;
        call->function = p->f;
        call->stream = c->hStream;
        call->params = p->kernelParams;
        call->extra = p->extra;
        memcpy(call->grid, (uint32_t[]){ c->gridDimX, c->gridDimY, c->gridDimZ }, sizeof call->grid);
        memcpy(call->block, (uint32_t[]){ c->blockDimX, c->blockDimY, c->blockDimZ }, sizeof call->block);
    } else if (hl_api_kind(call->api) == HL_API_LAUNCH) {
        /* cuLaunchCooperativeKernel's begin alike, up to `extra`, which they lack. */
        const cuLaunchKernel_params *p = params;
        call->function = p->f;
        call->stream = p->hStream;
        call->params = p->kernelParams;
        call->extra = call->api == HL_API_cuLaunchKernel ? p->extra : NULL;
        memcpy(call->grid, (uint32_t[]){ p->gridDimX, p->gridDimY, p->gridDimZ }, sizeof call->grid);
        memcpy(call->block, (uint32_t[]){ p->blockDimX, p->blockDimY, p->blockDimZ }, sizeof call->block);
    } else if (call->api == HL_API_cuStreamSynchronize) {
        call->stream = ((const cuStreamSynchronize_params *)params)->hStream;
    }
}

static void on_driver_call(enum hl_api api, CUpti_CallbackId id, const CUpti_CallbackData *data)
{
    struct hl_driver_call call = {
        .api = api, .context = data->context, .kernel = data->symbolName, .correlation = data->correlationId
    };
    read_params(data->functionParams, &call);
    if (hl_api_kind(api) != HL_API_LAUNCH)
        call.kernel = NULL;
    if (call.stream == NULL && is_per_thread[id])
        call.stream = CU_STREAM_PER_THREAD;
    if (data->callbackSite == CUPTI_API_ENTER)
        hl_driver_call_enter(&call);
    else
        hl_driver_call_exit(&call, !data->functionReturnValue ||
                                       *(CUresult *)data->functionReturnValue == CUDA_SUCCESS);
}

/*
 * Resources
 */

static void on_graph(CUpti_CallbackIdResource id, const CUpti_GraphData *data)
{
    struct hl_page *page = hl_watcher.page;
    struct hl_cupti *cupti = &hl_watcher.cupti;
    uint32_t graph = 0;
    uint64_t node = 0, original = 0;
    if (id == CUPTI_CBID_RESOURCE_GRAPHEXEC_DESTROY_STARTING) {
        hl_page_exec_over(page, (uint64_t)(uintptr_t)data->graphExec);
        return;
    }
    if (id == CUPTI_CBID_RESOURCE_GRAPHEXEC_CREATED) {
        /* data->graph is the one it was made from; its own copy has the number that records have. */
        cupti->cuptiGetGraphExecId(data->graphExec, &graph);
        hl_page_exec_made(page, (uint64_t)(uintptr_t)data->graphExec, graph);
        return;
    }
    cupti->cuptiGetGraphId(data->graph, &graph);
    cupti->cuptiGetGraphNodeId(data->node, &node);
    if (id == CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED) {
        hl_page_node(page, graph, node, (uint32_t)data->nodeType, hl_driver_calls_thread());
        return;
    }
    cupti->cuptiGetGraphNodeId(data->originalNode, &original);
    hl_page_node_clone(page, graph, node, original, (uint32_t)data->nodeType);
}

static void on_resource(CUpti_CallbackIdResource id, const CUpti_ResourceData *data)
{
    const CUpti_ModuleResourceData *module = data->resourceDescriptor;
    switch (id) {
    case CUPTI_CBID_RESOURCE_CONTEXT_CREATED: hl_sampling_context(data->context); break;
    case CUPTI_CBID_RESOURCE_CONTEXT_DESTROY_STARTING:
        hl_sampling_forget(data->context);
        hl_events_forget_context(data->context);
        hl_reader_forget(data->context);
        hl_page_context_over(hl_watcher.page, (uint64_t)(uintptr_t)data->context);
        break;
    case CUPTI_CBID_RESOURCE_STREAM_DESTROY_STARTING:
        hl_events_forget(data->context, (uint64_t)(uintptr_t)data->resourceHandle.stream);
        break;
    case CUPTI_CBID_RESOURCE_MODULE_LOADED: hl_sampling_module(module->pCubin, module->cubinSize); break;
    default: on_graph(id, data->resourceDescriptor); break;
    }
}

/* CUPTI has given up, and will not say when the calls that are under way now come back. */
static void on_end(const CUpti_StateData *data)
{
    const char *message = data->notification.message;
    hl_watcher_lacks(message ? message : "CUPTI has ended itself", data->notification.result);
    atomic_store(&hl_watcher.page->state, HL_PAGE_BLIND);
}

static void CUPTIAPI on_callback(void *user, CUpti_CallbackDomain domain, CUpti_CallbackId id,
                                 const void *data)
{
    (void)user;
    if (domain == CUPTI_CB_DOMAIN_STATE)
        on_end(data);
    if (hl_watcher_inside || domain == CUPTI_CB_DOMAIN_STATE)
        return;
    hl_watcher_inside = true; /* what this thread does from here on is the watchdog's own */
    if (domain == CUPTI_CB_DOMAIN_RESOURCE) {
        on_resource((CUpti_CallbackIdResource)id, data);
    } else if (id < CBIDS && api_of_cbid[id]) {
        on_driver_call((enum hl_api)(api_of_cbid[id] - 1), id, data);
    }
    hl_watcher_inside = false;
}

/*
 * Subscribing
 */

static bool subscribe(void)
{
    char holder[128] = "";
    CUpti_SubscriberParams params = { .structSize = sizeof params,
                                      .subscriberName = "hanglab",
                                      .oldSubscriberName = holder,
                                      .oldSubscriberSize = sizeof holder };
    struct hl_page *page = hl_watcher.page;
    const CUptiResult result = hl_watcher.cupti.cuptiSubscribe_v2(
        &hl_watcher.subscriber, (CUpti_CallbackFunc)on_callback, NULL, &params);
    if (result == CUPTI_SUCCESS)
        return true;
    if (result == CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED)
        snprintf(page->why, sizeof page->why,
                 "CUPTI's one subscriber is already there%s%s: end that tool (a profiler, a debugger) to be "
                 "watched",
                 holder[0] ? ": " : "", holder);
    else
        hl_watcher_lacks("cuptiSubscribe", result);
    return false;
}

static void enable_apis(void)
{
    struct hl_cupti *cupti = &hl_watcher.cupti;
    for (uint32_t cbid = 1; cbid < CBIDS; cbid++) {
        const char *name;
        if (cupti->cuptiGetCallbackName(CUPTI_CB_DOMAIN_DRIVER_API, cbid, &name) != CUPTI_SUCCESS || !name)
            continue;
        const enum hl_api api = hl_api_of_name(name);
        if (api == HL_API_NONE)
            continue;
        api_of_cbid[cbid] = (uint8_t)(api + 1);
        is_per_thread[cbid] = strstr(name, "_ptsz") || strstr(name, "_ptds");
        cupti->cuptiEnableCallback(1, hl_watcher.subscriber, CUPTI_CB_DOMAIN_DRIVER_API, cbid);
    }
}

static void enable_resources(void)
{
    static const CUpti_CallbackIdResource ids[] = {
        CUPTI_CBID_RESOURCE_CONTEXT_CREATED,
        CUPTI_CBID_RESOURCE_CONTEXT_DESTROY_STARTING,
        CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED,
        CUPTI_CBID_RESOURCE_GRAPHNODE_CLONED,
        CUPTI_CBID_RESOURCE_GRAPHEXEC_CREATED,
        CUPTI_CBID_RESOURCE_GRAPHEXEC_DESTROY_STARTING,
        CUPTI_CBID_RESOURCE_STREAM_DESTROY_STARTING,
        CUPTI_CBID_RESOURCE_MODULE_LOADED /* last: wanted for PC samples only */
    };
    const size_t n = sizeof ids / sizeof ids[0] - (hl_watcher.page->detail != HL_PAGE_PC);
    for (size_t i = 0; i < n; i++)
        hl_watcher.cupti.cuptiEnableCallback(1, hl_watcher.subscriber, CUPTI_CB_DOMAIN_RESOURCE, ids[i]);
    hl_watcher.cupti.cuptiEnableCallback(1, hl_watcher.subscriber, CUPTI_CB_DOMAIN_STATE,
                                         CUPTI_CBID_STATE_FATAL_ERROR);
}

bool hl_callbacks_start(void)
{
    if (!subscribe())
        return false;
    enable_apis();
    enable_resources();
    return true;
}

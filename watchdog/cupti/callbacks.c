/* Callbacks: driver calls become in-flight entries and launches, resources become graphs, nodes and modules.
 */
#include "inside.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CBIDS 2048                 /* CUPTI of CUDA 13.0 has 814; later ones have more */
static uint8_t api_of_cbid[CBIDS]; /* enum hl_api + 1; 0: not watched */
static bool is_per_thread[CBIDS];  /* its stream 0 is the thread's own */
static pthread_key_t thread_key;
static _Thread_local uint32_t own_thread; /* its slot + 1 */

static void thread_over(void *slot) { hl_page_thread_over(hl_watcher.page, (uint32_t)(uintptr_t)slot - 1); }

static uint32_t current_thread(void)
{
    if (own_thread == 0) {
        own_thread = hl_page_thread(hl_watcher.page, (uint32_t)syscall(SYS_gettid)) + 1;
        pthread_setspecific(thread_key, (void *)(uintptr_t)own_thread);
    }
    return own_thread - 1;
}

/*
 * Driver calls
 */

/* What a launch says of itself. Pointers of a callback are not kept. */
struct launch {
    CUfunction function;
    CUgraphExec exec;
    CUstream stream;
    uint32_t grid[3], block[3];
    void *const *params, *const *extra; /* its arguments, one way or the other */
};

static struct launch read_params(enum hl_api api, const void *params)
{
    if (api == HL_API_cuGraphLaunch) {
        const cuGraphLaunch_params *p = params;
        return (struct launch){ .exec = p->hGraph, .stream = p->hStream };
    }
    if (api == HL_API_cuLaunchKernelEx) {
        const cuLaunchKernelEx_params *p = params;
        const CUlaunchConfig *c = p->config;
        return (struct launch){ .function = p->f,
                                .stream = c->hStream,
                                .grid = { c->gridDimX, c->gridDimY, c->gridDimZ },
                                .block = { c->blockDimX, c->blockDimY, c->blockDimZ },
                                .params = p->kernelParams,
                                .extra = p->extra };
    }
    /* cuLaunchCooperativeKernel's begin alike, up to `extra`, which they lack. */
    const cuLaunchKernel_params *p = params;
    return (struct launch){ .function = p->f,
                            .stream = p->hStream,
                            .grid = { p->gridDimX, p->gridDimY, p->gridDimZ },
                            .block = { p->blockDimX, p->blockDimY, p->blockDimZ },
                            .params = p->kernelParams,
                            .extra = api == HL_API_cuLaunchKernel ? p->extra : NULL };
}

static struct launch read_launch(enum hl_api api, CUpti_CallbackId id, const void *params)
{
    struct launch launch = read_params(api, params);
    if (launch.stream == NULL && is_per_thread[id])
        launch.stream = CU_STREAM_PER_THREAD;
    return launch;
}

/* Every thread has a per-thread default stream of its own, under one name. */
static uint64_t handle_of(CUstream stream)
{
    const uint64_t handle = (uint64_t)(uintptr_t)stream;
    return stream == CU_STREAM_PER_THREAD ? handle | (uint64_t)syscall(SYS_gettid) << 32 : handle;
}

static bool is_launch(enum hl_api api)
{
    return hl_api_kind(api) == HL_API_LAUNCH || hl_api_kind(api) == HL_API_GRAPH;
}

/* Both name a context that need not be the thread's. */
static bool is_of_current_context(enum hl_api api)
{
    return api != HL_API_cuDevicePrimaryCtxRetain && api != HL_API_cuCtxDestroy;
}

static void on_enter(enum hl_api api, CUpti_CallbackId id, const CUpti_CallbackData *data)
{
    struct hl_page *page = hl_watcher.page;
    uint64_t stream = 0, params = 0;
    uint32_t kernel = HL_PAGE_NONE;
    if (is_of_current_context(api))
        hl_reader_prepare(data->context);
    if (is_launch(api)) {
        const struct launch launch = read_launch(api, id, data->functionParams);
        stream = (uint64_t)(uintptr_t)launch.stream;
        if (data->symbolName)
            kernel = hl_page_kernel(page, (uint64_t)(uintptr_t)launch.function, data->symbolName);
        if (kernel != HL_PAGE_NONE && page->kernels[kernel].known)
            params = hl_params_of(kernel, data->context, launch.function, launch.grid, launch.params,
                                  launch.extra);
    } else if (api == HL_API_cuStreamSynchronize) {
        stream = (uint64_t)(uintptr_t)((const cuStreamSynchronize_params *)data->functionParams)->hStream;
    }
    hl_page_enter(page, current_thread(), api, stream, kernel, hl_now_ns());
    if (params)
        hl_page_with(page, current_thread(), params);
    if (hl_api_kind(api) == HL_API_SYNC)
        hl_events_mark_all(data->context);
    if (hl_api_kind(api) == HL_API_CAPTURE_BEGIN)
        hl_events_capture(true);
}

/* The precise clock is more than half of what a callback costs, so it is read when a launch is entered; the
 * coarse one, a few milliseconds late, tells whether that was long ago, for a launch can wait for room in its
 * queue or load a module. */
static uint64_t time_of_launch(const struct hl_page_thread *thread)
{
    struct timespec coarse;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &coarse);
    const uint64_t left_ns = (uint64_t)coarse.tv_sec * 1000000000u + (uint64_t)coarse.tv_nsec;
    const uint64_t entered_ns = atomic_load(&thread->since_ns);
    return left_ns > entered_ns ? left_ns : entered_ns;
}

static void on_launched(enum hl_api api, CUpti_CallbackId id, const CUpti_CallbackData *data,
                        const struct hl_page_thread *thread)
{
    struct hl_page *page = hl_watcher.page;
    const struct launch from = read_launch(api, id, data->functionParams);
    const uint64_t now_ns = time_of_launch(thread);
    const uint32_t stream =
        hl_page_stream(page, (uint64_t)(uintptr_t)data->context, handle_of(from.stream), now_ns);
    if (stream == HL_PAGE_NONE)
        return;
    struct hl_page_launch launch = { .at_ns = now_ns,
                                     .correlation = data->correlationId,
                                     .kernel = thread->kernel,
                                     .exec = HL_PAGE_NONE,
                                     .tid = atomic_load(&thread->tid),
                                     .params = thread->params };
    if (from.exec)
        launch.exec = hl_page_exec(page, (uint64_t)(uintptr_t)from.exec);
    memcpy(launch.grid, from.grid, sizeof launch.grid);
    memcpy(launch.block, from.block, sizeof launch.block);
    hl_page_launch(page, stream, &launch);
    hl_events_mark(stream, from.exec != NULL);
}

static void on_exit_of(enum hl_api api, CUpti_CallbackId id, const CUpti_CallbackData *data)
{
    struct hl_page *page = hl_watcher.page;
    const uint32_t slot = current_thread();
    const bool done = !data->functionReturnValue || *(CUresult *)data->functionReturnValue == CUDA_SUCCESS;
    if (slot != HL_PAGE_NONE && is_launch(api) && done && !page->threads[slot].recorded)
        on_launched(api, id, data, &page->threads[slot]);
    if (hl_api_kind(api) == HL_API_SYNC && done)
        hl_events_after_sync(data->context);
    if (hl_api_kind(api) == HL_API_CAPTURE_END || (hl_api_kind(api) == HL_API_CAPTURE_BEGIN && !done))
        hl_events_capture(false);
    hl_page_exit(page, slot);
    if (!is_launch(api) && is_of_current_context(api))
        hl_reader_prepare(data->context);
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
        hl_page_node(page, graph, node, (uint32_t)data->nodeType, current_thread());
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

static void CUPTIAPI on_callback(void *user, CUpti_CallbackDomain domain, CUpti_CallbackId id,
                                 const void *data)
{
    (void)user;
    if (hl_watcher_inside)
        return;
    hl_watcher_inside = true; /* what this thread does from here on is the watchdog's own */
    if (domain == CUPTI_CB_DOMAIN_RESOURCE) {
        on_resource((CUpti_CallbackIdResource)id, data);
    } else if (id < CBIDS && api_of_cbid[id]) {
        const CUpti_CallbackData *call = data;
        const enum hl_api api = (enum hl_api)(api_of_cbid[id] - 1);
        if (call->callbackSite == CUPTI_API_ENTER)
            on_enter(api, id, call);
        else
            on_exit_of(api, id, call);
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
}

bool hl_callbacks_start(void)
{
    if (pthread_key_create(&thread_key, thread_over) != 0 || !subscribe())
        return false;
    enable_apis();
    enable_resources();
    return true;
}

/* A CUDA program, as libhanglab-watch.so would hear of it from CUPTI, on stand-ins for the libraries. It
 * launches kernels that end, captures a graph (which runs nothing), and launches it: that one never ends.
 *
 *   fake_program [samples|given-up]  makes a context, and ends a second later; or CUPTI gives up before a
 *                                    kernel that does not end */
#include "stage.h"
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONTEXT ((CUcontext)0x1000)
#define STREAM ((CUstream)0x2000)

static hl_fake_callback_fn callback;
static _Atomic uint64_t *launches, *ended;

static void *look_up(const char *library, const char *name)
{
    void *handle = dlopen(library, RTLD_NOW), *symbol = handle ? dlsym(handle, name) : NULL;
    if (symbol)
        return symbol;
    fprintf(stderr, "%s: %s\n", name, dlerror());
    exit(90);
}

/* A driver call: its entry, and its exit unless it does not return. */
static void call(CUpti_ApiCallbackSite site, CUpti_CallbackId id, const void *params, const char *symbol)
{
    CUresult result = CUDA_SUCCESS;
    CUpti_CallbackData data = { .callbackSite = site,
                                .functionParams = params,
                                .functionReturnValue = &result,
                                .symbolName = symbol,
                                .context = CONTEXT };
    callback(CUPTI_CB_DOMAIN_DRIVER_API, id, &data);
}

static void make_node(CUpti_CallbackId id, uintptr_t graph, uintptr_t node, uintptr_t original)
{
    CUpti_GraphData graph_data = { .graph = (CUgraph)graph,
                                   .node = (CUgraphNode)node,
                                   .originalNode = (CUgraphNode)original,
                                   .graphExec = (CUgraphExec)graph };
    const CUpti_ResourceData data = { .context = CONTEXT, .resourceDescriptor = &graph_data };
    callback(CUPTI_CB_DOMAIN_RESOURCE, id, &data);
}

static void launch(const char *symbol, uintptr_t node)
{
    const cuLaunchKernel_params params = { .f = (CUfunction)(uintptr_t)symbol,
                                           .gridDimX = 3,
                                           .hStream = STREAM };
    const CUpti_CallbackId id = CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel;
    call(CUPTI_API_ENTER, id, &params, symbol);
    if (node)
        make_node(CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED, 1, node, 0);
    else
        atomic_fetch_add(launches, 1);
    call(CUPTI_API_EXIT, id, &params, symbol);
}

static void capture(void)
{
    const cuStreamBeginCapture_v2_params begin = { .hStream = STREAM };
    const cuStreamEndCapture_params end = { .hStream = STREAM };
    call(CUPTI_API_ENTER, CUPTI_DRIVER_TRACE_CBID_cuStreamBeginCapture_v2, &begin, NULL);
    call(CUPTI_API_EXIT, CUPTI_DRIVER_TRACE_CBID_cuStreamBeginCapture_v2, &begin, NULL);
    launch("_Z13wait_in_graphPVi", 0x101);
    call(CUPTI_API_ENTER, CUPTI_DRIVER_TRACE_CBID_cuStreamEndCapture, &end, NULL);
    call(CUPTI_API_EXIT, CUPTI_DRIVER_TRACE_CBID_cuStreamEndCapture, &end, NULL);
    make_node(CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED, 2, 0x201, 0);
    make_node(CUPTI_CBID_RESOURCE_GRAPHNODE_CLONED, 2, 0x201, 0x101);
    make_node(CUPTI_CBID_RESOURCE_GRAPHEXEC_CREATED, 2, 0, 0);
}

static void make_context(void)
{
    const CUpti_ResourceData data = { .context = CONTEXT };
    callback(CUPTI_CB_DOMAIN_RESOURCE, CUPTI_CBID_RESOURCE_CONTEXT_CREATED, &data);
}

static void give_up(void)
{
    const CUpti_StateData data = { .notification = { CUPTI_ERROR_UNKNOWN, "the sampler broke" } };
    callback(CUPTI_CB_DOMAIN_STATE, CUPTI_CBID_STATE_FATAL_ERROR, &data);
}

int main(int argc, char **argv)
{
    int (*initialise)(void) = look_up(getenv("CUDA_INJECTION64_PATH"), "InitializeInjection");
    launches = look_up("libcuda.so.1", "hl_fake_launches");
    ended = look_up("libcuda.so.1", "hl_fake_ended");
    callback = look_up("libcupti.so.13", HL_FAKE_CALLBACK);
    initialise();
    for (int i = 0; i < 100; i++)
        launch("work", 0);
    atomic_store(ended, 100);
    if (argc > 1) {
        if (strcmp(argv[1], "samples") == 0)
            make_context();
        else
            give_up();
        launch("work", 0);
        sleep(1);
        return 0;
    }
    capture();
    usleep(100000);
    const cuGraphLaunch_params graph = { .hGraph = (CUgraphExec)2, .hStream = STREAM };
    call(CUPTI_API_ENTER, CUPTI_DRIVER_TRACE_CBID_cuGraphLaunch, &graph, NULL);
    atomic_fetch_add(launches, 1);
    call(CUPTI_API_EXIT, CUPTI_DRIVER_TRACE_CBID_cuGraphLaunch, &graph, NULL);
    const cuStreamSynchronize_params sync = { .hStream = STREAM };
    call(CUPTI_API_ENTER, CUPTI_DRIVER_TRACE_CBID_cuStreamSynchronize_ptsz, &sync, NULL);
    sleep(10);
    return 0;
}

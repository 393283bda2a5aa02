/* Rank 0 of 2 in FlashInfer's trtllm one-shot, as libhanglab-watch.so would hear of it and find it in memory:
 * rank 1 sends nothing. With "bad" its table of addresses leads nowhere, with "new" its arguments are of a
 * size that no release has. */
#include "stage.h"
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tests/flashinfer_arguments.h"

#define CONTEXT ((CUcontext)0x1000)
#define STREAM ((CUstream)0x2000)
#define ROW (HIDDEN / 2)
#define BUFFER_WORDS (2 * TOKENS * ROW)

static hl_fake_callback_fn callback;
static uint32_t flags[5] = { TOKENS, 0, 0, BUFFER_WORDS * 4, 0 }, barrier[2 * 256], buffers[3 * BUFFER_WORDS];
static uint64_t table[7];

static void *look_up(const char *library, const char *name)
{
    void *handle = dlopen(library, RTLD_NOW), *symbol = handle ? dlsym(handle, name) : NULL;
    if (symbol)
        return symbol;
    fprintf(stderr, "%s: %s\n", name, dlerror());
    exit(90);
}

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

/* Its own rows have come, the other rank's have not. */
static void fill_memory(void)
{
    for (uint32_t i = 0; i < 3 * BUFFER_WORDS; i++)
        buffers[i] = i < TOKENS * ROW ? 0x3f803f80u : 0x80008000u;
    const uint64_t addresses[7] = {
        0, 0, (uintptr_t)barrier, (uintptr_t)barrier, (uintptr_t)buffers, (uintptr_t)buffers, (uintptr_t)flags
    };
    memcpy(table, addresses, sizeof table);
}

int main(int argc, char **argv)
{
    const char *how = argc > 1 ? argv[1] : "";
    int (*initialise)(void) = look_up(getenv("CUDA_INJECTION64_PATH"), "InitializeInjection");
    callback = look_up("libcupti.so.13", HL_FAKE_CALLBACK);
    struct trtllm_params argument = trtllm_params(2, 0);
    *(size_t *)look_up("libcuda.so.1", "hl_fake_param_bytes") =
        strcmp(how, "new") == 0 ? 152 : sizeof argument;
    fill_memory();
    argument.workspace = strcmp(how, "bad") == 0 ? 0x10 : (uintptr_t)table;
    initialise();
    void *arguments[] = { (uint8_t[160]){ 0 } };
    memcpy(arguments[0], &argument, sizeof argument);
    const cuLaunchKernel_params launch = { .f = (CUfunction)0x3000,
                                           .gridDimX = TOKENS,
                                           .gridDimY = 1,
                                           .gridDimZ = 1,
                                           .hStream = STREAM,
                                           .kernelParams = arguments };
    call(CUPTI_API_ENTER, CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel, &launch, TRTLLM_ONESHOT);
    atomic_fetch_add((_Atomic uint64_t *)look_up("libcuda.so.1", "hl_fake_launches"), 1);
    call(CUPTI_API_EXIT, CUPTI_DRIVER_TRACE_CBID_cuLaunchKernel, &launch, TRTLLM_ONESHOT);
    memset(arguments[0], 0xff, 160); /* they are the caller's again */
    const cuStreamSynchronize_params sync = { .hStream = STREAM };
    call(CUPTI_API_ENTER, CUPTI_DRIVER_TRACE_CBID_cuStreamSynchronize_ptsz, &sync, NULL);
    sleep(10);
    return 0;
}

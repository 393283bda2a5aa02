/* libhanglab-calls.so: driver calls watched without CUPTI, beside which the driver dumps no GPU.
 *
 * Loaded by LD_PRELOAD, so its cuLaunchKernel and the others come before the driver's. Most programs do not
 * link the driver but ask for it: by dlsym(), and then by cuGetProcAddress(), as the CUDA runtime does. What
 * they ask for is looked up in the driver as ever, and if it is one of ours, they get ours instead. Programs
 * that never use CUDA are not touched. */
#include <dlfcn.h>
#include <stdatomic.h>
#include <string.h>
#include "../cupti/inside.h"
#include "inject.h"
#include "wrapped.h"

#define PUBLIC __attribute__((visibility("default")))

typedef void *dlsym_fn(void *, const char *);
#undef cuGetProcAddress /* the first version has its own name again */
PUBLIC CUresult cuGetProcAddress(const char *symbol, void **ret_pfn, int version, cuuint64_t flags);

#define HL_API_cuCtxSynchronize_v2 HL_API_cuCtxSynchronize

/* The driver's own, beside the wrappers. */
#define DECLARE(symbol, twin, parameters) \
    static CUresult(*real_##symbol) parameters, (*real_##twin)parameters; \
    PUBLIC CUresult symbol parameters; \
    PUBLIC CUresult twin parameters;
#define NAME_TWIN_(symbol, suffix) symbol##suffix
#define NAME_TWIN(symbol, suffix) NAME_TWIN_(symbol, suffix)
#define DECLARE_(symbol, twin, parameters) DECLARE(symbol, twin, parameters)
#define X(name, suffix, parameters, arguments, ...) DECLARE_(name, NAME_TWIN(name, suffix), parameters)
HL_WRAPPED(X)
#undef X
static __typeof__(cuInit) *real_cuInit;
static __typeof__(cuGetProcAddress) *real_cuGetProcAddress;
static __typeof__(cuGetProcAddress_v2) *real_cuGetProcAddress_v2;
static __typeof__(cuCtxGetCurrent) *get_context;
static __typeof__(cuFuncGetName) *get_name;
static __typeof__(cuKernelGetName) *get_kernel_name;
static __typeof__(cuStreamIsCapturing) *is_capturing;

/*
 * Whom a name means
 */

static const struct {
    const char *name;
    void *ours, *real; /* `real`: where the driver's is kept */
} table[] = {
#define ENTRY(symbol) { #symbol, (void *)(uintptr_t)symbol, &real_##symbol },
#define ENTRIES(symbol, twin) ENTRY(symbol) ENTRY(twin)
#define X(name, suffix, parameters, arguments, ...) ENTRIES(name, NAME_TWIN(name, suffix))
    HL_WRAPPED(X)
#undef X
        ENTRY(cuInit) ENTRY(cuGetProcAddress) ENTRY(cuGetProcAddress_v2)
    /* Asked for by name alone. */
    { "cuCtxGetCurrent", NULL, &get_context },
    { "cuFuncGetName", NULL, &get_name },
    { "cuKernelGetName", NULL, &get_kernel_name },
    { "cuStreamIsCapturing", NULL, &is_capturing },
};
#define ENTRIES_N (sizeof table / sizeof table[0])

static dlsym_fn *real_dlsym(void)
{
    static dlsym_fn *_Atomic found;
    static const char *const versions[] = { "GLIBC_2.34", "GLIBC_2.17", "GLIBC_2.2.5" };
    dlsym_fn *real = atomic_load(&found);
    for (size_t i = 0; i < sizeof versions / sizeof versions[0] && !real; i++) {
        void *symbol = dlvsym(RTLD_NEXT, "dlsym", versions[i]);
        memcpy(&real, &symbol, sizeof real);
    }
    atomic_store(&found, real);
    return real;
}

/* Looks all names up, once there is a driver in the process. Two threads at it find the same. */
static bool resolve(void)
{
    static _Atomic bool resolved;
    if (atomic_load(&resolved))
        return true;
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    if (!driver)
        return false;
    for (size_t i = 0; i < ENTRIES_N; i++) {
        void *symbol = real_dlsym()(driver, table[i].name);
        memcpy(table[i].real, &symbol, sizeof symbol);
    }
    atomic_store(&resolved, true);
    return true;
}

static void *ours_for(void *symbol)
{
    void *real;
    for (size_t i = 0; symbol && resolve() && i < ENTRIES_N; i++) {
        memcpy(&real, table[i].real, sizeof real);
        if (table[i].ours && real == symbol)
            return table[i].ours;
    }
    return symbol;
}

/* The last call is a jump, by -foptimize-sibling-calls: RTLD_NEXT means what comes behind the caller, whom
 * the C library knows by its return address. */
PUBLIC __attribute__((optimize("O2"))) void *dlsym(void *restrict handle, const char *restrict name)
{
    dlsym_fn *real = real_dlsym();
    if (handle != RTLD_NEXT && name[0] == 'c' && name[1] == 'u')
        return ours_for(real(handle, name));
    return real(handle, name);
}

CUresult cuGetProcAddress(const char *symbol, void **ret_pfn, int version, cuuint64_t flags)
{
    if (!resolve() || !real_cuGetProcAddress)
        return CUDA_ERROR_NOT_FOUND;
    const CUresult result = real_cuGetProcAddress(symbol, ret_pfn, version, flags);
    if (result == CUDA_SUCCESS)
        *ret_pfn = ours_for(*ret_pfn);
    return result;
}

PUBLIC CUresult cuGetProcAddress_v2(const char *symbol, void **ret_pfn, int version, cuuint64_t flags,
                                    CUdriverProcAddressQueryResult *ret_status)
{
    if (!resolve() || !real_cuGetProcAddress_v2)
        return CUDA_ERROR_NOT_FOUND;
    const CUresult result = real_cuGetProcAddress_v2(symbol, ret_pfn, version, flags, ret_status);
    if (result == CUDA_SUCCESS)
        *ret_pfn = ours_for(*ret_pfn);
    return result;
}

/*
 * What a call says
 */

/* The watcher starts when the driver has: as CUDA_INJECTION64_PATH would have it. */
PUBLIC CUresult cuInit(unsigned flags)
{
    if (!resolve() || !real_cuInit)
        return CUDA_ERROR_NOT_FOUND;
    const CUresult result = real_cuInit(flags);
    static atomic_flag started = ATOMIC_FLAG_INIT;
    if (result == CUDA_SUCCESS && !atomic_flag_test_and_set(&started))
        hl_watch_this_process();
    return result;
}

static bool is_watched(void)
{
    return !hl_watcher_inside && hl_watcher.page && atomic_load(&hl_watcher.page->state) == HL_PAGE_WATCHING;
}

/* A kernel of a library has a handle of another kind, which drivers take for a function's, too. A program
 * uses one kind or the other, and asking for the wrong one is dear. */
static const char *name_of(CUfunction function)
{
    static _Atomic bool kernels;
    const char *name = NULL;
    for (int tried = 0; tried < 2; tried++) {
        const bool as_kernel = atomic_load(&kernels) != (tried > 0);
        const CUresult result =
            as_kernel ? get_kernel_name(&name, (CUkernel)(void *)function) : get_name(&name, function);
        if (result != CUDA_SUCCESS)
            continue;
        if (tried > 0)
            atomic_store(&kernels, as_kernel);
        return name;
    }
    return NULL;
}

static bool is_recorded(CUstream stream)
{
    CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
    return atomic_load(&hl_watcher.page->capturing) && is_capturing &&
           is_capturing(stream, &status) == CUDA_SUCCESS && status != CU_STREAM_CAPTURE_STATUS_NONE;
}

static bool enter(struct hl_driver_call *call, bool per_thread)
{
    if (!is_watched())
        return false;
    hl_watcher_inside = true; /* what the driver calls in its turn is not the program's */
    if (!call->stream && per_thread)
        call->stream = CU_STREAM_PER_THREAD;
    if (call->api == HL_API_cuCtxDestroy) {
        hl_events_forget_context(call->context);
        hl_reader_forget(call->context);
    }
    if (!call->context && get_context)
        get_context(&call->context);
    if (call->api == HL_API_cuStreamDestroy)
        hl_events_forget(call->context, (uint64_t)(uintptr_t)call->stream);
    if (call->function && get_name && get_kernel_name)
        call->kernel = name_of(call->function);
    const bool recorded = (call->function || call->exec) && is_recorded(call->stream);
    hl_driver_call_enter(call);
    const uint32_t thread = hl_driver_calls_thread();
    if (recorded && thread != HL_PAGE_NONE)
        hl_watcher.page->threads[thread].recorded = true;
    hl_watcher_inside = false;
    return true;
}

static void leave(const struct hl_driver_call *call, CUresult result)
{
    hl_watcher_inside = true;
    hl_driver_call_exit(call, result == CUDA_SUCCESS);
    hl_watcher_inside = false;
}

#define DEFINE(symbol, id, per_thread, parameters, arguments, ...) \
    CUresult symbol parameters \
    { \
        struct hl_driver_call call = { .api = id, __VA_ARGS__ }; \
        if (!resolve() || !real_##symbol) \
            return CUDA_ERROR_NOT_FOUND; \
        const bool watched = enter(&call, per_thread); \
        const CUresult result = real_##symbol arguments; \
        if (watched) \
            leave(&call, result); \
        return result; \
    }
#define DEFINE_(symbol, ...) DEFINE(symbol, __VA_ARGS__)
#define X(name, suffix, parameters, arguments, ...) \
    DEFINE_(name, HL_API_##name, false, parameters, arguments, __VA_ARGS__) \
    DEFINE_(NAME_TWIN(name, suffix), HL_API_##name, true, parameters, arguments, __VA_ARGS__)
HL_WRAPPED(X)

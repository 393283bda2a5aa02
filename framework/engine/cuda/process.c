/* The common part of runner and members; see process.h. */
#include "process.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define TRY(call) \
    do { \
        const enum hl_status status_ = hl_driver_check(&p->driver, p->driver.call, #call, error); \
        if (status_) \
            return status_; \
    } while (0)

void hl_cuda_process_environment(bool eager, int connections)
{
    char text[16];
    snprintf(text, sizeof text, "%d", connections);
    prctl(PR_SET_TIMERSLACK, 1000ul); /* short naps are short */
    setenv("CUDA_MODULE_LOADING", eager ? "EAGER" : "LAZY", 1);
    setenv("CUDA_DEVICE_MAX_CONNECTIONS", text, 0);
    setenv("NCCL_NVLS_ENABLE", "0", 1);
}

enum hl_status hl_cuda_process_init(struct hl_cuda_process *p, struct hl_shared *shared,
                                    struct hl_error *error)
{
    p->shared = shared;
    p->job.shared = shared;
    p->job.driver = &p->driver;
    enum hl_status status = hl_driver_load(&p->driver, error);
    if (status)
        return status;
    status = hl_driver_check(&p->driver, p->driver.cuInit(0), "cuInit", error);
    if (!status)
        status = hl_driver_check(&p->driver, p->driver.cuDeviceGetCount(&p->gpus), "count the GPUs", error);
    if (!status && p->gpus == 0)
        status = hl_fail(error, HL_STATUS_NO_GPU, "the CUDA driver has no GPU");
    return status ? error->status = HL_STATUS_NO_GPU : HL_STATUS_OK;
}

/* Shared memory is registered once, for all contexts of the process. */
static enum hl_status share_memory(struct hl_cuda_process *p, struct hl_error *error)
{
    CUdeviceptr device;
    const uint64_t bytes = hl_shared_bytes(p->shared->copies_bytes);
    if (p->job.abort_word)
        return HL_STATUS_OK;
    TRY(cuMemHostRegister(p->shared, bytes, CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP));
    TRY(cuMemHostGetDevicePointer(&device, p->shared, 0));
    p->job.abort_word = (const uint32_t *)(uintptr_t)(device + offsetof(struct hl_shared, abort_word));
    p->job.strikes = (uint32_t *)(uintptr_t)(device + offsetof(struct hl_shared, strikes));
    p->job.copies = (uint32_t *)(uintptr_t)(device + offsetof(struct hl_shared, copies));
    p->job.ring.marks = (struct hl_mark *)(uintptr_t)(device + offsetof(struct hl_shared, marks));
    return HL_STATUS_OK;
}

/* Ranks of this process on different GPUs reach each other's memory. */
static enum hl_status enable_peers(struct hl_cuda_process *p, int gpu, struct hl_error *error)
{
    for (int peer = 0; peer < p->gpus && peer < HL_RANKS_MAX; peer++) {
        int reaches = 0;
        if (peer == gpu || !p->contexts[peer])
            continue;
        TRY(cuDeviceCanAccessPeer(&reaches, gpu, peer));
        if (!reaches)
            return hl_fail(error, HL_STATUS_NO_GPU, "GPU %d cannot reach the memory of GPU %d", gpu, peer);
        TRY(cuCtxSetCurrent(p->contexts[peer]));
        TRY(cuCtxEnablePeerAccess(p->contexts[gpu], 0));
        TRY(cuCtxSetCurrent(p->contexts[gpu]));
        TRY(cuCtxEnablePeerAccess(p->contexts[peer], 0));
    }
    return HL_STATUS_OK;
}

enum hl_status hl_cuda_process_use(struct hl_cuda_process *p, int gpu, struct hl_error *error)
{
    CUdevice device;
    int mps;
    if (gpu >= p->gpus || gpu >= HL_RANKS_MAX)
        return hl_fail(error, HL_STATUS_NO_GPU, "world.gpus: the ranks take %d GPUs, and there %s %d here",
                       gpu + 1, p->gpus == 1 ? "is" : "are", p->gpus);
    if (p->contexts[gpu]) {
        TRY(cuCtxSetCurrent(p->contexts[gpu]));
        return HL_STATUS_OK;
    }
    TRY(cuDeviceGet(&device, gpu));
    if (p->driver.cuDeviceGetAttribute(&mps, CU_DEVICE_ATTRIBUTE_MPS_ENABLED, device) == CUDA_SUCCESS)
        p->shared->mps = mps; /* a driver that does not know the question has none to share */
    TRY(cuDevicePrimaryCtxRetain(&p->contexts[gpu], device));
    TRY(cuCtxSetCurrent(p->contexts[gpu]));
    TRY(hl_device_load());
    const enum hl_status status = enable_peers(p, gpu, error);
    return status ? status : share_memory(p, error);
}

enum hl_status hl_cuda_process_receive(struct hl_cuda_process *p, int fd, const struct hl_request *request,
                                       struct hl_error *error)
{
    void *bytes = malloc(request->bytes);
    if (!bytes || hl_transfer(fd, bytes, request->bytes, -1, false) < 0)
        _exit(99);
    p->job.seed = request->seed;
    p->program = hl_program_unpack(bytes, &p->config);
    free(bytes);
    if (!p->program)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a program");
    p->job.plan = &p->plan;
    return hl_cuda_plan_init(&p->plan, &p->config, p->program, error);
}

enum hl_status hl_cuda_process_prepare(struct hl_cuda_process *p, struct hl_error *error)
{
    p->job.ring.taken = (uint32_t *)(uintptr_t)p->job.memory[0];
    p->job.nccl = NULL;
    if (p->config.subject.backend != HL_BACKEND_NCCL)
        return HL_STATUS_OK;
    p->job.nccl = &p->nccl;
    return hl_nccl_load(&p->nccl, error);
}

void hl_cuda_process_forget(struct hl_cuda_process *p)
{
    hl_cuda_plan_finish(&p->plan);
    if (p->program)
        hl_program_destroy(p->program);
    p->program = NULL;
    p->running = false;
}

/* NCCL's library and a rank's communicator; see nccl.h. */
#include "nccl.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include "rank.h"

/* ncclRedOp_t and ncclDataType_t of nccl.h. */
enum { NCCL_SUM = 0 };
static const int nccl_dtypes[HL_DTYPE_COUNT] = { [HL_FP16] = 6, [HL_FP32] = 7, [HL_BF16] = 9 };

enum hl_status hl_cuda_check_nccl(const struct hl_driver *driver, const struct hl_config *config, int ranks,
                                  struct hl_error *error)
{
    int gpus = 0;
    if (config->subject.backend != HL_BACKEND_NCCL)
        return HL_STATUS_OK;
    const enum hl_status status =
        hl_driver_check(driver, driver->cuDeviceGetCount(&gpus), "count the GPUs", error);
    if (status)
        return status;
    if (gpus < ranks)
        return hl_fail(error, HL_STATUS_NO_GPU,
                       "subject.backend: nccl needs a GPU for each of the %d ranks, and there %s %d here",
                       ranks, gpus == 1 ? "is" : "are", gpus);
    if (config->world.gpus && config->world.gpus < ranks)
        return hl_fail(error, HL_STATUS_NO_GPU,
                       "subject.backend: nccl needs a GPU for each of the %d ranks; world.gpus is %d", ranks,
                       config->world.gpus);
    return HL_STATUS_OK;
}

/* Copies a symbol's address into a function pointer: POSIX lets the two be the same bits. */
static bool look_up(void *library, const char *symbol, void *ret_function)
{
    void *address = dlsym(library, symbol);
    memcpy(ret_function, &address, sizeof address);
    return address != NULL;
}

enum hl_status hl_nccl_load(struct hl_nccl *nccl, struct hl_error *error)
{
    const char *path = getenv("HANGLAB_NCCL");
    if (nccl->loaded)
        return HL_STATUS_OK;
    void *library = dlopen(path && *path ? path : "libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return hl_fail(error, HL_STATUS_NO_GPU,
                       "subject.backend: nccl: %s; HANGLAB_NCCL may name the library", dlerror());
    nccl->loaded = look_up(library, "ncclGetUniqueId", &nccl->get_unique_id) &&
                   look_up(library, "ncclCommInitRank", &nccl->init_rank) &&
                   look_up(library, "ncclAllReduce", &nccl->all_reduce) &&
                   look_up(library, "ncclCommAbort", &nccl->abort) &&
                   look_up(library, "ncclGetErrorString", &nccl->error_string);
    if (!nccl->loaded)
        return hl_fail(error, HL_STATUS_NO_GPU, "subject.backend: nccl: the library lacks %s", dlerror());
    return HL_STATUS_OK;
}

static enum hl_status check(const struct hl_nccl *nccl, int result, const char *what, struct hl_error *error)
{
    return result == 0 ? HL_STATUS_OK
                       : hl_fail(error, HL_STATUS_INTERNAL, "%s: NCCL: %s (%d)", what,
                                 nccl->error_string(result), result);
}

enum hl_status hl_nccl_renew(const struct hl_nccl *nccl, int workspaces, struct hl_shared *shared,
                             struct hl_error *error)
{
    enum hl_status status = HL_STATUS_OK;
    for (int w = 0; !status && w < workspaces; w++) {
        struct hl_nccl_id id;
        status = check(nccl, nccl->get_unique_id(&id), "make an identity", error);
        if (!status)
            memcpy(shared->nccl_id[w], id.bytes, sizeof id.bytes);
    }
    shared->nccl_ids = status ? 0 : workspaces;
    shared->nccl_serial++;
    return status;
}

enum hl_status hl_nccl_join(struct hl_cuda_rank *r, struct hl_error *error)
{
    const struct hl_nccl *nccl = r->job->nccl;
    const struct hl_shared *shared = r->job->shared;
    enum hl_status status = HL_STATUS_OK;
    if (r->comms[0] && r->comm_serial == shared->nccl_serial)
        return HL_STATUS_OK;
    hl_nccl_leave(r);
    r->comm_serial = shared->nccl_serial;
    for (int w = 0; !status && w < shared->nccl_ids; w++) {
        struct hl_nccl_id id;
        memcpy(id.bytes, shared->nccl_id[w], sizeof id.bytes);
        status = check(nccl, nccl->init_rank(&r->comms[w], r->job->plan->program->ranks, id, r->rank),
                       "join a communicator", error);
    }
    return status;
}

void hl_nccl_leave(struct hl_cuda_rank *r)
{
    for (int w = 0; w < HL_CUDA_WORKSPACES_MAX; w++) {
        if (r->comms[w])
            r->job->nccl->abort(r->comms[w]);
        r->comms[w] = NULL;
    }
}

enum hl_status hl_nccl_all_reduce(struct hl_cuda_rank *r, int workspace, const void *input, void *output,
                                  size_t elements, CUstream stream, struct hl_error *error)
{
    const struct hl_nccl *nccl = r->job->nccl;
    const int dtype = nccl_dtypes[r->job->plan->config->subject.dtype];
    return check(nccl,
                 nccl->all_reduce(input, output, elements, dtype, NCCL_SUM, r->comms[workspace], stream),
                 "enqueue an allreduce", error);
}

/* Which engine a run gets: as asked for, or what this machine has. */
#include "engines.h"
#include <string.h>
#ifdef HL_HAVE_CUDA
#include "cuda/cuda.h"
#endif

#ifdef HL_HAVE_CUDA
static enum hl_status find_cuda(const struct hl_engine **ret_engine, struct hl_error *error)
{
    const enum hl_status status = hl_cuda_find_gpu(error);
    if (status == HL_STATUS_OK)
        *ret_engine = &hl_engine_cuda;
    return status;
}
#else
static enum hl_status find_cuda(const struct hl_engine **ret_engine, struct hl_error *error)
{
    (void)ret_engine;
    return hl_fail(error, HL_STATUS_NO_GPU, "engine cuda: this build has none; engine sim needs no GPU");
}
#endif

enum hl_status hl_find_engine(const char *name, const struct hl_engine **ret_engine, struct hl_error *error)
{
    *ret_engine = &hl_engine_sim;
    if (strcmp(name, "sim") == 0)
        return HL_STATUS_OK;
    if (strcmp(name, "cuda") == 0)
        return find_cuda(ret_engine, error);
    if (strcmp(name, "auto") != 0)
        return hl_fail(error, HL_STATUS_USAGE, "the engine is sim, cuda or auto, not '%s'", name);
    struct hl_error why_not;
    find_cuda(ret_engine, &why_not);
    return HL_STATUS_OK;
}

bool hl_is_cuda(const struct hl_engine *engine) { return strcmp(engine->name, "cuda") == 0; }

/* Whether the NCCL subject can run here; see nccl.h. */
#include "nccl.h"

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
    return hl_fail(error, HL_STATUS_USAGE,
                   "subject.backend: nccl: the CUDA engine does not drive NCCL yet; this case runs with "
                   "--engine sim");
}

/* The NCCL subject: what `subject.backend: nccl` asks of the machine.
 *
 * It means NCCL itself, and NCCL wants a GPU for every rank (ncclCommInitRank refuses two ranks on one device
 * with ncclInvalidUsage, "Duplicate GPU detected"). The unfused path of the other backends is part of their
 * program and stays the NCCL-like step source (kernels/nccl.h), which runs anywhere. */
#pragma once
#include "driver.h"
#include "hanglab/config.h"

/* HL_STATUS_NO_GPU: there are fewer GPUs than ranks, so the case is to be skipped. */
enum hl_status hl_cuda_check_nccl(const struct hl_driver *driver, const struct hl_config *config, int ranks,
                                  struct hl_error *error);

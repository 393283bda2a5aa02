/* Which kernels a call runs, and in what grid: the table that both engines launch from.
 *
 * C11; the step functions themselves are reached through hl_steps_of(), one table per mutant build. */
#pragma once
#include "layout.h"

/* X(ID, step function, doc) */
#define HL_KERNELS(X) \
    X(MNNVL_ONESHOT, mnnvl_oneshot, "mnnvl one-shot, allreduce + residual + RMSNorm") \
    X(MNNVL_TWOSHOT, mnnvl_twoshot, "mnnvl two-shot: scatter, reduce, broadcast") \
    X(MNNVL_NORM, mnnvl_norm, "mnnvl two-shot: residual + RMSNorm, rotation") \
    X(TRTLLM_ONESHOT, trtllm_oneshot, "trtllm one-shot, allreduce + residual + RMSNorm") \
    X(TRTLLM_TWOSHOT, trtllm_twoshot, "trtllm two-shot, allreduce + residual + RMSNorm") \
    X(NCCL_ALLREDUCE, nccl_allreduce, "plain allreduce") \
    X(NORM_AFTER_ALLREDUCE, norm_after_allreduce, "residual + RMSNorm over the reduced rows") \
    X(NORM_ONLY, norm_only, "residual + RMSNorm over the rank's own rows")

enum hl_kernel {
#define X(id, step, doc) HL_KERNEL_##id,
    HL_KERNELS(X)
#undef X
    HL_KERNEL_COUNT
};

/* The kernels of one call, in stream order; `count` is 1 or 2. */
struct hl_kernel_list {
    int count;
    enum hl_kernel kernels[2];
};

HL_INLINE struct hl_kernel_list hl_protocol_kernels(enum hl_protocol protocol)
{
    struct hl_kernel_list list = { 1, { HL_KERNEL_NORM_ONLY, HL_KERNEL_NORM_ONLY } };
    switch (protocol) {
    case HL_MNNVL_ONESHOT: list.kernels[0] = HL_KERNEL_MNNVL_ONESHOT; break;
    case HL_MNNVL_TWOSHOT:
        list.count = 2;
        list.kernels[0] = HL_KERNEL_MNNVL_TWOSHOT;
        list.kernels[1] = HL_KERNEL_MNNVL_NORM;
        break;
    case HL_TRTLLM_ONESHOT: list.kernels[0] = HL_KERNEL_TRTLLM_ONESHOT; break;
    case HL_TRTLLM_TWOSHOT: list.kernels[0] = HL_KERNEL_TRTLLM_TWOSHOT; break;
    case HL_NCCL:
        list.count = 2;
        list.kernels[0] = HL_KERNEL_NCCL_ALLREDUCE;
        list.kernels[1] = HL_KERNEL_NORM_AFTER_ALLREDUCE;
        break;
    default: break;
    }
    return list;
}

/* CTAs of a kernel's grid: one a token (M:1158), for trtllm no more than `sms` of the device (T:1817). */
HL_INLINE uint32_t hl_kernel_ctas(enum hl_kernel kernel, uint32_t tokens, uint32_t sms)
{
    const int capped = kernel == HL_KERNEL_TRTLLM_ONESHOT || kernel == HL_KERNEL_TRTLLM_TWOSHOT ||
                       kernel == HL_KERNEL_NCCL_ALLREDUCE;
    return capped && tokens > sms ? sms : tokens;
}

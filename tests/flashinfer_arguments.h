/* FlashInfer's names and arguments, as tests of known kernels make them. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define HIDDEN 64
#define TOKENS 4

/* As c++ mangles them, from programs compiled against FlashInfer 0.6.9 and 0.7.2. */
#define TRTLLM_ONESHOT \
    "_ZN10flashinfer23trtllm_allreduce_fusion39allreduce_fusion_kernel_oneshot_lamportILNS0_" \
    "22AllReduceFusionPatternE1E13__nv_bfloat16Li4ELb0ELb0EEEvNS0_21AllReduceFusionParamsIT0_EE"
#define TRTLLM_TWOSHOT \
    "_ZN10flashinfer23trtllm_allreduce_fusion36allreduce_fusion_kernel_twoshot_syncILNS0_" \
    "22AllReduceFusionPatternE1E13__nv_bfloat16Li4ELb0EEEvNS0_21AllReduceFusionParamsIT0_EESt5arrayIiXT1_" \
    "EES8_"
#define MNNVL_ONESHOT \
    "_ZN10flashinfer22trtllm_mnnvl_allreduce28oneshotAllreduceFusionKernelILh2E13__nv_" \
    "bfloat16Lb1E6float4EEvPT0_" \
    "S5_PKS4_S7_S7_PS5_S5_iifiPj"
#define MNNVL_TWOSHOT \
    "_ZN10flashinfer22trtllm_mnnvl_allreduce22twoshotAllreduceKernelILh2E13__nv_bfloat166float4EEvPT0_PKS3_" \
    "PS4_" \
    "S4_jjjPjb"
#define MNNVL_NORM \
    "_ZN10flashinfer22trtllm_mnnvl_allreduce14rmsNormLamportI13__nv_bfloat16S2_Li1EEEvPT_PT0_S4_"
#define MNNVL_NEW \
    "_ZN10flashinfer22trtllm_mnnvl_allreduce28oneshotAllreduceFusionKernelILh16E6__halfLb0ELNS0_" \
    "9QuantTypeE0E6" \
    "float4EEvNS0_21AllReduceKernelParamsIT0_EE"

/* FlashInfer's AllReduceFusionParams, up to 0.6.10 and from 0.6.11 on. */
struct trtllm_params {
    int ranks, rank, size, hidden;
    uint64_t workspace, pointers[8];
    float epsilon;
    uint64_t scale;
    bool oneshot;
    int layout;
    uint64_t stream;
    int pattern;
    bool trigger;
};
struct trtllm_params_new {
    struct trtllm_params old;
    int group, aligned;
};
/* What oneshotAllreduceFusionKernel() takes up to 0.6.11, one by one. */
struct mnnvl_params {
    uint64_t pointers[5], table, multicast;
    int tokens, hidden;
    float epsilon;
    int rank;
    uint64_t flags;
};
_Static_assert(sizeof(struct trtllm_params) == 128 && sizeof(struct trtllm_params_new) == 136 &&
                   sizeof(struct mnnvl_params) == 80,
               "as the wheels' headers have them");

static inline struct trtllm_params trtllm_params(int ranks, int rank)
{
    return (struct trtllm_params){ ranks,
                                   rank,
                                   TOKENS * HIDDEN,
                                   HIDDEN,
                                   0x10000000u + 0x1000u * (unsigned)rank,
                                   { 0 },
                                   1e-5f,
                                   0,
                                   true,
                                   0,
                                   0,
                                   1,
                                   true };
}

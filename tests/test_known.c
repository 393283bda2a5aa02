/* Known collectives of other people's programs: the names of their kernels, and their arguments. */
#include <criterion/criterion.h>
#include <string.h>
#include "../watchdog/known/known.h"
#include "flashinfer_arguments.h"

/* Of TensorRT-LLM, by its sources. */
#define TRT_ONESHOT \
    "_ZN12tensorrt_llm7kernels9ar_fusion39allreduce_fusion_kernel_oneshot_lamportILNS1_" \
    "22AllReduceFusionPatternE1E13__nv_bfloat16Li4ELb0ELb1EEEvNS1_21AllReduceFusionParamsE"

Test(known, kernels_are_known_by_their_mangled_names)
{
    cr_expect_eq(hl_known_find(TRTLLM_ONESHOT), HL_KNOWN_FI_TRTLLM_ONESHOT);
    cr_expect_eq(hl_known_find(TRTLLM_TWOSHOT), HL_KNOWN_FI_TRTLLM_TWOSHOT);
    cr_expect_eq(hl_known_find(MNNVL_ONESHOT), HL_KNOWN_FI_MNNVL_ONESHOT);
    cr_expect_eq(hl_known_find(MNNVL_NEW), HL_KNOWN_FI_MNNVL_ONESHOT);
    cr_expect_eq(hl_known_find("_ZN10flashinfer27trtllm_moe_allreduce_fusion"
                               "49moereduce_allreduce_fusion_kernel_oneshot_lamportI13__nv_bfloat16Li4E"),
                 HL_KNOWN_FI_MOE_REDUCE);
    cr_expect_eq(hl_known_find(TRT_ONESHOT), HL_KNOWN_TRT_TRTLLM_ONESHOT);
    /* A namespace that is put in between, as some builds of TensorRT-LLM do. */
    cr_expect_eq(hl_known_find("_ZN12tensorrt_llm3_v17kernels5mnnvl14rmsNormLamportI6__halfS3_Li1EEEvv"),
                 HL_KNOWN_TRT_MNNVL_NORM);
    cr_expect_eq(hl_known_find("_Z14rmsNormLamportPf"), HL_KNOWN_NONE, "somebody else's of that name");
    cr_expect_eq(hl_known_find("ncclDevKernel_AllReduce_Sum_bf16_RING_LL"), HL_KNOWN_NONE);
    cr_expect_eq(hl_known_find(""), HL_KNOWN_NONE);
}

static bool decode(const char *symbol, uint32_t n, uint32_t first_bytes, const void *params, size_t bytes,
                   struct hl_known_call *call, char why[160])
{
    uint8_t raw[HL_KNOWN_BYTES_MAX] = { 0 };
    const struct hl_known_arguments *a = hl_known_arguments_of(hl_known_find(symbol), n, first_bytes);
    cr_assert_not_null(a, "%u arguments, %u bytes", n, first_bytes);
    memcpy(raw, params, bytes < sizeof raw ? bytes : sizeof raw);
    return hl_known_decode(a, symbol, raw, call, why, 160);
}

Test(known, arguments_of_old_and_new_releases_are_read)
{
    struct hl_known_call c;
    char why[160];
    const struct trtllm_params old = trtllm_params(4, 3);
    const struct trtllm_params_new later = { .old = old };
    cr_assert(decode(TRTLLM_ONESHOT, 1, 128, &old, sizeof old, &c, why), "%s", why);
    cr_expect(c.ranks == 4 && c.rank == 3 && c.tokens == TOKENS && c.hidden == HIDDEN);
    cr_expect(c.table == old.workspace && c.flags == 0 && c.dtype == HL_BF16);
    cr_assert(decode(TRTLLM_TWOSHOT, 3, 136, &later, sizeof later, &c, why), "%s", why);
    cr_expect(c.ranks == 4 && c.protocol == HL_TRTLLM_TWOSHOT);
    const struct mnnvl_params one = { .table = 0x50, .tokens = 7, .hidden = 128, .rank = 1, .flags = 0x60 };
    cr_assert(decode(MNNVL_ONESHOT, 12, 8, &one, sizeof one, &c, why), "%s", why);
    cr_expect(c.ranks == 2 && c.rank == 1 && c.tokens == 7 && c.hidden == 128 && c.table == 0x50 &&
              c.flags == 0x60 && c.compare == HL_COMPARE_FLOAT_FTZ);
    /* One struct, from 0.6.13 on. */
    uint8_t whole[128] = { 0 };
    memcpy(whole + 40, &(uint64_t){ 0x70 }, 8);
    memcpy(whole + 64, (int[]){ 16, 9, 5, 256 }, 16);
    memcpy(whole + 120, &(uint64_t){ 0x80 }, 8);
    cr_assert(decode(MNNVL_NEW, 1, 128, whole, sizeof whole, &c, why), "%s", why);
    cr_expect(c.ranks == 16 && c.rank == 9 && c.tokens == 5 && c.hidden == 256 && c.table == 0x70 &&
              c.flags == 0x80 && c.dtype == HL_FP16 && c.compare == HL_COMPARE_BITS);
}

Test(known, arguments_that_make_no_sense_are_refused_and_said)
{
    struct hl_known_call c;
    char why[160];
    struct trtllm_params p = trtllm_params(4, 4);
    cr_expect_not(decode(TRTLLM_ONESHOT, 1, 128, &p, sizeof p, &c, why));
    cr_expect_not_null(strstr(why, "the rank makes no sense"), "%s", why);
    p = trtllm_params(4, -2);
    cr_expect_not(decode(TRTLLM_ONESHOT, 1, 128, &p, sizeof p, &c, why));
    p = trtllm_params(0, 0);
    cr_expect_not(decode(TRTLLM_ONESHOT, 1, 128, &p, sizeof p, &c, why));
    p = trtllm_params(4, 1);
    p.size = TOKENS * HIDDEN + 1; /* no whole number of rows */
    cr_expect_not(decode(TRTLLM_ONESHOT, 1, 128, &p, sizeof p, &c, why));
    cr_expect_not_null(strstr(why, "tokens"), "%s", why);
    p = trtllm_params(4, 1);
    p.hidden = 0;
    cr_expect_not(decode(TRTLLM_ONESHOT, 1, 128, &p, sizeof p, &c, why));
    p = trtllm_params(4, 1);
    p.workspace = 0x1001;
    cr_expect_not(decode(TRTLLM_ONESHOT, 1, 128, &p, sizeof p, &c, why));
    cr_expect_null(hl_known_arguments_of(HL_KNOWN_FI_TRTLLM_ONESHOT, 1, 144), "no release has that size");
}

/* One build of all step sources as CUDA kernels, and the table of its kernels.
 *
 * Compiled once per mutant and data type, with HL_BUILD_MUTANT, HL_BUILD_DTYPE and HL_CUDA_TABLE set. Mutant
 * builds hold only the kernels that a mutant can change, for at most 8 ranks: a compiler takes its time over
 * 16 (hl_cuda_has_build()). */
#include "../mnnvl.h"
#include "../trtllm.h"
#include "../nccl.h"
#include "table.h"

#define hl_special_register(name) \
    ({ \
        uint32_t value_; \
        asm("mov.u32 %0, %%" #name ";" : "=r"(value_)); \
        value_; \
    })

/* The constants from template arguments, the rest from the launch. Gamma is a weight: no kernel before this
 * one writes it, so its load need not wait for them. */
template <int ranks, enum hl_compare compare, bool straight>
static __device__ __forceinline__ struct hl_cx hl_cx_make(enum hl_family family,
                                                          const struct hl_cuda_call *call)
{
    struct hl_cx cx;
    cx.layout = call->layout;
    cx.layout.family = family;
    cx.layout.dtype = HL_BUILD_DTYPE;
    cx.layout.ranks = ranks;
    cx.compare = compare;
    cx.straight = straight;
    cx.call = call;
    cx.own = call->workspace[call->rank];
    cx.tokens = call->tokens & UINT16_MAX;
    cx.block = straight ? 0 : hl_special_register(cluster_ctarank);
    cx.blocks = straight ? 1 : hl_special_register(cluster_nctarank);
    cx.cta = (straight ? blockIdx.x : hl_special_register(clusterid.x)) & UINT16_MAX;
    cx.ctas = straight ? gridDim.x : hl_special_register(nclusterid.x);
    cx.at = (cx.block * blockDim.x + threadIdx.x) * HL_CUDA_FRAGMENT_WORDS;
    cx.has_fragment = straight || cx.at < cx.layout.row_words;
    cx.gamma = cx.has_fragment ? hl_load_row16(call->gamma + cx.at) : make_uint4(0, 0, 0, 0);
    cx.input = cx.residual = make_uint4(0, 0, 0, 0);
    cx.input_token = cx.residual_token = HL_NO_TOKEN;
    cx.sums_turn = 0;
    if (straight)
        __builtin_assume(cx.cta < cx.tokens);
    if (cx.blocks > 1)
        hl_cluster_barrier(); /* all blocks run before one stores to another's shared memory */
    return cx;
}

/* Builds of mutants that strike once count the calls of a workspace, after all CTAs have arrived and read the
 * count. */
static __device__ __forceinline__ void hl_count_call(const struct hl_cx *cx)
{
    if (HL_MUTANT_COUNTS_CALLS(HL_BUILD_MUTANT) && hl_leader(cx))
        hl_store_word(cx->own + HL_CALLS_WORD, hl_flag(cx, HL_CALLS_WORD) + 1);
}

/* Blocks that a multiprocessor should hold. Small mnnvl calls of up to 8 ranks leave room for a second one
 * without spilling: under programmatic dependent launch the next call's is there when this one's leaves. */
#define HL_BLOCKS_BESIDE(family, straight, ranks) \
    ((family) == HL_FAMILY_MNNVL && (straight) && (ranks) <= 8 ? 2 : 1)

/* The data type and the mutant are arguments only to give each build's kernel its own name. */
#define HL_CUDA_KERNEL(name, family, counts) \
    template <int ranks, enum hl_compare compare, bool straight, enum hl_dtype, enum hl_mutant> \
    __global__ void __launch_bounds__(HL_CUDA_THREADS_MAX, HL_BLOCKS_BESIDE(family, straight, ranks)) \
        name(const __grid_constant__ struct hl_cuda_call call) \
    { \
        struct hl_cx cx = hl_cx_make<ranks, compare, straight>(family, &call); \
        struct hl_step t = {}; \
        hl_step_##name(&t, &cx); \
        if (counts) \
            hl_count_call(&cx); \
    }
#define HL_ENTRY(name, ranks, compare, straight) \
    ((const void *)name<ranks, compare, straight, HL_BUILD_DTYPE, HL_BUILD_MUTANT>)

#if HL_BUILD_IS_CLEAN
#define HL_ENTRY_16(name, compare, straight) HL_ENTRY(name, 16, compare, straight)
#else
#define HL_ENTRY_16(name, compare, straight) NULL
#endif
#define HL_OVER_RANKS(name, compare, straight) \
    { \
        HL_ENTRY(name, 2, compare, straight), HL_ENTRY(name, 4, compare, straight), \
            HL_ENTRY(name, 8, compare, straight), HL_ENTRY_16(name, compare, straight) \
    }
#define HL_ANY_RANKS(name) \
    { \
        HL_ENTRY(name, 2, HL_COMPARE_BITS, false), HL_ENTRY(name, 2, HL_COMPARE_BITS, false), \
            HL_ENTRY(name, 2, HL_COMPARE_BITS, false), HL_ENTRY(name, 2, HL_COMPARE_BITS, false) \
    }

/* [straight][ranks] of a table's row; only the one-shots, which must be quick, have a straight build. */
#define HL_BOTH(name, compare) \
    { \
        HL_OVER_RANKS(name, compare, false), HL_OVER_RANKS(name, compare, true) \
    }
#define HL_LOOPS(name, compare) \
    { \
        HL_OVER_RANKS(name, compare, false), HL_OVER_RANKS(name, compare, false) \
    }

HL_CUDA_KERNEL(mnnvl_oneshot, HL_FAMILY_MNNVL, true)
HL_CUDA_KERNEL(mnnvl_twoshot, HL_FAMILY_MNNVL, false) /* the call's second kernel counts it */
HL_CUDA_KERNEL(trtllm_oneshot, HL_FAMILY_TRTLLM, true)
HL_CUDA_KERNEL(trtllm_twoshot, HL_FAMILY_TRTLLM, true)
HL_CUDA_KERNEL(mnnvl_norm, HL_FAMILY_MNNVL, true)
#if HL_BUILD_IS_CLEAN
HL_CUDA_KERNEL(nccl_allreduce, HL_FAMILY_NCCL, false)
HL_CUDA_KERNEL(norm_after_allreduce, HL_FAMILY_NCCL, false)
HL_CUDA_KERNEL(norm_only, HL_FAMILY_NCCL, false)
#endif

/* Only the mnnvl family has a choice of comparison. */
extern "C" const hl_cuda_table HL_CUDA_TABLE = {
    { HL_BOTH(mnnvl_oneshot, HL_COMPARE_BITS), HL_BOTH(mnnvl_oneshot, HL_COMPARE_FLOAT_FTZ) },
    { HL_LOOPS(mnnvl_twoshot, HL_COMPARE_BITS), HL_LOOPS(mnnvl_twoshot, HL_COMPARE_FLOAT_FTZ) },
    { HL_LOOPS(mnnvl_norm, HL_COMPARE_BITS), HL_LOOPS(mnnvl_norm, HL_COMPARE_FLOAT_FTZ) },
    { HL_BOTH(trtllm_oneshot, HL_COMPARE_BITS), HL_BOTH(trtllm_oneshot, HL_COMPARE_BITS) },
    { HL_LOOPS(trtllm_twoshot, HL_COMPARE_BITS), HL_LOOPS(trtllm_twoshot, HL_COMPARE_BITS) },
#if HL_BUILD_IS_CLEAN
    { HL_LOOPS(nccl_allreduce, HL_COMPARE_BITS), HL_LOOPS(nccl_allreduce, HL_COMPARE_BITS) },
    { { HL_ANY_RANKS(norm_after_allreduce), HL_ANY_RANKS(norm_after_allreduce) },
      { HL_ANY_RANKS(norm_after_allreduce), HL_ANY_RANKS(norm_after_allreduce) } },
    { { HL_ANY_RANKS(norm_only), HL_ANY_RANKS(norm_only) },
      { HL_ANY_RANKS(norm_only), HL_ANY_RANKS(norm_only) } },
#endif
};

/* Protocol arithmetic: sentinel, sanitising, rotation, thresholds. One truth for the kernels, the
 * simulator, the flag decoder and the tests. C11 and CUDA C++, no state.
 *
 * Source of the facts: FlashInfer include/flashinfer/comm/trtllm_mnnvl_allreduce.cuh ("M") and
 * trtllm_allreduce_fusion.cuh ("T"), version 0.6.18; written from their description. */
#pragma once
#include <stdint.h>
#include "words.h"

#ifdef __CUDACC__
#define HL_INLINE __host__ __device__ __forceinline__
#else
#define HL_INLINE static inline
#endif

/* "Not arrived": fp32 -0.0, whatever the data type (M:107). */
#define HL_SENTINEL 0x80000000u
/* trtllm looks at 16-bit elements: -0.0 of bf16 and fp16 (T:1415). */
#define HL_SENTINEL16 0x8000u

/* Largest hidden size, and the epsilon of the norm. */
#define HL_HIDDEN_MAX 16384
#define HL_RMS_EPSILON 1e-5f

HL_INLINE unsigned hl_dtype_bytes(enum hl_dtype dtype) { return dtype == HL_FP32 ? 4 : 2; }

/* Is `word` "not arrived" for the comparison that the kernel was built with? Under float-ftz a
 * negative subnormal (exponent 0, sign set) is flushed to -0.0 and so refused for ever. */
HL_INLINE int hl_is_sentinel(uint32_t word, enum hl_compare compare)
{
    return compare == HL_COMPARE_FLOAT_FTZ ? (word & 0xff800000u) == HL_SENTINEL : word == HL_SENTINEL;
}

/* trtllm: a word has not arrived while any of its elements is -0.0. */
HL_INLINE int hl_has_negative_zero(uint32_t word, enum hl_dtype dtype)
{
    if (dtype == HL_FP32)
        return word == HL_SENTINEL;
    return (word & 0xffffu) == HL_SENTINEL16 || (word >> 16) == HL_SENTINEL16;
}

/* The sender replaces each element that is exactly -0.0 by +0.0 (M:391-398). */
HL_INLINE uint32_t hl_sanitise(uint32_t word, enum hl_dtype dtype)
{
    if (dtype == HL_FP32)
        return word == HL_SENTINEL ? 0 : word;
    if ((word & 0xffffu) == HL_SENTINEL16)
        word &= 0xffff0000u;
    if ((word >> 16) == HL_SENTINEL16)
        word &= 0x0000ffffu;
    return word;
}

/* mnnvl flags, uint32[9] per rank, not shared (M:230-254). */
enum {
    HL_MNNVL_CURRENT,          /* buffer index of this call, 0..2 */
    HL_MNNVL_DIRTY,            /* buffer index to clear */
    HL_MNNVL_BYTES_PER_BUFFER,
    HL_MNNVL_DIRTY_STAGES,     /* 1 one-shot, 2 two-shot, 0 nothing to clear */
    HL_MNNVL_CLEAR_BYTES,      /* 4 words: bytes to clear in each stage of the dirty buffer */
    HL_MNNVL_ARRIVED = 8,      /* arrival counter */
    HL_MNNVL_FLAGS
};

/* trtllm block, int32[5] per rank (trtllm_ar.py:745-766). */
enum {
    HL_TRTLLM_ARRIVED,         /* arrival counter, shared by one-shot and two-shot */
    HL_TRTLLM_BARRIER_FLAG,    /* value of the 3-valued flags after the last two-shot */
    HL_TRTLLM_CURRENT,         /* Lamport buffer index, 0..2 */
    HL_TRTLLM_COMM_BYTES,      /* bytes of one Lamport buffer */
    HL_TRTLLM_CLEAR_ELEMENTS,  /* elements to clear in the dirty buffer */
    HL_TRTLLM_FLAGS
};
/* Each barrier sync advances all 256 flags of a peer, so that the next grid may have another size. */
#define HL_TRTLLM_BARRIER_FLAGS 256

/* The NCCL-like reference: an epoch that only grows. */
enum { HL_NCCL_EPOCH, HL_NCCL_ARRIVED, HL_NCCL_FLAGS };

/* Words reserved for the flags at the start of every workspace. */
#define HL_FLAG_WORDS 16

/* One-shot up to 1 MiB of pushed bytes (mnnvl_ar.py:40-51). */
HL_INLINE int hl_mnnvl_is_oneshot(uint64_t tokens, uint64_t hidden, int ranks, enum hl_dtype dtype)
{
    return tokens * hidden * (uint64_t)ranks * hl_dtype_bytes(dtype) <= 64ull * 1024 * 8 * 2;
}

/* Per-world-size table in MiB: {2: 512, 4: 64, 8: 42}, no entry for 16 (trtllm_ar.py:973-986). The
 * factor 2 is the table's own. Two-shot needs more tokens than ranks (trtllm_ar.py:1115). */
HL_INLINE uint64_t hl_trtllm_oneshot_bytes(int ranks)
{
    return (ranks == 2 ? 512ull : ranks == 4 ? 64ull : ranks == 8 ? 42ull : 0ull) << 20;
}
HL_INLINE int hl_trtllm_is_oneshot(uint64_t tokens, uint64_t hidden, int ranks, enum hl_dtype dtype)
{
    return tokens <= (uint64_t)ranks ||
           tokens * hidden * 2 * (uint64_t)ranks * hl_dtype_bytes(dtype) <= hl_trtllm_oneshot_bytes(ranks);
}

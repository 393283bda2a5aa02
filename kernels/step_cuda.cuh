/* The step macros on the GPU: they vanish into straight-line code.
 *
 * The agent is a thread that moves 16 bytes of a row at a time. A CTA of the step source is a cluster of
 * blocks (one block where a row fits it). `struct hl_step` and `struct hl_cx` live in registers: every
 * kernel sets their constants (ranks, data type, comparison) from template arguments, so that after inlining
 * no branch on them is left.
 *
 * An aborted wait passes: the thread runs on with what it has, so that every barrier is met, and the host
 * must re-initialise the workspaces of all ranks before it uses them again. */
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdbool.h>
#include "cuda/launch.h"

#define HL_STEP_INLINE static __device__ __forceinline__
#define HL_STEP(name) \
    static __device__ __forceinline__ void hl_step_##name(struct hl_step *t, struct hl_cx *cx)
#define HL_BEGIN(t)
#define HL_END(t)
#define HL_POINT(t)
#define HL_AWAIT(t, cond) \
    for (uint32_t spins_ = 1; !(cond); spins_++) { \
        if (!hl_is_abort_check(spins_)) \
            continue; \
        if (hl_is_aborted(cx)) \
            break; \
    }
#define HL_UNROLL _Pragma("unroll")

/* A wait looks at the abort word once in so many spins; 0 builds waits that cannot be aborted. */
#ifndef HL_SPINS_PER_ABORT_CHECK
#define HL_SPINS_PER_ABORT_CHECK 1024
#endif

/* Constants of a launch, the thread's place in it, and the rows it holds. */
struct hl_cx {
    struct hl_layout layout;
    enum hl_compare compare;
    bool straight; /* a CTA is one block with one token, and the row fills the block */
    const struct hl_cuda_call *call;
    uint32_t *own; /* workspace of the own rank */
    uint32_t tokens, cta, ctas;
    uint32_t block, blocks; /* of the cluster */
    uint32_t at;            /* word of the row that this thread's fragment begins with */
    bool has_fragment;      /* threads beyond the row only arrive and clear */
    uint4 gamma;
    mutable uint4 input, residual;
    mutable uint32_t input_token, residual_token; /* which rows are held */
    uint32_t sums_turn;                           /* which half of the shared memory the next norm uses */
};
#define HL_NO_TOKEN UINT32_MAX
#define HL_WARP 32 /* warpSize is no constant to the compiler, which would divide by it */

/* Which agent of the grid this is, and what a fragment is: here a thread, and 16 bytes. */
HL_STEP_INLINE int hl_rank(const struct hl_cx *cx) { return cx->call->rank; }
HL_STEP_INLINE int hl_ranks(const struct hl_cx *cx) { return cx->layout.ranks; }
HL_STEP_INLINE enum hl_protocol hl_protocol(const struct hl_cx *cx) { return cx->call->protocol; }
HL_STEP_INLINE uint32_t hl_tokens(const struct hl_cx *cx) { return cx->tokens; }
HL_STEP_INLINE uint32_t hl_cta(const struct hl_cx *cx) { return cx->cta; }
HL_STEP_INLINE uint32_t hl_ctas(const struct hl_cx *cx) { return cx->ctas; }
HL_STEP_INLINE uint16_t hl_next_token(const struct hl_step *t, const struct hl_cx *cx)
{
    return cx->straight ? UINT16_MAX : (uint16_t)(t->token + cx->ctas);
}
HL_STEP_INLINE uint32_t hl_lane(const struct hl_cx *) { return blockIdx.x * blockDim.x + threadIdx.x; }
HL_STEP_INLINE uint32_t hl_lanes(const struct hl_cx *) { return gridDim.x * blockDim.x; }
HL_STEP_INLINE uint32_t hl_fragment_words(const struct hl_cx *) { return HL_CUDA_FRAGMENT_WORDS; }
HL_STEP_INLINE bool hl_leader(const struct hl_cx *) { return blockIdx.x == 0 && threadIdx.x == 0; }

/* Relaxed accesses at system scope: peers may be other GPUs. 16 bytes are one instruction, but only single
 * words are promised to arrive whole, so every word is tested. */
HL_STEP_INLINE uint4 hl_load16(const uint32_t *from)
{
    uint4 v;
    asm volatile("ld.relaxed.sys.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(from)
                 : "memory");
    return v;
}
/* Loads over `v` if `wanted` is not 0, without a branch: several such loads are in flight together. */
HL_STEP_INLINE void hl_load16_if(uint32_t wanted, uint4 *v, const uint32_t *from)
{
    asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.u32 p, %5, 0;\n\t"
                 "@p ld.relaxed.sys.global.v4.u32 {%0, %1, %2, %3}, [%4];\n\t}"
                 : "+r"(v->x), "+r"(v->y), "+r"(v->z), "+r"(v->w)
                 : "l"(from), "r"(wanted)
                 : "memory");
}
HL_STEP_INLINE void hl_store16(uint32_t *to, uint4 v)
{
    asm volatile("st.relaxed.sys.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(v.x), "r"(v.y),
                 "r"(v.z), "r"(v.w)
                 : "memory");
}
HL_STEP_INLINE uint32_t hl_load_word(const uint32_t *from)
{
    uint32_t v;
    asm volatile("ld.relaxed.sys.global.u32 %0, [%1];" : "=r"(v) : "l"(from) : "memory");
    return v;
}
HL_STEP_INLINE void hl_store_word(uint32_t *to, uint32_t v)
{
    asm volatile("st.relaxed.sys.global.u32 [%0], %1;" ::"l"(to), "r"(v) : "memory");
}
HL_STEP_INLINE uint4 hl_load_row16(const uint32_t *from) { return *(const uint4 *)from; }

/* Is this failed look of a wait one after which it looks at the abort word? */
HL_STEP_INLINE bool hl_is_abort_check(uint32_t spins)
{
#if HL_SPINS_PER_ABORT_CHECK > 0
    return spins % HL_SPINS_PER_ABORT_CHECK == 0;
#else
    (void)spins;
    return false;
#endif
}
HL_STEP_INLINE bool hl_is_aborted(const struct hl_cx *cx) { return hl_load_word(cx->call->abort_word) != 0; }

/* Programmatic dependent launch; without that launch attribute both do nothing. */
HL_STEP_INLINE bool hl_previous_kernel_done(struct hl_cx *)
{
    asm volatile("griddepcontrol.wait;" ::: "memory");
    return true;
}
HL_STEP_INLINE void hl_trigger(struct hl_cx *)
{
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

/* Flags of the own rank. They do not change while a CTA may still read them. A one-shot reads them after the
 * kernel before it, so through the L1 cache, once for all warps (a seventh of a call of 4 ranks x 16 tokens);
 * mnnvl_norm reads them earlier, when the cache may still hold the flags of the call before. */
HL_STEP_INLINE uint32_t hl_flag(const struct hl_cx *cx, uint32_t word)
{
    return cx->straight ? cx->own[word] : hl_load_word(cx->own + word);
}
HL_STEP_INLINE void hl_set_flag(struct hl_cx *cx, uint32_t word, uint32_t value)
{
    hl_store_word(cx->own + word, value);
}
HL_STEP_INLINE bool hl_flag_at_least(struct hl_cx *cx, uint32_t word, uint32_t value)
{
    return hl_load_word(cx->own + word) >= value;
}
HL_STEP_INLINE bool hl_flag_equals(struct hl_cx *cx, uint32_t word, uint32_t value)
{
    return hl_load_word(cx->own + word) == value;
}

HL_STEP_INLINE void hl_cluster_barrier(void)
{
    asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::
                     : "memory");
}
HL_STEP_INLINE void hl_cta_barrier(const struct hl_cx *cx)
{
    if (cx->blocks > 1)
        hl_cluster_barrier();
    else
        __syncthreads();
}

/* One arrival of a CTA, released after the stores of all its threads. */
HL_STEP_INLINE void hl_arrive(struct hl_cx *cx, uint32_t word)
{
    hl_cta_barrier(cx);
    if (cx->block == 0 && threadIdx.x == 0)
        asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(cx->own + word) : "memory");
}

/* This thread's fragment of a token's row, in words: 32 bits, because a workspace holds more words than the
 * rows. */
HL_STEP_INLINE uint32_t hl_row_at(const struct hl_cx *cx, uint32_t token)
{
    return token * cx->layout.row_words + cx->at;
}

/* Rows of the call are loaded once and held while the thread works on them. */
HL_STEP_INLINE void hl_prefetch_input(const struct hl_cx *cx, uint32_t token)
{
    if (token == cx->input_token)
        return;
    cx->input_token = token;
    if (cx->has_fragment)
        cx->input = hl_load_row16(cx->call->input + hl_row_at(cx, token));
}
HL_STEP_INLINE void hl_prefetch_residual(const struct hl_cx *cx, uint32_t token)
{
    if (token == cx->residual_token)
        return;
    cx->residual_token = token;
    if (cx->has_fragment)
        cx->residual = hl_load_row16(cx->call->residual + hl_row_at(cx, token));
}

/* 16 bytes of a row on their way to a peer. */
struct hl_fragment {
    uint4 words;
};

HL_STEP_INLINE uint4 hl_sanitise16(const struct hl_cx *cx, uint4 v)
{
    const enum hl_dtype dtype = cx->layout.dtype;
    return make_uint4(hl_sanitise(v.x, dtype), hl_sanitise(v.y, dtype), hl_sanitise(v.z, dtype),
                      hl_sanitise(v.w, dtype));
}
HL_STEP_INLINE struct hl_fragment hl_raw_input(const struct hl_cx *cx, uint32_t token)
{
    hl_prefetch_input(cx, token);
    return { cx->input };
}
HL_STEP_INLINE struct hl_fragment hl_input(const struct hl_cx *cx, uint32_t token)
{
    const struct hl_fragment raw = hl_raw_input(cx, token);
    return { HL_MUTANT(NO_SANITISE) ? raw.words : hl_sanitise16(cx, raw.words) };
}
HL_STEP_INLINE void hl_store(struct hl_cx *cx, int rank, uint32_t at, struct hl_fragment f)
{
    if (cx->has_fragment)
        hl_store16(cx->call->workspace[rank] + (at + cx->at), f.words);
}

/* The mutant TORN_STORE: one 8-byte half of the fragment. */
HL_STEP_INLINE void hl_store_half(struct hl_cx *cx, int rank, uint32_t at, struct hl_fragment f,
                                  uint32_t half)
{
    if (!cx->has_fragment)
        return;
    asm volatile("st.relaxed.sys.global.v2.u32 [%0], {%1, %2};" ::"l"(cx->call->workspace[rank] +
                                                                      (at + cx->at + 2 * half)),
                 "r"(half ? f.words.z : f.words.x), "r"(half ? f.words.w : f.words.y)
                 : "memory");
}

/* Stores sentinels over one fragment of the own workspace. */
HL_STEP_INLINE void hl_store_sentinel(struct hl_cx *cx, uint32_t at, uint32_t)
{
    const uint32_t s = hl_sentinel_word(&cx->layout);
    hl_store16(cx->own + at, make_uint4(s, s, s, s));
}

/* For mutants that strike once. Replays of a graph are calls too, so their builds count them on the device,
 * in the last of the flag words. */
#define HL_CALLS_WORD (HL_FLAG_WORDS - 1)
HL_STEP_INLINE struct hl_strike hl_strike_of(const struct hl_cx *cx) { return cx->call->strike; }
/* All threads of a CTA strike together; one of them counts. */
HL_STEP_INLINE bool hl_note_strike(const struct hl_cx *cx)
{
    if (cx->block == 0 && threadIdx.x == 0)
        asm volatile("red.relaxed.sys.global.add.u32 [%0], 1;" ::"l"(cx->call->strikes) : "memory");
    return true;
}
HL_STEP_INLINE uint32_t hl_calls_before(const struct hl_cx *cx) { return hl_flag(cx, HL_CALLS_WORD); }
/* The number that the host passed, which a capture freezes. */
HL_STEP_INLINE uint32_t hl_host_epoch(const struct hl_cx *cx) { return cx->call->epoch; }

/* What a thread has of the rows it waits for. Words that have arrived stay in registers; a look loads only
 * the sources that are missing. */
struct hl_gather {
    uint4 words[HL_RANKS_MAX];
    uint32_t missing = UINT32_MAX; /* bit = source */
    uint4 reduced;
};

/* Has the word not arrived? The float comparison is the real one, compiled as -ftz=true would. */
HL_STEP_INLINE bool hl_is_missing(const struct hl_cx *cx, uint32_t word)
{
    if (cx->layout.family != HL_FAMILY_MNNVL || cx->compare != HL_COMPARE_FLOAT_FTZ)
        return hl_word_missing(&cx->layout, word, HL_COMPARE_BITS);
    uint32_t is_zero;
    asm("{\n\t.reg .pred p;\n\tsetp.eq.ftz.f32 p, %1, 0f00000000;\n\tselp.u32 %0, 1, 0, p;\n\t}"
        : "=r"(is_zero)
        : "f"(__uint_as_float(word)));
    return is_zero && word >> 31;
}
HL_STEP_INLINE bool hl_is_missing16(const struct hl_cx *cx, uint4 v)
{
    if (HL_MUTANT(TORN_STORE))
        return hl_is_missing(cx, v.x);
    return hl_is_missing(cx, v.x) | hl_is_missing(cx, v.y) | hl_is_missing(cx, v.z) | hl_is_missing(cx, v.w);
}

/* Have all sources' rows arrived at `at`, `stride` words apart? `skip` is a source that is not polled, or -1.
 */
HL_STEP_INLINE bool hl_sources_arrived(struct hl_cx *cx, struct hl_gather *g, uint32_t sources, uint32_t at,
                                       uint32_t stride, int skip)
{
    const uint32_t wanted = cx->has_fragment ? (1u << sources) - 1 : 0;
    g->missing &= skip < 0 ? wanted : wanted & ~(1u << skip);
    HL_UNROLL
    for (uint32_t source = 0; source < sources; source++)
        hl_load16_if(g->missing & 1u << source, &g->words[source], cx->own + (at + source * stride + cx->at));
    HL_UNROLL
    for (uint32_t source = 0; source < sources; source++)
        if (!hl_is_missing16(cx, g->words[source]))
            g->missing &= ~(1u << source);
    return g->missing == 0;
}
HL_STEP_INLINE bool hl_rows_arrived(struct hl_cx *cx, struct hl_gather *g, uint32_t at, uint32_t stride,
                                    int skip)
{
    return hl_sources_arrived(cx, g, (uint32_t)hl_ranks(cx), at, stride, skip);
}
HL_STEP_INLINE bool hl_row_arrived(struct hl_cx *cx, struct hl_gather *g, uint32_t at)
{
    return hl_sources_arrived(cx, g, 1, at, 0, -1);
}

/* The elements of a fragment as fp32 sums: 8, or 4 of fp32. */
struct hl_sums {
    float v[8];
};

HL_STEP_INLINE void hl_unpack_word(enum hl_dtype dtype, uint32_t word, float *low, float *high)
{
    if (dtype == HL_BF16) {
        *low = __uint_as_float(word << 16);
        *high = __uint_as_float(word & 0xffff0000u);
    } else {
        *low = __half2float(__ushort_as_half((unsigned short)word));
        *high = __half2float(__ushort_as_half((unsigned short)(word >> 16)));
    }
}
HL_STEP_INLINE struct hl_sums hl_unpack16(const struct hl_cx *cx, uint4 f)
{
    const uint32_t words[4] = { f.x, f.y, f.z, f.w };
    struct hl_sums s = {};
    HL_UNROLL
    for (int i = 0; i < 4; i++)
        if (cx->layout.dtype == HL_FP32)
            s.v[i] = __uint_as_float(words[i]);
        else
            hl_unpack_word(cx->layout.dtype, words[i], &s.v[2 * i], &s.v[2 * i + 1]);
    return s;
}
HL_STEP_INLINE uint32_t hl_pack_word(enum hl_dtype dtype, float low, float high)
{
    if (dtype == HL_BF16)
        return __bfloat16_as_ushort(__float2bfloat16_rn(low)) |
               (uint32_t)__bfloat16_as_ushort(__float2bfloat16_rn(high)) << 16;
    return __half_as_ushort(__float2half_rn(low)) | (uint32_t)__half_as_ushort(__float2half_rn(high)) << 16;
}
HL_STEP_INLINE uint4 hl_pack16(const struct hl_cx *cx, const struct hl_sums &s)
{
    uint32_t words[4];
    HL_UNROLL
    for (int i = 0; i < 4; i++)
        words[i] = cx->layout.dtype == HL_FP32 ? __float_as_uint(s.v[i])
                                               : hl_pack_word(cx->layout.dtype, s.v[2 * i], s.v[2 * i + 1]);
    return make_uint4(words[0], words[1], words[2], words[3]);
}
HL_STEP_INLINE void hl_add16(const struct hl_cx *cx, struct hl_sums *sums, uint4 f)
{
    const struct hl_sums more = hl_unpack16(cx, f);
    HL_UNROLL
    for (int i = 0; i < 8; i++)
        sums->v[i] += more.v[i];
}

/* A row that is not polled takes its place among those that are; `skip` is -1 where all are polled. */
HL_STEP_INLINE void hl_keep_own(const struct hl_cx *cx, struct hl_gather *g, int skip, uint32_t token)
{
    const struct hl_fragment own = hl_input(cx, token);
    HL_UNROLL
    for (int source = 0; source < hl_ranks(cx); source++)
        if (source == skip)
            g->words[source] = own.words;
}

/* Sums the rows that the last poll saw, in rank order. The gather is then ready for the next token. */
HL_STEP_INLINE struct hl_sums hl_sum_gathered(const struct hl_cx *cx, struct hl_gather *g)
{
    struct hl_sums sums = hl_unpack16(cx, g->words[0]);
    HL_UNROLL
    for (int source = 1; source < hl_ranks(cx); source++)
        hl_add16(cx, &sums, g->words[source]);
    g->missing = UINT32_MAX;
    return sums;
}
#define hl_sum_rows(cx, g, at, stride, skip, own) hl_sum_gathered(cx, g)

/* The row at `at` of the own workspace; the same for a row that the last poll saw. */
HL_STEP_INLINE struct hl_sums hl_load_row(struct hl_cx *cx, uint32_t at)
{
    return hl_unpack16(cx, cx->has_fragment ? hl_load16(cx->own + (at + cx->at)) : make_uint4(0, 0, 0, 0));
}
HL_STEP_INLINE struct hl_sums hl_one_row(struct hl_cx *cx, struct hl_gather *g, uint32_t)
{
    g->missing = UINT32_MAX;
    return hl_unpack16(cx, g->words[0]);
}

/* The same row of every rank's workspace, pulled and summed in rank order. */
HL_STEP_INLINE struct hl_sums hl_sum_peers(struct hl_cx *cx, uint32_t at)
{
    uint4 words[HL_RANKS_MAX];
    HL_UNROLL
    for (int source = 0; source < hl_ranks(cx); source++)
        hl_load16_if(cx->has_fragment, &words[source], cx->call->workspace[source] + (at + cx->at));
    struct hl_sums sums = hl_unpack16(cx, words[0]);
    HL_UNROLL
    for (int source = 1; source < hl_ranks(cx); source++)
        hl_add16(cx, &sums, words[source]);
    return sums;
}

/* Stores the 3-valued flag of this CTA to a peer, in release order (T:1019-1024): a barrier and one fence,
 * before the first peer, stand for a releasing store to each flag. */
HL_STEP_INLINE void hl_release_flags(struct hl_cx *cx, int peer, uint32_t value)
{
    if (peer == 0) {
        hl_cta_barrier(cx);
        if (!HL_MUTANT(NO_RELEASE))
            __threadfence_system();
    }
    if (cx->block == 0)
        for (uint32_t flag = cx->cta + cx->ctas * threadIdx.x; flag < HL_TRTLLM_BARRIER_FLAGS;
             flag += cx->ctas * blockDim.x)
            hl_store_word(cx->call->workspace[peer] +
                              hl_trtllm_barrier_flag(&cx->layout, flag, (uint32_t)hl_rank(cx)),
                          value);
}
HL_STEP_INLINE bool hl_no_peer_at(struct hl_cx *cx, uint32_t at, uint32_t value)
{
    uint32_t waiting = 0;
    HL_UNROLL
    for (int peer = 0; peer < hl_ranks(cx); peer++)
        waiting |= hl_load_word(cx->own + at + peer) == value;
    if (waiting)
        return false;
    __threadfence_system();
    return true;
}

/* NCCL-like slots hold (word, epoch) pairs: a word has arrived when its epoch is this call's. */
HL_STEP_INLINE void hl_store_with_epoch(struct hl_cx *cx, int rank, uint32_t at, struct hl_fragment f,
                                        uint32_t epoch)
{
    if (!cx->has_fragment)
        return;
    uint32_t *to = cx->call->workspace[rank] + (at + 2 * cx->at);
    hl_store16(to, make_uint4(f.words.x, epoch, f.words.y, epoch));
    hl_store16(to + HL_CUDA_FRAGMENT_WORDS, make_uint4(f.words.z, epoch, f.words.w, epoch));
}
HL_STEP_INLINE bool hl_rows_at_epoch(struct hl_cx *cx, struct hl_gather *g, uint32_t at, uint32_t epoch)
{
    g->missing &= cx->has_fragment ? (1u << hl_ranks(cx)) - 1 : 0;
    HL_UNROLL
    for (uint32_t source = 0; source < (uint32_t)hl_ranks(cx); source++) {
        if (!(g->missing & 1u << source))
            continue;
        const uint32_t *from = cx->own + (at + source * 2 * cx->layout.row_words + 2 * cx->at);
        const uint4 a = hl_load16(from), b = hl_load16(from + HL_CUDA_FRAGMENT_WORDS);
        if (a.y != epoch || a.w != epoch || b.y != epoch || b.w != epoch)
            continue;
        g->words[source] = make_uint4(a.x, a.z, b.x, b.z);
        g->missing &= ~(1u << source);
    }
    return g->missing == 0;
}
HL_STEP_INLINE struct hl_sums hl_sum_rows_at_epoch(struct hl_cx *cx, struct hl_gather *g, uint32_t)
{
    return hl_sum_gathered(cx, g);
}

/* The sum rounded to the data type, in the residual output: what a plain allreduce leaves for the next
 * kernel. */
HL_STEP_INLINE void hl_store_sum(struct hl_cx *cx, uint32_t token, const struct hl_sums &sums)
{
    if (cx->has_fragment)
        *(uint4 *)(cx->call->residual_out + hl_row_at(cx, token)) = hl_pack16(cx, sums);
}
HL_STEP_INLINE struct hl_sums hl_load_fragment(const struct hl_cx *cx, const uint32_t *rows, uint32_t token)
{
    if (!cx->has_fragment)
        return {};
    return hl_unpack16(cx, hl_load_row16(rows + hl_row_at(cx, token)));
}
HL_STEP_INLINE struct hl_sums hl_load_sum(struct hl_cx *cx, uint32_t token)
{
    return hl_load_fragment(cx, cx->call->residual_out, token);
}
HL_STEP_INLINE struct hl_sums hl_load_input(struct hl_cx *cx, uint32_t token)
{
    return hl_load_fragment(cx, cx->call->input, token);
}

/* Rounds a sum to the data type, sanitises it and keeps it for hl_reduced(). */
HL_STEP_INLINE void hl_keep_reduced(struct hl_cx *cx, struct hl_gather *g, const struct hl_sums &sums)
{
    g->reduced = hl_sanitise16(cx, hl_pack16(cx, sums));
}
HL_STEP_INLINE struct hl_fragment hl_reduced(const struct hl_cx *, struct hl_gather *g)
{
    return { g->reduced };
}

#include "cuda/norm.cuh"

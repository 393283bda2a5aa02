/* Where everything stands in a rank's workspace: flags, barrier flags, buffers, slots.
 *
 * Used by the step sources to address and by the flag decoder to read. All offsets are in 32-bit
 * words from the start of the rank's workspace:
 *
 *   flags[16] | barrier flags (trtllm: 256 per peer) | comm (trtllm two-shot) | 3 rotating buffers
 *
 * C11 and CUDA C++. */
#pragma once
#include <stddef.h>
#include "protocol.h"

/* What a workspace family is laid out for. */
enum hl_family { HL_FAMILY_MNNVL, HL_FAMILY_TRTLLM, HL_FAMILY_NCCL };

struct hl_layout {
    enum hl_family family;
    enum hl_dtype dtype;
    int ranks;
    uint32_t tokens_max; /* most tokens that one call may have */
    uint32_t row_words;  /* 32-bit words of one row (hidden elements) */
    uint32_t barrier_at; /* trtllm: barrier flags, [flag][peer] */
    uint32_t comm_at;    /* trtllm two-shot: input rows, then reduced rows */
    uint32_t buffers_at;
    uint32_t words_per_buffer; /* a multiple of 8: buffers are 32-byte aligned (flashinfer#4473) */
    uint32_t gap;              /* words of guard before each buffer, a multiple of 8; 0: none */
    uint32_t words;            /* of the whole workspace */
    uint32_t depth;            /* buffers that calls rotate through: 3, but for a mutant */
};

HL_INLINE enum hl_family hl_protocol_family(enum hl_protocol protocol)
{
    switch (protocol) {
    case HL_MNNVL_ONESHOT:
    case HL_MNNVL_TWOSHOT: return HL_FAMILY_MNNVL;
    case HL_TRTLLM_ONESHOT:
    case HL_TRTLLM_TWOSHOT: return HL_FAMILY_TRTLLM;
    default: return HL_FAMILY_NCCL;
    }
}

/* What the buffers are filled with: trtllm initialises per element, the others per word. */
HL_INLINE uint32_t hl_sentinel_word(const struct hl_layout *l)
{
    return l->family == HL_FAMILY_TRTLLM && l->dtype != HL_FP32 ? HL_SENTINEL16 << 16 | HL_SENTINEL16
                                                                : HL_SENTINEL;
}
/* Does a wait of this family still wait while its slot holds `word`? */
HL_INLINE int hl_word_missing(const struct hl_layout *l, uint32_t word, enum hl_compare compare)
{
    return l->family == HL_FAMILY_TRTLLM ? hl_has_negative_zero(word, l->dtype)
                                         : hl_is_sentinel(word, compare);
}

HL_INLINE uint32_t hl_div_up(uint32_t a, uint32_t b) { return (a + b - 1) / b; }
HL_INLINE uint32_t hl_round_up(uint32_t a, uint32_t b) { return hl_div_up(a, b) * b; }

/* Rows of a buffer that one call takes. */
HL_INLINE uint64_t hl_protocol_rows(enum hl_protocol protocol, uint64_t ranks, uint64_t tokens)
{
    return protocol == HL_MNNVL_TWOSHOT ? 2 * ((tokens + ranks - 1) / ranks) * ranks : tokens * ranks;
}

/* Words of a buffer that holds one call of `tokens`, whichever strategy it takes (mnnvl_ar.py:241-249). */
HL_INLINE uint32_t hl_buffer_words(enum hl_family family, int ranks, uint32_t tokens, uint32_t row_words)
{
    const uint32_t oneshot = tokens * (uint32_t)ranks * row_words;
    const uint32_t twoshot = 2 * hl_div_up(tokens, (uint32_t)ranks) * (uint32_t)ranks * row_words;
    switch (family) {
    case HL_FAMILY_MNNVL: return hl_round_up(oneshot > twoshot ? oneshot : twoshot, 8);
    case HL_FAMILY_TRTLLM: return hl_round_up(oneshot, 8);
    default: return hl_round_up(2 * oneshot, 8); /* a word and its epoch */
    }
}

HL_INLINE struct hl_layout hl_layout_make(enum hl_family family, int ranks, uint32_t tokens_max,
                                          uint32_t hidden, enum hl_dtype dtype)
{
    struct hl_layout l;
    l.family = family;
    l.dtype = dtype;
    l.ranks = ranks;
    l.tokens_max = tokens_max;
    l.row_words = hidden * hl_dtype_bytes(dtype) / 4;
    l.barrier_at = HL_FLAG_WORDS;
    l.comm_at = l.barrier_at + (family == HL_FAMILY_TRTLLM ? (uint32_t)ranks * HL_TRTLLM_BARRIER_FLAGS : 0);
    l.buffers_at = l.comm_at + (family == HL_FAMILY_TRTLLM ? 2 * tokens_max * l.row_words : 0);
    l.words_per_buffer = hl_buffer_words(family, ranks, tokens_max, l.row_words);
    l.gap = 0;
    l.words = l.buffers_at + 3 * l.words_per_buffer;
    l.depth = 3;
    return l;
}

/* The same layout with buffers of another size, a multiple of 8 words. */
HL_INLINE struct hl_layout hl_layout_sized(struct hl_layout l, uint32_t words_per_buffer)
{
    l.words_per_buffer = words_per_buffer;
    l.words = l.buffers_at + 3 * words_per_buffer;
    return l;
}

/* The same layout with `gap` words before each buffer, which nobody has any business with. */
HL_INLINE struct hl_layout hl_layout_guarded(struct hl_layout l, uint32_t gap)
{
    l.gap = gap;
    l.buffers_at += gap;
    l.words += 3 * gap;
    return l;
}
HL_INLINE uint32_t hl_buffer_at(const struct hl_layout *l, uint32_t buffer)
{
    return l->buffers_at + buffer * (l->words_per_buffer + l->gap);
}

/* Stages that a protocol divides a buffer into; the same bytes are 1 stage for one-shot and 2 for two-shot.
 */
HL_INLINE int hl_protocol_stages(enum hl_protocol protocol) { return protocol == HL_MNNVL_TWOSHOT ? 2 : 1; }

/* `stages` is 1 or 2: a shift, because a GPU divides slowly. */
HL_INLINE uint32_t hl_stage_at(const struct hl_layout *l, uint32_t buffer, uint32_t stage, uint32_t stages)
{
    return hl_buffer_at(l, buffer) + stage * (l->words_per_buffer >> (stages == 2));
}

/* mnnvl one-shot: [token][rank][hidden] (M:946). */
HL_INLINE uint32_t hl_mnnvl_oneshot_slot(const struct hl_layout *l, uint32_t buffer, uint32_t token,
                                         uint32_t source)
{
    return hl_stage_at(l, buffer, 0, 1) + (token * (uint32_t)l->ranks + source) * l->row_words;
}
/* mnnvl two-shot: rank token % ranks reduces a token; SCATTER is [token / ranks][source][hidden] there
 * (M:1298). */
HL_INLINE uint32_t hl_mnnvl_scatter_slot(const struct hl_layout *l, uint32_t buffer, uint32_t token,
                                         uint32_t source)
{
    const uint32_t ranks = (uint32_t)l->ranks;
    return hl_stage_at(l, buffer, 0, 2) + (token / ranks * ranks + source) * l->row_words;
}
/* BROADCAST is [token][hidden] (M:1316). */
HL_INLINE uint32_t hl_mnnvl_broadcast_slot(const struct hl_layout *l, uint32_t buffer, uint32_t token)
{
    return hl_stage_at(l, buffer, 1, 2) + token * l->row_words;
}
/* trtllm one-shot: [rank][token][hidden], so the stride depends on this call's tokens (T:1528). */
HL_INLINE uint32_t hl_trtllm_oneshot_slot(const struct hl_layout *l, uint32_t buffer, uint32_t token,
                                          uint32_t source, uint32_t tokens)
{
    return hl_stage_at(l, buffer, 0, 1) + (source * tokens + token) * l->row_words;
}
/* trtllm two-shot: input rows, then reduced rows. */
HL_INLINE uint32_t hl_trtllm_comm_slot(const struct hl_layout *l, uint32_t reduced, uint32_t token)
{
    return l->comm_at + (reduced * l->tokens_max + token) * l->row_words;
}
HL_INLINE uint32_t hl_trtllm_barrier_flag(const struct hl_layout *l, uint32_t flag, uint32_t peer)
{
    return l->barrier_at + flag * (uint32_t)l->ranks + peer;
}
/* NCCL-like: [token][rank][hidden] of (word, epoch) pairs in 2 of the 3 buffers. */
HL_INLINE uint32_t hl_nccl_slot(const struct hl_layout *l, uint32_t buffer, uint32_t token, uint32_t source)
{
    return hl_stage_at(l, buffer, 0, 1) + (token * (uint32_t)l->ranks + source) * 2 * l->row_words;
}

/* Bytes that a call leaves dirty in one stage of its buffer (rotation writes them into the flags). */
HL_INLINE uint32_t hl_mnnvl_dirty_bytes(const struct hl_layout *l, enum hl_protocol protocol, uint32_t stage,
                                        uint32_t tokens)
{
    const uint32_t ranks = (uint32_t)l->ranks, row_bytes = l->row_words * 4;
    if (protocol == HL_MNNVL_ONESHOT)
        return stage == 0 ? tokens * ranks * row_bytes : 0;
    return stage == 0 ? hl_round_up(tokens, ranks) * row_bytes : tokens * row_bytes;
}

/* The flags of a fresh workspace (trtllm_mnnvl_ar.py:184-190, trtllm_ar.py:745-766); the other words are 0.
 */
HL_INLINE void hl_workspace_flags(const struct hl_layout *l, uint32_t *flags)
{
    if (l->family == HL_FAMILY_MNNVL) {
        flags[HL_MNNVL_DIRTY] = 2;
        flags[HL_MNNVL_BYTES_PER_BUFFER] = l->words_per_buffer * 4;
    } else if (l->family == HL_FAMILY_TRTLLM) {
        flags[HL_TRTLLM_COMM_BYTES] = l->words_per_buffer * 4;
    }
}

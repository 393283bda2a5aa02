/* The contents of rows, word by word: fresh values, payload patterns, and the residue that pool memory holds.
 * One generator for both engines, so that a row of the simulator and a row of the GPU are the same bits.
 *
 * What an unwritten row holds depends on who used the memory before. Residue is a model of it: ordinary
 * values, except that a row holds one negative-subnormal word with the probability
 * `payload.residue.negative_subnormal_rows`, and one NaN with `nan_rows`. Leftovers are what work in another
 * data type really writes: a GPU's pool gives the block of an fp8 tensor to a bf16 one and clears nothing.
 * C11 and CUDA C++, no state: any word of a row can be had without the words before it. */
#pragma once
#include "hanglab/config.h"
#include "kernels/protocol.h"

#define HL_ROW_GOLDEN 0x9e3779b97f4a7c15u

HL_INLINE uint64_t hl_row_mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* A generator for one row; `a`, `b` and `c` tell rows apart. */
HL_INLINE uint64_t hl_row_seed(uint64_t seed, uint32_t a, uint32_t b, uint32_t c)
{
    return hl_row_mix(hl_row_mix(hl_row_mix(seed + a) + (uint64_t)HL_ROW_GOLDEN * (b + 1)) +
                      0xd1b54a32d192ed03u * (c + 1));
}

/* Draw `n` of a row's generator, from 1. */
HL_INLINE uint32_t hl_row_draw(uint64_t x, uint32_t n)
{
    return (uint32_t)(hl_row_mix(x + n * HL_ROW_GOLDEN) >> 16);
}

/* Normal numbers with magnitudes from 1/8 to 4, either sign. */
HL_INLINE uint32_t hl_ordinary_bits(uint32_t random, enum hl_dtype dtype)
{
    switch (dtype) {
    case HL_BF16: return 0x3e803e80u + (random & 0x01ff01ffu) + (random << 3 & 0x80008000u);
    case HL_FP16: return 0x30003000u + (random & 0x0fff0fffu) + (random << 3 & 0x80008000u);
    default: return 0x3e800000u + (random & 0x01ffffffu) + (random << 3 & 0x80000000u);
    }
}

/* Words 2 * pair and 2 * pair + 1 of an ordinary row, the first one in the low half. */
HL_INLINE uint64_t hl_ordinary_pair(uint64_t x, enum hl_dtype dtype, uint32_t pair)
{
    const uint64_t random = hl_row_mix(x + (pair + 1) * HL_ROW_GOLDEN);
    return hl_ordinary_bits((uint32_t)random, dtype) |
           (uint64_t)hl_ordinary_bits((uint32_t)(random >> 32), dtype) << 32;
}
HL_INLINE uint32_t hl_ordinary_word(uint64_t x, enum hl_dtype dtype, uint32_t i)
{
    return (uint32_t)(hl_ordinary_pair(x, dtype, i / 2) >> (i % 2 * 32));
}

HL_INLINE uint32_t hl_nan_word(enum hl_dtype dtype)
{
    return dtype == HL_FP16 ? 0x7e007e00u : dtype == HL_BF16 ? 0x7fc07fc0u : 0x7fc00000u;
}

/* What is out of the ordinary in a row of residue: at most two words. */
struct hl_residue_words {
    uint32_t subnormal_at, subnormal, nan_at; /* UINT32_MAX: there is none */
};

HL_INLINE struct hl_residue_words hl_residue_draw(uint64_t x, uint32_t words, double subnormal_rows,
                                                  double nan_rows)
{
    struct hl_residue_words r = { UINT32_MAX, 0, UINT32_MAX };
    uint32_t n = 0;
    if (hl_row_draw(x, ++n) * 0x1p-32 < subnormal_rows) {
        r.subnormal = 0x80010000u + (hl_row_draw(x, ++n) % 127 << 16);
        r.subnormal_at = hl_row_draw(x, ++n) % words;
    }
    if (hl_row_draw(x, ++n) * 0x1p-32 < nan_rows)
        r.nan_at = hl_row_draw(x, ++n) % words;
    return r;
}

HL_INLINE uint32_t hl_residue_word(const struct hl_residue_words *r, uint64_t x, enum hl_dtype dtype,
                                   uint32_t i)
{
    if (i == r->nan_at)
        return hl_nan_word(dtype);
    return i == r->subnormal_at ? r->subnormal : hl_ordinary_word(hl_row_mix(x), dtype, i);
}

/*
 * Leftovers: tensors of a pool's other tenants, in 32-bit words.
 */

enum hl_tenant {
    HL_TENANT_FP32,  /* activations */
    HL_TENANT_INT64, /* slot numbers of a block table, its end padded with -1 */
    HL_TENANT_FP8,   /* activations in e4m3 with scale 1: small negative numbers become -0 */
    HL_TENANT_COUNT
};

/* Around 0 with variance 1: the sum of two uniform draws. */
HL_INLINE float hl_activation(uint32_t random)
{
    return (float)((int32_t)(random & 0xffff) + (int32_t)(random >> 16) - 0xffff) * (1 / 26754.5f);
}

/* To the nearest e4m3, ties to even, as the hardware converts; for magnitudes below 448. */
HL_INLINE uint32_t hl_fp8_bits(float v)
{
    const float magnitude = v < 0 ? -v : v;
    float unit = 0x1p-9f; /* between neighbours */
    uint32_t base = 0;    /* code of the first number with that distance, a whole exponent's */
    while (magnitude >= 16 * unit) {
        unit *= 2;
        base += 8;
    }
    const float steps = magnitude / unit; /* exact: a power of two */
    const uint32_t whole = (uint32_t)steps;
    const float rest = steps - (float)whole;
    return (v < 0 ? 0x80u : 0) | (base + whole + (rest > 0.5f || (rest == 0.5f && whole % 2)));
}

/* Word `i` of a row of `words` words that the tenant wrote. */
HL_INLINE uint32_t hl_tenant_word(enum hl_tenant tenant, uint64_t x, uint32_t i, uint32_t words)
{
    uint32_t word = 0;
    switch (tenant) {
    case HL_TENANT_FP32: return hl_ordinary_word(x, HL_FP32, i);
    case HL_TENANT_INT64:
        if (i >= words / 8 * 7)
            return UINT32_MAX;
        return i % 2 ? 0 : hl_row_draw(x, i / 32 + 1) % 8192 * 16 + i / 2 % 16;
    default:
        for (uint32_t byte = 0; byte < 4; byte++)
            word |= hl_fp8_bits(hl_activation(hl_row_draw(x, 4 * i + byte + 1))) << 8 * byte;
        return word;
    }
}

/* Who had a block before: one tenant at a time. `x` is of the block and its turn. */
HL_INLINE enum hl_tenant hl_tenant_of(uint64_t x)
{
    return (enum hl_tenant)(hl_row_draw(x, 1) % HL_TENANT_COUNT);
}

/* The regression pattern of flashinfer#3304: pairs (0x0000, 0x8001..0x807f), then 0x8000, then
 * 0x0001..0x007f. */
HL_INLINE uint32_t hl_subnormal_word(uint32_t i, uint32_t words)
{
    if (i < words / 4 + 1)
        return (0x8001u + i % 127) << 16;
    if (i < words / 2)
        return 0x80008000u;
    return (0x0001u + i % 127) << 16 | (0x0001u + i % 127);
}

HL_INLINE uint32_t hl_pattern_word(enum hl_payload_pattern pattern, enum hl_dtype dtype, uint64_t x,
                                   uint32_t i, uint32_t words)
{
    switch (pattern) {
    case HL_PAYLOAD_SUBNORMAL: return hl_subnormal_word(i, words);
    case HL_PAYLOAD_NEGATIVE_ZERO:
        return dtype == HL_FP32 ? HL_SENTINEL : HL_SENTINEL16 << 16 | HL_SENTINEL16;
    case HL_PAYLOAD_RANDOM_BITS: return hl_row_draw(x, i + 1);
    case HL_PAYLOAD_NAN: return hl_nan_word(dtype);
    default: return 0;
    }
}

/* Rows of bf16, fp16 or fp32 to and from float, two 16-bit elements in a word, low half first. */
#pragma once
#include <stdint.h>
#include <string.h>
#include "../protocol.h"

static inline float hl_float_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t hl_bits_of_float(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* Round to nearest even; NaN stays NaN (0x7fff, as cvt.rn.bf16.f32 gives). */
static inline uint16_t hl_bf16_of_float(float f)
{
    const uint32_t bits = hl_bits_of_float(f);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return 0x7fff;
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

static inline float hl_float_of_fp16(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, fraction = h & 0x3ffu;
    if (exponent == 31)
        return hl_float_of_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent)
        return hl_float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
    const float tiny = (float)fraction * 0x1p-24f;
    return sign ? -tiny : tiny;
}

static inline uint16_t hl_fp16_of_float(float f)
{
    const uint32_t bits = hl_bits_of_float(f), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return 0x7fff;
    if (magnitude >= 0x477ff000u) /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) { /* subnormal: the addition rounds to a multiple of 2^-24 */
        const float rounded = hl_float_of_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (hl_bits_of_float(rounded) - 0x3f000000u));
    }
    return (uint16_t)(sign | (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13);
}

/* The elements of `words` words of a row, as floats. */
static inline void hl_unpack_row(const uint32_t *row, uint32_t words, enum hl_dtype dtype, float *out)
{
    switch (dtype) {
    case HL_BF16:
        for (uint32_t i = 0; i < words; i++) {
            out[2 * i] = hl_float_of_bits(row[i] << 16);
            out[2 * i + 1] = hl_float_of_bits(row[i] & 0xffff0000u);
        }
        break;
    case HL_FP16:
        for (uint32_t i = 0; i < words; i++) {
            out[2 * i] = hl_float_of_fp16((uint16_t)row[i]);
            out[2 * i + 1] = hl_float_of_fp16((uint16_t)(row[i] >> 16));
        }
        break;
    default: memcpy(out, row, words * sizeof *row);
    }
}

static inline void hl_pack_row(const float *in, uint32_t words, enum hl_dtype dtype, uint32_t *row)
{
    switch (dtype) {
    case HL_BF16:
        for (uint32_t i = 0; i < words; i++)
            row[i] = hl_bf16_of_float(in[2 * i]) | (uint32_t)hl_bf16_of_float(in[2 * i + 1]) << 16;
        break;
    case HL_FP16:
        for (uint32_t i = 0; i < words; i++)
            row[i] = hl_fp16_of_float(in[2 * i]) | (uint32_t)hl_fp16_of_float(in[2 * i + 1]) << 16;
        break;
    default: memcpy(row, in, words * sizeof *row);
    }
}

/* Filler kernels: the computation between allreduces, reduced to what they leave in a block of rows. */
#pragma once
#include <stdbool.h>
#include "../protocol.h"

struct CUstream_st;

struct hl_cuda_fill {
    uint32_t *output;       /* device: [rows][row_words] */
    const uint32_t *source; /* device: rows to copy as they are; NULL writes fresh values */
    uint32_t *executions;   /* device: 2 words, zero at first; counts how often this filler has run. NULL with
                               source */
    uint32_t rows, row_words; /* a row is a multiple of 16 bytes */
    enum hl_dtype dtype;
    uint32_t seed; /* of the rank's filler: no two share one */
    bool pdl;
};

#ifdef __cplusplus
extern "C"
#endif
    int
    hl_cuda_fill(const struct hl_cuda_fill *fill, struct CUstream_st *stream);

/* Element `element` of row `row` in execution `execution`, in units of 1/64: exact in every data type, never
 * 0. */
HL_INLINE int hl_fresh_64ths(uint32_t seed, uint32_t execution, uint32_t row, uint32_t element)
{
    uint32_t h = seed * 0x9e3779b1u + execution * 0x85ebca6bu + row * 0xc2b2ae35u + element * 0x27d4eb2fu;
    h = (h ^ h >> 15) * 0x2c1b3c6du;
    h = (h ^ h >> 12) * 0x297a2d39u;
    h ^= h >> 15;
    return (h & 1 ? 1 : -1) * (int)(1 + (h >> 1) % 127);
}

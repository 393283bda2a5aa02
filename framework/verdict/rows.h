/* One row against its float64 reference: how far a right kernel may be off, and what it may give where
 * numbers overflow or are none.
 *
 * The tolerance follows from the roundings of the kernels, not from trial. With u32 = 2^-24 and u the unit
 * roundoff of the data type:
 *   - the fp32 sum of n rows and the residual, in rank order, is off by at most about n * u32 * sum of the
 *     magnitudes (Higham, Accuracy and Stability, 4.2), and by 2^-126 an operation where subnormals are
 * flushed;
 *   - two-shot and NCCL-like calls round the sum once to the data type on its way: u * |sum|;
 *   - a plugin may round each of its additions to the data type, as FlashInfer's trtllm kernels do unless
 *     they are asked for fp32: u * sum of the magnitudes, each time;
 *   - residual out is rounded once more: u * |residual out|, and half the smallest subnormal;
 *   - the norm sees the error of every element of its row through the mean of squares. A serial fp32 sum of
 *     `hidden` squares is off by a factor of 1 + hidden * u32 at most, its root by half of that; the few
 *     products, the division and an approximate root add 16 * u32. */
#pragma once
#include <stdbool.h>
#include "../../kernels/layout.h"

struct hl_row_rules {
    enum hl_dtype dtype;
    uint32_t hidden;
    double unit; /* of the data type's rounding */
    double half_subnormal;
    double overflows_at;                    /* rounds to infinity from here on */
    double plain_below;                     /* magnitudes below it overflow nowhere */
    double per_sum, per_magnitude, flushed; /* error before the last rounding */
    double per_norm;
};

struct hl_row_rules hl_row_rules_make(enum hl_dtype dtype, uint32_t hidden, int ranks,
                                      enum hl_protocol protocol, int roundings);

/* The reference of one row: the sum of the ranks' rows, and the sum of the magnitudes of what is finite in
 * them. */
struct hl_row_reference {
    const double *sum, *magnitude;
    const float *residual, *gamma;
};

/* Room for one row of HL_HIDDEN_MAX elements at every stage of a check. */
struct hl_row_scratch {
    float got[HL_HIDDEN_MAX];
    double value[HL_HIDDEN_MAX], error[HL_HIDDEN_MAX]; /* residual out before its rounding, and its error */
};

struct hl_row_result {
    uint64_t wrong;   /* elements, in both outputs */
    uint32_t element; /* the first one */
    bool in_norm_out;
    double got, want;
};

/* Compares both outputs of a row. An element that still holds the poison is wrong. */
struct hl_row_result hl_row_check(const struct hl_row_rules *rules, const struct hl_row_reference *reference,
                                  const uint32_t *residual_out, const uint32_t *norm_out,
                                  struct hl_row_scratch *scratch);

/* Is residual out what the reference says, in every element that overflows nowhere, and is there one? */
bool hl_row_resembles(const struct hl_row_rules *rules, const struct hl_row_reference *reference,
                      const uint32_t *residual_out, struct hl_row_scratch *scratch);

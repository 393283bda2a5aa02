/* What a CTA computes of sums, on the CPU: no other agent sees any of it, so none of it is a step. The end of
 * step_sim.h. */
#pragma once
#include "../step.h"

/* The sum rounded to the data type, in the residual output: what a plain allreduce leaves for the next
 * kernel. */
static inline void hl_store_sum(struct hl_cx *cx, uint32_t token, const float *sums)
{
    hl_pack_row(sums, cx->layout.row_words, cx->layout.dtype,
                cx->residual_out + (size_t)token * cx->layout.row_words);
}
static inline float *hl_load_sum(struct hl_cx *cx, uint32_t token)
{
    float *sums = hl_sums(cx);
    hl_unpack_row(cx->residual_out + (size_t)token * cx->layout.row_words, cx->layout.row_words,
                  cx->layout.dtype, sums);
    return sums;
}
static inline float *hl_load_input(struct hl_cx *cx, uint32_t token)
{
    float *sums = hl_sums(cx);
    hl_unpack_row(cx->input + (size_t)token * cx->layout.row_words, cx->layout.row_words, cx->layout.dtype,
                  sums);
    return sums;
}

/* Rounds a sum to the data type, sanitises it and keeps it for hl_reduced(). */
static inline void hl_keep_reduced(struct hl_cx *cx, struct hl_gather *g, const float *sums)
{
    (void)g;
    hl_pack_row(sums, cx->layout.row_words, cx->layout.dtype, cx->regs);
    for (uint32_t i = 0; i < cx->layout.row_words; i++)
        cx->regs[i] = hl_sanitise(cx->regs[i], cx->layout.dtype);
}

static inline struct hl_fragment hl_reduced(const struct hl_cx *cx, struct hl_gather *g)
{
    (void)g;
    return (struct hl_fragment){ cx->regs, false };
}

/* residual out = sum + residual; norm out = residual out / rms * gamma. */
static inline void hl_finish_row(struct hl_cx *cx, uint32_t token, float *sums)
{
    const size_t row = (size_t)token * cx->layout.row_words;
    hl_add_row(cx, sums, cx->residual + row);
    hl_pack_row(sums, cx->layout.row_words, cx->layout.dtype, cx->residual_out + row);
    float gamma[HL_HIDDEN_MAX], squares = 0;
    for (uint32_t i = 0; i < cx->hidden; i++)
        squares += sums[i] * sums[i];
    const float scale = 1.0f / sqrtf(squares / (float)cx->hidden + HL_RMS_EPSILON);
    hl_unpack_row(cx->gamma, cx->layout.row_words, cx->layout.dtype, gamma);
    for (uint32_t i = 0; i < cx->hidden; i++)
        sums[i] *= scale * gamma[i];
    hl_pack_row(sums, cx->layout.row_words, cx->layout.dtype, cx->norm_out + row);
}

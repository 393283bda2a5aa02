/* The numbers of the oracle. A row of everyday values takes a few plain loops, which the compiler vectorises;
 * only a row with a suspicious element is looked at element by element. */
#include "rows.h"
#include <float.h>
#include <math.h>
#include "../../kernels/sim/numbers.h"
#include "../../watchdog/feed.h"

#define U32 0x1p-24

struct hl_row_rules hl_row_rules_make(enum hl_dtype dtype, uint32_t hidden, int ranks,
                                      enum hl_protocol protocol, int roundings)
{
    static const struct {
        double unit, half_subnormal, overflows_at, plain_below;
    } types[HL_DTYPE_COUNT] = {
        [HL_BF16] = { 0x1p-8, 0x1p-134, 0x1.ffp127, 0x1p126 },
        [HL_FP16] = { 0x1p-11, 0x1p-25, 65520, 32768 },
        [HL_FP32] = { U32, 0x1p-150, 0x1.ffffffp127, 0x1p126 },
    };
    const bool rounds_sum =
        roundings > 0 || protocol == HL_MNNVL_TWOSHOT || protocol == HL_TRTLLM_TWOSHOT || protocol == HL_NCCL;
    return (struct hl_row_rules){ .dtype = dtype,
                                  .hidden = hidden,
                                  .unit = types[dtype].unit,
                                  .half_subnormal = types[dtype].half_subnormal,
                                  .overflows_at = types[dtype].overflows_at,
                                  .plain_below = types[dtype].plain_below,
                                  .per_sum = rounds_sum ? types[dtype].unit : 0,
                                  .per_magnitude = (ranks + 2) * U32 + roundings * types[dtype].unit,
                                  .flushed = (ranks + 2) * 0x1p-126 +
                                             (roundings + rounds_sum) * types[dtype].half_subnormal,
                                  .per_norm = (hidden / 2.0 + 16) * U32 };
}

static inline double tolerance(const struct hl_row_rules *rules, double value, double error)
{
    return error + rules->unit * (fabs(value) + error) + rules->half_subnormal;
}

/* Residual out before its last rounding, and how far the kernel's may be off. Returns whether no element can
 * overflow or is not a number. */
static bool expect_values(const struct hl_row_rules *rules, const struct hl_row_reference *reference,
                          struct hl_row_scratch *scratch)
{
    const double per_sum = rules->per_sum, per_magnitude = rules->per_magnitude, flushed = rules->flushed;
    const double plain_below = rules->plain_below;
    const double *restrict sum = reference->sum, *restrict magnitude = reference->magnitude;
    const float *restrict residual = reference->residual;
    double *restrict value = scratch->value, *restrict error = scratch->error;
    int odd = 0;
    for (uint32_t i = 0; i < rules->hidden; i++) {
        const double size = magnitude[i] + fabs((double)residual[i]);
        value[i] = sum[i] + residual[i];
        error[i] = per_sum * fabs(sum[i]) + per_magnitude * size + flushed;
        odd |= !(fabs(value[i]) + size < plain_below);
    }
    return !odd;
}

static bool all_within(const struct hl_row_rules *rules, const float *restrict got,
                       const double *restrict want, const double *restrict error)
{
    const double unit = rules->unit, half_subnormal = rules->half_subnormal;
    int wrong = 0;
    for (uint32_t i = 0; i < rules->hidden; i++) {
        const double margin = error[i] + unit * (fabs(want[i]) + error[i]) + half_subnormal;
        wrong |= !(fabs(got[i] - want[i]) <= margin);
    }
    return !wrong;
}

/* Could fp32 overflow on the way to this element, or the data type where the sum is rounded? Then the order
 * of the additions decides what comes out, and any result is right. */
static bool is_undecided(const struct hl_row_rules *rules, const struct hl_row_reference *reference,
                         const struct hl_row_scratch *scratch, uint32_t i)
{
    const double residual = fabs((double)reference->residual[i]);
    const double size = reference->magnitude[i] + (isfinite(residual) ? residual : 0);
    const double sum = fabs(reference->sum[i]);
    return size >= FLT_MAX * (1 - 0x1p-20) ||
           (rules->per_sum > 0 && isfinite(sum) && sum + scratch->error[i] >= rules->overflows_at);
}

/* Does a rounded result agree with what is wanted before the rounding? */
static bool agrees(const struct hl_row_rules *rules, double got, double want, double error)
{
    if (isnan(want))
        return isnan(got);
    if (isinf(want))
        return got == want;
    const double margin = tolerance(rules, want, error);
    if (isinf(got))
        return fabs(want) + margin >= rules->overflows_at && (got > 0) == (want > 0);
    return fabs(got - want) <= margin;
}

/* A NaN may be right; the poison, which is one, never is. */
static bool is_poison(const struct hl_row_rules *rules, const uint32_t *row, uint32_t i)
{
    return row[i * hl_dtype_bytes(rules->dtype) / 4] == HL_POISON;
}

static void note_wrong(struct hl_row_result *result, uint32_t i, bool in_norm_out, double got, double want)
{
    if (result->wrong++ > 0)
        return;
    result->element = i;
    result->in_norm_out = in_norm_out;
    result->got = got;
    result->want = want;
}

static void inspect_residual_out(const struct hl_row_rules *rules, const struct hl_row_reference *reference,
                                 const uint32_t *row, const struct hl_row_scratch *scratch,
                                 struct hl_row_result *result)
{
    for (uint32_t i = 0; i < rules->hidden; i++) {
        const double got = scratch->got[i], want = scratch->value[i];
        const bool right =
            is_undecided(rules, reference, scratch, i) || agrees(rules, got, want, scratch->error[i]);
        if (!right || is_poison(rules, row, i))
            note_wrong(result, i, false, got, want);
    }
}

/* 1 / rms of the row, and by which part of itself it may be off. False: fp32 may overflow in the squares. */
static bool expect_scale(const struct hl_row_rules *rules, const struct hl_row_scratch *scratch,
                         double *ret_scale, double *ret_part)
{
    /* Four sums side by side, because each addition waits for the one before it. */
    double squares_of[4] = { 0 }, off_of[4] = { 0 };
    for (uint32_t i = 0; i < rules->hidden; i += 4)
        for (uint32_t k = 0; k < 4 && i + k < rules->hidden; k++) {
            const double value = fabs(scratch->value[i + k]), error = scratch->error[i + k];
            squares_of[k] += value * value;
            off_of[k] += (2 * value + error) * error;
        }
    const double squares = squares_of[0] + squares_of[1] + squares_of[2] + squares_of[3];
    const double off = off_of[0] + off_of[1] + off_of[2] + off_of[3];
    if (!((squares + off) * (1 + 2 * rules->per_norm) < FLT_MAX))
        return false;
    const double mean = squares / rules->hidden, mean_off = off / rules->hidden;
    const double scale = 1 / sqrt(mean + (double)HL_RMS_EPSILON);
    const double least = 1 / sqrt(mean + mean_off + (double)HL_RMS_EPSILON);
    const double most = 1 / sqrt((mean > mean_off ? mean - mean_off : 0) + (double)HL_RMS_EPSILON);
    *ret_scale = scale;
    *ret_part = fmax(most / scale - 1, 1 - least / scale);
    return true;
}

/* Turns the scratch's values and errors of residual out into those of norm out. */
static void expect_norm(const struct hl_row_rules *rules, const float *restrict gamma, double scale,
                        double part, struct hl_row_scratch *scratch)
{
    const double per_value = part + rules->per_norm * (1 + part), per_error = 1 + part;
    double *restrict value = scratch->value, *restrict error = scratch->error;
    for (uint32_t i = 0; i < rules->hidden; i++) {
        const double factor = scale * gamma[i];
        error[i] = fabs(factor) * (error[i] * per_error + fabs(value[i]) * per_value) + 0x1p-126;
        value[i] *= factor;
    }
}

/* A row with infinities or NaN: the squares are infinite, so 1 / rms is 0, or nothing is a number. */
static void expect_norm_of_infinite(const struct hl_row_rules *rules, struct hl_row_scratch *scratch)
{
    bool has_nan = false;
    for (uint32_t i = 0; i < rules->hidden; i++)
        has_nan |= isnan(scratch->value[i]);
    for (uint32_t i = 0; i < rules->hidden; i++) {
        scratch->value[i] = has_nan || isinf(scratch->value[i]) ? NAN : 0;
        scratch->error[i] = 0;
    }
}

static bool all_finite(const double *restrict values, uint32_t count)
{
    int odd = 0;
    for (uint32_t i = 0; i < count; i++)
        odd |= !(fabs(values[i]) <= DBL_MAX);
    return !odd;
}

/* What norm out should be, in the scratch's values. False: it cannot be told for this row. */
static bool expect_norm_row(const struct hl_row_rules *rules, const struct hl_row_reference *reference,
                            bool plain, struct hl_row_scratch *scratch)
{
    double scale, part;
    if (!plain) {
        for (uint32_t i = 0; i < rules->hidden; i++)
            if (is_undecided(rules, reference, scratch, i) || !isfinite(reference->gamma[i]))
                return false;
        if (!all_finite(scratch->value, rules->hidden)) {
            expect_norm_of_infinite(rules, scratch);
            return true;
        }
    }
    if (!expect_scale(rules, scratch, &scale, &part))
        return false;
    expect_norm(rules, reference->gamma, scale, part, scratch);
    return true;
}

static void inspect_norm_out(const struct hl_row_rules *rules, const uint32_t *row,
                             const struct hl_row_scratch *scratch, struct hl_row_result *result)
{
    for (uint32_t i = 0; i < rules->hidden; i++) {
        const double got = scratch->got[i], want = scratch->value[i];
        if (!agrees(rules, got, want, scratch->error[i]) || is_poison(rules, row, i))
            note_wrong(result, i, true, got, want);
    }
}

/* Whatever the numbers of this row may be, somebody has to have written them. */
static void inspect_undecided(const struct hl_row_rules *rules, const uint32_t *row,
                              const struct hl_row_scratch *scratch, struct hl_row_result *result)
{
    for (uint32_t i = 0; i < rules->hidden; i++)
        if (is_poison(rules, row, i))
            note_wrong(result, i, true, scratch->got[i], NAN);
}

struct hl_row_result hl_row_check(const struct hl_row_rules *rules, const struct hl_row_reference *reference,
                                  const uint32_t *residual_out, const uint32_t *norm_out,
                                  struct hl_row_scratch *scratch)
{
    const uint32_t words = rules->hidden * hl_dtype_bytes(rules->dtype) / 4;
    struct hl_row_result result = { 0 };
    const bool plain = expect_values(rules, reference, scratch);
    hl_unpack_row(residual_out, words, rules->dtype, scratch->got);
    if (!plain || !all_within(rules, scratch->got, scratch->value, scratch->error))
        inspect_residual_out(rules, reference, residual_out, scratch, &result);

    hl_unpack_row(norm_out, words, rules->dtype, scratch->got);
    if (!expect_norm_row(rules, reference, plain, scratch)) {
        inspect_undecided(rules, norm_out, scratch, &result);
        return result;
    }
    if (!plain || !all_within(rules, scratch->got, scratch->value, scratch->error))
        inspect_norm_out(rules, norm_out, scratch, &result);
    return result;
}

bool hl_row_resembles(const struct hl_row_rules *rules, const struct hl_row_reference *reference,
                      const uint32_t *residual_out, struct hl_row_scratch *scratch)
{
    bool seen = false;
    expect_values(rules, reference, scratch);
    hl_unpack_row(residual_out, rules->hidden * hl_dtype_bytes(rules->dtype) / 4, rules->dtype, scratch->got);
    for (uint32_t i = 0; i < rules->hidden; i++) {
        const double size = reference->magnitude[i] + fabs((double)reference->residual[i]);
        if (!(fabs(scratch->value[i]) + size < rules->plain_below))
            continue;
        if (!agrees(rules, scratch->got[i], scratch->value[i], scratch->error[i]))
            return false;
        seen = true;
    }
    return seen;
}

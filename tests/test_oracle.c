/* The oracle against real protocol steps: it accepts every right kernel's rounding and misses no wrong
 * number. */
#include <criterion/criterion.h>
#include <math.h>
#include "rig.h"

static const struct {
    enum hl_family family;
    enum hl_protocol protocol;
} subjects[] = {
    { HL_FAMILY_MNNVL, HL_MNNVL_ONESHOT },
    { HL_FAMILY_MNNVL, HL_MNNVL_TWOSHOT },
    { HL_FAMILY_TRTLLM, HL_TRTLLM_ONESHOT },
    { HL_FAMILY_TRTLLM, HL_TRTLLM_TWOSHOT },
    { HL_FAMILY_NCCL, HL_NCCL },
};
#define SUBJECTS (sizeof subjects / sizeof subjects[0])

static struct hl_wrong_result result_of(const struct hl_rig *rig, uint64_t *ret_checked)
{
    bool failed;
    const struct hl_wrong_result wrong = hl_oracle_result(rig->oracle, ret_checked, &failed);
    cr_assert_not(failed);
    return wrong;
}

static void expect_right(const struct hl_rig *rig, uint64_t checked)
{
    uint64_t count;
    const struct hl_wrong_result wrong = result_of(rig, &count);
    cr_assert_eq(wrong.kind, HL_WRONG_NONE, "call %u of rank %d, row %u element %u: %g, want %g",
                 wrong.record.call, wrong.rank, wrong.token, wrong.element, wrong.got, wrong.want);
    cr_assert_eq(count, checked);
}

Test(oracle, accepts_every_protocol_type_and_world_size)
{
    for (size_t s = 0; s < SUBJECTS; s++)
        for (int dtype = 0; dtype < HL_DTYPE_COUNT; dtype++)
            for (int ranks = 2; ranks <= 16; ranks *= 2) {
                struct hl_rig *rig = hl_rig_create(subjects[s].family, (enum hl_dtype)dtype, ranks);
                for (uint32_t i = 0; i < 12; i++) {
                    hl_rig_issue_all(rig, subjects[s].protocol, 1 + (i * 5) % HL_RIG_TOKENS, (uint16_t)i);
                    cr_assert(hl_rig_run(rig), "subject %zu, %d ranks: call %u hangs", s, ranks, i);
                }
                expect_right(rig, 12u * (unsigned)ranks);
                hl_rig_destroy(rig);
            }
}

/* Sums that cancel almost wholly: what is left are the roundings. */
Test(oracle, accepts_cancellation)
{
    for (size_t s = 0; s < SUBJECTS; s++)
        for (int dtype = 0; dtype < HL_DTYPE_COUNT; dtype++) {
            struct hl_rig *rig = hl_rig_create(subjects[s].family, (enum hl_dtype)dtype, 4);
            for (int call = 0; call < 20; call++) {
                hl_rig_issue_all(rig, subjects[s].protocol, 4, 0);
                const uint32_t words = 4 * rig->layout.row_words;
                const uint32_t sign = dtype == HL_FP32 ? 0x80000000u : 0x80008000u;
                for (uint32_t i = 0; i < words; i++) {
                    rig->call[2].input[i] = rig->call[0].input[i] ^ sign;
                    rig->call[3].input[i] = rig->call[1].input[i] ^ sign;
                }
                memset(rig->call[0].residual, 0, sizeof rig->call[0].residual);
                cr_assert(hl_rig_run(rig));
            }
            expect_right(rig, 80);
            hl_rig_destroy(rig);
        }
}

/* Random bits: NaN, infinities, subnormals and overflow of every kind, in every second call. */
Test(oracle, accepts_random_bits_and_stays_awake)
{
    for (size_t s = 0; s < SUBJECTS; s++)
        for (int dtype = 0; dtype < HL_DTYPE_COUNT; dtype++) {
            struct hl_rig *rig = hl_rig_create(subjects[s].family, (enum hl_dtype)dtype, 4);
            uint64_t random = 88172645463325252u + (uint64_t)dtype;
            for (int call = 0; call < 40; call++) {
                hl_rig_issue_all(rig, subjects[s].protocol, 6, 0);
                for (int r = 0; call % 2 && r < 4; r++)
                    for (uint32_t i = 0; i < 6 * rig->layout.row_words; i++) {
                        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
                        if (i / rig->layout.row_words != 2) /* row 2 stays ordinary */
                            rig->call[r].input[i] = (uint32_t)(random >> 16);
                    }
                cr_assert(hl_rig_run(rig));
            }
            expect_right(rig, 160);
            /* Garbage in other rows hides nothing in an ordinary one. */
            hl_rig_issue_all(rig, subjects[s].protocol, 6, 0);
            rig->call[1].input[0] = 0x7fc07fc0;
            const uint32_t *row = rig->call[3].residual_out + 2 * rig->layout.row_words;
            cr_assert(hl_rig_run(rig));
            cr_assert(isfinite(hl_rig_get(rig, row, 5)));
            expect_right(rig, 164);
            hl_rig_destroy(rig);
        }
}

static uint32_t spoil_token, spoil_element;
static bool spoil_norm;
static double spoil_by; /* in units of the element's own tolerance, counted by hand below */

/* Twice the tolerance of a one-shot result, from the analysis in rows.h. */
static double twice_tolerance(const struct hl_rig *rig, double value, double magnitude)
{
    static const double units[] = { 0x1p-8, 0x1p-11, 0x1p-24 };
    return 2 * (units[rig->layout.dtype] * fabs(value) + (rig->ranks + 2) * 0x1p-24 * magnitude);
}

static void spoil(struct hl_rig *rig, int rank)
{
    if (rank != 1)
        return;
    struct hl_rig_call *call = &rig->call[rank];
    uint32_t *row = (spoil_norm ? call->norm_out : call->residual_out) + spoil_token * rig->layout.row_words;
    const float value = hl_rig_get(rig, row, spoil_element);
    double magnitude = 0;
    for (int r = 0; r < rig->ranks; r++)
        magnitude += fabs(
            (double)hl_rig_get(rig, rig->call[r].input + spoil_token * rig->layout.row_words, spoil_element));
    magnitude +=
        fabs((double)hl_rig_get(rig, call->residual + spoil_token * rig->layout.row_words, spoil_element));
    /* The norm's own error is below a few hundred units of fp32. */
    const double extra = spoil_norm ? 400 * 0x1p-24 * fabs((double)value) : 0;
    hl_rig_set(rig, row, spoil_element,
               (float)(value + spoil_by * (twice_tolerance(rig, value, magnitude) + extra)));
}

Test(oracle, catches_one_element_at_twice_the_tolerance_in_both_outputs)
{
    for (int dtype = 0; dtype < HL_DTYPE_COUNT; dtype++)
        for (int norm = 0; norm < 2; norm++)
            for (uint32_t element = 0; element < HL_RIG_HIDDEN; element += 7)
                for (int direction = -1; direction <= 1; direction += 2) {
                    struct hl_rig *rig = hl_rig_create(HL_FAMILY_MNNVL, (enum hl_dtype)dtype, 4);
                    rig->before_end = spoil;
                    spoil_token = 3, spoil_element = element, spoil_norm = norm, spoil_by = direction * 1.5;
                    hl_rig_issue_all(rig, HL_MNNVL_ONESHOT, 8, 0);
                    cr_assert(hl_rig_run(rig));
                    uint64_t checked;
                    const struct hl_wrong_result wrong = result_of(rig, &checked);
                    cr_assert_eq(wrong.kind, HL_WRONG_SUM, "type %d norm %d element %u", dtype, norm,
                                 element);
                    cr_assert_eq(wrong.rank, 1);
                    cr_assert_eq(wrong.token, 3);
                    cr_assert_eq(wrong.element, element);
                    cr_assert_eq(wrong.in_norm_out, norm);
                    cr_assert_eq(wrong.count, 1);
                    hl_rig_destroy(rig);
                }
}

static void forget_row(struct hl_rig *rig, int rank)
{
    for (uint32_t i = 0; rank == 2 && i < rig->layout.row_words; i++)
        rig->call[rank].norm_out[rig->layout.row_words + i] = HL_POISON;
}

Test(oracle, sees_an_untouched_row_even_where_a_nan_or_anything_is_right)
{
    for (int nan_payload = 0; nan_payload < 3; nan_payload++) { /* 2: the squares overflow */
        struct hl_rig *rig = hl_rig_create(HL_FAMILY_MNNVL, HL_BF16, 4);
        rig->before_end = forget_row;
        hl_rig_issue_all(rig, HL_MNNVL_ONESHOT, 4, 0);
        if (nan_payload)
            memset(rig->call[0].input, nan_payload == 1 ? 0xff : 0x7f, sizeof rig->call[0].input);
        cr_assert(hl_rig_run(rig));
        uint64_t checked;
        cr_assert_eq(result_of(rig, &checked).kind, HL_WRONG_UNTOUCHED);
        hl_rig_destroy(rig);
    }
}

Test(oracle, tells_a_missing_allreduce)
{
    struct hl_rig *rig = hl_rig_create(HL_FAMILY_MNNVL, HL_FP16, 4);
    hl_rig_issue_all(rig, HL_NORM_ONLY, 4, 0);
    cr_assert(hl_rig_run(rig));
    uint64_t checked;
    const struct hl_wrong_result wrong = result_of(rig, &checked);
    cr_assert_eq(wrong.kind, HL_WRONG_OWN_ONLY);
    cr_assert(isfinite(wrong.got) && isfinite(wrong.want));
    hl_rig_destroy(rig);
}

/* TensorRT-LLM#6237: a large call, then small ones that clear too little, then a large one again. */
Test(oracle, tells_stale_rows_and_their_call)
{
    struct hl_rig *rig = hl_rig_create(HL_FAMILY_MNNVL, HL_BF16, 2);
    const uint32_t tokens[] = { 8, 2, 2 };
    rig->mutant = HL_MUTANT_SHORT_CLEAR;
    for (int i = 0; i < 3; i++) {
        hl_rig_issue_all(rig, HL_MNNVL_ONESHOT, tokens[i], 0);
        cr_assert(hl_rig_run(rig));
    }
    hl_rig_issue(rig, 0, 0, HL_MNNVL_ONESHOT, 8, 0);
    cr_assert_not(hl_rig_run(rig)); /* rank 0 is early and finds the rows 2..7 of call 0 */
    hl_rig_issue(rig, 1, 0, HL_MNNVL_ONESHOT, 8, 0);
    cr_assert(hl_rig_run(rig));
    uint64_t checked;
    const struct hl_wrong_result wrong = result_of(rig, &checked);
    cr_assert_eq(wrong.kind, HL_WRONG_STALE);
    cr_assert_eq(wrong.record.call, 3);
    cr_assert_eq(wrong.stale_call, 0);
    cr_assert_eq(wrong.rank, 0);
    cr_assert_eq(wrong.stale_source, 1);
    cr_assert_eq(wrong.token, 2);
    hl_rig_destroy(rig);
}

Test(oracle, tells_calls_of_different_sites)
{
    struct hl_rig *rig = hl_rig_create(HL_FAMILY_MNNVL, HL_BF16, 2);
    hl_rig_issue(rig, 0, 0, HL_MNNVL_ONESHOT, 4, 7);
    hl_rig_issue(rig, 1, 0, HL_MNNVL_ONESHOT, 4, 8);
    cr_assert(hl_rig_run(rig));
    uint64_t checked;
    cr_assert_eq(result_of(rig, &checked).kind, HL_WRONG_MISPAIRED);
    hl_rig_destroy(rig);
}

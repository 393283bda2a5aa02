/* What tensors of other data types leave in memory, read as 32-bit words of a row. */
#include <criterion/criterion.h>
#include "../framework/engine/rows.h"

/* Chance that one of 1000 rows of the tenant holds a word that a float comparison under -ftz=true refuses. */
static double refused_rows(enum hl_tenant tenant, uint32_t words)
{
    int rows = 0;
    for (uint32_t row = 0; row < 1000; row++) {
        const uint64_t x = hl_row_seed(5, 0, 1, row);
        bool refused = false;
        for (uint32_t i = 0; i < words; i++) {
            const uint32_t word = hl_tenant_word(tenant, x, i, words);
            refused |= word > HL_SENTINEL && word < 0x80800000u;
        }
        rows += refused;
    }
    return rows / 1000.0;
}

Test(leftovers, of_fp8_work_alone_hold_negative_subnormal_words)
{
    cr_assert_eq(refused_rows(HL_TENANT_FP32, 2048), 0);
    cr_assert_eq(refused_rows(HL_TENANT_INT64, 2048), 0);
    const double wide = refused_rows(HL_TENANT_FP8, 2048), reduced = refused_rows(HL_TENANT_FP8, 32);
    cr_assert(wide > 0.25 && wide < 0.45, "%g of wide rows", wide);
    cr_assert(reduced < 0.03, "%g of reduced rows", reduced);
}

Test(leftovers, fp8_is_rounded_to_the_nearest_as_the_hardware_does)
{
    static const struct {
        float value;
        uint32_t bits;
    } numbers[] = { { 0, 0x00 },       { 1, 0x38 },         { -1, 0xb8 },        { 0x1p-6f, 0x08 },
                    { 0x1p-9f, 0x01 }, { -0x1p-10f, 0x80 }, { 0x1.8p-9f, 0x02 }, { 1.0625f, 0x38 },
                    { 1.1875f, 0x3a }, { -1.9375f, 0xc0 },  { 0x1.ep-7f, 0x08 }, { -0x1.2p-10f, 0x81 },
                    { 2.25f, 0x41 } };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        cr_assert_eq(hl_fp8_bits(numbers[i].value), numbers[i].bits, "%a is 0x%02x, not 0x%02x",
                     (double)numbers[i].value, numbers[i].bits, hl_fp8_bits(numbers[i].value));
}

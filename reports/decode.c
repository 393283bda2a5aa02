/* Decoding without the host's floating-point mode in the way: bits decide what is subnormal. */
#include "decode.h"
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct format {
    const char *name;
    int exponent_bits, mantissa_bits;
};

static const struct format formats[] = {
    [HL_BF16] = { "bf16", 8, 7 },
    [HL_FP16] = { "fp16", 5, 10 },
    [HL_FP32] = { "fp32", 8, 23 },
};

static void describe_element(const struct format *f, uint32_t bits, char *text, size_t size)
{
    const int width = 1 + f->exponent_bits + f->mantissa_bits;
    const uint32_t mantissa = bits & ((1u << f->mantissa_bits) - 1);
    const int exponent_max = (1 << f->exponent_bits) - 1;
    const int exponent = (int)(bits >> f->mantissa_bits) & exponent_max;
    const bool negative = bits >> (width - 1) & 1;
    const int bias = exponent_max / 2;
    const char *kind = exponent == 0 && mantissa ? " subnormal" : "";
    double value = exponent == 0 ? ldexp(mantissa, 1 - bias - f->mantissa_bits)
                                 : ldexp(mantissa + (double)(1u << f->mantissa_bits),
                                         exponent - bias - f->mantissa_bits);
    if (exponent == exponent_max && mantissa)
        snprintf(text, size, "0x%0*x = NaN", width / 4, (unsigned)bits);
    else if (exponent == exponent_max)
        snprintf(text, size, "0x%0*x = %sinfinity", width / 4, (unsigned)bits, negative ? "-" : "");
    else
        snprintf(text, size, "0x%0*x = %s%.3g%s", width / 4, (unsigned)bits, negative ? "-" : "", value,
                 kind);
}

void hl_decode_word(enum hl_dtype dtype, uint32_t word, char *text, size_t size)
{
    const struct format *f = &formats[dtype];
    char low[64], high[64];
    if (dtype == HL_FP32) {
        describe_element(f, word, low, sizeof low);
        snprintf(text, size, "%s (%s)", f->name, low);
        return;
    }
    describe_element(f, word & 0xffff, low, sizeof low);
    describe_element(f, word >> 16, high, sizeof high);
    snprintf(text, size, "%s (%s, %s)", f->name, low, high);
}

void hl_decode_time(uint64_t time_ns, char *text, size_t size)
{
    static const struct {
        double ns;
        const char *unit;
    } units[] = { { 1e9, "s" }, { 1e6, "ms" }, { 1e3, "us" } };
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if ((double)time_ns >= units[i].ns) {
            snprintf(text, size, "%.3f %s", (double)time_ns / units[i].ns, units[i].unit);
            return;
        }
    snprintf(text, size, "%u ns", (unsigned)time_ns);
}

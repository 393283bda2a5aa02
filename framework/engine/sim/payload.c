/* The contents of rows: fresh values, payload patterns, and the residue that pool memory holds.
 *
 * Residue is a model, not a measurement: what an unwritten row holds depends on who used the memory before.
 * Here it is ordinary values, except that a row holds one negative-subnormal word with the probability
 * `payload.residue.negative_subnormal_rows`, and one NaN with `nan_rows`. */
#include "sim.h"

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* A generator for one row; `a`, `b` and `c` tell rows apart. */
static uint64_t row_seed(uint64_t seed, uint32_t a, uint32_t b, uint32_t c)
{
    return mix(mix(mix(seed + a) + 0x9e3779b97f4a7c15u * (b + 1)) + 0xd1b54a32d192ed03u * (c + 1));
}

static uint32_t next(uint64_t *x)
{
    *x += 0x9e3779b97f4a7c15u;
    return (uint32_t)(mix(*x) >> 16);
}

static double next_unit(uint64_t *x) { return next(x) * 0x1p-32; }

/* Normal numbers with magnitudes from 1/8 to 4, either sign. */
static uint32_t ordinary_word(uint32_t random, enum hl_dtype dtype)
{
    switch (dtype) {
    case HL_BF16: return 0x3e803e80u + (random & 0x01ff01ffu) + (random << 3 & 0x80008000u);
    case HL_FP16: return 0x30003000u + (random & 0x0fff0fffu) + (random << 3 & 0x80008000u);
    default: return 0x3e800000u + (random & 0x01ffffffu) + (random << 3 & 0x80000000u);
    }
}

static void ordinary_row(uint32_t *row, uint32_t words, enum hl_dtype dtype, uint64_t x)
{
    for (uint32_t i = 0; i < words; i += 2) {
        x += 0x9e3779b97f4a7c15u;
        const uint64_t random = mix(x);
        row[i] = ordinary_word((uint32_t)random, dtype);
        if (i + 1 < words)
            row[i + 1] = ordinary_word((uint32_t)(random >> 32), dtype);
    }
}

static void residue_row(uint32_t *row, uint32_t words, const struct hl_config *config, uint64_t x)
{
    const struct hl_residue *residue = &config->payload.residue;
    const enum hl_dtype dtype = config->subject.dtype;
    ordinary_row(row, words, dtype, mix(x));
    if (next_unit(&x) < residue->negative_subnormal_rows)
        row[next(&x) % words] = 0x80010000u + (next(&x) % 127 << 16);
    if (next_unit(&x) < residue->nan_rows)
        row[next(&x) % words] = dtype == HL_FP16 ? 0x7e007e00u : dtype == HL_BF16 ? 0x7fc07fc0u : 0x7fc00000u;
}

/* The regression pattern of flashinfer#3304: pairs (0x0000, 0x8001..0x807f), then 0x8000, then
 * 0x0001..0x007f. */
static uint32_t subnormal_word(uint32_t i, uint32_t words)
{
    if (i < words / 4 + 1)
        return (0x8001u + i % 127) << 16;
    if (i < words / 2)
        return 0x80008000u;
    return (0x0001u + i % 127) << 16 | (0x0001u + i % 127);
}

static uint32_t pattern_word(enum hl_payload_pattern pattern, enum hl_dtype dtype, uint32_t i, uint32_t words,
                             uint64_t *x)
{
    switch (pattern) {
    case HL_PAYLOAD_SUBNORMAL: return subnormal_word(i, words);
    case HL_PAYLOAD_NEGATIVE_ZERO:
        return dtype == HL_FP32 ? HL_SENTINEL : HL_SENTINEL16 << 16 | HL_SENTINEL16;
    case HL_PAYLOAD_RANDOM_BITS: return next(x);
    case HL_PAYLOAD_NAN: return dtype == HL_FP16 ? 0x7e007e00u : dtype == HL_BF16 ? 0x7fc07fc0u : 0x7fc00000u;
    default: return 0;
    }
}

static void write_row(struct hl_sim *s, const struct hl_op *op, uint32_t *row, const uint32_t *source,
                      uint64_t x)
{
    const uint32_t words = s->layout[0].row_words;
    switch (op->content) {
    case HL_CONTENT_FRESH: ordinary_row(row, words, s->config->subject.dtype, x); break;
    case HL_CONTENT_SOURCE: memcpy(row, source, words * sizeof *row); break;
    default:
        for (uint32_t i = 0; i < words; i++)
            row[i] = pattern_word(s->config->payload.pattern, s->config->subject.dtype, i, words, &x);
    }
}

void hl_sim_fill(struct hl_sim *s, int rank, const struct hl_op *op, uint32_t rows)
{
    const size_t words = s->layout[0].row_words;
    const uint32_t fill = ++s->fills[rank][op->block];
    const uint32_t *source = op->content == HL_CONTENT_SOURCE ? s->blocks[rank][op->source] : NULL;
    for (uint32_t r = 0; r < rows; r++)
        write_row(s, op, s->blocks[rank][op->block] + r * words, source + (source ? r * words : 0),
                  row_seed(s->seed, (uint32_t)rank << 16 | op->block, fill, r));
    if (source && rows > s->rows_written[rank][op->source])
        rows = s->rows_written[rank][op->source];
    if (rows > s->rows_written[rank][op->block])
        s->rows_written[rank][op->block] = rows;
}

void hl_sim_alloc(struct hl_sim *s, int rank, uint16_t block)
{
    const uint32_t rows = hl_geometry_tokens(&s->geometry, s->program->blocks[block].rows);
    const uint32_t words = s->layout[0].row_words, fill = ++s->fills[rank][block];
    for (uint32_t r = 0; r < rows; r++)
        residue_row(s->blocks[rank][block] + (size_t)r * words, words, s->config,
                    row_seed(~s->seed, (uint32_t)rank << 16 | block, fill, r));
    s->rows_written[rank][block] = 0;
}

void hl_sim_fill_constant_rows(struct hl_sim *s)
{
    const uint32_t words = s->layout[0].row_words, rows = s->geometry.tokens_max;
    for (uint32_t site = 0; site < s->program->n_sites; site++)
        for (uint32_t r = 0; r < rows; r++)
            ordinary_row(s->residuals + ((size_t)site * rows + r) * words, words, s->config->subject.dtype,
                         row_seed(s->seed, UINT32_MAX, site, r));
    ordinary_row(s->gamma, words, s->config->subject.dtype, row_seed(s->seed, UINT32_MAX, UINT32_MAX, 0));
}

/* The rows of the simulator's world: filled as fillers and allocs do it, with the contents of rows.h. */
#include "sim.h"
#include "../../program/resolve.h"
#include "../rows.h"

static void ordinary_row(uint32_t *row, uint32_t words, enum hl_dtype dtype, uint64_t x)
{
    for (uint32_t i = 0; i < words; i += 2) {
        const uint64_t pair = hl_ordinary_pair(x, dtype, i / 2);
        row[i] = (uint32_t)pair;
        if (i + 1 < words)
            row[i + 1] = (uint32_t)(pair >> 32);
    }
}

static void residue_row(uint32_t *row, uint32_t words, const struct hl_config *config, uint64_t x)
{
    const enum hl_dtype dtype = config->subject.dtype;
    const struct hl_residue model = hl_residue_model(config);
    const struct hl_residue_words r =
        hl_residue_draw(x, words, model.negative_subnormal_rows, model.nan_rows);
    ordinary_row(row, words, dtype, hl_row_mix(x));
    if (r.subnormal_at < words)
        row[r.subnormal_at] = r.subnormal;
    if (r.nan_at < words)
        row[r.nan_at] = hl_nan_word(dtype);
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
            row[i] = hl_pattern_word(s->config->payload.pattern, s->config->subject.dtype, x, i, words);
    }
}

void hl_sim_fill(struct hl_sim *s, int rank, const struct hl_op *op, uint32_t rows)
{
    const size_t words = s->layout[0].row_words;
    const uint32_t fill = ++s->fills[rank][op->block];
    const uint32_t *source = op->content == HL_CONTENT_SOURCE ? s->blocks[rank][op->source] : NULL;
    for (uint32_t r = 0; r < rows; r++)
        write_row(s, op, s->blocks[rank][op->block] + r * words, source + (source ? r * words : 0),
                  hl_row_seed(s->seed, (uint32_t)rank << 16 | op->block, fill, r));
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
                    hl_row_seed(~s->seed, (uint32_t)rank << 16 | block, fill, r));
    s->rows_written[rank][block] = 0;
}

void hl_sim_reuse(struct hl_sim *s, int rank, int workspace)
{
    const struct hl_layout *l = &s->layout[workspace];
    uint32_t *words = hl_sim_workspace(s, workspace, rank);
    for (uint32_t b = 0; b < 3; b++)
        for (uint32_t i = 0; i + l->row_words <= l->words_per_buffer; i += l->row_words)
            ordinary_row(words + hl_buffer_at(l, b) + i, l->row_words, l->dtype,
                         hl_row_seed(s->seed, (uint32_t)rank, b, i));
    for (uint32_t at = l->buffers_at; s->traces[workspace][rank] && at < l->words; at += HL_SIM_GRANULE)
        *hl_sim_trace(s, workspace, rank, at) = (struct hl_sim_trace){ .stored_by = -1, .cleared_by = -1 };
    hl_sim_wake_waiting(s, rank, workspace, l->buffers_at, l->words - l->buffers_at);
}

void hl_sim_fill_constant_rows(struct hl_sim *s)
{
    const uint32_t words = s->layout[0].row_words, rows = s->geometry.tokens_max;
    for (uint32_t site = 0; site < s->program->n_sites; site++)
        for (uint32_t r = 0; r < rows; r++)
            ordinary_row(s->residuals + ((size_t)site * rows + r) * words, words, s->config->subject.dtype,
                         hl_row_seed(s->seed, UINT32_MAX, site, r));
    ordinary_row(s->gamma, words, s->config->subject.dtype, hl_row_seed(s->seed, UINT32_MAX, UINT32_MAX, 0));
}

/* What the calls of a space send, and what sums must come of it.
 *
 * Nothing that anybody does changes what a call sends: that is decided by its place in the list, so rows are
 * no part of a state. How a word looks matters to a wait in one way only: whether it is taken for the
 * sentinel. So ordinary rows stand for all rows that are not. They differ from call to call, so that a row of
 * another call shows in the sum. */
#include <stdlib.h>
#include <string.h>
#include "../engine/rows.h"
#include "space.h"

/* An output row that nobody wrote in this step. */
#define UNTOUCHED 0x7fc0deadu

static uint32_t constant_word(const struct hl_space *s, int rank)
{
    if (s->spec.payload)
        return s->spec.payload;
    const uint32_t bits = hl_bits_of_float((float)(rank + 1));
    switch (s->spec.dtype) {
    case HL_BF16: return (bits >> 16) * 0x10001u;
    case HL_FP16: return (uint32_t)hl_fp16_of_float((float)(rank + 1)) * 0x10001u;
    default: return bits;
    }
}

static void fill_input(const struct hl_space *s, int rank, uint32_t place, const struct hl_space_call *call,
                       uint32_t *rows)
{
    for (uint32_t token = 0; token < call->tokens; token++)
        for (uint32_t i = 0; i < s->row_words; i++, rows++) {
            const uint64_t x = hl_row_seed(1, (uint32_t)rank, place, token);
            *rows = call->has_rows && (token < call->written || !s->spec.payload)
                        ? hl_ordinary_word(x, s->spec.dtype, i)
                        : constant_word(s, rank);
        }
}

static struct hl_cx make_context(const struct hl_space *s, int rank, const struct hl_space_call *call,
                                 uint32_t which)
{
    struct hl_cx cx = { .layout = s->layout[call->workspace],
                        .protocol = call->protocol,
                        .strike = s->spec.strike,
                        .compare = s->spec.compare,
                        .rank = rank,
                        .ranks = s->spec.ranks,
                        .tokens = call->tokens,
                        .hidden = s->row_words * 4 / hl_dtype_bytes(s->spec.dtype),
                        .epoch = call->epoch,
                        .footprint = (struct hl_footprint *)&s->footprint };
    const struct hl_kernel_list list = hl_protocol_kernels(call->protocol);
    if ((int)which < list.count)
        cx.ctas = call->ctas[which] ? call->ctas[which]
                                    : hl_kernel_ctas(list.kernels[which], call->tokens, s->spec.sms);
    memcpy(cx.workspace, s->words[call->workspace], sizeof cx.workspace);
    return cx;
}

/* The `number`-th call of a rank on a workspace, by its context; laps of a list without end are counted on.
 */
static struct hl_cx *find_call(const struct hl_space *s, int rank, int workspace, uint32_t number)
{
    for (uint32_t lap = 0; lap < 2; lap++) {
        uint32_t n = 0, before_loop = 0;
        for (int stream = 0; stream < s->spec.streams; stream++) {
            const struct hl_space_stream_program *p = &s->spec.program[rank][stream];
            for (uint32_t i = 0; i < p->n; i++) {
                const struct hl_space_call *call = &p->calls[i];
                before_loop = i == p->loop_to ? n : before_loop;
                if (call->fills || call->marks || call->waits || call->workspace != workspace)
                    continue;
                if (n++ == number)
                    return hl_space_cx(s, rank, stream, i, 0);
            }
            if (p->loop_to == UINT32_MAX || n <= before_loop)
                continue;
            number = before_loop + (number - before_loop) % (n - before_loop);
        }
    }
    return NULL;
}

/* Sums what the ranks send in their calls of one number; false: they do not fit together. */
static bool sum_up(const struct hl_space *s, const struct hl_space_call *call, uint32_t number,
                   uint32_t *sums)
{
    const size_t words = (size_t)call->tokens * s->row_words;
    const uint32_t hidden = s->row_words * 4 / hl_dtype_bytes(s->spec.dtype);
    float total[HL_HIDDEN_MAX], row[HL_HIDDEN_MAX];
    for (size_t at = 0; at < words; at += s->row_words) {
        memset(total, 0, sizeof total);
        for (int rank = 0; rank < s->spec.ranks; rank++) {
            const struct hl_cx *cx = find_call(s, rank, call->workspace, number);
            if (!cx || cx->tokens != call->tokens)
                return false;
            hl_unpack_row(cx->input + at, s->row_words, s->spec.dtype, row);
            for (uint32_t i = 0; i < hidden; i++)
                total[i] += row[i];
        }
        hl_pack_row(total, s->row_words, s->spec.dtype, sums + at);
    }
    return true;
}

/* Which kernel of a call leaves the sum where it is looked at. */
static uint32_t summing_kernel(enum hl_protocol protocol) { return protocol == HL_MNNVL_TWOSHOT ? 1 : 0; }

static void expect_sums(struct hl_space *s, uint32_t **sums)
{
    for (int rank = 0; rank < s->spec.ranks; rank++) {
        uint32_t number[HL_SPACE_WORKSPACES_MAX] = { 0 };
        for (int stream = 0; stream < s->spec.streams; stream++)
            for (uint32_t i = 0; i < s->spec.program[rank][stream].n; i++) {
                const struct hl_space_call *call = &s->spec.program[rank][stream].calls[i];
                if (call->fills || call->marks || call->waits)
                    continue;
                if (sum_up(s, call, number[call->workspace]++, *sums))
                    *hl_space_expected(s, hl_space_cx(s, rank, stream, i, summing_kernel(call->protocol))) =
                        *sums;
                *sums += call->tokens * s->row_words;
            }
    }
}

void hl_space_make_contexts(struct hl_space *s)
{
    const size_t rows = (size_t)s->tokens_max * s->row_words;
    uint32_t *outputs = s->rows, *next = s->rows + 4 * rows;
    for (int rank = 0; rank < s->spec.ranks; rank++)
        for (int stream = 0; stream < s->spec.streams; stream++)
            for (uint32_t i = 0; i < s->spec.program[rank][stream].n; i++) {
                const struct hl_space_call *call = &s->spec.program[rank][stream].calls[i];
                if (call->marks || call->waits)
                    continue;
                fill_input(s, rank, i << 1 | (uint32_t)stream, call, next);
                for (uint32_t which = 0; which < 2; which++) {
                    struct hl_cx *cx = hl_space_cx(s, rank, stream, i, which);
                    *cx = make_context(s, rank, call, which);
                    cx->input = next;
                    cx->residual_out = outputs;
                    cx->norm_out = outputs + rows;
                    cx->residual = cx->gamma = outputs + 2 * rows;
                }
                next += call->tokens * s->row_words;
            }
    expect_sums(s, &next);
}

void hl_space_forget_sums(const struct hl_cx *cx)
{
    for (uint32_t token = 0; token < cx->tokens; token++)
        cx->residual_out[token * cx->layout.row_words] = UNTOUCHED;
}

bool hl_space_has_right_sums(const struct hl_cx *cx, const uint32_t *expected)
{
    const uint32_t n = cx->layout.row_words;
    for (uint32_t token = 0; token < cx->tokens; token++)
        if (cx->residual_out[token * n] != UNTOUCHED &&
            memcmp(cx->residual_out + token * n, expected + token * n, n * sizeof *expected) != 0)
            return false;
    return true;
}

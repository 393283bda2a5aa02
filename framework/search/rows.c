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

static bool is_ordinary(const struct hl_space *s, const struct hl_space_call *call, uint32_t token)
{
    return call->has_rows && (token < call->written || !s->spec.payload);
}

static void fill_input(const struct hl_space *s, int rank, uint32_t place, const struct hl_space_call *call,
                       uint32_t *rows)
{
    for (uint32_t token = 0; token < call->tokens; token++)
        for (uint32_t i = 0; i < s->row_words; i++, rows++) {
            const uint64_t x = hl_row_seed(1, (uint32_t)rank, place, token);
            *rows =
                is_ordinary(s, call, token) ? hl_ordinary_word(x, s->spec.dtype, i) : constant_word(s, rank);
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

static bool is_call(const struct hl_space_call *call) { return !call->fills && !call->marks && !call->waits; }

/* The `number`-th call of a rank on a workspace, by its context; laps of a list without end are counted on.
 */
static struct hl_cx *find_call(const struct hl_space *s, int rank, int workspace, uint32_t number)
{
    uint32_t lap = 0;
    for (int again = 0; again < 2; again++) {
        uint32_t n = 0, before_loop = 0;
        for (int stream = 0; stream < s->spec.streams; stream++) {
            const struct hl_space_stream_program *p = &s->spec.program[rank][stream];
            for (uint32_t i = 0; i < p->n; i++) {
                before_loop = i == p->loop_to ? n : before_loop;
                if (!is_call(&p->calls[i]) || p->calls[i].workspace != workspace)
                    continue;
                if (n++ == number)
                    return hl_space_cx(s, rank, stream, i, 0) + (s->has_laps && lap % 2 ? s->contexts : 0);
            }
            if (p->loop_to == UINT32_MAX || n <= before_loop)
                continue;
            lap = (number - before_loop) / (n - before_loop);
            number = before_loop + (number - before_loop) % (n - before_loop);
        }
    }
    return NULL;
}

/* Sums what the ranks send in their calls of one number; false: they do not fit together. A digest of 0: not
 * of these rows alone, because all rows look alike. */
static bool sum_up(const struct hl_space *s, const struct hl_space_call *call, uint32_t number,
                   uint32_t *sums, uint64_t *digests)
{
    const uint32_t hidden = s->row_words * 4 / hl_dtype_bytes(s->spec.dtype);
    float total[HL_HIDDEN_MAX], row[HL_HIDDEN_MAX];
    for (uint32_t token = 0; token < call->tokens; token++) {
        const size_t at = (size_t)token * s->row_words;
        memset(total, 0, sizeof total);
        digests[token] = 0;
        for (int rank = 0; rank < s->spec.ranks; rank++) {
            const struct hl_cx *cx = find_call(s, rank, call->workspace, number);
            if (!cx || cx->tokens != call->tokens)
                return false;
            hl_unpack_row(cx->input + at, s->row_words, s->spec.dtype, row);
            for (uint32_t i = 0; i < hidden; i++)
                total[i] += row[i];
            digests[token] += hl_row_digest(cx->input + at, s->row_words);
        }
        hl_pack_row(total, s->row_words, s->spec.dtype, sums + at);
        if (s->spec.payload && !is_ordinary(s, call, token))
            digests[token] = 0;
    }
    return true;
}

/* Which kernel of a call leaves the sum where it is looked at. */
static uint32_t summing_kernel(enum hl_protocol protocol) { return protocol == HL_MNNVL_TWOSHOT ? 1 : 0; }

/* Room for what is expected of the rows of a lap. */
struct expecting {
    uint32_t *sums;
    uint64_t *digests;
};

static void expect_of_call(struct hl_space *s, int rank, int stream, uint32_t i, uint32_t number, bool later,
                           struct expecting *to)
{
    const struct hl_space_call *call = &s->spec.program[rank][stream].calls[i];
    struct hl_cx *cx = hl_space_cx(s, rank, stream, i, 0) + (later ? s->contexts : 0);
    if (!sum_up(s, call, number, to->sums, to->digests))
        return;
    *hl_space_expected(s, cx + summing_kernel(call->protocol)) = to->sums;
    s->digests[cx - s->cx] = to->digests;
    to->sums += call->tokens * s->row_words;
    to->digests += call->tokens;
}

/* Calls on a workspace in the part of a list that goes on without end. */
static uint32_t calls_of_lap(const struct hl_space_stream_program *p, int workspace)
{
    uint32_t n = 0;
    for (uint32_t i = p->loop_to; i < p->n; i++)
        n += is_call(&p->calls[i]) && p->calls[i].workspace == workspace;
    return n;
}

static void expect_sums(struct hl_space *s, struct expecting *to)
{
    for (int rank = 0; rank < s->spec.ranks; rank++) {
        uint32_t number[HL_SPACE_WORKSPACES_MAX] = { 0 };
        for (int stream = 0; stream < s->spec.streams; stream++) {
            const struct hl_space_stream_program *p = &s->spec.program[rank][stream];
            for (uint32_t i = 0; i < p->n; i++) {
                if (!is_call(&p->calls[i]))
                    continue;
                const uint8_t w = p->calls[i].workspace;
                if (s->has_laps && i >= p->loop_to)
                    expect_of_call(s, rank, stream, i, number[w] + calls_of_lap(p, w), true, to);
                expect_of_call(s, rank, stream, i, number[w]++, false, to);
            }
        }
    }
}

static void fill_contexts(struct hl_space *s, int rank, int stream, uint32_t i, uint32_t **next)
{
    const size_t rows = (size_t)s->tokens_max * s->row_words;
    const struct hl_space_call *call = &s->spec.program[rank][stream].calls[i];
    for (uint32_t lap = 0; lap < 2; lap++) {
        fill_input(s, rank, lap << 20 | i << 1 | (uint32_t)stream, call, *next);
        for (uint32_t which = 0; which < 2; which++) {
            struct hl_cx *cx = hl_space_cx(s, rank, stream, i, which) + (lap ? s->contexts : 0);
            *cx = make_context(s, rank, call, which);
            cx->input = *next;
            cx->residual_out = s->rows;
            cx->norm_out = s->rows + rows;
            cx->residual = cx->gamma = s->rows + 2 * rows;
        }
        *next += call->tokens * s->row_words;
    }
}

void hl_space_make_contexts(struct hl_space *s)
{
    uint32_t *next = s->rows + 4 * (size_t)s->tokens_max * s->row_words;
    for (int rank = 0; rank < s->spec.ranks; rank++)
        for (int stream = 0; stream < s->spec.streams; stream++) {
            const struct hl_space_stream_program *p = &s->spec.program[rank][stream];
            for (uint32_t i = 0; i < p->n; i++) {
                s->has_laps |= i >= p->loop_to && p->calls[i].has_rows;
                if (!p->calls[i].marks && !p->calls[i].waits)
                    fill_contexts(s, rank, stream, i, &next);
            }
        }
    expect_sums(s, &(struct expecting){ next, s->digests_of_rows });
}

bool hl_space_summed_right_rows(const struct hl_space *s, const struct hl_cx *cx)
{
    /* Both kernels of a call have the same rows. */
    const uint64_t *digests = s->digests[(cx - s->cx) & ~(ptrdiff_t)1];
    bool right = !digests || !s->footprint.summed;
    for (uint32_t token = 0; !right && token < cx->tokens; token++)
        right = digests[token] == s->footprint.summed || digests[token] == 0;
    return right;
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

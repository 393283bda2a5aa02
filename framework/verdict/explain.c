/* What a wrong row equals: the few wrong computations that broken allreduces are known to make. */
#include <math.h>
#include <string.h>
#include "../../kernels/sim/numbers.h"
#include "oracle_state.h"

/* The row that is explained. */
struct wrong_row {
    struct hl_oracle *oracle;
    const struct hl_kept_call *kept;
    const struct hl_kept_input *own;
    struct hl_row_rules rules;
    size_t row_words;
    uint32_t token;
    const uint32_t *residual_out, *norm_out;
};

static bool is_untouched(const struct wrong_row *w, const uint32_t *row)
{
    for (size_t i = 0; i < w->row_words; i++)
        if (row[i] != HL_POISON)
            return false;
    return true;
}

static bool has_row(const struct wrong_row *w, const struct hl_kept_call *kept, int rank)
{
    const struct hl_kept_input *input = &kept->rank[rank];
    return input->begun && kept->hidden == w->kept->hidden && input->record.dtype == w->own->record.dtype &&
           w->token < input->record.exec_tokens;
}

static void clear_sum(const struct wrong_row *w)
{
    memset(w->oracle->sum, 0, w->rules.hidden * sizeof *w->oracle->sum);
    memset(w->oracle->magnitude, 0, w->rules.hidden * sizeof *w->oracle->magnitude);
}

static void add_row(const struct wrong_row *w, const struct hl_kept_call *kept, int rank)
{
    hl_oracle_add_row(kept->rank[rank].input + w->token * w->row_words, w->rules.dtype, w->rules.hidden,
                      w->oracle->row, w->oracle->sum, w->oracle->magnitude);
}

static bool resembles(const struct wrong_row *w)
{
    const struct hl_row_reference reference = { w->oracle->sum, w->oracle->magnitude, w->oracle->residual,
                                                w->oracle->gamma };
    return hl_row_resembles(&w->rules, &reference, w->residual_out, &w->oracle->scratch);
}

static bool is_own_only(const struct wrong_row *w, int rank)
{
    clear_sum(w);
    add_row(w, w->kept, rank);
    return resembles(w);
}

/* Is every wrong element in the same 8-byte half of its 16 bytes, and most of each such half wrong? A CTA of
 * the simulator tears a whole row, a thread of a GPU its own 16 bytes of it. */
static bool is_torn(const struct wrong_row *w, uint32_t half)
{
    const double *sum = w->kept->sum + (size_t)w->token * w->rules.hidden,
                 *magnitude = sum + (size_t)w->kept->rows * w->rules.hidden;
    const uint32_t per_half = 8 / hl_dtype_bytes(w->rules.dtype);
    uint32_t wrong = 0, halves = 0, last = UINT32_MAX;
    hl_unpack_row(w->residual_out, (uint32_t)w->row_words, w->rules.dtype, w->oracle->row);
    for (uint32_t i = 0; i < w->rules.hidden; i++) {
        const double want = sum[i] + w->oracle->residual[i];
        if (fabs(w->oracle->row[i] - want) <= 0x1p-6 * (magnitude[i] + fabs(want)))
            continue;
        if (i / per_half % 2 != half)
            return false;
        wrong++;
        halves += i / per_half != last;
        last = i / per_half;
    }
    return halves > 0 && wrong * 4 > halves * per_half * 2;
}

/* The sum with the rows of `stale` (a bit a rank) from an earlier call instead. */
static bool is_stale(const struct wrong_row *w, uint32_t stale, const struct hl_kept_call *earlier)
{
    clear_sum(w);
    for (int r = 0; r < w->oracle->ranks; r++) {
        const struct hl_kept_call *from = stale >> r & 1 ? earlier : w->kept;
        if (!has_row(w, from, r))
            return false;
        add_row(w, from, r);
    }
    return resembles(w);
}

static const struct hl_kept_call *earlier_call(const struct wrong_row *w, uint32_t back)
{
    const uint32_t call = w->kept->call;
    if (back > call)
        return NULL;
    const struct hl_kept_call *kept =
        &w->oracle->kept[w->own->record.workspace][(call - back) % HL_KEPT_CALLS];
    return kept->used && kept->call == call - back ? kept : NULL;
}

static bool note_stale(const struct wrong_row *w, int source, const struct hl_kept_call *earlier)
{
    w->oracle->wrong.kind = HL_WRONG_STALE;
    w->oracle->wrong.stale_source = source;
    w->oracle->wrong.stale_call = earlier->call;
    return true;
}

/* One source's row, then the rows of all peers, then the whole sum (a stale broadcast), of an earlier call.
 */
static bool explain_stale_slot(const struct wrong_row *w, int rank, uint32_t absent,
                               const struct hl_kept_call *earlier)
{
    const int ranks = w->oracle->ranks;
    const uint32_t all = (1u << ranks) - 1;
    for (int source = 0; source < ranks + 2; source++) {
        const uint32_t stale = absent | (source < ranks    ? 1u << source
                                         : source == ranks ? all & ~(1u << rank)
                                                           : all);
        if (is_stale(w, stale, earlier))
            return note_stale(w, __builtin_ctz(absent ? absent : stale), earlier);
    }
    return false;
}

/* One-shot and two-shot calls, and calls of other sizes, divide the same bytes differently: what is left of
 * one may be taken for another row of another rank, or for the whole sum (`source` is the number of ranks).
 */
static bool explain_stale_bytes(const struct wrong_row *w, int source, const struct hl_kept_call *earlier)
{
    const int ranks = w->oracle->ranks;
    for (int from = 0; from < ranks; from++) {
        const struct hl_kept_input *input = &earlier->rank[from];
        if (!input->begun || input->record.dtype != w->rules.dtype || earlier->hidden != w->rules.hidden)
            continue;
        for (uint32_t token = 0; token < input->record.exec_tokens; token++) {
            clear_sum(w);
            for (int r = 0; r < ranks && source < ranks; r++)
                if (r != source)
                    add_row(w, w->kept, r);
            hl_oracle_add_row(input->input + token * w->row_words, w->rules.dtype, w->rules.hidden,
                              w->oracle->row, w->oracle->sum, w->oracle->magnitude);
            if (resembles(w))
                return note_stale(w, from, earlier);
        }
    }
    return false;
}

static bool explain_stale(const struct wrong_row *w, int rank, uint32_t absent)
{
    for (uint32_t back = 1; back < HL_KEPT_CALLS; back++) {
        const struct hl_kept_call *earlier = earlier_call(w, back);
        if (earlier && explain_stale_slot(w, rank, absent, earlier))
            return true;
    }
    for (uint32_t back = 3; back < HL_KEPT_CALLS && !absent; back += 3) {
        const struct hl_kept_call *earlier = earlier_call(w, back);
        for (int source = 0; earlier && source <= w->oracle->ranks; source++)
            if (explain_stale_bytes(w, source, earlier))
                return true;
    }
    return false;
}

/* Rows of several sources may be old at once, from calls that are no longer kept. What can be told is whether
 * the call that used this buffer last, three calls ago, had this row. */
static bool was_unused(const struct wrong_row *w, int rank)
{
    const struct hl_kept_call *earlier = earlier_call(w, 3);
    const enum hl_protocol protocol = w->own->record.protocol;
    return earlier && earlier->rank[rank].begun && protocol != HL_TRTLLM_TWOSHOT && protocol != HL_NCCL &&
           (earlier->rank[rank].record.exec_tokens <= w->token ||
            earlier->rank[rank].record.protocol != protocol);
}

void hl_oracle_explain(struct hl_oracle *oracle, const struct hl_kept_call *kept, int rank, uint32_t token,
                       const struct hl_call_data *data, int early_peer)
{
    const struct hl_kept_input *own = &kept->rank[rank];
    const enum hl_dtype dtype = own->record.dtype;
    const size_t row_words = kept->hidden * hl_dtype_bytes(dtype) / 4;
    const struct wrong_row w = { .oracle = oracle,
                                 .kept = kept,
                                 .own = own,
                                 .rules = hl_row_rules_make(dtype, kept->hidden, oracle->ranks,
                                                            own->record.protocol, oracle->roundings),
                                 .row_words = row_words,
                                 .token = token,
                                 .residual_out = data->residual_out + token * row_words,
                                 .norm_out = data->norm_out + token * row_words };
    hl_unpack_row(own->residual + token * row_words, (uint32_t)row_words, dtype, oracle->residual);
    hl_unpack_row(own->gamma, (uint32_t)row_words, dtype, oracle->gamma);
    uint32_t absent = 0;
    if (early_peer >= 0)
        for (int r = 0; r < oracle->ranks; r++)
            absent |= has_row(&w, kept, r) ? 0 : 1u << r;
    if (is_untouched(&w, w.residual_out) || is_untouched(&w, w.norm_out))
        oracle->wrong.kind = HL_WRONG_UNTOUCHED;
    else if (oracle->wrong.in_norm_out)
        return; /* the sum is right */
    else if ((absent == 0 || own->record.protocol == HL_NORM_ONLY) && is_own_only(&w, rank))
        oracle->wrong.kind = HL_WRONG_OWN_ONLY;
    else if (absent == 0 && (is_torn(&w, 0) || is_torn(&w, 1)))
        oracle->wrong.kind = HL_WRONG_TORN;
    else if (!explain_stale(&w, rank, absent))
        oracle->wrong.row_was_unused = was_unused(&w, rank);
}

/* The oracle follows the feed: it copies what the ranks put into a call, sums it once in float64 when the
 * first rank has finished, and holds every rank's outputs against that. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../../kernels/sim/numbers.h"
#include "oracle_state.h"

struct hl_oracle *hl_oracle_create(int ranks, int workspaces, int roundings)
{
    if (ranks < 1 || ranks > HL_RANKS_MAX || workspaces < 1 || workspaces > HL_WORKSPACES_MAX)
        return NULL;
    struct hl_oracle *oracle = calloc(1, sizeof *oracle);
    if (!oracle)
        return NULL;
    oracle->ranks = ranks;
    oracle->workspaces = workspaces;
    oracle->roundings = roundings;
    return oracle;
}

void hl_oracle_destroy(struct hl_oracle *oracle)
{
    if (!oracle)
        return;
    for (int w = 0; w < oracle->workspaces; w++)
        for (int k = 0; k < HL_KEPT_CALLS; k++) {
            for (int r = 0; r < oracle->ranks; r++)
                free(oracle->kept[w][k].rank[r].words);
            free(oracle->kept[w][k].sum);
        }
    free(oracle);
}

struct hl_wrong_result hl_oracle_result(const struct hl_oracle *oracle, uint64_t *ret_checked,
                                        bool *ret_failed)
{
    *ret_checked = oracle->checked;
    *ret_failed = oracle->failed;
    return oracle->wrong;
}

/* Grows a buffer, never shrinks it. False when out of memory: the buffer stays as it was. */
static bool reserve(void **buffer, size_t *capacity, size_t bytes)
{
    if (*buffer && *capacity >= bytes)
        return true;
    void *grown = realloc(*buffer, bytes);
    if (!grown)
        return false;
    *buffer = grown;
    *capacity = bytes;
    return true;
}

/* The place of a call in the ring, cleared of an older call; NULL when a newer one is there. */
static struct hl_kept_call *kept_call(struct hl_oracle *oracle, const struct hl_call_record *record)
{
    struct hl_kept_call *kept = &oracle->kept[record->workspace][record->call % HL_KEPT_CALLS];
    if (kept->used && kept->call > record->call)
        return NULL;
    if (!kept->used || kept->call < record->call) {
        kept->used = true;
        kept->call = record->call;
        kept->summed = false;
        for (int r = 0; r < oracle->ranks; r++)
            kept->rank[r].begun = false;
    }
    return kept;
}

static bool keep_numbers(struct hl_kept_input *input, const struct hl_call_data *data)
{
    const size_t row = data->hidden * hl_dtype_bytes(input->record.dtype) / 4;
    const size_t rows = input->record.exec_tokens * row;
    void *words = input->words;
    if (!reserve(&words, &input->capacity, (2 * rows + row) * sizeof *input->words))
        return false;
    input->words = words;
    memcpy(input->words, data->input, rows * sizeof *input->words);
    memcpy(input->words + rows, data->residual, rows * sizeof *input->words);
    memcpy(input->words + 2 * rows, data->gamma, row * sizeof *input->words);
    input->input = input->words;
    input->residual = input->words + rows;
    input->gamma = input->words + 2 * rows;
    return true;
}

static void follow_begin(struct hl_oracle *oracle, const struct hl_event *event)
{
    const struct hl_call_data *data = event->data;
    struct hl_kept_call *kept = kept_call(oracle, event->call);
    if (!data || !data->input || !data->residual || !data->gamma || data->hidden > HL_HIDDEN_MAX)
        return;
    if (!kept) {
        oracle->failed = true;
        return;
    }
    struct hl_kept_input *input = &kept->rank[event->rank];
    input->record = *event->call;
    input->begun = keep_numbers(input, data);
    oracle->failed |= !input->begun;
    kept->hidden = data->hidden;
}

void hl_oracle_add_row(const uint32_t *words, enum hl_dtype dtype, uint32_t hidden, float *restrict row,
                       double *restrict sum, double *restrict magnitude)
{
    hl_unpack_row(words, hidden * hl_dtype_bytes(dtype) / 4, dtype, row);
    for (uint32_t i = 0; i < hidden; i++) {
        const double size = fabs((double)row[i]);
        sum[i] += row[i];
        magnitude[i] += size <= 0x1p128 ? size : 0;
    }
}

/* Sums the rows that all ranks have. */
static bool sum_rows(struct hl_oracle *oracle, struct hl_kept_call *kept)
{
    kept->rows = UINT32_MAX;
    for (int r = 0; r < oracle->ranks; r++)
        if (kept->rank[r].record.exec_tokens < kept->rows)
            kept->rows = kept->rank[r].record.exec_tokens;
    const size_t elements = (size_t)kept->rows * kept->hidden;
    void *sum = kept->sum;
    if (!reserve(&sum, &kept->capacity, (2 * elements + 1) * sizeof *kept->sum))
        return false;
    kept->sum = sum;
    memset(kept->sum, 0, 2 * elements * sizeof *kept->sum);
    for (int r = 0; r < oracle->ranks; r++) {
        const enum hl_dtype dtype = kept->rank[r].record.dtype;
        const size_t row_words = kept->hidden * hl_dtype_bytes(dtype) / 4;
        for (uint32_t t = 0; t < kept->rows; t++)
            hl_oracle_add_row(kept->rank[r].input + t * row_words, dtype, kept->hidden, oracle->row,
                              kept->sum + (size_t)t * kept->hidden,
                              kept->sum + elements + (size_t)t * kept->hidden);
    }
    kept->summed = true;
    return true;
}

static double element_at(const uint32_t *row, enum hl_dtype dtype, uint32_t i)
{
    if (dtype == HL_FP32)
        return hl_float_of_bits(row[i]);
    const uint16_t half = (uint16_t)(row[i / 2] >> (i % 2 * 16));
    return dtype == HL_BF16 ? hl_float_of_bits((uint32_t)half << 16) : hl_float_of_fp16(half);
}

/* The first element of a row's residual out, summed over the ranks that have such a row. */
static double first_element(const struct hl_oracle *oracle, const struct hl_kept_call *kept, int rank,
                            uint32_t token)
{
    const enum hl_dtype dtype = kept->rank[rank].record.dtype;
    const size_t row_words = kept->hidden * hl_dtype_bytes(dtype) / 4;
    double sum = element_at(kept->rank[rank].residual + token * row_words, dtype, 0);
    for (int r = 0; r < oracle->ranks; r++)
        if (kept->rank[r].begun && kept->rank[r].record.dtype == dtype &&
            token < kept->rank[r].record.exec_tokens)
            sum += element_at(kept->rank[r].input + token * row_words, dtype, 0);
    return sum;
}

/* Notes a call whose result is wrong whatever its numbers are: it ended without a peer's rows, or paired with
 * another site's. */
static void note_wrong_call(struct hl_oracle *oracle, const struct hl_kept_call *kept,
                            const struct hl_event *event, uint32_t token, int peer, enum hl_wrong_kind kind)
{
    const size_t row_words = kept->hidden * hl_dtype_bytes(event->call->dtype) / 4;
    const double got = element_at(event->data->residual_out + token * row_words, event->call->dtype, 0);
    oracle->wrong =
        (struct hl_wrong_result){ .kind = kind,
                                  .rank = event->rank,
                                  .record = *event->call,
                                  .token = token,
                                  .got = got,
                                  .want = first_element(oracle, kept, event->rank, token),
                                  .stale_source = peer,
                                  .stale_call = kept->call,
                                  .count = (uint64_t)(event->call->exec_tokens - token) * kept->hidden };
    if (kind == HL_WRONG_EARLY)
        hl_oracle_explain(oracle, kept, event->rank, token, event->data, peer);
}

static void check_rows(struct hl_oracle *oracle, const struct hl_kept_call *kept,
                       const struct hl_event *event)
{
    const struct hl_call_record *record = event->call;
    const struct hl_kept_input *own = &kept->rank[event->rank];
    const size_t row_words = kept->hidden * hl_dtype_bytes(record->dtype) / 4;
    const struct hl_row_rules rules =
        hl_row_rules_make(record->dtype, kept->hidden, oracle->ranks, record->protocol, oracle->roundings);
    hl_unpack_row(own->gamma, (uint32_t)row_words, record->dtype, oracle->gamma);
    for (uint32_t t = 0; t < kept->rows; t++) {
        const double *sum = kept->sum + (size_t)t * kept->hidden;
        const struct hl_row_reference reference = { sum, sum + (size_t)kept->rows * kept->hidden,
                                                    oracle->residual, oracle->gamma };
        hl_unpack_row(own->residual + t * row_words, (uint32_t)row_words, record->dtype, oracle->residual);
        const struct hl_row_result row =
            hl_row_check(&rules, &reference, event->data->residual_out + t * row_words,
                         event->data->norm_out + t * row_words, &oracle->scratch);
        if (row.wrong == 0)
            continue;
        if (oracle->wrong.kind == HL_WRONG_NONE) {
            oracle->wrong = (struct hl_wrong_result){ .kind = HL_WRONG_SUM,
                                                      .rank = event->rank,
                                                      .record = *record,
                                                      .token = t,
                                                      .element = row.element,
                                                      .in_norm_out = row.in_norm_out,
                                                      .got = row.got,
                                                      .want = row.want,
                                                      .stale_source = -1 };
            hl_oracle_explain(oracle, kept, event->rank, t, event->data, -1);
        }
        oracle->wrong.count += row.wrong;
    }
}

/* A rank that has not begun this call, or -1. */
static int missing_peer(const struct hl_oracle *oracle, const struct hl_kept_call *kept)
{
    for (int r = 0; r < oracle->ranks; r++)
        if (!kept->rank[r].begun)
            return r;
    return -1;
}

/* A rank whose call of this number is another site, or works on other data types, or -1. */
static int mispaired_peer(const struct hl_oracle *oracle, const struct hl_kept_call *kept, int rank)
{
    const struct hl_call_record *own = &kept->rank[rank].record;
    for (int r = 0; r < oracle->ranks; r++)
        if (kept->rank[r].record.site != own->site || kept->rank[r].record.dtype != own->dtype)
            return r;
    return -1;
}

static int shortest_peer(const struct hl_oracle *oracle, const struct hl_kept_call *kept)
{
    int shortest = 0;
    for (int r = 1; r < oracle->ranks; r++)
        if (kept->rank[r].record.exec_tokens < kept->rank[shortest].record.exec_tokens)
            shortest = r;
    return shortest;
}

static void follow_end(struct hl_oracle *oracle, const struct hl_event *event)
{
    const struct hl_call_data *data = event->data;
    if (!data || !data->residual_out || !data->norm_out)
        return;
    struct hl_kept_call *kept = &oracle->kept[event->call->workspace][event->call->call % HL_KEPT_CALLS];
    if (!kept->used || kept->call != event->call->call || !kept->rank[event->rank].begun ||
        kept->rank[event->rank].record.exec_tokens != event->call->exec_tokens) {
        oracle->failed = true;
        return;
    }
    oracle->checked++;
    const int missing = missing_peer(oracle, kept);
    if (missing >= 0) {
        note_wrong_call(oracle, kept, event, 0, missing, HL_WRONG_EARLY);
        return;
    }
    if (!kept->summed && !sum_rows(oracle, kept)) {
        oracle->failed = true;
        return;
    }
    const int mispaired = mispaired_peer(oracle, kept, event->rank);
    if (mispaired >= 0) {
        note_wrong_call(oracle, kept, event, 0, mispaired, HL_WRONG_MISPAIRED);
        return;
    }
    check_rows(oracle, kept, event);
    if (oracle->wrong.kind == HL_WRONG_NONE && event->call->exec_tokens > kept->rows)
        note_wrong_call(oracle, kept, event, kept->rows, shortest_peer(oracle, kept), HL_WRONG_EARLY);
}

void hl_oracle_event(struct hl_oracle *oracle, const struct hl_event *event)
{
    /* The first wrong result decides; what follows it may be its consequence. */
    if (oracle->wrong.kind != HL_WRONG_NONE || !event->call || event->rank < 0 ||
        event->rank >= oracle->ranks || event->call->workspace >= oracle->workspaces)
        return;
    if (event->kind == HL_EVENT_CALL_BEGIN)
        follow_begin(oracle, event);
    else if (event->kind == HL_EVENT_CALL_END)
        follow_end(oracle, event);
}

static uint32_t count_sentinels(const struct hl_layout *l, const uint32_t *row, enum hl_compare compare)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < l->row_words; i++)
        count += hl_word_missing(l, row[i], compare) != 0;
    return count;
}

void hl_oracle_add_inputs(const struct hl_oracle *oracle, struct hl_evidence *evidence)
{
    for (uint32_t i = 0; i < evidence->n_slots; i++) {
        struct hl_slot_evidence *slot = &evidence->slots[i];
        const struct hl_layout *l = &evidence->layout[slot->workspace];
        const struct hl_kept_call *kept = &oracle->kept[slot->workspace][slot->call % HL_KEPT_CALLS];
        const struct hl_kept_input *input = &kept->rank[slot->source];
        if (slot->state != HL_SLOT_ARRIVED && l->family != HL_FAMILY_NCCL &&
            (slot->stage == HL_STAGE_ONESHOT || slot->stage == HL_STAGE_SCATTER) && kept->used &&
            kept->call == slot->call && input->begun && slot->token < input->record.exec_tokens)
            slot->input_sentinels =
                count_sentinels(l, input->input + (size_t)slot->token * l->row_words, evidence->compare);
    }
}

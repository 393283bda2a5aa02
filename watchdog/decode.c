/* The slot decoder: from the flags and the layout to the words that each rank's oldest begun call waits for.
 *
 * It uses the same address arithmetic as the kernels, so a slot that it shows missing is one that the
 * kernel's poll does not accept. */
#include "decode.h"
#include <stdlib.h>
#include <string.h>

/* Slots on their way into the evidence: missing ones from the front, arrived ones from the back. */
struct slot_list {
    struct hl_slot_evidence *slots;
    uint32_t front, back;
    uint32_t left_out;
    uint32_t missing_of_call; /* since the call's decoding began */
};

struct decoder {
    const struct hl_probe *probe;
    struct hl_evidence *evidence;
    const struct hl_layout *layout;
    const struct hl_call_record *record;
    int rank;
    struct slot_list list;
    uint32_t *words; /* of one slot, word and epoch */
};

static void keep_slot(struct slot_list *list, const struct hl_slot_evidence *slot)
{
    if (slot->state == HL_SLOT_ARRIVED) {
        if (list->front == list->back)
            list->left_out++;
        else
            list->slots[--list->back] = *slot;
        return;
    }
    list->missing_of_call++;
    if (list->front == HL_SLOTS_MAX) {
        list->left_out++;
        return;
    }
    if (list->front == list->back) { /* a missing slot is worth more than an arrived one */
        list->back++;
        list->left_out++;
    }
    list->slots[list->front++] = *slot;
}

/* Marks a word as missing; the first word shown is one that holds data, if there is any. */
static void note_missing(struct hl_slot_evidence *slot, uint32_t word, uint32_t at, uint32_t value,
                         bool is_sentinel)
{
    if (slot->words_missing == 0 || (!is_sentinel && slot->words_sentinel == slot->words_missing)) {
        slot->first_missing = word;
        slot->at = at;
        slot->value = value;
    }
    slot->words_missing++;
    slot->words_sentinel += is_sentinel;
}

/* The buffer into whose same place the source stored in this call, or -1: it did not go where it had to. */
static int stored_elsewhere(const struct decoder *d, const struct hl_slot_evidence *slot)
{
    const struct hl_layout *l = d->layout;
    if (slot->at < l->buffers_at || !slot->history.known)
        return -1;
    const uint32_t place = slot->at - hl_buffer_at(l, slot->buffer);
    for (uint32_t buffer = 0; buffer < l->depth; buffer++) {
        const struct hl_word_history h = d->probe->word_history(d->probe->user, d->rank, d->record->workspace,
                                                                hl_buffer_at(l, buffer) + place);
        if (buffer != slot->buffer && h.stored_by == slot->source && h.stored_call == slot->call)
            return (int)buffer;
    }
    return -1;
}

static void finish_slot(struct decoder *d, struct hl_slot_evidence *slot)
{
    const struct hl_probe *probe = d->probe;
    slot->state = slot->words_missing == 0    ? HL_SLOT_ARRIVED
                  : slot->words_sentinel == 0 ? HL_SLOT_REFUSED
                                              : HL_SLOT_SENTINEL;
    slot->history = (struct hl_word_history){ .stored_by = -1, .cleared_by = -1 };
    if (slot->state != HL_SLOT_ARRIVED && probe->word_history)
        slot->history = probe->word_history(probe->user, d->rank, d->record->workspace, slot->at);
    slot->elsewhere = slot->state == HL_SLOT_SENTINEL ? stored_elsewhere(d, slot) : -1;
    keep_slot(&d->list, slot);
}

static bool read_words(struct decoder *d, uint32_t at, uint32_t count)
{
    return d->probe->read_words(d->probe->user, d->rank, d->record->workspace, at, count, d->words) == 0;
}

static struct hl_slot_evidence new_slot(const struct decoder *d, enum hl_stage stage, uint8_t buffer,
                                        uint32_t token, int source, uint32_t start, uint32_t words)
{
    return (struct hl_slot_evidence){ .rank = d->rank,
                                      .source = source,
                                      .start = start,
                                      .source_rows_written = UINT32_MAX,
                                      .workspace = d->record->workspace,
                                      .call = d->record->call,
                                      .stage = stage,
                                      .buffer = buffer,
                                      .token = token,
                                      .words = words };
}

/* One row of the Lamport buffers. */
static void decode_row(struct decoder *d, enum hl_stage stage, uint8_t buffer, uint32_t token, int source,
                       uint32_t at)
{
    const struct hl_layout *l = d->layout;
    struct hl_slot_evidence slot = new_slot(d, stage, buffer, token, source, at, l->row_words);
    if (!read_words(d, at, l->row_words))
        return;
    for (uint32_t i = 0; i < l->row_words; i++)
        if (hl_word_missing(l, d->words[i], d->evidence->compare))
            note_missing(&slot, i, at + i, d->words[i], d->words[i] == hl_sentinel_word(l));
    finish_slot(d, &slot);
}

/* One row of (word, epoch) pairs: it waits until every epoch is this call's. */
static void decode_pairs(struct decoder *d, uint32_t epoch, uint32_t token, int source)
{
    const uint8_t buffer = (uint8_t)(epoch % 2);
    const uint32_t at = hl_nccl_slot(d->layout, buffer, token, (uint32_t)source);
    struct hl_slot_evidence slot =
        new_slot(d, HL_STAGE_ONESHOT, buffer, token, source, at, d->layout->row_words);
    if (!read_words(d, at, 2 * d->layout->row_words))
        return;
    for (uint32_t i = 0; i < d->layout->row_words; i++)
        if (d->words[2 * i + 1] != epoch)
            note_missing(&slot, i, at + 2 * i + 1, d->words[2 * i + 1], true);
    finish_slot(d, &slot);
}

/* The flags of one CTA, one a peer. The CTA waits while a peer's flag is still the one before the flag that
 * it has released itself; a CTA that has released nothing in this call does not wait yet. */
static void decode_barrier(struct decoder *d, uint32_t cta, uint32_t flag_before_call)
{
    const uint32_t at = hl_trtllm_barrier_flag(d->layout, cta, 0);
    if (!read_words(d, at, (uint32_t)d->layout->ranks))
        return;
    const uint32_t own = d->words[d->rank];
    if (own == flag_before_call)
        return;
    for (int peer = 0; peer < d->layout->ranks; peer++) {
        struct hl_slot_evidence slot = new_slot(d, HL_STAGE_BARRIER, 0, cta, peer, at + (uint32_t)peer, 1);
        if (d->words[peer] == (own + 2) % 3)
            note_missing(&slot, 0, at + (uint32_t)peer, d->words[peer], true);
        finish_slot(d, &slot);
    }
}

/* The leader rotates once its own rows have arrived and every CTA has counted in, while other CTAs may still
 * poll. So the flags of a call that waits are those of its begin, or already one rotation further. */
static bool is_rotated(const struct hl_layout *l, const struct hl_workspace_evidence *w,
                       enum hl_protocol protocol)
{
    const uint32_t next = (w->rotations + 1) % l->depth;
    switch (hl_protocol_family(protocol)) {
    case HL_FAMILY_MNNVL: return w->flags[HL_MNNVL_CURRENT] == next;
    case HL_FAMILY_TRTLLM:
        return protocol == HL_TRTLLM_TWOSHOT ? w->flags[HL_TRTLLM_BARRIER_FLAG] == 2 * (w->barriers + 1) % 3
                                             : w->flags[HL_TRTLLM_CURRENT] == next;
    default: return w->flags[HL_NCCL_EPOCH] == w->rotations + 1;
    }
}

static uint8_t buffer_of_call(const struct hl_layout *l, const struct hl_workspace_evidence *w,
                              enum hl_protocol protocol)
{
    const uint32_t current =
        w->flags[hl_protocol_family(protocol) == HL_FAMILY_MNNVL ? (int)HL_MNNVL_CURRENT
                                                                 : (int)HL_TRTLLM_CURRENT];
    return (uint8_t)((is_rotated(l, w, protocol) ? current + l->depth - 1 : current) % l->depth);
}

/* The arrival counter, where nothing else keeps the call from ending, or where it can never be right again.
 */
static void decode_arrivals(struct decoder *d, const struct hl_workspace_evidence *w)
{
    const enum hl_family family = d->layout->family;
    const uint32_t word = family == HL_FAMILY_MNNVL    ? (uint32_t)HL_MNNVL_ARRIVED
                          : family == HL_FAMILY_TRTLLM ? (uint32_t)HL_TRTLLM_ARRIVED
                                                       : (uint32_t)HL_NCCL_ARRIVED;
    const uint32_t arrived = w->flags[word], ctas = d->record->ctas;
    const bool overshoot = family == HL_FAMILY_TRTLLM && arrived > ctas;
    if (is_rotated(d->layout, w, d->record->protocol) || arrived == ctas || (arrived > ctas && !overshoot) ||
        (d->list.missing_of_call > 0 && !overshoot))
        return;
    struct hl_slot_evidence slot = new_slot(d, HL_STAGE_ARRIVALS, 0, 0, d->rank, word, 1);
    note_missing(&slot, 0, word, arrived, true);
    finish_slot(d, &slot);
}

static void decode_oneshot(struct decoder *d, uint8_t buffer, uint32_t tokens)
{
    const struct hl_layout *l = d->layout;
    const bool is_mnnvl = d->record->protocol == HL_MNNVL_ONESHOT;
    for (uint32_t token = 0; token < tokens; token++)
        for (uint32_t source = 0; source < (uint32_t)l->ranks; source++) {
            /* mnnvl keeps its own row in registers up to 8 ranks (M:962). */
            if (is_mnnvl && l->ranks <= 8 && source == (uint32_t)d->rank)
                continue;
            decode_row(d, HL_STAGE_ONESHOT, buffer, token, (int)source,
                       is_mnnvl ? hl_mnnvl_oneshot_slot(l, buffer, token, source)
                                : hl_trtllm_oneshot_slot(l, buffer, token, source, tokens));
        }
}

static void decode_mnnvl_twoshot(struct decoder *d, uint8_t buffer, uint32_t tokens)
{
    const struct hl_layout *l = d->layout;
    const uint32_t ranks = (uint32_t)l->ranks;
    for (uint32_t token = (uint32_t)d->rank; token < tokens; token += ranks)
        for (uint32_t source = 0; source < ranks; source++)
            decode_row(d, HL_STAGE_SCATTER, buffer, token, (int)source,
                       hl_mnnvl_scatter_slot(l, buffer, token, source));
    for (uint32_t token = 0; token < tokens; token++)
        decode_row(d, HL_STAGE_BROADCAST, buffer, token, (int)(token % ranks),
                   hl_mnnvl_broadcast_slot(l, buffer, token));
}

static void decode_call(struct decoder *d)
{
    const struct hl_workspace_evidence *w = &d->evidence->rank[d->rank].workspace[d->record->workspace];
    const enum hl_protocol protocol = d->record->protocol;
    if (!w->known || protocol == HL_NORM_ONLY || hl_protocol_family(protocol) != d->layout->family)
        return;
    const uint32_t tokens =
        d->record->exec_tokens < d->layout->tokens_max ? d->record->exec_tokens : d->layout->tokens_max;
    d->list.missing_of_call = 0;
    switch (protocol) {
    case HL_MNNVL_ONESHOT:
    case HL_TRTLLM_ONESHOT: decode_oneshot(d, buffer_of_call(d->layout, w, protocol), tokens); break;
    case HL_MNNVL_TWOSHOT: decode_mnnvl_twoshot(d, buffer_of_call(d->layout, w, protocol), tokens); break;
    case HL_TRTLLM_TWOSHOT:
        for (uint32_t cta = 0; cta < d->record->ctas && cta < HL_TRTLLM_BARRIER_FLAGS; cta++)
            decode_barrier(d, cta, 2 * w->barriers % 3);
        break;
    default:
        for (uint32_t token = 0; token < tokens; token++)
            for (int source = 0; source < d->layout->ranks; source++)
                decode_pairs(d, w->rotations + 1, token, source);
    }
    decode_arrivals(d, w);
}

/* Of each workspace the oldest begun call: the ones behind it wait for it first. */
static void decode_rank(struct decoder *d, int rank)
{
    const struct hl_rank_evidence *r = &d->evidence->rank[rank];
    bool seen[HL_WORKSPACES_MAX] = { false };
    d->rank = rank;
    for (int i = 0; i < r->n_pending; i++) {
        d->record = &r->pending[i].record;
        if (r->pending[i].begun_ns == UINT64_MAX || seen[d->record->workspace])
            continue;
        seen[d->record->workspace] = true;
        d->layout = &d->evidence->layout[d->record->workspace];
        decode_call(d);
    }
}

/* Rank by rank, call by call, then along the stages: the order in which a person looks. */
static int compare_slots(const void *a_, const void *b_)
{
    const struct hl_slot_evidence *a = a_, *b = b_;
    const int64_t keys[][2] = {
        { a->state == HL_SLOT_ARRIVED, b->state == HL_SLOT_ARRIVED },
        { a->rank, b->rank },
        { a->workspace, b->workspace },
        { (int64_t)a->stage, (int64_t)b->stage },
        { a->token, b->token },
        { a->source, b->source },
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (keys[i][0] != keys[i][1])
            return keys[i][0] < keys[i][1] ? -1 : 1;
    return 0;
}

int hl_decode_slots(const struct hl_probe *probe, struct hl_evidence *evidence)
{
    uint32_t words = HL_RANKS_MAX;
    for (int w = 0; w < evidence->workspaces; w++)
        words = 2 * evidence->layout[w].row_words > words ? 2 * evidence->layout[w].row_words : words;
    struct decoder d = { .probe = probe, .evidence = evidence, .list = { .back = HL_SLOTS_MAX } };
    d.words = malloc(words * sizeof *d.words);
    d.list.slots = malloc(HL_SLOTS_MAX * sizeof *d.list.slots);
    if (!d.words || !d.list.slots) {
        free(d.words);
        free(d.list.slots);
        return -1;
    }
    for (int rank = 0; rank < evidence->ranks; rank++)
        decode_rank(&d, rank);
    free(d.words);
    const uint32_t arrived = HL_SLOTS_MAX - d.list.back;
    memmove(d.list.slots + d.list.front, d.list.slots + d.list.back, arrived * sizeof *d.list.slots);
    evidence->slots = d.list.slots;
    evidence->n_slots = d.list.front + arrived;
    evidence->slots_left_out = d.list.left_out;
    qsort(evidence->slots, evidence->n_slots, sizeof *evidence->slots, compare_slots);
    return 0;
}

/* The slot decoder: from the flags and the layout to the words that each rank's oldest begun call waits for.
 *
 * It uses the same address arithmetic as the kernels, so a slot that it shows missing is one that the
 * kernel's poll does not accept. */
#include "decode.h"
#include <stdlib.h>
#include <string.h>

/* Words that are read at once. */
#define CHUNK_WORDS 8192u

/* Slots on their way into the evidence. */
struct slot_list {
    struct hl_slot_evidence *slots;
    uint32_t n, room;
};

struct decoder {
    const struct hl_probe *probe;
    struct hl_evidence *evidence;
    const struct hl_layout *layout;
    const struct hl_call_record *record;
    int rank;
    struct slot_list missing, arrived; /* of the latter no more than evidence can hold */
    uint32_t missing_before_call;
    bool failed;
    uint32_t *words;       /* that a slot is read from: as many behind them as fit */
    uint32_t at, n, chunk; /* what they are */
    int words_of[2];       /* rank, workspace */
    uint64_t left_out;
};

static void keep_slot(struct decoder *d, const struct hl_slot_evidence *slot)
{
    const bool arrived = slot->state == HL_SLOT_ARRIVED;
    struct slot_list *list = arrived ? &d->arrived : &d->missing;
    if (arrived && list->n == HL_SLOTS_MAX) {
        d->left_out++;
        return;
    }
    if (list->n == list->room) {
        const uint32_t room = list->room ? 2 * list->room : 256;
        struct hl_slot_evidence *grown = realloc(list->slots, room * sizeof *grown);
        d->failed |= !grown;
        if (!grown)
            return;
        list->slots = grown;
        list->room = room;
    }
    list->slots[list->n++] = *slot;
}

/* Thousands of slots may be missing, and who waits for whom has to show for every rank: of too many, each
 * rank, workspace, stage and source keeps its first ones. */
static void thin_out(struct decoder *d)
{
    enum { STAGES = HL_STAGE_ARRIVALS + 1 };
    static uint32_t kept[HL_RANKS_MAX][HL_WORKSPACES_MAX][STAGES][HL_RANKS_MAX];
    const uint32_t groups = (uint32_t)(d->evidence->ranks * d->evidence->ranks * d->evidence->workspaces) * 2;
    const uint32_t most = groups < HL_SLOTS_MAX ? HL_SLOTS_MAX / groups : 1;
    uint32_t n = 0;
    if (d->missing.n <= HL_SLOTS_MAX)
        return;
    memset(kept, 0, sizeof kept);
    for (uint32_t i = 0; i < d->missing.n; i++) {
        const struct hl_slot_evidence *slot = &d->missing.slots[i];
        if (n < HL_SLOTS_MAX && kept[slot->rank][slot->workspace][slot->stage][slot->source]++ < most)
            d->missing.slots[n++] = *slot;
    }
    d->left_out += d->missing.n - n;
    d->missing.n = n;
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
    keep_slot(d, slot);
}

/* Words of the rank's workspace, or NULL. Slots lie side by side, and a GPU takes as long for one as for
 * many, so what follows is read with them. */
static const uint32_t *read_words(struct decoder *d, uint32_t at, uint32_t count)
{
    const int rank = d->rank, workspace = d->record->workspace;
    const struct hl_probe *probe = d->probe;
    const bool is_there =
        d->words_of[0] == rank && d->words_of[1] == workspace && at >= d->at && at - d->at + count <= d->n;
    if (is_there)
        return d->words + (at - d->at);
    const uint32_t behind = d->layout->words - at, wanted = behind < d->chunk ? behind : d->chunk;
    d->words_of[0] = -1;
    d->n = wanted > count ? wanted : count;
    if (probe->read_words(probe->user, rank, workspace, at, d->n, d->words) != 0) {
        d->n = count; /* a recording may have just these */
        if (probe->read_words(probe->user, rank, workspace, at, count, d->words) != 0)
            return NULL;
    }
    d->at = at;
    d->words_of[0] = rank;
    d->words_of[1] = workspace;
    return d->words;
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
    const uint32_t *words = read_words(d, at, l->row_words);
    if (!words)
        return;
    for (uint32_t i = 0; i < l->row_words; i++)
        if (hl_word_missing(l, words[i], d->evidence->compare))
            note_missing(&slot, i, at + i, words[i], words[i] == hl_sentinel_word(l));
    finish_slot(d, &slot);
}

/* One row of (word, epoch) pairs: it waits until every epoch is this call's. */
static void decode_pairs(struct decoder *d, uint32_t epoch, uint32_t token, int source)
{
    const uint8_t buffer = (uint8_t)(epoch % 2);
    const uint32_t at = hl_nccl_slot(d->layout, buffer, token, (uint32_t)source);
    struct hl_slot_evidence slot =
        new_slot(d, HL_STAGE_ONESHOT, buffer, token, source, at, d->layout->row_words);
    const uint32_t *words = read_words(d, at, 2 * d->layout->row_words);
    if (!words)
        return;
    for (uint32_t i = 0; i < d->layout->row_words; i++)
        if (words[2 * i + 1] != epoch)
            note_missing(&slot, i, at + 2 * i + 1, words[2 * i + 1], true);
    finish_slot(d, &slot);
}

/* The flags of one CTA, one a peer. The CTA waits while a peer's flag is still the one before the flag that
 * it has released itself; a CTA that has released nothing in this call does not wait yet. */
static void decode_barrier(struct decoder *d, uint32_t cta, uint32_t flag_before_call)
{
    const uint32_t at = hl_trtllm_barrier_flag(d->layout, cta, 0);
    const uint32_t *words = read_words(d, at, (uint32_t)d->layout->ranks);
    if (!words)
        return;
    const uint32_t own = words[d->rank];
    if (own == flag_before_call)
        return;
    for (int peer = 0; peer < d->layout->ranks; peer++) {
        struct hl_slot_evidence slot = new_slot(d, HL_STAGE_BARRIER, 0, cta, peer, at + (uint32_t)peer, 1);
        if (words[peer] == (own + 2) % 3)
            note_missing(&slot, 0, at + (uint32_t)peer, words[peer], true);
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
        (d->missing.n > d->missing_before_call && !overshoot))
        return;
    struct hl_slot_evidence slot = new_slot(d, HL_STAGE_ARRIVALS, 0, 0, d->rank, word, 1);
    note_missing(&slot, 0, word, arrived, true);
    finish_slot(d, &slot);
}

/* In the order in which the slots lie. */
static void decode_oneshot(struct decoder *d, uint8_t buffer, uint32_t tokens)
{
    const struct hl_layout *l = d->layout;
    const uint32_t ranks = (uint32_t)l->ranks;
    const bool is_mnnvl = d->record->protocol == HL_MNNVL_ONESHOT;
    for (uint32_t i = 0; i < tokens * ranks; i++) {
        const uint32_t token = is_mnnvl ? i / ranks : i % tokens, source = is_mnnvl ? i % ranks : i / tokens;
        /* mnnvl keeps its own row in registers up to 8 ranks (M:962). */
        if (is_mnnvl && ranks <= 8 && source == (uint32_t)d->rank)
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

/* NCCL itself keeps its words where nobody else can read them: who has not begun the call has sent nothing.
 */
static void decode_begins(struct decoder *d)
{
    for (int source = 0; source < d->evidence->ranks; source++) {
        struct hl_slot_evidence slot = new_slot(d, HL_STAGE_ONESHOT, 0, 0, source, 0, 1);
        if (d->evidence->rank[source].workspace[d->record->workspace].begun <= d->record->call)
            note_missing(&slot, 0, 0, 0, true);
        finish_slot(d, &slot);
    }
}

static void decode_call(struct decoder *d)
{
    const struct hl_workspace_evidence *w = &d->evidence->rank[d->rank].workspace[d->record->workspace];
    const enum hl_protocol protocol = d->record->protocol;
    if (protocol == HL_NORM_ONLY || hl_protocol_family(protocol) != d->layout->family)
        return;
    if (!w->known) {
        if (protocol == HL_NCCL)
            decode_begins(d);
        return;
    }
    const uint32_t tokens =
        d->record->exec_tokens < d->layout->tokens_max ? d->record->exec_tokens : d->layout->tokens_max;
    d->missing_before_call = d->missing.n;
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

/* Missing slots first, then as many arrived ones as there is room for. */
static bool join(struct decoder *d)
{
    thin_out(d);
    const uint32_t room = HL_SLOTS_MAX - d->missing.n;
    const uint32_t arrived = d->arrived.n < room ? d->arrived.n : room;
    struct hl_slot_evidence *slots = calloc(d->missing.n + arrived + 1u, sizeof *slots);
    if (!slots || d->failed) {
        free(slots);
        return false;
    }
    if (d->missing.n > 0)
        memcpy(slots, d->missing.slots, d->missing.n * sizeof *slots);
    if (arrived > 0)
        memcpy(slots + d->missing.n, d->arrived.slots, arrived * sizeof *slots);
    qsort(slots, d->missing.n + arrived, sizeof *slots, compare_slots);
    d->evidence->slots = slots;
    d->evidence->n_slots = d->missing.n + arrived;
    d->evidence->slots_left_out = (uint32_t)(d->left_out + d->arrived.n - arrived);
    return true;
}

int hl_decode_slots(const struct hl_probe *probe, struct hl_evidence *evidence)
{
    struct decoder d = { .probe = probe, .evidence = evidence, .chunk = CHUNK_WORDS, .words_of = { -1, -1 } };
    for (int w = 0; w < evidence->workspaces; w++)
        d.chunk = 2 * evidence->layout[w].row_words > d.chunk ? 2 * evidence->layout[w].row_words : d.chunk;
    d.words = malloc(d.chunk * sizeof *d.words);
    for (int rank = 0; d.words && rank < evidence->ranks; rank++)
        decode_rank(&d, rank);
    const bool joined = d.words && join(&d);
    free(d.words);
    free(d.missing.slots);
    free(d.arrived.slots);
    return joined ? 0 : -1;
}

/* From a slot to the reason why it does not come. A rank that waits may be kept from its own next calls by
 * that, so the one wait that starts the chain has to be told from the many that follow. */
#include "waits.h"
#include <stddef.h>

const struct hl_pending_call *hl_pending_find(const struct hl_evidence *evidence, int rank, int workspace,
                                              uint32_t call)
{
    const struct hl_rank_evidence *r = &evidence->rank[rank];
    for (int i = 0; i < r->n_pending; i++)
        if (r->pending[i].record.workspace == workspace && r->pending[i].record.call == call)
            return &r->pending[i];
    return NULL;
}

/* Calls of two streams may begin out of order, so the table of calls in flight comes before the counts. */
bool hl_has_begun(const struct hl_evidence *evidence, int rank, int workspace, uint32_t call)
{
    const struct hl_pending_call *pending = hl_pending_find(evidence, rank, workspace, call);
    return pending ? pending->begun_ns != UINT64_MAX : call < evidence->rank[rank].workspace[workspace].begun;
}

bool hl_has_enqueued(const struct hl_evidence *evidence, int rank, int workspace, uint32_t call)
{
    return call < evidence->rank[rank].workspace[workspace].enqueued;
}

/* Does the rank run a call of this workspace (or, with `other`, of another one)? */
static bool runs_call(const struct hl_evidence *evidence, int rank, int workspace, bool other)
{
    const struct hl_rank_evidence *r = &evidence->rank[rank];
    for (int i = 0; i < r->n_pending; i++)
        if (r->pending[i].begun_ns != UINT64_MAX && (r->pending[i].record.workspace != workspace) == other)
            return true;
    return false;
}

static bool has_no_room(const struct hl_evidence *evidence, int rank)
{
    const struct hl_residency *residency = &evidence->rank[rank].residency;
    return residency->started < residency->ctas && residency->room == 0;
}

/* Does the source wait itself for what it needs first? A broadcast row for the rows that it reduces, a
 * barrier flag for the barrier before. */
static bool is_source_waiting(const struct hl_evidence *evidence, const struct hl_slot_evidence *slot)
{
    const enum hl_stage first = slot->stage == HL_STAGE_BROADCAST ? HL_STAGE_SCATTER : HL_STAGE_BARRIER;
    if (slot->stage != HL_STAGE_BROADCAST && slot->stage != HL_STAGE_BARRIER)
        return false;
    for (uint32_t i = 0; i < evidence->n_slots; i++) {
        const struct hl_slot_evidence *other = &evidence->slots[i];
        if (other->state != HL_SLOT_ARRIVED && other->stage == first && other->rank == slot->source &&
            other->workspace == slot->workspace && other->call == slot->call && other->token == slot->token)
            return true;
    }
    return false;
}

/* What the journal of the word tells, or, where there is none, the times of the initialisation. */
static enum hl_wait_kind kind_by_history(const struct hl_evidence *evidence,
                                         const struct hl_slot_evidence *slot)
{
    const struct hl_word_history *h = &slot->history;
    if (h->known) {
        if (h->stored_by != slot->source || h->stored_call != slot->call)
            return slot->elsewhere >= 0 ? HL_WAIT_ELSEWHERE : HL_WAIT_NEVER_STORED;
        if (h->cleared_by < 0 || h->cleared_ns < h->stored_ns) /* what was stored is the sentinel itself */
            return evidence->layout[slot->workspace].family == HL_FAMILY_NCCL ? HL_WAIT_NEVER_STORED
                                                                              : HL_WAIT_REFUSED;
        if (h->cleared_by == slot->rank && h->cleared_call == slot->call)
            return HL_WAIT_ERASED_IN_CALL;
        return h->cleared_call == UINT32_MAX ? HL_WAIT_ERASED_BY_INIT : HL_WAIT_ERASED_BY_CLEAR;
    }
    if (slot->words_missing > 0 && slot->input_sentinels == slot->words_missing)
        return HL_WAIT_REFUSED; /* exactly what the source had to send */
    const uint64_t initialised_ns = evidence->rank[slot->rank].workspace[slot->workspace].initialised_ns;
    const uint64_t begun_ns = evidence->rank[slot->source].workspace[slot->workspace].first_begun_ns;
    return initialised_ns != UINT64_MAX && begun_ns != UINT64_MAX && initialised_ns > begun_ns
               ? HL_WAIT_ERASED_BY_INIT
               : HL_WAIT_NEVER_STORED;
}

static enum hl_wait_kind kind_before_begin(const struct hl_evidence *evidence,
                                           const struct hl_slot_evidence *slot)
{
    if (evidence->rank[slot->source].host == HL_HOST_DEAD)
        return HL_WAIT_DEAD;
    if (runs_call(evidence, slot->source, slot->workspace, false))
        return HL_WAIT_DERIVED;
    if (runs_call(evidence, slot->source, slot->workspace, true))
        return hl_has_enqueued(evidence, slot->source, slot->workspace, slot->call) ? HL_WAIT_BEHIND
                                                                                    : HL_WAIT_ABSENT;
    if (!hl_has_enqueued(evidence, slot->source, slot->workspace, slot->call))
        return HL_WAIT_NOT_ISSUED;
    return has_no_room(evidence, slot->source) ? HL_WAIT_NO_ROOM : HL_WAIT_STREAM;
}

enum hl_wait_kind hl_wait_kind_of(const struct hl_evidence *evidence, const struct hl_slot_evidence *slot)
{
    if (slot->state == HL_SLOT_ARRIVED)
        return HL_WAIT_NONE;
    if (slot->stage == HL_STAGE_ARRIVALS)
        return has_no_room(evidence, slot->rank) ? HL_WAIT_NO_ROOM : HL_WAIT_ARRIVALS;
    if (slot->words_missing > slot->words_sentinel)
        return HL_WAIT_REFUSED;
    if (!hl_has_begun(evidence, slot->source, slot->workspace, slot->call))
        return kind_before_begin(evidence, slot);
    if (is_source_waiting(evidence, slot))
        return HL_WAIT_DERIVED;
    if (has_no_room(evidence, slot->source) &&
        hl_pending_find(evidence, slot->source, slot->workspace, slot->call))
        return HL_WAIT_NO_ROOM;
    return slot->stage == HL_STAGE_BARRIER ? HL_WAIT_NEVER_STORED : kind_by_history(evidence, slot);
}

const struct hl_slot_evidence *hl_wait_find(const struct hl_evidence *evidence, enum hl_wait_kind kind)
{
    const struct hl_slot_evidence *found = NULL;
    for (uint32_t i = 0; i < evidence->n_slots; i++) {
        const struct hl_slot_evidence *slot = &evidence->slots[i];
        if ((!found || slot->call < found->call) && hl_wait_kind_of(evidence, slot) == kind)
            found = slot;
    }
    return found;
}

/* reach[a] has bit b: rank a waits, over any number of ranks, for a call that b has not begun. */
static void close_over(uint32_t *reach, int ranks)
{
    for (int via = 0; via < ranks; via++)
        for (int from = 0; from < ranks; from++)
            if (reach[from] >> via & 1)
                reach[from] |= reach[via];
}

static bool is_ring_kind(enum hl_wait_kind kind) { return kind == HL_WAIT_BEHIND || kind == HL_WAIT_ABSENT; }

const struct hl_slot_evidence *hl_wait_find_ring(const struct hl_evidence *evidence, enum hl_wait_kind kind)
{
    uint32_t reach[HL_RANKS_MAX] = { 0 };
    for (uint32_t i = 0; i < evidence->n_slots; i++)
        if (is_ring_kind(hl_wait_kind_of(evidence, &evidence->slots[i])))
            reach[evidence->slots[i].rank] |= 1u << evidence->slots[i].source;
    close_over(reach, evidence->ranks);
    for (uint32_t i = 0; i < evidence->n_slots; i++) {
        const struct hl_slot_evidence *slot = &evidence->slots[i];
        if (hl_wait_kind_of(evidence, slot) == kind && reach[slot->source] >> slot->rank & 1)
            return slot;
    }
    return NULL;
}

/* What a wrongly built kernel leaves behind besides an empty slot: a call that did not wait, a frozen number,
 * a write outside of the workspace, half a row. */
#include <stdio.h>
#include "findings.h"
#include "waits.h"

bool hl_decide_early_trigger(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    for (int r = 0; r < evidence->ranks; r++) {
        const struct hl_overlap *early = &evidence->rank[r].early;
        if (!early->seen)
            continue;
        finding->culprit.rank = r;
        finding->culprit.call = early->second;
        hl_say(finding,
               "on rank %d call %u began before call %u, in front of it on its stream, had ended: it was let "
               "go early and did not wait",
               r, early->second, early->first);
        return true;
    }
    return false;
}

/* A plain allreduce has an epoch beside each word, so its sums are right or it does not end; what is wrong is
 * the norm in the kernel behind it, which read them too early. */
bool hl_decide_norm_ran_ahead(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    const struct hl_wrong_result *wrong = &evidence->wrong;
    if (wrong->record.protocol != HL_NCCL ||
        (wrong->kind != HL_WRONG_SUM && wrong->kind != HL_WRONG_UNTOUCHED))
        return false;
    hl_blame_call(wrong->rank, &wrong->record, finding);
    finding->culprit.slot_token = wrong->token;
    finding->other_cause = HL_CAUSE_WEAK_ORDERING;
    hl_say(
        finding,
        "call %u of rank %d: element %u of row %u is %g instead of %g: the norm ran before the allreduce in "
        "front of it had written that row",
        wrong->record.call, wrong->rank, wrong->element, wrong->token, wrong->got, wrong->want);
    return true;
}

/* The host's number of a call comes from its capture and is not the call's own. */
bool hl_decide_baked_epoch(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    int rank = 0;
    while (rank < evidence->ranks && evidence->rank[rank].baked.epoch == 0)
        rank++;
    if (rank == evidence->ranks)
        return false;
    const struct hl_call_record *baked = &evidence->rank[rank].baked;
    hl_blame_call(rank, baked, finding);
    hl_say(
        finding,
        "call %u of rank %d was given number %u by its host, frozen when graph %u was captured: every replay "
        "uses the same one",
        baked->call, rank, baked->epoch - 1, baked->graph);
    return true;
}

bool hl_decide_out_of_bounds(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    const struct hl_stray_write *stray = &evidence->stray;
    if (!stray->found)
        return false;
    finding->culprit.rank = stray->by_rank;
    finding->culprit.call = stray->by_rank < 0 ? -1 : (int64_t)stray->by_call;
    finding->culprit.value = stray->value;
    const long long words = stray->distance < 0 ? -stray->distance : stray->distance + 1;
    char by[64] = "";
    if (stray->by_rank >= 0)
        snprintf(by, sizeof by, ", by call %u of rank %d", stray->by_call, stray->by_rank);
    char place[32] = "the whole of it";
    if (stray->buffer >= 0)
        snprintf(place, sizeof place, "buffer %d", stray->buffer);
    hl_say(finding,
           "0x%08x was written outside of the buffers of workspace %d of rank %d, %lld word%s %s %s%s",
           stray->value, stray->workspace, stray->rank, words, words == 1 ? "" : "s",
           stray->distance < 0 ? "before" : "behind", place, by);
    return true;
}

/* The buffer that a rank's last call has to have cleared by now. A call that waits has cleared the one of the
 * call before it; one that has ended left its own to its successor. Two-shots of trtllm rotate nothing. */
static uint32_t buffer_to_be_clean(const struct hl_layout *l, const struct hl_rank_evidence *rank,
                                   int workspace)
{
    const struct hl_workspace_evidence *w = &rank->workspace[workspace];
    bool waits = false;
    for (int i = 0; i < rank->n_pending; i++)
        waits |= rank->pending[i].record.workspace == workspace && rank->pending[i].begun_ns != UINT64_MAX &&
                 rank->pending[i].record.protocol != HL_TRTLLM_TWOSHOT;
    return (w->rotations + (waits ? l->depth - 1 : 1)) % l->depth;
}

/* Where no word keeps a history, the state of the buffers tells a clear that comes too late: the index goes
 * through fewer buffers than the layout has, or the one that has to be clean is full from its first row on.
 */
static bool clears_late(const struct hl_evidence *evidence, int rank, int workspace,
                        struct hl_finding *finding)
{
    const struct hl_layout *l = &evidence->layout[workspace];
    const struct hl_workspace_evidence *w = &evidence->rank[rank].workspace[workspace];
    if (!w->known || l->family == HL_FAMILY_NCCL || l->depth == 0 || w->rotations < l->depth)
        return false;
    const uint32_t current =
        w->flags[l->family == HL_FAMILY_MNNVL ? (uint32_t)HL_MNNVL_CURRENT : (uint32_t)HL_TRTLLM_CURRENT];
    const uint32_t clean = buffer_to_be_clean(l, &evidence->rank[rank], workspace);
    if (current != w->rotations % l->depth && current != (w->rotations + 1) % l->depth) {
        hl_say(
            finding,
            "after %u calls the buffer index of rank %d is %u: it goes through fewer than %u buffers, so a "
            "call clears what its successor's peers have filled",
            w->rotations, rank, current, l->depth);
        return true;
    }
    if (!(w->filled >> clean & 1))
        return false;
    finding->culprit.buffer = (int)clean;
    hl_say(
        finding,
        "buffer %u of rank %d still holds rows, although its last call had to clear it: it is cleared when "
        "peers may store there again",
        clean, rank);
    return true;
}

static bool is_suspicious(const struct hl_evidence *evidence)
{
    const enum hl_wrong_kind wrong = evidence->wrong.kind;
    const struct hl_slot_evidence *slot = hl_wait_find(evidence, HL_WAIT_NEVER_STORED);
    return wrong == HL_WRONG_STALE || wrong == HL_WRONG_EARLY || wrong == HL_WRONG_SUM ||
           (slot && !slot->history.known && slot->stage != HL_STAGE_BARRIER);
}

bool hl_decide_uncleared(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    if (!is_suspicious(evidence))
        return false;
    for (int r = 0; r < evidence->ranks; r++)
        for (int w = 0; w < evidence->workspaces; w++)
            if (clears_late(evidence, r, w, finding)) {
                finding->culprit.rank = r;
                return true;
            }
    return false;
}

bool hl_decide_torn(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    const struct hl_wrong_result *wrong = &evidence->wrong;
    if (wrong->kind != HL_WRONG_TORN)
        return false;
    hl_blame_call(wrong->rank, &wrong->record, finding);
    finding->culprit.slot_token = wrong->token;
    hl_say(
        finding,
        "rank %d took row %u in call %u for complete when only half of each 16 bytes had arrived: element %u "
        "is %g instead of %g",
        wrong->rank, wrong->token, wrong->record.call, wrong->element, wrong->got, wrong->want);
    return true;
}

/* A barrier's flags announce the rows of the two-shot, which never clears them: an old row, or half of one,
 * means that a flag was seen before the row. */
bool hl_decide_stale_behind_flag(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    const struct hl_wrong_result *wrong = &evidence->wrong;
    const bool is_old =
        wrong->kind == HL_WRONG_STALE || wrong->kind == HL_WRONG_TORN || wrong->kind == HL_WRONG_SUM;
    if (!is_old || wrong->record.protocol != HL_TRTLLM_TWOSHOT)
        return false;
    hl_blame_call(wrong->rank, &wrong->record, finding);
    finding->culprit.slot_token = wrong->token;
    hl_say(finding,
           "rank %d passed the barrier of call %u and read row %u from before it: element %u is %g instead "
           "of %g, "
           "so the flag was seen before the row",
           wrong->rank, wrong->record.call, wrong->token, wrong->element, wrong->got, wrong->want);
    return true;
}

/* The leader has moved the barrier flag on although its call has not ended: a CTA that reads it now releases
 * a value that nobody waits for. */
static const struct hl_slot_evidence *find_flag_read_late(const struct hl_evidence *evidence)
{
    for (uint32_t i = 0; i < evidence->n_slots; i++) {
        const struct hl_slot_evidence *slot = &evidence->slots[i];
        const struct hl_workspace_evidence *w = &evidence->rank[slot->source].workspace[slot->workspace];
        if (slot->stage == HL_STAGE_BARRIER && hl_wait_kind_of(evidence, slot) == HL_WAIT_NEVER_STORED &&
            w->known && w->flags[HL_TRTLLM_BARRIER_FLAG] == 2 * (w->barriers + 1) % 3)
            return slot;
    }
    return NULL;
}

/* CTAs of one call disagree about the buffer: one of them read the index before or after its time. */
bool hl_decide_weak_ordering(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    char text[HL_WAIT_TEXT_MAX];
    const struct hl_slot_evidence *slot = hl_blame_wait(evidence, HL_WAIT_ELSEWHERE, finding, text);
    if (slot) {
        finding->other_cause = HL_CAUSE_ARRIVAL_STUCK;
        hl_say(finding,
               "%s, which stored it into buffer %d instead: it read the index before, or after, the time at "
               "which "
               "its grid agreed on one",
               text, slot->elsewhere);
        return true;
    }
    slot = find_flag_read_late(evidence);
    if (slot) {
        hl_blame_slot(evidence, slot, finding);
        hl_describe_wait(evidence, slot, text, sizeof text);
        finding->other_cause = HL_CAUSE_ARRIVAL_STUCK;
        hl_say(finding, "%s, which read its flag when the leader of its grid had moved that on", text);
        return true;
    }
    slot = hl_blame_wait(evidence, HL_WAIT_ERASED_IN_CALL, finding, text);
    if (!slot)
        return false;
    finding->other_cause = HL_CAUSE_LATE_CLEAR;
    hl_say(
        finding,
        "%s: it was stored, and then a CTA of the same call, which clears another buffer, erased it: it read "
        "the index when that had been moved on",
        text);
    return true;
}

static bool misses_nothing(const struct hl_evidence *evidence, int rank)
{
    for (uint32_t i = 0; i < evidence->n_slots; i++)
        if (evidence->slots[i].rank == rank && evidence->slots[i].state != HL_SLOT_ARRIVED)
            return false;
    return true;
}

/* A call that has all its rows, whose leader has moved the buffer index on, and that does not end: the CTA
 * that still waits looks at another buffer. */
bool hl_decide_wrong_buffer(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    for (int r = 0; r < evidence->ranks; r++) {
        const struct hl_rank_evidence *rank = &evidence->rank[r];
        const struct hl_pending_call *call = &rank->pending[0];
        if (rank->n_pending == 0 || call->begun_ns == UINT64_MAX || !misses_nothing(evidence, r) ||
            hl_protocol_family(call->record.protocol) != HL_FAMILY_MNNVL)
            continue;
        const struct hl_workspace_evidence *w = &rank->workspace[call->record.workspace];
        const uint32_t depth = evidence->layout[call->record.workspace].depth;
        if (!w->known || w->flags[HL_MNNVL_CURRENT] != (w->rotations + 1) % depth)
            continue;
        hl_blame_call(r, &call->record, finding);
        finding->other_cause = HL_CAUSE_ARRIVAL_STUCK;
        hl_say(finding,
               "call %u of rank %d has all its rows and its buffer index has been moved on, and it does not "
               "end: a "
               "CTA read the index after that and waits in another buffer",
               call->record.call, r);
        return true;
    }
    return false;
}

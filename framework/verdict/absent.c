/* Calls that a rank has never enqueued: left out by it, or one too many of the rank that waits? Seen at the
 * end of a program, or where the rank stands in a call of another workspace. */
#include "findings.h"
#include "waits.h"

/* The ranks that have issued a call, and their number. */
static int count_issuers(const struct hl_evidence *evidence, int workspace, uint32_t call)
{
    int count = 0;
    for (int r = 0; r < evidence->ranks; r++)
        count += hl_has_enqueued(evidence, r, workspace, call);
    return count;
}

/* The source has ended or can never go on without the call: is it the waiting rank that made one too many?
 * Most ranks are right; of two, a repeated site tells. */
static bool is_extra_call(const struct hl_evidence *evidence, const struct hl_slot_evidence *slot)
{
    const int issuers = count_issuers(evidence, slot->workspace, slot->call);
    if (issuers * 2 != evidence->ranks)
        return issuers * 2 < evidence->ranks;
    const struct hl_pending_call *pending =
        hl_pending_find(evidence, slot->rank, slot->workspace, slot->call);
    return pending && pending->site_before == pending->record.site && !pending->begins_round;
}

/* A ring over a call that a rank has not enqueued, and will not, because its host waits for the stream that
 * stands in the ring: no other order of its calls, but one call too few, or too many on the other side. */
bool hl_decide_ring_of_skipped(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    char text[HL_WAIT_TEXT_MAX];
    const struct hl_slot_evidence *slot = hl_wait_find_ring(evidence, HL_WAIT_ABSENT);
    if (!slot || is_extra_call(evidence, slot))
        return false;
    hl_blame_slot(evidence, slot, finding);
    hl_describe_wait(evidence, slot, text, sizeof text);
    finding->culprit.rank = slot->source;
    if (evidence->ranks == 2)
        finding->other_cause = HL_CAUSE_EPOCH_SKEW;
    hl_say(finding, "%s, which left that call out: it runs a later one on another workspace", text);
    return true;
}

bool hl_decide_ring_of_extra(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    char text[HL_WAIT_TEXT_MAX];
    const struct hl_slot_evidence *slot = hl_wait_find_ring(evidence, HL_WAIT_ABSENT);
    if (!slot)
        return false;
    hl_blame_slot(evidence, slot, finding);
    hl_describe_wait(evidence, slot, text, sizeof text);
    if (evidence->ranks == 2)
        finding->other_cause = HL_CAUSE_PEER_MISSING_CALL;
    hl_say(finding, "%s, but only %d of %d ranks made that call: it is one too many", text,
           count_issuers(evidence, slot->workspace, slot->call), evidence->ranks);
    return true;
}

/* Does every host wait for the others, and the source with nothing of its own on the device? Then it stands
 * in a barrier that its peers, which wait for its call, cannot come to. */
static bool waits_in_lone_barrier(const struct hl_evidence *evidence, int source)
{
    for (int r = 0; r < evidence->ranks; r++) {
        const struct hl_rank_evidence *rank = &evidence->rank[r];
        if (rank->host != HL_HOST_EXITED && (!rank->waits || !hl_host_waits_its_turn(rank->wait)))
            return false;
    }
    return evidence->rank[source].n_pending == 0;
}

/* Will the source never issue the call? Nothing can go on any more, its program is over, or its host is
 * already behind the op that made its peer's call. */
static bool is_left_out(const struct hl_evidence *evidence, const struct hl_slot_evidence *slot)
{
    const struct hl_pending_call *pending =
        hl_pending_find(evidence, slot->rank, slot->workspace, slot->call);
    const struct hl_rank_evidence *source = &evidence->rank[slot->source];
    return source->host == HL_HOST_EXITED || evidence->quiescent ||
           waits_in_lone_barrier(evidence, slot->source) ||
           (pending && source->op != UINT32_MAX && source->op > pending->record.launch);
}

bool hl_decide_extra_call_at_end(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    char text[HL_WAIT_TEXT_MAX];
    const struct hl_slot_evidence *slot = hl_blame_wait(evidence, HL_WAIT_NOT_ISSUED, finding, text);
    if (!slot || !is_left_out(evidence, slot) || !is_extra_call(evidence, slot))
        return false;
    if (evidence->ranks == 2)
        finding->other_cause = HL_CAUSE_PEER_MISSING_CALL;
    hl_say(finding, "%s, but only %d of %d ranks ever made that call: it is one too many", text,
           count_issuers(evidence, slot->workspace, slot->call), evidence->ranks);
    return true;
}

bool hl_decide_missing_call_at_end(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    char text[HL_WAIT_TEXT_MAX];
    const struct hl_slot_evidence *slot = hl_blame_wait(evidence, HL_WAIT_NOT_ISSUED, finding, text);
    if (!slot || !is_left_out(evidence, slot))
        return false;
    const bool over = evidence->rank[slot->source].host == HL_HOST_EXITED;
    finding->culprit.rank = slot->source;
    if (evidence->ranks == 2)
        finding->other_cause = HL_CAUSE_EPOCH_SKEW;
    hl_say(finding, "%s, which never made that call: it made %u calls and %s", text,
           evidence->rank[slot->source].workspace[slot->workspace].enqueued,
           over ? "its program is over" : "its host is past it");
    return true;
}

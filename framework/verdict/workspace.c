/* Workspaces that are not what a rank takes them for: replaced while a graph keeps the old addresses, or used
 * by another group as well. */
#include "findings.h"
#include "waits.h"

bool hl_decide_shared_workspace(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    for (int r = 0; r < evidence->ranks; r++) {
        const struct hl_call_record *record = &evidence->rank[r].others;
        if (record->group == 0)
            continue;
        hl_blame_call(r, record, finding);
        hl_say(
            finding,
            "call %u of rank %d on workspace %u is for the ranks 0x%x, which are not this group: two groups "
            "use one workspace, so their calls pair with each other's",
            record->call, r, record->workspace, record->group);
        return true;
    }
    return false;
}

static uint32_t replaced_by(const struct hl_evidence *evidence, int rank, int workspace)
{
    return evidence->rank[rank].workspace[workspace].replaced_by;
}

/* Has any other rank issued this call on the old workspace as well? */
static bool has_company(const struct hl_evidence *evidence, int rank, const struct hl_call_record *record)
{
    for (int r = 0; r < evidence->ranks; r++)
        if (r != rank && hl_has_enqueued(evidence, r, record->workspace, record->call))
            return true;
    return false;
}

/* A rank is alone in a call on memory that all have left. */
bool hl_decide_stale_address(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    for (int r = 0; r < evidence->ranks; r++) {
        const struct hl_rank_evidence *rank = &evidence->rank[r];
        for (int i = 0; i < rank->n_pending; i++) {
            const struct hl_call_record *record = &rank->pending[i].record;
            if (rank->pending[i].begun_ns == UINT64_MAX || !replaced_by(evidence, r, record->workspace) ||
                has_company(evidence, r, record))
                continue;
            hl_blame_call(r, record, finding);
            hl_say(
                finding,
                "rank %d stores and polls, in call %u of graph %u, at the addresses of workspace %u, which "
                "was made anew since (workspace %u): no peer is there",
                r, record->call, record->graph, record->workspace,
                replaced_by(evidence, r, record->workspace) - 1);
            return true;
        }
    }
    return false;
}

/* The record of a call on memory that was given back and that went wrong as foreign data makes it: a sum that
 * nothing explains, an early end, a row that is gone. */
static const struct hl_call_record *find_call_on_old_memory(const struct hl_evidence *evidence, int *ret_rank)
{
    const struct hl_wrong_result *wrong = &evidence->wrong;
    const struct hl_slot_evidence *slot = hl_wait_find(evidence, HL_WAIT_NEVER_STORED);
    *ret_rank = wrong->rank;
    if (wrong->kind == HL_WRONG_SUM || wrong->kind == HL_WRONG_EARLY)
        return &wrong->record;
    if (wrong->kind != HL_WRONG_NONE || !slot)
        return NULL;
    *ret_rank = slot->rank;
    const struct hl_pending_call *pending =
        hl_pending_find(evidence, slot->rank, slot->workspace, slot->call);
    return pending ? &pending->record : NULL;
}

bool hl_decide_reused_memory(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    int rank;
    const struct hl_call_record *record = find_call_on_old_memory(evidence, &rank);
    if (!record || !replaced_by(evidence, rank, record->workspace))
        return false;
    hl_blame_call(rank, record, finding);
    finding->other_cause = evidence->wrong.kind == HL_WRONG_NONE ? HL_CAUSE_LOST_WRITE : HL_CAUSE_SHORT_CLEAR;
    hl_say(finding,
           "call %u of rank %d runs in graph %u on workspace %u, which was made anew since (workspace %u): "
           "the graph keeps the old address, whose memory belongs to somebody else by now",
           record->call, rank, record->graph, record->workspace,
           replaced_by(evidence, rank, record->workspace) - 1);
    return true;
}

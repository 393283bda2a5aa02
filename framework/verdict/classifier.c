/* The decision table: from evidence to a cause.
 *
 * Rows are tried in order and the first that decides wins, so the order carries the reasoning:
 *
 *  1. A dead rank explains every wait for it; so do a barrier of other ranks, a kernel of somebody else that
 *     holds the GPU, and a tool that serialises.
 *  2. Diverging call sequences come before anything that slots show: a rank that is one call off leaves
 *     sentinels, erased words and stale rows behind, all of them consequences. They count only once a rank
 *     has reached the diverging call, because hosts run ahead of the device.
 *     Among them: another site before another shape before another protocol before another grid, since
 *     each of these brings the next ones with it.
 *  3. A refused word is final by itself: the data is there and never counts, whatever else is going on.
 *  4. Two calls at once, then a ring of waits, then a full GPU: each leaves slots empty on many ranks.
 *  5. Stale rows that ended a call too early let a rank run ahead; what hangs later is their consequence.
 *  6. What the host or the stream of the source did not do.
 *  7. What happened to the one word: erased by an initialisation, by a clear, or never stored.
 *
 * Where a word keeps no history (a GPU), the last three look alike; the likelier is the cause, the next one
 * the other cause. */
#include "findings.h"
#include <stdio.h>
#include <string.h>
#include "proof.h"
#include "waits.h"

typedef bool (*hl_decide_fn)(const struct hl_evidence *evidence, struct hl_finding *finding);

struct row {
    enum hl_cause cause;
    hl_decide_fn decide; /* true: this is it; culprit, summary and perhaps other_cause are filled */
};

/* A rank whose host is as asked and that is not past this point of the workspace, or -1. */
static int find_host(const struct hl_evidence *evidence, enum hl_host_state state)
{
    for (int r = 0; r < evidence->ranks; r++)
        if (evidence->rank[r].host == state)
            return r;
    return -1;
}

/* Where a rank's host is, in words: its op, or the driver call of a program that is not known. */
static const char *place_of_host(const struct hl_rank_evidence *rank, char text[80])
{
    if (rank->op != UINT32_MAX)
        snprintf(text, 80, "op %u", rank->op);
    else
        snprintf(text, 80, "%s", rank->driver_call[0] ? rank->driver_call : "its own code");
    return text;
}

static bool decide_dead(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    char text[HL_WAIT_TEXT_MAX];
    const struct hl_slot_evidence *slot = hl_blame_wait(evidence, HL_WAIT_DEAD, finding, text);
    if (slot) {
        hl_say(finding, "%s, which is dead", text);
        return true;
    }
    const int dead = find_host(evidence, HL_HOST_DEAD);
    if (dead < 0)
        return false;
    finding->culprit.rank = dead;
    hl_say(finding, "rank %d is dead and its peers wait for it", dead);
    return true;
}

static bool decide_collision(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    char text[HL_WAIT_TEXT_MAX];
    const struct hl_slot_evidence *slot = hl_blame_wait(evidence, HL_WAIT_REFUSED, finding, text);
    if (!slot)
        return false;
    const struct hl_layout *layout = &evidence->layout[slot->workspace];
    if (slot->value == hl_sentinel_word(layout) && !slot->history.known) {
        finding->other_cause = HL_CAUSE_LOST_WRITE;
        hl_say(
            finding,
            "%s: word %u holds the sentinel 0x%08x, and so does that word of the source's input: sent as it "
            "is, it never counts as arrived",
            text, slot->first_missing, slot->value);
    } else if (slot->value == hl_sentinel_word(layout))
        hl_say(
            finding,
            "%s: word %u was stored as 0x%08x, which is the sentinel itself, so it never counts as arrived",
            text, slot->first_missing, slot->value);
    else
        hl_say(finding,
               "%s: word %u holds 0x%08x, data that the comparison (%s) takes for the sentinel, so it never "
               "counts as arrived",
               text, slot->first_missing, slot->value,
               layout->family == HL_FAMILY_TRTLLM ? "any element -0.0" : hl_compare_word(evidence->compare));
    return true;
}

static bool decide_concurrent(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    for (int r = 0; r < evidence->ranks; r++) {
        const struct hl_overlap *overlap = &evidence->rank[r].overlap;
        if (!overlap->seen)
            continue;
        finding->culprit.rank = r;
        finding->culprit.call = overlap->second;
        const struct hl_pending_call *pending =
            hl_pending_find(evidence, r, overlap->workspace, overlap->second);
        if (pending)
            hl_blame_call(r, &pending->record, finding);
        hl_say(
            finding,
            "on rank %d call %u began on another stream while call %u was running on the same workspace %d",
            r, overlap->second, overlap->first, overlap->workspace);
        return true;
    }
    return false;
}

static bool decide_inversion(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    char text[HL_WAIT_TEXT_MAX];
    const struct hl_slot_evidence *slot = hl_wait_find_ring(evidence, HL_WAIT_BEHIND);
    if (!slot)
        return false;
    hl_blame_slot(evidence, slot, finding);
    hl_describe_wait(evidence, slot, text, sizeof text);
    hl_say(finding, "%s, which runs a call of another workspace first and so waits, in a ring, for rank %d",
           text, slot->rank);
    return true;
}

static bool decide_not_resident(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    char text[HL_WAIT_TEXT_MAX];
    const struct hl_slot_evidence *slot = hl_blame_wait(evidence, HL_WAIT_NO_ROOM, finding, text);
    if (!slot)
        return false;
    const struct hl_residency *residency = &evidence->rank[slot->source].residency;
    hl_say(finding, "%s, where %u of %u CTAs have not started and the GPU has no room for them", text,
           residency->ctas - residency->started, residency->ctas);
    return true;
}

/* A rank ran ahead on old rows: the oracle saw it before the stall. */
static bool decide_short_clear(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    const struct hl_wrong_result *wrong = &evidence->wrong;
    const uint32_t call = wrong->record.call;
    if (wrong->kind != HL_WRONG_STALE && wrong->kind != HL_WRONG_EARLY && !wrong->row_was_unused)
        return false;
    hl_blame_call(wrong->rank, &wrong->record, finding);
    finding->culprit.slot_token = wrong->token;
    finding->culprit.slot_rank = wrong->stale_source;
    if (wrong->kind == HL_WRONG_STALE)
        hl_say(finding, "rank %d took old data in call %u: for row %u it summed what rank %d sent in call %u",
               wrong->rank, call, wrong->token, wrong->stale_source, wrong->stale_call);
    else if (wrong->kind == HL_WRONG_EARLY)
        hl_say(finding,
               "rank %d ended call %u although rank %d had not sent row %u: old data counted as arrived",
               wrong->rank, call, wrong->stale_source, wrong->token);
    else {
        finding->other_cause = HL_CAUSE_UNKNOWN;
        hl_say(finding,
               "rank %d has a wrong sum in row %u of call %u, which the last call in its buffer did not use: "
               "what an "
               "older call left there was not cleared",
               wrong->rank, wrong->token, call);
    }
    return true;
}

/* No call is in flight: hosts wait for a rank that has left. */
static bool decide_left_at_barrier(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    const int blocked = find_host(evidence, HL_HOST_BLOCKED), gone = find_host(evidence, HL_HOST_EXITED);
    for (int r = 0; r < evidence->ranks; r++)
        if (evidence->rank[r].n_pending > 0)
            return false;
    if (blocked < 0 || gone < 0)
        return false;
    finding->culprit.rank = gone;
    hl_say(finding,
           "the host of rank %d waits in op %u, but the program of rank %d is over: it will not come",
           blocked, evidence->rank[blocked].op, gone);
    return true;
}

static bool decide_host_blocked(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    char text[HL_WAIT_TEXT_MAX], place[80];
    const struct hl_slot_evidence *slot = hl_blame_wait(evidence, HL_WAIT_NOT_ISSUED, finding, text);
    if (!slot) {
        const int blocked = find_host(evidence, HL_HOST_BLOCKED);
        for (int r = 0; r < evidence->ranks; r++)
            if (evidence->rank[r].n_pending > 0)
                return false;
        if (blocked < 0)
            return false;
        finding->culprit.rank = blocked;
        hl_say(finding, "no call is in flight and the host of rank %d stays in op %u", blocked,
               evidence->rank[blocked].op);
        return true;
    }
    finding->other_cause = HL_CAUSE_PEER_MISSING_CALL;
    finding->culprit.rank = slot->source;
    hl_say(finding, "%s, whose host has not issued that call and stays in %s", text,
           place_of_host(&evidence->rank[slot->source], place));
    return true;
}

static bool decide_stream_stalled(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    char text[HL_WAIT_TEXT_MAX];
    const struct hl_slot_evidence *slot = hl_blame_wait(evidence, HL_WAIT_STREAM, finding, text);
    if (!slot)
        slot = hl_blame_wait(evidence, HL_WAIT_BEHIND, finding, text);
    if (!slot)
        return false;
    finding->culprit.rank = slot->source;
    const bool answers = evidence->rank[slot->source].device == HL_DEVICE_ANSWERS;
    if (!answers)
        finding->other_cause = HL_CAUSE_DRIVER_STALL;
    hl_say(finding, "%s, whose call is on its stream and does not start%s: the wait is a victim", text,
           answers ? ", while its GPU does a copy on another stream" : "");
    return true;
}

static bool decide_init_race(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    char text[HL_WAIT_TEXT_MAX];
    const struct hl_slot_evidence *slot = hl_blame_wait(evidence, HL_WAIT_ERASED_BY_INIT, finding, text);
    if (!slot)
        return false;
    if (!slot->history.known)
        finding->other_cause = HL_CAUSE_LOST_WRITE;
    hl_say(finding, "%s: it was stored, and then rank %d filled its workspace with sentinels over it", text,
           slot->rank);
    return true;
}

static bool decide_late_clear(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    char text[HL_WAIT_TEXT_MAX];
    const struct hl_slot_evidence *slot = hl_blame_wait(evidence, HL_WAIT_ERASED_BY_CLEAR, finding, text);
    if (!slot)
        return false;
    hl_say(finding, "%s: it was stored, and then the clear of call %u of rank %d erased it", text,
           slot->history.cleared_call, slot->history.cleared_by);
    return true;
}

static bool decide_lost_write(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    char text[HL_WAIT_TEXT_MAX];
    const struct hl_slot_evidence *slot = hl_blame_wait(evidence, HL_WAIT_NEVER_STORED, finding, text);
    if (!slot)
        return false;
    if (slot->history.known) {
        hl_say(finding, "%s, which has begun that call and never stored it: word %u still holds 0x%08x", text,
               slot->first_missing, slot->value);
    } else {
        finding->other_cause = HL_CAUSE_LATE_CLEAR;
        hl_say(finding,
               "%s, which has begun that call: word %u holds 0x%08x, so it was never stored, or erased", text,
               slot->first_missing, slot->value);
    }
    return true;
}

static bool decide_arrival(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    char text[HL_WAIT_TEXT_MAX];
    const struct hl_slot_evidence *slot = hl_blame_wait(evidence, HL_WAIT_ARRIVALS, finding, text);
    if (!slot)
        return false;
    const struct hl_pending_call *pending =
        hl_pending_find(evidence, slot->rank, slot->workspace, slot->call);
    hl_say(finding, "%s: the counter is %u and has to be %u", text, slot->value,
           pending ? pending->record.ctas : 0);
    return true;
}

static bool decide_unknown_hang(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    for (int r = 0; r < evidence->ranks; r++)
        if (evidence->rank[r].n_pending > 0) {
            hl_blame_call(r, &evidence->rank[r].pending[0].record, finding);
            hl_say(finding, "call %u of rank %d does not end, and the evidence does not say why",
                   evidence->rank[r].pending[0].record.call, r);
            return true;
        }
    hl_say(finding, "work is pending and nothing goes on, and the evidence does not say why");
    return true;
}

static const struct row hang_rows[] = {
    { HL_CAUSE_PEER_DEAD, decide_dead },
    { HL_CAUSE_WRONG_GROUP, hl_decide_wrong_group },
    { HL_CAUSE_FOREIGN_KERNEL, hl_decide_foreign_kernel },
    { HL_CAUSE_TOOL_INDUCED, hl_decide_tool },
    { HL_CAUSE_DRIVER_STALL, hl_decide_driver_stall },
    { HL_CAUSE_DRIVER_STALL, hl_decide_driver_call },
    { HL_CAUSE_PEER_HOST_BLOCKED, hl_decide_host_held },
    { HL_CAUSE_STALE_ADDRESS, hl_decide_stale_address },
    { HL_CAUSE_SHARED_WORKSPACE, hl_decide_shared_workspace },
    { HL_CAUSE_SHAPE_MISMATCH, hl_decide_split_paths },
    { HL_CAUSE_EPOCH_SKEW, hl_decide_epoch_skew },
    { HL_CAUSE_PEER_MISSING_CALL, hl_decide_missing_call },
    { HL_CAUSE_MISSING_ALLREDUCE, hl_decide_lone_fallback },
    { HL_CAUSE_SHAPE_MISMATCH, hl_decide_shape_mismatch },
    { HL_CAUSE_STRATEGY_MISMATCH, hl_decide_strategy_mismatch },
    { HL_CAUSE_GRID_MISMATCH, hl_decide_grid_mismatch },
    { HL_CAUSE_BAKED_EPOCH, hl_decide_baked_epoch },
    { HL_CAUSE_STALE_ADDRESS, hl_decide_reused_memory },
    { HL_CAUSE_SENTINEL_COLLISION, decide_collision },
    { HL_CAUSE_OUT_OF_BOUNDS, hl_decide_out_of_bounds },
    { HL_CAUSE_EARLY_TRIGGER, hl_decide_early_trigger },
    { HL_CAUSE_CONCURRENT_CALLS, decide_concurrent },
    { HL_CAUSE_PEER_MISSING_CALL, hl_decide_ring_of_skipped },
    { HL_CAUSE_EPOCH_SKEW, hl_decide_ring_of_extra },
    { HL_CAUSE_ORDER_INVERSION, decide_inversion },
    { HL_CAUSE_NOT_RESIDENT, decide_not_resident },
    { HL_CAUSE_LATE_CLEAR, hl_decide_uncleared },
    { HL_CAUSE_SHORT_CLEAR, decide_short_clear },
    { HL_CAUSE_EPOCH_SKEW, hl_decide_extra_call_at_end },
    { HL_CAUSE_PEER_MISSING_CALL, hl_decide_missing_call_at_end },
    { HL_CAUSE_PEER_MISSING_CALL, decide_left_at_barrier },
    { HL_CAUSE_PEER_HOST_BLOCKED, decide_host_blocked },
    { HL_CAUSE_INIT_RACE, decide_init_race },
    { HL_CAUSE_LATE_CLEAR, decide_late_clear },
    { HL_CAUSE_WEAK_ORDERING, hl_decide_weak_ordering },
    { HL_CAUSE_LOST_WRITE, decide_lost_write },
    { HL_CAUSE_ARRIVAL_STUCK, decide_arrival },
    { HL_CAUSE_WEAK_ORDERING, hl_decide_wrong_buffer },
    { HL_CAUSE_PEER_STREAM_STALLED, decide_stream_stalled },
    { HL_CAUSE_UNKNOWN, decide_unknown_hang },
};

static bool decide_own_only(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    const struct hl_wrong_result *wrong = &evidence->wrong;
    if (wrong->kind != HL_WRONG_OWN_ONLY)
        return false;
    hl_blame_call(wrong->rank, &wrong->record, finding);
    hl_say(finding,
           "call %u of rank %d (site %u, %s) equals its own row plus the residual: nothing was reduced",
           wrong->record.call, wrong->rank, wrong->record.site, hl_protocol_word(wrong->record.protocol));
    return true;
}

static bool decide_wrong_number(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    const struct hl_wrong_result *wrong = &evidence->wrong;
    hl_blame_call(wrong->rank, &wrong->record, finding);
    finding->culprit.slot_token = wrong->token;
    hl_say(finding,
           "call %u of rank %d (site %u, %s): element %u of row %u of the %s output is %g instead of %g%s",
           wrong->record.call, wrong->rank, wrong->record.site, hl_protocol_word(wrong->record.protocol),
           wrong->element, wrong->token, wrong->in_norm_out ? "norm" : "residual", wrong->got, wrong->want,
           wrong->kind == HL_WRONG_UNTOUCHED ? ": nobody wrote it" : "");
    return true;
}

static const struct row wrong_rows[] = {
    { HL_CAUSE_SHARED_WORKSPACE, hl_decide_shared_workspace },
    { HL_CAUSE_EPOCH_SKEW, hl_decide_epoch_skew },
    { HL_CAUSE_PEER_MISSING_CALL, hl_decide_missing_call },
    { HL_CAUSE_MISSING_ALLREDUCE, decide_own_only },
    { HL_CAUSE_MISSING_ALLREDUCE, hl_decide_lone_fallback },
    { HL_CAUSE_SHAPE_MISMATCH, hl_decide_shape_mismatch },
    { HL_CAUSE_STRATEGY_MISMATCH, hl_decide_strategy_mismatch },
    { HL_CAUSE_GRID_MISMATCH, hl_decide_grid_mismatch },
    { HL_CAUSE_OUT_OF_BOUNDS, hl_decide_out_of_bounds },
    { HL_CAUSE_BAKED_EPOCH, hl_decide_baked_epoch },
    { HL_CAUSE_STALE_ADDRESS, hl_decide_reused_memory },
    { HL_CAUSE_EARLY_TRIGGER, hl_decide_early_trigger },
    { HL_CAUSE_CONCURRENT_CALLS, decide_concurrent },
    { HL_CAUSE_WEAK_ORDERING, hl_decide_stale_behind_flag },
    { HL_CAUSE_TORN_READ, hl_decide_torn },
    { HL_CAUSE_LATE_CLEAR, hl_decide_uncleared },
    { HL_CAUSE_SHORT_CLEAR, decide_short_clear },
    { HL_CAUSE_EARLY_TRIGGER, hl_decide_norm_ran_ahead },
    { HL_CAUSE_UNKNOWN, decide_wrong_number },
};

/* The engine's own words are evidence, too. */
static bool decide_bad_address(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    if (!strstr(evidence->crash_reason, "address") &&
        !strstr(evidence->crash_reason, "illegal memory access"))
        return false;
    hl_say(finding, "the device reported: %.200s", evidence->crash_reason);
    return true;
}

static bool decide_unknown_crash(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    hl_say(finding, "crashed: %.200s",
           evidence->crash_reason[0] ? evidence->crash_reason : "no reason was given");
    return true;
}

static const struct row crash_rows[] = {
    { HL_CAUSE_OUT_OF_BOUNDS, decide_bad_address },
    { HL_CAUSE_UNKNOWN, decide_unknown_crash },
};

static void decide(const struct row *rows, size_t count, const struct hl_evidence *evidence,
                   struct hl_finding *finding)
{
    for (size_t i = 0; i < count; i++) {
        hl_blame_nobody(&finding->culprit);
        finding->other_cause = HL_CAUSE_NONE;
        finding->cause = rows[i].cause;
        if (rows[i].decide(evidence, finding))
            return;
    }
}
#define DECIDE(rows, evidence, finding) decide(rows, sizeof rows / sizeof rows[0], evidence, finding)

/* Are all parts there that the decision may need? */
static bool is_complete(const struct hl_evidence *evidence)
{
    if (evidence->records_dropped > 0 || evidence->slots_left_out > 0)
        return false;
    for (int r = 0; r < evidence->ranks; r++)
        for (int w = 0; w < evidence->workspaces; w++)
            if (!evidence->rank[r].workspace[w].known)
                return false;
    return true;
}

/* The simulator knows that no step is enabled; elsewhere, who waits for whom may show it. */
static bool is_proven(const struct hl_evidence *evidence)
{
    struct hl_proof proof;
    if (evidence->quiescent)
        return true;
    hl_prove(evidence, &proof);
    return is_complete(evidence) && (proof.stuck | proof.stuck_hosts) != 0;
}

struct hl_finding hl_classify(const struct hl_evidence *evidence)
{
    struct hl_finding finding = { .cause = HL_CAUSE_NONE, .other_cause = HL_CAUSE_NONE };
    hl_blame_nobody(&finding.culprit);
    finding.certainty = is_complete(evidence) ? HL_CERTAINTY_OBSERVED : HL_CERTAINTY_SUSPECTED;
    if (evidence->hung) {
        finding.verdict = HL_VERDICT_HANG;
        if (is_proven(evidence))
            finding.certainty = HL_CERTAINTY_PROVEN;
        DECIDE(hang_rows, evidence, &finding);
    } else if (evidence->wrong.kind != HL_WRONG_NONE || evidence->stray.found) {
        finding.verdict = HL_VERDICT_CORRUPT;
        finding.certainty = HL_CERTAINTY_PROVEN;
        DECIDE(wrong_rows, evidence, &finding);
    } else if (evidence->crashed) {
        finding.verdict = HL_VERDICT_CRASH;
        DECIDE(crash_rows, evidence, &finding);
    } else {
        finding.verdict = HL_VERDICT_PASS;
        hl_say(&finding, "everything ended; %llu calls were checked and are right",
               (unsigned long long)evidence->calls_checked);
    }
    return finding;
}

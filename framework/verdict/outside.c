/* Hangs that come from outside of the calls: a barrier of other ranks, a kernel of somebody else, a tool. */
#include "../../watchdog/cupti/apis.h"
#include "findings.h"
#include "waits.h"
#include <stdio.h>

bool hl_decide_wrong_group(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    for (int r = 0; r < evidence->ranks; r++) {
        const struct hl_rank_evidence *rank = &evidence->rank[r];
        if (rank->host != HL_HOST_BLOCKED || rank->group >> evidence->ranks == 0)
            continue;
        finding->culprit.rank = r;
        finding->culprit.op = rank->op;
        hl_say(finding,
               "the host of rank %d waits in a barrier (op %u) of the ranks 0x%x, and this world has ranks 0 "
               "to %d "
               "only",
               r, rank->op, rank->group, evidence->ranks - 1);
        return true;
    }
    return false;
}

/* Has a call of the rank begun, and does it neither end nor wait for anybody: its source's rows were never
 * stored, or it has all of its own? A GPU tells when a call begins, and not whether its CTAs have started. */
static bool stands_still(const struct hl_evidence *evidence, int rank)
{
    bool waits = false;
    for (uint32_t i = 0; i < evidence->n_slots; i++) {
        const struct hl_slot_evidence *slot = &evidence->slots[i];
        waits |= slot->rank == rank && slot->state != HL_SLOT_ARRIVED && slot->stage != HL_STAGE_ARRIVALS;
        if (slot->source == rank && !slot->history.known &&
            hl_wait_kind_of(evidence, slot) == HL_WAIT_NEVER_STORED)
            return true;
    }
    return !waits && evidence->rank[rank].n_pending > 0 &&
           evidence->rank[rank].pending[0].begun_ns != UINT64_MAX;
}

bool hl_decide_foreign_kernel(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    for (int r = 0; r < evidence->ranks; r++) {
        const struct hl_residency *residency = &evidence->rank[r].residency;
        if (residency->foreign == 0 || residency->room > 0 ||
            (residency->started == residency->ctas && !stands_still(evidence, r)))
            continue;
        finding->culprit.rank = r;
        if (evidence->rank[r].n_pending > 0)
            hl_blame_call(r, &evidence->rank[r].pending[0].record, finding);
        hl_say(finding,
               "on the GPU of rank %d %u of %u CTAs cannot start: %u CTAs of a kernel that is no call of any "
               "rank "
               "hold its room",
               r, residency->ctas - residency->started, residency->ctas, residency->foreign);
        return true;
    }
    return false;
}

/* Work is enqueued, and not even a copy on a stream of its own goes through. */
bool hl_decide_driver_stall(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    for (int r = 0; r < evidence->ranks; r++) {
        const struct hl_rank_evidence *rank = &evidence->rank[r];
        const struct hl_pending_call *kept = NULL;
        for (int i = 0; i < rank->n_pending && !kept; i++)
            if (rank->pending[i].begun_ns == UINT64_MAX)
                kept = &rank->pending[i];
        if (rank->device != HL_DEVICE_SILENT || !kept)
            continue;
        hl_blame_call(r, &kept->record, finding);
        hl_say(finding,
               "call %u of rank %d was launched and does not start, and its GPU does not even do a copy on "
               "another stream: the driver or the device stands still",
               kept->record.call, r);
        return true;
    }
    return false;
}

/*
 * Hosts that are held
 */

/* The watched driver call that its thread is inside; HL_API_NONE: none, or one that returns by itself. */
static enum hl_api driver_call_of(const struct hl_rank_evidence *rank)
{
    return rank->driver_call[0] ? hl_api_of_name(rank->driver_call) : HL_API_NONE;
}

static void describe_driver_call(const struct hl_rank_evidence *rank, char *text, size_t size)
{
    snprintf(text, size, "inside %s%s%s", rank->driver_call, rank->called_by[0] ? ", called by " : "",
             rank->called_by);
}

/* Nothing is in flight that an allocation or a module load could wait for. */
bool hl_decide_driver_call(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    int held = -1;
    for (int r = 0; r < evidence->ranks; r++) {
        const struct hl_rank_evidence *rank = &evidence->rank[r];
        if (rank->n_pending > 0 || rank->residency.foreign > 0)
            return false;
        const enum hl_api api = driver_call_of(rank);
        if (held < 0 && api != HL_API_NONE && hl_api_kind(api) == HL_API_BLOCKING)
            held = r;
    }
    if (held < 0)
        return false;
    char text[HL_WAIT_TEXT_MAX];
    describe_driver_call(&evidence->rank[held], text, sizeof text);
    finding->culprit.rank = held;
    finding->culprit.op = evidence->rank[held].op;
    hl_say(finding,
           "no call is in flight, and the host of rank %d does not come back from the driver: it is %s", held,
           text);
    return true;
}

/* What holds a host where nothing of its program's order does. False: nothing is known to. */
static bool describe_hold(const struct hl_rank_evidence *rank, char *text, size_t size)
{
    static const char *const waits[HL_HOST_WAIT_COUNT] = {
        [HL_HOST_WAIT_THREAD] = "waits for its thread, which is still at another rank's launches",
        [HL_HOST_WAIT_DEVICE] = "waits until no kernel runs in its context",
        [HL_HOST_WAIT_SIGNAL] = "is stopped",
    };
    char call[HL_WAIT_TEXT_MAX];
    const bool told = rank->waits && !hl_host_waits_its_turn(rank->wait);
    const bool in_call = driver_call_of(rank) != HL_API_NONE;
    if (!told && (!in_call || rank->waits))
        return false;
    describe_driver_call(rank, call, sizeof call);
    if (told)
        snprintf(text, size, "%s%s%s%s", waits[rank->wait], in_call ? " (" : "", in_call ? call : "",
                 in_call ? ")" : "");
    else
        snprintf(text, size, "is %s, and does not come back", call);
    return true;
}

/* Whatever else is so, that comes first. */
bool hl_decide_host_held(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    char text[HL_WAIT_TEXT_MAX], hold[2 * HL_WAIT_TEXT_MAX];
    const struct hl_slot_evidence *slot = hl_blame_wait(evidence, HL_WAIT_NOT_ISSUED, finding, text);
    const struct hl_rank_evidence *source = slot ? &evidence->rank[slot->source] : NULL;
    if (!slot || !describe_hold(source, hold, sizeof hold))
        return false;
    finding->culprit.rank = slot->source;
    if (source->op == UINT32_MAX) /* its program is not known */
        hl_say(finding, "%s, whose host %s before it issues that call", text, hold);
    else
        hl_say(finding, "%s, whose host, in op %u, %s before it issues that call", text, source->op, hold);
    return true;
}

/* One rank's kernel runs and waits, another's is not let start. */
bool hl_decide_tool(const struct hl_evidence *evidence, struct hl_finding *finding)
{
    int running = -1, kept = -1;
    for (int r = 0; r < evidence->ranks; r++)
        for (int i = 0; i < evidence->rank[r].n_pending; i++) {
            const bool begun = evidence->rank[r].pending[i].begun_ns != UINT64_MAX;
            running = begun && running < 0 ? r : running;
            kept = !begun && kept < 0 && r != running ? r : kept;
        }
    if (!evidence->serialised || running < 0 || kept < 0)
        return false;
    hl_blame_call(kept, &evidence->rank[kept].pending[0].record, finding);
    hl_say(finding,
           "a tool lets kernels run one after another only: rank %d's call runs and waits for rank %d, whose "
           "call "
           "is not let start",
           running, kept);
    return true;
}

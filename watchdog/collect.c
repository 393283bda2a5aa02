/* Evidence of a stall, in the design's order: flags of all ranks before anything else, because whoever looks
 * longer at one rank sees the others move on; then slots, in-flight calls, hosts. */
#include "watch_state.h"
#include <stdlib.h>
#include <string.h>
#include "decode.h"

void hl_evidence_init(struct hl_evidence *evidence)
{
    memset(evidence, 0, sizeof *evidence);
    for (int r = 0; r < HL_RANKS_MAX; r++)
        for (int w = 0; w < HL_WORKSPACES_MAX; w++) {
            evidence->rank[r].workspace[w].initialised_ns = UINT64_MAX;
            evidence->rank[r].workspace[w].first_begun_ns = UINT64_MAX;
        }
    for (int r = 0; r < HL_RANKS_MAX; r++)
        evidence->rank[r].residency.room = UINT32_MAX;
    evidence->strikes = UINT32_MAX;
}

void hl_evidence_finish(struct hl_evidence *evidence)
{
    for (int r = 0; r < HL_RANKS_MAX; r++)
        free(evidence->rank[r].threads);
    free(evidence->slots);
    free(evidence->devices);
    evidence->devices = NULL;
    evidence->n_devices = 0;
    evidence->slots = NULL;
    evidence->n_slots = 0;
}

/* Begun before not begun, then oldest first. */
static bool comes_before(const struct hl_pending_call *a, const struct hl_pending_call *b)
{
    const bool a_begun = a->begun_ns != UINT64_MAX, b_begun = b->begun_ns != UINT64_MAX;
    if (a_begun != b_begun)
        return a_begun;
    const uint64_t a_ns = a_begun ? a->begun_ns : a->enqueued_ns,
                   b_ns = b_begun ? b->begun_ns : b->enqueued_ns;
    if (a_ns != b_ns)
        return a_ns < b_ns;
    if (a->record.workspace != b->record.workspace)
        return a->record.workspace < b->record.workspace;
    return a->record.call < b->record.call;
}

static void insert_pending(struct hl_rank_evidence *rank, const struct hl_pending_call *call)
{
    int at = rank->n_pending;
    while (at > 0 && comes_before(call, &rank->pending[at - 1]))
        at--;
    if (at == HL_PENDING_MAX)
        return;
    if (rank->n_pending < HL_PENDING_MAX)
        rank->n_pending++;
    memmove(&rank->pending[at + 1], &rank->pending[at], (size_t)(rank->n_pending - 1 - at) * sizeof *call);
    rank->pending[at] = *call;
}

static void collect_calls(const struct hl_workspace_track *track, struct hl_rank_evidence *rank,
                          uint64_t *records_dropped)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < HL_RECENT_CALLS; i++) {
        const struct hl_recent_call *recent = &track->recent[i];
        if (recent->state != HL_CALL_ENQUEUED && recent->state != HL_CALL_BEGUN)
            continue;
        kept++;
        const uint32_t call = recent->record.call;
        const struct hl_recent_call *before = call ? hl_recent_find(track, call - 1) : NULL;
        insert_pending(rank,
                       &(struct hl_pending_call){ .record = recent->record,
                                                  .enqueued_ns = recent->enqueued_ns,
                                                  .begun_ns = recent->begun_ns,
                                                  .launch_stream = recent->launch_stream,
                                                  .site_before = before ? before->record.site : UINT16_MAX,
                                                  .begins_round = before && before->round != recent->round });
    }
    if (track->enqueued > track->ended + kept)
        *records_dropped += track->enqueued - track->ended - kept;
}

/* What the feed told. */
static void collect_followed(const struct hl_watch *watch, uint64_t now_ns, struct hl_evidence *evidence)
{
    evidence->ranks = watch->ranks;
    evidence->workspaces = watch->workspaces;
    evidence->time_ns = now_ns;
    evidence->stalled_ns = now_ns > watch->progress_ns ? now_ns - watch->progress_ns : 0;
    evidence->hung = hl_watch_stalled(watch, now_ns);
    evidence->quiescent = watch->quiescent;
    evidence->faults_fired = watch->faults_fired;
    for (int r = 0; r < watch->ranks; r++) {
        const struct hl_rank_track *from = &watch->rank[r];
        struct hl_rank_evidence *to = &evidence->rank[r];
        to->host = from->exited ? HL_HOST_EXITED : from->in_op ? HL_HOST_BLOCKED : HL_HOST_RUNNING;
        to->op = from->op;
        to->wait = from->wait;
        to->waits = from->in_op;
        to->wait_stream = from->wait_stream;
        to->barriers = from->barriers;
        to->group = from->in_op ? from->group : 0;
        to->progress_ns = from->progress_ns;
        to->overlap = from->overlap;
        to->early = from->early;
        to->others = from->others;
        to->baked = from->baked;
        for (int w = 0; w < watch->workspaces; w++) {
            const struct hl_workspace_track *track = &from->workspace[w];
            struct hl_workspace_evidence *workspace = &to->workspace[w];
            workspace->enqueued = track->enqueued;
            workspace->begun = track->begun;
            workspace->ended = track->ended;
            workspace->rotations = track->rotations;
            workspace->barriers = track->barriers;
            workspace->initialised_ns = track->initialised_ns;
            workspace->first_begun_ns = track->first_begun_ns;
            workspace->replaced_by = track->replaced_by;
            collect_calls(track, to, &evidence->records_dropped);
        }
    }
}

static bool is_reached(const struct hl_watch *watch, const struct hl_divergence *divergence)
{
    for (int r = 0; r < watch->ranks; r++)
        if (watch->rank[r].workspace[divergence->workspace].begun > divergence->call)
            return true;
    return false;
}

/* The hosts run ahead of the device, so a divergence that no rank has reached yet explains nothing so far:
 * one that has been reached comes first. */
static void collect_divergence(const struct hl_watch *watch, const struct hl_divergence *of_workspaces,
                               struct hl_divergence *ret_divergence)
{
    for (int w = 0; w < watch->workspaces; w++) {
        const struct hl_divergence *divergence = &of_workspaces[w];
        if (divergence->found &&
            (!ret_divergence->found || (!is_reached(watch, ret_divergence) && is_reached(watch, divergence))))
            *ret_divergence = *divergence;
    }
}

#define SHIFT_MAX 64

/* Two places in the sequences of two ranks. */
struct pairing {
    const struct hl_workspace_track *a, *b;
    uint32_t call_a, call_b;
    bool rounds; /* the ranks' rounds must agree, too */
};

/* How many calls from there on ask for the same on both ranks, as far as both are kept; -1: not all of them
 * do. */
static int count_fitting(struct pairing p)
{
    for (int i = 0;; i++) {
        const struct hl_recent_call *x = hl_recent_find(p.a, p.call_a + (uint32_t)i),
                                    *y = hl_recent_find(p.b, p.call_b + (uint32_t)i);
        if (!x || !y)
            return i;
        if (!hl_records_agree(&x->record, &y->record) || (p.rounds && x->round != y->round))
            return -1;
    }
}

/* A shift counts where more of the calls fit than it leaves out, and two at the least. */
static int find_shift(const struct hl_workspace_track *most, const struct hl_workspace_track *odd,
                      uint32_t call, bool rounds)
{
    if (count_fitting((struct pairing){ most, odd, call + 1, call + 1, rounds }) >= 0)
        return 0; /* one call that differs, by itself */
    for (int shift = 1; shift <= SHIFT_MAX; shift++) {
        const uint32_t moved = call + (uint32_t)shift;
        const int least = shift > 2 ? shift : 2;
        if (count_fitting((struct pairing){ most, odd, moved, call, rounds }) >= least)
            return shift;
        if (count_fitting((struct pairing){ most, odd, call, moved, rounds }) >= least)
            return -shift;
    }
    return 0;
}

static int count_agreeing(const struct hl_divergence *d, int ranks, int rank)
{
    int count = 0;
    for (int r = 0; r < ranks; r++)
        count += d->have[r] && d->have[rank] && hl_records_agree(&d->record[r], &d->record[rank]);
    return count;
}

/* A call with other tokens may be just that, or the next call already: what follows tells. */
static void collect_shifts(const struct hl_watch *watch, struct hl_divergence *d)
{
    int most = 0;
    for (int r = 1; r < watch->ranks && d->found; r++)
        if (count_agreeing(d, watch->ranks, r) > count_agreeing(d, watch->ranks, most))
            most = r;
    for (int r = 0; r < watch->ranks && d->found; r++)
        if (d->have[r] && !hl_records_agree(&d->record[r], &d->record[most]))
            d->shift[r] = find_shift(
                &watch->rank[most].workspace[d->workspace], &watch->rank[r].workspace[d->workspace], d->call,
                d->call == 0 || (d->have_before && d->round_before[r] == d->round_before[most]));
}

static void collect_flags(const struct hl_probe *probe, struct hl_evidence *evidence)
{
    evidence->compare = probe->compare;
    for (int w = 0; w < evidence->workspaces; w++)
        evidence->layout[w] = *probe->layout(probe->user, w);
    for (int r = 0; r < evidence->ranks; r++)
        for (int w = 0; w < evidence->workspaces; w++) {
            struct hl_workspace_evidence *workspace = &evidence->rank[r].workspace[w];
            workspace->known = probe->read_words(probe->user, r, w, 0, HL_FLAG_WORDS, workspace->flags) == 0;
        }
}

/* Which rows of their inputs the sources had ever written: only where a slot holds such a row as it was. */
static void collect_sources(const struct hl_watch *watch, struct hl_evidence *evidence)
{
    for (uint32_t i = 0; i < evidence->n_slots; i++) {
        struct hl_slot_evidence *slot = &evidence->slots[i];
        if (slot->stage != HL_STAGE_ONESHOT && slot->stage != HL_STAGE_SCATTER)
            continue;
        const struct hl_recent_call *call =
            hl_recent_find(&watch->rank[slot->source].workspace[slot->workspace], slot->call);
        if (call && (call->state == HL_CALL_BEGUN || call->state == HL_CALL_ENDED))
            slot->source_rows_written = call->record.rows_written;
    }
}

static void collect_hosts(const struct hl_probe *probe, struct hl_evidence *evidence)
{
    for (int r = 0; r < evidence->ranks; r++) {
        struct hl_rank_evidence *rank = &evidence->rank[r];
        if (probe->host_state)
            rank->host = probe->host_state(probe->user, r);
        if (probe->host_stack)
            probe->host_stack(probe->user, r, rank->stack, sizeof rank->stack);
        if (probe->residency)
            rank->residency = probe->residency(probe->user, r);
        if (evidence->hung && probe->device_answer)
            rank->device = probe->device_answer(probe->user, r);
    }
}

static int collect_devices(const struct hl_probe *probe, struct hl_evidence *evidence)
{
    evidence->devices = calloc((size_t)probe->devices, sizeof *evidence->devices);
    if (!evidence->devices)
        return -1;
    for (; evidence->n_devices < probe->devices; evidence->n_devices++)
        probe->device(probe->user, evidence->n_devices, &evidence->devices[evidence->n_devices]);
    return 0;
}

int hl_watch_collect(struct hl_watch *watch, const struct hl_probe *probe, uint64_t now_ns,
                     struct hl_evidence *evidence)
{
    hl_evidence_init(evidence);
    collect_followed(watch, now_ns, evidence);
    collect_divergence(watch, watch->divergence, &evidence->divergence);
    collect_shifts(watch, &evidence->divergence);
    collect_divergence(watch, watch->lag, &evidence->lag);
    if (!probe)
        return 0;
    collect_flags(probe, evidence);
    if (hl_decode_slots(probe, evidence) < 0)
        return -1;
    collect_sources(watch, evidence);
    collect_hosts(probe, evidence);
    if (evidence->hung && probe->threads)
        probe->threads(probe->user, evidence);
    else if (evidence->hung && probe->host_place)
        hl_collect_threads(probe, evidence);
    if (evidence->hung && probe->devices > 0 && collect_devices(probe, evidence) < 0)
        return -1;
    if (probe->is_serialised)
        evidence->serialised = probe->is_serialised(probe->user);
    if (probe->strikes)
        evidence->strikes = probe->strikes(probe->user);
    if (probe->stray_write)
        evidence->stray = probe->stray_write(probe->user);
    return 0;
}

/* Follows the calls: who has enqueued, begun and ended which, which two ran at once on one workspace, and
 * the first call number at which the ranks do not ask for the same thing. */
#include "watch_state.h"

const struct hl_recent_call *hl_recent_find(const struct hl_workspace_track *track, uint32_t call)
{
    const struct hl_recent_call *recent = &track->recent[call % HL_RECENT_CALLS];
    return recent->state != HL_CALL_NONE && recent->record.call == call ? recent : NULL;
}

static bool is_unfinished(const struct hl_recent_call *recent)
{
    return recent->state == HL_CALL_ENQUEUED || recent->state == HL_CALL_BEGUN;
}

/* What the ranks of a collective must agree in (invariants I1, I2, I13). The grid matters only where CTAs of
 * equal number meet in a barrier. */
bool hl_records_agree(const struct hl_call_record *a, const struct hl_call_record *b)
{
    return a->site == b->site && a->tokens == b->tokens && a->exec_tokens == b->exec_tokens &&
           a->protocol == b->protocol && a->dtype == b->dtype && a->group == b->group &&
           (a->protocol != HL_TRTLLM_TWOSHOT || a->ctas == b->ctas);
}

static void note_record(const struct hl_watch *watch, struct hl_divergence *divergence, int rank)
{
    const struct hl_workspace_track *track = &watch->rank[rank].workspace[divergence->workspace];
    const struct hl_recent_call *recent = hl_recent_find(track, divergence->call);
    if (!recent)
        return;
    divergence->record[rank] = recent->record;
    divergence->round[rank] = recent->round;
    divergence->have[rank] = true;
    const struct hl_recent_call *before =
        divergence->call ? hl_recent_find(track, divergence->call - 1) : NULL;
    divergence->have_before = divergence->have_before && before;
    if (before) {
        divergence->before[rank] = before->record;
        divergence->round_before[rank] = before->round;
    }
}

/* Were the ranks together at the call before, and are not any more? Rounds mean something only then: in a
 * server, one rank may block more often than the others for reasons of its own. */
static bool rounds_part(const struct hl_watch *watch, int rank, int peer, const struct hl_call_record *record)
{
    const struct hl_workspace_track *a = &watch->rank[rank].workspace[record->workspace],
                                    *b = &watch->rank[peer].workspace[record->workspace];
    const struct hl_recent_call *a_now = hl_recent_find(a, record->call),
                                *b_now = hl_recent_find(b, record->call);
    if (!a_now || !b_now || a_now->round == b_now->round)
        return false;
    if (record->call == 0)
        return true;
    const struct hl_recent_call *a_before = hl_recent_find(a, record->call - 1),
                                *b_before = hl_recent_find(b, record->call - 1);
    return a_before && b_before && a_before->round == b_before->round;
}

/* Keeps the divergence (or lag) of the lowest call number, with the records of all ranks that have issued it.
 */
static void compare_with_peers(struct hl_watch *watch, int rank, const struct hl_call_record *record,
                               struct hl_divergence *divergence)
{
    const bool by_round = divergence == &watch->lag[record->workspace];
    if (divergence->found && record->call >= divergence->call) {
        if (record->call == divergence->call)
            note_record(watch, divergence, rank);
        return;
    }
    for (int peer = 0; peer < watch->ranks; peer++) {
        const struct hl_recent_call *other =
            hl_recent_find(&watch->rank[peer].workspace[record->workspace], record->call);
        if (!other ||
            (by_round ? !rounds_part(watch, rank, peer, record) : hl_records_agree(record, &other->record)))
            continue;
        *divergence = (struct hl_divergence){
            .found = true, .workspace = record->workspace, .call = record->call, .have_before = true
        };
        for (int r = 0; r < watch->ranks; r++)
            note_record(watch, divergence, r);
        return;
    }
}

/* The kept record of a call, entered now where there is none. NULL: an unfinished call holds the place. */
static struct hl_recent_call *remember(struct hl_watch *watch, const struct hl_event *event)
{
    struct hl_workspace_track *track = &watch->rank[event->rank].workspace[event->call->workspace];
    struct hl_recent_call *recent = &track->recent[event->call->call % HL_RECENT_CALLS];
    if (recent->state != HL_CALL_NONE && recent->record.call == event->call->call)
        return recent;
    if (is_unfinished(recent))
        return NULL;
    *recent = (struct hl_recent_call){ .state = HL_CALL_ENQUEUED,
                                       .enqueued_ns = event->time_ns,
                                       .begun_ns = UINT64_MAX,
                                       .round = watch->rank[event->rank].round,
                                       .launch_stream = event->kind == HL_EVENT_ENQUEUE ? event->stream
                                                                                        : event->call->stream,
                                       .record = *event->call };
    compare_with_peers(watch, event->rank, event->call, &watch->divergence[event->call->workspace]);
    compare_with_peers(watch, event->rank, event->call, &watch->lag[event->call->workspace]);
    return recent;
}

static void note_overlap(struct hl_overlap *overlap, const struct hl_recent_call *first,
                         const struct hl_event *event)
{
    if (!overlap->seen)
        *overlap = (struct hl_overlap){ .seen = true,
                                        .workspace = event->call->workspace,
                                        .first = first->record.call,
                                        .second = event->call->call,
                                        .time_ns = event->time_ns };
}

/* Calls of one stream may overlap under programmatic dependent launch, but none begins, that is, gets past
 * its wait, before the one in front of it has ended (I4); calls of two streams must not overlap at all (I3).
 * One that begins before an earlier one of another stream has begun is ordered by nothing either. */
static void look_for_overlap(struct hl_rank_track *rank, const struct hl_event *event)
{
    const struct hl_workspace_track *track = &rank->workspace[event->call->workspace];
    const uint32_t call = event->call->call;
    for (int i = 0; i < track->n_running; i++) {
        const struct hl_recent_call *other = hl_recent_find(track, track->running[i]);
        if (other)
            note_overlap(other->record.stream == event->call->stream ? &rank->early : &rank->overlap, other,
                         event);
    }
    for (uint32_t back = 1; back <= HL_RUNNING_MAX && back <= call; back++) {
        const struct hl_recent_call *other = hl_recent_find(track, call - back);
        if (other && other->state == HL_CALL_ENQUEUED && other->record.stream != event->call->stream)
            note_overlap(&rank->overlap, other, event);
    }
}

static void follow_begin(struct hl_watch *watch, const struct hl_event *event)
{
    struct hl_rank_track *rank = &watch->rank[event->rank];
    struct hl_workspace_track *track = &rank->workspace[event->call->workspace];
    struct hl_recent_call *recent = remember(watch, event);
    if (recent) {
        recent->state = HL_CALL_BEGUN;
        recent->begun_ns = event->time_ns;
        /* What the work before it on the stream has written is known only now. */
        recent->record.rows_written = event->call->rows_written;
    }
    look_for_overlap(rank, event);
    if (event->call->group != 0 && rank->others.group == 0)
        rank->others = *event->call;
    if (event->call->epoch != 0 && event->call->epoch != event->call->call + 1 && rank->baked.epoch == 0)
        rank->baked = *event->call;
    if (track->n_running < HL_RUNNING_MAX)
        track->running[track->n_running++] = event->call->call;
    if (track->begun++ == 0)
        track->first_begun_ns = event->time_ns;
}

static unsigned bucket_of(uint64_t duration_ns)
{
    if (duration_ns < 8)
        return (unsigned)duration_ns;
    const unsigned top = 63u - (unsigned)__builtin_clzll(duration_ns);
    return (top - 2) * 8 + (unsigned)(duration_ns >> (top - 3) & 7);
}

static void count_rotation(struct hl_workspace_track *track, enum hl_protocol protocol)
{
    if (protocol == HL_TRTLLM_TWOSHOT)
        track->barriers++;
    else if (protocol != HL_NORM_ONLY)
        track->rotations++;
}

static void follow_end(struct hl_watch *watch, const struct hl_event *event)
{
    struct hl_workspace_track *track = &watch->rank[event->rank].workspace[event->call->workspace];
    struct hl_recent_call *recent = &track->recent[event->call->call % HL_RECENT_CALLS];
    if (recent->state == HL_CALL_BEGUN && recent->record.call == event->call->call) {
        recent->state = HL_CALL_ENDED;
        watch->durations[bucket_of(event->time_ns - recent->begun_ns)]++;
        watch->ended++;
    }
    for (int i = 0; i < track->n_running; i++)
        if (track->running[i] == event->call->call) {
            track->running[i] = track->running[--track->n_running];
            break;
        }
    track->ended++;
    count_rotation(track, event->call->protocol);
}

/* A launch that had to wait for a place in the queue is no end of a round. */
static void take_back_round(struct hl_rank_track *rank, const struct hl_call_record *record)
{
    if (rank->waited_op != record->launch)
        return;
    rank->round--;
    rank->waited_op = UINT32_MAX;
}

void hl_follow_call(struct hl_watch *watch, const struct hl_event *event)
{
    switch (event->kind) {
    case HL_EVENT_ENQUEUE:
        take_back_round(&watch->rank[event->rank], event->call);
        watch->rank[event->rank].workspace[event->call->workspace].enqueued++;
        remember(watch, event);
        break;
    case HL_EVENT_CALL_BEGIN: follow_begin(watch, event); break;
    default: follow_end(watch, event); break;
    }
}

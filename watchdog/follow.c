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
static bool records_agree(const struct hl_call_record *a, const struct hl_call_record *b)
{
    return a->site == b->site && a->tokens == b->tokens && a->exec_tokens == b->exec_tokens &&
           a->protocol == b->protocol && a->dtype == b->dtype &&
           (a->protocol != HL_TRTLLM_TWOSHOT || a->ctas == b->ctas);
}

static void note_record(const struct hl_watch *watch, struct hl_divergence *divergence, int rank)
{
    const struct hl_workspace_track *track = &watch->rank[rank].workspace[divergence->workspace];
    const struct hl_recent_call *recent = hl_recent_find(track, divergence->call);
    if (!recent)
        return;
    divergence->record[rank] = recent->record;
    divergence->have[rank] = true;
    const struct hl_recent_call *before =
        divergence->call ? hl_recent_find(track, divergence->call - 1) : NULL;
    divergence->have_before = divergence->have_before && before;
    if (before)
        divergence->before[rank] = before->record;
}

/* Keeps the divergence of the lowest call number, with the records of all ranks that have issued it. */
static void compare_with_peers(struct hl_watch *watch, int rank, const struct hl_call_record *record)
{
    struct hl_divergence *divergence = &watch->divergence[record->workspace];
    if (divergence->found && record->call >= divergence->call) {
        if (record->call == divergence->call)
            note_record(watch, divergence, rank);
        return;
    }
    for (int peer = 0; peer < watch->ranks; peer++) {
        const struct hl_recent_call *other =
            hl_recent_find(&watch->rank[peer].workspace[record->workspace], record->call);
        if (!other || records_agree(record, &other->record))
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
                                       .record = *event->call };
    compare_with_peers(watch, event->rank, event->call);
    return recent;
}

/* Calls of one stream may overlap under programmatic dependent launch, but none begins, that is, gets past
 * its wait, before the one in front of it has ended (I4); calls of two streams must not overlap at all (I3).
 */
static void look_for_overlap(struct hl_rank_track *rank, const struct hl_event *event)
{
    const struct hl_workspace_track *track = &rank->workspace[event->call->workspace];
    for (int i = 0; i < track->n_running; i++) {
        const struct hl_recent_call *other = hl_recent_find(track, track->running[i]);
        if (!other)
            continue;
        struct hl_overlap *overlap =
            other->record.stream == event->call->stream ? &rank->early : &rank->overlap;
        if (!overlap->seen)
            *overlap = (struct hl_overlap){ .seen = true,
                                            .workspace = event->call->workspace,
                                            .first = other->record.call,
                                            .second = event->call->call,
                                            .time_ns = event->time_ns };
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

void hl_follow_call(struct hl_watch *watch, const struct hl_event *event)
{
    switch (event->kind) {
    case HL_EVENT_ENQUEUE:
        watch->rank[event->rank].workspace[event->call->workspace].enqueued++;
        remember(watch, event);
        break;
    case HL_EVENT_CALL_BEGIN: follow_begin(watch, event); break;
    default: follow_end(watch, event); break;
    }
}

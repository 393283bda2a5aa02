/* The watchdog's life, and the question that it is there for: does this run still go on? */
#include <stdlib.h>
#include "watch_state.h"

const char *hl_host_wait_name(enum hl_host_wait wait)
{
    static const char *const names[] = {
#define X(id, name) name,
        HL_HOST_WAITS(X)
#undef X
    };
    return wait < HL_HOST_WAIT_COUNT ? names[wait] : "?";
}

struct hl_watch *hl_watch_create(int ranks, int workspaces, uint64_t threshold_ns)
{
    if (ranks < 1 || ranks > HL_RANKS_MAX || workspaces < 1 || workspaces > HL_WORKSPACES_MAX)
        return NULL;
    struct hl_watch *watch = calloc(1, sizeof *watch + (size_t)ranks * sizeof watch->rank[0]);
    if (!watch)
        return NULL;
    watch->ranks = ranks;
    watch->workspaces = workspaces;
    watch->threshold_ns = threshold_ns;
    for (int r = 0; r < ranks; r++)
        watch->rank[r].waited_op = UINT32_MAX;
    for (int r = 0; r < ranks; r++)
        for (int w = 0; w < workspaces; w++) {
            watch->rank[r].workspace[w].initialised_ns = UINT64_MAX;
            watch->rank[r].workspace[w].first_begun_ns = UINT64_MAX;
        }
    return watch;
}

void hl_watch_destroy(struct hl_watch *watch) { free(watch); }

/* The first duration of a bucket: exact below 8 ns, then the top three bits after the leading one. */
static uint64_t bucket_start_ns(unsigned bucket)
{
    return bucket < 8 ? bucket : (8ull + bucket % 8) << (bucket / 8 - 1);
}

uint64_t hl_watch_threshold_ns(const struct hl_watch *watch)
{
    if (watch->threshold_ns)
        return watch->threshold_ns;
    if (watch->ended < HL_WATCH_CALLS_TO_LEARN)
        return HL_WATCH_UNLEARNED_NS;
    uint64_t longer = 0;
    unsigned bucket = HL_DURATION_BUCKETS - 1;
    while (bucket > 0 && longer + watch->durations[bucket] <= watch->ended / 1000)
        longer += watch->durations[bucket--];
    /* The bucket's end, so that the p99.9 is never taken too short. */
    const uint64_t p999_ns = bucket_start_ns(bucket + 1);
    if (p999_ns > UINT64_MAX / HL_WATCH_FACTOR)
        return UINT64_MAX;
    return p999_ns * HL_WATCH_FACTOR > HL_WATCH_FLOOR_NS ? p999_ns * HL_WATCH_FACTOR : HL_WATCH_FLOOR_NS;
}

/* Buffers and flags are as new: the calls before do not count for them any more. */
static void follow_init(struct hl_workspace_track *track, uint64_t time_ns)
{
    track->initialised_ns = time_ns;
    track->rotations = 0;
    track->barriers = 0;
}

static void follow_rank(struct hl_watch *watch, const struct hl_event *event)
{
    struct hl_rank_track *rank = &watch->rank[event->rank];
    rank->progress_ns = watch->progress_ns = event->time_ns;
    switch (event->kind) {
    case HL_EVENT_HOST_BEGIN:
    case HL_EVENT_HOST_END:
        rank->op = event->op;
        rank->group = event->group;
        rank->wait = event->wait;
        rank->wait_stream = event->stream;
        rank->in_op = event->kind == HL_EVENT_HOST_BEGIN;
        rank->barriers += rank->in_op && rank->wait == HL_HOST_WAIT_BARRIER;
        rank->round += !rank->in_op;
        rank->waited_op = rank->in_op ? UINT32_MAX : event->op;
        break;
    case HL_EVENT_ENQUEUE:
    case HL_EVENT_CALL_BEGIN:
    case HL_EVENT_CALL_END:
        if (event->call && event->call->workspace < watch->workspaces)
            hl_follow_call(watch, event);
        break;
    case HL_EVENT_WORKSPACE_INIT:
        if (event->workspace < (uint32_t)watch->workspaces)
            follow_init(&rank->workspace[event->workspace], event->time_ns);
        if (event->replaces && event->replaces <= (uint32_t)watch->workspaces)
            rank->workspace[event->replaces - 1].replaced_by = event->workspace + 1;
        break;
    case HL_EVENT_RANK_EXIT:
        rank->exited = true;
        rank->in_op = false;
        break;
    default: break;
    }
}

void hl_watch_event(struct hl_watch *watch, const struct hl_event *event)
{
    if (event->kind == HL_EVENT_QUIESCENT)
        watch->quiescent = true;
    else if (event->kind == HL_EVENT_FAULT)
        watch->faults_fired |= event->fault < 32 ? 1u << event->fault : 0;
    else if (event->rank >= 0 && event->rank < watch->ranks)
        follow_rank(watch, event);
}

/* Calls in flight, or a host inside an op that can block: it may wait for a peer that is gone. Once nothing
 * can run any more, a program that has not ended is pending wherever it stands. */
static bool is_pending(const struct hl_watch *watch)
{
    for (int r = 0; r < watch->ranks; r++) {
        const struct hl_rank_track *rank = &watch->rank[r];
        if (rank->in_op || (watch->quiescent && !rank->exited))
            return true;
        for (int w = 0; w < watch->workspaces; w++)
            if (rank->workspace[w].enqueued > rank->workspace[w].ended)
                return true;
    }
    return false;
}

bool hl_watch_stalled(const struct hl_watch *watch, uint64_t now_ns)
{
    if (!is_pending(watch))
        return false;
    if (watch->quiescent)
        return true;
    return now_ns > watch->progress_ns && now_ns - watch->progress_ns > hl_watch_threshold_ns(watch);
}

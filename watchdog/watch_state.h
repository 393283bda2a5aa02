/* What the watchdog remembers of a run: shared by the files that follow it and that collect evidence.
 *
 * Everything has a fixed size, because an event may arrive while the watched process cannot allocate. */
#pragma once
#include "watch.h"

/* Calls of one rank and workspace whose records are kept. Unfinished ones are never overwritten. */
#define HL_RECENT_CALLS 1024
#define HL_RUNNING_MAX 8

enum hl_call_state { HL_CALL_NONE, HL_CALL_ENQUEUED, HL_CALL_BEGUN, HL_CALL_ENDED };

struct hl_recent_call {
    enum hl_call_state state;
    uint64_t enqueued_ns, begun_ns;
    uint32_t round; /* of its rank's host when it was enqueued */
    uint32_t launch_stream;
    struct hl_call_record record;
};

struct hl_workspace_track {
    uint32_t enqueued, begun, ended, rotations, barriers;
    uint64_t initialised_ns, first_begun_ns;
    uint32_t replaced_by;             /* as in hl_workspace_evidence */
    uint32_t running[HL_RUNNING_MAX]; /* calls that have begun and not ended */
    int n_running;
    struct hl_recent_call recent[HL_RECENT_CALLS]; /* call n at n % HL_RECENT_CALLS */
};

struct hl_rank_track {
    bool in_op; /* the host is inside an op that can block */
    bool exited;
    uint32_t op, group;
    enum hl_host_wait wait;
    uint32_t wait_stream;
    uint32_t barriers;  /* that it has come to */
    uint32_t round;     /* blocking ops that the host has left: a round of its program lies between two */
    uint32_t waited_op; /* the last of them; UINT32_MAX: none */
    uint64_t progress_ns;
    struct hl_overlap overlap, early;
    struct hl_call_record others; /* the first call for another group */
    struct hl_call_record baked;  /* the first call with a number that is not its own */
    struct hl_workspace_track workspace[HL_WORKSPACES_MAX];
};

/* Durations of ended calls, eight buckets an octave: a percentile is right within an eighth. */
#define HL_DURATION_BUCKETS (64 * 8)

struct hl_watch {
    int ranks, workspaces;
    uint64_t threshold_ns; /* 0: learned */
    uint64_t progress_ns;  /* last progress of any rank */
    bool quiescent;
    uint32_t faults_fired;
    uint64_t ended;
    uint64_t durations[HL_DURATION_BUCKETS];
    struct hl_divergence divergence[HL_WORKSPACES_MAX];
    struct hl_divergence lag[HL_WORKSPACES_MAX]; /* the same call, asked for in different rounds */
    struct hl_rank_track rank[];
};

/* The record of a call, or NULL where it is not kept. */
const struct hl_recent_call *hl_recent_find(const struct hl_workspace_track *track, uint32_t call);

/* Do two ranks ask for the same thing? */
bool hl_records_agree(const struct hl_call_record *a, const struct hl_call_record *b);

/* The call events: enqueue, call-begin, call-end. */
void hl_follow_call(struct hl_watch *watch, const struct hl_event *event);

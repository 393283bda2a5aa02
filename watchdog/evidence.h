/* Evidence: everything that is known of one stalled or wrong run, and all that the classifier may read.
 *
 * Built by the watchdog from the feed and a probe, written as a bundle (design section 9), read back from
 * one. It knows no scenario and no fault list. */
#pragma once
#include "cupti/device.h"
#include "feed.h"
#include "probe.h"

/* A word range that one rank still waits for: a slot of the Lamport buffers, a barrier flag or the counter.
 */
enum hl_slot_state {
    HL_SLOT_ARRIVED,  /* every word counts as arrived */
    HL_SLOT_SENTINEL, /* a word that is missing is the sentinel itself: nobody wrote it, or it was cleared */
    HL_SLOT_REFUSED   /* every missing word holds data, which the wait takes for the sentinel */
};

struct hl_slot_evidence {
    int rank;   /* who waits: the slot is in this rank's workspace */
    int source; /* whose words they are; arrivals: the rank itself */
    int workspace;
    uint32_t call; /* the waiting rank's */
    enum hl_stage stage;
    uint8_t buffer;
    uint32_t token; /* as executed; barrier: the CTA */
    enum hl_slot_state state;
    uint32_t words, words_missing, words_sentinel; /* sentinel: exactly the sentinel's bits */
    uint32_t start;                                /* place of its first word in the workspace */
    uint32_t first_missing;                        /* word of the slot, 0.. */
    uint32_t at;                                   /* the same word's place in the workspace */
    uint32_t value;                                /* what it holds */
    struct hl_word_history history;                /* of that word */
    int elsewhere; /* buffer into which the source stored this row of this call instead; -1: none is known */
    /* Leading rows of the source's input to this call that anything ever wrote since its block was taken from
     * the pool; UINT32_MAX: not known, or the words are sums of many ranks' rows. */
    uint32_t source_rows_written;
    /* Words of that row of its input that read as the sentinel, unless they are sanitised on their way; 0:
     * none, or the numbers of the call are not kept. */
    uint32_t input_sentinels;
};

/* A call that has begun or been enqueued and has not ended. */
struct hl_pending_call {
    struct hl_call_record record;
    uint64_t enqueued_ns, begun_ns; /* begun_ns UINT64_MAX: not begun */
    uint32_t launch_stream;         /* that it, or its graph, was launched on */
    uint16_t site_before;           /* of the rank's call before it; UINT16_MAX: not known */
    bool begins_round;              /* the rank's host left a blocking op between that call and this one */
};

#define HL_PENDING_MAX 16
#define HL_STACK_MAX 4096
#define HL_WORKSPACES_MAX 3 /* attention, MLP, and the communicator of unfused calls */

struct hl_workspace_evidence {
    bool known; /* the words below could be read */
    uint32_t flags[HL_FLAG_WORDS];
    uint32_t enqueued, begun, ended; /* calls so far */
    uint32_t rotations; /* ended calls that rotate the buffers (or raise the NCCL-like epoch) since init */
    uint32_t barriers;  /* ended trtllm two-shot calls since init: each moves the 3-valued flags twice */
    uint64_t initialised_ns; /* last workspace-init; UINT64_MAX never */
    uint64_t first_begun_ns; /* begin of call 0; UINT64_MAX never */
    uint32_t replaced_by;    /* 1 + the workspace that stands in its place now; 0: it was not replaced */
    uint32_t filled;         /* Lamport buffers, a bit each, whose first two rows hold data in every word */
};

/* Two calls of one workspace that ran at once, on two streams. */
struct hl_overlap {
    bool seen;
    int workspace;
    uint32_t first, second;
    uint64_t time_ns;
};

struct hl_rank_evidence {
    enum hl_host_state host;
    char stack[HL_STACK_MAX];
    char *threads;        /* native stacks: of its own thread, then of those that are no rank's; NULL: none */
    char driver_call[64]; /* entry point of the driver that its thread is inside; "": none, or not known */
    char called_by[192];  /* who called that: function and line */
    uint32_t op; /* op that the host is in, or was in last; UINT32_MAX: its program is not known */
    bool waits;           /* it told that it began to wait there, and not that it went on */
    enum hl_host_wait wait; /* waits: what for */
    uint32_t wait_stream;   /* of a stream */
    uint32_t barriers;      /* that its host has come to */
    uint32_t group;         /* ranks that its barrier waits for, a bit each; 0: all, or no barrier */
    uint64_t progress_ns;   /* last progress of this rank */
    struct hl_workspace_evidence workspace[HL_WORKSPACES_MAX];
    struct hl_pending_call pending[HL_PENDING_MAX]; /* the begun ones first, oldest first */
    int n_pending;
    struct hl_residency residency;
    enum hl_device_answer device;
    struct hl_overlap overlap;    /* the first one */
    struct hl_call_record others; /* the first call for another group than this world; group 0: none */
    struct hl_call_record baked;  /* the first whose number from the host is not its own; epoch 0: none */
    struct hl_overlap early; /* the first call that began before the one in front of it on its stream ended */
};

/* The first call whose records do not agree between the ranks, per workspace. */
struct hl_divergence {
    bool found;
    int workspace;
    uint32_t call;
    struct hl_call_record record[HL_RANKS_MAX];
    bool have[HL_RANKS_MAX];                    /* the rank has issued a call of this number */
    struct hl_call_record before[HL_RANKS_MAX]; /* the rank's call before it */
    bool have_before;
    /* Blocking ops that the rank's host had left when it issued the call, and the one before it: which round
     * of its program it is in. */
    uint32_t round[HL_RANKS_MAX], round_before[HL_RANKS_MAX];
    /* Calls by which a rank's records from here on lie ahead of those of most ranks (below 0: behind them),
     * where they fit only so; else 0. */
    int shift[HL_RANKS_MAX];
};

/* What the oracle found in the first wrong result. */
enum hl_wrong_kind {
    HL_WRONG_NONE,
    HL_WRONG_SUM,       /* differs from every hypothesis below */
    HL_WRONG_OWN_ONLY,  /* equals the rank's own row, normed: the allreduce is missing */
    HL_WRONG_TORN,      /* right in one 8-byte half of every 16 bytes, wrong in the other */
    HL_WRONG_STALE,     /* equals the sum with one source's rows of an earlier call */
    HL_WRONG_EARLY,     /* ended before a peer had begun this call */
    HL_WRONG_MISPAIRED, /* the ranks' calls of this number are different sites */
    HL_WRONG_UNTOUCHED  /* the output still holds the poison */
};

struct hl_wrong_result {
    enum hl_wrong_kind kind;
    int rank;
    struct hl_call_record record;
    uint32_t token, element;
    bool in_norm_out; /* else in residual out */
    double got, want;
    int stale_source; /* HL_WRONG_STALE, HL_WRONG_EARLY: the peer */
    uint32_t stale_call;
    bool row_was_unused; /* HL_WRONG_SUM: the last call in this buffer was smaller, so only an older one left
                            something */
    uint64_t count;      /* wrong elements in this call */
};

#define HL_SLOTS_MAX 4096
struct hl_evidence {
    int ranks;
    int workspaces;
    struct hl_layout layout[HL_WORKSPACES_MAX];
    enum hl_compare compare;
    uint64_t time_ns;    /* when it was collected */
    uint64_t stalled_ns; /* time since the last progress of any rank */
    bool hung;           /* pending work and no progress */
    bool quiescent;      /* no step can ever run again */
    bool serialised;     /* a tool lets kernels of different ranks run one after another only */
    bool crashed;
    char crash_reason[256];
    struct hl_rank_evidence rank[HL_RANKS_MAX];
    struct hl_slot_evidence *slots; /* of all waiting calls, those not arrived first */
    uint32_t n_slots;
    uint32_t slots_left_out; /* beyond HL_SLOTS_MAX */
    struct hl_divergence divergence;
    struct hl_divergence lag; /* the first call that ranks issued in different rounds of their programs */
    struct hl_wrong_result wrong;
    struct hl_stray_write stray;
    uint64_t records_dropped;           /* pending calls whose record the watchdog could not keep */
    uint64_t calls_checked;             /* by the oracle */
    struct hl_device_evidence *devices; /* of the processes that CUPTI watched */
    int n_devices;
    uint32_t faults_fired; /* bit per fault of the configuration; not for the classifier */
    uint32_t strikes;      /* of a mutant that strikes at one place, UINT32_MAX not known; nor is this */
};

void hl_evidence_init(struct hl_evidence *evidence);
void hl_evidence_finish(struct hl_evidence *evidence);

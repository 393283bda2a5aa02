/* Random cases, and what each of them must end as.
 *
 * What is expected follows from the definition of the trouble, the protocol at the calls that it hits and the
 * sizes, never from what the classifier says: a rank that leaves out a call hangs its peers whatever the
 * timing, while two calls at once may hang, sum wrongly or do no harm. */
#pragma once
#include "../../framework/fault/places.h"
#include "../../framework/scenario/scenario.h"

/* What goes wrong: X(ID, name in the table, fault, mutant). Every fault and every mutant has a row. */
#define HL_TROUBLES(X) \
    X(NONE, "healthy", HL_FAULT_NONE, HL_MUTANT_NONE) \
    X(SKIP_CALL, "skip-call", HL_FAULT_SKIP_CALL, HL_MUTANT_NONE) \
    X(EXTRA_CALL, "extra-call", HL_FAULT_EXTRA_CALL, HL_MUTANT_NONE) \
    X(OTHER_SIZE, "other-size", HL_FAULT_OTHER_SIZE, HL_MUTANT_NONE) \
    X(OTHER_STRATEGY, "other-strategy", HL_FAULT_OTHER_STRATEGY, HL_MUTANT_NONE) \
    X(OTHER_BUCKET, "other-bucket", HL_FAULT_OTHER_BUCKET, HL_MUTANT_NONE) \
    X(EAGER_INSTEAD, "eager-instead-of-graph", HL_FAULT_EAGER_INSTEAD, HL_MUTANT_NONE) \
    X(GRID_MISMATCH, "grid-mismatch", HL_FAULT_GRID_MISMATCH, HL_MUTANT_NONE) \
    X(SWAP_ORDER, "swap-order", HL_FAULT_SWAP_ORDER, HL_MUTANT_NONE) \
    X(SECOND_STREAM, "second-stream", HL_FAULT_SECOND_STREAM, HL_MUTANT_NONE) \
    X(SHARED_WORKSPACE, "shared-workspace", HL_FAULT_SHARED_WORKSPACE, HL_MUTANT_NONE) \
    X(MOVE_WORKSPACE, "move-workspace", HL_FAULT_MOVE_WORKSPACE, HL_MUTANT_NONE) \
    X(REALLOC, "realloc-after-capture", HL_FAULT_REALLOC, HL_MUTANT_NONE) \
    X(STALE_GRAPH, "stale-graph", HL_FAULT_STALE_GRAPH, HL_MUTANT_NONE) \
    X(LATE_MEMSET, "late-memset", HL_FAULT_LATE_MEMSET, HL_MUTANT_NONE) \
    X(EARLY_INIT, "early-init", HL_FAULT_EARLY_INIT, HL_MUTANT_NONE) \
    X(WRONG_GROUP, "wrong-group", HL_FAULT_WRONG_GROUP, HL_MUTANT_NONE) \
    X(LONE_BARRIER, "lone-barrier", HL_FAULT_LONE_BARRIER, HL_MUTANT_NONE) \
    X(ONE_THREAD, "one-thread", HL_FAULT_ONE_THREAD, HL_MUTANT_NONE) \
    X(CAPTURE_BARRIER, "capture-barrier", HL_FAULT_CAPTURE_BARRIER, HL_MUTANT_NONE) \
    X(SHORT_DELAY, "host-delay, short", HL_FAULT_HOST_DELAY, HL_MUTANT_NONE) \
    X(LONG_DELAY, "host-delay, long", HL_FAULT_HOST_DELAY, HL_MUTANT_NONE) \
    X(HOST_BLOCK, "host-block", HL_FAULT_HOST_BLOCK, HL_MUTANT_NONE) \
    X(KILL_RANK, "kill-rank", HL_FAULT_KILL_RANK, HL_MUTANT_NONE) \
    X(STOP_RANK, "stop-rank", HL_FAULT_STOP_RANK, HL_MUTANT_NONE) \
    X(STALL_STREAM, "stall-stream", HL_FAULT_STALL_STREAM, HL_MUTANT_NONE) \
    X(DRIVER_STALL, "driver-stall", HL_FAULT_DRIVER_STALL, HL_MUTANT_NONE) \
    X(FOREIGN_SPIN, "foreign-spin", HL_FAULT_FOREIGN_SPIN, HL_MUTANT_NONE) \
    X(SERIALISE, "serialise-launches", HL_FAULT_SERIALISE_LAUNCHES, HL_MUTANT_NONE) \
    X(NO_ROOM, "full GPU", HL_FAULT_NONE, HL_MUTANT_NONE) \
    X(ANY_ORDER, "CTAs in any order", HL_FAULT_NONE, HL_MUTANT_NONE) \
    X(NORM_ONLY, "norm-only", HL_FAULT_NONE, HL_MUTANT_NONE) \
    X(FLOAT_FTZ, "float-ftz", HL_FAULT_NONE, HL_MUTANT_NONE) \
    X(NO_SANITISE, "no-sanitise", HL_FAULT_NONE, HL_MUTANT_NO_SANITISE) \
    X(SHORT_CLEAR, "short-clear", HL_FAULT_NONE, HL_MUTANT_SHORT_CLEAR) \
    X(LATE_CLEAR, "late-clear", HL_FAULT_NONE, HL_MUTANT_LATE_CLEAR) \
    X(WRONG_CLEAR_OFFSET, "wrong-clear-offset", HL_FAULT_NONE, HL_MUTANT_WRONG_CLEAR_OFFSET) \
    X(DEPTH_2, "depth-2", HL_FAULT_NONE, HL_MUTANT_DEPTH_2) \
    X(DROP_STORE, "drop-store", HL_FAULT_NONE, HL_MUTANT_DROP_STORE) \
    X(MISDIRECT_STORE, "misdirect-store", HL_FAULT_NONE, HL_MUTANT_MISDIRECT_STORE) \
    X(STRAY_STORE, "stray-store", HL_FAULT_NONE, HL_MUTANT_STRAY_STORE) \
    X(TORN_STORE, "torn-store", HL_FAULT_NONE, HL_MUTANT_TORN_STORE) \
    X(MISSED_ARRIVAL, "missed-arrival", HL_FAULT_NONE, HL_MUTANT_MISSED_ARRIVAL) \
    X(OVERSHOOT, "overshoot", HL_FAULT_NONE, HL_MUTANT_OVERSHOOT) \
    X(SHARED_COUNTER, "shared-counter", HL_FAULT_NONE, HL_MUTANT_SHARED_COUNTER) \
    X(RELAXED_ARRIVAL, "relaxed-arrival", HL_FAULT_NONE, HL_MUTANT_RELAXED_ARRIVAL) \
    X(NO_RELEASE, "no-release", HL_FAULT_NONE, HL_MUTANT_NO_RELEASE) \
    X(EARLY_TRIGGER, "early-trigger", HL_FAULT_NONE, HL_MUTANT_EARLY_TRIGGER) \
    X(BAKED_EPOCH, "baked-epoch", HL_FAULT_NONE, HL_MUTANT_BAKED_EPOCH) \
    X(INT_OFFSET, "int-offset", HL_FAULT_NONE, HL_MUTANT_INT_OFFSET) \
    X(NO_ALIGN, "no-align", HL_FAULT_NONE, HL_MUTANT_NO_ALIGN) \
    X(TOO_SMALL, "workspace too small", HL_FAULT_NONE, HL_MUTANT_NONE)
enum hl_trouble {
#define X(id, name, fault, mutant) HL_TROUBLE_##id,
    HL_TROUBLES(X)
#undef X
        HL_TROUBLE_COUNT
};

struct hl_random_case {
    enum hl_trouble trouble;
    struct hl_config config;
    bool for_gpu;
    uint64_t seed;       /* of its one run */
    uint32_t verdicts;   /* bit a verdict that is right */
    enum hl_cause cause; /* of a run that does not pass */
    enum hl_cause also;  /* what the trouble is as well by its definition, or HL_CAUSE_NONE */
};

/* Draws a case of the given trouble from `random`, on top of `base`. Its watchdog's threshold has to be far
 * longer than a healthy rank is ever late; delays are drawn around it. A base with world.gpus gets so many
 * ranks, one a GPU, and calls of mnnvl and trtllm only. For a GPU it leaves out what that
 * cannot be (random_gpu.c). */
enum hl_status hl_random_case_draw(const struct hl_config *base, enum hl_trouble trouble, bool for_gpu,
                                   uint64_t *random, struct hl_random_case *ret_case, struct hl_error *error);

/* Makes a case that was drawn for the simulator one for a GPU. */
void hl_random_case_fit_gpu(struct hl_random_case *r, uint64_t *random);
/* May the grids of all ranks be more than a GPU holds? */
bool hl_random_case_is_tight_on_gpu(const struct hl_program *program, uint32_t ctas);
/* Does it happen to one process alone? Starting a process a rank takes seconds on a GPU. */
bool hl_trouble_needs_process(enum hl_trouble trouble);

const char *hl_trouble_name(enum hl_trouble trouble);

/* Fills in verdicts and causes of a case; `hit` are the places of its fault. See random_expect.c. */
void hl_random_case_expect(struct hl_random_case *r, const struct hl_program *clean,
                           const struct hl_program *faulty, const struct hl_places *hit,
                           const struct hl_places *calls);

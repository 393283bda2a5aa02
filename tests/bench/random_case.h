/* Random cases of the simulator, and what each of them must end as.
 *
 * What is expected follows from the definition of the fault, the protocol at the call that it hits and the
 * sizes, never from what the classifier says: a rank that leaves out a call hangs its peers whatever the
 * timing, while two calls at once may hang, sum wrongly or do no harm. */
#pragma once
#include "../../framework/scenario/scenario.h"

/* What goes wrong. X(ID, name in the table) */
#define HL_TROUBLES(X) \
    X(HL_TROUBLE_NONE, "healthy") \
    X(HL_TROUBLE_SKIP_CALL, "skip-call") \
    X(HL_TROUBLE_EXTRA_CALL, "extra-call") \
    X(HL_TROUBLE_OTHER_SIZE, "other-size") \
    X(HL_TROUBLE_OTHER_STRATEGY, "other-strategy") \
    X(HL_TROUBLE_SWAP_ORDER, "swap-order") \
    X(HL_TROUBLE_SECOND_STREAM, "second-stream") \
    X(HL_TROUBLE_LATE_MEMSET, "late-memset") \
    X(HL_TROUBLE_SHORT_DELAY, "host-delay, short") \
    X(HL_TROUBLE_LONG_DELAY, "host-delay, long") \
    X(HL_TROUBLE_NO_SANITISE, "no-sanitise") \
    X(HL_TROUBLE_FLOAT_FTZ, "float-ftz") \
    X(HL_TROUBLE_SHORT_CLEAR, "short-clear") \
    X(HL_TROUBLE_LATE_CLEAR, "late-clear") \
    X(HL_TROUBLE_DROP_STORE, "drop-store") \
    X(HL_TROUBLE_NORM_ONLY, "norm-only") \
    X(HL_TROUBLE_NO_ROOM, "full GPU")
enum hl_trouble {
#define X(id, name) id,
    HL_TROUBLES(X)
#undef X
        HL_TROUBLE_COUNT
};

struct hl_random_case {
    enum hl_trouble trouble;
    struct hl_config config;
    uint64_t seed;       /* of its one run */
    uint32_t verdicts;   /* bit a verdict that is right */
    enum hl_cause cause; /* of a run that does not pass */
    enum hl_cause also;  /* what the fault is as well by its definition, or HL_CAUSE_NONE */
};

/* Draws a case of the given trouble from `random`, on top of `base`. */
enum hl_status hl_random_case_draw(const struct hl_config *base, enum hl_trouble trouble, uint64_t *random,
                                   struct hl_random_case *ret_case, struct hl_error *error);

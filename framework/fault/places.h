/* Places: where in a rank's program a fault strikes. */
#pragma once
#include "../program/program.h"

struct hl_place {
    uint32_t op;      /* the call */
    uint32_t launch;  /* the graph launch that executes it, or `op` */
    uint32_t partner; /* swap-order, second-stream: the call beside it; late-memset: the workspace-init;
                         early-init, wrong-group: the first barrier behind it */
};

struct hl_places {
    struct hl_place *place; /* in host order; free() it */
    uint32_t n;
    char why_none[160]; /* n == 0: why */
};

enum hl_status hl_places_find(const struct hl_program *program, const struct hl_fault *fault,
                              struct hl_places *ret_places, struct hl_error *error);

/* The other strategy's protocol, or HL_PROTOCOL_COUNT where there is none. */
enum hl_protocol hl_other_protocol(const struct hl_program *program, const struct hl_op *call);

/* Why one awaited slot does not come: the question under every hang, answered from the evidence alone. */
#pragma once
#include "../../watchdog/evidence.h"

enum hl_wait_kind {
    HL_WAIT_NONE,       /* the slot has arrived */
    HL_WAIT_DERIVED,    /* its source waits itself, for something that is in the evidence too */
    HL_WAIT_REFUSED,    /* it holds data that the wait takes for the sentinel */
    HL_WAIT_DEAD,       /* its source is dead */
    HL_WAIT_NOT_ISSUED, /* its source has not enqueued the call */
    HL_WAIT_BEHIND,     /* its source runs a call of another workspace first, and has this one behind it */
    HL_WAIT_ABSENT,     /* its source runs a call of another workspace and has not enqueued this one */
    HL_WAIT_NO_ROOM,    /* CTAs of its source cannot start: the GPU is full */
    HL_WAIT_STREAM,     /* its source has enqueued the call and nothing runs there */
    HL_WAIT_ERASED_BY_INIT,
    HL_WAIT_ERASED_BY_CLEAR,
    HL_WAIT_ELSEWHERE,      /* its source stored it into another buffer */
    HL_WAIT_ERASED_IN_CALL, /* the waiting rank itself cleared it in the very call that waits for it */
    HL_WAIT_NEVER_STORED,   /* its source has begun the call and never stored it, as far as is known */
    HL_WAIT_ARRIVALS        /* the rank's own arrival counter */
};

enum hl_wait_kind hl_wait_kind_of(const struct hl_evidence *evidence, const struct hl_slot_evidence *slot);

/* The slot of the lowest call that is of this kind, or NULL. */
const struct hl_slot_evidence *hl_wait_find(const struct hl_evidence *evidence, enum hl_wait_kind kind);

/* A wait of this kind (behind or absent) that is part of a ring of ranks which wait for each other's calls on
 * different workspaces, or NULL. */
const struct hl_slot_evidence *hl_wait_find_ring(const struct hl_evidence *evidence, enum hl_wait_kind kind);

/* The record of a call in flight, or NULL. */
const struct hl_pending_call *hl_pending_find(const struct hl_evidence *evidence, int rank, int workspace,
                                              uint32_t call);
bool hl_has_begun(const struct hl_evidence *evidence, int rank, int workspace, uint32_t call);
bool hl_has_enqueued(const struct hl_evidence *evidence, int rank, int workspace, uint32_t call);

/* The fragments of a protocol whose order must hold, as PTX litmus tests, so that tools for the PTX memory
 * model (Dartagnan of Dat3M reads them; the format is that of herd's litmus files) can check them.
 *
 *  - arrival: a CTA reads which buffer is the current one, and arrives; the leader waits for the arrivals,
 * and sets the next buffer. Can the CTA read the buffer of the next call?
 *  - clear: a rank clears a row of its own, and stores to a peer; the peer has that row, and stores to the
 * one that was cleared, some calls later. Can the clear come last, and erase it?
 *  - barrier: a rank stores rows and raises a flag; a peer sees the flag, and reads the rows. Can it miss
 * them?
 *
 * Which accesses there are and in which order is not written down here: it is recorded from the step sources,
 * mutants included. Their instructions are those of kernels/step_cuda.cuh. The end of a kernel, before which
 * all that it did is done, is a fence. */
#pragma once
#include <stdio.h>
#include "space.h"

/* X(ID, name, doc) */
#define HL_LITMUS_FRAGMENTS(X) \
    X(HL_LITMUS_ARRIVAL, "arrival", "reading the current buffer against setting the next one") \
    X(HL_LITMUS_CLEAR, "clear", "clearing a row against the peer's next store to it") \
    X(HL_LITMUS_BARRIER, "barrier", "rows behind a flag")
enum hl_litmus_fragment { HL_LITMUS_FRAGMENTS(HL_ENUMERATOR) HL_LITMUS_FRAGMENT_COUNT };

const char *hl_litmus_name(enum hl_litmus_fragment fragment);
/* Writes one test; *ret_written: false when the protocol has no such fragment. One CTA a rank, one stream and
 * calls without end; other spaces are refused. */
enum hl_status hl_litmus_write(struct hl_space *space, enum hl_litmus_fragment fragment, const char *name,
                               FILE *out, bool *ret_written, struct hl_error *error);

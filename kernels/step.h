/* Step sources: a subject's device code, written once and executed twice.
 *
 * A step source is a function over an explicit state struct. One *agent* runs it: a thread on the GPU,
 * which moves 16 bytes of a row at a time, or a CTA in the simulator, which moves a whole row. So all
 * loops count fragments ("lanes" of agents striding over them) and no step source knows which it is.
 *
 * On the GPU the macros vanish into straight-line code. On the CPU each HL_POINT is a resumption point
 * of a stackless coroutine, so that the simulator schedules every access, and an await is an operation
 * that is enabled or not, never a spinning loop.
 *
 * Rules for authors:
 *  - whatever must survive a point lives in struct hl_step; a local does not;
 *  - at most one store to memory that others read between two points;
 *  - a wait is HL_AWAIT, over one condition without side effects. */
#pragma once
#include "layout.h"

/* Each mutant is its own build of the same source; the right build carries nothing of them. */
#ifndef HL_BUILD_MUTANT
#define HL_BUILD_MUTANT HL_MUTANT_NONE
#endif
#define HL_MUTANT(name) (HL_BUILD_MUTANT == HL_MUTANT_##name)
/* Buffers that calls rotate through. */
#define HL_DEPTH (HL_MUTANT(DEPTH_2) ? 2u : 3u)

/* State of one agent between two points; pointer-free, so that a world can be copied and hashed. */
struct hl_step {
    uint16_t pc; /* resumption point; 0 = not begun */
    uint16_t token;
    uint8_t peer;
    uint8_t stage;
    uint8_t buffer; /* buffer index of this call */
    uint8_t dirty;  /* buffer index to clear */
    uint8_t dirty_stages;
    uint8_t flag; /* trtllm two-shot: value of the 3-valued flag */
    uint8_t unused[3];
    uint32_t item; /* word being cleared; NCCL: the epoch */
    uint32_t clear_words[2];
};

/* The tokens below `count` that fall to the agent's CTA: one in every so many as there are CTAs. */
#define HL_EACH_TOKEN(t, cx, count) \
    for ((t)->token = (uint16_t)hl_cta(cx); (t)->token < (count); (t)->token = hl_next_token(t, cx))

#ifdef __CUDACC__
#include "step_cuda.cuh"
#else
#include "sim/step_sim.h"
#endif

/*
 * What all protocols do alike, and where mutants deviate.
 */

/* Waits for the kernel before this one, and lets the next one go where a protocol does so at once. */
#define HL_AWAIT_PREVIOUS(t, cx) \
    do { \
        if (HL_MUTANT(EARLY_TRIGGER)) \
            hl_trigger(cx); \
        else \
            HL_AWAIT(t, hl_previous_kernel_done(cx)); \
    } while (0)

/* Is this a call that a mutant strikes? */
HL_STEP_INLINE bool hl_strikes_call(const struct hl_cx *cx, struct hl_strike s)
{
    return HL_MUTANT_COUNTS_CALLS(HL_BUILD_MUTANT) && hl_rank(cx) == s.rank &&
           (s.call < 0 || (hl_calls_before(cx) >= (uint32_t)s.call &&
                           hl_calls_before(cx) - (uint32_t)s.call < (uint32_t)s.calls));
}
/* The row to rank 0 (to rank 1 from that one), or the CTA, that it strikes. */
HL_STEP_INLINE bool hl_is_struck_row(const struct hl_step *t, struct hl_cx *cx)
{
    const struct hl_strike s = hl_strike_of(cx);
    const uint32_t token = s.token < 0 ? hl_tokens(cx) - 1 : (uint32_t)s.token;
    return hl_strikes_call(cx, s) && t->peer == (s.rank == 0) && t->token == token && hl_note_strike(cx);
}
HL_STEP_INLINE bool hl_is_struck_cta(struct hl_cx *cx)
{
    const struct hl_strike s = hl_strike_of(cx);
    const uint32_t cta = s.cta < 0 ? hl_ctas(cx) - 1 : (uint32_t)s.cta;
    return hl_strikes_call(cx, s) && hl_cta(cx) == cta && hl_note_strike(cx);
}

/* One arrival of this CTA. */
#define HL_ARRIVE(t, cx, word) \
    do { \
        if (HL_MUTANT(OVERSHOOT) && hl_is_struck_cta(cx)) { \
            hl_arrive(cx, word); \
            HL_POINT(t); \
        } \
        if (!(HL_MUTANT(MISSED_ARRIVAL) && hl_is_struck_cta(cx))) \
            hl_arrive(cx, word); \
        HL_POINT(t); \
    } while (0)

/* Stores a fragment to a peer. */
#define HL_STORE(t, cx, rank, at, fragment) \
    do { \
        if (HL_MUTANT(TORN_STORE)) { \
            hl_store_half(cx, rank, at, fragment, 0); \
            HL_POINT(t); \
            hl_store_half(cx, rank, at, fragment, 1); \
        } else { \
            hl_store(cx, rank, at, fragment); \
        } \
        HL_POINT(t); \
    } while (0)

/* Pushes the agent's row of a token to all ranks, into their slots at `at`. */
#define HL_PUSH_TO_ALL(t, cx, at) \
    HL_UNROLL \
    for ((t)->peer = 0; (t)->peer < hl_ranks(cx); (t)->peer++) { \
        if (HL_MUTANT(STRAY_STORE) && hl_is_struck_row(t, cx)) \
            HL_STORE(t, cx, (t)->peer, (cx)->layout.words, hl_input(cx, (t)->token)); \
        if (HL_MUTANT(MISDIRECT_STORE) && hl_is_struck_row(t, cx)) \
            HL_STORE(t, cx, (t)->peer, (at) + (cx)->layout.row_words, hl_input(cx, (t)->token)); \
        else if (!(HL_MUTANT(DROP_STORE) && hl_is_struck_row(t, cx))) \
            HL_STORE(t, cx, (t)->peer, at, hl_input(cx, (t)->token)); \
    }

/* Where a fragment of a buffer is cleared that begins at `at`. */
HL_STEP_INLINE uint32_t hl_clear_place(const struct hl_cx *cx, uint32_t at)
{
    return HL_MUTANT(WRONG_CLEAR_OFFSET) ? at + cx->layout.row_words : at;
}

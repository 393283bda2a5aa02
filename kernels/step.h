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

/* State of one agent between two points; pointer-free, so that a world can be copied and hashed. */
struct hl_step {
    uint16_t pc;            /* resumption point; 0 = not begun */
    uint16_t token;
    uint8_t peer;
    uint8_t stage;
    uint8_t buffer;         /* buffer index of this call */
    uint8_t dirty;          /* buffer index to clear */
    uint8_t dirty_stages;
    uint8_t flag;           /* trtllm two-shot: value of the 3-valued flag */
    uint8_t unused[3];
    uint32_t item;          /* word being cleared; NCCL: the epoch */
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

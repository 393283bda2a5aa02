/* The mnnvl family: Lamport buffers in three-fold rotation, flags on the device, one-shot and two-shot.
 *
 *   one-shot   push to all | arrive | clear dirty | wait for all | sum, norm | leader: all arrived? rotate
 *   two-shot   kernel 1: scatter | clear | reduce own tokens | broadcast | clear
 *              kernel 2: arrive | wait for the broadcast | norm | leader: all arrived? rotate
 *
 * Order and ranges: M:913-1089 (one-shot), M:1268-1549 (two-shot). The multicast store of the original is
 * one store per rank here. */
#pragma once
#include "step.h"

/* What the one-shot sends for a token, and the source that it does not poll: up to 8 ranks the own row
 * stays in registers (M:962), beyond it is polled like the others (M:988). */
#define HL_OWN_SOURCE(cx) (hl_ranks(cx) <= 8 ? hl_rank(cx) : -1)

HL_STEP_INLINE uint8_t hl_mnnvl_current(const struct hl_cx *cx)
{
    return (uint8_t)(HL_MUTANT(BAKED_EPOCH) ? hl_host_epoch(cx) % 3 : hl_flag(cx, HL_MNNVL_CURRENT));
}

/* What the mutant LATE_CLEAR keeps of the call before the last one, in words that the right build leaves
 * alone. */
#define HL_MNNVL_LATE_BYTES (HL_MNNVL_CLEAR_BYTES + 2)

HL_STEP_INLINE uint32_t hl_mnnvl_bytes_to_clear(const struct hl_cx *cx, uint32_t stage)
{
    if (HL_MUTANT(SHORT_CLEAR))
        return hl_mnnvl_dirty_bytes(&cx->layout, hl_protocol(cx), stage, hl_tokens(cx));
    return hl_flag(cx, (HL_MUTANT(LATE_CLEAR) ? HL_MNNVL_LATE_BYTES : HL_MNNVL_CLEAR_BYTES) + stage);
}

/* The flags are read once: the leader may rotate them while other CTAs still clear (M:931). */
HL_STEP_INLINE void hl_mnnvl_read_flags(struct hl_step *t, const struct hl_cx *cx)
{
    t->buffer = hl_mnnvl_current(cx);
    t->dirty = HL_MUTANT(BAKED_EPOCH) ? (uint8_t)((t->buffer + 2) % 3) : (uint8_t)hl_flag(cx, HL_MNNVL_DIRTY);
    t->dirty_stages = HL_MUTANT(LATE_CLEAR) ? 1 + (hl_flag(cx, HL_MNNVL_LATE_BYTES + 1) != 0)
                                            : (uint8_t)hl_flag(cx, HL_MNNVL_DIRTY_STAGES);
    HL_UNROLL
    for (uint32_t stage = 0; stage < 2; stage++) { /* loaded in any case, beside the count of stages */
        const uint32_t bytes = hl_mnnvl_bytes_to_clear(cx, stage);
        t->clear_words[stage] = stage < t->dirty_stages ? bytes / 4 : 0;
    }
    if (HL_MUTANT(LATE_CLEAR)) /* the buffer of two calls ago, which is the next call's */
        t->dirty = (uint8_t)((t->buffer + 1) % 3);
}

/* Clears one stage of the dirty buffer, all agents of the grid striding over it (M:266-282). A stage that
 * is not dirty has no words to clear. */
#define HL_CLEAR_STAGE(t, cx, stage) \
    for ((t)->item = hl_lane(cx) * hl_fragment_words(cx); (t)->item < (t)->clear_words[stage]; \
         (t)->item += hl_lanes(cx) * hl_fragment_words(cx)) { \
        hl_store_sentinel( \
            cx, \
            hl_clear_place(cx, \
                           hl_stage_at(&(cx)->layout, (t)->dirty, stage, (t)->dirty_stages) + (t)->item), \
            hl_fragment_words(cx)); \
        HL_POINT(t); \
    }

/* The leader ends the call once every CTA has arrived: next buffer, what is dirty, counter to zero
 * (M:317-328). */
HL_STEP_INLINE bool hl_mnnvl_all_arrived(struct hl_cx *cx)
{
    return hl_flag_at_least(cx, HL_MNNVL_ARRIVED, hl_ctas(cx));
}
HL_STEP_INLINE void hl_mnnvl_rotate(const struct hl_step *t, struct hl_cx *cx, enum hl_protocol protocol)
{
    for (uint32_t stage = 0; HL_MUTANT(LATE_CLEAR) && stage < 2; stage++)
        hl_set_flag(cx, HL_MNNVL_LATE_BYTES + stage, hl_flag(cx, HL_MNNVL_CLEAR_BYTES + stage));
    hl_set_flag(cx, HL_MNNVL_CURRENT, (t->buffer + 1u) % HL_DEPTH);
    hl_set_flag(cx, HL_MNNVL_DIRTY, t->buffer);
    hl_set_flag(cx, HL_MNNVL_DIRTY_STAGES, (uint32_t)hl_protocol_stages(protocol));
    for (uint32_t stage = 0; stage < 2; stage++)
        hl_set_flag(cx, HL_MNNVL_CLEAR_BYTES + stage,
                    hl_mnnvl_dirty_bytes(&cx->layout, protocol, stage, hl_tokens(cx)));
    if (!(HL_MUTANT(SHARED_COUNTER) && protocol == HL_MNNVL_TWOSHOT))
        hl_set_flag(cx, HL_MNNVL_ARRIVED, 0);
}

HL_STEP_INLINE uint32_t hl_mnnvl_slot(const struct hl_step *t, const struct hl_cx *cx, uint32_t source)
{
    return hl_mnnvl_oneshot_slot(&cx->layout, t->buffer, t->token, source);
}
HL_STEP_INLINE uint32_t hl_mnnvl_scatter(const struct hl_step *t, const struct hl_cx *cx, uint32_t source)
{
    return hl_mnnvl_scatter_slot(&cx->layout, t->buffer, t->token, source);
}
HL_STEP_INLINE uint32_t hl_mnnvl_broadcast(const struct hl_step *t, const struct hl_cx *cx)
{
    return hl_mnnvl_broadcast_slot(&cx->layout, t->buffer, t->token);
}

HL_STEP(mnnvl_oneshot)
{
    struct hl_gather g;
    HL_BEGIN(t);
    HL_AWAIT_PREVIOUS(t, cx);
    hl_prefetch_input(cx, hl_cta(cx));
    hl_prefetch_residual(cx, hl_cta(cx));
    if (HL_MUTANT(RELAXED_ARRIVAL))
        HL_ARRIVE(t, cx, HL_MNNVL_ARRIVED);
    hl_mnnvl_read_flags(t, cx);
    HL_POINT(t);
    HL_EACH_TOKEN(t, cx, hl_tokens(cx)) {
        HL_PUSH_TO_ALL(t, cx, hl_mnnvl_slot(t, cx, (uint32_t)hl_rank(cx)))
    }
    if (!HL_MUTANT(RELAXED_ARRIVAL))
        HL_ARRIVE(t, cx, HL_MNNVL_ARRIVED);
    HL_CLEAR_STAGE(t, cx, 0)
    HL_CLEAR_STAGE(t, cx, 1)
    HL_EACH_TOKEN(t, cx, hl_tokens(cx)) {
        hl_keep_own(cx, &g, HL_OWN_SOURCE(cx), t->token);
        HL_AWAIT(t,
                 hl_rows_arrived(cx, &g, hl_mnnvl_slot(t, cx, 0), cx->layout.row_words, HL_OWN_SOURCE(cx)));
        hl_finish_row(cx, t->token,
                      hl_sum_rows(cx, &g, hl_mnnvl_slot(t, cx, 0), cx->layout.row_words, HL_OWN_SOURCE(cx),
                                  hl_input(cx, t->token)));
    }
    hl_trigger(cx);
    if (hl_leader(cx)) {
        HL_AWAIT(t, hl_mnnvl_all_arrived(cx));
        hl_mnnvl_rotate(t, cx, HL_MNNVL_ONESHOT);
        HL_POINT(t);
    }
    HL_END(t);
}

HL_STEP(mnnvl_twoshot)
{
    struct hl_gather g;
    HL_BEGIN(t);
    HL_AWAIT_PREVIOUS(t, cx);
    hl_prefetch_input(cx, hl_cta(cx));
    hl_mnnvl_read_flags(t, cx);
    HL_POINT(t);
    HL_EACH_TOKEN(t, cx, hl_tokens(cx)) {
        HL_STORE(t, cx, t->token % hl_ranks(cx), hl_mnnvl_scatter(t, cx, (uint32_t)hl_rank(cx)),
                 hl_input(cx, t->token));
    }
    hl_trigger(cx);
    HL_CLEAR_STAGE(t, cx, 0)
    HL_EACH_TOKEN(t, cx, hl_tokens(cx)) {
        if (t->token % hl_ranks(cx) != (uint32_t)hl_rank(cx))
            continue;
        HL_AWAIT(t, hl_rows_arrived(cx, &g, hl_mnnvl_scatter(t, cx, 0), cx->layout.row_words, -1));
        hl_keep_reduced(cx, &g,
                        hl_sum_rows(cx, &g, hl_mnnvl_scatter(t, cx, 0), cx->layout.row_words, -1,
                                    hl_input(cx, t->token)));
        HL_POINT(t);
        HL_UNROLL
        for (t->peer = 0; t->peer < hl_ranks(cx); t->peer++) {
            HL_STORE(t, cx, t->peer, hl_mnnvl_broadcast(t, cx), hl_reduced(cx, &g));
        }
    }
    HL_CLEAR_STAGE(t, cx, 1)
    HL_END(t);
}

/* Kernel 2 of the two-shot reads the flags before the dependency wait: kernel 1 does not change them
 * (M:1376). */
HL_STEP(mnnvl_norm)
{
    struct hl_gather g;
    HL_BEGIN(t);
    hl_trigger(cx);
    if (HL_MUTANT(RELAXED_ARRIVAL))
        HL_ARRIVE(t, cx, HL_MNNVL_ARRIVED);
    t->buffer = hl_mnnvl_current(cx);
    HL_POINT(t);
    if (!HL_MUTANT(RELAXED_ARRIVAL))
        HL_ARRIVE(t, cx, HL_MNNVL_ARRIVED);
    HL_EACH_TOKEN(t, cx, hl_tokens(cx)) {
        hl_prefetch_residual(cx, t->token);
        HL_AWAIT(t, hl_row_arrived(cx, &g, hl_mnnvl_broadcast(t, cx)));
        hl_finish_row(cx, t->token, hl_one_row(cx, &g, hl_mnnvl_broadcast(t, cx)));
    }
    if (!HL_MUTANT(EARLY_TRIGGER))
        HL_AWAIT(t, hl_previous_kernel_done(cx));
    if (hl_leader(cx)) {
        HL_AWAIT(t, hl_mnnvl_all_arrived(cx));
        hl_mnnvl_rotate(t, cx, HL_MNNVL_TWOSHOT);
        HL_POINT(t);
    }
    HL_END(t);
}

/* The trtllm family.
 *
 *   one-shot  count in | push to all | clear dirty | wait for all | sum, norm | leader: all counted? rotate
 *   two-shot  count in | copy in | barrier | reduce own tokens, push to all | barrier | norm | leader
 *
 * Order and ranges: T:960-990, T:1497-1564 (one-shot), T:1001-1052, T:1566-1628 (two-shot). Both share one
 * arrival counter, which is tested for equality: one arrival too many is a wait without end (T:984). */
#pragma once
#include "step.h"

/* What the mutant LATE_CLEAR keeps of the call before the last one. */
enum { HL_TRTLLM_LATE_ELEMENTS = HL_TRTLLM_FLAGS };

HL_STEP_INLINE bool hl_trtllm_all_arrived(struct hl_cx *cx)
{
    return hl_flag_equals(cx, HL_TRTLLM_ARRIVED, hl_ctas(cx));
}

HL_STEP_INLINE uint32_t hl_trtllm_slot(const struct hl_step *t, const struct hl_cx *cx, uint32_t source)
{
    return hl_trtllm_oneshot_slot(&cx->layout, t->buffer, t->token, source, hl_tokens(cx));
}

HL_STEP(trtllm_oneshot)
{
    struct hl_gather g;
    HL_BEGIN(t);
    HL_AWAIT_PREVIOUS(t, cx);
    hl_trigger(cx); /* before flags and stores, unless triggerCompletionAtEnd (T:1514) */
    hl_prefetch_input(cx, hl_cta(cx));
    hl_prefetch_residual(cx, hl_cta(cx));
    if (HL_MUTANT(RELAXED_ARRIVAL))
        HL_ARRIVE(t, cx, HL_TRTLLM_ARRIVED);
    t->buffer = (uint8_t)(HL_MUTANT(BAKED_EPOCH) ? hl_host_epoch(cx) % 3 : hl_flag(cx, HL_TRTLLM_CURRENT));
    t->dirty = (uint8_t)((t->buffer + (HL_MUTANT(LATE_CLEAR) ? 1u : HL_DEPTH - 1)) % HL_DEPTH);
    t->clear_words[0] =
        hl_flag(cx, HL_MUTANT(LATE_CLEAR) ? HL_TRTLLM_LATE_ELEMENTS : HL_TRTLLM_CLEAR_ELEMENTS) *
        hl_dtype_bytes(cx->layout.dtype) / 4;
    if (HL_MUTANT(SHORT_CLEAR) && t->clear_words[0])
        t->clear_words[0] = hl_tokens(cx) * (uint32_t)hl_ranks(cx) * cx->layout.row_words;
    HL_POINT(t);
    if (!HL_MUTANT(RELAXED_ARRIVAL))
        HL_ARRIVE(t, cx, HL_TRTLLM_ARRIVED);
    HL_EACH_TOKEN(t, cx, hl_tokens(cx)) {
        HL_PUSH_TO_ALL(t, cx, hl_trtllm_slot(t, cx, (uint32_t)hl_rank(cx)))
    }
    for (t->item = hl_lane(cx) * hl_fragment_words(cx); t->item < t->clear_words[0];
         t->item += hl_lanes(cx) * hl_fragment_words(cx)) {
        hl_store_sentinel(cx, hl_clear_place(cx, hl_stage_at(&cx->layout, t->dirty, 0, 1) + t->item),
                          hl_fragment_words(cx));
        HL_POINT(t);
    }
    HL_EACH_TOKEN(t, cx, hl_tokens(cx)) {
        HL_AWAIT(t,
                 hl_rows_arrived(cx, &g, hl_trtllm_slot(t, cx, 0), hl_tokens(cx) * cx->layout.row_words, -1));
        hl_finish_row(cx, t->token,
                      hl_sum_rows(cx, &g, hl_trtllm_slot(t, cx, 0), hl_tokens(cx) * cx->layout.row_words, -1,
                                  hl_input(cx, t->token)));
    }
    if (hl_leader(cx)) {
        HL_AWAIT(t, hl_trtllm_all_arrived(cx));
        if (HL_MUTANT(LATE_CLEAR))
            hl_set_flag(cx, HL_TRTLLM_LATE_ELEMENTS, hl_flag(cx, HL_TRTLLM_CLEAR_ELEMENTS));
        hl_set_flag(cx, HL_TRTLLM_CURRENT, (t->buffer + 1u) % HL_DEPTH);
        hl_set_flag(cx, HL_TRTLLM_CLEAR_ELEMENTS,
                    hl_tokens(cx) * (uint32_t)hl_ranks(cx) * cx->layout.row_words * 4 /
                        hl_dtype_bytes(cx->layout.dtype));
        hl_set_flag(cx, HL_TRTLLM_ARRIVED, 0);
        HL_POINT(t);
    }
    HL_END(t);
}

/* Tokens are dealt to the ranks in contiguous parts, the first parts one longer. */
HL_INLINE uint32_t hl_trtllm_part_size(uint32_t tokens, uint32_t ranks, uint32_t rank)
{
    return tokens / ranks + (rank < tokens % ranks);
}
HL_INLINE uint32_t hl_trtllm_part_start(uint32_t tokens, uint32_t ranks, uint32_t rank)
{
    return tokens / ranks * rank + (rank < tokens % ranks ? rank : tokens % ranks);
}

#define HL_PART_SIZE(cx, rank) hl_trtllm_part_size(hl_tokens(cx), (uint32_t)hl_ranks(cx), (uint32_t)(rank))
#define HL_PART_START(cx, rank) hl_trtllm_part_start(hl_tokens(cx), (uint32_t)hl_ranks(cx), (uint32_t)(rank))

/* A barrier among the CTAs of equal number on all ranks: release the next flag value to every peer, at the
 * CTA's flag and every grid size beyond it below 256, then wait while a peer's flag is still the one before.
 */
#define HL_TRTLLM_BARRIER(t, cx) \
    do { \
        (t)->flag = (uint8_t)(((t)->flag + 1) % 3); \
        for ((t)->peer = 0; (t)->peer < hl_ranks(cx); (t)->peer++) { \
            hl_release_flags(cx, (t)->peer, (t)->flag); \
            HL_POINT(t); \
        } \
        HL_AWAIT(t, hl_no_peer_at(cx, hl_trtllm_barrier_flag(&(cx)->layout, hl_cta(cx), 0), \
                                  ((t)->flag + 2u) % 3)); \
        HL_POINT(t); \
    } while (0)

HL_STEP(trtllm_twoshot)
{
    struct hl_gather g;
    HL_BEGIN(t);
    HL_AWAIT_PREVIOUS(t, cx);
    hl_trigger(cx);
    t->flag = (uint8_t)hl_flag(cx, HL_TRTLLM_BARRIER_FLAG);
    HL_ARRIVE(t, cx, HL_TRTLLM_ARRIVED);
    for (t->stage = 0; t->stage < hl_ranks(cx); t->stage++)
        HL_EACH_TOKEN(t, cx, HL_PART_SIZE(cx, t->stage)) {
            hl_store(cx, hl_rank(cx),
                     hl_trtllm_comm_slot(&cx->layout, 0, HL_PART_START(cx, t->stage) + t->token),
                     hl_raw_input(cx, HL_PART_START(cx, t->stage) + t->token));
            HL_POINT(t);
        }
    HL_TRTLLM_BARRIER(t, cx);
    HL_EACH_TOKEN(t, cx, HL_PART_SIZE(cx, hl_rank(cx))) {
        hl_keep_reduced(
            cx, &g,
            hl_sum_peers(cx, hl_trtllm_comm_slot(&cx->layout, 0, HL_PART_START(cx, hl_rank(cx)) + t->token)));
        HL_POINT(t);
        HL_UNROLL
        for (t->peer = 0; t->peer < hl_ranks(cx); t->peer++) {
            hl_store(cx, t->peer,
                     hl_trtllm_comm_slot(&cx->layout, 1, HL_PART_START(cx, hl_rank(cx)) + t->token),
                     hl_reduced(cx, &g));
            HL_POINT(t);
        }
    }
    HL_TRTLLM_BARRIER(t, cx);
    for (t->stage = 0; t->stage < hl_ranks(cx); t->stage++)
        HL_EACH_TOKEN(t, cx, HL_PART_SIZE(cx, t->stage))
            hl_finish_row(
                cx, HL_PART_START(cx, t->stage) + t->token,
                hl_load_row(cx, hl_trtllm_comm_slot(&cx->layout, 1, HL_PART_START(cx, t->stage) + t->token)));
    if (hl_leader(cx)) {
        if (!HL_MUTANT(SHARED_COUNTER))
            HL_AWAIT(t, hl_trtllm_all_arrived(cx));
        hl_set_flag(cx, HL_TRTLLM_BARRIER_FLAG, t->flag);
        if (!HL_MUTANT(SHARED_COUNTER))
            hl_set_flag(cx, HL_TRTLLM_ARRIVED, 0);
        HL_POINT(t);
    }
    HL_END(t);
}

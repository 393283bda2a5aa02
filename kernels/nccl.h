/* The NCCL-like reference: a plain allreduce, then residual + RMSNorm in a kernel of its own.
 *
 * Each word travels with the epoch of its call beside it, as in NCCL's LL protocol, so no payload can be
 * taken for "not arrived". Two buffers suffice: a rank begins call k + 1 only when every peer has sent
 * call k, and so has read what call k - 1 left. */
#pragma once
#include "step.h"

HL_STEP(nccl_allreduce)
{
    struct hl_gather g;
    HL_BEGIN(t);
    HL_AWAIT_PREVIOUS(t, cx);
    t->item = (HL_MUTANT(BAKED_EPOCH) ? hl_host_epoch(cx) : hl_flag(cx, HL_NCCL_EPOCH)) + 1;
    t->buffer = (uint8_t)(t->item % 2);
    HL_ARRIVE(t, cx, HL_NCCL_ARRIVED);
    HL_EACH_TOKEN(t, cx, hl_tokens(cx)) {
        HL_UNROLL
        for (t->peer = 0; t->peer < hl_ranks(cx); t->peer++) {
            hl_store_with_epoch(cx, t->peer,
                                hl_nccl_slot(&cx->layout, t->buffer, t->token, (uint32_t)hl_rank(cx)),
                                hl_raw_input(cx, t->token), t->item);
            HL_POINT(t);
        }
    }
    HL_EACH_TOKEN(t, cx, hl_tokens(cx)) {
        HL_AWAIT(t, hl_rows_at_epoch(cx, &g, hl_nccl_slot(&cx->layout, t->buffer, t->token, 0), t->item));
        hl_store_sum(cx, t->token,
                     hl_sum_rows_at_epoch(cx, &g, hl_nccl_slot(&cx->layout, t->buffer, t->token, 0)));
    }
    if (hl_leader(cx)) {
        HL_AWAIT(t, hl_flag_at_least(cx, HL_NCCL_ARRIVED, hl_ctas(cx)));
        hl_set_flag(cx, HL_NCCL_EPOCH, t->item);
        hl_set_flag(cx, HL_NCCL_ARRIVED, 0);
        HL_POINT(t);
    }
    HL_END(t);
}

/* Residual + RMSNorm over what the allreduce left. */
HL_STEP(norm_after_allreduce)
{
    HL_BEGIN(t);
    HL_AWAIT_PREVIOUS(t, cx);
    HL_EACH_TOKEN(t, cx, hl_tokens(cx))
        hl_finish_row(cx, t->token, hl_load_sum(cx, t->token));
    HL_END(t);
}

/* Residual + RMSNorm over the rank's own input: the allreduce is missing (sglang#20384). */
HL_STEP(norm_only)
{
    HL_BEGIN(t);
    HL_AWAIT_PREVIOUS(t, cx);
    HL_EACH_TOKEN(t, cx, hl_tokens(cx))
        hl_finish_row(cx, t->token, hl_load_input(cx, t->token));
    HL_END(t);
}

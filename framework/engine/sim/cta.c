/* CTAs: one step of a step source, and the wake-ups that its stores cause. */
#include "sim.h"

uint32_t hl_sim_epoch(const struct hl_sim *s, int rank, uint32_t launch, uint32_t op, uint32_t call)
{
    return hl_sim_op(s, rank, launch)->kind == HL_OP_GRAPH_LAUNCH ? s->ops[rank][op].epoch : call;
}

void hl_sim_kernel_derive(struct hl_sim *s, uint32_t kernel)
{
    const struct hl_sim_kernel *k = &s->kernels[kernel];
    const uint32_t lane = kernel / HL_SIM_KERNELS_MAX;
    const int rank = hl_sim_lane_rank(s, lane);
    const struct hl_op *op = hl_sim_op(s, rank, k->op);
    const size_t rows = (size_t)s->geometry.tokens_max * s->layout[0].row_words;
    uint32_t *output = s->outputs + ((size_t)lane * HL_SIM_OUTPUTS + k->output) * 2 * rows;
    s->cx[kernel] = (struct hl_cx){
        .layout = s->layout[op->workspace],
        .protocol = op->protocol,
        .compare = s->config->subject.sentinel_compare,
        .rank = rank,
        .ranks = s->ranks,
        .tokens = s->ops[rank][k->op].tokens,
        .hidden = s->geometry.hidden,
        .ctas = k->ctas,
        .call = k->call,
        .epoch = hl_sim_epoch(s, rank, k->from.op, k->op, k->call),
        .strike = s->config->subject.strike,
        .real = hl_protocol_family(op->protocol) == HL_FAMILY_NCCL ? NULL : &s->real,
        .input = s->blocks[rank][op->block],
        .residual = s->residuals + op->site * rows,
        .gamma = s->gamma,
        .residual_out = output,
        .norm_out = output + rows,
        .previous_kernel_done = kernel % HL_SIM_KERNELS_MAX == s->lane[lane].first,
    };
    for (int r = 0; r < s->ranks; r++)
        s->cx[kernel].workspace[r] = hl_sim_workspace(s, op->workspace, r);
}

void hl_sim_wake_waiting(struct hl_sim *s, int rank, int workspace, uint32_t at, uint32_t count)
{
    uint32_t *waiting = s->waiting[rank];
    for (uint32_t i = 0; i < s->n_waiting[rank];) {
        const uint32_t index = waiting[i] - hl_sim_first_cta(s);
        struct hl_sim_cta *cta = &s->ctas[index];
        const struct hl_cx *cx = &s->cx[index / s->ctas_max];
        if (cta->watch - at < count && cx->workspace[rank] == hl_sim_workspace(s, workspace, rank)) {
            cta->watch = HL_WATCH_NONE;
            hl_sim_wake(s, waiting[i]);
            waiting[i] = waiting[--s->n_waiting[rank]];
        } else {
            i++;
        }
    }
}

static void trace_store(struct hl_sim *s, int workspace, const struct hl_store *store, int by, uint32_t call)
{
    struct hl_sim_trace *traces = s->traces[workspace][store->rank];
    if (!traces)
        return;
    const uint32_t first = (store->at + s->guard) / HL_SIM_GRANULE,
                   last = (store->at + s->guard + store->count - 1) / HL_SIM_GRANULE;
    for (uint32_t g = first; g <= last; g++) {
        if (store->clears) {
            traces[g].cleared_by = (int8_t)by;
            traces[g].cleared_call = call;
            traces[g].cleared_ns = s->now_ns;
        } else {
            traces[g].stored_by = (int8_t)by;
            traces[g].stored_call = call;
            traces[g].stored_ns = s->now_ns;
        }
    }
}

void hl_sim_stored(struct hl_sim *s, int workspace, const struct hl_store *store, int by, uint32_t call)
{
    trace_store(s, workspace, store, by, call);
    hl_sim_wake_waiting(s, store->rank, workspace, store->at, store->count);
}

static void note_trigger(struct hl_sim *s, uint32_t kernel, struct hl_sim_cta *cta)
{
    struct hl_sim_kernel *k = &s->kernels[kernel];
    if (cta->triggered)
        return;
    cta->triggered = true;
    if (++k->triggered == k->ctas)
        hl_sim_wake(s, hl_sim_lane_agent(s, kernel / HL_SIM_KERNELS_MAX));
}

static void note_bad_address(struct hl_sim *s, const struct hl_cx *cx, int workspace)
{
    if (cx->bad.kind != HL_BAD_NONE && s->device_fault.address.kind == HL_BAD_NONE)
        s->device_fault = (struct hl_sim_device_fault){ cx->bad, cx->rank, workspace, cx->call };
}

enum hl_sim_result hl_sim_cta_step(struct hl_sim *s, uint32_t kernel, uint32_t cta_index)
{
    struct hl_sim_kernel *k = &s->kernels[kernel];
    struct hl_sim_cta *cta = &s->ctas[kernel * s->ctas_max + cta_index];
    struct hl_cx *cx = &s->cx[kernel];
    const int rank = cx->rank;
    if (!k->active || cta_index >= k->ctas || cta->state != HL_CTA_RUNNING || cta->watch != HL_WATCH_NONE)
        return HL_SIM_BLOCKED;
    /* A kernel launched early with PDL has not begun its call while it waits for the one before it; one
     * mutant does not wait. */
    const bool waits = s->config->subject.mutant != HL_MUTANT_EARLY_TRIGGER;
    if (!k->begun && k->which == 0 && (cx->previous_kernel_done || !waits)) {
        k->begun = true;
        hl_sim_emit_call(s, kernel, HL_EVENT_CALL_BEGIN);
    }
    const struct hl_op *op = hl_sim_op(s, rank, k->op);
    cx->cta = cta_index;
    cx->regs = s->regs + ((size_t)kernel * s->ctas_max + cta_index) * cx->layout.row_words;
    cx->store.count = cx->strikes = 0;
    cx->triggered = cx->releases = false;
    cx->outbox = hl_sim_is_relaxed(s) ? hl_sim_outbox(s, rank) : NULL;
    cx->outbox_halves = 0;
    const enum hl_step_result result =
        s->steps[hl_protocol_kernels(op->protocol).kernels[k->which]](&cta->step, cx);
    s->strikes += cx->strikes;
    note_bad_address(s, cx, op->workspace);
    if (cx->triggered || result == HL_STEP_DONE)
        note_trigger(s, kernel, cta);
    const uint32_t index = kernel * s->ctas_max + cta_index;
    if (cx->outbox && (cx->releases || result == HL_STEP_DONE))
        hl_sim_deliver_all(s, rank, index);
    if (cx->outbox_halves)
        hl_sim_post(s, index, cx, op->workspace);
    else if (cx->store.count)
        hl_sim_stored(s, op->workspace, &cx->store, rank, cx->call);
    if (result == HL_STEP_BLOCKED) {
        cta->watch = cx->watch;
        s->waiting[rank][s->n_waiting[rank]++] = hl_sim_cta_agent(s, kernel, cta_index);
        return HL_SIM_BLOCKED;
    }
    if (result == HL_STEP_RAN)
        return HL_SIM_RAN;
    cta->state = HL_CTA_ENDED;
    k->ended++;
    hl_sim_cta_ended(s, kernel);
    return HL_SIM_DONE;
}

/* Steps of the space: one step of a CTA, and completion; see space.h. */
#include "space.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct hl_space_cta *ctas_of(const struct hl_space *s, int rank, int stream, int kernel)
{
    struct hl_space_kernel *end = hl_space_kernels(s, rank, s->spec.streams);
    return (struct hl_space_cta *)end + (size_t)(stream * s->kernels + kernel) * s->ctas_max;
}
static uint32_t *regs_of(const struct hl_space *s, int rank, int stream, int kernel, uint32_t cta)
{
    struct hl_space_cta *end = ctas_of(s, rank, s->spec.streams, 0);
    return (uint32_t *)end + ((size_t)(stream * s->kernels + kernel) * s->ctas_max + cta) * s->cta_words;
}

/* The deliveries of a CTA: each flight, each half. */
static void find_deliveries(struct hl_space *s, uint32_t cta)
{
    for (uint32_t i = 0; i < 2 * s->flights; i++) {
        struct hl_space_agent *a = &s->agent[s->ctas + cta * 2 * s->flights + i];
        *a = s->agent[cta];
        a->flight = (struct hl_space_flight *)(a->its_regs + s->row_words + i / 2 * s->flight_words);
    }
}

void hl_space_find_agents(struct hl_space *s)
{
    const uint32_t per_rank = (uint32_t)(s->spec.streams * s->kernels);
    for (uint32_t i = 0; i < s->ctas; i++) {
        const uint32_t kernel = i / s->ctas_max;
        struct hl_space_agent a = { .rank = (int)(kernel / per_rank),
                                    .stream = (int)(kernel % per_rank) / s->kernels,
                                    .kernel = (int)kernel % s->kernels,
                                    .cta = i % s->ctas_max };
        a.its_kernel = hl_space_kernels(s, a.rank, a.stream) + a.kernel;
        a.its_cta = ctas_of(s, a.rank, a.stream, a.kernel) + a.cta;
        a.its_regs = regs_of(s, a.rank, a.stream, a.kernel, a.cta);
        a.calls = s->spec.program[a.rank][a.stream].calls;
        a.cx = hl_space_cx(s, a.rank, a.stream, 0, 0);
        s->agent[i] = a;
        find_deliveries(s, i);
    }
}

/* Takes completed kernels off the stream; the others move up, so that a state has one form only. */
static void retire(struct hl_space *s, int rank, int stream)
{
    struct hl_space_stream *q = hl_space_stream(s, rank, stream);
    struct hl_space_kernel *kernels = hl_space_kernels(s, rank, stream);
    const size_t left = (size_t)s->kernels - 1, regs_of_kernel = (size_t)s->ctas_max * s->cta_words;
    while (q->in_flight && kernels[0].ended == kernels[0].ctas) {
        struct hl_space_cta *ctas = ctas_of(s, rank, stream, 0);
        uint32_t *regs = regs_of(s, rank, stream, 0, 0);
        memmove(kernels, kernels + 1, left * sizeof *kernels);
        memmove(ctas, ctas + s->ctas_max, left * s->ctas_max * sizeof *ctas);
        memmove(regs, regs + regs_of_kernel, left * regs_of_kernel * sizeof *regs);
        memset(kernels + left, 0, sizeof *kernels);
        memset(ctas + left * s->ctas_max, 0, s->ctas_max * sizeof *ctas);
        memset(regs + left * regs_of_kernel, 0, regs_of_kernel * sizeof *regs);
        q->in_flight--;
        s->retired++;
    }
}

void hl_space_fill_workspace(const struct hl_space *s, int workspace, int rank)
{
    const struct hl_layout *l = &s->layout[workspace];
    uint32_t *words = s->words[workspace][rank];
    memset(words, 0, l->words * sizeof *words);
    for (uint32_t i = l->buffers_at; i < l->buffers_at + hl_buffers_words(l); i++)
        words[i] = hl_sentinel_word(l);
    hl_workspace_flags(l, words);
}

/* Somebody else's data over its buffers, not its flags. */
static void reuse_workspace(const struct hl_space *s, int workspace, int rank)
{
    const struct hl_layout *l = &s->layout[workspace];
    for (uint32_t i = l->buffers_at; i < l->buffers_at + hl_buffers_words(l); i++)
        s->words[workspace][rank][i] = 0x3f803f80u;
}

/* Does the CTA wait, and look at this row meanwhile? A wait that fails changes nothing, so it is tried. */
static bool looks_at(struct hl_space *s, uint32_t agent, int workspace, uint32_t row)
{
    if (!hl_space_is_running(&s->agent[agent]) || hl_space_step(s, agent) ||
        s->touched_workspace != workspace)
        return false;
    for (uint32_t i = 0; i < s->footprint.n; i++)
        if (row - s->footprint.touch[i].at < s->footprint.touch[i].count)
            return true;
    return false;
}

/* The row that the last step cleared had not been read by all who wait for its call, if a wait of the rank
 * still looks at it. */
static bool clears_under_a_wait(struct hl_space *s, uint32_t agent)
{
    const struct hl_footprint footprint = s->footprint;
    const struct hl_store store = s->store;
    const unsigned char *base = s->base;
    const int workspace = s->touched_workspace, retired = s->retired;
    const uint32_t per_rank = s->ctas / (uint32_t)s->spec.ranks, first = agent / per_rank * per_rank;
    bool found = false;
    hl_space_save(s, s->checking);
    s->base = NULL;
    for (uint32_t a = first; !found && a < first + per_rank; a++) {
        found = a != agent && looks_at(s, a, workspace, store.at);
        hl_space_load(s, s->checking);
        s->base = NULL;
    }
    s->base = base;
    s->footprint = footprint;
    s->store = store;
    s->touched_workspace = workspace;
    s->retired = retired;
    return found;
}

/* Did it store into a guard, or behind the workspace? */
static bool is_stray(const struct hl_layout *l, uint32_t at)
{
    const uint32_t place = at - l->buffers_at;
    return at >= l->words || (place < hl_buffers_words(l) + l->gap &&
                              place % (l->words_per_buffer + l->gap) >= l->words_per_buffer);
}

/* Two assumptions that the searches make, held against every step: a wait that polls several slots may be one
 * step only while slots go from sentinel to data and not back, and a slot is stored only when it is clear. */
static void check_store(struct hl_space *s, uint32_t agent)
{
    const struct hl_layout *l = &s->layout[s->touched_workspace];
    const uint32_t row = s->store.at;
    if (!s->base || !s->store.count)
        return;
    s->strays += is_stray(l, row);
    if (row - l->buffers_at >= hl_buffers_words(l) || l->family == HL_FAMILY_NCCL)
        return;
    const uint32_t before = hl_space_saved_words(s, s->base, s->touched_workspace, s->store.rank)[row];
    if (hl_word_missing(l, before, s->spec.compare))
        return;
    if (!s->store.clears)
        s->overwrites++;
    else if (s->ctas > (uint32_t)s->spec.ranks && clears_under_a_wait(s, agent))
        s->broken_polls++;
}

/* Some of its stores are on their way. A CTA ends, and so does its kernel, when all have been seen. */
static enum hl_step_result run_relaxed(struct hl_space *s, const struct hl_space_agent *a, hl_step_fn step,
                                       struct hl_cx *cx)
{
    const struct hl_step before = a->its_cta->step;
    hl_space_open_outbox(s, a, cx);
    const enum hl_step_result result = step(&a->its_cta->step, cx);
    if (result == HL_STEP_DONE && hl_space_has_flights(s, a)) {
        a->its_cta->step = before;
        s->footprint.n = 0; /* it waits for the memory, and polls nothing */
        return HL_STEP_BLOCKED;
    }
    hl_space_send(s, a, cx);
    return result;
}

static enum hl_step_result run_step(struct hl_space *s, uint32_t agent, bool *ret_triggered)
{
    const struct hl_space_agent *a = &s->agent[agent];
    if (a->flight)
        return hl_space_deliver(s, agent) ? HL_STEP_RAN : HL_STEP_BLOCKED;
    const struct hl_space_call *call = hl_space_call(a);
    s->touched_workspace = call->workspace;
    if (call->fills) {
        if (call->reuses)
            reuse_workspace(s, call->workspace, a->rank);
        else
            hl_space_fill_workspace(s, call->workspace, a->rank);
        s->footprint.touch[s->footprint.n++] = (struct hl_touch){
            HL_TOUCH_STORE, (uint8_t)a->rank, 1, 0, s->live[call->workspace], HL_VALUE_ANY
        };
        return HL_STEP_DONE;
    }
    const struct hl_space_kernel *k = a->its_kernel;
    struct hl_cx *cx = hl_space_agent_cx(s, a);
    const uint32_t *expected =
        s->base ? *hl_space_expected(s, cx) : NULL; /* sums count from known states only */
    cx->cta = a->cta;
    cx->call = k->number;
    cx->previous_kernel_done = a->kernel == 0;
    cx->regs = a->its_regs;
    cx->triggered = false;
    cx->store.count = 0;
    if (expected)
        hl_space_forget_sums(cx);
    const hl_step_fn step = s->steps[hl_protocol_kernels(call->protocol).kernels[k->which]];
    const enum hl_step_result result = s->flights ? run_relaxed(s, a, step, cx) : step(&a->its_cta->step, cx);
    s->store = cx->store;
    s->strikes += cx->strikes;
    cx->strikes = 0;
    if (s->base && result != HL_STEP_BLOCKED)
        s->wrong_sums += (expected && !hl_space_has_right_sums(cx, expected)) ||
                         (s->footprint.summed && !hl_space_summed_right_rows(s, cx));
    *ret_triggered = cx->triggered;
    return result;
}

bool hl_space_step(struct hl_space *s, uint32_t agent)
{
    const struct hl_space_agent *a = &s->agent[agent];
    if (!hl_space_is_running(a))
        return false;
    bool triggered = false;
    s->footprint.n = 0;
    s->footprint.summed = 0;
    s->store.count = s->sent.count = 0;
    s->retired = 0;
    s->came_round = false;
    s->changed_ranks = 1u << a->rank;
    s->started = s->is_crowded && !a->its_cta->started;
    if (s->started) {
        s->touched_workspace = hl_space_call(a)->workspace;
        return a->its_cta->started = hl_space_may_start(s, a);
    }
    const enum hl_step_result result = run_step(s, agent, &triggered);
    if (result == HL_STEP_BLOCKED)
        return false;
    check_store(s, agent);
    if ((triggered || result == HL_STEP_DONE) && !a->its_cta->triggered) {
        a->its_cta->triggered = true;
        a->its_kernel->triggered++;
    }
    if (result == HL_STEP_DONE) {
        memset(&a->its_cta->step, 0, sizeof a->its_cta->step);
        memset(a->its_regs, 0, s->row_words * sizeof *a->its_regs);
        a->its_cta->ended = true;
        a->its_cta->sent = 0;
        a->its_kernel->ended++;
        retire(s, a->rank, a->stream);
    }
    if (triggered || result == HL_STEP_DONE)
        hl_space_move_hosts(s, s->retired && s->spec.host[a->rank].n ? (1u << s->spec.ranks) - 1
                                                                     : 1u << a->rank);
    return true;
}

/* Which step may be taken at once and alone: partial-order reduction without a model of the protocol.
 *
 * A step of agent p may be taken alone when nothing that the others can do while p stands still depends on it
 * (a persistent set of one step; Godefroid 1996). Persistent sets preserve every deadlock, and need no cycle
 * condition for that; they preserve nothing about fairness, so no liveness property is checked on top.
 *
 * What the others can do is not guessed: the step sources are run ahead without p, until all others wait. One
 * run covers every schedule because memory keeps what any of them may read: a row that was stored in this
 * run, or that another CTA of the rank may still poll, stays readable when it is cleared. So each wait for
 * rows that some schedule passes without p is passed here too, and since a CTA's way is decided by its waits
 * and by the flags of its own rank, all steps that are possible without p are met. The completion of a kernel
 * only ever enables steps, so it needs no place in a footprint.
 *
 * Assumptions, and what is done where they fail:
 *  - flags of a rank are changed by one stream only, in stream order, and each arrival counts once:
 *    hl_space_is_reducible() refuses two streams on one workspace and the mutants that break this;
 *  - flags of other ranks (trtllm's barrier) do not return, while p stands still, to a value that a CTA waits
 * to see gone: otherwise the step is not taken alone;
 *  - where room is short, CTAs that start take it from each other: a start is not taken alone. The run lets
 * all of them start, which is more than any schedule can, and a CTA that has started needs no more room;
 *  - the run ends: otherwise (a rank that can go on for ever without p) the step is not taken alone.
 *
 * With relaxed memory, what a CTA sends and what is delivered of it are steps of different agents. To send
 * touches no workspace: nobody but the deliveries of the same flight depends on it, and those cannot come
 * before. A delivery is a store to the peer's workspace, compared as any other store is: the peer may wait
 * for it (then nothing depends on it yet), or may clear that row meanwhile (then both orders are searched).
 * That a CTA ends and that a release is seen only when all before it has been seen is enabled by deliveries,
 * never taken back by one. The run delivers at once whatever it can: a word that is readable in some schedule
 * is readable in the run, because a row that was delivered in the run stays so when it is cleared, however
 * the two are ordered; and a flag that comes back to a value that a CTA waits to see gone ends the run,
 * whether it was stored or delivered. */
#include <string.h>
#include "space.h"

static bool overlap(const struct hl_touch *a, const struct hl_touch *b)
{
    if (a->stride == 1 && b->stride == 1)
        return a->at - b->at < b->count || b->at - a->at < a->count;
    const struct hl_touch *wide = a->stride > b->stride ? a : b, *other = wide == a ? b : a;
    for (uint32_t i = 0; i < other->count; i++) {
        const uint32_t offset = other->at + i * other->stride - wide->at;
        if (offset < wide->count * wide->stride && offset % wide->stride == 0)
            return true;
    }
    return false;
}

/* Whatever words they touch. */
static bool commute(const struct hl_touch *x, const struct hl_touch *y)
{
    const bool x_loads = x->kind <= HL_TOUCH_LOAD_UNLESS, y_loads = y->kind <= HL_TOUCH_LOAD_UNLESS;
    if (x_loads && y_loads)
        return true;
    if (x->kind == HL_TOUCH_LOAD_UNLESS || y->kind == HL_TOUCH_LOAD_UNLESS)
        return x->value != HL_VALUE_ANY && y->value != HL_VALUE_ANY && x->value != y->value;
    return x->kind == HL_TOUCH_ADD && y->kind == HL_TOUCH_ADD;
}

bool hl_footprints_conflict(const struct hl_footprint *a, int workspace_a, const struct hl_footprint *b,
                            int workspace_b)
{
    if (a->n == HL_TOUCHES_MAX || b->n == HL_TOUCHES_MAX)
        return true; /* not all was noted */
    if (workspace_a != workspace_b)
        return false;
    for (uint32_t i = 0; i < a->n; i++)
        for (uint32_t j = 0; j < b->n; j++) {
            const struct hl_touch *x = &a->touch[i], *y = &b->touch[j];
            if (x->rank == y->rank && !commute(x, y) && overlap(x, y))
                return true;
        }
    return false;
}

static unsigned is_kernel(const struct hl_space_call *call) { return !call->marks && !call->waits; }

bool hl_space_is_reducible(const struct hl_space *s)
{
    switch (s->spec.mutant) {
    case HL_MUTANT_MISSED_ARRIVAL:
    case HL_MUTANT_OVERSHOOT:
    case HL_MUTANT_SHARED_COUNTER:
    case HL_MUTANT_RELAXED_ARRIVAL:
    case HL_MUTANT_EARLY_TRIGGER: return false;
    default: break;
    }
    for (int rank = 0; rank < s->spec.ranks; rank++) {
        unsigned used[HL_SPACE_STREAMS_MAX] = { 0 };
        for (int stream = 0; stream < s->spec.streams; stream++)
            for (uint32_t i = 0; i < s->spec.program[rank][stream].n; i++)
                used[stream] |= is_kernel(&s->spec.program[rank][stream].calls[i])
                                << s->spec.program[rank][stream].calls[i].workspace;
        if (used[0] & used[1])
            return false;
    }
    return true;
}

/* May another CTA of the rank still poll this buffer? One that has not read the flags yet will take the
 * current one. */
static bool is_polled_by_another(const struct hl_space *s, uint32_t agent, uint32_t at)
{
    const struct hl_layout *l = &s->layout[s->touched_workspace];
    const int rank = s->agent[agent].rank;
    const uint32_t buffer = hl_buffer_of(l, at);
    const uint32_t current =
        s->words[s->touched_workspace][rank]
                [l->family == HL_FAMILY_TRTLLM ? (uint32_t)HL_TRTLLM_CURRENT : (uint32_t)HL_MNNVL_CURRENT];
    const uint32_t per_rank = s->ctas / (uint32_t)s->spec.ranks;
    for (uint32_t i = (uint32_t)rank * per_rank; i < (uint32_t)(rank + 1) * per_rank; i++)
        if (i != agent && hl_space_is_running(&s->agent[i]) &&
            (s->agent[i].its_cta->step.buffer == buffer || current == buffer))
            return true;
    return false;
}

/* Notes what the step stored, and keeps rows readable that it cleared while some schedule may read them. */
static void keep_rows(struct hl_space *s, uint32_t agent, const uint32_t *before)
{
    const struct hl_store *store = &s->store;
    if (!store->count || store->at >= s->live[s->touched_workspace])
        return;
    const int w = s->touched_workspace;
    uint32_t *stored = &s->stored[w][store->rank][store->at];
    const bool is_polled = store->clears && is_polled_by_another(s, agent, store->at);
    for (uint32_t i = 0; i < store->count && store->at + i < s->live[w]; i++) {
        if (!store->clears)
            stored[i] = s->ahead_runs;
        else if (is_polled || stored[i] == s->ahead_runs)
            s->words[w][store->rank][store->at + i] = before[i];
    }
}

/* Has the step stored a flag of another rank, and so ended for a CTA there what it waited for? Some schedule
 * lets that CTA go on before; this run would miss it. */
static bool takes_a_flag_back(const struct hl_space *s, int rank)
{
    const struct hl_layout *l = &s->layout[s->touched_workspace];
    if (!s->store.count || s->store.rank == rank || s->store.at < l->barrier_at ||
        l->family != HL_FAMILY_TRTLLM)
        return false;
    const uint32_t per_rank = s->ctas / (uint32_t)s->spec.ranks, first = (uint32_t)s->store.rank * per_rank;
    const struct hl_touch *stored = &s->footprint.touch[0];
    const uint32_t last = s->words[s->touched_workspace][s->store.rank][HL_TRTLLM_BARRIER_FLAG];
    for (uint32_t i = first; i < first + per_rank; i++) {
        const struct hl_space_cta *cta = s->agent[i].its_cta;
        /* A CTA of a two-shot reads the last flag in the step that triggers. It waits for a flag to leave the
         * one before. */
        const bool has_read = cta->triggered && hl_space_is_running(&s->agent[i]) &&
                              hl_space_call(&s->agent[i])->protocol == HL_TRTLLM_TWOSHOT;
        const uint32_t flag = has_read ? cta->step.flag : last;
        const uint32_t word = hl_trtllm_barrier_flag(l, s->agent[i].cta, (uint32_t)rank);
        const bool waits_for_kernel = s->agent[i].kernel && !cta->triggered;
        if (hl_space_is_running(&s->agent[i]) && !waits_for_kernel && (flag + 2) % 3 == stored->value &&
            word >= stored->at && (word - stored->at) % stored->stride == 0)
            return true;
    }
    return false;
}

/* Runs one agent until it waits. False: a step conflicts, or the run has gone too far. */
static bool run_agent(struct hl_space *s, uint32_t agent, uint32_t *p, const struct hl_footprint *footprint,
                      int workspace, uint32_t *steps_left, bool *ret_went)
{
    const struct hl_space_agent *a = &s->agent[agent];
    const int rank = a->rank;
    uint32_t kept[HL_SPACE_WORKSPACES_MAX][HL_SPACE_LIVE_MAX]; /* which word a clear hits is known too late */
    if (a->flight && !a->flight->halves)
        return true;
    for (;;) {
        if (!hl_space_is_running(a))
            return true;
        for (int w = 0; w < s->spec.workspaces; w++)
            memcpy(kept[w], s->words[w][rank], s->live[w] * sizeof(uint32_t));
        if (hl_space_call(a)->fills)
            return false; /* it would take away what some schedule reads */
        if (!hl_space_step(s, agent))
            return true;
        *ret_went = true;
        if (--*steps_left == 0 ||
            hl_footprints_conflict(footprint, workspace, &s->footprint, s->touched_workspace))
            return false;
        if (takes_a_flag_back(s, rank))
            return false;
        if (!s->retired)
            keep_rows(s, agent, &kept[s->touched_workspace][s->store.clears ? s->store.at : 0]);
        if (s->retired) {
            if (rank == s->agent[*p].rank && a->stream == s->agent[*p].stream)
                *p -= (uint32_t)s->retired * s->ctas_max * (*p < s->ctas ? 1 : 2 * s->flights);
            return true;
        }
    }
}

bool hl_space_may_go_ahead(struct hl_space *s, const unsigned char *state, uint32_t agent,
                           const struct hl_footprint *footprint, int workspace)
{
    if (s->started || footprint->n == 0)
        return !s->started;
    const struct hl_footprint own = *footprint;
    bool conflicts = false;
    uint32_t steps_left = s->agents * 16 * (uint32_t)(s->spec.ranks + 4); /* some calls of every CTA */
    s->ahead_runs++;
    hl_space_load(s, state);
    s->base = NULL;
    s->has_all_room = true;
    for (bool went = true; went && !conflicts;) {
        went = false;
        for (uint32_t a = 0; a < s->agents && !conflicts; a++)
            conflicts = a != agent && !run_agent(s, a, &agent, &own, workspace, &steps_left, &went);
    }
    s->has_all_room = false;
    return !conflicts;
}

bool hl_space_ends_without(struct hl_space *s, const unsigned char *state, int rank, int stream)
{
    const struct hl_footprint nothing = { 0 };
    const uint32_t all = (uint32_t)s->kernels * s->ctas_max,
                   first = (uint32_t)(rank * s->spec.streams + stream) * all;
    uint32_t stands = first, steps_left = s->agents * 16 * (uint32_t)(s->spec.ranks + 4);
    bool ends = true;
    s->ahead_runs++;
    hl_space_load(s, state);
    s->base = NULL;
    s->has_all_room = true;
    for (bool went = true; went && ends;) {
        went = false;
        for (uint32_t a = 0; a < s->agents && ends; a++)
            ends =
                (a >= first && a < first + all) || run_agent(s, a, &stands, &nothing, 0, &steps_left, &went);
    }
    s->has_all_room = false;
    return ends;
}

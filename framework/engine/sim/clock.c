/* Virtual time; see clock.h.
 *
 * Durations are round figures of an H200 (h200-measurements: about 3 us an eager launch, 15 us a graph
 * launch, 3 to 15 us a call) with jitter, so that ranks drift apart as they do on a machine. One step in 256
 * takes 2^0 to 2^11 times as long: rare long pauses find what even pace hides (after rr's chaos mode). */
#include "clock.h"
#include <stdlib.h>

/* Nanoseconds of a step, before jitter. */
enum {
    CTA_STEP_NS = 100,
    LANE_STEP_NS = 300,
    FILLER_NS = 4000,
    HOST_STEP_NS = 200,
    EAGER_LAUNCH_NS = 3000,
    GRAPH_LAUNCH_NS = 12000,
    WAKE_NS = 150,
    FLIGHT_NS = 600,
};

struct scheduled {
    uint64_t time_ns;
    uint32_t tie; /* random, so that equal times have no favourite */
    uint32_t agent;
};

struct hl_clock {
    struct hl_sim *sim;
    uint64_t now_ns, steps, random;
    uint32_t pace[HL_RANKS_MAX]; /* of each rank, in 1/16: some ranks are slower throughout a run */
    struct scheduled *heap;      /* binary, earliest first */
    uint32_t n;
    bool *is_scheduled; /* [agent] */
};

static uint64_t draw(struct hl_clock *c)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return c->random;
}

static bool earlier(const struct scheduled *a, const struct scheduled *b)
{
    return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->tie < b->tie;
}

static void push(struct hl_clock *c, uint32_t agent, uint64_t time_ns, uint32_t tie)
{
    const struct scheduled item = { time_ns, tie, agent };
    uint32_t i = c->n++;
    for (; i && earlier(&item, &c->heap[(i - 1) / 2]); i = (i - 1) / 2)
        c->heap[i] = c->heap[(i - 1) / 2];
    c->heap[i] = item;
    c->is_scheduled[agent] = true;
}

/* Moves `item` down from the root of a heap of c->n items. */
static void sink(struct hl_clock *c, struct scheduled item)
{
    uint32_t i = 0;
    for (uint32_t child; (child = 2 * i + 1) < c->n; i = child) {
        child += child + 1 < c->n && earlier(&c->heap[child + 1], &c->heap[child]);
        if (!earlier(&c->heap[child], &item))
            break;
        c->heap[i] = c->heap[child];
    }
    c->heap[i] = item;
}

static int rank_of(const struct hl_sim *s, uint32_t agent)
{
    if (agent < (uint32_t)s->ranks)
        return (int)agent;
    if (agent < hl_sim_first_cta(s))
        return hl_sim_lane_rank(s, agent - (uint32_t)s->ranks);
    if (agent >= hl_sim_first_flight(s))
        return (int)((agent - hl_sim_first_flight(s)) / HL_SIM_FLIGHTS);
    return s->cx[(agent - hl_sim_first_cta(s)) / s->ctas_max].rank;
}

static uint64_t host_step_ns(const struct hl_sim *s, int rank)
{
    const struct hl_rank_program *p = &s->program->rank[rank];
    if (s->hosts[rank].op >= p->n_ops)
        return HOST_STEP_NS;
    const struct hl_op *op = hl_sim_op(s, rank, s->hosts[rank].op);
    switch (op->kind) {
    case HL_OP_GRAPH_LAUNCH: return GRAPH_LAUNCH_NS;
    case HL_OP_CALL:
    case HL_OP_FILLER:
    case HL_OP_COPY:
    case HL_OP_WORKSPACE_INIT: return s->hosts[rank].capturing == HL_NONE ? EAGER_LAUNCH_NS : HOST_STEP_NS;
    default: return HOST_STEP_NS;
    }
}

/* A host sleeps exactly as long as it was told: pace and jitter are those of work. */
static uint64_t sleep_ns(const struct hl_sim *s, uint32_t agent)
{
    if (agent >= (uint32_t)s->ranks || s->hosts[agent].op >= s->program->rank[agent].n_ops)
        return 0;
    const struct hl_op *op = hl_sim_op(s, (int)agent, s->hosts[agent].op);
    return op->kind == HL_OP_HOST_DELAY ? op->delay_ns : 0;
}

/* How long the step takes that `agent` is about to do. */
static uint64_t step_ns(const struct hl_sim *s, uint32_t agent)
{
    if (agent < (uint32_t)s->ranks)
        return host_step_ns(s, (int)agent);
    if (agent >= hl_sim_first_flight(s))
        return FLIGHT_NS;
    if (agent >= hl_sim_first_cta(s))
        return CTA_STEP_NS;
    const uint32_t lane = agent - (uint32_t)s->ranks;
    const struct hl_sim_lane *l = &s->lane[lane];
    if (!l->running || l->cursor >= l->end)
        return LANE_STEP_NS;
    return hl_sim_op(s, hl_sim_lane_rank(s, lane), l->cursor)->kind == HL_OP_FILLER ? FILLER_NS
                                                                                    : LANE_STEP_NS;
}

static void schedule(struct hl_clock *c, uint32_t agent, uint64_t base_ns)
{
    if (c->is_scheduled[agent])
        return;
    const uint64_t random = draw(c);
    uint64_t ns = base_ns * c->pace[rank_of(c->sim, agent)] / 16;
    ns = ns / 2 + (ns * (random & 0xffff) >> 16); /* half to one and a half times */
    if ((random >> 16 & 0xff) == 0)
        ns <<= (random >> 24) % 12;
    push(c, agent, c->now_ns + sleep_ns(c->sim, agent) + ns + 1, (uint32_t)(random >> 32));
}

enum hl_status hl_clock_create(struct hl_sim *sim, uint64_t seed, struct hl_clock **ret_clock,
                               struct hl_error *error)
{
    struct hl_clock *c = calloc(1, sizeof *c);
    if (c) {
        c->heap = calloc(sim->n_agents, sizeof *c->heap);
        c->is_scheduled = calloc(sim->n_agents, sizeof *c->is_scheduled);
    }
    if (!c || !c->heap || !c->is_scheduled) {
        hl_clock_destroy(c);
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for the simulator's clock");
    }
    c->sim = sim;
    c->random = seed ^ 0x2545f4914f6cdd1du;
    if (!c->random)
        c->random = 1;
    for (int i = 0; i < 8; i++)
        draw(c);
    for (int rank = 0; rank < sim->ranks; rank++)
        c->pace[rank] = 16 + (uint32_t)(draw(c) % 16);
    for (int rank = 0; rank < sim->ranks; rank++)
        schedule(c, (uint32_t)rank, HOST_STEP_NS);
    *ret_clock = c;
    return HL_STATUS_OK;
}

void hl_clock_destroy(struct hl_clock *c)
{
    if (!c)
        return;
    free(c->heap);
    free(c->is_scheduled);
    free(c);
}

bool hl_clock_run(struct hl_clock *c, uint64_t until_ns)
{
    struct hl_sim *s = c->sim;
    while (c->n && c->heap[0].time_ns <= until_ns) {
        const uint32_t agent = c->heap[0].agent;
        s->now_ns = c->now_ns = c->heap[0].time_ns;
        c->is_scheduled[agent] = false;
        sink(c, c->heap[--c->n]);
        const enum hl_sim_result result = hl_sim_step(s, agent);
        c->steps += result != HL_SIM_BLOCKED;
        if (result == HL_SIM_RAN)
            schedule(c, agent, step_ns(s, agent));
        for (uint32_t i = 0; i < s->n_woken; i++)
            schedule(c, s->woken[i], s->woken[i] >= hl_sim_first_flight(s) ? FLIGHT_NS : WAKE_NS);
    }
    if (c->n)
        c->now_ns = until_ns;
    return c->n != 0;
}

uint64_t hl_clock_now_ns(const struct hl_clock *c) { return c->now_ns; }
uint64_t hl_clock_steps(const struct hl_clock *c) { return c->steps; }

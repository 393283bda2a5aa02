/* Relaxed memory: what a rank stores to a peer is on its way for a while.
 *
 * Stores of one CTA are seen in any order, each in two 8-byte halves of every 16 bytes (the hardware promises
 * no more), until the CTA releases or ends: then all that it stored before is seen first. Two stores to the
 * same words stay in order. The own rank sees its stores at once: only peers can be late. */
#include "sim.h"

static struct hl_sim_flight *flight_of(const struct hl_sim *s, int rank, uint32_t index)
{
    return &s->flights[(uint32_t)rank * HL_SIM_FLIGHTS + index];
}
static uint32_t *words_of(const struct hl_sim *s, const struct hl_sim_flight *f)
{
    return s->flight_words + (size_t)(f - s->flights) * 2 * s->layout[0].row_words;
}
static int source_of(const struct hl_sim *s, const struct hl_sim_flight *f)
{
    return (int)((f - s->flights) / HL_SIM_FLIGHTS);
}

/* The lower half first: a wait that looks at the first word only then takes the whole for arrived. */
static void deliver_half(struct hl_sim *s, struct hl_sim_flight *f)
{
    const uint32_t half = f->halves & 1 ? 0 : 1;
    uint32_t *to = hl_sim_workspace(s, f->workspace, f->rank) + f->at;
    const uint32_t *from = words_of(s, f);
    for (uint32_t i = 0; i < f->count; i++)
        if (i / 2 % 2 == half)
            to[i] = from[i];
    f->halves &= (uint8_t) ~(1u << half);
    const struct hl_store store = { .rank = f->rank, .at = f->at, .count = f->count };
    hl_sim_stored(s, f->workspace, &store, source_of(s, f), f->call);
    if (!f->halves)
        f->owner = 0;
}

static void deliver(struct hl_sim *s, struct hl_sim_flight *f)
{
    while (f->owner)
        deliver_half(s, f);
}

uint32_t *hl_sim_outbox(struct hl_sim *s, int rank)
{
    for (uint32_t i = 0; i < HL_SIM_FLIGHTS; i++)
        if (!flight_of(s, rank, i)->owner)
            return words_of(s, flight_of(s, rank, i));
    deliver(s, flight_of(s, rank, 0));
    return words_of(s, flight_of(s, rank, 0));
}

void hl_sim_post(struct hl_sim *s, uint32_t cta, const struct hl_cx *cx, int workspace)
{
    const struct hl_store *store = &cx->store;
    const uint32_t index =
        (uint32_t)((size_t)(cx->outbox - s->flight_words) / (2 * s->layout[0].row_words) % HL_SIM_FLIGHTS);
    for (uint32_t i = 0; i < HL_SIM_FLIGHTS; i++) {
        struct hl_sim_flight *f = flight_of(s, cx->rank, i);
        if (f->owner && f->rank == store->rank && f->workspace == workspace &&
            f->at < store->at + store->count && store->at < f->at + f->count)
            deliver(s, f);
    }
    *flight_of(s, cx->rank, index) = (struct hl_sim_flight){ .owner = cta + 1,
                                                             .at = store->at,
                                                             .count = store->count,
                                                             .call = cx->call,
                                                             .rank = (uint8_t)store->rank,
                                                             .workspace = (uint8_t)workspace,
                                                             .halves = cx->outbox_halves };
    hl_sim_wake(s, hl_sim_first_flight(s) + (uint32_t)cx->rank * HL_SIM_FLIGHTS + index);
}

void hl_sim_deliver_all(struct hl_sim *s, int rank, uint32_t cta)
{
    for (uint32_t i = 0; i < HL_SIM_FLIGHTS; i++)
        if (flight_of(s, rank, i)->owner == cta + 1)
            deliver(s, flight_of(s, rank, i));
}

enum hl_sim_result hl_sim_flight_step(struct hl_sim *s, uint32_t flight)
{
    struct hl_sim_flight *f = &s->flights[flight];
    if (!f->owner)
        return HL_SIM_BLOCKED;
    deliver_half(s, f);
    return f->owner ? HL_SIM_RAN : HL_SIM_DONE;
}

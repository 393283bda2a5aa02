/* Relaxed memory: what a CTA stores to a peer is on its way for a while, and its delivery is a step of its
 * own.
 *
 * The stores of a CTA are seen in any order, each in two 8-byte halves of every 16 bytes (PTX promises no
 * more of vector accesses), with three exceptions: two stores to the same words are seen in their order
 * (coherence); a release is not seen before anything that the CTA sent before it, but is itself on its way
 * like any other store, while the CTA goes on; and a CTA does not end before all that it sent has been seen.
 * Its own rank sees a store at once, so that only peers can be late. Deliveries never wait for anything but
 * other deliveries, so a state that hangs has nothing on its way.
 *
 * A flight has the place that its number among the stores of its kernel's CTA gives it: which flights there
 * are depends on what was delivered, not on the order of that, so a state has one form only. */
#include <assert.h>
#include <string.h>
#include "space.h"

static struct hl_space_flight *flight_of(const struct hl_space *s, const struct hl_space_agent *a, uint32_t i)
{
    return (struct hl_space_flight *)(a->its_regs + s->row_words + i * s->flight_words);
}
static uint32_t *words_of(struct hl_space_flight *f) { return (uint32_t *)(f + 1); }

uint32_t hl_space_flights_of(const struct hl_space *s, const struct hl_space_call *call)
{
    const enum hl_kernel kernel = hl_protocol_kernels(call->protocol).kernels[0];
    const uint32_t others = (uint32_t)s->spec.ranks - 1,
                   ctas = call->ctas[0] ? call->ctas[0] : hl_kernel_ctas(kernel, call->tokens, s->spec.sms),
                   tokens = hl_div_up(call->tokens, ctas),
                   part = hl_div_up(hl_div_up(call->tokens, others + 1), ctas);
    const uint32_t extra = s->spec.mutant == HL_MUTANT_STRAY_STORE,
                   parts_of_a_store = s->spec.mutant == HL_MUTANT_TORN_STORE ? 2 : 1;
    switch (call->protocol) {
    case HL_MNNVL_TWOSHOT: return (tokens + tokens * others) * parts_of_a_store;
    case HL_TRTLLM_TWOSHOT: return part * others + 2 * others; /* and two barriers */
    case HL_NORM_ONLY: return 0;
    default: return (tokens * others + extra) * parts_of_a_store;
    }
}

void hl_space_open_outbox(const struct hl_space *s, const struct hl_space_agent *a, struct hl_cx *cx)
{
    const uint32_t next = a->its_cta->sent < s->flights ? a->its_cta->sent : s->flights - 1;
    cx->outbox = words_of(flight_of(s, a, next)); /* a CTA that has sent all leaves it alone */
    cx->outbox_halves = 0;
    cx->delays_flags = true;
    cx->outbox_flags = cx->releases = false;
}

void hl_space_send(struct hl_space *s, const struct hl_space_agent *a, struct hl_cx *cx)
{
    if (!cx->outbox_halves && !cx->outbox_flags)
        return;
    assert(a->its_cta->sent < s->flights);
    struct hl_space_flight *f = flight_of(s, a, a->its_cta->sent++);
    *f = (struct hl_space_flight){ .at = cx->store.at,
                                   .rank = (uint8_t)cx->store.rank,
                                   .halves = cx->outbox_flags ? 1 : cx->outbox_halves,
                                   .count = cx->outbox_flags ? 0 : (uint8_t)cx->store.count,
                                   .is_release = cx->releases };
    s->sent = cx->store;
    cx->store.count = 0;
}

bool hl_space_has_flights(const struct hl_space *s, const struct hl_space_agent *a)
{
    for (uint32_t i = 0; i < a->its_cta->sent; i++)
        if (flight_of(s, a, i)->halves)
            return true;
    return false;
}

/* Must the half wait for an earlier flight? */
static bool comes_behind(const struct hl_space_flight *f, uint32_t half,
                         const struct hl_space_flight *earlier)
{
    if (!earlier->halves)
        return false;
    if (f->is_release)
        return true;
    if (f->rank != earlier->rank || !f->count != !earlier->count)
        return false;
    return !f->count || ((earlier->halves >> half & 1) && f->at < earlier->at + earlier->count &&
                         earlier->at < f->at + f->count);
}

static void deliver_half(struct hl_space *s, struct hl_space_flight *f, uint32_t half, const struct hl_cx *cx)
{
    const uint32_t *from = words_of(f);
    uint32_t *to = cx->workspace[f->rank] + f->at;
    for (uint32_t i = 2 * half; i < f->count; i += 4) {
        to[i] = from[i];
        to[i + 1] = from[i + 1];
        hl_touch(cx, HL_TOUCH_STORE, f->rank, f->at + i, 2, 1);
    }
    s->store = (struct hl_store){ f->rank, f->at + 2 * half, f->count - 2 * half, false };
}

bool hl_space_deliver(struct hl_space *s, uint32_t agent)
{
    const struct hl_space_agent *a = &s->agent[agent];
    const uint32_t half = hl_space_half_of(s, agent);
    struct hl_space_flight *f = a->flight;
    if (!(f->halves >> half & 1))
        return false;
    for (uint32_t i = 0; flight_of(s, a, i) < f; i++)
        if (comes_behind(f, half, flight_of(s, a, i)))
            return false;
    struct hl_cx *cx = hl_space_agent_cx(s, a);
    s->touched_workspace = hl_space_call(a)->workspace;
    if (f->count) {
        deliver_half(s, f, half, cx);
    } else {
        cx->cta = a->cta;
        hl_put_flags(cx, f->rank, *words_of(f));
        s->store = cx->store;
    }
    f->halves &= (uint8_t) ~(1u << half);
    if (!f->halves)
        memset(f, 0, s->flight_words * sizeof(uint32_t));
    return true;
}

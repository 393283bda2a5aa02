/* Room on a GPU: which CTA may start, under the promise of the space.
 *
 * Kernels are dispatched one after the other, in the order of their launches, and no kernel begins to start
 * while another has begun and not ended to: so at most one is started in part. Which of several that wait is
 * the first is not decided by their launches, because a launch may always come later; a search takes each. */
#include "space.h"

static bool is_on_same_gpu(const struct hl_space *s, const struct hl_space_agent *a,
                           const struct hl_space_agent *b)
{
    return s->spec.one_gpu || a->rank == b->rank;
}

/* Does the CTA hold up another: of its kernel, or of one that must be started before? Two kernels have begun
 * only where the first CTA of one was started without room: they do not hold up each other. */
static bool comes_before(const struct hl_space *s, const struct hl_space_agent *other,
                         const struct hl_space_agent *a, bool is_its_turn)
{
    if (other->its_kernel == a->its_kernel)
        return s->spec.promise == HL_PROMISE_LOBE && other->cta < a->cta;
    if (other->rank == a->rank && other->stream == a->stream)
        return other->kernel < a->kernel;
    return is_its_turn;
}

static bool has_begun(const struct hl_space_agent *a)
{
    for (uint32_t cta = 0; cta < a->its_kernel->ctas; cta++)
        if (a->its_cta[(ptrdiff_t)cta - (ptrdiff_t)a->cta].started)
            return true;
    return false;
}

bool hl_space_may_start(const struct hl_space *s, const struct hl_space_agent *a)
{
    uint32_t used = 0;
    bool is_first = true, waits = false;
    if (s->has_all_room)
        return true;
    const bool begun = has_begun(a);
    for (uint32_t i = 0; i < s->ctas; i++) {
        const struct hl_space_agent *other = &s->agent[i];
        if (!is_on_same_gpu(s, a, other) || !hl_space_is_running(other) || other == a)
            continue;
        used += other->its_cta->started;
        is_first &= i > (uint32_t)(a - s->agent);
        waits |= !other->its_cta->started && comes_before(s, other, a, !begun && has_begun(other));
    }
    if (s->spec.promise == HL_PROMISE_HSA_OBE && is_first && used >= s->spec.room)
        return true;
    return used < s->spec.room && !waits;
}

bool hl_space_is_crowded(const struct hl_space *s)
{
    return s->spec.promise != HL_PROMISE_FAIR &&
           s->ctas / (s->spec.one_gpu ? 1u : (uint32_t)s->spec.ranks) > s->spec.room;
}

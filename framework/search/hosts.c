/* Hosts and streams: what may start, starts at once.
 *
 * A host's step, an event and a launch only ever allow others to go on, and nothing that anybody does takes
 * that away again: they commute with every step. So each is taken together with the step that allowed it, and
 * no schedule is lost: a host that is late only makes others wait that would do the same later (a persistent
 * set of one step, see ahead.c). What a late host could keep from happening is not searched: a host that
 * waits for an idle device waits as long as it may, and one that dies does so when it has nothing more in
 * flight. */
#include <string.h>
#include "space.h"

static int kernels_of_call(const struct hl_space_call *call)
{
    return call->fills ? 1 : hl_protocol_kernels(call->protocol).count;
}

/* Takes the entry off the list. */
static void pass(struct hl_space *s, int rank, int stream)
{
    const struct hl_space_stream_program *p = &s->spec.program[rank][stream];
    struct hl_space_stream *q = hl_space_stream(s, rank, stream);
    q->which = 0;
    q->next++;
    if (q->next == p->n && p->loop_to != UINT32_MAX) {
        q->next = (uint16_t)p->loop_to;
        s->came_round = true;
        q->lap ^= s->has_laps;
    }
    if (s->spec.host[rank].n)
        hl_space_host(s, rank)->enqueued[stream]--;
}

static bool has_passed(const struct hl_space *s, int rank, const struct hl_space_call *wait)
{
    return wait->for_entry != HL_SPACE_NEVER &&
           hl_space_stream(s, rank, wait->for_stream)->next > wait->for_entry;
}

/* Under a tool that serialises, a kernel starts when no other one runs, and none beside it. */
static bool is_kept_back(const struct hl_space *s, int rank, int stream, const struct hl_space_call *call)
{
    for (int r = 0; r < s->spec.ranks; r++)
        for (int other = 0; other < s->spec.streams; other++) {
            const struct hl_space_kernel *kernels = hl_space_kernels(s, r, other);
            const struct hl_space_stream *q = hl_space_stream(s, r, other);
            if ((r != rank || other != stream) && q->in_flight &&
                (call->alone || s->spec.program[r][other].calls[kernels[0].call].alone))
                return true;
        }
    return false;
}

/* Starts the kernel, or passes the event, that is next. */
static bool start_next(struct hl_space *s, int rank, int stream)
{
    const struct hl_space_stream_program *p = &s->spec.program[rank][stream];
    struct hl_space_stream *q = hl_space_stream(s, rank, stream);
    struct hl_space_kernel *kernels = hl_space_kernels(s, rank, stream);
    if (q->next >= p->n || (s->spec.host[rank].n && !hl_space_host(s, rank)->enqueued[stream]))
        return false;
    const struct hl_space_call *call = &p->calls[q->next];
    if (call->marks || call->waits) {
        if (q->in_flight || (call->waits && !has_passed(s, rank, call)))
            return false;
        pass(s, rank, stream);
        return true;
    }
    const struct hl_space_kernel *before = q->in_flight ? &kernels[q->in_flight - 1] : NULL;
    if (q->in_flight == s->kernels || (s->spec.serialises && is_kept_back(s, rank, stream, call)) ||
        (before && (call->fills || (call->fences && !q->which) || before->triggered < before->ctas)))
        return false;
    kernels[q->in_flight++] = (struct hl_space_kernel){
        .call = q->next,
        .which = q->which,
        .number = q->number[call->workspace],
        .lap = q->lap,
        .ctas = call->fills ? 1 : (uint8_t)hl_space_cx(s, rank, stream, q->next, q->which)->ctas
    };
    if (++q->which < kernels_of_call(call))
        return true;
    if (HL_MUTANT_COUNTS_CALLS(s->spec.mutant) && q->number[call->workspace] < s->numbers_max && !call->fills)
        q->number[call->workspace]++;
    pass(s, rank, stream);
    return true;
}

static bool is_idle(const struct hl_space *s, int rank, int stream)
{
    return !hl_space_stream(s, rank, stream)->in_flight && !hl_space_host(s, rank)->enqueued[stream];
}

static uint32_t barriers_of(const struct hl_space *s, int rank)
{
    return s->barriers[(size_t)rank * (HL_SPACE_STOPS_MAX + 1) + hl_space_host(s, rank)->stop];
}

static bool runs_kernels(const struct hl_space *s, int rank)
{
    for (int stream = 0; stream < s->spec.streams; stream++)
        if (hl_space_stream(s, rank, stream)->in_flight)
            return true;
    return false;
}

static bool is_met(const struct hl_space *s, int rank, const struct hl_space_stop *stop)
{
    const uint32_t all = (1u << s->spec.ranks) - 1, group = stop->group ? stop->group : all;
    bool met = group >> s->spec.ranks == 0;
    switch (stop->kind) {
    case HL_STOP_EARLY: return true;
    case HL_STOP_SYNC: return is_idle(s, rank, stop->stream);
    case HL_STOP_BARRIER:
        for (int r = 0; r < s->spec.ranks; r++)
            met &= !(group >> r & 1) || barriers_of(s, r) >= barriers_of(s, rank);
        return met;
    case HL_STOP_IDLE:
        for (int r = 0; r < s->spec.ranks; r++)
            if ((s->spec.one_gpu || r == rank) && runs_kernels(s, r))
                return false;
        return true;
    default: return false;
    }
}

static bool pass_stop(struct hl_space *s, int rank)
{
    const struct hl_space_host_program *p = &s->spec.host[rank];
    struct hl_space_host *host = hl_space_host(s, rank);
    if (host->stop >= p->n || !is_met(s, rank, &p->stops[host->stop]))
        return false;
    host->stop++;
    if (host->stop == p->n && p->loop_to != UINT32_MAX)
        host->stop = (uint16_t)p->loop_to;
    for (int stream = 0; host->stop < p->n && stream < s->spec.streams; stream++)
        host->enqueued[stream] += p->stops[host->stop].enqueues[stream];
    return true;
}

static bool move_rank(struct hl_space *s, int rank)
{
    bool moved = false, went = true;
    while (went) {
        went = false;
        for (int stream = 0; stream < s->spec.streams; stream++)
            while (start_next(s, rank, stream))
                went = true;
        while (pass_stop(s, rank))
            went = true;
        moved |= went;
    }
    return moved;
}

/* Moves these ranks, and all others as long as that lets anybody go on. */
void hl_space_move_hosts(struct hl_space *s, uint32_t ranks)
{
    while (ranks) {
        const int rank = __builtin_ctz(ranks);
        ranks &= ranks - 1;
        if (!move_rank(s, rank))
            continue;
        s->changed_ranks |= 1u << rank;
        if (s->spec.host[rank].n)
            ranks |= ((1u << s->spec.ranks) - 1) & ~(1u << rank);
    }
}

void hl_space_count_barriers(struct hl_space *s)
{
    for (int rank = 0; rank < s->spec.ranks; rank++) {
        const struct hl_space_host_program *p = &s->spec.host[rank];
        uint16_t *barriers = s->barriers + (size_t)rank * (HL_SPACE_STOPS_MAX + 1), n = 0;
        for (uint32_t i = 0; i < p->n; i++) {
            n += p->stops[i].kind == HL_STOP_BARRIER || p->stops[i].kind == HL_STOP_EARLY;
            barriers[i] = n;
        }
        barriers[p->n] = n;
    }
}

bool hl_space_ended(const struct hl_space *s)
{
    for (int rank = 0; rank < s->spec.ranks; rank++) {
        const struct hl_space_host_program *p = &s->spec.host[rank];
        const uint32_t stop = p->n ? hl_space_host(s, rank)->stop : 0;
        if (p->n && stop < p->n && p->stops[stop].kind == HL_STOP_DEATH)
            continue;
        if (stop < p->n && p->stops[stop].kind != HL_STOP_END)
            return false;
        for (int stream = 0; stream < s->spec.streams; stream++)
            if (p->n ? !is_idle(s, rank, stream) : hl_space_stream(s, rank, stream)->in_flight != 0)
                return false;
    }
    return true;
}

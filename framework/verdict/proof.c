/* The largest set of calls and hosts none of which can go on while the others cannot: all that wait are
 * assumed stuck, and whoever has nothing but open edges, or edges that are final only if somebody else were
 * stuck, is taken out again, until nothing changes.
 *
 * A host counts only where the feed says what it waits for: a stream with a call that never ends, or a
 * barrier to which somebody never comes. One that sleeps, computes or waits for a lock may always go on.
 */
#include "proof.h"
#include "waits.h"

const char *hl_edge_end_name(enum hl_edge_end end)
{
    switch (end) {
#define X(id, name, doc) \
    case id: return name;
        HL_EDGE_ENDS(X)
#undef X
    }
    return "?";
}

const char *hl_edge_end_doc(enum hl_edge_end end)
{
    switch (end) {
#define X(id, name, doc) \
    case id: return doc;
        HL_EDGE_ENDS(X)
#undef X
    }
    return "?";
}

const char *hl_host_end_name(enum hl_host_end end)
{
    switch (end) {
#define X(id, name, doc) \
    case id: return name;
        HL_HOST_ENDS(X)
#undef X
    }
    return "?";
}

const char *hl_host_end_doc(enum hl_host_end end)
{
    switch (end) {
#define X(id, name, doc) \
    case id: return doc;
        HL_HOST_ENDS(X)
#undef X
    }
    return "?";
}

static bool has_edge(const struct hl_proof *proof, const struct hl_slot_evidence *slot)
{
    for (int i = 0; i < proof->n_edges; i++) {
        const struct hl_edge *edge = &proof->edges[i];
        if (edge->rank == slot->rank && edge->source == slot->source && edge->workspace == slot->workspace &&
            edge->call == slot->call && edge->refused == (slot->state == HL_SLOT_REFUSED))
            return true;
    }
    return false;
}

static void collect_edges(const struct hl_evidence *evidence, struct hl_proof *proof)
{
    for (uint32_t i = 0; i < evidence->n_slots && proof->n_edges < HL_EDGES_MAX; i++) {
        const struct hl_slot_evidence *slot = &evidence->slots[i];
        if (slot->state == HL_SLOT_ARRIVED || slot->stage == HL_STAGE_ARRIVALS || has_edge(proof, slot))
            continue;
        proof->edges[proof->n_edges++] = (struct hl_edge){ .rank = slot->rank,
                                                           .source = slot->source,
                                                           .workspace = slot->workspace,
                                                           .call = slot->call,
                                                           .stage = slot->stage,
                                                           .refused = slot->state == HL_SLOT_REFUSED };
    }
}

/* Is the source inside a call of that workspace that comes before this one? */
static bool runs_before(const struct hl_evidence *evidence, const struct hl_edge *edge)
{
    const struct hl_rank_evidence *source = &evidence->rank[edge->source];
    for (int i = 0; i < source->n_pending; i++)
        if (source->pending[i].begun_ns != UINT64_MAX &&
            source->pending[i].record.workspace == edge->workspace &&
            source->pending[i].record.call < edge->call)
            return true;
    return false;
}

static enum hl_edge_end end_of(const struct hl_evidence *evidence, const struct hl_edge *edge,
                               const struct hl_proof *assumed)
{
    const struct hl_rank_evidence *source = &evidence->rank[edge->source];
    const bool source_stuck = assumed->stuck >> edge->source & 1;
    if (source->host == HL_HOST_DEAD)
        return HL_EDGE_DEAD;
    if (!hl_has_begun(evidence, edge->source, edge->workspace, edge->call)) {
        const bool issued = hl_has_enqueued(evidence, edge->source, edge->workspace, edge->call);
        if (!issued && source->host == HL_HOST_EXITED)
            return HL_EDGE_OVER;
        if (!issued && assumed->stuck_hosts >> edge->source & 1)
            return HL_EDGE_HELD;
        return source_stuck && runs_before(evidence, edge) ? HL_EDGE_WAITS : HL_EDGE_OPEN;
    }
    if (!hl_pending_find(evidence, edge->source, edge->workspace, edge->call))
        return HL_EDGE_RETIRED;
    return edge->refused && source_stuck ? HL_EDGE_REFUSED : HL_EDGE_OPEN;
}

/*
 * Hosts
 */

/* Does a call that never ends stand on the stream that the host waits for? */
static bool waits_for_stuck_call(const struct hl_evidence *evidence, const struct hl_proof *assumed, int rank)
{
    for (int i = 0; i < assumed->n_edges; i++) {
        const struct hl_edge *edge = &assumed->edges[i];
        const struct hl_pending_call *call =
            edge->rank == rank && edge->end != HL_EDGE_OPEN
                ? hl_pending_find(evidence, rank, edge->workspace, edge->call)
                : NULL;
        if (call && (evidence->rank[rank].wait == HL_HOST_WAIT_DEVICE ||
                     call->launch_stream == evidence->rank[rank].wait_stream))
            return true;
    }
    return false;
}

/* A barrier is met when as many barriers have been come to by all of its ranks. */
static struct hl_host_edge barrier_end(const struct hl_evidence *evidence, const struct hl_proof *assumed,
                                       int rank)
{
    const struct hl_rank_evidence *own = &evidence->rank[rank];
    const uint32_t world = (1u << evidence->ranks) - 1, group = own->group ? own->group : world;
    if (group & ~world)
        return (struct hl_host_edge){ HL_HOST_END_GONE, -1 };
    for (int r = 0; r < evidence->ranks; r++) {
        const struct hl_rank_evidence *other = &evidence->rank[r];
        if (!(group >> r & 1) || other->barriers >= own->barriers)
            continue;
        if (other->host == HL_HOST_DEAD || other->host == HL_HOST_EXITED)
            return (struct hl_host_edge){ HL_HOST_END_GONE, r };
        if (assumed->stuck_hosts >> r & 1)
            return (struct hl_host_edge){ HL_HOST_END_HELD, r };
    }
    return (struct hl_host_edge){ HL_HOST_END_OPEN, -1 };
}

static struct hl_host_edge host_end(const struct hl_evidence *evidence, const struct hl_proof *assumed,
                                    int rank)
{
    struct hl_host_edge edge = { HL_HOST_END_OPEN, -1 };
    const struct hl_rank_evidence *own = &evidence->rank[rank];
    if (!own->waits) /* a host that does not come back from elsewhere is blocked, too, and may sleep */
        return edge;
    if (own->wait == HL_HOST_WAIT_BARRIER)
        return barrier_end(evidence, assumed, rank);
    if ((own->wait == HL_HOST_WAIT_STREAM || own->wait == HL_HOST_WAIT_QUEUE ||
         own->wait == HL_HOST_WAIT_DEVICE) &&
        waits_for_stuck_call(evidence, assumed, rank))
        edge.end = HL_HOST_END_STREAM;
    return edge;
}

/* Takes out whoever may go on if the others cannot. True while that changes anything. */
static bool take_out(const struct hl_evidence *evidence, struct hl_proof *proof)
{
    struct hl_proof *const assumed = proof;
    uint32_t stuck = 0, hosts = 0;
    for (int i = 0; i < proof->n_edges; i++) {
        struct hl_edge *edge = &proof->edges[i];
        edge->end = end_of(evidence, edge, assumed);
        if (edge->end != HL_EDGE_OPEN)
            stuck |= 1u << edge->rank;
    }
    for (int rank = 0; rank < evidence->ranks; rank++) {
        proof->host[rank] = host_end(evidence, assumed, rank);
        if (proof->host[rank].end != HL_HOST_END_OPEN)
            hosts |= 1u << rank;
    }
    const bool changed =
        (stuck & proof->stuck) != proof->stuck || (hosts & proof->stuck_hosts) != proof->stuck_hosts;
    proof->stuck &= stuck;
    proof->stuck_hosts &= hosts;
    return changed;
}

void hl_prove(const struct hl_evidence *evidence, struct hl_proof *ret_proof)
{
    *ret_proof = (struct hl_proof){ 0 };
    if (evidence->records_dropped > 0) /* then a call that is not in flight need not have ended */
        return;
    collect_edges(evidence, ret_proof);
    for (int i = 0; i < ret_proof->n_edges; i++)
        ret_proof->stuck |= 1u << ret_proof->edges[i].rank;
    ret_proof->stuck_hosts = (1u << evidence->ranks) - 1;
    while (take_out(evidence, ret_proof)) {
    }
}

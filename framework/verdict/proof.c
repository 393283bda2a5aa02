/* The largest set of ranks none of which can go on while the others cannot: all that wait are assumed stuck,
 * and whoever has nothing but open edges, or edges that are final only if somebody else were stuck, is taken
 * out again, until nothing changes.
 *
 * A host that is blocked proves nothing by itself: it may sleep, or wait for a lock that somebody gives back.
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

static enum hl_edge_end end_of(const struct hl_evidence *evidence, const struct hl_edge *edge, uint32_t stuck)
{
    const struct hl_rank_evidence *source = &evidence->rank[edge->source];
    const bool source_stuck = stuck >> edge->source & 1;
    if (source->host == HL_HOST_DEAD)
        return HL_EDGE_DEAD;
    if (!hl_has_begun(evidence, edge->source, edge->workspace, edge->call)) {
        const bool issued = hl_has_enqueued(evidence, edge->source, edge->workspace, edge->call);
        if (!issued && source->host == HL_HOST_EXITED)
            return HL_EDGE_OVER;
        return source_stuck && runs_before(evidence, edge) ? HL_EDGE_WAITS : HL_EDGE_OPEN;
    }
    if (!hl_pending_find(evidence, edge->source, edge->workspace, edge->call))
        return HL_EDGE_RETIRED;
    return edge->refused && source_stuck ? HL_EDGE_REFUSED : HL_EDGE_OPEN;
}

void hl_prove(const struct hl_evidence *evidence, struct hl_proof *ret_proof)
{
    uint32_t before;
    ret_proof->n_edges = 0;
    ret_proof->stuck = 0;
    if (evidence->records_dropped > 0) /* then a call that is not in flight need not have ended */
        return;
    collect_edges(evidence, ret_proof);
    for (int i = 0; i < ret_proof->n_edges; i++)
        ret_proof->stuck |= 1u << ret_proof->edges[i].rank;
    do {
        uint32_t still = 0;
        before = ret_proof->stuck;
        for (int i = 0; i < ret_proof->n_edges; i++) {
            struct hl_edge *edge = &ret_proof->edges[i];
            edge->end = end_of(evidence, edge, before);
            if (edge->end != HL_EDGE_OPEN)
                still |= 1u << edge->rank;
        }
        ret_proof->stuck = still & before;
    } while (ret_proof->stuck != before);
}

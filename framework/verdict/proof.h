/* Can a wait on a GPU ever end? Decided where the evidence allows it, from who waits for whom. */
#pragma once
#include "../../watchdog/evidence.h"

/* Why an awaited word never comes; an open edge may still end. X(ID, name, doc) */
#define HL_EDGE_ENDS(X) \
    X(HL_EDGE_OPEN, "open", "its source may still store it, as far as the evidence tells") \
    X(HL_EDGE_DEAD, "dead", "its source is dead") \
    X(HL_EDGE_RETIRED, "retired", "its source has ended that call and stores no more for it") \
    X(HL_EDGE_OVER, "over", "its source's program has ended without that call") \
    X(HL_EDGE_REFUSED, "refused", \
      "it was stored, the wait refuses it, and its source cannot go on to store another") \
    X(HL_EDGE_WAITS, "waits", "its source waits itself, in a call in front of that one") \
    X(HL_EDGE_HELD, "held", \
      "its source's host waits itself, for what never comes, before it issues that call")
enum hl_edge_end { HL_EDGE_ENDS(HL_ENUMERATOR) };
const char *hl_edge_end_name(enum hl_edge_end end);
const char *hl_edge_end_doc(enum hl_edge_end end);

struct hl_edge {
    int rank, source, workspace;
    uint32_t call;
    enum hl_stage stage;
    bool refused;
    enum hl_edge_end end;
};

/* Why a host never leaves its wait. */
#define HL_HOST_ENDS(X) \
    X(HL_HOST_END_OPEN, "open", "it may leave it, as far as the evidence tells") \
    X(HL_HOST_END_STREAM, "stream", "it waits for a stream whose call never ends") \
    X(HL_HOST_END_GONE, "gone", "it waits at a barrier for a rank that has left without it") \
    X(HL_HOST_END_HELD, "held", "it waits at a barrier for a rank whose host never comes to it")
enum hl_host_end { HL_HOST_ENDS(HL_ENUMERATOR) };
const char *hl_host_end_name(enum hl_host_end end);
const char *hl_host_end_doc(enum hl_host_end end);

struct hl_host_edge {
    enum hl_host_end end;
    int source; /* the rank that does not come to its barrier; -1: none, or none of this world */
};

#define HL_EDGES_MAX 256
struct hl_proof {
    struct hl_edge edges[HL_EDGES_MAX]; /* one a rank, source and call */
    int n_edges;
    struct hl_host_edge host[HL_RANKS_MAX];
    /* Ranks that can never go on, a bit each: a call of theirs, and their hosts. None: nothing is proven. */
    uint32_t stuck, stuck_hosts;
};

void hl_prove(const struct hl_evidence *evidence, struct hl_proof *ret_proof);

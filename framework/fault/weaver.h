/* A fault while it is woven in: shared by the file that walks a rank's program and the one that changes its
 * ops. */
#pragma once
#include "../program/ops.h"
#include "places.h"

/* A graph's copy with changes, and the first of its places; they share a launch. */
struct hl_variant {
    uint16_t source, graph;
    uint32_t first, n;
};

struct hl_weaver {
    struct hl_program *program;
    const struct hl_fault *fault;
    uint16_t mark;
    uint64_t delay_ns;       /* the fault's, or drawn */
    const struct hl_op *ops; /* before */
    struct hl_op_list list;  /* after */
    struct hl_places places;
    struct hl_variant *variants;
    uint32_t n_variants;
    uint16_t *launched;             /* [op]: graph that a launch takes now */
    const struct hl_place **struck; /* [op]: place of an op of the host's own list, or NULL */
    uint16_t events;                /* first of two of this fault's own */
    uint16_t block;                 /* of this fault's own, or HL_NONE */
};

/* The op itself, with the fault's mark, unless it has one of an earlier fault. */
void hl_push_marked(struct hl_weaver *w, struct hl_op op);
/* What the host does before an op, its `at`-th. */
void hl_push_before(struct hl_weaver *w, enum hl_op_kind kind, const struct hl_op *before, uint32_t at);
/* The call of a place as the fault has it, and the call beside it. */
void hl_push_changed_call(struct hl_weaver *w, struct hl_op call);
void hl_push_partner(struct hl_weaver *w, const struct hl_place *place);
/* The graph's ops, launched by the host. */
void hl_push_eagerly(struct hl_weaver *w, uint16_t graph);
/* The graph of the same piece of the next size. */
uint16_t hl_other_bucket(const struct hl_weaver *w, uint16_t graph);
/* Gives every rank another workspace in the place of one, as the fault has it; see replace.c. */
enum hl_status hl_weave_replacement(struct hl_weaver *w, struct hl_error *error);
/* Changes a barrier, op `i`, where the fault is about barriers. */
void hl_change_barrier(const struct hl_weaver *w, uint32_t i, struct hl_op *op);

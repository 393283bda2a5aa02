/* Faults: deviations of one rank, woven into its program before the run.
 *
 * Weaving is static, so that a run needs no hooks: a changed call inside a graph becomes a variant of that
 * graph, captured beside it, which takes the place of the graph in the one launch that the fault names. Every
 * change is marked (hl_op.fault), and an engine reports HL_EVENT_FAULT when it executes a marked op. So
 * "woven" and "fired" stay apart, and so do "not drawn in this run" and "could never fire" (enum hl_fate). */
#pragma once
#include "../program/program.h"

/* The catalogue: X(ID of HL_FAULTS, parameters, what it needs to find). */
#define HL_FAULT_CATALOGUE(X) \
    X(HL_FAULT_NONE, "rank", "nothing: the twin of a fault on the same axis") \
    X(HL_FAULT_SKIP_CALL, "rank, call, calls", "the call") \
    X(HL_FAULT_EXTRA_CALL, "rank, call, calls", "the call") \
    X(HL_FAULT_OTHER_SIZE, "rank, call, calls, tokens", "the call, with another number of tokens") \
    X(HL_FAULT_OTHER_STRATEGY, "rank, call, calls", "a fused call; trtllm: with more tokens than ranks") \
    X(HL_FAULT_SWAP_ORDER, "rank, call, calls", \
      "the call and the next one on another workspace (subject.workspaces: 2), in one graph or launched " \
      "one by one") \
    X(HL_FAULT_SECOND_STREAM, "rank, call, calls", \
      "the call and the next one on the same workspace, in one graph or launched one by one") \
    X(HL_FAULT_LATE_MEMSET, "rank, delay", "a workspace with a call") \
    X(HL_FAULT_HOST_DELAY, "rank, call, calls, delay", \
      "the call; in a graph, the host sleeps before its launch") \
    X(HL_FAULT_EARLY_INIT, "rank, delay", \
      "a workspace with a call, and a barrier between its filling and that") \
    X(HL_FAULT_OTHER_BUCKET, "rank, call, calls", "the call in a graph, and a second size") \
    X(HL_FAULT_EAGER_INSTEAD, "rank, call, calls", "the call in a graph") \
    X(HL_FAULT_GRID_MISMATCH, "rank, call, calls", "the call, with a grid of more than one CTA") \
    X(HL_FAULT_KILL_RANK, "rank, call", "the call; in a graph, before its launch") \
    X(HL_FAULT_STOP_RANK, "rank, call", "the call; in a graph, before its launch") \
    X(HL_FAULT_HOST_BLOCK, "rank, call, calls", "the call; in a graph, before its launch") \
    X(HL_FAULT_LONE_BARRIER, "rank, call, calls", "the call; in a graph, before its launch") \
    X(HL_FAULT_WRONG_GROUP, "rank", "a workspace with a call, and a barrier between its filling and that") \
    X(HL_FAULT_FOREIGN_SPIN, "rank, call", "the call, and world.progress: lobe, where room is limited") \
    X(HL_FAULT_SERIALISE_LAUNCHES, "rank, call", "the call; in a graph, before its launch") \
    X(HL_FAULT_ONE_THREAD, "rank, call", "the call; in a graph, before its launch") \
    X(HL_FAULT_CAPTURE_BARRIER, "rank, call", "the call in a graph") \
    X(HL_FAULT_STALL_STREAM, "rank, call", "the call; in a graph, before its launch") \
    X(HL_FAULT_DRIVER_STALL, "rank, call", "the call; in a graph, before its launch") \
    X(HL_FAULT_SHARED_WORKSPACE, "rank, call, calls", "the call") \
    X(HL_FAULT_MOVE_WORKSPACE, "rank, call", "the call in a graph of the second size or a later one") \
    X(HL_FAULT_REALLOC, "rank, call, calls", "the call in a graph; a program with at most two workspaces") \
    X(HL_FAULT_STALE_GRAPH, "rank, call, calls", "the call in a graph; a program with at most two workspaces")

/* What a host does before a call that the fault strikes; HL_OP_KIND_COUNT: nothing, it strikes otherwise. */
enum hl_op_kind hl_fault_host_op(enum hl_fault_kind kind);

const char *hl_fault_parameters(enum hl_fault_kind kind);
const char *hl_fault_needs(enum hl_fault_kind kind);

/* Weaves the faults of program->config into it, in their order, and fills program->fates. `call` counts the
 * rank's calls over all workspaces as the program stands when the fault's turn comes: in the order in which
 * the host issues them, through graph launches, recorded ones not counted. */
enum hl_status hl_faults_weave(struct hl_program *program, uint64_t seed, struct hl_error *error);

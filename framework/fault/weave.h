/* Faults: deviations of one rank, woven into its program before the run.
 *
 * Weaving is static, so that a run needs no hooks: a changed call inside a graph becomes a variant of that
 * graph, captured beside it, which takes the place of the graph in the one launch that the fault names. Every
 * change is marked (hl_op.fault), and an engine reports HL_EVENT_FAULT when it executes a marked op. So
 * "woven" and "fired" stay apart, and so do "not drawn in this run" and "could never fire" (enum hl_fate). */
#pragma once
#include "../program/program.h"

/* What a host does before a call that the fault strikes; HL_OP_KIND_COUNT: nothing, it strikes otherwise. */
enum hl_op_kind hl_fault_host_op(enum hl_fault_kind kind);

/* The keys that it takes, and what it must find in a program: HL_FAULT_CATALOGUE. */
const char *hl_fault_parameters(enum hl_fault_kind kind);
const char *hl_fault_needs(enum hl_fault_kind kind);

/* Weaves the faults of program->config into it, in their order, and fills program->fates. `call` counts the
 * rank's calls over all workspaces as the program stands when the fault's turn comes: in the order in which
 * the host issues them, through graph launches, recorded ones not counted. */
enum hl_status hl_faults_weave(struct hl_program *program, uint64_t seed, struct hl_error *error);

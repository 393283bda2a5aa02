/* A tiny interpreter of rank programs: follows one rank's host through graph launches, tracks which rows of
 * which block anybody has written, and lists the calls that are executed. It runs ops in host order, one at a
 * time. */
#pragma once
#include "../framework/program/program.h"

struct hl_seen_call {
    const struct hl_op *op;
    uint32_t launch;    /* op that issued it: its own, or the graph launch */
    uint32_t unwritten; /* rows of its input that nobody wrote */
    const char *label;  /* phase of the launch */
};

struct hl_walk {
    struct hl_seen_call *calls;
    uint32_t n_calls;
    uint32_t marks; /* bit i: an op marked by fault i was executed */
};

/* Asserts on the way that the program is sound: what is launched was captured, what is used was allocated. */
struct hl_walk hl_walk_rank(const struct hl_program *program, int rank);
void hl_walk_finish(struct hl_walk *walk);

/* A plain configuration: 4 ranks, bf16, hidden 4096, mnnvl, 2 layers, sizes 512 and 64, 8 replays. */
struct hl_config hl_plain_config(enum hl_mode mode);
/* Creates, and fails the test when that fails. */
struct hl_program *hl_must_create(const struct hl_config *config, uint64_t seed);

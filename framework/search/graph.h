/* All states of a space and all steps between them, where they are few enough to keep: for questions about
 * runs that do not end, which no search that leaves steps out can answer. */
#pragma once
#include <signal.h>
#include "explore.h"

struct hl_graph_step {
    uint32_t to;
    uint16_t agent;
};

struct hl_graph {
    uint32_t n, capacity; /* states; 0 is the first one */
    uint32_t *first;      /* [state] of its steps; [n]: how many there are */
    struct hl_graph_step *steps;
    uint32_t n_steps, steps_capacity;
    uint32_t *unfinished;         /* [state] streams that have more to do, a bit each */
    struct hl_graph_step *parent; /* [state] the step that it was met by, from the state `to` */
};

/* The bit of a stream. */
static inline uint32_t hl_graph_stream(const struct hl_space *s, int rank, int stream)
{
    return 1u << (rank * s->spec.streams + stream);
}

/* The streams that have more to do in the working state. */
uint32_t hl_graph_unfinished(const struct hl_space *space);
/* *ret_whole: false when there are more than `states_max` states, or a stop was asked for; then there is no
 * graph. */
enum hl_status hl_graph_make(struct hl_space *space, uint32_t states_max, const volatile sig_atomic_t *stop,
                             struct hl_graph *ret_graph, bool *ret_whole, struct hl_error *error);
void hl_graph_finish(struct hl_graph *graph);

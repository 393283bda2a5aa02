/* What the breadth-first search knows between two states: all of it goes into a checkpoint. */
#pragma once
#include <time.h>
#include "explore.h"
#include "visited.h"

/* A level: states side by side, each with its hash and its number. */
struct hl_level_item {
    struct hl_hash hash;
    uint64_t number;
};
struct hl_level {
    unsigned char *states;
    struct hl_level_item *items;
    size_t n, capacity;
};

/* A step whose state is perhaps new. */
struct hl_pending_step {
    struct hl_hash hash;
    size_t from; /* index in the level */
    uint32_t agent;
};

struct hl_step_to {
    uint32_t parent;
    uint16_t agent;
};

struct hl_search {
    struct hl_space *space;
    const struct hl_explore_options *options;
    struct hl_explored *out;
    struct hl_error *error;
    struct hl_visited table;
    struct hl_level now, next;
    uint64_t now_from;       /* number of its first state */
    size_t at;               /* states of this level before it are done */
    struct hl_step_to *ways; /* [state number] how it was reached */
    size_t ways_capacity;
    struct hl_pending_step *pending;
    uint32_t n_pending;
    uint64_t hang_number;
    struct hl_step_to wrong; /* the first wrong sum or stray store: the state before it, and its step */
    struct timespec start;
};

/* The state before any step, as the next level. */
enum hl_status hl_search_begin(struct hl_search *search);
/* The next level becomes this one. */
void hl_search_next_level(struct hl_search *search);
/* Adds the state that a step leads to from a state of this level, which was met before a checkpoint was
 * written. False in *ret_fits: there is no such step, or it leads nowhere new. */
enum hl_status hl_search_remake(struct hl_search *search, struct hl_step_to way, bool *ret_fits);
void hl_search_finish(struct hl_search *search);

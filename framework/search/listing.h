/* Rank programs as lists of a space: what each host enqueues, and where it waits.
 *
 * Programs have no branches, so graphs are launched here: each launch becomes the entries of its graph,
 * between fences, a branch of it a stretch of the side stream between two events. What a call sends follows
 * from the fills before it in the order in which the host issues them. */
#pragma once
#include "../program/program.h"
#include "space.h"

struct hl_listing_options {
    uint32_t tokens_min,
        tokens_max;    /* token counts become `min`, `min` + 1, .. in ascending order, up to `max` */
    bool splits_grids; /* a CTA for each token, so that half of a grid is less than all of it */
    bool loops;        /* after the last replay go on at an earlier one, for ever */
};

struct hl_listing {
    bool loops;
    uint32_t calls, calls_of_loop; /* of rank 0; once through */
    uint32_t counts;               /* distinct token counts of the program */
    bool merges;                   /* `tokens_max` gives a call that fits the workspace and one that does not
                                    * the same tokens */
};

/* Fills spec->program and spec->host, and spec->streams. */
enum hl_status hl_listing_make(const struct hl_program *program, const struct hl_listing_options *options,
                               struct hl_space_spec *spec, struct hl_listing *ret_listing,
                               struct hl_error *error);

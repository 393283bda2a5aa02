/* Checkpoints: a search that was cut off goes on where it was.
 *
 * A checkpoint is written to a temporary name, fsynced and renamed: whatever happens, the last whole one is
 * there. It begins with what it belongs to, as text: the build, the case and what of it is searched. Another
 * one's is refused, and the first line that differs is the reason. The rest is read by the very build that
 * wrote it, and has a checksum.
 *
 * Of the states only the ways to them are kept, two or three bytes each: from which state, by whose step.
 * That is enough, because a step always leads to the same state; a search that goes on takes each step once
 * more. */
#pragma once
#include <stdio.h>
#include "explore.h"
#include "walk.h"

struct hl_search;

/* What has been done, besides what an exhaustive search has in hand. */
struct hl_checkpoint_done {
    uint64_t payload;    /* the payloads before it are proven free */
    uint64_t is_walking; /* the exhaustive search of it has ended without an answer */
    uint64_t states;     /* of the searches that have ended */
    double seconds;
    struct hl_walked walked; /* without a path */
};

struct hl_checkpoint {
    const char *file;
    const char *identity; /* lines of text */
    struct hl_checkpoint_done done;
    double every_s;    /* at least so long between two; and writing takes at most a tenth of the time */
    char trouble[256]; /* why the last one could not be written: the search goes on; or empty */

    FILE *loaded; /* stands at what the exhaustive search had in hand, until that takes it */
    uint64_t sum;
    double last_s, took_s; /* when, since the search began, the last one was written; how long that took */
};

/* *ret_found: there is such a file, and `done` is as it says. */
enum hl_status hl_checkpoint_load(struct hl_checkpoint *checkpoint, bool *ret_found, struct hl_error *error);
/* Gives a loaded search to hl_explore(), if there is one. */
enum hl_status hl_checkpoint_take(struct hl_checkpoint *checkpoint, struct hl_search *search);
/* `search`: NULL while walking. What goes wrong becomes `trouble`; the last whole one stays. */
void hl_checkpoint_save(struct hl_checkpoint *checkpoint, const struct hl_search *search);
/* The same now and then, `seconds` after the search began. */
void hl_checkpoint_save_if_due(struct hl_checkpoint *checkpoint, const struct hl_search *search,
                               double seconds);
void hl_checkpoint_finish(struct hl_checkpoint *checkpoint);

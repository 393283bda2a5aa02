/* A schedule as a person reads it: a lane for each rank, then who waits for what and why it never comes. */
#pragma once
#include <stdio.h>
#include "explore.h"

struct hl_story {
    uint32_t steps, blocks; /* blocks: steps in a row of one CTA */
    bool hangs;
    char sentence[512]; /* the first wait that never ends */
};

/* What a CTA does in a row. */
struct hl_story_turn {
    int rank, stream, call;
    uint32_t cta, first, steps; /* first: number of its first step */
    const char *kernel;         /* ", norm" of a second kernel, or "" */
    char text[320];             /* "stores to 0, 1 in buffer 2; ends" */
};

struct hl_story_listener {
    void (*turn)(void *user, const struct hl_story_turn *turn);
    void (*wait)(void *user, const char *sentence); /* at the end: each wait that cannot pass */
    void *user;
    uint32_t alone; /* this step and the next are turns of their own; UINT32_MAX: as they come */
    bool each;      /* every step is a turn of its own */
};

/* Replays `path` from the start; of a lasso, the cycle once, and that it is one is checked. Fails when the
 * path does not belong to this space. */
enum hl_status hl_story_tell(struct hl_space *space, const struct hl_path *path,
                             const struct hl_story_listener *listener, struct hl_story *ret_story,
                             struct hl_error *error);
/* Writes it with a lane for each rank. */
enum hl_status hl_story_write(struct hl_space *space, const struct hl_path *path, FILE *out,
                              struct hl_story *ret_story, struct hl_error *error);

/* Schedule files: a head line, what of the case was searched, for a lasso how many of the steps come again
 * and again, then "agent steps" a line. */
struct hl_schedule_of {
    int ranks;
    uint32_t tokens_max, rounds; /* as asked for; 0: as the case has them */
    uint32_t payload;            /* the word of its rows; 0: real data */
    bool programs;               /* the rank programs, not the calls alone */
};
enum hl_status hl_path_write(const struct hl_space *space, const struct hl_path *path, const char *name,
                             const struct hl_schedule_of *of, const char *file, struct hl_error *error);
enum hl_status hl_path_read(const struct hl_space *space, const char *file, struct hl_path *ret_path,
                            struct hl_error *error);
enum hl_status hl_path_read_head(const char *file, struct hl_schedule_of *ret_of, struct hl_error *error);

/* A schedule as a person reads it: a lane for each rank, then who waits for what and why it never comes. */
#pragma once
#include <stdio.h>
#include "explore.h"

struct hl_story {
    uint32_t steps, blocks; /* blocks: steps in a row of one CTA */
    bool hangs;
    char sentence[512]; /* the first wait that never ends */
};

/* Replays `path` from the start and writes its lanes to `out` (NULL: nothing is written). Fails when the
 * path does not belong to this space. */
enum hl_status hl_story_tell(struct hl_space *space, const struct hl_path *path, FILE *out,
                             struct hl_story *ret_story, struct hl_error *error);

/* Schedule files: a head line, then "agent steps" a line. */
enum hl_status hl_path_write(const struct hl_space *space, const struct hl_path *path, const char *name,
                             const char *file, struct hl_error *error);
enum hl_status hl_path_read(const struct hl_space *space, const char *file, struct hl_path *ret_path,
                            struct hl_error *error);

/* results.jsonl: one line a run, for whoever has no SQLite at hand. */
#pragma once
#include <sys/types.h>
#include "store.h"

#define HL_LINES_CHUNK (1u << 20)

struct hl_lines {
    int fd;
    char *buffer;
    size_t buffered, capacity;
    off_t size; /* of the file, without what is in the buffer */
};

/* Cuts off what is beyond `committed` bytes. *ret_complete is false when the file was shorter: then it is
 * empty, to be written anew. False: errno says why. */
bool hl_lines_open(struct hl_lines *lines, const char *path, off_t committed, bool *ret_complete);
bool hl_lines_add(struct hl_lines *lines, const struct hl_stored_run *run, const struct hl_stored_case *c,
                  const struct hl_stored_signature *signature);
/* Writes the buffer to the disk itself. */
bool hl_lines_flush(struct hl_lines *lines);
void hl_lines_close(struct hl_lines *lines);

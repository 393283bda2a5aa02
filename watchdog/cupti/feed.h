/* Recordings of what was written to a page: one line a call, as text, so that a test without a GPU can write
 * the same page again. Recording is for making such tests; nothing else pays for it but a look at a pointer.
 */
#pragma once
#include <stdio.h>
#include "page.h"

extern FILE *hl_feed_out; /* NULL: nothing is recorded */

#define HL_FEED(...) \
    do { \
        if (hl_feed_out) \
            hl_feed_note(__VA_ARGS__); \
    } while (0)
void hl_feed_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Opens a file to record to. 0, or -1 (errno). */
int hl_feed_open(const char *path);
/* Device memory that was read for the supervisor. */
void hl_feed_note_memory(uint64_t address, const void *data, size_t bytes);
/* The same from what has been played. False: it was never read. */
bool hl_feed_memory(uint64_t address, uint32_t bytes, void *ret_data);
/* Writes what was recorded into a page that has been initialised. Returns the number of the first line that
 * makes no sense, or 0. */
int hl_feed_play(FILE *in, struct hl_page *page);

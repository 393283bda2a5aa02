/* The newest events of a run, kept for its bundle. */
#pragma once
#include <stdio.h>
#include "../program/program.h"
#include "../../watchdog/feed.h"

#define HL_TIMELINE_MAX 4096

/* A ring of events, copied without the calls' numbers. */
struct hl_timeline {
    struct hl_timeline_event {
        struct hl_event event;      /* without its pointers */
        struct hl_call_record call; /* valid if has_call */
        bool has_call;
    } events[HL_TIMELINE_MAX];
    uint64_t count; /* all that ever came */
};

void hl_timeline_event(struct hl_timeline *timeline, const struct hl_event *event);

/* Writes them as JSON Lines, oldest first; `program` puts the host's ops into words. -1 when out of memory
 * or the stream failed. */
int hl_timeline_write(const struct hl_timeline *timeline, const struct hl_program *program, FILE *out);

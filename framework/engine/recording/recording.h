/* Recordings: the feed of one run and all that the watchdog looked at, in one file, so that watchdog, oracle
 * and classifier can be run on it again where the engine is not.
 *
 * A file is lines of text, `key: value` each, an empty line, and then three blocks of bytes whose sizes the
 * lines give: the case as a scenario file, the events, and the answers of the probe (format.h). Rows are kept
 * for the oracle as long as they are few; buffers only where the watchdog read them. */
#pragma once
#include "../engine.h"
#include "format.h"

/* Where a recording comes from: for people, and to compare verdicts. */
struct hl_recording_header {
    char engine[16], geometry[16];
    char date[32], machine[128], build[64], command[256];
    char verdict[32], cause[48];
    uint64_t seed;
    uint64_t calls, calls_with_rows; /* ended, over all ranks */
};

struct hl_recording {
    struct hl_recording_header header;
    enum hl_run_state state; /* at the end */
    char crash[256];
    uint64_t end_ns;
    int ranks, workspaces;
    struct hl_layout layout[HL_RECORDED_WORKSPACES_MAX];
    enum hl_compare compare;
    struct hl_bytes scenario, events, answers;
};

void hl_recording_finish(struct hl_recording *recording);

/* Reads a file. A mistake in it is told with its place. */
enum hl_status hl_recording_read(const char *path, struct hl_recording *ret_recording,
                                 struct hl_error *error);
/* Writes a file: whole, or not at all. */
enum hl_status hl_recording_write(const char *path, const struct hl_recording *recording,
                                  struct hl_error *error);

/* An engine that runs another one and records it; one at a time. Rows are kept up to `rows_bytes`. */
const struct hl_engine *hl_recorder_begin(const struct hl_engine *engine, uint64_t rows_bytes);
/* Hands out what the last run left; the caller finishes it. False: out of memory on the way. */
bool hl_recorder_end(struct hl_recording *ret_recording);

/* An engine that plays a recording, which must outlive it; one at a time. */
const struct hl_engine *hl_replay(const struct hl_recording *recording);

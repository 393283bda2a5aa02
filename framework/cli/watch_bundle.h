/* What `hanglab watch` leaves behind of a stall: one bundle for all processes. */
#pragma once
#include "../../watchdog/cupti/device.h"
#include "hanglab/error.h"
#include "hanglab/verdict.h"

/* A process at the stall. */
struct hl_watch_process {
    int rank; /* as its launcher numbers it, -1: not known */
    char command[256];
    struct hl_device_evidence device;
    char *stack;    /* of all its threads; NULL: could not be read */
    char *timeline; /* its last launches, as JSON Lines; NULL: out of memory */
};

struct hl_watch_report {
    const char *title; /* the command as it was given */
    const char *name;  /* of the program, for the folder */
    int number;        /* of the stall, from 0 */
    struct hl_watch_process *processes;
    int n;
    uint64_t time_ns; /* since the start of the command */
    uint64_t stalled_ns;
    uint64_t threshold_ns;
    uint64_t asked_ns, stacks_ns; /* what collecting took: answers of the processes, and their stacks */
    uint64_t resumed_ns;          /* it went on after so long: slow, and not a hang; 0: it has not */
};

/* The last launches of all streams of a process, in the order of time, a JSON object a line. NULL when out of
 * memory. */
char *hl_watch_timeline(const struct hl_page *page, int process);

/* Cause, certainty and a sentence: what the evidence decides. */
void hl_watch_classify(const struct hl_watch_report *report, struct hl_finding *ret_finding);

/* Writes OUT/evidence/watch-<name>/<number>. */
enum hl_status hl_watch_bundle_write(const struct hl_watch_report *report, const char *out_dir,
                                     char **ret_path, struct hl_error *error);

/* What `hanglab watch` leaves behind of a stall: one bundle for all processes. */
#pragma once
#include <jansson.h>
#include <limits.h>
#include "../../watchdog/core/core.h"
#include "../../watchdog/cupti/device.h"
#include "../../watchdog/known/world.h"
#include "hanglab/error.h"
#include "hanglab/verdict.h"

/* A process at the stall. */
struct hl_watch_process {
    int rank; /* as its launcher numbers it, -1: not known */
    char command[256];
    struct hl_device_evidence device;
    char *stack;    /* of all its threads; NULL: could not be read */
    char *timeline; /* its last launches, as JSON Lines; NULL: out of memory */
    /* Of its GPU, with detail core: */
    struct hl_core core;
    bool has_core;
    char core_why[256];       /* "": not asked for; else why there is none */
    char core_path[PATH_MAX]; /* of the dump itself, "" none */
};

struct hl_watch_report {
    const char *title; /* the command as it was given */
    const char *name;  /* of the program, for the folder */
    int number;        /* of the stall, from 0 */
    struct hl_watch_process *processes;
    int n;
    struct hl_worlds worlds; /* of known collectives */
    uint64_t time_ns;        /* since the start of the command */
    uint64_t stalled_ns;
    uint64_t threshold_ns;
    /* What collecting took: memory of the device, answers of the processes, and their stacks. */
    uint64_t reading_ns, asked_ns, stacks_ns;
    uint64_t resumed_ns; /* it went on after so long: slow, and not a hang; 0: it has not */
};

/* The last launches of all streams of a process, in the order of time, a JSON object a line. NULL when out of
 * memory. */
char *hl_watch_timeline(const struct hl_page *page, int process);

/* Cause, certainty and a sentence: what the evidence decides. */
void hl_watch_classify(const struct hl_watch_report *report, struct hl_finding *ret_finding);

/* The same from known collectives. False: none hangs, or their evidence does not say why. */
bool hl_watch_classify_worlds(const struct hl_watch_report *report, struct hl_finding *ret_finding);
/* The world of known collectives that hangs, the one that tells most; NULL: none. */
const struct hl_known_world *hl_watch_hung_world(const struct hl_watch_report *report);
/* Adds what is known of collectives to the verdict. */
void hl_watch_add_worlds(const struct hl_watch_report *report, json_t *json);

/* Writes OUT/evidence/watch-<name>/<number>. */
enum hl_status hl_watch_bundle_write(const struct hl_watch_report *report, const char *out_dir,
                                     char **ret_path, struct hl_error *error);

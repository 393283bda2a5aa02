/* A hang that explore found, as a scenario that brings it about where nobody chooses the schedule.
 *
 * A run cannot be told to take a schedule, but hosts can be made late, and that decides who waits for whom: a
 * rank that comes last to a call finds all its peers waiting for it alone, so that they are gone as soon as
 * they have its row. Which delay brings the hang is not guessed: candidates about the ranks and calls that
 * decide (decide.h) are run, and the one that hangs most often is taken; its rate is then measured in runs of
 * its own. */
#pragma once
#include "trial.h"

struct hl_steer_options {
    const struct hl_scenario *scenario;
    const struct hl_case *c;
    int ranks;                /* of the search */
    bool decides;             /* these two steps decide: */
    int rank[2], call[2];     /* of the first, and of the second */
    const char *step_text[2]; /* what they do */
    hl_trial_function trial;
    void *trial_user;
    const char *engine; /* of the trial */
};

struct hl_steered {
    struct hl_config config;
    struct hl_likeness likeness; /* of its hangs; verdict pass: it never hung */
    char what[160];              /* what steers it */
    int tried;                   /* candidates */
    int before_hits, before_runs;
    int hits, runs; /* in runs that decided nothing */
};

enum hl_status hl_steer(const struct hl_steer_options *options, struct hl_steered *ret_steered,
                        struct hl_error *error);
/* As a scenario file, whose comments say where it comes from. */
enum hl_status hl_steer_write(const struct hl_steer_options *options, const struct hl_steered *steered,
                              const char *path, struct hl_error *error);

/* minimize: the smallest scenario that still hangs in the same way.
 *
 * Everything that can be left out or turned down (changes.h) is tried by counter-based delta debugging
 * (cdd.h) and by bisection of numbers, round after round until no single step is left. A hang may be rare, so
 * each question is a sequential test: "about as often as the original" (at least 0.6 times) against "much
 * more rarely, or never" (at most 0.3 times), with stated errors. A candidate is written as a scenario file
 * and read back before it runs: what was tested is what the resulting file says. */
#pragma once
#include "changes.h"
#include "trial.h"

struct hl_minimize_options {
    const struct hl_scenario *scenario;
    const struct hl_case *c;
    hl_trial_function trial;
    void *trial_user;
    int cause;            /* enum hl_cause that the hang must have, or -1: the most frequent one's */
    double error;         /* of each answer; 0: 0.001 */
    double time_budget_s; /* ends with the best found so far; 0: no limit */
    int runs_max;         /* to see the original hang at all; 0: 1000 */
    void *user;
    /* Told each answered question; may be NULL. */
    void (*on_question)(void *user, const char *what, bool still_hangs, int hits, int runs);
};

/* Something that turned out necessary, and what the runs without it showed. */
struct hl_minimize_need {
    char what[HL_CHANGE_TEXT_MAX];
    char instead[HL_CHANGE_TEXT_MAX]; /* the next smaller thing, with which it does not hang like that */
    int hits, runs;
    bool refused; /* with that, the scenario cannot run */
};

/* X(ID, name, doc) */
#define HL_MINIMIZE_ENDS(X) \
    X(HL_MINIMIZE_MINIMAL, "minimal", "no single further step keeps the hang") \
    X(HL_MINIMIZE_CUT_SHORT, "cut-short", "the time was up: smaller than it was, perhaps not minimal") \
    X(HL_MINIMIZE_NO_HANG, "no-hang", "the original did not hang, so there is nothing to minimize")
enum hl_minimize_end { HL_MINIMIZE_ENDS(HL_ENUMERATOR) HL_MINIMIZE_END_COUNT };

struct hl_minimize_result {
    enum hl_minimize_end end;
    struct hl_likeness likeness; /* of the hang */
    struct hl_config config;
    int before_hits, before_runs; /* of the original */
    int after_hits, after_runs;   /* of the result, in runs that decided nothing else */
    char (*removed)[2 * HL_CHANGE_TEXT_MAX];
    int n_removed;
    struct hl_minimize_need *needs;
    int n_needs;
    int questions, cached; /* asked; and answered from memory */
    long runs;             /* all of them */
    double wall_s;
};

/* Fails only for hanglab's own reasons, or when the original cannot run at all. */
enum hl_status hl_minimize(const struct hl_minimize_options *options, struct hl_minimize_result *ret_result,
                           struct hl_error *error);
void hl_minimize_result_finish(struct hl_minimize_result *result);

/* The result as a scenario file, whose comments say what was removed and what is necessary; it expects the
 * hang, and has as many runs as show it with 99.9 %. Whole or absent. */
enum hl_status hl_minimize_write(const struct hl_minimize_options *options,
                                 const struct hl_minimize_result *result, const char *path,
                                 struct hl_error *error);

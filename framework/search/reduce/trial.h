/* Trials: runs of a case, each reduced to what must stay the same when its scenario is changed.
 *
 * minimize and bisect ask "does this still hang in the same way?". The same way is a likeness: verdict,
 * cause, stage, and what kind of thing the culprit is. Ranks, calls, places and values are left out, even
 * those that the signature of a campaign keeps: they move whenever the scenario shrinks. */
#pragma once
#include "../../campaign/run.h"

/* X(ID, name, doc): the most precise thing that a finding blames. */
#define HL_BLAMES(X) \
    X(HL_BLAME_NOBODY, "nobody", "no culprit is named") \
    X(HL_BLAME_RANK, "rank", "a rank") \
    X(HL_BLAME_CALL, "call", "a call of a rank") \
    X(HL_BLAME_SLOT, "slot", "a slot of a call")
enum hl_blame { HL_BLAMES(HL_ENUMERATOR) HL_BLAME_COUNT };

struct hl_likeness {
    enum hl_verdict verdict;
    enum hl_cause cause;
    int stage; /* enum hl_stage, or -1 */
    enum hl_blame blame;
};

struct hl_likeness hl_likeness_of(const struct hl_finding *finding);
bool hl_likeness_is_same(const struct hl_likeness *a, const struct hl_likeness *b);
/* "hang, sentinel-collision, stage oneshot, a slot to blame" */
void hl_likeness_describe(const struct hl_likeness *signature, char *text, size_t size);

/* Makes runs first .. first + n - 1 of a case; their likenesses depend on the case and the run's number
 * only. HL_STATUS_USAGE: this case cannot run at all. */
typedef enum hl_status (*hl_trial_function)(void *user, const struct hl_scenario *scenario,
                                            const struct hl_case *c, int first, int n,
                                            struct hl_likeness *ret_likenesses, struct hl_error *error);

/* Trials on an engine, in worker processes: what a run does to its process stays there. */
struct hl_trial_lab {
    struct hl_run_options run;
    int jobs;
    bool interrupted; /* set when SIGINT or SIGTERM ended a trial: it then fails */
};
/* An hl_trial_function; `user` is a struct hl_trial_lab. */
enum hl_status hl_trial_run(void *user, const struct hl_scenario *scenario, const struct hl_case *c,
                            int first, int n, struct hl_likeness *ret_likenesses, struct hl_error *error);

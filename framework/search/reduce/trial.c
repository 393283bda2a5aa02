/* Trials on an engine: the pool's records become likenesses. */
#include "trial.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../campaign/pool.h"
#include "../../scenario/words.h"

struct hl_likeness hl_likeness_of(const struct hl_finding *finding)
{
    const struct hl_culprit *culprit = &finding->culprit;
    struct hl_likeness likeness = { .verdict = finding->verdict, .stage = -1 };
    if (finding->verdict >= HL_VERDICT_INCONCLUSIVE)
        return likeness;
    likeness.cause = finding->cause;
    likeness.stage = culprit->stage;
    likeness.blame = culprit->slot_token >= 0 ? HL_BLAME_SLOT
                     : culprit->call >= 0     ? HL_BLAME_CALL
                     : culprit->rank >= 0     ? HL_BLAME_RANK
                                              : HL_BLAME_NOBODY;
    return likeness;
}

bool hl_likeness_is_same(const struct hl_likeness *a, const struct hl_likeness *b)
{
    return a->verdict == b->verdict && a->cause == b->cause && a->stage == b->stage && a->blame == b->blame;
}

void hl_likeness_describe(const struct hl_likeness *likeness, char *text, size_t size)
{
#define NAME(id, name, doc) name,
    static const char *const blames[] = { HL_BLAMES(NAME) };
#undef NAME
    const char *verdict = hl_words_name(&hl_words_verdicts, likeness->verdict);
    if (likeness->verdict >= HL_VERDICT_INCONCLUSIVE) {
        snprintf(text, size, "%s", verdict);
        return;
    }
    const char *stage = likeness->stage < 0 ? NULL : hl_words_name(&hl_words_stages, likeness->stage);
    snprintf(text, size, "%s, %s%s%s, %s to blame", verdict, hl_words_name(&hl_words_causes, likeness->cause),
             stage ? ", stage " : "", stage ? stage : "", blames[likeness->blame]);
}

/* What a worker sends back. */
struct record {
    struct hl_likeness likeness;
    enum hl_status status;
    struct hl_error error;
};

struct trial {
    struct hl_trial_lab *lab;
    const struct hl_scenario *scenario;
    const struct hl_case *c;
    int first;
    struct hl_likeness *likenesses;
    enum hl_status status; /* of the first run that failed */
    struct hl_error *error;
};

static void *work(void *user, size_t index, size_t *ret_size)
{
    const struct trial *trial = user;
    struct record *record = calloc(1, sizeof *record);
    struct hl_run_result result;
    if (!record)
        return NULL;
    record->status = hl_run_once(trial->scenario, trial->c, &trial->lab->run, trial->first + (int)index,
                                 HL_VERDICT_SKIPPED, &result, &record->error);
    if (record->status == HL_STATUS_OK) {
        record->likeness = hl_likeness_of(&result.finding);
        hl_run_result_finish(&result);
    }
    *ret_size = sizeof *record;
    return record;
}

static void deliver(void *user, const struct hl_pool_result *result)
{
    struct trial *trial = user;
    struct hl_likeness *likeness = &trial->likenesses[result->index];
    *likeness = (struct hl_likeness){ .verdict = HL_VERDICT_CRASH, .stage = -1 };
    if (result->outcome != HL_POOL_DONE)
        return; /* crashed; or not started, and then the trial fails as a whole */
    const struct record *record = result->record;
    assert(result->size == sizeof *record);
    *likeness = record->likeness;
    if (record->status == HL_STATUS_OK || trial->status != HL_STATUS_OK)
        return;
    trial->status = record->status;
    if (trial->error)
        *trial->error = record->error;
}

enum hl_status hl_trial_run(void *user, const struct hl_scenario *scenario, const struct hl_case *c,
                            int first, int n, struct hl_likeness *ret_likenesses, struct hl_error *error)
{
    struct hl_trial_lab *lab = user;
    struct trial trial = { lab, scenario, c, first, ret_likenesses, HL_STATUS_OK, error };
    const struct hl_pool pool = {
        .n_tasks = (size_t)n, .jobs = lab->jobs, .user = &trial, .work = work, .deliver = deliver
    };
    const enum hl_status status = hl_pool_run(&pool, &lab->interrupted, error);
    if (status != HL_STATUS_OK)
        return status;
    if (lab->interrupted)
        return hl_fail(error, HL_STATUS_INTERNAL, "interrupted");
    return trial.status;
}

/* Cases in, results out: the pool's records, its crashes and its skipped tasks become case results. */
#include "campaign.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pool.h"
#include "../scenario/clock.h"

struct conductor {
    struct hl_campaign *campaign;
    double begun_s;
};

/* A record is the result itself, which a fork of the same process can read, and the bundle's path. */
static void *work(void *user, size_t index, size_t *ret_size)
{
    const struct conductor *conductor = user;
    const struct hl_campaign_item *item = &conductor->campaign->items[index];
    struct hl_case_result result;
    struct hl_error error;
    const enum hl_status status =
        hl_case_run(item->scenario, item->c, &conductor->campaign->run, &result, &error);
    if (status != HL_STATUS_OK) {
        result = (struct hl_case_result){ .verdict = HL_VERDICT_INCONCLUSIVE, .status = status };
        snprintf(result.reason, sizeof result.reason, "%.*s", (int)sizeof result.reason - 1, error.message);
    }
    const size_t path_size = result.evidence ? strlen(result.evidence) + 1 : 0;
    char *record = malloc(sizeof result + path_size);
    if (record) {
        memcpy(record, &result, sizeof result);
        if (path_size)
            memcpy(record + sizeof result, result.evidence, path_size);
        *ret_size = sizeof result + path_size;
    }
    hl_case_result_finish(&result);
    return record;
}

static void leave(void *user)
{
    const struct conductor *conductor = user;
    hl_engine_leave(conductor->campaign->run.engine);
}

static void take_record(struct hl_case_result *result, const struct hl_pool_result *from)
{
    assert(from->size >= sizeof *result);
    memcpy(result, from->record, sizeof *result);
    result->evidence = NULL;
    if (from->size > sizeof *result) {
        result->evidence = strdup((const char *)from->record + sizeof *result);
        if (!result->evidence)
            snprintf(result->evidence_error, sizeof result->evidence_error, "out of memory");
    }
}

static void take_crash(struct hl_campaign_item *item, const struct hl_pool_result *from)
{
    struct hl_case_result *result = &item->result;
    *result = (struct hl_case_result){ .verdict = HL_VERDICT_CRASH };
    if (from->signal)
        snprintf(result->reason, sizeof result->reason, "the process of this case died of signal %d (%s)",
                 from->signal, strsignal(from->signal));
    else
        snprintf(result->reason, sizeof result->reason,
                 "the process of this case ended by itself with code %d", from->exit_code);
    result->finding.verdict = HL_VERDICT_CRASH;
    snprintf(result->finding.summary, sizeof result->finding.summary, "%s", result->reason);
    result->ok = hl_case_as_expected(&item->c->expected, result);
}

static void deliver(void *user, const struct hl_pool_result *from)
{
    const struct conductor *conductor = user;
    struct hl_campaign *campaign = conductor->campaign;
    struct hl_campaign_item *item = &campaign->items[from->index];
    switch (from->outcome) {
    case HL_POOL_DONE: take_record(&item->result, from); break;
    case HL_POOL_CRASHED: take_crash(item, from); break;
    case HL_POOL_NOT_STARTED:
        item->result = (struct hl_case_result){ .verdict = HL_VERDICT_SKIPPED };
        snprintf(item->result.reason, sizeof item->result.reason, "%s",
                 from->interrupted ? "interrupted" : "the time budget was spent");
        break;
    }
    campaign->n_finished = from->index + 1;
    campaign->wall_s = hl_now_s() - conductor->begun_s;
    campaign->on_case(campaign->user, campaign, item);
}

static bool may_start(void *user)
{
    const struct conductor *conductor = user;
    const double budget_s = conductor->campaign->time_budget_s;
    return budget_s <= 0 || hl_now_s() - conductor->begun_s < budget_s;
}

static void tick(void *user, size_t finished)
{
    const struct conductor *conductor = user;
    struct hl_campaign *campaign = conductor->campaign;
    campaign->wall_s = hl_now_s() - conductor->begun_s;
    if (campaign->on_tick)
        campaign->on_tick(campaign->user, campaign, finished);
}

enum hl_status hl_campaign_run(struct hl_campaign *campaign, struct hl_error *error)
{
    struct conductor conductor = { campaign, hl_now_s() };
    const struct hl_pool pool = { .n_tasks = campaign->n_items,
                                  .jobs = campaign->jobs,
                                  .user = &conductor,
                                  .work = work,
                                  .leave = leave,
                                  .may_start = may_start,
                                  .deliver = deliver,
                                  .tick = tick };
    const enum hl_status status = hl_pool_run(&pool, &campaign->interrupted, error);
    campaign->wall_s = hl_now_s() - conductor.begun_s;
    return status;
}

void hl_campaign_finish(struct hl_campaign *campaign)
{
    for (size_t i = 0; i < campaign->n_items; i++)
        hl_case_result_finish(&campaign->items[i].result);
    free(campaign->items);
    campaign->items = NULL;
    campaign->n_items = 0;
}

struct hl_campaign_counts hl_campaign_count(const struct hl_campaign *campaign)
{
    struct hl_campaign_counts counts = { 0 };
    for (size_t i = 0; i < campaign->n_finished; i++) {
        const struct hl_case_result *result = &campaign->items[i].result;
        counts.verdicts[result->verdict]++;
        if (result->verdict == HL_VERDICT_SKIPPED)
            counts.skipped++;
        else if (result->ok)
            counts.ok++;
        else
            counts.unexpected++;
    }
    return counts;
}

/* Exit code that one unexpected result asks for, in the order that outranks. */
static int code_of(const struct hl_case_result *result)
{
    if (result->verdict == HL_VERDICT_SKIPPED)
        return 0;
    if (result->ok)
        return result->evidence_error[0] ? hl_status_exit_code(HL_STATUS_IO) : 0;
    switch (result->verdict) {
    case HL_VERDICT_HANG: return 1;
    case HL_VERDICT_INCONCLUSIVE: return result->status == HL_STATUS_USAGE ? 64 : 3;
    default: return 2;
    }
}

int hl_campaign_exit_code(const struct hl_campaign *campaign)
{
    static const int ranking[] = { 1, 2, 3, 64, 99, 0 };
    int best = sizeof ranking / sizeof ranking[0] - 1;
    for (size_t i = 0; i < campaign->n_finished; i++) {
        const int code = code_of(&campaign->items[i].result);
        for (int rank = 0; rank < best; rank++)
            if (ranking[rank] == code)
                best = rank;
    }
    /* Cut short, the campaign has shown nothing about the rest. */
    return ranking[best] == 0 && campaign->interrupted ? 3 : ranking[best];
}

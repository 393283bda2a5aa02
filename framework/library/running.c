/* Settings of the library, checked, and the two ways to run: one case here, or all of them in children. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "../campaign/pool.h"
#include "../engine/engines.h"
#include "library.h"

static enum hl_status check(const struct hl_settings *s, struct hl_error *error)
{
    static const void *const zero[sizeof s->reserved / sizeof *s->reserved];
    if (s->runs < 0 || s->jobs < 0)
        return hl_fail(error, HL_STATUS_USAGE, "hl_settings: runs and jobs are 0 or more, not %d and %d",
                       s->runs, s->jobs);
    if (s->seed > HL_SEED_MAX || s->run_seed > HL_SEED_MAX)
        return hl_fail(error, HL_STATUS_USAGE, "hl_settings: a seed is at most 2^53 - 1");
    if (memcmp(s->reserved, zero, sizeof zero) != 0)
        return hl_fail(error, HL_STATUS_USAGE,
                       "hl_settings: what is reserved must be zero; start from `struct hl_settings s = {0}`");
    return HL_STATUS_OK;
}

static enum hl_status read_settings(const struct hl_settings *settings, struct hl_run_options *ret_options,
                                    struct hl_error *error)
{
    const struct hl_settings all_zero = { 0 }, *s = settings ? settings : &all_zero;
    enum hl_status status = check(s, error);
    struct hl_run_options options = { .seed = s->run_seed ? s->run_seed
                                              : s->seed   ? s->seed
                                                          : 1,
                                      .seed_is_of_run = s->run_seed != 0,
                                      .runs = s->runs,
                                      .out_dir = s->out_dir };
    if (status == HL_STATUS_OK)
        status = hl_find_engine(s->engine ? s->engine : "sim", &options.engine, error);
    if (status == HL_STATUS_OK)
        *ret_options = options;
    return status;
}

/* A GPU takes sizes as they are; the simulator does what the scenario says. */
static struct hl_case as_executed(const struct hl_case *c, const struct hl_engine *engine)
{
    struct hl_case executed = *c;
    if (hl_is_cuda(engine))
        executed.config.geometry = HL_GEOMETRY_FULL;
    return executed;
}

enum hl_status hl_cases_run(const struct hl_cases *cases, size_t index, const struct hl_settings *settings,
                            struct hl_result **ret_result, struct hl_error *error)
{
    assert(index < cases->inputs.n_items);
    const struct hl_campaign_item *item = &cases->inputs.items[index];
    struct hl_run_options options;
    struct hl_case_result result;
    enum hl_status status = read_settings(settings, &options, error);
    if (status != HL_STATUS_OK)
        return status;
    const struct hl_case c = as_executed(item->c, options.engine);
    status = hl_case_run(item->scenario, &c, &options, &result, error);
    if (status != HL_STATUS_OK)
        return status;
    status = hl_result_create(&c, &result, ret_result, error);
    hl_case_result_finish(&result);
    return status;
}

struct listener {
    void (*on_result)(void *user, size_t index, const struct hl_result *result);
    void *user;
    enum hl_status status; /* of telling */
    struct hl_error *error;
};

static void on_case(void *user, const struct hl_campaign *campaign, const struct hl_campaign_item *item)
{
    struct listener *listener = user;
    struct hl_result *result;
    struct hl_case_result copy = item->result;
    if (listener->status != HL_STATUS_OK)
        return;
    copy.evidence = copy.evidence ? strdup(copy.evidence) : NULL;
    listener->status = hl_result_create(item->c, &copy, &result, listener->error);
    hl_case_result_finish(&copy);
    if (listener->status != HL_STATUS_OK)
        return;
    listener->on_result(listener->user, (size_t)(item - campaign->items), result);
    hl_result_destroy(result);
}

enum hl_status hl_cases_run_all(const struct hl_cases *cases, const struct hl_settings *settings,
                                void (*on_result)(void *user, size_t index, const struct hl_result *result),
                                void *user, struct hl_error *error)
{
    const size_t n = cases->inputs.n_items;
    struct listener listener = { on_result, user, HL_STATUS_OK, error };
    struct hl_campaign campaign = { .n_items = n, .user = &listener, .on_case = on_case };
    enum hl_status status = read_settings(settings, &campaign.run, error);
    if (status != HL_STATUS_OK)
        return status;
    const bool cuda = hl_is_cuda(campaign.run.engine);
    campaign.jobs = settings && settings->jobs > 0 ? settings->jobs : cuda ? 1 : hl_pool_default_jobs();
    campaign.items = calloc(n, sizeof *campaign.items);
    struct hl_case *copies = calloc(n, sizeof *copies);
    if (campaign.items && copies) {
        for (size_t i = 0; i < n; i++) {
            copies[i] = as_executed(cases->inputs.items[i].c, campaign.run.engine);
            campaign.items[i] =
                (struct hl_campaign_item){ .scenario = cases->inputs.items[i].scenario, .c = &copies[i] };
        }
        status = hl_campaign_run(&campaign, error);
    } else {
        status = hl_fail(error, HL_STATUS_MEMORY, "out of memory");
        campaign.n_items = 0;
    }
    hl_campaign_finish(&campaign);
    free(copies);
    return status == HL_STATUS_OK ? listener.status : status;
}

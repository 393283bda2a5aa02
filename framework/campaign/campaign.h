/* A campaign: the cases of some scenarios, run in a pool, told in order. */
#pragma once
#include "run.h"

struct hl_campaign_item {
    const struct hl_scenario *scenario;
    const struct hl_case *c;
    struct hl_case_result result; /* of a skipped case: verdict and reason only */
};

struct hl_campaign {
    struct hl_campaign_item *items;
    size_t n_items;
    size_t n_finished; /* items whose result stands; they come in order */
    struct hl_run_options run;
    int jobs;
    double time_budget_s; /* no case starts after it; 0: no limit */
    double wall_s;        /* since hl_campaign_run() began */
    bool interrupted;
    void *user;
    void (*on_case)(void *user, const struct hl_campaign *campaign, const struct hl_campaign_item *item);
    void (*on_tick)(void *user, const struct hl_campaign *campaign, size_t finished); /* may be NULL */
};

/* Runs every item. Results do not depend on `jobs`. Fails only when nothing more can be run at all. */
enum hl_status hl_campaign_run(struct hl_campaign *campaign, struct hl_error *error);
void hl_campaign_finish(struct hl_campaign *campaign);

/* How many items ended so. */
struct hl_campaign_counts {
    size_t verdicts[HL_VERDICT_COUNT];
    size_t ok, unexpected, skipped;
};
struct hl_campaign_counts hl_campaign_count(const struct hl_campaign *campaign);

/* Exit code of the command (design section 10). */
int hl_campaign_exit_code(const struct hl_campaign *campaign);

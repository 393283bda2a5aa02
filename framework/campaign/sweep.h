/* A sweep: the runs of many cases for as long as there is time, every result on disk before it is told.
 *
 * The supervisor decides what runs next (plan.h), workers run it in processes of their own (pool.h), and the
 * supervisor alone writes (store.h). Killed at any moment, a sweep goes on where its last commit was. */
#pragma once
#include "campaign.h"
#include "results.h"

struct hl_sweep {
    /* To be filled in by the caller. */
    const struct hl_campaign_item *items;
    size_t n_items;
    const struct hl_engine *engine;
    const char *out_dir;
    uint64_t seed;
    int jobs;
    double time_budget_s; /* no run starts after it; 0: each case has the runs that its scenario says */
    int shard, shards;    /* 1-based; 1 of 1: everything */
    bool resume;
    double run_limit_s;      /* a run that takes longer is killed; 0: none is */
    uint64_t evidence_bytes; /* of all bundles */
    int evidence_newest;     /* bundles of a signature besides its first one */
    void *user;
    void (*on_tick)(void *user, const struct hl_sweep *sweep); /* after each commit; may be NULL */

    /* Afterwards, and for on_tick(). */
    struct hl_results results;
    uint64_t runs_before; /* that were on disk at the start */
    uint64_t runs;        /* done and on disk since then */
    double wall_s;
    bool interrupted;
    bool evidence_full; /* bundles were left out for want of room */
    char trouble[512];  /* the first run that hanglab itself could not do, or bundle it could not write; or ""
                         */
};

enum hl_status hl_sweep_run(struct hl_sweep *sweep, struct hl_error *error);
void hl_sweep_finish(struct hl_sweep *sweep);

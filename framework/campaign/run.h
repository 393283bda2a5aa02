/* The road for one run and for one case: program, engine, feed, watchdog, oracle, verdict, bundle. */
#pragma once
#include "../engine/engine.h"
#include "../scenario/scenario.h"
#include "../verdict/classifier.h"

struct hl_run_result {
    struct hl_finding finding;
    uint64_t seed;
    uint64_t calls;             /* finished, over all ranks */
    uint64_t virtual_ns;
    char *bundle;               /* path of the evidence bundle, or NULL */
};

struct hl_case_result {
    enum hl_verdict verdict;    /* worst of the runs */
    struct hl_finding finding;  /* of the first run with that verdict */
    uint64_t seed;              /* of that run */
    int runs;
    int counts[HL_VERDICT_COUNT];
    double rate;                /* runs with `verdict` when it is a hang, else hangs / runs */
    double rate_low, rate_high; /* Clopper-Pearson, 95 % */
    bool ok;                    /* as expected */
    char *evidence;             /* bundle of the first such run, or NULL */
    char skip_reason[128];
};

struct hl_run_options {
    const struct hl_engine *engine;
    uint64_t seed;
    int runs;                   /* 0: as the scenario says */
    const char *out_dir;        /* where evidence goes; NULL: write none */
};

/* Runs a case. Fails only for hanglab's own reasons or a configuration that cannot run. */
enum hl_status hl_case_run(const struct hl_scenario *scenario, const struct hl_case *c,
                           const struct hl_run_options *options, struct hl_case_result *ret_result,
                           struct hl_error *error);
void hl_case_result_finish(struct hl_case_result *result);

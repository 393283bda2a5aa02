/* The road for one run and for one case: program, engine, feed, watchdog, oracle, verdict, bundle. */
#pragma once
#include "../engine/engine.h"
#include "../scenario/scenario.h"
#include "../verdict/classifier.h"
#include "signature.h"

/* Sizes of the calls: as the scenario says, and as the engine executed them. */
struct hl_sizes {
    uint32_t hidden;
    uint32_t tokens_max;
};

struct hl_run_result {
    struct hl_finding finding; /* inconclusive: its summary says why */
    struct hl_signature signature;
    uint64_t seed;
    uint64_t calls;         /* finished, over all ranks */
    uint64_t calls_checked; /* of them by the oracle */
    uint32_t faults_fired;  /* bit per fault of the configuration */
    uint64_t virtual_ns;
    struct hl_sizes real, executed;
    char *bundle;           /* path of the evidence bundle, or NULL */
    char bundle_error[256]; /* why there is none although there should be */
};

struct hl_case_result {
    enum hl_verdict verdict;   /* worst of the runs */
    struct hl_finding finding; /* of the first run with that verdict */
    uint64_t seed;             /* of that run */
    int run;                   /* its index */
    int runs;
    int counts[HL_VERDICT_COUNT];
    int causes[HL_CAUSE_COUNT]; /* of the runs with that verdict */
    double rate;                /* hangs / runs */
    double rate_low, rate_high; /* Clopper-Pearson, 95 % */
    bool ok;                    /* as expected */
    struct hl_sizes real, executed;
    char *evidence;           /* bundle of that run, or NULL */
    char evidence_error[256]; /* why there is none although there should be */
    char reason[512];         /* skipped, inconclusive and crash: why */
    enum hl_status status;    /* not OK: the case could not be run, `reason` says why */
};

struct hl_run_options {
    const struct hl_engine *engine;
    uint64_t seed;
    bool seed_is_of_run; /* `seed` is the seed of the one run itself: how a run is reproduced */
    int runs;            /* 0: as the scenario says */
    const char *out_dir; /* where evidence goes; NULL: write none */
    /* Asked before a bundle is written; NULL: always. */
    bool (*wants_bundle)(void *user, const struct hl_run_result *result);
    void *user;
};

/* Seeds stay below 2^53, so that every JSON reader keeps them exact. */
#define HL_SEED_MAX ((1ull << 53) - 1)

/* Seed of a case's run: depends on nothing else, so neither --jobs nor the other cases change it. */
uint64_t hl_run_seed(uint64_t seed, const char *case_id, int run);

/* One run of a case. A bundle is written when the verdict is worse than `worst` and not pass. */
enum hl_status hl_run_once(const struct hl_scenario *scenario, const struct hl_case *c,
                           const struct hl_run_options *options, int run, enum hl_verdict worst,
                           struct hl_run_result *ret_result, struct hl_error *error);
void hl_run_result_finish(struct hl_run_result *result);

/* Runs a case. Fails only for hanglab's own reasons or a configuration that cannot run. */
enum hl_status hl_case_run(const struct hl_scenario *scenario, const struct hl_case *c,
                           const struct hl_run_options *options, struct hl_case_result *ret_result,
                           struct hl_error *error);
void hl_case_result_finish(struct hl_case_result *result);

/* Is the result what the scenario expects: verdict, cause, and rate of the verdict expected? */
bool hl_case_as_expected(const struct hl_expectation *expected, const struct hl_case_result *result);

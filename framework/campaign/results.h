/* What a sweep's runs have shown so far, counted: by case, by signature and by scenario. The same counting
 * goes on while a sweep runs and when its results are read again, so a resumed, merged or compared night says
 * what the night itself would have said.
 *
 * Rates come from regular runs only. Repeats of suspicious cases are there because of earlier results, so
 * they would bend a rate; they are counted beside it. */
#pragma once
#include "hash.h"
#include "statistics.h"
#include "store.h"

enum { HL_REGULAR, HL_REPEAT, HL_RUN_KINDS };

/* How what was expected of a case stands. */
enum hl_standing {
    HL_STANDING_OK,
    HL_STANDING_OPEN,       /* too few runs to say that the failure expected does not show */
    HL_STANDING_MISSED,     /* the failure expected does not show: the pipeline itself may be broken */
    HL_STANDING_UNEXPECTED, /* runs failed that should not have, or in another way, or too often */
};

struct hl_case_results {
    struct hl_hash hash;
    char *id;
    int scenario; /* index */
    int runs;     /* as the scenario says */
    struct hl_expectation expected;
    int counts[HL_RUN_KINDS][HL_VERDICT_COUNT];
    int shown[HL_RUN_KINDS];          /* runs with the failure that is expected */
    int unexpected[HL_VERDICT_COUNT]; /* runs of either kind that failed otherwise */
};

struct hl_signature_results {
    char *text;
    int scenario;
    enum hl_verdict verdict;
    enum hl_cause cause;
    int counts[HL_RUN_KINDS];
    int unexpected;
    int cases, processes; /* that have shown it */
    int first_case;
    char *oldest, *newest; /* bundles that are kept, relative to OUT; or NULL */
};

struct hl_scenario_results {
    char *name;
    int cases;
    int runs[HL_RUN_KINDS], hangs[HL_RUN_KINDS];
    int processes, hung_processes; /* regular runs */
};

struct hl_results {
    struct hl_case_results *cases;
    struct hl_signature_results *signatures;
    struct hl_scenario_results *scenarios;
    int n_cases, n_signatures, n_scenarios;
    struct hl_hash_map case_numbers, signature_numbers, runs, seen; /* seen: pairs that are counted once */
    bool out_of_memory;                                             /* something could not be counted */
    /* Told of each run's bundle, before it is counted; may be NULL. */
    void (*on_evidence)(void *user, int signature, const char *evidence);
    void *user;
};

/* Each finds or adds; *ret_new tells which. -1: out of memory. */
int hl_results_case(struct hl_results *results, const struct hl_stored_case *c, bool *ret_new);
int hl_results_signature(struct hl_results *results, const struct hl_stored_signature *signature,
                         bool *ret_new);
/* Counts a run, once. */
void hl_results_run(struct hl_results *results, const struct hl_stored_run *run);
bool hl_results_have(const struct hl_results *results, struct hl_hash run_id);
void hl_results_finish(struct hl_results *results);

/* Reads a store. The numbers of its cases and signatures become indices. `results` must be empty. */
enum hl_status hl_results_read(struct hl_results *results, struct hl_store *store, struct hl_error *error);

struct hl_stored_case hl_results_stored_case(const struct hl_results *results, int number);
struct hl_stored_signature hl_results_stored_signature(const struct hl_results *results, int number);

/* Is this verdict and cause nothing that a person need look at: a pass, or what the case expects? */
bool hl_is_expected(const struct hl_expectation *expected, enum hl_verdict verdict, enum hl_cause cause);
/* An expectation of a rate is held against an exact interval of this confidence. */
#define HL_STANDING_CONFIDENCE 0.99
enum hl_standing hl_case_standing(const struct hl_case_results *c);
/* Exit code of the command (design section 10). */
int hl_results_exit_code(const struct hl_results *results);

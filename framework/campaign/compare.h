/* Which failures are new, gone, or have another rate, over nights in their order.
 *
 * For each signature of a scenario the hits and regular runs of each night are split at every possible night,
 * and both sides compared by Fisher's exact test. The split with the least p is the first night of the change
 * if its p is below the false-positive rate asked for, divided by the number of all such tests (Bonferroni):
 * so the probability that nights without any change show one is at most that rate, for the whole comparison.
 * After a change the search goes on from it. */
#pragma once
#include "results.h"

/* X(ID, name, doc) */
#define HL_CHANGES(X) \
    X(HL_CHANGE_NEW, "new", "no run before showed it") \
    X(HL_CHANGE_GONE, "gone", "no run shows it any more") \
    X(HL_CHANGE_MORE, "more often", "its rate rose") \
    X(HL_CHANGE_LESS, "less often", "its rate fell")
enum hl_change_kind { HL_CHANGES(HL_ENUMERATOR) HL_CHANGE_COUNT };

const char *hl_change_name(enum hl_change_kind kind);

struct hl_night {
    const char *name; /* OUT */
    struct hl_results results;
};

struct hl_sample {
    int hits, runs;
};

struct hl_change {
    enum hl_change_kind kind;
    const struct hl_signature_results *signature; /* of the night where it is best seen */
    const char *scenario;
    int first, last; /* nights that have the new rate */
    int witness;     /* the night of `signature` */
    struct hl_sample before, after;
    double p;
    bool significant; /* false: new in the last night, but chance may explain it */
    bool unexpected;  /* a failure that its scenario does not expect */
};

struct hl_comparison {
    struct hl_change *changes; /* by night, then as signatures first came */
    int n_changes;
    int n_signatures, n_tests;
    double level; /* what p is held against */
};

enum hl_status hl_compare_nights(const struct hl_night *nights, int n_nights, double false_positives,
                                 struct hl_comparison *ret_comparison, struct hl_error *error);
void hl_comparison_finish(struct hl_comparison *comparison);
/* 1: a hang is new or more often, significantly; 2: another failure is; else 0. */
int hl_comparison_exit_code(const struct hl_comparison *comparison);

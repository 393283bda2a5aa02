/* bisect: from where on along an ordered axis does it hang, when a hang shows only now and then?
 *
 * The oracle is one-sided: a hang proves that a point is bad, a pass proves little. So the places where the
 * badness may begin are hypotheses with probabilities: each point, "the first one already", and "none here".
 * Under each, bad points hang at an unknown rate, which is integrated out over a Beta prior: one rate for all
 * (commits behind the culprit), or one for each (the values of a parameter, where more of it hangs more
 * often). The next runs go where the posterior has its median, as in flake-aware culprit finding (FACF, ICST
 * 2023), until one hypothesis has the confidence asked for. */
#pragma once
#include <stdbool.h>
#include "hanglab/error.h"
#include "../../../kernels/words.h"

/* X(ID, name, doc): what one run of a point shows. */
#define HL_SHOWN(X) \
    X(HL_SHOWN_PASS, "pass", "it did not hang") \
    X(HL_SHOWN_HANG, "hang", "it hung in the way that is looked for") \
    X(HL_SHOWN_NOTHING, "nothing", "it could not run, or failed in another way")
enum hl_shown { HL_SHOWN(HL_ENUMERATOR) HL_SHOWN_COUNT };

struct hl_bisect_question {
    int point, hangs, passes; /* of this question */
    double rate;              /* at which the point hangs if it is bad, so far */
    long runs;                /* so far */
};

struct hl_bisect_options {
    int points; /* 0 .. points - 1, from the good end to the bad one */
    /* Makes runs first .. first + n - 1 of a point. Fails only when nothing more can be done. */
    enum hl_status (*run)(void *user, int point, int first, int n, enum hl_shown *ret_shown,
                          struct hl_error *error);
    void *user;
    double confidence;        /* 0: 0.99 */
    bool rates_differ;        /* each bad point hangs at a rate of its own */
    double rate_min;          /* rarer hangs are not looked for; 0: 0.01 */
    double prior_none;        /* that nothing on the axis begins to hang; 0: 0.3 */
    double prior_first;       /* that the first point hangs already; 0: 0.02 */
    long runs_max;            /* 0: 100000 */
    bool (*stop)(void *user); /* asked before each question; may be NULL */
    /* May be NULL. */
    void (*on_question)(void *user, const struct hl_bisect_question *question);
};

/* X(ID, name, doc) */
#define HL_BISECT_ENDS(X) \
    X(HL_BISECT_FOUND, "found", "it begins to hang at a point of the axis") \
    X(HL_BISECT_FIRST, "first", "the first point hangs already") \
    X(HL_BISECT_NONE, "none", "no point hangs as often as was looked for: no culprit here") \
    X(HL_BISECT_OPEN, "open", "the runs did not decide")
enum hl_bisect_end { HL_BISECT_ENDS(HL_ENUMERATOR) HL_BISECT_END_COUNT };

struct hl_bisect_result {
    enum hl_bisect_end end;
    int first_bad;      /* most probable first bad point; `points`: none */
    int low, high;      /* the first bad point is in [low, high] with the confidence; points that cannot
                           run keep it wider than one */
    double probability; /* of the answer */
    double *posterior;  /* [points + 1]: the first bad point is i; the last one: none is bad */
    int points;
    long runs, hangs, nothing;
    double rate, rate_low, rate_high; /* of (first) bad points: posterior mean, 95 % interval */
};

enum hl_status hl_bisect(const struct hl_bisect_options *options, struct hl_bisect_result *ret_result,
                         struct hl_error *error);
void hl_bisect_result_finish(struct hl_bisect_result *result);

/* Bits that one run can tell at most about whether a point is bad, when a bad one hangs at `rate`: the
 * capacity of a Z-channel. */
double hl_one_sided_capacity(double rate);
/* Runs that no method can do without, on average, to find the first bad of `points` points, all equally
 * likely. */
double hl_bisect_bound(int points, double rate);

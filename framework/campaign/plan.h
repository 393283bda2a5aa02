/* What a sweep runs next.
 *
 * Regular runs go round: in each round a case has one run, or as many as the number of runs that its scenario
 * asks for is times the smallest such number, so that a control with a rare failure has a chance to show it.
 * At any moment all cases are thus equally far. A case is suspicious once a run of it failed in a way that
 * its scenario does not expect, or was inconclusive. While there are suspicious cases, every fourth run is a
 * repeat of one of them, in turn. Regular runs do not depend on any result; repeats, which do, have numbers
 * (and so seeds) of their own. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HL_REPEAT_EVERY 4
#define HL_FIRST_REPEAT (1 << 30) /* number of a case's first repeat */

struct hl_plan_item {
    int case_number;
    int run;
};

struct hl_plan {
    int n_cases;
    const int *weights; /* runs of each case in a round */
    const int *runs_of; /* regular runs of each case; NULL: no end */
    /* Is this one not ours: done already, or another shard's? */
    bool (*skips)(void *user, struct hl_plan_item item);
    void *user;

    int round, at, within; /* the next regular run: which of the runs that case `at` has in the round */
    bool goes_on;          /* this round had runs: there is a next one */
    uint64_t given;
    struct hl_suspect {
        int case_number;
        int repeats;
    } * suspects;
    bool *is_suspect; /* by case */
    int n_suspects, next_suspect;
};

bool hl_plan_init(struct hl_plan *plan, int n_cases); /* false: out of memory */
void hl_plan_finish(struct hl_plan *plan);
void hl_plan_suspect(struct hl_plan *plan, int case_number);
/* False: the regular runs are at their end. */
bool hl_plan_next(struct hl_plan *plan, struct hl_plan_item *ret_item);

/* The minimizer's questions and their memory: what minimize.c builds its rounds on. */
#pragma once
#include "minimize.h"

struct hl_reply {
    char *text; /* of the candidate: the key */
    uint64_t hash;
    bool yes, refused;
    int hits, runs;
};

struct hl_minimizer {
    const struct hl_minimize_options *options;
    struct hl_likeness target;
    double rate;              /* that the candidates are held against */
    struct hl_config current; /* the smallest so far */
    struct hl_reply *answers;
    int n_answers, answers_max;
    struct hl_minimize_result *result;
    double begun_s;
    enum hl_status status; /* not OK: why the minimizer must stop */
    struct hl_error *error;
};

double hl_minimizer_wall_s(const struct hl_minimizer *m);
bool hl_minimizer_time_is_up(const struct hl_minimizer *m);

/* Makes runs of a configuration and counts those with the target's signature. Below 0: failed, see status.
 * HL_STATUS_USAGE is no failure of the minimizer: *ret_refused is set instead. */
int hl_minimizer_run(struct hl_minimizer *m, const struct hl_config *config, int first, int n,
                     struct hl_likeness *likenesses, bool *ret_refused);

/* Does it still hang in the same way? 1 yes, 0 no, below 0: stop. `what` is for whoever watches. */
int hl_minimizer_ask(struct hl_minimizer *m, const struct hl_config *config, const char *what);
/* The answer, if it was asked before; else NULL. */
const struct hl_reply *hl_minimizer_recall(struct hl_minimizer *m, const struct hl_config *config);
void hl_minimizer_finish(struct hl_minimizer *m);

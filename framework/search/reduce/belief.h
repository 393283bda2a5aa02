/* What is believed about the first bad point, given the runs so far. */
#pragma once
#include <stdbool.h>

struct hl_belief {
    int points;
    double rate_min;
    bool rates_differ;    /* each bad point hangs at a rate of its own */
    long *hangs, *passes; /* [points] */
    bool *mute;           /* [points]: no run of it shows anything, so it is never asked */
    double *prior;        /* [points + 1], logarithms */
    double *posterior;    /* [points + 1]: the first bad point is i; the last: none is bad */
};

/* False when out of memory; nothing is left then. */
bool hl_belief_init(struct hl_belief *belief, int points, double rate_min, bool rates_differ,
                    double prior_none, double prior_first);
void hl_belief_finish(struct hl_belief *belief);
void hl_belief_update(struct hl_belief *belief);

/* The mean rate at which a point hangs if it is bad, and quantiles of the rate. Where bad points hang at one
 * rate, it is that of the most probable hypothesis, whatever the point. */
double hl_belief_rate(const struct hl_belief *belief, int point);
double hl_belief_rate_quantile(const struct hl_belief *belief, int point, double p);
/* The most probable first bad point; `points`: none is bad. */
int hl_belief_most_probable(const struct hl_belief *belief);
/* The point to ask next: the posterior's median, or the nearest that can tell something; -1: none can. */
int hl_belief_median(const struct hl_belief *belief);
/* Hypotheses that no point which can run tells apart stand together: of all such groups, the most probable
 * one. Returns its probability. */
double hl_belief_best(const struct hl_belief *belief, int *ret_low, int *ret_high);

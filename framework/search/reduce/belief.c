/* The posterior over the first bad point; see bisect.h.
 *
 * Under "the first bad point is k", points below k never hang and the others hang at one rate r, whose prior
 * is Beta(1/2, 1/2) cut off below rate_min. With H hangs in all (a hang below k rules k out) and m passes at
 * or above k, the likelihood with r integrated out is
 *     integral r^H (1 - r)^m r^(-1/2) (1 - r)^(-1/2) dr  /  integral r^(-1/2) (1 - r)^(-1/2) dr,
 * both from rate_min to 1: a quotient of incomplete beta functions. Where rates differ, each point at or
 * above k has such a factor of its own counts, and its passes say nothing about the others. */
#include "belief.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include "../../campaign/statistics.h"

static const double prior_shape = 0.5;

bool hl_belief_init(struct hl_belief *belief, int points, double rate_min, bool rates_differ,
                    double prior_none, double prior_first)
{
    assert(points >= 1 && prior_none > 0 && prior_first > 0 && prior_none + prior_first < 1);
    const size_t n = (size_t)points + 1;
    *belief = (struct hl_belief){ .points = points,
                                  .rate_min = rate_min,
                                  .rates_differ = rates_differ,
                                  .hangs = calloc(n, sizeof *belief->hangs),
                                  .passes = calloc(n, sizeof *belief->passes),
                                  .mute = calloc(n, sizeof *belief->mute),
                                  .prior = calloc(n, sizeof *belief->prior),
                                  .posterior = calloc(n, sizeof *belief->posterior) };
    if (!belief->hangs || !belief->passes || !belief->mute || !belief->prior || !belief->posterior) {
        hl_belief_finish(belief);
        return false;
    }
    for (int k = 0; k <= points; k++)
        belief->prior[k] = log(k == 0        ? prior_first
                               : k == points ? prior_none
                                             : (1 - prior_none - prior_first) / (points - 1));
    hl_belief_update(belief);
    return true;
}

void hl_belief_finish(struct hl_belief *belief)
{
    free(belief->hangs);
    free(belief->passes);
    free(belief->mute);
    free(belief->prior);
    free(belief->posterior);
}

/* log of the integral of r^(a-1) (1-r)^(b-1) from rate_min to 1. */
static double log_tail(const struct hl_belief *belief, double a, double b)
{
    return lgamma(a) + lgamma(b) - lgamma(a + b) + log(hl_incomplete_beta(1 - belief->rate_min, b, a));
}

static double log_likelihood(const struct hl_belief *belief, long hangs, long passes)
{
    return log_tail(belief, prior_shape + (double)hangs, prior_shape + (double)passes) -
           log_tail(belief, prior_shape, prior_shape);
}

static long sum(const long *counts, int from, int to)
{
    long n = 0;
    for (int i = from; i < to; i++)
        n += counts[i];
    return n;
}

int hl_belief_most_probable(const struct hl_belief *belief)
{
    int best = 0;
    for (int k = 0; k <= belief->points; k++)
        if (belief->posterior[k] > belief->posterior[best])
            best = k;
    return best;
}

/* Fills in the logarithms of prior times likelihood, up to a constant. */
static void weigh(struct hl_belief *belief)
{
    const int n = belief->points;
    const long all_hangs = sum(belief->hangs, 0, n);
    long hangs_below = all_hangs, passes = 0, counted = -1; /* passes at or above k */
    double likelihood = 0;
    belief->posterior[n] = all_hangs ? -INFINITY : belief->prior[n];
    for (int k = n - 1; k >= 0; k--) {
        passes += belief->passes[k];
        hangs_below -= belief->hangs[k];
        if (belief->rates_differ && belief->hangs[k] + belief->passes[k] > 0)
            likelihood += log_likelihood(belief, belief->hangs[k], belief->passes[k]);
        else if (!belief->rates_differ && passes != counted)
            likelihood = log_likelihood(belief, all_hangs, passes);
        counted = passes;
        belief->posterior[k] = hangs_below ? -INFINITY : belief->prior[k] + likelihood;
    }
}

void hl_belief_update(struct hl_belief *belief)
{
    double *posterior = belief->posterior, highest = -INFINITY, total = 0;
    weigh(belief);
    for (int k = 0; k <= belief->points; k++)
        highest = fmax(highest, posterior[k]);
    for (int k = 0; k <= belief->points; k++)
        total += posterior[k] = exp(posterior[k] - highest);
    for (int k = 0; k <= belief->points; k++)
        posterior[k] /= total;
}

/* The parameters of the rate's beta distribution. */
static void rate_shape(const struct hl_belief *belief, int point, double *ret_a, double *ret_b)
{
    const int n = belief->points, best = hl_belief_most_probable(belief);
    const bool own = belief->rates_differ && point < n;
    *ret_a = prior_shape + (double)(own ? belief->hangs[point] : sum(belief->hangs, 0, n));
    *ret_b = prior_shape + (double)(own ? belief->passes[point] : sum(belief->passes, best, n));
}

double hl_belief_rate(const struct hl_belief *belief, int point)
{
    double a, b;
    rate_shape(belief, point, &a, &b);
    return exp(log_tail(belief, a + 1, b) - log_tail(belief, a, b));
}

double hl_belief_rate_quantile(const struct hl_belief *belief, int point, double p)
{
    double a, b, low = belief->rate_min, high = 1;
    rate_shape(belief, point, &a, &b);
    const double whole = hl_incomplete_beta(1 - belief->rate_min, b, a);
    for (int i = 0; i < 60; i++) {
        const double middle = (low + high) / 2;
        *(hl_incomplete_beta(1 - middle, b, a) > (1 - p) * whole ? &low : &high) = middle;
    }
    return (low + high) / 2;
}

int hl_belief_median(const struct hl_belief *belief)
{
    int best = -1;
    double below = 0, best_distance = 2; /* below: the probability that the point is bad */
    for (int i = 0; i < belief->points; i++) {
        below += belief->posterior[i];
        /* What is bad for sure, or good for sure, tells nothing new about where the badness begins. */
        if (belief->mute[i] || below <= 0 || below > 1 - 1e-12)
            continue;
        const double distance = fabs(below - 0.5);
        if (distance < best_distance) {
            best = i;
            best_distance = distance;
        }
    }
    return best;
}

double hl_belief_best(const struct hl_belief *belief, int *ret_low, int *ret_high)
{
    double best = -1, together = 0;
    int low = 0;
    for (int k = 0; k <= belief->points; k++) {
        together += belief->posterior[k];
        if (k < belief->points && belief->mute[k])
            continue; /* no run tells "from k on" from "from k + 1 on" */
        if (together > best) {
            best = together;
            *ret_low = low;
            *ret_high = k;
        }
        together = 0;
        low = k + 1;
    }
    return best;
}

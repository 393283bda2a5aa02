/* How far a rate measured in a few runs can be trusted: the exact binomial interval. */
#pragma once

struct hl_interval {
    double low, high;
};

/* Regularised incomplete beta function I_x(a, b), for 0 <= x <= 1 and a, b > 0. */
double hl_incomplete_beta(double x, double a, double b);

/* Clopper-Pearson interval of `hits` in `trials`: the rates under which neither so many nor so few hits
 * are rarer than (1 - confidence) / 2. [0, 1] without trials. */
struct hl_interval hl_clopper_pearson(int hits, int trials, double confidence);

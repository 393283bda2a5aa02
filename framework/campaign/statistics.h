/* How far rates measured in a few runs can be trusted: the exact binomial interval, how many clean runs a
 * claim needs, an exact comparison of two rates, and a decision between two. */
#pragma once
#include <stdint.h>
#include "sequential.h"

struct hl_interval {
    double low, high;
};

/* Regularised incomplete beta function I_x(a, b), for 0 <= x <= 1 and a, b > 0. */
double hl_incomplete_beta(double x, double a, double b);

/* Clopper-Pearson interval of `hits` in `trials`: the rates under which neither so many nor so few hits
 * are rarer than (1 - confidence) / 2. [0, 1] without trials. */
struct hl_interval hl_clopper_pearson(int hits, int trials, double confidence);

/* How many runs without a hit show that the rate is below `limit`: if it were `limit` or more, so many clean
 * runs would have a probability of at most 1 - confidence. */
uint64_t hl_clean_runs_needed(double limit, double confidence);

/* Fisher's exact test, two-sided: the probability, if two samples have the same rate, of a split of the hits
 * between them that is as unlikely as this one or more so. */
double hl_fisher_exact(int hits_a, int trials_a, int hits_b, int trials_b);

/* "At least `high`", "at most `low`", or open. Unlike a sequential test that stops by itself, it holds
 * whenever the runs ended and for whatever reason: by Ville's inequality either wrong answer has at most the
 * probability `error`. */
enum hl_sequential_answer hl_decide_rate(double low, double high, double error, int hits, int trials);

/* A sequential test between two rates (A. Wald, Ann. Math. Stat. 16 (1945) 117): "at least `high`" against
 * "at most `low`". It looks after each run and stops as soon as the runs so far decide, with the stated
 * errors at both rates; in between either answer is right. */
#pragma once
#include <stdbool.h>

enum hl_sequential_answer { HL_SEQUENTIAL_OPEN, HL_SEQUENTIAL_LOW, HL_SEQUENTIAL_HIGH };

struct hl_sequential {
    double on_hit, on_miss; /* what a run adds to the logarithm of the likelihood ratio, high over low */
    double log_ratio;       /* so far */
    double accept_low, accept_high;
    int hits, runs;
};

/* `error`: the probability of each wrong answer. 0 < low < high < 1. */
struct hl_sequential hl_sequential_init(double low, double high, double error);
enum hl_sequential_answer hl_sequential_add(struct hl_sequential *test, bool hit);

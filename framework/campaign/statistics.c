/* Exact binomial interval, C. J. Clopper and E. S. Pearson, Biometrika 26 (1934) 404: its ends are
 * quantiles of beta distributions. Exact, so that "0 hangs in 20 runs" is never read as "cannot hang". */
#include "statistics.h"
#include <assert.h>
#include <float.h>
#include <math.h>

/* Continued fraction of I_x(a, b), DLMF 8.17.22, by the modified Lentz method (I. J. Thompson and
 * A. R. Barnett, J. Comput. Phys. 64 (1986) 490). Converges fast for x < (a + 1) / (a + b + 2). */
static double beta_fraction(double x, double a, double b)
{
    const double tiny = DBL_MIN / DBL_EPSILON;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double product = d;
    for (int m = 1; m <= 10000; m++) {
        const double terms[2] = { m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                                  -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)) };
        double change = 1;
        for (int i = 0; i < 2; i++) {
            d = 1 + terms[i] * d;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = 1 + terms[i] / c;
            c = fabs(c) < tiny ? tiny : c;
            change = c * d;
            product *= change;
        }
        if (fabs(change - 1) < 4 * DBL_EPSILON)
            break;
    }
    return product;
}

double hl_incomplete_beta(double x, double a, double b)
{
    assert(a > 0 && b > 0);
    if (x <= 0)
        return 0;
    if (x >= 1)
        return 1;
    const double scale = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2))
        return scale * beta_fraction(x, a, b) / a;
    return 1 - scale * beta_fraction(1 - x, b, a) / b;
}

/* The x with I_x(a, b) = p: bisection, since I is monotone and the few dozen steps cost nothing here. */
static double beta_quantile(double p, double a, double b)
{
    double low = 0, high = 1;
    while (high - low > DBL_EPSILON) {
        const double middle = (low + high) / 2;
        if (middle <= low || middle >= high)
            break;
        if (hl_incomplete_beta(middle, a, b) < p)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

struct hl_interval hl_clopper_pearson(int hits, int trials, double confidence)
{
    assert(hits >= 0 && hits <= trials && confidence > 0 && confidence < 1);
    struct hl_interval interval = { 0, 1 };
    const double tail = (1 - confidence) / 2;
    if (hits > 0)
        interval.low = beta_quantile(tail, hits, trials - hits + 1);
    if (hits < trials)
        interval.high = beta_quantile(1 - tail, hits + 1, trials - hits);
    return interval;
}

uint64_t hl_clean_runs_needed(double limit, double confidence)
{
    assert(limit > 0 && limit < 1 && confidence > 0 && confidence < 1);
    return (uint64_t)ceil(log1p(-confidence) / log1p(-limit));
}

static double log_choose(int n, int k) { return lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0); }

double hl_fisher_exact(int hits_a, int trials_a, int hits_b, int trials_b)
{
    assert(0 <= hits_a && hits_a <= trials_a && 0 <= hits_b && hits_b <= trials_b);
    const int hits = hits_a + hits_b;
    const int first = hits > trials_b ? hits - trials_b : 0, last = hits < trials_a ? hits : trials_a;
    const double all = log_choose(trials_a + trials_b, hits);
    const double seen = log_choose(trials_a, hits_a) + log_choose(trials_b, hits_b) - all;
    double p = 0;
    for (int k = first; k <= last; k++) {
        const double one = log_choose(trials_a, k) + log_choose(trials_b, hits - k) - all;
        if (one <= seen + 1e-7) /* as R: equal ones must count in spite of rounding */
            p += exp(one);
    }
    return p < 1 ? p : 1;
}

enum hl_sequential_answer hl_decide_rate(double low, double high, double error, int hits, int trials)
{
    const struct hl_sequential test = hl_sequential_init(low, high, error);
    const double log_ratio = hits * test.on_hit + (trials - hits) * test.on_miss;
    if (log_ratio >= -log(error))
        return HL_SEQUENTIAL_HIGH;
    return log_ratio <= log(error) ? HL_SEQUENTIAL_LOW : HL_SEQUENTIAL_OPEN;
}

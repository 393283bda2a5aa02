/* The exact binomial interval against published and closed-form values. */
#include <criterion/criterion.h>
#include <math.h>
#include "../framework/campaign/statistics.h"

static void assert_near(double got, double want, double tolerance)
{
    cr_assert(fabs(got - want) <= tolerance, "got %.12g, want %.12g", got, want);
}

static void assert_interval(int hits, int trials, double low, double high)
{
    const struct hl_interval interval = hl_clopper_pearson(hits, trials, 0.95);
    assert_near(interval.low, low, 5e-7);
    assert_near(interval.high, high, 5e-7);
}

/* I_x(1, 1) = x, I_x(a, 1) = x^a, I_x(1, b) = 1 - (1 - x)^b, I_x(2, 2) = 3x^2 - 2x^3. */
Test(statistics, incomplete_beta_equals_its_closed_forms)
{
    for (double x = 0; x <= 1; x += 0.0625) {
        assert_near(hl_incomplete_beta(x, 1, 1), x, 1e-14);
        assert_near(hl_incomplete_beta(x, 7, 1), pow(x, 7), 1e-13);
        assert_near(hl_incomplete_beta(x, 1, 20), 1 - pow(1 - x, 20), 1e-13);
        assert_near(hl_incomplete_beta(x, 2, 2), x * x * (3 - 2 * x), 1e-13);
    }
}

Test(statistics, incomplete_beta_is_a_binomial_tail)
{
    /* P(X >= 5) of 12 tosses of a coin: 3302 / 4096. */
    assert_near(hl_incomplete_beta(0.5, 5, 8), 3302.0 / 4096, 1e-13);
}

Test(statistics, incomplete_beta_is_symmetric_and_holds_for_large_counts)
{
    assert_near(hl_incomplete_beta(0.3, 40, 90), 1 - hl_incomplete_beta(0.7, 90, 40), 1e-12);
    assert_near(hl_incomplete_beta(0.5, 50000, 50000), 0.5, 1e-9);
}

/* Values as R's binom.test() prints them. */
Test(statistics, clopper_pearson_equals_known_values)
{
    assert_interval(1, 10, 0.002528579, 0.445016117);
    assert_interval(5, 10, 0.187086028, 0.812913972);
    assert_interval(2, 20, 0.012348527, 0.316982666);
}

/* At the ends there are closed forms: 0.025^(1/n) and 1 - 0.025^(1/n). */
Test(statistics, clopper_pearson_never_claims_certainty)
{
    assert_interval(20, 20, pow(0.025, 1.0 / 20), 1);
    assert_interval(0, 20, 0, 1 - pow(0.025, 1.0 / 20));
    assert_interval(0, 1, 0, 0.975);
    assert_interval(0, 0, 0, 1);
}

Test(statistics, more_runs_narrow_the_interval)
{
    double width = 1;
    for (int n = 10; n <= 100000; n *= 10) {
        const struct hl_interval interval = hl_clopper_pearson(n / 2, n, 0.95);
        cr_assert_lt(interval.high - interval.low, width);
        cr_assert(interval.low < 0.5 && interval.high > 0.5);
        width = interval.high - interval.low;
    }
}

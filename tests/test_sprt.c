/* Sequential and final decisions between two rates: their errors, counted in simulations with fixed seeds;
 * what clean runs allow to say; and Fisher's exact test against published values. */
#include <criterion/criterion.h>
#include <math.h>
#include "../framework/campaign/statistics.h"
#include "../framework/program/random.h"

/* The fraction of 2000 tests at a true rate that answer `answer`, and the mean number of runs. */
static double answers(double rate, double low, double high, double error, enum hl_sequential_answer answer,
                      double *ret_runs)
{
    enum { TESTS = 2000 };
    int count = 0;
    uint64_t runs = 0;
    for (int t = 0; t < TESTS; t++) {
        uint64_t random = hl_random_stream(42, (uint64_t)(rate * 1e9), (uint64_t)t);
        struct hl_sequential test = hl_sequential_init(low, high, error);
        enum hl_sequential_answer got = HL_SEQUENTIAL_OPEN;
        while (got == HL_SEQUENTIAL_OPEN)
            got = hl_sequential_add(&test, hl_random_unit(&random) < rate);
        count += got == answer;
        runs += (uint64_t)test.runs;
    }
    *ret_runs = (double)runs / TESTS;
    return (double)count / TESTS;
}

/* Wald's bounds hold up to error / (1 - error); three standard errors of 2000 tests on top. */
static void assert_errors(double low, double high, double error)
{
    const double bound = error / (1 - error), limit = bound + 3 * sqrt(bound * (1 - bound) / 2000);
    double runs_low, runs_high, runs;
    cr_expect_leq(answers(low, low, high, error, HL_SEQUENTIAL_HIGH, &runs_low), limit);
    cr_expect_leq(answers(high, low, high, error, HL_SEQUENTIAL_LOW, &runs_high), limit);
    cr_expect_leq(answers(high * 2 < 1 ? high * 2 : high, low, high, error, HL_SEQUENTIAL_LOW, &runs), limit);
    /* It is worth its name: a fixed sample of the same errors takes about twice as many. */
    const double z = error > 0.02 ? 1.645 : 2.326;
    const double fixed = pow(z * (sqrt(low * (1 - low)) + sqrt(high * (1 - high))) / (high - low), 2);
    cr_expect_lt(runs_low, fixed, "%g runs, fixed %g", runs_low, fixed);
    cr_expect_lt(runs_high, fixed, "%g runs, fixed %g", runs_high, fixed);
}

Test(sprt, errors_are_as_stated)
{
    assert_errors(0.01, 0.05, 0.05);
    assert_errors(0.01, 0.05, 0.01);
    assert_errors(0.1, 0.3, 0.05);
    assert_errors(0.3, 0.7, 0.01);
}

/* Looked at after every run and stopped as soon as it says anything: still within its error. */
Test(sprt, a_final_decision_holds_however_often_one_looks)
{
    enum { TESTS = 1000, RUNS = 1000 };
    const double low = 0.01, high = 0.03, error = 0.02;
    int wrong_low = 0, wrong_high = 0;
    for (int t = 0; t < TESTS; t++) {
        uint64_t random = hl_random_stream(9, 1, (uint64_t)t);
        int hits_low = 0, hits_high = 0;
        bool said_high = false, said_low = false;
        for (int n = 1; n <= RUNS; n++) {
            hits_low += hl_random_unit(&random) < low;
            hits_high += hl_random_unit(&random) < high;
            said_high |= hl_decide_rate(low, high, error, hits_low, n) == HL_SEQUENTIAL_HIGH;
            said_low |= hl_decide_rate(low, high, error, hits_high, n) == HL_SEQUENTIAL_LOW;
        }
        wrong_high += said_high;
        wrong_low += said_low;
    }
    const double limit = error + 3 * sqrt(error * (1 - error) / TESTS);
    cr_expect_leq((double)wrong_high / TESTS, limit);
    cr_expect_leq((double)wrong_low / TESTS, limit);
}

Test(sprt, it_decides_once_there_is_enough)
{
    cr_expect_eq(hl_decide_rate(1e-4, 1e-3, 0.01, 0, 1000), HL_SEQUENTIAL_OPEN);
    cr_expect_eq(hl_decide_rate(1e-4, 1e-3, 0.01, 0, 10000), HL_SEQUENTIAL_LOW);
    cr_expect_eq(hl_decide_rate(1e-4, 1e-3, 0.01, 10, 10000), HL_SEQUENTIAL_HIGH);
}

/* The rule of three: about 3 / limit; and exactly the number from which Clopper and Pearson agree. */
Test(sprt, clean_runs_needed_are_exact)
{
    cr_assert_eq(hl_clean_runs_needed(1e-5, 0.95), 299572);
    for (double limit = 0.5; limit > 1e-6; limit /= 7) {
        const int n = (int)hl_clean_runs_needed(limit, 0.95);
        cr_expect_leq(hl_clopper_pearson(0, n, 0.90).high, limit * (1 + 1e-9));
        cr_expect(n == 1 || hl_clopper_pearson(0, n - 1, 0.90).high > limit);
    }
}

/* Values of R's fisher.test(); the first is Fisher's own tea. */
Test(sprt, fisher_equals_known_values)
{
    static const struct {
        int a, n, b, m;
        double p;
    } known[] = { { 3, 4, 1, 4, 0.4857142857 },
                  { 1, 10, 11, 14, 0.0027594562 },
                  { 0, 10, 5, 10, 0.0325077399 },
                  { 0, 0, 3, 10, 1 },
                  { 5, 5, 5, 5, 1 } };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        cr_expect_float_eq(hl_fisher_exact(known[i].a, known[i].n, known[i].b, known[i].m), known[i].p, 1e-9,
                           "%zu: %.10g", i, hl_fisher_exact(known[i].a, known[i].n, known[i].b, known[i].m));
        cr_expect_float_eq(hl_fisher_exact(known[i].b, known[i].m, known[i].a, known[i].n), known[i].p, 1e-9);
    }
    cr_expect_lt(hl_fisher_exact(0, 11000, 10, 1000), 1e-10);
}

/* With equal rates a p below x comes up with a probability of at most x. */
Test(sprt, fisher_keeps_its_false_positive_rate)
{
    enum { TESTS = 4000 };
    int found = 0;
    for (int t = 0; t < TESTS; t++) {
        uint64_t random = hl_random_stream(3, 5, (uint64_t)t);
        int a = 0, b = 0;
        for (int i = 0; i < 200; i++) {
            a += hl_random_unit(&random) < 0.05;
            b += hl_random_unit(&random) < 0.05;
        }
        found += hl_fisher_exact(a, 200, b, 200) <= 0.05;
    }
    cr_assert_leq((double)found / TESTS, 0.05 + 3 * sqrt(0.05 * 0.95 / TESTS));
    cr_assert_gt(found, 0);
}

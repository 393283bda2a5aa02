/* Wald's thresholds; see sequential.h. */
#include "sequential.h"
#include <assert.h>
#include <math.h>

struct hl_sequential hl_sequential_init(double low, double high, double error)
{
    assert(0 < low && low < high && high < 1 && 0 < error && error < 0.5);
    const double threshold = log((1 - error) / error);
    return (struct hl_sequential){ .on_hit = log(high / low),
                                   .on_miss = log1p(-high) - log1p(-low),
                                   .accept_low = -threshold,
                                   .accept_high = threshold };
}

enum hl_sequential_answer hl_sequential_add(struct hl_sequential *test, bool hit)
{
    test->runs++;
    test->hits += hit;
    test->log_ratio += hit ? test->on_hit : test->on_miss;
    if (test->log_ratio >= test->accept_high)
        return HL_SEQUENTIAL_HIGH;
    return test->log_ratio <= test->accept_low ? HL_SEQUENTIAL_LOW : HL_SEQUENTIAL_OPEN;
}

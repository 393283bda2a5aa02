/* bisect on planted culprits: how often it is right, and its runs beside what no method can do without.
 *
 * 200 plants in histories of 256 commits: hang rates 1.0, 0.3, 0.1 and 0.03, a third of the plants without a
 * culprit: in half of those nothing hangs, in the others every commit does. */
#include "bench.h"
#include <math.h>
#include "../../framework/program/random.h"
#include "../../framework/search/reduce/bisect.h"

enum { PLANTS = 200, COMMITS = 256, PLANTS_WITHOUT = 60 };

struct plant {
    uint64_t seed;
    int first_bad; /* COMMITS: none */
    double rate;
};

static enum hl_status run(void *user, int point, int first, int n, enum hl_shown *ret_shown,
                          struct hl_error *error)
{
    const struct plant *plant = user;
    (void)error;
    for (int i = 0; i < n; i++) {
        uint64_t state = hl_random_stream(plant->seed, (uint64_t)point, (uint64_t)(first + i));
        const bool hangs = point >= plant->first_bad && hl_random_unit(&state) < plant->rate;
        ret_shown[i] = hangs ? HL_SHOWN_HANG : HL_SHOWN_PASS;
    }
    return HL_STATUS_OK;
}

static struct plant make_plant(int index)
{
    static const double rates[] = { 1.0, 0.3, 0.1, 0.03 };
    uint64_t state = hl_random_stream(1, 0x62697365, (uint64_t)index);
    struct plant plant = { hl_random_next(&state), 1 + (int)hl_random_below(&state, COMMITS - 1),
                           rates[index % 4] };
    if (index < PLANTS_WITHOUT)
        plant.first_bad = index % 8 < 4 ? COMMITS : 0;
    return plant;
}

int main(void)
{
    int right = 0, found[4] = { 0 };
    double runs[4] = { 0 };
    long runs_without = 0;
    const double from = hl_bench_now_s();
    for (int i = 0; i < PLANTS; i++) {
        struct plant plant = make_plant(i);
        struct hl_bisect_result result;
        const struct hl_bisect_options options = { .points = COMMITS, .run = run, .user = &plant };
        hl_bench_require(hl_bisect(&options, &result, NULL) == HL_STATUS_OK, "bisect");
        right += result.end != HL_BISECT_OPEN && result.first_bad == plant.first_bad;
        if (i < PLANTS_WITHOUT) {
            runs_without += result.runs;
        } else {
            runs[i % 4] += (double)result.runs;
            found[i % 4]++;
        }
        hl_bisect_result_finish(&result);
    }
    hl_bench_row("bisect, 200 planted commits: right answers", 100.0 * right / PLANTS, "%", HL_BENCH_AT_LEAST,
                 95);
    for (int rate = 0; rate < 4; rate++) {
        const double hang_rate = make_plant(rate).rate;
        const double bound = hl_bisect_bound(COMMITS - 1, hang_rate), mean = runs[rate] / found[rate];
        char what[64];
        snprintf(what, sizeof what, "  runs at rate %g (bound %.1f)", hang_rate, bound);
        hl_bench_row(what, mean, "runs", HL_BENCH_AT_MOST, 3 * bound);
    }
    printf("  runs of a history without a culprit: %.0f on average; all plants took %.2f s\n",
           (double)runs_without / PLANTS_WITHOUT, hl_bench_now_s() - from);
    return hl_bench_finish();
}

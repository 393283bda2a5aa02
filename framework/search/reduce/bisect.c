/* The questions of bisect; see bisect.h. */
#include "bisect.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include "belief.h"

enum { BLOCK_MAX = 64, MUTE_AFTER = 3 };

struct bisector {
    const struct hl_bisect_options *options;
    struct hl_belief belief;
    struct hl_bisect_result result;
    double confidence;
    long runs_max;
    int *asked;   /* [points]: runs of each so far */
    int *nothing; /* [points]: those that showed nothing */
};

/* Few enough that each question is still about the median, enough that one may well show a hang: but for the
 * number of questions asked and the cores left idle, single runs would be best. */
static int block_size(const struct bisector *b, int point)
{
    const double n = round(0.3 / hl_belief_rate(&b->belief, point));
    return n < 1 ? 1 : n > BLOCK_MAX ? BLOCK_MAX : (int)n;
}

static enum hl_status ask(struct bisector *b, int point, struct hl_error *error)
{
    enum hl_shown shown[BLOCK_MAX];
    int counts[HL_SHOWN_COUNT] = { 0 };
    const int n = block_size(b, point);
    const enum hl_status status = b->options->run(b->options->user, point, b->asked[point], n, shown, error);
    if (status != HL_STATUS_OK)
        return status;
    for (int i = 0; i < n; i++)
        counts[shown[i]]++;
    b->asked[point] += n;
    b->nothing[point] += counts[HL_SHOWN_NOTHING];
    b->belief.hangs[point] += counts[HL_SHOWN_HANG];
    b->belief.passes[point] += counts[HL_SHOWN_PASS];
    /* A point that shows nothing at all is left out, like one that git bisect skips. */
    b->belief.mute[point] = b->asked[point] >= MUTE_AFTER && b->nothing[point] == b->asked[point];
    b->result.runs += n;
    b->result.hangs += counts[HL_SHOWN_HANG];
    b->result.nothing += counts[HL_SHOWN_NOTHING];
    hl_belief_update(&b->belief);
    if (b->options->on_question)
        b->options->on_question(b->options->user, &(struct hl_bisect_question){
                                                      point, counts[HL_SHOWN_HANG], counts[HL_SHOWN_PASS],
                                                      hl_belief_rate(&b->belief, point), b->result.runs });
    return HL_STATUS_OK;
}

static bool may_go_on(const struct bisector *b)
{
    return b->result.runs < b->runs_max && !(b->options->stop && b->options->stop(b->options->user));
}

/* The last point that can run, as long as it is not known to be bad: without a single hang there, the rest
 * would be guessing about a rate. */
static int reproduction(const struct bisector *b)
{
    int last = b->options->points - 1;
    while (last >= 0 && b->belief.mute[last])
        last--;
    return b->result.hangs == 0 ? last : -1;
}

static enum hl_status go(struct bisector *b, struct hl_error *error)
{
    int low, high;
    while (hl_belief_best(&b->belief, &low, &high) < b->confidence && may_go_on(b)) {
        int point = reproduction(b);
        if (point < 0)
            point = hl_belief_median(&b->belief);
        if (point < 0)
            break;
        const enum hl_status status = ask(b, point, error);
        if (status != HL_STATUS_OK)
            return status;
    }
    return HL_STATUS_OK;
}

static void conclude(struct bisector *b)
{
    struct hl_bisect_result *r = &b->result;
    const struct hl_belief *belief = &b->belief;
    r->points = belief->points;
    r->probability = hl_belief_best(belief, &r->low, &r->high);
    r->first_bad = r->low;
    for (int k = r->low; k <= r->high; k++)
        if (belief->posterior[k] > belief->posterior[r->first_bad])
            r->first_bad = k;
    r->end = r->probability < b->confidence   ? HL_BISECT_OPEN
             : r->first_bad == belief->points ? HL_BISECT_NONE
             : r->first_bad == 0              ? HL_BISECT_FIRST
                                              : HL_BISECT_FOUND;
    r->rate = hl_belief_rate(belief, r->first_bad);
    r->rate_low = hl_belief_rate_quantile(belief, r->first_bad, 0.025);
    r->rate_high = hl_belief_rate_quantile(belief, r->first_bad, 0.975);
    if (r->end != HL_BISECT_OPEN)
        return;
    /* Undecided: the shortest tails that may be cut off both ends. */
    double tail = 0;
    for (r->low = 0; tail + belief->posterior[r->low] <= (1 - b->confidence) / 2; r->low++)
        tail += belief->posterior[r->low];
    tail = 0;
    for (r->high = belief->points; tail + belief->posterior[r->high] <= (1 - b->confidence) / 2; r->high--)
        tail += belief->posterior[r->high];
}

static double or_default(double value, double otherwise) { return value > 0 ? value : otherwise; }

enum hl_status hl_bisect(const struct hl_bisect_options *options, struct hl_bisect_result *ret_result,
                         struct hl_error *error)
{
    assert(options->points >= 2);
    struct bisector b = { .options = options,
                          .confidence = or_default(options->confidence, 0.99),
                          .runs_max = options->runs_max > 0 ? options->runs_max : 100000,
                          .asked = calloc((size_t)options->points, sizeof *b.asked),
                          .nothing = calloc((size_t)options->points, sizeof *b.nothing) };
    const bool ready =
        b.asked && b.nothing &&
        hl_belief_init(&b.belief, options->points, or_default(options->rate_min, 0.01), options->rates_differ,
                       or_default(options->prior_none, 0.3), or_default(options->prior_first, 0.02));
    enum hl_status status = ready ? go(&b, error) : hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    if (status == HL_STATUS_OK) {
        conclude(&b);
        b.result.posterior = b.belief.posterior;
        b.belief.posterior = NULL;
        *ret_result = b.result;
    }
    if (ready)
        hl_belief_finish(&b.belief);
    free(b.asked);
    free(b.nothing);
    return status;
}

void hl_bisect_result_finish(struct hl_bisect_result *result)
{
    free(result->posterior);
    result->posterior = NULL;
}

/* Z-channel: log2(1 + r (1 - r)^((1 - r) / r)), for example MacKay, Information Theory (2003), ex. 9.11. */
double hl_one_sided_capacity(double rate)
{
    assert(rate > 0 && rate <= 1);
    if (rate >= 1)
        return 1;
    return log1p(rate * exp((1 - rate) / rate * log1p(-rate))) / log(2);
}

double hl_bisect_bound(int points, double rate) { return log2(points) / hl_one_sided_capacity(rate); }

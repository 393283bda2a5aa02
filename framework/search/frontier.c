/* One promise after the other; see frontier.h.
 *
 * A weaker promise allows every schedule that a stronger one does. So what ends under one ends under all
 * stronger ones, what hangs under one hangs under all weaker ones, and only what lies between is searched. */
#include "frontier.h"

/* States of a search, so that a result does not depend on the machine: so many, or that share of what the
 * case itself may take. Those of all orders are quick to take. */
enum { STATES_MIN = 50000, SHARE = 1000, ALL_ORDERS_TIMES = 20 };

/* With wrong sums all was searched, too. */
enum hl_answer hl_frontier_ending(const struct hl_explored *e)
{
    if (e->answer != HL_ANSWER_CORRUPT)
        return e->answer;
    return e->broken_polls ? HL_ANSWER_BOUND_REACHED : HL_ANSWER_PROVEN_FREE;
}

static enum hl_status search(const struct hl_space_spec *spec, const struct hl_explore_options *options,
                             enum hl_answer *ret_answer, struct hl_error *error)
{
    struct hl_explored explored;
    struct hl_space *space;
    enum hl_status status = hl_space_create(spec, &space, error);
    if (status)
        return status;
    status = hl_explore(space, options, &explored, error);
    hl_space_destroy(space);
    if (!status)
        *ret_answer = hl_frontier_ending(&explored);
    return status;
}

/* Under no promise, a CTA that polls in vain is a hang; whether there is one is not kept by the reduction: it
 * finds one if it can, and all orders decide. */
static enum hl_status search_under(struct hl_space_spec *spec, enum hl_promise promise,
                                   const struct hl_explore_options *options, enum hl_answer *ret_answer,
                                   struct hl_error *error)
{
    struct hl_explore_options o = *options;
    spec->promise = promise;
    o.keep_path = false;
    o.checkpoint = NULL;
    o.seconds_max = 0;
    o.states_max = options->states_max / SHARE > STATES_MIN ? options->states_max / SHARE : STATES_MIN;
    const enum hl_status status = search(spec, &o, ret_answer, error);
    if (status || promise != HL_PROMISE_UNFAIR || *ret_answer == HL_ANSWER_HANG)
        return status;
    o.reduce = false;
    o.states_max *= ALL_ORDERS_TIMES;
    return search(spec, &o, ret_answer, error);
}

/* Is it worth a search? What was not decided under one promise will not be under a weaker one, but for the
 * last, where the first CTA that polls in vain decides. */
static bool is_open(enum hl_promise promise, enum hl_answer under_stronger)
{
    return under_stronger == HL_ANSWER_PROVEN_FREE ||
           (under_stronger == HL_ANSWER_BOUND_REACHED && promise == HL_PROMISE_UNFAIR);
}

enum hl_status hl_frontier_find(const struct hl_space_spec *spec, enum hl_answer answer,
                                const struct hl_explore_options *options, struct hl_frontier *ret_frontier,
                                struct hl_error *error)
{
    struct hl_frontier f = { .is_known = true };
    struct hl_space_spec at = *spec;
    const int own = spec->promise;
    enum hl_status status = HL_STATUS_OK;
    f.under[own] = answer;
    for (int i = own + 1; i < HL_PROMISE_COUNT && !status; i++) {
        f.under[i] = f.under[i - 1];
        if (is_open((enum hl_promise)i, f.under[i - 1]))
            status = search_under(&at, (enum hl_promise)i, options, &f.under[i], error);
    }
    for (int i = own - 1; i >= 0 && !status; i--) {
        f.under[i] = f.under[i + 1];
        if (f.under[i] == HL_ANSWER_HANG)
            status = search_under(&at, (enum hl_promise)i, options, &f.under[i], error);
    }
    if (!status)
        *ret_frontier = f;
    return status;
}

enum hl_promise hl_frontier_weakest(const struct hl_frontier *f)
{
    int n = 0;
    while (f->is_known && n < HL_PROMISE_COUNT && f->under[n] == HL_ANSWER_PROVEN_FREE)
        n++;
    return n ? (enum hl_promise)(n - 1) : HL_PROMISE_COUNT;
}

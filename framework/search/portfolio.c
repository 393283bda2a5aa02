/* One payload after the other, and for each the means in turn; see portfolio.h. */
#include "portfolio.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../scenario/scenario.h"
#include "../scenario/text.h"
#include "lasso.h"

enum { LASSO_STATES = 1000000, FIRST_STATES = 20000, FIRST_WALKS = 100, STEPS_MAX = 1000000 };

struct state {
    const struct hl_config *config;
    const struct hl_portfolio_options *options;
    struct hl_portfolio *out;
    struct hl_error *error;
    int payload;
};

static bool is_stopped(const struct state *x)
{
    return x->options->explore.stop && *x->options->explore.stop;
}

/* Keeps the hang, or the wrong sum, with its space. */
static void keep(struct state *x, struct hl_space **space, struct hl_path *path)
{
    x->out->space = *space;
    x->out->path = *path;
    *space = NULL;
    *path = (struct hl_path){ 0 };
}

static void save(struct state *x, bool is_walking)
{
    struct hl_checkpoint *c = x->options->checkpoint;
    if (!c)
        return;
    c->done.payload = (uint64_t)x->payload;
    c->done.is_walking = is_walking;
    c->done.states = x->out->states;
    c->done.seconds = x->out->seconds;
    c->done.walked = x->out->walked;
    if (is_walking)
        hl_checkpoint_save(c, NULL);
}

/* Random schedules up to number `schedules` (0: up to PCT's bound), for so long. */
static enum hl_status walk(struct state *x, struct hl_space **space, uint64_t schedules, double seconds)
{
    struct hl_walked *walked = &x->out->walked;
    struct hl_checkpoint *c = x->options->checkpoint;
    const double end_s = walked->seconds + seconds;
    enum hl_status status = HL_STATUS_OK;
    for (bool first = true; !status && !walked->hangs; first = false) {
        const uint64_t end = schedules || first ? schedules : hl_walk_schedules_for(walked, 0.95);
        if (!first && (walked->schedules >= end || walked->seconds >= end_s || is_stopped(x)))
            break;
        struct hl_walk_options o = x->options->walk;
        o.schedules = end;
        o.steps_max = STEPS_MAX;
        o.seconds_max = c && c->every_s < end_s - walked->seconds ? c->every_s : end_s - walked->seconds;
        status = hl_walk(*space, &o, walked, x->error);
        if (!status && !walked->hangs)
            save(x, true);
    }
    if (!status && walked->hangs) {
        x->out->answer = HL_ANSWER_HANG;
        keep(x, space, &walked->path);
    }
    return status;
}

/* Random schedules of a case whose calls may be without end: then of some rounds of it. */
static enum hl_status walk_in_rounds(struct state *x, struct hl_space **space, uint64_t schedules,
                                     double seconds)
{
    struct hl_cover *cover = &x->out->cover, rounds;
    struct hl_cover_options o = x->options->cover;
    struct hl_space *shorter;
    if (cover->rounds)
        return walk(x, space, schedules, seconds);
    o.rounds = HL_PORTFOLIO_ROUNDS;
    enum hl_status status = hl_cover_make(x->config, &o, &rounds, x->error);
    if (status)
        return status;
    rounds.spec.payload = cover->spec.payload;
    status = hl_space_create(&rounds.spec, &shorter, x->error);
    if (status)
        return status;
    status = walk(x, &shorter, schedules, seconds);
    hl_space_destroy(shorter);
    if (!status && x->out->answer == HL_ANSWER_HANG)
        *cover = rounds;
    return status;
}

static enum hl_status search(struct state *x, struct hl_space **space, double seconds, uint64_t states_max)
{
    struct hl_explore_options o = x->options->explore;
    struct hl_explored *explored = &x->out->explored;
    o.keep_path = true;
    o.seconds_max = seconds;
    o.states_max = states_max;
    o.checkpoint = x->options->checkpoint;
    save(x, false);
    enum hl_status status = hl_explore(*space, &o, explored, x->error);
    if (status)
        return status;
    x->out->states += explored->states;
    x->out->seconds += explored->seconds;
    x->out->answer = explored->answer;
    if (explored->path.agents)
        keep(x, space, &explored->path);
    return HL_STATUS_OK;
}

static enum hl_status by_all_means(struct state *x, struct hl_space **space, bool was_walking)
{
    struct hl_portfolio *p = x->out;
    const double budget_s = x->options->explore.seconds_max;
    const uint64_t schedules = x->options->walk.schedules, states_max = x->options->explore.states_max;
    enum hl_status status = HL_STATUS_OK;
    p->answer = HL_ANSWER_BOUND_REACHED;
    if (x->options->walks_only)
        return walk_in_rounds(x, space, schedules, budget_s);
    if (was_walking)
        return walk_in_rounds(x, space, schedules, budget_s / 2);
    bool has_races = p->cover.rounds && !hl_space_is_reducible(*space);
    if (!has_races && !x->options->checkpoint && (!states_max || states_max > FIRST_STATES)) {
        status = search(x, space, budget_s / 2, FIRST_STATES);
        if (status || p->answer != HL_ANSWER_BOUND_REACHED || is_stopped(x))
            return status;
        p->states -= p->explored.states; /* it begins again */
        has_races = true;
    }
    /* Where every order would have to be searched, and where it is not decided soon, a few random ones may
     * do. */
    if (has_races && p->walked.schedules < FIRST_WALKS)
        status = walk_in_rounds(x, space, FIRST_WALKS, budget_s / 4);
    if (status || p->answer == HL_ANSWER_HANG || is_stopped(x))
        return status;
    status = search(x, space, budget_s / 2, states_max);
    if (status || p->answer != HL_ANSWER_BOUND_REACHED || is_stopped(x))
        return status;
    return walk_in_rounds(x, space, schedules, budget_s / 2);
}

/* No state hangs, but a stream may wait for ever while others go on: only the graph of all states tells. */
static enum hl_status look_for_lasso(struct state *x, struct hl_space **space)
{
    struct hl_portfolio *p = x->out;
    struct hl_path path;
    bool whole;
    const enum hl_status status =
        hl_lasso_find(*space, LASSO_STATES, x->options->explore.stop, &path, &whole, x->error);
    if (status)
        return status;
    if (!whole)
        hl_text_add(p->cover.notes, sizeof p->cover.notes,
                    "whether a stream waits for ever while others go on: there are more than %d states\n",
                    LASSO_STATES);
    if (path.n) {
        p->answer = HL_ANSWER_HANG;
        keep(x, space, &path);
    }
    return HL_STATUS_OK;
}

static enum hl_status search_payload(struct state *x, bool was_walking)
{
    struct hl_space *space;
    struct hl_portfolio *p = x->out;
    p->cover.spec.payload = p->cover.payloads[x->payload];
    p->payload = p->cover.payload_names[x->payload];
    enum hl_status status = hl_space_create(&p->cover.spec, &space, x->error);
    if (status)
        return status;
    p->ctas = space->ctas_max;
    status = by_all_means(x, &space, was_walking);
    if (!status && hl_frontier_ending(&p->explored) == HL_ANSWER_PROVEN_FREE && p->explored.may_starve &&
        p->answer != HL_ANSWER_HANG)
        status = look_for_lasso(x, &space);
    hl_space_destroy(space); /* NULL if it is kept */
    return status;
}

enum hl_status hl_portfolio_run(const struct hl_config *config, const struct hl_portfolio_options *options,
                                struct hl_portfolio *ret_portfolio, struct hl_error *error)
{
    struct hl_portfolio p = { 0 };
    struct state x = { config, options, &p, error, 0 };
    const struct hl_checkpoint *c = options->checkpoint;
    enum hl_status status = hl_cover_make(config, &options->cover, &p.cover, error);
    bool was_walking = false;
    if (c) {
        x.payload = (int)c->done.payload;
        was_walking = c->done.is_walking;
        p.states = c->done.states;
        p.seconds = c->done.seconds;
        p.walked = c->done.walked;
    }
    for (; !status && x.payload < p.cover.n_payloads; x.payload++) {
        status = search_payload(&x, was_walking);
        if (!status && p.answer == HL_ANSWER_BOUND_REACHED && (p.explored.wrong_sums || p.explored.strays))
            p.answer = HL_ANSWER_CORRUPT; /* as far as was searched: a hang would outrank it */
        if (status || p.answer != HL_ANSWER_PROVEN_FREE)
            break;
        was_walking = false;
        p.walked = (struct hl_walked){ 0 };
    }
    const enum hl_answer ending =
        p.answer == HL_ANSWER_HANG ? HL_ANSWER_HANG : hl_frontier_ending(&p.explored);
    if (!status && ending != HL_ANSWER_BOUND_REACHED && !is_stopped(&x))
        status = hl_frontier_find(&p.cover.spec, ending, &options->explore, &p.frontier, error);
    if (status)
        hl_portfolio_finish(&p);
    else
        *ret_portfolio = p;
    return status;
}

void hl_portfolio_finish(struct hl_portfolio *p)
{
    hl_space_destroy(p->space);
    hl_path_finish(&p->path);
    hl_path_finish(&p->walked.path);
}

struct hl_schedule_of hl_portfolio_schedule_of(const struct hl_portfolio *p,
                                               const struct hl_portfolio_options *o)
{
    return (struct hl_schedule_of){ p->cover.spec.ranks, o->cover.tokens_max, p->cover.rounds,
                                    p->cover.spec.payload, o->cover.programs };
}

enum hl_status hl_schedule_load(const struct hl_config *config, const char *file, struct hl_space **ret_space,
                                struct hl_path *ret_path, struct hl_error *error)
{
    struct hl_schedule_of of = { 0 };
    struct hl_cover cover;
    struct hl_space *space;
    enum hl_status status = hl_path_read_head(file, &of, error);
    const struct hl_cover_options o = {
        .programs = of.programs, .ranks = of.ranks, .tokens_max = of.tokens_max, .rounds = of.rounds
    };
    if (!status)
        status = hl_cover_make(config, &o, &cover, error);
    if (status)
        return status;
    cover.spec.payload = of.payload;
    status = hl_space_create(&cover.spec, &space, error);
    if (status)
        return status;
    status = hl_path_read(space, file, ret_path, error);
    if (status)
        hl_space_destroy(space);
    else
        *ret_space = space;
    return status;
}

enum hl_status hl_portfolio_identity(const struct hl_config *config,
                                     const struct hl_portfolio_options *options, const char *build,
                                     char **ret_identity, struct hl_error *error)
{
    struct hl_cover cover;
    char *text = NULL;
    size_t size;
    const enum hl_status status = hl_cover_make(config, &options->cover, &cover, error);
    if (status)
        return status;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a checkpoint");
    fprintf(out, "build: %s\ncase: %s\nranks searched: %d\ncalls: %s\nrounds: %u\nreduction: %s\n", build,
            config->name, cover.spec.ranks, cover.calls, cover.rounds,
            options->explore.reduce ? "on" : "off");
    fprintf(out, "random: %s, seed %llu\n", options->walks_only ? "only" : "after the search",
            (unsigned long long)options->walk.seed);
    hl_config_write_yaml(config, out);
    if (fclose(out)) {
        free(text);
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a checkpoint");
    }
    *ret_identity = text;
    return HL_STATUS_OK;
}

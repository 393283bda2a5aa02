/* `hanglab bisect`: from where on along an axis does a case hang? And one step of `git bisect run`. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../campaign/pool.h"
#include "../engine/engines.h"
#include "../scenario/clock.h"
#include "../search/reduce/points.h"
#include "../search/reduce/revisions.h"
#include "../search/reduce/schedules.h"
#include "bisect.h"
#include "command.h"
#include "one_case.h"
#include "options.h"
#include "subjects.h"

enum {
    OPTION_ENGINE = 256,
    OPTION_OVER,
    OPTION_BUILD,
    OPTION_TEST,
    OPTION_REPOSITORY,
    OPTION_TIMEOUT,
    OPTION_STEP,
    OPTION_SEED,
    OPTION_RUNS,
    OPTION_FILTER,
    OPTION_CAUSE,
    OPTION_FORMAT,
    OPTION_TIME_BUDGET,
    OPTION_GEOMETRY,
    OPTION_CONFIDENCE,
    OPTION_RATE_MIN,
    OPTION_NO_STEER
};

static const struct argp_option options[] = {
    { "over", OPTION_OVER, "AXIS=GOOD..BAD", 0,
      "the axis: a parameter with a range or a list (schedule.pieces=1..9, schedule.sizes=8,64,512), "
      "installed releases of a subject (flashinfer=0.6.2..0.6.15, from either end), git revisions "
      "(git=v1.0..main), or the steps of a schedule that `hanglab explore --save-schedule` kept "
      "(schedule=FILE)",
      0 },
    { "build", OPTION_BUILD, "CMD", 0, "over git: shell command that builds a revision, in its worktree", 0 },
    { "test", OPTION_TEST, "CMD", 0,
      "over git: shell command for one run, in the worktree; exit code 0 passed, 1 hung, others tell "
      "nothing. "
      "HANGLAB_SEED, HANGLAB_SCENARIO and HANGLAB_REVISION are in its environment",
      0 },
    { "repository", OPTION_REPOSITORY, "DIR", 0, "over git: where (default: here)", 0 },
    { "timeout", OPTION_TIMEOUT, "TIME", 0, "over git: a test that takes longer hangs (default 10m)", 0 },
    { "step", OPTION_STEP, NULL, 0,
      "no search: run the case once over, for `git bisect run`; exit code 1 it hung, 0 it passed, 125 else",
      0 },
    { "engine", OPTION_ENGINE, "sim|cuda|auto", 0, "what executes the ranks (default auto)", 0 },
    { "seed", OPTION_SEED, "N", 0, "every run draws from it (default 1)", 0 },
    { "runs", OPTION_RUNS, "N", 0, "at most so many runs (default 100000; --step: as the scenario says)", 0 },
    { "filter", OPTION_FILTER, "PATH=VALUE", 0, "as of `hanglab run`; must leave one case", 0 },
    { "cause", OPTION_CAUSE, "CAUSE", 0, "only hangs of this cause count (default: that of the first hang)",
      0 },
    { "out", 'o', "DIR", 0, "over git: worktrees, builds and logs (default hanglab-out/bisect)", 0 },
    { "format", OPTION_FORMAT, "text|json", 0, "of the report on stdout (default text)", 0 },
    { "jobs", 'j', "N", 0,
      "runs at a time (default: one for each core, one on a GPU); does not change any result", 0 },
    { "time-budget", OPTION_TIME_BUDGET, "TIME", 0, "end with what is known by then, e.g. 90s, 15m, 2h", 0 },
    { "confidence", OPTION_CONFIDENCE, "P", 0, "probability that the answer must have (default 0.99)", 0 },
    { "rate-min", OPTION_RATE_MIN, "P", 0, "hangs that are rarer are not looked for (default 0.01)", 0 },
    { "no-steer", OPTION_NO_STEER, NULL, 0, "do not raise the hang rate first", 0 },
    { "geometry", OPTION_GEOMETRY, "reduced|full", 0,
      "sizes: reduced (default in the simulator) or as written (default on a GPU)", 0 },
    { 0 }
};

static const char doc[] =
    "Finds the first value or revision of an axis at which a case hangs, when it may hang only now and then: "
    "a hang "
    "proves a point bad, a pass proves little. Tells the probability of its answer, and says so when the "
    "axis "
    "has no culprit."
    "\vExit code: 0 it has an answer (a culprit, or none here); 3 the runs did not decide; 64 wrong usage or "
    "a bad "
    "scenario; 77 asked for a GPU and there is none; 99 hanglab's own failure. With --step: 0, 1 or 125.";

struct arguments {
    const char *engine, *name, *over, *build, *test, *repository, *out;
    char **filters;
    size_t n_filters;
    int geometry, cause; /* or -1 */
    bool step, json, steer;
    double time_budget_s, timeout_s, begun_s;
    struct hl_trial_lab lab;
    struct hl_bisect_options bisect;
};

static error_t parse_common(int key, char *text, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case OPTION_ENGINE: a->engine = text; return 0;
    case OPTION_SEED: a->lab.run.seed = hl_option_integer(state, "seed", text, 0, HL_SEED_MAX); return 0;
    case OPTION_RUNS:
        a->bisect.runs_max = (long)hl_option_integer(state, "runs", text, 1, 1000000000);
        return 0;
    case OPTION_FILTER: a->filters[a->n_filters++] = text; return 0;
    case OPTION_CAUSE: a->cause = hl_option_word(state, "cause", text, &hl_words_causes); return 0;
    case 'o': a->out = text; return 0;
    case OPTION_FORMAT: a->json = hl_option_is_json(state, text); return 0;
    case 'j': a->lab.jobs = (int)hl_option_integer(state, "jobs", text, 1, 1024); return 0;
    case OPTION_TIME_BUDGET: a->time_budget_s = hl_option_duration_s(state, "time-budget", text); return 0;
    case OPTION_GEOMETRY:
        a->geometry = hl_option_word(state, "geometry", text, &hl_words_geometries);
        return 0;
    case ARGP_KEY_ARG:
        if (a->name)
            argp_error(state, "one case at a time: '%s' is one too many", text);
        a->name = text;
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case OPTION_OVER: a->over = text; return 0;
    case OPTION_BUILD: a->build = text; return 0;
    case OPTION_TEST: a->test = text; return 0;
    case OPTION_REPOSITORY: a->repository = text; return 0;
    case OPTION_TIMEOUT: a->timeout_s = hl_option_duration_s(state, "timeout", text); return 0;
    case OPTION_STEP: a->step = true; return 0;
    case OPTION_CONFIDENCE:
        a->bisect.confidence = hl_option_real(state, "confidence", text, 0.5, 0.999999);
        return 0;
    case OPTION_RATE_MIN: a->bisect.rate_min = hl_option_real(state, "rate-min", text, 1e-6, 0.9); return 0;
    case OPTION_NO_STEER: a->steer = false; return 0;
    case ARGP_KEY_END:
        if (!a->over && !a->step)
            argp_error(state, "which axis? e.g. --over schedule.pieces=1..9 or --over git=GOOD..BAD");
        if (a->over && strncmp(a->over, "git=", 4) == 0 && !a->test)
            argp_error(state,
                       "--over git needs --test CMD, which makes one run of a built revision, for example "
                       "--test './stress --seed $HANGLAB_SEED'");
        if (!a->name && (a->step || strncmp(a->over, "git=", 4) != 0))
            argp_error(state, "which case? e.g. FILE#CASE");
        return 0;
    default: return parse_common(key, text, state);
    }
}

static bool time_is_up(void *user)
{
    const struct arguments *a = user;
    return a->lab.interrupted || (a->time_budget_s > 0 && hl_now_s() - a->begun_s >= a->time_budget_s);
}

/*
 * --step
 */

/* 1 at the first hang that counts, 0 if all runs pass, 125 if something else keeps from knowing. */
static int step(struct arguments *a, const struct hl_campaign_item *item)
{
    enum { BLOCK = 8 };
    const int runs = a->bisect.runs_max > 0 ? (int)a->bisect.runs_max : item->c->config.runs;
    struct hl_likeness likenesses[BLOCK];
    struct hl_error error;
    int passes = 0;
    for (int first = 0; first < runs; first += BLOCK) {
        const int n = runs - first < BLOCK ? runs - first : BLOCK;
        if (hl_trial_run(&a->lab, item->scenario, item->c, first, n, likenesses, &error) != HL_STATUS_OK) {
            hl_complain(&error);
            return 125;
        }
        for (int i = 0; i < n; i++) {
            const struct hl_likeness *l = &likenesses[i];
            if (l->verdict == HL_VERDICT_HANG && (a->cause < 0 || a->cause == (int)l->cause)) {
                char text[256];
                hl_likeness_describe(l, text, sizeof text);
                printf("%s: run %d: %s\n", item->c->id, first + i, text);
                return hl_finish_output(0) == 0 ? 1 : 125;
            }
            passes += l->verdict == HL_VERDICT_PASS;
        }
    }
    printf("%s: %d of %d runs pass, none hangs\n", item->c->id, passes, runs);
    return hl_finish_output(0) == 0 && passes == runs ? 0 : 125;
}

/*
 * The axes
 */

static int go(struct arguments *a, struct hl_bisect_view *view)
{
    struct hl_bisect_result result;
    struct hl_error error;
    a->bisect.user = view;
    a->bisect.run = hl_bisect_view_run;
    a->bisect.on_question = hl_bisect_view_question;
    a->bisect.stop = hl_bisect_view_stop;
    view->stop = time_is_up;
    view->stop_user = a;
    const enum hl_status status = hl_bisect(&a->bisect, &result, &error);
    hl_bisect_view_clear();
    if (status != HL_STATUS_OK)
        return a->lab.interrupted ? (fputs("hanglab: interrupted\n", stderr), 3) : hl_complain(&error);
    view->wall_s = hl_now_s() - a->begun_s;
    (a->json ? hl_bisect_view_json : hl_bisect_view_text)(view, &result);
    const int code = result.end == HL_BISECT_OPEN ? 3 : 0;
    hl_bisect_result_finish(&result);
    return hl_finish_output(code);
}

static enum hl_status parse_points(const char *over, struct hl_points *points, struct hl_error *error)
{
    char *plain = NULL;
    enum hl_status status = HL_STATUS_OK;
    if (hl_is_release_axis(over))
        status = hl_release_axis(over, &plain, error);
    if (!status)
        status = hl_points_parse(plain ? plain : over, points, error);
    free(plain);
    return status;
}

/* A hang of the end that is written first turns the axis round: with releases, the older ones may be bad. */
static enum hl_status turn_round(struct hl_points_lab *lab, struct hl_points *points, struct hl_error *error)
{
    enum { RUNS = 8, FIRST = 30000000 }; /* runs that bisect itself will not repeat */
    enum hl_status status = HL_STATUS_OK;
    bool hangs = false;
    for (int i = 0; !status && !hangs && i < RUNS; i++) { /* one by one: a hang of a GPU takes a second */
        enum hl_shown shown = HL_SHOWN_NOTHING;
        status = hl_points_run(lab, 0, FIRST + i, 1, &shown, error);
        hangs = shown == HL_SHOWN_HANG;
    }
    for (int i = 0, j = points->n - 1; hangs && i < j; i++, j--) {
        char *value = points->values[i];
        points->values[i] = points->values[j];
        points->values[j] = value;
    }
    if (hangs)
        fprintf(stderr, "hanglab: %s hangs: looking from %s on for where that begins\n",
                points->values[points->n - 1], points->values[0]);
    return status;
}

static int over_parameter(struct arguments *a, const struct hl_campaign_item *item)
{
    struct hl_points points;
    struct hl_error error;
    struct hl_bisect_view view = { .id = item->c->id, .run = hl_points_run };
    if (parse_points(a->over, &points, &error) != HL_STATUS_OK)
        return hl_complain(&error);
    struct hl_points_lab lab = { .scenario = item->scenario,
                                 .config = item->c->config,
                                 .points = &points,
                                 .trial = hl_trial_run,
                                 .trial_user = &a->lab,
                                 .cause = a->cause };
    enum hl_status status = hl_points_check(&lab, 0, &error);
    if (status == HL_STATUS_OK)
        status = hl_points_check(&lab, points.n - 1, &error);
    if (status == HL_STATUS_OK && hl_is_release_axis(a->over))
        status = turn_round(&lab, &points, &error);
    if (status == HL_STATUS_OK && a->steer)
        status = hl_points_steer(&lab, &view.steered, &view.steer_runs, &error);
    view.axis = points.path;
    view.names = points.values;
    view.user = &lab;
    a->bisect.points = points.n;
    /* Behind a release that brings a bug the rate stays; the values of a parameter each have their own, and
     * users guess more than they know where it begins to hang. */
    if (!hl_is_release_axis(a->over)) {
        a->bisect.rates_differ = view.rates_differ = true;
        a->bisect.prior_first = 0.2;
    }
    const int code = status == HL_STATUS_OK ? go(a, &view) : hl_complain(&error);
    hl_points_finish(&points);
    return code;
}

static int over_schedules(struct arguments *a, const struct hl_campaign_item *item)
{
    struct hl_schedules schedules;
    struct hl_error error;
    struct hl_bisect_view view = {
        .id = item->c->id, .axis = "step", .run = hl_schedules_run, .user = &schedules
    };
    const char *file = strchr(a->over, '=') + 1;
    if (hl_schedules_init(&schedules, &item->c->config, file, (uint32_t)a->lab.run.seed, &error) !=
        HL_STATUS_OK)
        return hl_complain(&error);
    view.names = schedules.names;
    a->bisect.points = schedules.n;
    a->bisect.rates_differ = view.rates_differ = true;
    const int code = go(a, &view);
    hl_schedules_finish(&schedules);
    return code;
}

/* The case as a file of its own, for the commands; sets *ret_path to its absolute path. */
static enum hl_status write_scenario(const struct arguments *a, const struct hl_campaign_item *item,
                                     char **ret_path, struct hl_error *error)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s.yaml", a->out, item->scenario->name) < 0)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    FILE *out = fopen(path, "we");
    const bool written = out && hl_case_write_yaml(item->scenario, item->c, out) == HL_STATUS_OK;
    const bool closed = out && fclose(out) == 0;
    char *absolute = written && closed ? realpath(path, NULL) : NULL;
    free(path);
    if (!absolute)
        return hl_fail(error, HL_STATUS_IO, "%s: cannot write the scenario into this folder", a->out);
    *ret_path = absolute;
    return HL_STATUS_OK;
}

static int over_git(struct arguments *a, const struct hl_campaign_item *item)
{
    struct hl_revisions revisions;
    struct hl_error error;
    char *scenario = NULL;
    const struct hl_revisions_options wanted = { a->repository, a->over + 4, a->build,        a->test,
                                                 a->out,        NULL,        a->lab.run.seed, a->timeout_s };
    if (hl_revisions_init(&revisions, &wanted, &error) != HL_STATUS_OK)
        return hl_complain(&error);
    int code;
    if (item && write_scenario(a, item, &scenario, &error) != HL_STATUS_OK) {
        code = hl_complain(&error);
    } else if (revisions.n < 2) {
        hl_fail(&error, HL_STATUS_USAGE, "--over %s: there is no commit in between, nor a second one",
                a->over);
        code = hl_complain(&error);
    } else {
        struct hl_bisect_view view = { .id = item ? item->c->id : a->over + 4,
                                       .axis = "git",
                                       .names = revisions.hashes,
                                       .run = hl_revisions_run,
                                       .user = &revisions };
        revisions.options.scenario = scenario;
        a->bisect.points = revisions.n;
        code = go(a, &view);
    }
    free(scenario);
    hl_revisions_finish(&revisions);
    return code;
}

static int run(struct arguments *a)
{
    struct hl_error error;
    struct hl_inputs inputs = { 0 };
    if (hl_find_engine(a->engine, &a->lab.run.engine, &error) != HL_STATUS_OK ||
        (a->name && hl_one_case_load(a->name, a->filters, a->n_filters, &inputs, &error) != HL_STATUS_OK))
        return hl_complain(&error);
    const bool cuda = hl_is_cuda(a->lab.run.engine);
    struct hl_case c;
    struct hl_campaign_item item;
    if (a->name) {
        item = inputs.items[0];
        c = *item.c;
        c.config.geometry = a->geometry >= 0 ? (enum hl_geometry)a->geometry
                            : cuda           ? HL_GEOMETRY_FULL
                                             : HL_GEOMETRY_REDUCED;
        item.c = &c;
    }
    if (a->lab.jobs == 0)
        a->lab.jobs = cuda ? 1 : hl_pool_default_jobs();
    const int code = a->step                                 ? step(a, &item)
                     : strncmp(a->over, "git=", 4) == 0      ? over_git(a, a->name ? &item : NULL)
                     : strncmp(a->over, "schedule=", 9) == 0 ? over_schedules(a, &item)
                                                             : over_parameter(a, &item);
    hl_inputs_finish(&inputs);
    return code;
}

int hl_command_bisect(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options, .parser = parse, .args_doc = "FILE#CASE", .doc = doc
    };
    struct arguments a = { .engine = "auto",
                           .geometry = -1,
                           .cause = -1,
                           .steer = true,
                           .repository = ".",
                           .out = "hanglab-out/bisect",
                           .timeout_s = 600,
                           .begun_s = hl_now_s(),
                           .lab = { .run = { .seed = 1 } } };
    bool is_step = false;
    for (int i = 1; i < argc; i++)
        is_step |= strcmp(argv[i], "--step") == 0;
    /* For git bisect run, a mistake on the command line must not look like a bad commit. */
    if (is_step)
        argp_err_exit_status = 125;
    a.filters = calloc((size_t)argc, sizeof *a.filters);
    if (!a.filters)
        return is_step ? 125 : hl_status_exit_code(HL_STATUS_MEMORY);
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    const int code = run(&a);
    free(a.filters);
    return is_step && code != 0 && code != 1 ? 125 : code;
}

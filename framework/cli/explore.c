/* `hanglab explore`: proves that a configuration cannot hang, or hands over a way to hang it. */
#include <argp.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "../campaign/build.h"
#include "../campaign/bundle.h"
#include "../campaign/inputs.h"
#include "../campaign/pool.h"
#include "../../reports/collection.h"
#include "../../reports/results.h"
#include "../search/litmus.h"
#include "../search/promela.h"
#include "../search/reduce/steer.h"
#include "command.h"
#include "explore.h"
#include "options.h"

static const char doc[] =
    "Goes through every schedule of the cases of scenario files: proves that none hangs, or shows one "
    "that does."
    "\vThe step sources themselves are searched, not a model of them: every order of the accesses of all "
    "CTAs of all ranks, with stores that are seen at once or (world.memory: relaxed) later and in any order, "
    "and "
    "with calls issued without end. Rows are one word, and token counts small; what was covered is printed "
    "with each answer.";

enum {
    KEY_RANKS = 256,
    KEY_TOKENS,
    KEY_ROUNDS,
    KEY_CALLS,
    KEY_STATES,
    KEY_TIME,
    KEY_FULL,
    KEY_SCHEDULE,
    KEY_SAVE,
    KEY_FORMAT,
    KEY_RANDOM,
    KEY_SEED,
    KEY_EXPORT,
    KEY_CHECKPOINT,
    KEY_RESUME,
    KEY_SCENARIO,
    KEY_ENGINE
};

static const struct argp_option options[] = {
    { "filter", 'f', "PATH=VALUE", 0, "only cases with this matrix parameter, or with this text in their id",
      0 },
    { "ranks", KEY_RANKS, "N", 0, "search with N ranks (2..16) instead of the file's", 0 },
    { "tokens", KEY_TOKENS, "N", 0, "at most N tokens, hence CTAs, a call (1..8)", 0 },
    { "rounds", KEY_ROUNDS, "N", 0, "N replays (with --calls: times through the sizes), not without end", 0 },
    { "calls", KEY_CALLS, NULL, 0, "the calls alone, one size after the other: no hosts, graphs and warm-ups",
      0 },
    { "states", KEY_STATES, "N", 0, "give up the search of all schedules after N states (default 50000000)",
      0 },
    { "time-budget", KEY_TIME, "TIME", 0,
      "give up after so long (default 60s): all schedules have half of it, random ones the rest", 0 },
    { "random", KEY_RANDOM, "N", 0,
      "take N random schedules, and do not try all; with --rounds (default 4). Else: as many as say with 95 "
      "% "
      "that there is no hang of depth 2, where the search of all ends early",
      0 },
    { "seed", KEY_SEED, "N", 0, "of the random schedules (default 1)", 0 },
    { "jobs", 'j', "N", 0, "threads for random schedules (default: one for each core); changes no result",
      0 },
    { "checkpoint", KEY_CHECKPOINT, "FILE", 0,
      "keep there what a search has done: every minute, at Ctrl-C, and when the budget ends", 0 },
    { "resume", KEY_RESUME, NULL, 0, "go on from the checkpoint", 0 },
    { "export", KEY_EXPORT, "promela|litmus", 0,
      "write the case as a model for Spin, or its critical fragments as PTX litmus tests (files with --out), "
      "instead of searching",
      0 },
    { "no-reduction", KEY_FULL, NULL, 0, "visit every order of independent steps too", 0 },
    { "save-schedule", KEY_SAVE, "FILE", 0, "write the schedule of the first hang to FILE", 0 },
    { "schedule", KEY_SCHEDULE, "FILE", 0, "replay a saved schedule instead of searching", 0 },
    { "scenario", KEY_SCENARIO, "FILE", 0,
      "write the first hang as a scenario that hangs often on an engine: it tries which host has to be late",
      0 },
    { "engine", KEY_ENGINE, "sim|cuda|auto", 0, "of --scenario (default sim)", 0 },
    { "out", 'o', "DIR", 0, "leave the results there, and a page with the schedules", 0 },
    { "format", KEY_FORMAT, "text|json", 0, "json: one object a line", 0 },
    { 0 }
};

static volatile sig_atomic_t stop_requested;

/* The first signal ends the search, with its checkpoint written; one that comes a second later is impatience,
 * and kills. What comes sooner is the same wish told twice: `timeout` signals the command and then its whole
 * group, a terminal and a script around it both pass Ctrl-C on. */
static void request_stop(int signal)
{
    static struct timespec first;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!stop_requested)
        first = now;
    else if (now.tv_sec - first.tv_sec - (now.tv_nsec < first.tv_nsec) >= 1) {
        sigaction(signal, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
        raise(signal); /* taken when this handler returns */
    }
    stop_requested = 1;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct hl_explore_arguments *a = state->input;
    struct hl_portfolio_options *o = &a->search;
    switch (key) {
    case 'f': a->filters[a->n_filters++] = text; return 0;
    case KEY_RANKS: o->cover.ranks = (int)hl_option_integer(state, "ranks", text, 2, HL_RANKS_MAX); return 0;
    case KEY_TOKENS: o->cover.tokens_max = (uint32_t)hl_option_integer(state, "tokens", text, 1, 8); return 0;
    case KEY_ROUNDS: o->cover.rounds = (uint32_t)hl_option_integer(state, "rounds", text, 1, 40); return 0;
    case KEY_CALLS: o->cover.programs = false; return 0;
    case KEY_STATES:
        o->explore.states_max = hl_option_integer(state, "states", text, 1, 4000000000);
        return 0;
    case KEY_TIME: o->explore.seconds_max = hl_option_duration_s(state, "time-budget", text); return 0;
    case KEY_FULL: o->explore.reduce = false; return 0;
    case KEY_RANDOM:
        o->walk.schedules = hl_option_integer(state, "random", text, 1, 1000000000000000);
        o->walks_only = true;
        return 0;
    case KEY_SEED: o->walk.seed = hl_option_integer(state, "seed", text, 0, HL_SEED_MAX); return 0;
    case 'j': o->walk.jobs = (int)hl_option_integer(state, "jobs", text, 1, 1024); return 0;
    case KEY_CHECKPOINT: a->checkpoint = text; return 0;
    case KEY_RESUME: a->resumes = true; return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_rest(int key, char *text, struct argp_state *state)
{
    struct hl_explore_arguments *a = state->input;
    switch (key) {
    case KEY_EXPORT:
        if (strcmp(text, "promela") != 0 && strcmp(text, "litmus") != 0)
            argp_error(state, "--export: expected promela or litmus, not '%s'", text);
        a->exports = text;
        a->search.cover.programs = false;
        return 0;
    case KEY_SCHEDULE: a->schedule = text; return 0;
    case KEY_SAVE: a->save = text; return 0;
    case KEY_SCENARIO: a->scenario = text; return 0;
    case KEY_ENGINE: a->engine = text; return 0;
    case 'o': a->out = text; return 0;
    case KEY_FORMAT: a->json = hl_option_is_json(state, text); return 0;
    case ARGP_KEY_ARG: a->names[a->n_names++] = text; return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which scenario file?"); return 0;
    case ARGP_KEY_END:
        if (a->resumes && !a->checkpoint)
            argp_error(state, "--resume: from which --checkpoint FILE?");
        return 0;
    default: return parse(key, text, state);
    }
}

/* The schedule that hangs with the fewest turns, or at least one with fewer. */
static enum hl_status calm_down(struct hl_explore_found *f, struct hl_error *error)
{
    struct hl_path calm;
    enum hl_status status = hl_path_join_turns(f->search.space, &f->search.path, error);
    if (!status)
        status = hl_explore_calmest(f->search.space, 400000, &calm, error);
    if (status || !calm.n)
        return status;
    hl_path_finish(&f->search.path);
    f->search.path = calm;
    return HL_STATUS_OK;
}

static enum hl_status tell_hang(const struct hl_explore_arguments *a, struct hl_explore_found *f,
                                struct hl_error *error)
{
    const bool is_lasso = f->search.path.again != 0; /* no state of it hangs */
    enum hl_status status = is_lasso ? HL_STATUS_OK : calm_down(f, error);
    if (!status)
        status = hl_story_tell(f->search.space, &f->search.path, NULL, &f->story, error);
    if (!status && !is_lasso)
        status = hl_decide(f->search.space, &f->search.path, &f->decided, error);
    if (!status && f->decided.is_decided)
        status = hl_decided_describe(f->search.space, &f->decided, f->pair, error);
    const struct hl_schedule_of of = hl_portfolio_schedule_of(&f->search, &a->search);
    if (!status && a->save)
        status = hl_path_write(f->search.space, &f->search.path, f->c->id, &of, a->save, error);
    return status;
}

/* Searches a case, from a checkpoint on if there is one. */
static enum hl_status search(const struct hl_explore_arguments *a, struct hl_explore_found *f,
                             struct hl_error *error)
{
    struct hl_portfolio_options o = a->search;
    struct hl_checkpoint checkpoint = { .file = a->checkpoint, .every_s = 60 };
    char build[HL_BUILD_TEXT], *identity = NULL;
    bool found = false;
    if (!a->checkpoint)
        return hl_portfolio_run(&f->c->config, &o, &f->search, error);
    if (!hl_build_text(build))
        return hl_fail(error, HL_STATUS_IO, "cannot read the program itself, to know its build");
    enum hl_status status = hl_portfolio_identity(&f->c->config, &o, build, &identity, error);
    checkpoint.identity = identity;
    o.checkpoint = &checkpoint;
    if (!status && a->resumes)
        status = hl_checkpoint_load(&checkpoint, &found, error);
    if (!status && a->resumes && !found)
        fprintf(stderr, "hanglab: there is no %s yet: the search begins\n", a->checkpoint);
    if (!status)
        status = hl_portfolio_run(&f->c->config, &o, &f->search, error);
    if (checkpoint.trouble[0])
        fprintf(stderr, "hanglab: %s\n", checkpoint.trouble);
    if (!status && f->search.answer != HL_ANSWER_BOUND_REACHED)
        unlink(a->checkpoint); /* nothing is left to go on with */
    hl_checkpoint_finish(&checkpoint);
    free(identity);
    return status;
}

/* Exit code of a case: 1 an unexpected hang, 2 unexpected wrong sums, 3 nothing certain. */
static int code_of(const struct hl_explore_found *f)
{
    if (hl_explore_is_as_expected(f))
        return 0;
    return f->search.answer == HL_ANSWER_HANG ? 1 : f->search.answer == HL_ANSWER_CORRUPT ? 2 : 3;
}

/* As one line on stdout, and among the results. */
static void keep_json(const struct hl_explore_arguments *a, json_t *object)
{
    if (a->json) {
        json_dumpf(object, stdout, JSON_COMPACT);
        putchar('\n');
    }
    json_array_append_new(a->results, object);
}

/* A case that a search does not take is a result, too: among many, it is told from those that were proven. */
static int refuse(struct hl_explore_arguments *a, const struct hl_case *c, const struct hl_error *error)
{
    struct hl_error named;
    a->tally.cases++;
    a->tally.refused++;
    if (a->json || a->out)
        keep_json(a, hl_explore_refused_json(c, error));
    hl_fail(&named, error->status, "%s: %s", c->id, error->message);
    return hl_complain(&named);
}

static int write_lines(void *user, FILE *out)
{
    size_t i;
    json_t *line;
    json_array_foreach((json_t *)user, i, line)
    {
        if (json_dumpf(line, out, JSON_COMPACT) < 0)
            return -1;
        fputc('\n', out);
    }
    return ferror(out) ? -1 : 0;
}

/* Results that cannot be left behind change only a good exit code. */
static int leave_results(const struct hl_explore_arguments *a, int code)
{
    struct hl_error error;
    if (!a->out || !json_array_size(a->results))
        return code;
    if (hl_results_leave(a->out, write_lines, a->results, &error) != HL_STATUS_OK) {
        const int failed = hl_complain(&error);
        return code ? code : failed;
    }
    if (!a->json)
        printf("As a page: %s/" HL_PAGE_NAME "\n", a->out);
    return code;
}

/* The hang as a scenario, with what was measured of it. */
static enum hl_status write_scenario(struct hl_explore_arguments *a, const struct hl_explore_found *f,
                                     const struct hl_scenario *scenario, struct hl_error *error)
{
    struct hl_trial_lab lab = { .run = { .seed = 1 } };
    const struct hl_story_turn *pair = f->pair;
    struct hl_steered steered;
    const char *path = a->scenario;
    a->scenario = NULL; /* of the first hang only */
    enum hl_status status = hl_find_engine(a->engine, &lab.run.engine, error);
    if (status)
        return status;
    lab.jobs = hl_is_cuda(lab.run.engine) ? 1 : hl_pool_default_jobs();
    const struct hl_steer_options steer = { .scenario = scenario,
                                            .c = f->c,
                                            .ranks = f->search.cover.spec.ranks,
                                            .decides = f->decided.is_decided,
                                            .rank = { pair[0].rank, pair[1].rank },
                                            .call = { pair[0].call, pair[1].call },
                                            .step_text = { pair[0].text, pair[1].text },
                                            .trial = hl_trial_run,
                                            .trial_user = &lab,
                                            .engine = lab.run.engine->name };
    status = hl_steer(&steer, &steered, error);
    if (!status && steered.hits == 0)
        return hl_fail(
            error, HL_STATUS_USAGE,
            "no late host makes %s hang on the engine %s (%d ways tried, 20 runs each): %s was not written",
            f->c->id, steer.engine, steered.tried, path);
    if (!status)
        status = hl_steer_write(&steer, &steered, path, error);
    if (!status && !a->json)
        printf("  %s hangs in %d of %d runs on the engine %s, unsteered in %d of %d. What steers it: %s.\n\n",
               path, steered.hits, steered.runs, steer.engine, steered.before_hits, steered.before_runs,
               steered.what);
    return status;
}

static int explore_case(struct hl_explore_arguments *a, const struct hl_campaign_item *item)
{
    const struct hl_case *c = item->c;
    struct hl_explore_found f = { .c = c };
    struct hl_error error;
    json_t *object = NULL;
    enum hl_status status = search(a, &f, &error);
    if (status)
        return status == HL_STATUS_USAGE ? refuse(a, c, &error) : hl_complain(&error);
    hl_explore_tally_add(&a->tally, &f);
    if (f.search.answer == HL_ANSWER_HANG)
        status = tell_hang(a, &f, &error);
    if (!status && (a->json || a->out))
        status = hl_explore_json(&f, &object, &error);
    if (object)
        keep_json(a, object);
    if (!status && !a->json)
        status = hl_explore_write_text(&f, &error);
    if (!status && a->scenario && f.search.answer == HL_ANSWER_HANG)
        status = write_scenario(a, &f, item->scenario, &error);
    const int code = code_of(&f);
    hl_decided_finish(&f.decided);
    hl_portfolio_finish(&f.search);
    return status ? hl_complain(&error) : code;
}

static int replay(const struct hl_explore_arguments *a, const struct hl_case *c)
{
    struct hl_space *space;
    struct hl_path path = { 0 };
    struct hl_story story;
    struct hl_error error;
    enum hl_status status = hl_schedule_load(&c->config, a->schedule, &space, &path, &error);
    if (status)
        return hl_complain(&error);
    printf("%s, schedule %s\n\n", c->id, a->schedule);
    status = hl_story_write(space, &path, stdout, &story, &error);
    const bool is_lasso = path.again != 0;
    hl_path_finish(&path);
    hl_space_destroy(space);
    if (status)
        return hl_complain(&error);
    puts(story.hangs ? is_lasso ? "\n  This comes again and again: a hang." : "\n  Nothing can go on: a hang."
                     : "  Some CTA can still go on: no hang.");
    return story.hangs && c->expected.verdict != HL_VERDICT_HANG ? 1 : 0;
}

struct litmus_file {
    struct hl_space *space;
    enum hl_litmus_fragment fragment;
    const char *name;
    bool written;
    struct hl_error *error;
};

static int write_litmus(void *user, FILE *out)
{
    struct litmus_file *f = user;
    return hl_litmus_write(f->space, f->fragment, f->name, out, &f->written, f->error) ? -1 : 0;
}

/* Each fragment that the protocol has: on stdout, or as a file of its own. */
static enum hl_status export_litmus(const struct hl_explore_arguments *a, const struct hl_case *c,
                                    struct hl_space *space, struct hl_error *error)
{
    char path[PATH_MAX], name[HL_FOLDER_NAME_MAX];
    hl_case_folder_name(c->id, name);
    for (int i = 0; i < HL_LITMUS_FRAGMENT_COUNT; i++) {
        struct litmus_file file = { space, (enum hl_litmus_fragment)i, c->id, false, error };
        FILE *nowhere = a->out ? fopen("/dev/null", "w") : NULL;
        enum hl_status status =
            write_litmus(&file, nowhere ? nowhere : stdout) ? HL_STATUS_USAGE : HL_STATUS_OK;
        if (nowhere)
            fclose(nowhere);
        snprintf(path, sizeof path, "%s/%s-%s.litmus", a->out ? a->out : "", name,
                 hl_litmus_name(file.fragment));
        if (!status && a->out && file.written) {
            status = hl_whole_file_write(path, write_litmus, &file, error);
            puts(path);
        }
        if (status)
            return status;
    }
    return HL_STATUS_OK;
}

static int export_case(const struct hl_explore_arguments *a, const struct hl_case *c)
{
    struct hl_cover cover;
    struct hl_space *space;
    struct hl_error error;
    enum hl_status status = hl_cover_make(&c->config, &a->search.cover, &cover, &error);
    cover.spec.relaxed = false; /* the memory is that of the tool that reads the model */
    if (!status)
        status = hl_space_create(&cover.spec, &space, &error);
    if (status)
        return hl_complain(&error);
    status = strcmp(a->exports, "litmus") == 0 ? export_litmus(a, c, space, &error)
                                               : hl_promela_write(space, c->id, stdout, &error);
    hl_space_destroy(space);
    return status ? hl_complain(&error) : 0;
}

static int explore_all(struct hl_explore_arguments *a)
{
    struct hl_inputs inputs;
    struct hl_error error;
    if (hl_inputs_load(a->names, a->n_names, a->filters, a->n_filters, &inputs, &error) != HL_STATUS_OK)
        return hl_complain(&error);
    int code = 0;
    if (a->checkpoint && inputs.n_items > 1) {
        hl_fail(&error, HL_STATUS_USAGE,
                "a checkpoint is of one case, and these are %zu: choose one with --filter", inputs.n_items);
        code = hl_complain(&error);
        inputs.n_items = 0;
    }
    for (size_t i = 0; i < inputs.n_items && !stop_requested; i++) {
        const struct hl_case *c = inputs.items[i].c;
        const int its = a->schedule  ? replay(a, c)
                        : a->exports ? export_case(a, c)
                                     : explore_case(a, &inputs.items[i]);
        if (its > 3 || (its && (code == 0 || its < code)))
            code = code > 3 ? code : its;
        fflush(stdout);
    }
    hl_inputs_finish(&inputs);
    if (!a->schedule && !a->exports)
        hl_explore_tally_write(&a->tally, a->json, code);
    return code;
}

int hl_command_explore(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options, .parser = parse_rest, .args_doc = "FILE...", .doc = doc
    };
    struct hl_explore_arguments a = {
        .engine = "sim",
        .names = calloc((size_t)argc, sizeof(char *)),
        .filters = calloc((size_t)argc, sizeof(char *)),
        .search = { .cover.programs = true,
                    .explore = { .reduce = true,
                                 .states_max = 50000000,
                                 .seconds_max = 60,
                                 .stop = &stop_requested },
                    .walk = { .seed = 1, .jobs = hl_pool_default_jobs(), .stop = &stop_requested } }
    };
    if (!a.names || !a.filters)
        return hl_status_exit_code(HL_STATUS_MEMORY);
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    if (a.search.walks_only && !a.search.cover.rounds)
        a.search.cover.rounds = HL_PORTFOLIO_ROUNDS;
    const struct sigaction action = { .sa_handler = request_stop, .sa_flags = SA_RESTART };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    a.results = json_array();
    const int code = leave_results(&a, explore_all(&a));
    json_decref(a.results);
    free(a.names);
    free(a.filters);
    return hl_finish_output(code);
}

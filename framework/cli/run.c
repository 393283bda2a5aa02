/* `hanglab run`: options in, a campaign in the middle, a report out. */
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "../../reports/progress.h"
#include "../../reports/collection.h"
#include "../../reports/report.h"
#include "../../reports/results.h"
#include "../campaign/inputs.h"
#include "../campaign/pool.h"
#include "../scenario/words.h"
#include "command.h"
#include "options.h"
#include "subjects.h"
#include "terminal.h"

enum {
    OPTION_ENGINE = 256,
    OPTION_SEED,
    OPTION_RUN_SEED,
    OPTION_RUNS,
    OPTION_FILTER,
    OPTION_FORMAT,
    OPTION_TIME_BUDGET,
    OPTION_SUBJECT,
    OPTION_GEOMETRY
};

static const struct argp_option options[] = {
    { "engine", OPTION_ENGINE, "sim|cuda|auto", 0,
      "what executes the ranks; auto: cuda if there is a GPU, else sim", 0 },
    { "seed", OPTION_SEED, "N", 0, "every run draws from it (default 1)", 0 },
    { "run-seed", OPTION_RUN_SEED, "N", 0,
      "do one run of one case with exactly this seed, as a report or bundle gives it", 0 },
    { "runs", OPTION_RUNS, "N", 0, "runs of each case (default: as the scenario says)", 0 },
    { "filter", OPTION_FILTER, "PATH=VALUE", 0,
      "only cases with this matrix parameter, or with this text in their id; "
      "may be repeated: alternatives for one path, else all must hold",
      0 },
    { "out", 'o', "DIR", 0, "where evidence bundles go (default hanglab-out)", 0 },
    { "format", OPTION_FORMAT, "text|json|junit|tap", 0, "of the report on stdout (default text)", 0 },
    { "jobs", 'j', "N", 0,
      "cases at a time (default: one for each core, one on a GPU); does not change any result", 0 },
    { "time-budget", OPTION_TIME_BUDGET, "TIME", 0,
      "start no case after it, e.g. 90, 90s, 15m, 2h; the rest is skipped", 0 },
    { "subject", OPTION_SUBJECT, "NAME|PATH", 0,
      "run the calls with this subject in place of hanglab's own kernels, such as flashinfer@0.6.9", 0 },
    { "geometry", OPTION_GEOMETRY, "reduced|full", 0,
      "sizes: reduced, or as written (default: as the scenario says; on a GPU, full)", 0 },
    { 0 }
};

static const char doc[] =
    "Runs every case of the scenario files (or of all *.yaml in the folders) and tells which hang, and why."
    "\vExit code: 0 all as expected; 1 an unexpected hang; 2 an unexpected wrong result or crash, or none "
    "where one "
    "was expected; 3 inconclusive or interrupted; 64 wrong usage or a bad scenario; 77 asked for a GPU and "
    "there is "
    "none; 99 hanglab's own failure. 1 outranks 2 outranks 3.";

struct arguments {
    const char *engine;
    const struct hl_report_format *format;
    struct hl_campaign campaign;
    const char *subject; /* or NULL: as each scenario says */
    int geometry;        /* enum hl_geometry, or -1: as each scenario says */
    char **filters;
    size_t n_filters;
    char **paths;
    size_t n_paths;
};

static void set_format(struct argp_state *state, struct arguments *a, const char *name)
{
    a->format = hl_report_find(name);
    if (!a->format)
        argp_error(state, "--format takes text, json, junit or tap, not '%s'", name);
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct arguments *a = state->input;
    struct hl_run_options *run = &a->campaign.run;
    switch (key) {
    case OPTION_ENGINE: a->engine = text; return 0;
    case OPTION_SEED: run->seed = hl_option_integer(state, "seed", text, 0, HL_SEED_MAX); return 0;
    case OPTION_RUN_SEED:
        run->seed = hl_option_integer(state, "run-seed", text, 0, HL_SEED_MAX);
        run->seed_is_of_run = true;
        return 0;
    case OPTION_RUNS: run->runs = (int)hl_option_integer(state, "runs", text, 1, 1000000); return 0;
    case OPTION_FILTER: a->filters[a->n_filters++] = text; return 0;
    case 'o': run->out_dir = text; return 0;
    case OPTION_FORMAT: set_format(state, a, text); return 0;
    case 'j': a->campaign.jobs = (int)hl_option_integer(state, "jobs", text, 1, 1024); return 0;
    case OPTION_TIME_BUDGET:
        a->campaign.time_budget_s = hl_option_duration_s(state, "time-budget", text);
        return 0;
    case OPTION_SUBJECT: a->subject = text; return 0;
    case OPTION_GEOMETRY:
        a->geometry = hl_option_word(state, "geometry", text, &hl_words_geometries);
        return 0;
    case ARGP_KEY_ARG: a->paths[a->n_paths++] = text; return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which scenario? e.g. scenarios/seed/sglang-23402.yaml");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

struct display {
    const struct hl_report_format *format;
    struct hl_report report;
    struct hl_progress_bar progress;
};

static void on_case(void *user, const struct hl_campaign *campaign, const struct hl_campaign_item *item)
{
    struct display *display = user;
    hl_progress_clear(&display->progress);
    if (item->result.evidence_error[0])
        fprintf(stderr, "hanglab: no evidence of %s: %s\n", item->c->id, item->result.evidence_error);
    if (display->format->on_case)
        display->format->on_case(&display->report, campaign, item);
    hl_progress_case(&display->progress, campaign, item);
}

static void on_tick(void *user, const struct hl_campaign *campaign, size_t finished)
{
    struct display *display = user;
    hl_progress_tick(&display->progress, campaign, finished);
}

/* What was found has been told already: results that cannot be left behind change only a good exit code. */
static int leave_results(const struct arguments *a)
{
    const struct hl_campaign *campaign = &a->campaign;
    const int code = hl_campaign_exit_code(campaign);
    struct hl_error error;
    if (hl_results_write(campaign, &error) != HL_STATUS_OK) {
        const int failed = hl_complain(&error);
        return code ? code : failed;
    }
    if (a->format == &hl_report_text)
        printf("As a page: %s/" HL_PAGE_NAME "\n", campaign->run.out_dir);
    return code;
}

static int run_campaign(struct arguments *a)
{
    struct display display = { .format = a->format,
                               .report = { stdout, hl_text_columns(), hl_report_wants_colour(stdout) } };
    struct hl_campaign *campaign = &a->campaign;
    hl_progress_init(&display.progress, stderr, a->format == &hl_report_text);
    campaign->user = &display;
    campaign->on_case = on_case;
    campaign->on_tick = on_tick;
    if (a->format->begin)
        a->format->begin(&display.report, campaign);
    struct hl_error error;
    const enum hl_status status = hl_campaign_run(campaign, &error);
    hl_progress_clear(&display.progress);
    if (a->format->end)
        a->format->end(&display.report, campaign);
    if (status != HL_STATUS_OK)
        return hl_complain(&error);
    return hl_finish_output(leave_results(a));
}

static int run(struct arguments *a)
{
    struct hl_error error;
    struct hl_inputs inputs;
    struct hl_campaign *campaign = &a->campaign;
    if (hl_find_engine(a->engine, &campaign->run.engine, &error) != HL_STATUS_OK ||
        hl_inputs_load(a->paths, a->n_paths, a->filters, a->n_filters, &inputs, &error) != HL_STATUS_OK)
        return hl_complain(&error);
    const bool cuda = hl_is_cuda(campaign->run.engine);
    if (campaign->jobs == 0)
        campaign->jobs = cuda ? 1 : hl_pool_default_jobs(); /* a GPU runs one case at a time */
    if (hl_inputs_set_subject(&inputs, a->subject, &error) != HL_STATUS_OK) {
        hl_inputs_finish(&inputs);
        return hl_complain(&error);
    }
    hl_inputs_set_geometry(&inputs, a->geometry, cuda);
    int code;
    if (campaign->run.seed_is_of_run && inputs.n_items != 1) {
        hl_fail(&error, HL_STATUS_USAGE,
                "--run-seed is for one case, and these are %zu; choose one with --filter", inputs.n_items);
        code = hl_complain(&error);
    } else {
        campaign->items = inputs.items;
        campaign->n_items = inputs.n_items;
        inputs.items = NULL;
        code = run_campaign(a);
        hl_campaign_finish(campaign);
    }
    hl_inputs_finish(&inputs);
    return code;
}

int hl_command_run(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options, .parser = parse, .args_doc = "FILE...", .doc = doc
    };
    struct arguments a = { .engine = "auto",
                           .format = &hl_report_text,
                           .geometry = -1,
                           .campaign = { .run = { .seed = 1, .out_dir = "hanglab-out" } } };
    a.filters = calloc((size_t)argc, sizeof *a.filters);
    a.paths = calloc((size_t)argc, sizeof *a.paths);
    if (!a.filters || !a.paths)
        return hl_status_exit_code(HL_STATUS_MEMORY);
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    const int code = run(&a);
    free(a.filters);
    free(a.paths);
    return code;
}

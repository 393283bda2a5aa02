/* `hanglab sweep`: many cases for as long as there is time, every result on disk as it comes. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../../reports/night.h"
#include "../../reports/report.h"
#include "../campaign/inputs.h"
#include "../campaign/pool.h"
#include "../campaign/select.h"
#include "../campaign/sweep.h"
#include "command.h"
#include "options.h"
#include "subjects.h"
#include "terminal.h"

enum {
    OPTION_ENGINE = 256,
    OPTION_SEED,
    OPTION_FILTER,
    OPTION_FORMAT,
    OPTION_TIME_BUDGET,
    OPTION_SUBJECT,
    OPTION_GEOMETRY,
    OPTION_RESUME,
    OPTION_SHARD,
    OPTION_T_WISE,
    OPTION_SWARM,
    OPTION_RUN_LIMIT,
    OPTION_EVIDENCE_LIMIT,
    OPTION_EVIDENCE_NEWEST,
    OPTION_CLEAN_LIMIT,
    OPTION_DECIDE
};

static const struct argp_option options[] = {
    { "time-budget", OPTION_TIME_BUDGET, "TIME", 0,
      "go round and round through the cases for so long, e.g. 10m, 8h (default: as many runs of each case as "
      "its "
      "scenario says)",
      0 },
    { "jobs", 'j', "N", 0, "runs at a time (default: one for each core)", 0 },
    { "out", 'o', "DIR", 0, "where results and evidence go (default hanglab-sweep)", 0 },
    { "resume", OPTION_RESUME, NULL, 0,
      "go on with the results in DIR: after an interruption, a crash, a kill -9", 0 },
    { "shard", OPTION_SHARD, "I/N", 0, "only the I-th of N parts of the runs; see `hanglab merge`", 0 },
    { "t-wise", OPTION_T_WISE, "T", 0,
      "not the whole matrix, but cases that together have every combination of T values (2 to 4)", 0 },
    { "swarm", OPTION_SWARM, "N", 0,
      "N random swarm configurations of each matrix (with --t-wise: besides its cases)", 0 },
    { "seed", OPTION_SEED, "N", 0, "every run draws from it (default 1); nights should differ in it", 0 },
    { "engine", OPTION_ENGINE, "sim|cuda|auto", 0, "what executes the ranks (default auto)", 0 },
    { "subject", OPTION_SUBJECT, "NAME|PATH", 0,
      "run the calls with this subject in place of hanglab's own kernels, such as flashinfer@0.6.9", 0 },
    { "geometry", OPTION_GEOMETRY, "reduced|full", 0,
      "sizes: reduced or as written (default: as each scenario says)", 0 },
    { "filter", OPTION_FILTER, "PATH=VALUE", 0, "only these cases, as for `hanglab run`", 0 },
    { "run-limit", OPTION_RUN_LIMIT, "TIME", 0,
      "kill a run that takes longer, with its process (default 10m)", 0 },
    { "evidence-limit", OPTION_EVIDENCE_LIMIT, "MIB", 0, "disk space for evidence bundles (default 2048)",
      0 },
    { "evidence-newest", OPTION_EVIDENCE_NEWEST, "N", 0,
      "bundles kept of each signature besides the first one (default 3)", 0 },
    { "clean-limit", OPTION_CLEAN_LIMIT, "RATE", 0,
      "tell how many clean runs are missing until the rate may be said to be below it (default 1e-5)", 0 },
    { "decide", OPTION_DECIDE, "LOW,HIGH,ERROR", 0,
      "decide between a hang rate of at most LOW and at least HIGH, e.g. 1e-4,1e-3,0.01", 0 },
    { "format", OPTION_FORMAT, "text|json", 0, "of the report on stdout (default text)", 0 },
    { 0 }
};

static const char doc[] =
    "Runs the cases of scenario files and folders for a time, mixed with repeats of what is suspicious, and "
    "groups what "
    "failed by signature. DIR then holds results.sqlite, results.jsonl and the evidence."
    "\vExit code as of `hanglab run`: 0 all as expected; 1 an unexpected hang; 2 another unexpected failure, "
    "or one that "
    "was expected does not show; 3 inconclusive, too few runs, or interrupted.";

struct arguments {
    struct hl_sweep sweep;
    struct hl_selection selection;
    struct hl_question question;
    const char *engine;
    double clean_limit;
    bool json, has_jobs;
    const char *subject; /* or NULL: as each scenario says */
    int geometry;        /* enum hl_geometry, or -1: as each scenario says */
    char **filters, **paths;
    size_t n_filters, n_paths;
    double told_s;
};

static void set_shard(struct argp_state *state, struct hl_sweep *sweep, const char *text)
{
    int end = 0;
    if (sscanf(text, "%d/%d%n", &sweep->shard, &sweep->shards, &end) != 2 || text[end] || sweep->shard < 1 ||
        sweep->shard > sweep->shards || sweep->shards > 100000)
        argp_error(state, "--shard takes I/N, such as 1/4, not '%s'", text);
}

static void set_question(struct argp_state *state, struct hl_question *q, const char *text)
{
    int end = 0;
    if (sscanf(text, "%lf,%lf,%lf%n", &q->low, &q->high, &q->error, &end) != 3 || text[end] ||
        !(0 < q->low && q->low < q->high && q->high < 1 && 0 < q->error && q->error < 0.5))
        argp_error(state,
                   "--decide takes LOW,HIGH,ERROR with 0 < LOW < HIGH < 1 and 0 < ERROR < 0.5, not '%s'",
                   text);
}

static error_t parse_bounds(int key, char *text, struct argp_state *state)
{
    struct arguments *a = state->input;
    struct hl_sweep *sweep = &a->sweep;
    switch (key) {
    case OPTION_T_WISE:
        a->selection.strength = (int)hl_option_integer(state, "t-wise", text, 2, HL_STRENGTH_MAX);
        return 0;
    case OPTION_SWARM: a->selection.swarm = (int)hl_option_integer(state, "swarm", text, 1, 100000); return 0;
    case OPTION_RUN_LIMIT: sweep->run_limit_s = hl_option_duration_s(state, "run-limit", text); return 0;
    case OPTION_EVIDENCE_LIMIT:
        sweep->evidence_bytes = hl_option_integer(state, "evidence-limit", text, 0, 1u << 30) << 20;
        return 0;
    case OPTION_EVIDENCE_NEWEST:
        sweep->evidence_newest = (int)hl_option_integer(state, "evidence-newest", text, 1, 1000);
        return 0;
    case OPTION_CLEAN_LIMIT:
        a->clean_limit = hl_option_real(state, "clean-limit", text, 1e-12, 0.5);
        return 0;
    case OPTION_DECIDE: set_question(state, &a->question, text); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct arguments *a = state->input;
    struct hl_sweep *sweep = &a->sweep;
    switch (key) {
    case OPTION_TIME_BUDGET:
        sweep->time_budget_s = hl_option_duration_s(state, "time-budget", text);
        return 0;
    case 'j':
        sweep->jobs = (int)hl_option_integer(state, "jobs", text, 1, 1024);
        a->has_jobs = true;
        return 0;
    case 'o': sweep->out_dir = text; return 0;
    case OPTION_RESUME: sweep->resume = true; return 0;
    case OPTION_SHARD: set_shard(state, sweep, text); return 0;
    case OPTION_SEED: sweep->seed = hl_option_integer(state, "seed", text, 0, HL_SEED_MAX); return 0;
    case OPTION_ENGINE: a->engine = text; return 0;
    case OPTION_SUBJECT: a->subject = text; return 0;
    case OPTION_GEOMETRY:
        a->geometry = hl_option_word(state, "geometry", text, &hl_words_geometries);
        return 0;
    case OPTION_FILTER: a->filters[a->n_filters++] = text; return 0;
    case OPTION_FORMAT: a->json = hl_option_is_json(state, text); return 0;
    case ARGP_KEY_ARG: a->paths[a->n_paths++] = text; return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which scenarios? e.g. scenarios/nightly/10-minutes"); return 0;
    default: return parse_bounds(key, text, state);
    }
}

static void write_time(FILE *out, double seconds)
{
    const long s = (long)(seconds + 0.5);
    fprintf(out, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}

/* A line that is redrawn on a terminal; once a minute elsewhere. */
static void on_tick(void *user, const struct hl_sweep *sweep)
{
    struct arguments *a = user;
    const bool is_terminal = isatty(STDERR_FILENO);
    if (!is_terminal && sweep->wall_s - a->told_s < 60)
        return;
    a->told_s = sweep->wall_s;
    int failing = 0;
    for (int i = 0; i < sweep->results.n_signatures; i++)
        failing += sweep->results.signatures[i].unexpected > 0;
    fputs(is_terminal ? "\r\033[K" : "", stderr);
    write_time(stderr, sweep->wall_s);
    fprintf(stderr, "  %llu runs, %.0f a second, %d unexpected signatures", (unsigned long long)sweep->runs,
            sweep->wall_s > 0 ? (double)sweep->runs / sweep->wall_s : 0, failing);
    if (sweep->time_budget_s > 0) {
        fputs(", ", stderr);
        write_time(stderr, sweep->time_budget_s > sweep->wall_s ? sweep->time_budget_s - sweep->wall_s : 0);
        fputs(" left", stderr);
    }
    fputs(is_terminal ? "" : "\n", stderr);
    fflush(stderr);
}

static void write_report(const struct arguments *a)
{
    const struct hl_night_report report = { .out = stdout,
                                            .columns = hl_text_columns(),
                                            .colour = hl_report_wants_colour(stdout),
                                            .out_dir = a->sweep.out_dir,
                                            .results = &a->sweep.results,
                                            .question = a->question,
                                            .clean_limit = a->clean_limit,
                                            .interrupted = a->sweep.interrupted };
    if (a->json)
        hl_night_write_json(&report);
    else
        hl_night_write_text(&report);
}

static int run(struct arguments *a)
{
    struct hl_error error;
    struct hl_sweep *sweep = &a->sweep;
    enum hl_status status = hl_sweep_run(sweep, &error);
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    if (sweep->results.runs.count > 0)
        write_report(a); /* also after a failure: what is on disk by then */
    if (status != HL_STATUS_OK)
        return hl_complain(&error);
    if (sweep->trouble[0])
        fprintf(stderr, "hanglab: the first trouble was: %s\n", sweep->trouble);
    if (sweep->evidence_full)
        fputs("hanglab: some bundles were not written for want of room; see --evidence-limit\n", stderr);
    const int code = hl_results_exit_code(&sweep->results);
    return hl_finish_output(code == 0 && sweep->interrupted ? 3 : code);
}

static int load_and_run(struct arguments *a)
{
    struct hl_error error;
    struct hl_inputs inputs;
    struct hl_sweep *sweep = &a->sweep;
    a->selection.seed = sweep->seed;
    const struct hl_selector selector = { &a->selection, hl_select };
    const bool selects = a->selection.strength > 0 || a->selection.swarm > 0;
    if (hl_find_engine(a->engine, &sweep->engine, &error) != HL_STATUS_OK ||
        hl_inputs_load_selected(a->paths, a->n_paths, a->filters, a->n_filters, selects ? &selector : NULL,
                                &inputs, &error) != HL_STATUS_OK)
        return hl_complain(&error);
    const bool cuda = hl_is_cuda(sweep->engine);
    if (cuda && !a->has_jobs)
        sweep->jobs = 1;
    if (hl_inputs_set_subject(&inputs, a->subject, &error) != HL_STATUS_OK) {
        hl_inputs_finish(&inputs);
        return hl_complain(&error);
    }
    hl_inputs_set_geometry(&inputs, a->geometry, cuda);
    sweep->items = inputs.items;
    sweep->n_items = inputs.n_items;
    const int code = run(a);
    hl_sweep_finish(sweep);
    hl_inputs_finish(&inputs);
    return code;
}

int hl_command_sweep(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options, .parser = parse, .args_doc = "FILE|FOLDER...", .doc = doc
    };
    struct arguments a = { .engine = "auto",
                           .geometry = -1,
                           .clean_limit = 1e-5,
                           .sweep = { .out_dir = "hanglab-sweep",
                                      .seed = 1,
                                      .jobs = hl_pool_default_jobs(),
                                      .shard = 1,
                                      .shards = 1,
                                      .run_limit_s = 600,
                                      .evidence_bytes = (uint64_t)2048 << 20,
                                      .evidence_newest = 3,
                                      .on_tick = on_tick } };
    a.sweep.user = &a;
    a.filters = calloc((size_t)argc, sizeof *a.filters);
    a.paths = calloc((size_t)argc, sizeof *a.paths);
    if (!a.filters || !a.paths)
        return hl_status_exit_code(HL_STATUS_MEMORY);
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    const int code = load_and_run(&a);
    free(a.filters);
    free(a.paths);
    return code;
}

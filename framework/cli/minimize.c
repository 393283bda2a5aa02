/* `hanglab minimize`: one case in, the smallest scenario that still hangs like it out. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../campaign/pool.h"
#include "../campaign/statistics.h"
#include "../search/reduce/minimize.h"
#include "../engine/engines.h"
#include "command.h"
#include "one_case.h"
#include "options.h"

enum {
    OPTION_ENGINE = 256,
    OPTION_SEED,
    OPTION_FILTER,
    OPTION_FORMAT,
    OPTION_TIME_BUDGET,
    OPTION_GEOMETRY,
    OPTION_CAUSE,
    OPTION_ERROR,
    OPTION_RUNS
};

static const struct argp_option options[] = {
    { "engine", OPTION_ENGINE, "sim|cuda|auto", 0, "what executes the ranks (default auto)", 0 },
    { "seed", OPTION_SEED, "N", 0, "every run draws from it (default 1)", 0 },
    { "filter", OPTION_FILTER, "PATH=VALUE", 0, "as of `hanglab run`; must leave one case", 0 },
    { "cause", OPTION_CAUSE, "CAUSE", 0,
      "the hang to keep, when the case has several (default: the most frequent)", 0 },
    { "out", 'o', "FILE", 0, "the resulting scenario (default NAME-min.yaml)", 0 },
    { "format", OPTION_FORMAT, "text|json", 0, "of the report on stdout (default text)", 0 },
    { "jobs", 'j', "N", 0,
      "runs at a time (default: one for each core, one on a GPU); does not change any result", 0 },
    { "time-budget", OPTION_TIME_BUDGET, "TIME", 0, "end with the smallest found by then, e.g. 90s, 15m, 2h",
      0 },
    { "runs", OPTION_RUNS, "N", 0, "runs to see the original hang at all (default 1000)", 0 },
    { "error", OPTION_ERROR, "P", 0, "probability of a wrong answer to one question (default 0.001)", 0 },
    { "geometry", OPTION_GEOMETRY, "reduced|full", 0,
      "sizes: reduced (default in the simulator) or as written (default on a GPU)", 0 },
    { 0 }
};

static const char doc[] = "Takes away from a case, and turns down, all that its hang does not need: faults, "
                          "settings, sizes, ranks, "
                          "layers, replays. Each step is kept only if the case still hangs with the same "
                          "cause, at the same stage, with "
                          "the same kind of culprit."
                          "\vExit code: 0 a smaller scenario was written; 3 the case did not hang; 64 wrong "
                          "usage or a bad scenario; 77 "
                          "asked for a GPU and there is none; 99 hanglab's own failure.";

struct arguments {
    const char *engine, *name, *out;
    char **filters;
    size_t n_filters;
    int geometry; /* enum hl_geometry, or -1: the engine's own */
    bool json;
    struct hl_trial_lab lab;
    struct hl_minimize_options minimize;
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case OPTION_ENGINE: a->engine = text; return 0;
    case OPTION_SEED: a->lab.run.seed = hl_option_integer(state, "seed", text, 0, HL_SEED_MAX); return 0;
    case OPTION_FILTER: a->filters[a->n_filters++] = text; return 0;
    case OPTION_CAUSE: a->minimize.cause = hl_option_word(state, "cause", text, &hl_words_causes); return 0;
    case 'o': a->out = text; return 0;
    case OPTION_FORMAT: a->json = hl_option_is_json(state, text); return 0;
    case 'j': a->lab.jobs = (int)hl_option_integer(state, "jobs", text, 1, 1024); return 0;
    case OPTION_TIME_BUDGET:
        a->minimize.time_budget_s = hl_option_duration_s(state, "time-budget", text);
        return 0;
    case OPTION_RUNS:
        a->minimize.runs_max = (int)hl_option_integer(state, "runs", text, 1, 1000000);
        return 0;
    case OPTION_ERROR: a->minimize.error = hl_option_real(state, "error", text, 1e-9, 0.1); return 0;
    case OPTION_GEOMETRY:
        a->geometry = hl_option_word(state, "geometry", text, &hl_words_geometries);
        return 0;
    case ARGP_KEY_ARG:
        if (a->name)
            argp_error(state, "one case at a time: '%s' is one too many", text);
        a->name = text;
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which case? e.g. FILE#CASE"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* On a terminal one line that changes; elsewhere a line for each answer. */
static void on_question(void *user, const char *what, bool still_hangs, int hits, int runs)
{
    (void)user;
    const bool terminal = isatty(STDERR_FILENO);
    fprintf(stderr, "%s%-11s %4d of %4d runs %.90s%s", terminal ? "\r\033[K" : "",
            still_hangs ? "still hangs" : "lost", hits, runs, what, terminal ? "" : "\n");
}

static void clear_progress(void)
{
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

static void write_text(const struct arguments *a, const struct hl_minimize_result *r)
{
    char likeness[256];
    hl_likeness_describe(&r->likeness, likeness, sizeof likeness);
    printf("%s\n%s, in %d of %d runs\n\n", a->minimize.c->id, likeness, r->before_hits, r->before_runs);
    printf("Not necessary, and gone or turned down:\n");
    for (int i = 0; i < r->n_removed; i++)
        printf("  %s\n", r->removed[i]);
    printf("%sNecessary, each by itself:\n", r->n_removed ? "\n" : "  nothing\n\n");
    for (int i = 0; i < r->n_needs; i++) {
        const struct hl_minimize_need *need = &r->needs[i];
        printf("  %-46s with %s: ", need->what, need->instead);
        if (need->refused)
            puts("cannot run");
        else
            printf("%d of %d runs hang like this\n", need->hits, need->runs);
    }
    const struct hl_interval rate = hl_clopper_pearson(r->after_hits, r->after_runs, 0.95);
    if (r->end == HL_MINIMIZE_CUT_SHORT)
        puts("\nThe time was up before every step had been tried: it may not be minimal.");
    printf("\n%s hangs like this in %d of %d fresh runs (95 %%: %.2g to %.2g).\n"
           "%d questions (%d more answered from memory), %ld runs, %.1f s.\n",
           a->out, r->after_hits, r->after_runs, rate.low, rate.high, r->questions, r->cached, r->runs,
           r->wall_s);
}

static void write_json(const struct arguments *a, const struct hl_minimize_result *r)
{
    static const char *const ends[] = {
#define X(id, name, doc) name,
        HL_MINIMIZE_ENDS(X)
#undef X
    };
    const struct hl_interval rate = hl_clopper_pearson(r->after_hits, r->after_runs, 0.95);
    json_t *removed = json_array(), *needs = json_array();
    for (int i = 0; i < r->n_removed; i++)
        json_array_append_new(removed, json_string(r->removed[i]));
    for (int i = 0; i < r->n_needs; i++)
        json_array_append_new(needs,
                              json_pack("{s:s, s:s, s:i, s:i, s:b}", "what", r->needs[i].what, "instead",
                                        r->needs[i].instead, "hangs", r->needs[i].hits, "runs",
                                        r->needs[i].runs, "refused", (int)r->needs[i].refused));
    json_t *line =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:s, s:{s:i, s:i}, s:{s:i, s:i, s:[f, f]}, s:o, s:o, s:s, "
                  "s:i, s:I, s:f}",
                  "type", "minimize", "id", a->minimize.c->id, "end", ends[r->end], "engine",
                  a->lab.run.engine->name, "seed", (json_int_t)a->lab.run.seed, "verdict",
                  hl_words_name(&hl_words_verdicts, r->likeness.verdict), "cause",
                  hl_words_name(&hl_words_causes, r->likeness.cause), "before", "hangs", r->before_hits,
                  "runs", r->before_runs, "after", "hangs", r->after_hits, "runs", r->after_runs, "rate_ci95",
                  rate.low, rate.high, "removed", removed, "necessary", needs, "file", a->out, "questions",
                  r->questions, "runs", (json_int_t)r->runs, "wall_s", r->wall_s);
    json_dumpf(line, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(line);
}

static int report(const struct arguments *a, const struct hl_minimize_result *r)
{
    struct hl_error error;
    if (r->end == HL_MINIMIZE_NO_HANG) {
        fprintf(stderr,
                "hanglab: %s did not hang%s in %d runs: there is nothing to minimize; try more --runs or "
                "another --seed\n",
                a->minimize.c->id, a->minimize.cause >= 0 ? " for this cause" : "", r->before_runs);
        return 3;
    }
    if (hl_minimize_write(&a->minimize, r, a->out, &error) != HL_STATUS_OK)
        return hl_complain(&error);
    (a->json ? write_json : write_text)(a, r);
    return hl_finish_output(0);
}

static int run(struct arguments *a, const struct hl_campaign_item *item)
{
    const bool cuda = hl_is_cuda(a->lab.run.engine);
    struct hl_minimize_result result;
    struct hl_error error;
    struct hl_case c = *item->c;
    char name[HL_NAME_MAX + 16];
    c.config.geometry = a->geometry >= 0 ? (enum hl_geometry)a->geometry
                        : cuda           ? HL_GEOMETRY_FULL
                                         : HL_GEOMETRY_REDUCED;
    if (a->lab.jobs == 0)
        a->lab.jobs = cuda ? 1 : hl_pool_default_jobs();
    snprintf(name, sizeof name, "%s-min.yaml", item->scenario->name);
    if (!a->out)
        a->out = name;
    a->minimize.scenario = item->scenario;
    a->minimize.c = &c;
    a->minimize.trial = hl_trial_run;
    a->minimize.trial_user = &a->lab;
    a->minimize.on_question = on_question;
    const enum hl_status status = hl_minimize(&a->minimize, &result, &error);
    clear_progress();
    if (status != HL_STATUS_OK)
        return a->lab.interrupted ? (fputs("hanglab: interrupted\n", stderr), 3) : hl_complain(&error);
    const int code = report(a, &result);
    hl_minimize_result_finish(&result);
    return code;
}

int hl_command_minimize(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options, .parser = parse, .args_doc = "FILE#CASE", .doc = doc
    };
    struct arguments a = {
        .engine = "auto", .geometry = -1, .lab = { .run = { .seed = 1 } }, .minimize = { .cause = -1 }
    };
    struct hl_inputs inputs;
    struct hl_error error;
    a.filters = calloc((size_t)argc, sizeof *a.filters);
    if (!a.filters)
        return hl_status_exit_code(HL_STATUS_MEMORY);
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    int code;
    if (hl_find_engine(a.engine, &a.lab.run.engine, &error) != HL_STATUS_OK ||
        hl_one_case_load(a.name, a.filters, a.n_filters, &inputs, &error) != HL_STATUS_OK) {
        code = hl_complain(&error);
    } else {
        code = run(&a, &inputs.items[0]);
        hl_inputs_finish(&inputs);
    }
    free(a.filters);
    return code;
}

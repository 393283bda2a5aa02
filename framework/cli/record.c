/* `hanglab record`: runs cases and keeps what watchdog and oracle saw, for `hanglab replay` and for tests
 * where there is no GPU. */
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "../campaign/folder.h"
#include "../campaign/inputs.h"
#include "../engine/engines.h"
#include "../engine/recording/recording.h"
#include "../scenario/words.h"
#include "command.h"
#include "options.h"
#include "subjects.h"

enum {
    OPTION_ENGINE = 256,
    OPTION_SEED,
    OPTION_RUNS,
    OPTION_FILTER,
    OPTION_SUBJECT,
    OPTION_GEOMETRY,
    OPTION_ROWS,
    OPTION_MACHINE
};

static const struct argp_option options[] = {
    { "engine", OPTION_ENGINE, "sim|cuda|auto", 0, "what executes the ranks (default auto)", 0 },
    { "seed", OPTION_SEED, "N", 0, "every run draws from it (default 1)", 0 },
    { "runs", OPTION_RUNS, "N", 0,
      "keep the first of at most N runs that shows what the scenario expects (default 20)", 0 },
    { "filter", OPTION_FILTER, "PATH=VALUE", 0, "only these cases; as for `hanglab run`", 0 },
    { "out", 'o', "DIR", 0, "where recordings go (default recordings)", 0 },
    { "subject", OPTION_SUBJECT, "NAME|PATH", 0,
      "run the calls with this subject in place of hanglab's own kernels, such as flashinfer@0.6.9", 0 },
    { "geometry", OPTION_GEOMETRY, "reduced|full", 0,
      "sizes: reduced or as written (default: as each scenario says)", 0 },
    { "rows", OPTION_ROWS, "KIB", 0, "keep so many KiB of rows for the oracle (default 20)", 0 },
    { "machine", OPTION_MACHINE, "TEXT", 0, "what to note as the machine, e.g. card and driver", 0 },
    { 0 }
};

static const char doc[] =
    "Runs every case of the scenario files once and writes one recording a case."
    "\vExit code: 0 all written; 64 wrong usage; 77 asked for a GPU and there is none; 99 "
    "hanglab's own failure.";

struct arguments {
    const char *engine, *out_dir, *machine;
    uint64_t seed, rows_bytes;
    int runs;
    const char *subject; /* or NULL: as each scenario says */
    int geometry;        /* enum hl_geometry, or -1: as each scenario says */
    char **filters, **paths;
    size_t n_filters, n_paths;
    char command[256];
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case OPTION_ENGINE: a->engine = text; return 0;
    case OPTION_SEED: a->seed = hl_option_integer(state, "seed", text, 0, HL_SEED_MAX); return 0;
    case OPTION_RUNS: a->runs = (int)hl_option_integer(state, "runs", text, 1, 1000000); return 0;
    case OPTION_FILTER: a->filters[a->n_filters++] = text; return 0;
    case 'o': a->out_dir = text; return 0;
    case OPTION_SUBJECT: a->subject = text; return 0;
    case OPTION_GEOMETRY:
        a->geometry = hl_option_word(state, "geometry", text, &hl_words_geometries);
        return 0;
    case OPTION_ROWS: a->rows_bytes = hl_option_integer(state, "rows", text, 0, 1 << 20) << 10; return 0;
    case OPTION_MACHINE: a->machine = text; return 0;
    case ARGP_KEY_ARG: a->paths[a->n_paths++] = text; return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which scenario? e.g. scenarios/seed/sglang-23402.yaml");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* The case as a scenario file of its own. */
static enum hl_status write_case(const struct hl_campaign_item *item, struct hl_bytes *to,
                                 struct hl_error *error)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a scenario");
    enum hl_status status = hl_case_write_yaml(item->scenario, item->c, out);
    if (fclose(out) != 0 || status != HL_STATUS_OK)
        status = hl_fail(error, HL_STATUS_MEMORY, "out of memory for a scenario");
    else
        hl_put(to, text, size);
    free(text);
    return status;
}

static void fill_header(const struct arguments *a, const struct hl_config *config,
                        const struct hl_run_result *result, struct hl_recording_header *h)
{
    const time_t now = time(NULL);
    struct tm day;
    strftime(h->date, sizeof h->date, "%Y-%m-%d", gmtime_r(&now, &day));
    snprintf(h->geometry, sizeof h->geometry, "%s", hl_words_name(&hl_words_geometries, config->geometry));
    snprintf(h->machine, sizeof h->machine, "%s", a->machine);
    snprintf(h->build, sizeof h->build, "hanglab %s", HL_VERSION);
    snprintf(h->command, sizeof h->command, "%s", a->command);
    snprintf(h->verdict, sizeof h->verdict, "%s", hl_words_name(&hl_words_verdicts, result->finding.verdict));
    snprintf(h->cause, sizeof h->cause, "%s", hl_cause_name(result->finding.cause));
}

/* A file name from a case id: letters, digits and dots stay. */
static void name_file(const char *dir, const char *id, char *path, size_t size)
{
    int n = snprintf(path, size, "%s/", dir);
    bool dash = true;
    for (; *id && (size_t)n + 8 < size; id++) {
        const bool stays = (*id >= 'a' && *id <= 'z') || (*id >= 'A' && *id <= 'Z') ||
                           (*id >= '0' && *id <= '9') || *id == '.';
        if (stays || !dash)
            path[n++] = stays ? *id : '-';
        dash = !stays;
    }
    n -= path[n - 1] == '-';
    snprintf(path + n, size - (size_t)n, ".hlrec");
}

/* Runs the case until it shows what is expected, and keeps that run, or the last one. */
static enum hl_status record_case(const struct arguments *a, const struct hl_engine *engine,
                                  const struct hl_campaign_item *item, struct hl_recording *ret_recording,
                                  struct hl_error *error)
{
    for (int run = 0;; run++) {
        const struct hl_run_options run_options = { .engine = hl_recorder_begin(engine, a->rows_bytes),
                                                    .seed = a->seed };
        struct hl_run_result result;
        struct hl_recording recording;
        enum hl_status status =
            hl_run_once(item->scenario, item->c, &run_options, run, HL_VERDICT_SKIPPED, &result, error);
        const bool complete = hl_recorder_end(&recording);
        if (!status && !complete)
            status = hl_fail(error, HL_STATUS_MEMORY, "out of memory for a recording");
        if (status) {
            hl_recording_finish(&recording);
            return status;
        }
        const bool as_expected = result.finding.verdict == item->c->expected.verdict;
        fill_header(a, &item->c->config, &result, &recording.header);
        hl_run_result_finish(&result);
        if (as_expected || run + 1 == a->runs) {
            *ret_recording = recording;
            return HL_STATUS_OK;
        }
        hl_recording_finish(&recording);
    }
}

static enum hl_status record(const struct arguments *a, const struct hl_engine *engine,
                             const struct hl_campaign_item *item, struct hl_error *error)
{
    struct hl_recording recording;
    char path[PATH_MAX];
    enum hl_status status = record_case(a, engine, item, &recording, error);
    if (status == HL_STATUS_NO_GPU) { /* not a case for this machine */
        printf("%-12s %s: %s\n", "skipped", item->c->id, error->message);
        return HL_STATUS_OK;
    }
    if (status)
        return status;
    name_file(a->out_dir, item->c->id, path, sizeof path);
    status = write_case(item, &recording.scenario, error);
    if (!status)
        status = hl_recording_write(path, &recording, error);
    if (!status)
        printf("%-12s %-20s %s\n", recording.header.verdict, recording.header.cause, path);
    hl_recording_finish(&recording);
    return status;
}

static int run(struct arguments *a)
{
    struct hl_error error;
    struct hl_inputs inputs;
    const struct hl_engine *engine;
    if (hl_find_engine(a->engine, &engine, &error) != HL_STATUS_OK ||
        hl_inputs_load(a->paths, a->n_paths, a->filters, a->n_filters, &inputs, &error) != HL_STATUS_OK)
        return hl_complain(&error);
    if (hl_inputs_set_subject(&inputs, a->subject, &error) != HL_STATUS_OK) {
        hl_inputs_finish(&inputs);
        return hl_complain(&error);
    }
    hl_inputs_set_geometry(&inputs, a->geometry, hl_is_cuda(engine));
    int code = 0;
    if (hl_folder_make(a->out_dir) < 0) {
        hl_fail(&error, HL_STATUS_IO, "cannot make the folder %s: %s", a->out_dir, strerror(errno));
        code = hl_complain(&error);
    }
    for (size_t i = 0; i < inputs.n_items && code == 0; i++)
        if (record(a, engine, &inputs.items[i], &error) != HL_STATUS_OK)
            code = hl_complain(&error);
    hl_engine_leave(engine);
    hl_inputs_finish(&inputs);
    return hl_finish_output(code);
}

int hl_command_record(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options, .parser = parse, .args_doc = "FILE...", .doc = doc
    };
    struct arguments a = { .engine = "auto",
                           .out_dir = "recordings",
                           .machine = "not given",
                           .seed = 1,
                           .runs = 20,
                           .rows_bytes = 20 << 10,
                           .geometry = -1 };
    for (int i = 0; i < argc && strlen(a.command) + strlen(argv[i]) + 2 < sizeof a.command; i++)
        snprintf(a.command + strlen(a.command), sizeof a.command - strlen(a.command), "%s%s", i ? " " : "",
                 argv[i]);
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

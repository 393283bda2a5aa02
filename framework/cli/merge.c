/* `hanglab merge`: joins the results of sweeps, such as the shards of one, and tells what they show together.
 */
#include <stdlib.h>
#include <string.h>
#include "../../reports/night.h"
#include "../../reports/report.h"
#include "../campaign/merge.h"
#include "command.h"
#include "options.h"
#include "terminal.h"

enum { OPTION_FORMAT = 256, OPTION_CLEAN_LIMIT };

static const struct argp_option options[] = {
    { "out", 'o', "DIR", 0, "where the joined results go; it may hold some already", 0 },
    { "clean-limit", OPTION_CLEAN_LIMIT, "RATE", 0, "as for `hanglab sweep` (default 1e-5)", 0 },
    { "format", OPTION_FORMAT, "text|json", 0, "of the report on stdout (default text)", 0 },
    { 0 }
};

static const char doc[] =
    "Joins the results and evidence of several sweeps into DIR and reports them as one. Results that DIR "
    "has already are left as they are, so merging again changes nothing.";

struct arguments {
    const char *out_dir;
    double clean_limit;
    bool json;
    char **parts;
    size_t n_parts;
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 'o': a->out_dir = text; return 0;
    case OPTION_CLEAN_LIMIT:
        a->clean_limit = hl_option_real(state, "clean-limit", text, 1e-12, 0.5);
        return 0;
    case OPTION_FORMAT: a->json = hl_option_is_json(state, text); return 0;
    case ARGP_KEY_ARG: a->parts[a->n_parts++] = text; return 0;
    case ARGP_KEY_END:
        if (a->n_parts == 0 || !a->out_dir)
            argp_error(state, "it takes the folders of sweeps, and --out DIR");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static int merge(const struct arguments *a)
{
    struct hl_error error;
    struct hl_store *store;
    struct hl_results results = { 0 };
    enum hl_status status = hl_store_open(a->out_dir, HL_STORE_ADD, &store, &error);
    if (status != HL_STATUS_OK)
        return hl_complain(&error);
    status = hl_results_read(&results, store, &error);
    for (size_t i = 0; i < a->n_parts && status == HL_STATUS_OK; i++)
        status = hl_merge(store, &results, a->out_dir, a->parts[i], &error);
    hl_store_close(store);
    int code = hl_status_exit_code(status);
    if (status == HL_STATUS_OK) {
        const struct hl_night_report report = { .out = stdout,
                                                .columns = hl_text_columns(),
                                                .colour = hl_report_wants_colour(stdout),
                                                .out_dir = a->out_dir,
                                                .results = &results,
                                                .clean_limit = a->clean_limit };
        if (a->json)
            hl_night_write_json(&report);
        else
            hl_night_write_text(&report);
        code = hl_finish_output(hl_results_exit_code(&results));
    } else {
        code = hl_complain(&error);
    }
    hl_results_finish(&results);
    return code;
}

int hl_command_merge(int argc, char **argv)
{
    static const struct argp argp = { .options = options, .parser = parse, .args_doc = "OUT...", .doc = doc };
    struct arguments a = { .clean_limit = 1e-5 };
    a.parts = calloc((size_t)argc, sizeof *a.parts);
    if (!a.parts)
        return hl_status_exit_code(HL_STATUS_MEMORY);
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    const int code = merge(&a);
    free(a.parts);
    return code;
}

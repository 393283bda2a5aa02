/* `hanglab compare`: what changed between nights. */
#include <stdlib.h>
#include <string.h>
#include "../../reports/night.h"
#include "../campaign/compare.h"
#include "command.h"
#include "options.h"
#include "terminal.h"

enum { OPTION_FORMAT = 256, OPTION_FALSE_POSITIVES };

static const struct argp_option options[] = {
    { "false-positives", OPTION_FALSE_POSITIVES, "RATE", 0,
      "probability that nights without any change show a significant one (default 0.01)", 0 },
    { "format", OPTION_FORMAT, "text|json", 0, "of the report on stdout (default text)", 0 },
    { 0 }
};

static const char doc[] =
    "Compares nights, the folders of sweeps in their order: which failures are new, gone, or have another "
    "rate, since "
    "which night, and with what evidence."
    "\vExit code: 1 when a hang is new or more often, significantly; 2 when another failure is; else 0.";

struct arguments {
    double false_positives;
    bool json;
    struct hl_night *nights;
    int n_nights;
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case OPTION_FALSE_POSITIVES:
        a->false_positives = hl_option_real(state, "false-positives", text, 1e-9, 0.5);
        return 0;
    case OPTION_FORMAT: a->json = hl_option_is_json(state, text); return 0;
    case ARGP_KEY_ARG: a->nights[a->n_nights++].name = text; return 0;
    case ARGP_KEY_END:
        if (a->n_nights < 2)
            argp_error(state, "it takes the folders of two nights or more, the oldest first");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static enum hl_status read_night(struct hl_night *night, struct hl_error *error)
{
    struct hl_store *store;
    enum hl_status status = hl_store_open(night->name, HL_STORE_EXISTING, &store, error);
    if (status != HL_STATUS_OK)
        return status;
    status = hl_results_read(&night->results, store, error);
    hl_store_close(store);
    return status;
}

static int compare(const struct arguments *a)
{
    struct hl_error error;
    struct hl_comparison comparison;
    enum hl_status status = HL_STATUS_OK;
    for (int i = 0; i < a->n_nights && status == HL_STATUS_OK; i++)
        status = read_night(&a->nights[i], &error);
    if (status == HL_STATUS_OK)
        status = hl_compare_nights(a->nights, a->n_nights, a->false_positives, &comparison, &error);
    if (status != HL_STATUS_OK)
        return hl_complain(&error);
    if (a->json)
        hl_changes_write_json(stdout, a->nights, &comparison);
    else
        hl_changes_write_text(stdout, a->nights, a->n_nights, &comparison, a->false_positives,
                              hl_text_columns());
    const int code = hl_comparison_exit_code(&comparison);
    hl_comparison_finish(&comparison);
    return hl_finish_output(code);
}

int hl_command_compare(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options, .parser = parse, .args_doc = "NIGHT...", .doc = doc
    };
    struct arguments a = { .false_positives = 0.01 };
    a.nights = calloc((size_t)argc, sizeof *a.nights);
    if (!a.nights)
        return hl_status_exit_code(HL_STATUS_MEMORY);
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    const int code = compare(&a);
    for (int i = 0; i < a.n_nights; i++)
        hl_results_finish(&a.nights[i].results);
    free(a.nights);
    return code;
}

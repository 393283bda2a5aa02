/* `hanglab report`: a page, or a trace, of what a run has left behind. */
#include <argp.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "../../reports/html.h"
#include "../../reports/trace.h"
#include "../../reports/whole_file.h"
#include "command.h"

enum { OPTION_TRACE = 256 };

static const struct argp_option options[] = {
    { "output", 'o', "FILE", 0, "the page; `-` is stdout (default: report.html in the first folder)", 0 },
    { "trace", OPTION_TRACE, "FILE", 0,
      "instead of a page, the timeline of one bundle for ui.perfetto.dev or chrome://tracing; `-` is stdout",
      0 },
    { 0 }
};

static const char doc[] =
    "Makes one HTML file of the --out folders of `hanglab run`: every configuration, and every hang with its "
    "timeline, slots, flags and stacks. It needs no network and no other file.";

struct arguments {
    const char *output, *trace;
    char **folders;
    size_t n_folders;
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 'o': a->output = text; return 0;
    case OPTION_TRACE: a->trace = text; return 0;
    case ARGP_KEY_ARG: a->folders[a->n_folders++] = text; return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which folder? `hanglab run` writes to hanglab-out"); return 0;
    case ARGP_KEY_END:
        if (a->trace && (a->output || a->n_folders > 1))
            argp_error(state, "--trace takes one bundle, and writes no page");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static int write_page(void *user, FILE *out) { return hl_html_write(user, out); }
static int write_trace(void *user, FILE *out) { return hl_trace_write(user, out); }

/* `-` is stdout. */
static int write_to(const char *path, hl_write_fn write, void *user)
{
    struct hl_error error;
    if (strcmp(path, "-") == 0)
        return write(user, stdout) == 0 ? 0 : hl_status_exit_code(HL_STATUS_IO);
    if (hl_whole_file_write(path, write, user, &error) != HL_STATUS_OK)
        return hl_complain(&error);
    printf("%s\n", path);
    return 0;
}

static int report(const struct arguments *a)
{
    struct hl_error error;
    struct hl_collection collection;
    char path[PATH_MAX];
    if (hl_collection_load(a->folders, a->n_folders, &collection, &error) != HL_STATUS_OK)
        return hl_complain(&error);
    int code;
    snprintf(path, sizeof path, "%s/" HL_PAGE_NAME, a->folders[0]);
    if (!a->trace) {
        code = write_to(a->output ? a->output : path, write_page, &collection);
    } else if (collection.n_bundles != 1) {
        hl_fail(&error, HL_STATUS_USAGE, "%s holds %zu bundles; --trace takes one, OUT/evidence/CASE/RUN",
                a->folders[0], collection.n_bundles);
        code = hl_complain(&error);
    } else {
        code = write_to(a->trace, write_trace, collection.bundles[0]);
    }
    hl_collection_finish(&collection);
    return code;
}

int hl_command_report(int argc, char **argv)
{
    static const struct argp argp = { .options = options, .parser = parse, .args_doc = "DIR...", .doc = doc };
    struct arguments a = { 0 };
    a.folders = calloc((size_t)argc, sizeof *a.folders);
    if (!a.folders)
        return hl_status_exit_code(HL_STATUS_MEMORY);
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    const int code = report(&a);
    free(a.folders);
    return hl_finish_output(code);
}

/* The result of minimize as a scenario file. */
#include "../../campaign/statistics.h"
#include "minimize.h"
#include "scenario_file.h"

static void write_comments(const struct hl_minimize_options *options, const struct hl_minimize_result *r,
                           FILE *out)
{
    char likeness[256];
    hl_likeness_describe(&r->likeness, likeness, sizeof likeness);
    const struct hl_interval rate = hl_clopper_pearson(r->after_hits, r->after_runs, 0.95);
    fprintf(out, "# The smallest scenario found that ends like %s:\n# %s.\n", options->c->id, likeness);
    fprintf(out, "# It does so in %d of %d runs (95 %%: %.2g to %.2g); the original did in %d of %d.\n",
            r->after_hits, r->after_runs, rate.low, rate.high, r->before_hits, r->before_runs);
    if (r->end != HL_MINIMIZE_MINIMAL)
        fputs("# The time was up before every step had been tried: it may not be minimal.\n", out);
    fputs(r->n_removed ? "#\n# Removed, or turned down, as not necessary:\n" : "", out);
    for (int i = 0; i < r->n_removed; i++)
        fprintf(out, "#   %s\n", r->removed[i]);
    fputs(r->n_needs ? "#\n# Necessary, each by itself:\n" : "", out);
    for (int i = 0; i < r->n_needs; i++) {
        const struct hl_minimize_need *need = &r->needs[i];
        if (need->refused)
            fprintf(out, "#   %s (with %s, it cannot run)\n", need->what, need->instead);
        else
            fprintf(out, "#   %s (with %s, %d of %d runs)\n", need->what, need->instead, need->hits,
                    need->runs);
    }
    fputs("#\n", out);
}

struct file {
    const struct hl_minimize_options *options;
    const struct hl_minimize_result *result;
};

static enum hl_status write_file(void *user, FILE *out)
{
    const struct file *file = user;
    const struct hl_minimize_options *options = file->options;
    const struct hl_minimize_result *result = file->result;
    struct hl_scenario scenario = *options->scenario;
    struct hl_case c = {
        .id = (char *)options->c->id,
        .config = result->config,
        .expected = { result->likeness.verdict, (int)result->likeness.cause, 0, 1 },
    };
    char title[512];
    snprintf(title, sizeof title, "minimized: %s", options->scenario->title);
    snprintf(c.config.name, sizeof c.config.name, "%.*s-min", HL_NAME_MAX - 5, options->c->config.name);
    scenario.title = title;
    c.config.runs = hl_runs_to_show(result->after_hits, result->after_runs);
    write_comments(options, result, out);
    return hl_case_write_yaml(&scenario, &c, out);
}

enum hl_status hl_minimize_write(const struct hl_minimize_options *options,
                                 const struct hl_minimize_result *result, const char *path,
                                 struct hl_error *error)
{
    struct file file = { options, result };
    return hl_scenario_file_write(path, write_file, &file, error);
}

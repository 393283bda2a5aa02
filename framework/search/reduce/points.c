/* See points.h. A point's case is the scenario file of the case with a matrix of one value, so that the
 * values are read, checked and refused as in any file. */
#include "points.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../scenario/value.h"
#include "changes.h"

static enum hl_status add(struct hl_points *points, char *value, struct hl_error *error)
{
    char **grown = value ? realloc(points->values, (size_t)(points->n + 1) * sizeof *grown) : NULL;
    if (!grown) {
        free(value);
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    }
    points->values = grown;
    points->values[points->n++] = value;
    return HL_STATUS_OK;
}

/* "1..9" */
static bool read_range(const char *text, long *ret_from, long *ret_to)
{
    char *end;
    errno = 0;
    *ret_from = strtol(text, &end, 10);
    if (end == text || strncmp(end, "..", 2) != 0)
        return false;
    const char *second = end + 2;
    *ret_to = strtol(second, &end, 10);
    return end != second && *end == '\0' && errno == 0;
}

static enum hl_status add_range(struct hl_points *points, long from, long to, struct hl_error *error)
{
    if (labs(to - from) >= HL_POINTS_MAX)
        return hl_fail(error, HL_STATUS_USAGE, "--over %s: more than %d values from %ld to %ld", points->path,
                       HL_POINTS_MAX, from, to);
    enum hl_status status = HL_STATUS_OK;
    for (long v = from; status == HL_STATUS_OK; v += from < to ? 1 : -1) {
        char *value = NULL;
        status = add(points, asprintf(&value, "%ld", v) < 0 ? NULL : value, error);
        if (v == to)
            break;
    }
    return status;
}

/* "4,8,[32,16]": commas within brackets belong to a value. */
static enum hl_status add_list(struct hl_points *points, const char *text, struct hl_error *error)
{
    enum hl_status status = HL_STATUS_OK;
    int depth = 0;
    const char *from = text;
    for (const char *at = text; status == HL_STATUS_OK; at++) {
        depth += (*at == '[') - (*at == ']');
        if (*at != '\0' && (*at != ',' || depth > 0))
            continue;
        status = add(points, strndup(from, (size_t)(at - from)), error);
        from = at + 1;
        if (*at == '\0')
            break;
    }
    return status;
}

enum hl_status hl_points_parse(const char *text, struct hl_points *ret_points, struct hl_error *error)
{
    const char *equals = strchr(text, '=');
    struct hl_points points = { 0 };
    struct hl_path path;
    char nearest[HL_VALUE_TEXT_MAX] = "";
    long from, to;
    if (!equals)
        return hl_fail(error, HL_STATUS_USAGE,
                       "--over takes PATH=FIRST..LAST or PATH=VALUE,VALUE,..., not '%s'", text);
    points.path = strndup(text, (size_t)(equals - text));
    if (!points.path)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    enum hl_status status = HL_STATUS_OK;
    if (!hl_path_find(points.path, &path, nearest, sizeof nearest))
        status = hl_fail(error, HL_STATUS_USAGE,
                         "--over: there is no parameter '%s'%s%s%s; `hanglab schema` lists them", points.path,
                         nearest[0] ? "; did you mean '" : "", nearest, nearest[0] ? "'?" : "");
    else if (read_range(equals + 1, &from, &to))
        status = add_range(&points, from, to, error);
    else
        status = add_list(&points, equals + 1, error);
    if (status == HL_STATUS_OK && points.n < 2)
        status = hl_fail(error, HL_STATUS_USAGE,
                         "--over %s: one value is no axis; give the good end and the bad "
                         "end at least",
                         text);
    if (status == HL_STATUS_OK)
        *ret_points = points;
    else
        hl_points_finish(&points);
    return status;
}

void hl_points_finish(struct hl_points *points)
{
    for (int i = 0; i < points->n; i++)
        free(points->values[i]);
    free(points->values);
    free(points->path);
}

static enum hl_status load_point(const struct hl_points_lab *lab, int point,
                                 struct hl_scenario **ret_scenario, struct hl_error *error)
{
    char *text = NULL, name[160];
    size_t size;
    const struct hl_case c = { .id = (char *)lab->config.name,
                               .config = lab->config,
                               .expected = { .verdict = HL_VERDICT_HANG, .cause = -1, .rate_max = 1 } };
    FILE *out = open_memstream(&text, &size);
    enum hl_status status = out ? hl_case_write_yaml(lab->scenario, &c, out) : HL_STATUS_MEMORY;
    if (out) {
        fprintf(out, "matrix: {%s: [%s]}\n", lab->points->path, lab->points->values[point]);
        if (fclose(out) != 0)
            status = HL_STATUS_MEMORY;
    }
    snprintf(name, sizeof name, "--over %s=%.80s", lab->points->path, lab->points->values[point]);
    if (status == HL_STATUS_OK)
        status = hl_scenario_parse(name, text, size, ret_scenario, error);
    else
        hl_fail(error, status, "out of memory");
    free(text);
    return status;
}

enum hl_status hl_points_check(const struct hl_points_lab *lab, int point, struct hl_error *error)
{
    struct hl_scenario *scenario;
    const enum hl_status status = load_point(lab, point, &scenario, error);
    if (status == HL_STATUS_OK)
        hl_scenario_destroy(scenario);
    return status;
}

static enum hl_shown shown_by(struct hl_points_lab *lab, const struct hl_likeness *likeness)
{
    const bool hangs =
        likeness->verdict == HL_VERDICT_HANG && (lab->cause < 0 || lab->cause == (int)likeness->cause);
    if (hangs && !lab->met) {
        lab->met = true;
        lab->target = likeness->cause;
    }
    return hangs && likeness->cause == lab->target ? HL_SHOWN_HANG
           : likeness->verdict == HL_VERDICT_PASS  ? HL_SHOWN_PASS
                                                   : HL_SHOWN_NOTHING;
}

enum hl_status hl_points_run(void *user, int point, int first, int n, enum hl_shown *ret_shown,
                             struct hl_error *error)
{
    struct hl_points_lab *lab = user;
    struct hl_scenario *scenario;
    struct hl_likeness *likenesses = calloc((size_t)n, sizeof *likenesses);
    if (!likenesses)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    enum hl_status status = load_point(lab, point, &scenario, error);
    if (status == HL_STATUS_OK) {
        status = lab->trial(lab->trial_user, scenario, &scenario->cases[0], first, n, likenesses, error);
        hl_scenario_destroy(scenario);
    }
    for (int i = 0; i < n; i++)
        ret_shown[i] = status == HL_STATUS_OK ? shown_by(lab, &likenesses[i]) : HL_SHOWN_NOTHING;
    free(likenesses);
    return status == HL_STATUS_USAGE ? HL_STATUS_OK : status; /* a point that cannot run shows nothing */
}

/*
 * Steering
 */

enum { STEER_RUNS = 20, STEER_FIRST = 20000000 }; /* runs that bisect itself will not repeat */

static bool with_sure(struct hl_config *config)
{
    const struct hl_config before = *config;
    return hl_config_make_sure(&before, config);
}

static bool with_replays(struct hl_config *config)
{
    config->schedule.replays *= 4;
    return config->schedule.replays > 0 && config->schedule.replays <= 4000;
}

static bool with_drift(struct hl_config *config)
{
    if (config->n_faults == HL_FAULTS_MAX)
        return false;
    config->faults[config->n_faults++] = (struct hl_fault){ .kind = HL_FAULT_HOST_DELAY,
                                                            .rank = config->world.ranks - 1,
                                                            .call = -1,
                                                            .calls = 1,
                                                            .probability = 1,
                                                            .delay_ns = 100000 };
    return true;
}

static const struct variant {
    const char *what;
    const char *axis; /* not over this axis or a part of it */
    bool (*make)(struct hl_config *config);
} variants[] = {
    { "every chance at 1 (faults' probabilities, residue)", "payload.residue", with_sure },
    { "four times the replays", "schedule.replays", with_replays },
    { "the last rank's host 100us late at every call", "faults", with_drift },
};

static enum hl_status count(struct hl_points_lab *lab, int point, int *ret_hangs, long *runs,
                            struct hl_error *error)
{
    enum hl_shown shown[STEER_RUNS];
    const enum hl_status status = hl_points_run(lab, point, STEER_FIRST, STEER_RUNS, shown, error);
    *ret_hangs = 0;
    for (int i = 0; status == HL_STATUS_OK && i < STEER_RUNS; i++)
        *ret_hangs += shown[i] == HL_SHOWN_HANG;
    *runs += STEER_RUNS;
    return status;
}

enum hl_status hl_points_steer(struct hl_points_lab *lab, const char **ret_what, long *ret_runs,
                               struct hl_error *error)
{
    const int bad_end = lab->points->n - 1;
    const char *what = NULL;
    long runs = 0;
    int best, hangs, clean;
    enum hl_status status = count(lab, bad_end, &best, &runs, error);
    for (size_t i = 0; status == HL_STATUS_OK && i < sizeof variants / sizeof *variants; i++) {
        struct hl_points_lab other = *lab;
        if (2 * best >= STEER_RUNS)
            break;
        if (strncmp(lab->points->path, variants[i].axis, strlen(variants[i].axis)) == 0 ||
            !variants[i].make(&other.config))
            continue;
        status = count(&other, bad_end, &hangs, &runs, error);
        if (status != HL_STATUS_OK || hangs < 2 * best + 2)
            continue;
        status = count(&other, 0, &clean, &runs, error);
        if (status != HL_STATUS_OK || clean > 0)
            continue;
        best = hangs;
        what = variants[i].what;
        *lab = other;
    }
    *ret_what = what;
    *ret_runs = runs;
    return status;
}

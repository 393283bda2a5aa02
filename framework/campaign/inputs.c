/* From paths to cases. */
#include "inputs.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "../program/resolve.h"

struct path_list {
    char **paths;
    size_t count;
};

static enum hl_status add_path(struct path_list *list, const char *path, struct hl_error *error)
{
    char **more = realloc(list->paths, (list->count + 1) * sizeof *more);
    char *copy = more ? strdup(path) : NULL;
    if (more)
        list->paths = more;
    if (!copy)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    list->paths[list->count++] = copy;
    return HL_STATUS_OK;
}

static bool has_suffix(const char *text, const char *suffix)
{
    const size_t n = strlen(text), m = strlen(suffix);
    return n > m && strcmp(text + n - m, suffix) == 0;
}

/* By bytes, so that the order is the same in every locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int visible(const struct dirent *entry) { return entry->d_name[0] != '.'; }

static enum hl_status add_folder(struct path_list *list, const char *folder, int depth,
                                 struct hl_error *error)
{
    struct dirent **entries;
    const int n = scandir(folder, &entries, visible, by_name);
    if (n < 0)
        return hl_fail(error, HL_STATUS_USAGE, "%s: cannot read this folder: %s", folder, strerror(errno));
    enum hl_status status = HL_STATUS_OK;
    for (int i = 0; i < n; i++) {
        char path[PATH_MAX];
        struct stat st;
        const bool fits = snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name) < (int)sizeof path;
        const bool known = fits && lstat(path, &st) == 0; /* a link to a folder could lead in a circle */
        if (status == HL_STATUS_OK && known && S_ISDIR(st.st_mode) && depth < 16)
            status = add_folder(list, path, depth + 1, error);
        else if (status == HL_STATUS_OK && known && !S_ISDIR(st.st_mode) &&
                 (has_suffix(path, ".yaml") || has_suffix(path, ".yml")))
            status = add_path(list, path, error);
        free(entries[i]);
    }
    free(entries);
    return status;
}

static enum hl_status expand(char *const *paths, size_t n_paths, struct path_list *list,
                             struct hl_error *error)
{
    enum hl_status status = HL_STATUS_OK;
    for (size_t i = 0; i < n_paths && status == HL_STATUS_OK; i++) {
        const size_t before = list->count;
        struct stat st;
        if (stat(paths[i], &st) < 0)
            status =
                hl_fail(error, HL_STATUS_USAGE, "%s: cannot read this file: %s", paths[i], strerror(errno));
        else if (S_ISDIR(st.st_mode))
            status = add_folder(list, paths[i], 0, error);
        else
            status = add_path(list, paths[i], error);
        if (status == HL_STATUS_OK && list->count == before)
            status = hl_fail(error, HL_STATUS_USAGE, "%s: no scenario (*.yaml, *.yml) is in this folder",
                             paths[i]);
    }
    return status;
}

/* What does not fit any more is dropped: the first mistakes count. */
static void append(struct hl_error *all, const struct hl_error *one)
{
    if (all->status == HL_STATUS_OK) {
        *all = *one;
        return;
    }
    const size_t room = sizeof all->message - 1 - strlen(all->message);
    if (room < 2)
        return;
    strcat(all->message, "\n");
    strncat(all->message, one->message, room - 1);
}

/* Loads every file, so that all mistakes are told at once. */
static enum hl_status load_all(const struct path_list *list, const struct hl_selector *selector,
                               struct hl_inputs *inputs, struct hl_error *error)
{
    struct hl_error all = { .status = HL_STATUS_OK };
    inputs->scenarios = calloc(list->count, sizeof(struct hl_scenario *));
    if (!inputs->scenarios)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    for (size_t i = 0; i < list->count; i++) {
        struct hl_scenario *scenario;
        struct hl_error one;
        if (hl_scenario_load_selected(list->paths[i], selector, &scenario, &one) != HL_STATUS_OK) {
            append(&all, &one);
            continue;
        }
        for (size_t k = 0; k < inputs->n_scenarios; k++)
            if (strcmp(inputs->scenarios[k]->name, scenario->name) == 0) {
                hl_fail(&one, HL_STATUS_USAGE,
                        "%s: the name '%s' is that of %s, too; results and evidence need "
                        "names of their own",
                        list->paths[i], scenario->name, inputs->scenarios[k]->path);
                append(&all, &one);
            }
        inputs->scenarios[inputs->n_scenarios++] = scenario;
    }
    if (all.status != HL_STATUS_OK && error)
        *error = all;
    return all.status;
}

/* The value of a case's matrix parameter; NULL if it has none of this path. `length` is that of the path. */
static const char *param(const struct hl_case *c, const char *path, size_t length)
{
    for (int i = 0; i < c->n_params; i++)
        if (strlen(c->params[i].path) == length && strncmp(c->params[i].path, path, length) == 0)
            return c->params[i].value;
    return NULL;
}

static bool is_param_of_any(const struct hl_inputs *inputs, const char *path, size_t length)
{
    for (size_t s = 0; s < inputs->n_scenarios; s++)
        for (size_t i = 0; i < inputs->scenarios[s]->n_cases; i++)
            if (param(&inputs->scenarios[s]->cases[i], path, length))
                return true;
    return false;
}

/* A filter whose left side is no parameter can still be a part of an id. */
static bool is_part_of_id(const struct hl_inputs *inputs, const char *filter)
{
    for (size_t s = 0; s < inputs->n_scenarios; s++)
        for (size_t i = 0; i < inputs->scenarios[s]->n_cases; i++)
            if (strstr(inputs->scenarios[s]->cases[i].id, filter))
                return true;
    return false;
}

struct filter {
    const char *text;
    size_t path_length; /* 0: a part of the id */
};

static bool matches(const struct hl_case *c, const struct filter *filter)
{
    if (filter->path_length == 0)
        return strstr(c->id, filter->text) != NULL;
    const char *value = param(c, filter->text, filter->path_length);
    return value && strcmp(value, filter->text + filter->path_length + 1) == 0;
}

static bool same_path(const struct filter *a, const struct filter *b)
{
    return a->path_length > 0 && a->path_length == b->path_length &&
           strncmp(a->text, b->text, a->path_length) == 0;
}

static bool is_chosen(const struct hl_case *c, const struct filter *filters, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool good = false;
        for (size_t k = 0; k < n && !good; k++)
            good = (k == i || same_path(&filters[i], &filters[k])) && matches(c, &filters[k]);
        if (!good)
            return false;
    }
    return true;
}

static enum hl_status read_filters(const struct hl_inputs *inputs, char *const *texts, size_t n,
                                   struct filter *filters, struct hl_error *error)
{
    for (size_t i = 0; i < n; i++) {
        const char *equals = strchr(texts[i], '=');
        const size_t length = equals ? (size_t)(equals - texts[i]) : 0;
        filters[i] = (struct filter){ texts[i], 0 };
        if (length > 0 && is_param_of_any(inputs, texts[i], length))
            filters[i].path_length = length;
        else if (!is_part_of_id(inputs, texts[i]))
            return hl_fail(error, HL_STATUS_USAGE,
                           "filter '%s': no case has %s; `hanglab list FILE` shows them", texts[i],
                           length ? "such a matrix parameter" : "this in its id");
    }
    return HL_STATUS_OK;
}

static enum hl_status choose(struct hl_inputs *inputs, const struct filter *filters, size_t n,
                             struct hl_error *error)
{
    size_t total = 0;
    for (size_t s = 0; s < inputs->n_scenarios; s++)
        total += inputs->scenarios[s]->n_cases;
    inputs->items = calloc(total + 1, sizeof *inputs->items);
    if (!inputs->items)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for %zu cases", total);
    for (size_t s = 0; s < inputs->n_scenarios; s++)
        for (size_t i = 0; i < inputs->scenarios[s]->n_cases; i++) {
            const struct hl_case *c = &inputs->scenarios[s]->cases[i];
            struct hl_config resolved;
            struct hl_error why;
            if (!is_chosen(c, filters, n))
                continue;
            if (hl_resolve(&c->config, &resolved, NULL, &why) != HL_STATUS_OK)
                return hl_fail(error, HL_STATUS_USAGE, "%s: case %s cannot run: %s",
                               inputs->scenarios[s]->path, c->id, why.message);
            inputs->items[inputs->n_items++] =
                (struct hl_campaign_item){ .scenario = inputs->scenarios[s], .c = c };
        }
    if (inputs->n_items == 0)
        return hl_fail(error, HL_STATUS_USAGE,
                       "no case satisfies all filters; `hanglab list FILE` shows them");
    return HL_STATUS_OK;
}

/* Applies the filters to the scenarios of `inputs`, which are given back on failure. */
static enum hl_status filter(struct hl_inputs *inputs, char *const *texts, size_t n, struct hl_error *error)
{
    struct filter *filters = calloc(n + 1, sizeof *filters);
    enum hl_status status = HL_STATUS_OK;
    if (!filters)
        status = hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    if (status == HL_STATUS_OK)
        status = read_filters(inputs, texts, n, filters, error);
    if (status == HL_STATUS_OK)
        status = choose(inputs, filters, n, error);
    free(filters);
    if (status != HL_STATUS_OK)
        hl_inputs_finish(inputs);
    return status;
}

enum hl_status hl_inputs_load_selected(char *const *paths, size_t n_paths, char *const *filters,
                                       size_t n_filters, const struct hl_selector *selector,
                                       struct hl_inputs *ret_inputs, struct hl_error *error)
{
    struct hl_inputs inputs = { 0 };
    struct path_list list = { 0 };
    enum hl_status status = expand(paths, n_paths, &list, error);
    if (status == HL_STATUS_OK)
        status = load_all(&list, selector, &inputs, error);
    for (size_t i = 0; i < list.count; i++)
        free(list.paths[i]);
    free(list.paths);
    if (status != HL_STATUS_OK) {
        hl_inputs_finish(&inputs);
        return status;
    }
    status = filter(&inputs, filters, n_filters, error);
    if (status == HL_STATUS_OK)
        *ret_inputs = inputs;
    return status;
}

enum hl_status hl_inputs_parse(const char *name, const char *text, size_t size, struct hl_inputs *ret_inputs,
                               struct hl_error *error)
{
    struct hl_inputs inputs = { .scenarios = calloc(1, sizeof(struct hl_scenario *)) };
    if (!inputs.scenarios)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    enum hl_status status = hl_scenario_parse(name, text, size, &inputs.scenarios[0], error);
    inputs.n_scenarios = status == HL_STATUS_OK;
    if (status != HL_STATUS_OK) {
        hl_inputs_finish(&inputs);
        return status;
    }
    status = filter(&inputs, NULL, 0, error);
    if (status == HL_STATUS_OK)
        *ret_inputs = inputs;
    return status;
}

enum hl_status hl_inputs_load(char *const *paths, size_t n_paths, char *const *filters, size_t n_filters,
                              struct hl_inputs *ret_inputs, struct hl_error *error)
{
    return hl_inputs_load_selected(paths, n_paths, filters, n_filters, NULL, ret_inputs, error);
}

void hl_inputs_finish(struct hl_inputs *inputs)
{
    for (size_t i = 0; i < inputs->n_scenarios; i++)
        hl_scenario_destroy(inputs->scenarios[i]);
    free(inputs->scenarios);
    free(inputs->items);
    *inputs = (struct hl_inputs){ 0 };
}

/* Cases of the library: scenario files, or a text, and what can be asked about them. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "library.h"

const char *hl_version(void) { return HL_VERSION; }

enum hl_status hl_cases_create(struct hl_inputs *inputs, struct hl_cases **ret_cases, struct hl_error *error)
{
    struct hl_cases *cases = malloc(sizeof *cases);
    if (!cases) {
        hl_inputs_finish(inputs);
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    }
    cases->inputs = *inputs;
    *ret_cases = cases;
    return HL_STATUS_OK;
}

enum hl_status hl_cases_load(const char *path, const char *const *filters, size_t n_filters,
                             struct hl_cases **ret_cases, struct hl_error *error)
{
    struct hl_inputs inputs;
    const enum hl_status status =
        hl_inputs_load((char *const *)&path, 1, (char *const *)filters, n_filters, &inputs, error);
    return status == HL_STATUS_OK ? hl_cases_create(&inputs, ret_cases, error) : status;
}

enum hl_status hl_cases_parse(const char *name, const char *text, size_t size, struct hl_cases **ret_cases,
                              struct hl_error *error)
{
    struct hl_inputs inputs;
    const enum hl_status status = hl_inputs_parse(name, text, size, &inputs, error);
    return status == HL_STATUS_OK ? hl_cases_create(&inputs, ret_cases, error) : status;
}

void hl_cases_destroy(struct hl_cases *cases)
{
    if (!cases)
        return;
    hl_inputs_finish(&cases->inputs);
    free(cases);
}

size_t hl_cases_count(const struct hl_cases *cases) { return cases->inputs.n_items; }

static const struct hl_campaign_item *item(const struct hl_cases *cases, size_t index)
{
    assert(index < cases->inputs.n_items);
    return &cases->inputs.items[index];
}

const char *hl_cases_id(const struct hl_cases *cases, size_t index) { return item(cases, index)->c->id; }

const char *hl_cases_path(const struct hl_cases *cases, size_t index)
{
    return item(cases, index)->scenario->path;
}

const char *hl_cases_param(const struct hl_cases *cases, size_t index, const char *axis)
{
    const struct hl_case *c = item(cases, index)->c;
    for (int i = 0; i < c->n_params; i++)
        if (strcmp(c->params[i].path, axis) == 0)
            return c->params[i].value;
    return NULL;
}

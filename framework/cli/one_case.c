/* See one_case.h. */
#include "one_case.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../scenario/words.h"

static const char *short_id(const struct hl_campaign_item *item)
{
    const size_t n = strlen(item->scenario->name);
    return item->c->id[n] == '/' ? item->c->id + n + 1 : item->c->id;
}

/* Keeps the case of that id only; false when there is none. */
static bool keep_named(struct hl_inputs *inputs, const char *id)
{
    for (size_t i = 0; i < inputs->n_items; i++) {
        if (strcmp(inputs->items[i].c->id, id) != 0 && strcmp(short_id(&inputs->items[i]), id) != 0)
            continue;
        inputs->items[0] = inputs->items[i];
        inputs->n_items = 1;
        return true;
    }
    return false;
}

static enum hl_status no_such_case(const struct hl_inputs *inputs, const char *file, const char *id,
                                   struct hl_error *error)
{
    struct hl_nearest nearest = hl_nearest_init(id);
    for (size_t i = 0; i < inputs->n_items; i++)
        hl_nearest_offer(&nearest, short_id(&inputs->items[i]));
    return hl_fail(
        error, HL_STATUS_USAGE,
        "%s has no case '%s'%s%s%s; `hanglab list %s` shows them, and --filter chooses by part of the "
        "id",
        file, id, nearest.best ? "; did you mean '" : "", nearest.best ? nearest.best : "",
        nearest.best ? "'?" : "", file);
}

static enum hl_status choose(struct hl_inputs *inputs, const char *file, const char *id,
                             struct hl_error *error)
{
    if (id && !keep_named(inputs, id))
        return no_such_case(inputs, file, id, error);
    if (inputs->n_items > 1)
        return hl_fail(
            error, HL_STATUS_USAGE,
            "this takes one case, and these are %zu; name it as FILE#CASE, for example '%s#%s', or "
            "choose with --filter",
            inputs->n_items, file, short_id(&inputs->items[0]));
    return HL_STATUS_OK;
}

enum hl_status hl_one_case_load(const char *name, char *const *filters, size_t n_filters,
                                struct hl_inputs *ret_inputs, struct hl_error *error)
{
    struct hl_inputs inputs;
    char *file = strdup(name), *id = NULL;
    if (!file)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    if (access(file, F_OK) < 0 && (id = strchr(file, '#')) != NULL)
        *id++ = '\0';
    enum hl_status status = hl_inputs_load(&file, 1, filters, n_filters, &inputs, error);
    if (status == HL_STATUS_OK) {
        status = choose(&inputs, file, id, error);
        if (status == HL_STATUS_OK)
            *ret_inputs = inputs;
        else
            hl_inputs_finish(&inputs);
    }
    free(file);
    return status;
}

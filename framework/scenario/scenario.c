/* The road from a file to a scenario. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "document.h"
#include "c_locale.h"

static bool read_document(struct hl_document *d, struct hl_scenario *scenario)
{
    const struct hl_diagnostics *found = &d->diagnostics;
    d->root = hl_yaml_parse(d->scratch, found->text, found->size, &d->diagnostics);
    if (!d->root ||
        !hl_document_is(d, d->root, HL_NODE_MAP, "the scenario", "a mapping that starts with hanglab: 1"))
        return false;
    hl_document_read_fields(d);
    hl_document_read_matrix(d);
    hl_document_read_rules(d);
    if (found->count == 0)
        hl_document_expand(d, scenario);
    return found->count == 0;
}

static struct hl_scenario *scenario_create(void)
{
    struct hl_arena *arena = hl_arena_create();
    struct hl_scenario *scenario = arena ? hl_arena_alloc(arena, sizeof *scenario) : NULL;
    if (scenario)
        scenario->arena = arena;
    else
        hl_arena_destroy(arena);
    return scenario;
}

void hl_scenario_destroy(struct hl_scenario *scenario)
{
    if (scenario)
        hl_arena_destroy(scenario->arena); /* the scenario itself is in it */
}

static void parse(struct hl_document *d, const char *name, struct hl_scenario *scenario)
{
    if (!read_document(d, scenario))
        return;
    scenario->path = hl_arena_copy(d->arena, name, strlen(name));
    scenario->name = hl_arena_copy(d->arena, d->config.name, strlen(d->config.name));
    scenario->title = hl_arena_copy(d->arena, d->title, strlen(d->title));
    if (!scenario->path || !scenario->name || !scenario->title)
        hl_diagnose_memory(&d->diagnostics);
}

static enum hl_status parse_selected(const char *name, const char *text, size_t size,
                                     const struct hl_selector *selector, struct hl_scenario **ret_scenario,
                                     struct hl_error *error)
{
    struct hl_scenario *scenario = scenario_create();
    struct hl_document *d = calloc(1, sizeof *d);
    struct hl_arena *scratch = hl_arena_create();
    enum hl_status status = hl_fail(error, HL_STATUS_MEMORY, "%s: out of memory", name);
    if (scenario && d && scratch) {
        d->scratch = scratch;
        d->arena = scenario->arena;
        d->selector = selector;
        d->diagnostics = hl_diagnostics_init(name, text, size, error);
        locale_t before = hl_c_locale_enter();
        parse(d, name, scenario);
        hl_c_locale_leave(before);
        status = hl_diagnostics_finish(&d->diagnostics);
    }
    hl_arena_destroy(scratch);
    free(d);
    if (status != HL_STATUS_OK) {
        hl_scenario_destroy(scenario);
        return status;
    }
    *ret_scenario = scenario;
    return HL_STATUS_OK;
}

enum hl_status hl_scenario_parse(const char *name, const char *text, size_t size,
                                 struct hl_scenario **ret_scenario, struct hl_error *error)
{
    return parse_selected(name, text, size, NULL, ret_scenario, error);
}

/* Reads at most one byte more than a scenario may have, so that a pipe or a device cannot fill the memory. */
static enum hl_status read_file(const char *path, char **ret_text, size_t *ret_size, struct hl_error *error)
{
    struct stat st;
    FILE *file = fopen(path, "rbe");
    if (!file || fstat(fileno(file), &st) < 0 || S_ISDIR(st.st_mode)) {
        const char *why = file && S_ISDIR(st.st_mode) ? "it is a folder" : strerror(errno);
        if (file)
            fclose(file);
        return hl_fail(error, HL_STATUS_USAGE, "%s: cannot read this file: %s", path, why);
    }
    size_t capacity = HL_YAML_BYTES_MAX + 1;
    char *text = malloc(capacity);
    size_t size = text ? fread(text, 1, capacity, file) : 0;
    bool failed = ferror(file);
    fclose(file);
    if (!text)
        return hl_fail(error, HL_STATUS_MEMORY, "%s: out of memory", path);
    if (failed) {
        free(text);
        return hl_fail(error, HL_STATUS_IO, "%s: cannot read this file to its end", path);
    }
    *ret_text = text;
    *ret_size = size;
    return HL_STATUS_OK;
}

enum hl_status hl_scenario_load_selected(const char *path, const struct hl_selector *selector,
                                         struct hl_scenario **ret_scenario, struct hl_error *error)
{
    char *text = NULL;
    size_t size = 0;
    enum hl_status status = read_file(path, &text, &size, error);
    if (status != HL_STATUS_OK)
        return status;
    status = parse_selected(path, text, size, selector, ret_scenario, error);
    free(text);
    return status;
}

enum hl_status hl_scenario_load(const char *path, struct hl_scenario **ret_scenario, struct hl_error *error)
{
    return hl_scenario_load_selected(path, NULL, ret_scenario, error);
}

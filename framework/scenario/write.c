/* Writes one case as a scenario file without a matrix: what a bundle keeps, and what a person edits to
 * look closer at one case. Every value is written, defaults too, so that the file means the same to a
 * later hanglab with other defaults. */
#include <jansson.h>
#include <string.h>
#include "c_locale.h"
#include "scenario.h"
#include "uses.h"
#include "value.h"

/* The number of sections that a path is in. */
static int depth_of(const char *path)
{
    int depth = 0;
    for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.'))
        depth++;
    return depth;
}

/* One row: `margin` stands before it, and two blanks for each section around it. */
static void write_row(const struct hl_field *field, const void *base, const char *margin, FILE *out)
{
    const char *dot = strrchr(field->path, '.');
    fprintf(out, "%s%*s%s:", margin, 2 * depth_of(field->path), "", dot ? dot + 1 : field->path);
    if (field->kind != HL_KIND_SECTION) {
        char text[HL_VALUE_TEXT_MAX];
        hl_value_format(field, base, text);
        fprintf(out, " %s", text);
    }
    fputc('\n', out);
}

/* A struct as an item of a list; of a fault, the keys that it takes. */
static void write_item(const struct hl_field_table *table, const void *base, const struct hl_config *config,
                       int fault, FILE *out)
{
    const char *margin = "  - ";
    for (int i = 0; i < table->count; i++) {
        const struct hl_field *field = &table->rows[i];
        if (field->kind != HL_KIND_SECTION && !hl_value_is_present(field, base))
            continue;
        if (fault >= 0 && !hl_config_uses(config, fault, field->path))
            continue;
        write_row(field, base, margin, out);
        margin = "    ";
    }
}

static void write_faults(const struct hl_config *config, FILE *out)
{
    fputs(config->n_faults ? "faults:\n" : "faults: []\n", out);
    for (int i = 0; i < config->n_faults; i++)
        write_item(&hl_fault_fields, &config->faults[i], config, i, out);
}

static void write_title(const char *title, FILE *out)
{
    json_t *text = json_string(title); /* a JSON string is a double-quoted YAML one */
    fputs("title: ", out);
    json_dumpf(text, out, JSON_ENCODE_ANY);
    fputc('\n', out);
    json_decref(text);
}

/* The keys that have a writer of their own; matrix and exclude are left out. */
static void write_other(const struct hl_scenario *scenario, const struct hl_case *c, const char *path,
                        FILE *out)
{
    if (strcmp(path, "hanglab") == 0) {
        fputs("hanglab: 1\n", out);
    } else if (strcmp(path, "title") == 0) {
        write_title(scenario->title, out);
    } else if (strcmp(path, "faults") == 0) {
        write_faults(&c->config, out);
    } else if (strcmp(path, "expect") == 0) {
        fputs("expect:\n", out);
        write_item(&hl_expect_fields, &c->expected, &c->config, -1, out);
    }
}

void hl_config_write_yaml(const struct hl_config *config, FILE *out)
{
    locale_t before = hl_c_locale_enter();
    struct hl_config once = *config;
    once.runs = 1;
    for (int i = 0; i < hl_scenario_fields.count; i++) {
        const struct hl_field *field = &hl_scenario_fields.rows[i];
        if (field->kind != HL_KIND_OTHER && hl_config_uses(config, -1, field->path) &&
            (field->kind == HL_KIND_SECTION || hl_value_is_present(field, &once)))
            write_row(field, &once, "", out);
    }
    write_faults(&once, out);
    hl_c_locale_leave(before);
}

enum hl_status hl_case_write_yaml(const struct hl_scenario *scenario, const struct hl_case *c, FILE *out)
{
    locale_t before = hl_c_locale_enter();
    fprintf(out, "# The case %s of its scenario, by itself.\n", c->id);
    for (int i = 0; i < hl_scenario_fields.count; i++) {
        const struct hl_field *field = &hl_scenario_fields.rows[i];
        if (field->kind == HL_KIND_OTHER)
            write_other(scenario, c, field->path, out);
        else if (hl_config_uses(&c->config, -1, field->path) &&
                 (field->kind == HL_KIND_SECTION || hl_value_is_present(field, &c->config)))
            write_row(field, &c->config, "", out);
    }
    hl_c_locale_leave(before);
    return ferror(out) ? HL_STATUS_IO : HL_STATUS_OK;
}

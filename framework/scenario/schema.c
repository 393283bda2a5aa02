/* The field tables as JSON Schema (draft 2020-12), for editors and validators.
 *
 * Each value has its definition under $defs, by its dotted path; the sections, the matrix and the
 * conditions refer to it. */
#include <jansson.h>
#include <math.h>
#include <string.h>
#include "c_locale.h"
#include "scenario.h"
#include "value.h"

/* What a duration looks like, and a fault's place in a path. */
#define DURATION_PATTERN "^[0-9]+(\\.[0-9]+)?(ns|us|ms|s)$"
#define NAME_PATTERN "^[A-Za-z0-9][A-Za-z0-9._-]*$"
#define PATH_PATTERN "^[A-Za-z0-9._@/+~-]+$"

static void set(json_t *object, const char *key, json_t *value) { json_object_set_new(object, key, value); }

static json_t *reference(const char *prefix, const char *path)
{
    return json_pack("{s:s++}", "$ref", "#/$defs/", prefix, path);
}

/* A whole number as such: 64, not 64.0. */
static json_t *number(double value)
{
    return value == floor(value) ? json_integer((json_int_t)value) : json_real(value);
}

static json_t *choice_of(json_t *a, json_t *b) { return json_pack("{s:[o,o]}", "anyOf", a, b); }

static json_t *integer_schema(const struct hl_field *field)
{
    json_t *schema = json_pack("{s:s}", "type", "integer");
    if (field->choices) {
        json_t *choices = json_array();
        for (const int *choice = field->choices; *choice; choice++)
            json_array_append_new(choices, json_integer(*choice));
        set(schema, "enum", choices);
        return schema;
    }
    set(schema, "minimum", number(field->min));
    set(schema, "maximum", number(field->max));
    if (field->multiple_of)
        set(schema, "multipleOf", json_integer(field->multiple_of));
    return schema;
}

/* Words as constants with their meanings, which editors show. */
static json_t *word_schema(const struct hl_field *field)
{
    json_t *words = json_array();
    for (int i = 0; i < field->words->count; i++) {
        const struct hl_word *word = &field->words->words[i];
        json_array_append_new(words, json_pack("{s:s, s:s}", "const", word->name, "description", word->doc));
    }
    return json_pack("{s:o}", "oneOf", words);
}

static json_t *type_schema(const struct hl_field *field)
{
    switch (field->kind) {
    case HL_KIND_INT: return integer_schema(field);
    case HL_KIND_REAL:
        return json_pack("{s:s, s:o, s:o}", "type", "number", "minimum", number(field->min), "maximum",
                         number(field->max));
    case HL_KIND_BOOL:
    case HL_KIND_FLAG: return json_pack("{s:s}", "type", "boolean");
    case HL_KIND_WORD: return word_schema(field);
    case HL_KIND_DURATION: return json_pack("{s:s, s:s}", "type", "string", "pattern", DURATION_PATTERN);
    case HL_KIND_SIZES:
        return choice_of(integer_schema(field),
                         json_pack("{s:s, s:i, s:i, s:o}", "type", "array", "minItems", 1, "maxItems",
                                   HL_SIZES_MAX, "items", integer_schema(field)));
    case HL_KIND_NAME:
        return json_pack("{s:s, s:s, s:i}", "type", "string", "pattern", NAME_PATTERN, "maxLength",
                         HL_NAME_MAX - 1);
    case HL_KIND_PATH:
        return json_pack("{s:s, s:s, s:i}", "type", "string", "pattern", PATH_PATTERN, "maxLength",
                         HL_NAME_MAX - 1);
    case HL_KIND_SECTION:
    case HL_KIND_OTHER: break;
    }
    return json_object();
}

/* The default as JSON: numbers and booleans as such, anything else as text. */
static json_t *default_value(const struct hl_field *field)
{
    bool words =
        field->kind == HL_KIND_WORD || field->kind == HL_KIND_DURATION || field->kind == HL_KIND_PATH;
    json_t *value = words ? NULL : json_loads(field->initial, JSON_DECODE_ANY, NULL);
    return value ? value : json_string(field->initial);
}

static json_t *value_schema(const struct hl_field *field)
{
    json_t *schema = type_schema(field);
    if (field->also)
        schema = choice_of(json_pack("{s:s}", "const", field->also), schema);
    char expected[1024];
    hl_field_expectation(field, expected, sizeof expected);
    bool range = field->kind == HL_KIND_DURATION; /* JSON Schema cannot say it otherwise */
    set(schema, "description",
        range ? json_sprintf("%s Takes %s.", field->doc, expected) : json_string(field->doc));
    if (field->initial)
        set(schema, "default", default_value(field));
    return schema;
}

static bool has_value(const struct hl_field *field)
{
    return field->kind != HL_KIND_SECTION && field->kind != HL_KIND_OTHER;
}

static void add_definitions(json_t *definitions, const char *prefix, const struct hl_field_table *table)
{
    for (int i = 0; i < table->count; i++) {
        const struct hl_field *field = &table->rows[i];
        json_t *key = json_sprintf("%s%s", prefix, field->path);
        if (has_value(field))
            set(definitions, json_string_value(key), value_schema(field));
        json_decref(key);
    }
}

static json_t *list_of(json_t *items) { return json_pack("{s:s, s:o}", "type", "array", "items", items); }

static json_t *one_or_list(json_t *value) { return choice_of(value, list_of(json_incref(value))); }

/* Matches the names of axes with a name of their own: whatever has no dot and is no path. */
static json_t *named_pattern(void)
{
    json_t *pattern = json_string("^(?!(");
    for (int i = 0; i < hl_scenario_fields.count; i++) {
        const char *key = hl_field_key(&hl_scenario_fields.rows[i], "");
        json_t *longer = key ? json_sprintf("%s%s|", json_string_value(pattern), key) : json_incref(pattern);
        json_decref(pattern);
        pattern = longer;
    }
    json_t *whole = json_sprintf("%s)$)[A-Za-z0-9_-]+$", json_string_value(pattern));
    json_decref(pattern);
    return whole;
}

/* A schema for mappings of dotted paths, each of which takes what `wrap` makes of its value's schema.
 * Names of other kinds take `named`. */
static json_t *paths_schema(json_t *(*wrap)(json_t *value), json_t *named)
{
    json_t *properties = json_object(), *patterns = json_object();
    for (int i = 0; i < hl_scenario_fields.count; i++) {
        const struct hl_field *field = &hl_scenario_fields.rows[i];
        if (has_value(field) && !field->fixed)
            set(properties, field->path, wrap(reference("", field->path)));
    }
    for (int i = 0; i < hl_fault_fields.count; i++) {
        const char *key = hl_fault_fields.rows[i].path;
        json_t *pattern = json_sprintf("^faults\\.(0|[1-9][0-9]?)\\.%s$", key);
        set(patterns, json_string_value(pattern), wrap(reference("faults.", key)));
        json_decref(pattern);
    }
    if (named) {
        json_t *pattern = named_pattern();
        set(patterns, json_string_value(pattern), named);
        json_decref(pattern);
    }
    return json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", properties, "patternProperties",
                     patterns, "additionalProperties", 0);
}

static json_t *just(json_t *value) { return value; }

static json_t *section_schema(const struct hl_field_table *table, const char *section, const char *prefix);

/* The keys that no field kind describes. */
static json_t *other_schema(const char *path)
{
    if (strcmp(path, "hanglab") == 0)
        return json_pack("{s:i}", "const", 1);
    if (strcmp(path, "title") == 0)
        return json_pack("{s:s, s:i}", "type", "string", "maxLength", 200);
    if (strcmp(path, "faults") == 0) {
        json_t *list = list_of(section_schema(&hl_fault_fields, "", "faults."));
        set(list, "maxItems", json_integer(HL_FAULTS_MAX));
        return list;
    }
    if (strcmp(path, "matrix") == 0)
        return reference("", "matrix");
    if (strcmp(path, "when") == 0)
        return reference("", "when");
    json_t *item = strcmp(path, "exclude") == 0 ? reference("", "when")
                                                : section_schema(&hl_expect_fields, "", "expect.");
    json_t *list = list_of(item);
    set(list, "maxItems", json_integer(HL_RULES_MAX));
    return list;
}

static json_t *key_schema(const struct hl_field_table *table, const struct hl_field *field,
                          const char *prefix)
{
    if (has_value(field))
        return reference(prefix, field->path);
    json_t *schema = field->kind == HL_KIND_SECTION ? section_schema(table, field->path, prefix)
                                                    : other_schema(field->path);
    set(schema, "description", json_string(field->doc));
    return schema;
}

static json_t *section_schema(const struct hl_field_table *table, const char *section, const char *prefix)
{
    json_t *properties = json_object(), *required = json_array();
    for (int i = 0; i < table->count; i++) {
        const struct hl_field *field = &table->rows[i];
        const char *key = hl_field_key(field, section);
        if (!key)
            continue;
        set(properties, key, key_schema(table, field, prefix));
        if (field->required)
            json_array_append_new(required, json_string(key));
    }
    json_t *schema =
        json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties, "additionalProperties", 0);
    if (json_array_size(required) > 0)
        set(schema, "required", json_incref(required));
    json_decref(required);
    return schema;
}

/* An axis that is a list, or a named one that is a mapping of choices. */
static json_t *axis_list(json_t *value)
{
    json_t *list = list_of(value);
    set(list, "minItems", json_integer(1));
    return list;
}

static json_t *named_axis(void)
{
    return json_pack("{s:s, s:i, s:o, s:s}", "type", "object", "minProperties", 1, "additionalProperties",
                     reference("", "settings"), "description",
                     "An axis with a name of its own: each choice has a name and sets several paths.");
}

/* Where a choice's name stands in a condition. */
static json_t *choice_name(void) { return one_or_list(json_pack("{s:s}", "type", "string")); }

void hl_schema_write(FILE *out)
{
    locale_t before = hl_c_locale_enter();
    json_t *schema = json_object(), *definitions = json_object();
    set(schema, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
    set(schema, "title", json_string("hanglab scenario, version 1"));
    set(schema, "description",
        json_sprintf("What to run, with which values, and what is expected. Limits of a file: %d bytes, %d "
                     "values with "
                     "aliases followed, %d levels, %d values an axis, %d combinations.",
                     HL_YAML_BYTES_MAX, HL_YAML_NODES_MAX, HL_YAML_DEPTH_MAX, HL_CHOICES_MAX, HL_CASES_MAX));
    json_object_update_new(schema, section_schema(&hl_scenario_fields, "", ""));
    add_definitions(definitions, "", &hl_scenario_fields);
    add_definitions(definitions, "faults.", &hl_fault_fields);
    add_definitions(definitions, "expect.", &hl_expect_fields);
    set(definitions, "settings", paths_schema(just, NULL));
    set(definitions, "matrix", paths_schema(axis_list, named_axis()));
    set(definitions, "when", paths_schema(one_or_list, choice_name()));
    set(schema, "$defs", definitions);
    json_dumpf(schema, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(schema);
    hl_c_locale_leave(before);
}

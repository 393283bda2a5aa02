/* Reading, formatting and defaults of every kind of value. Expects the C locale (see scenario.c). */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "value.h"

struct unit {
    const char *name;
    double ns;
};
static const struct unit units[] = { { "s", 1e9 }, { "ms", 1e6 }, { "us", 1e3 }, { "ns", 1 } };
enum { UNITS = sizeof units / sizeof *units };

/* The size of one word of storage: int, uint32_t and enums are all read and written as int32_t. */
_Static_assert(sizeof(enum hl_backend) == 4 && sizeof(int) == 4, "words are stored in 4 bytes");

static void store_int(const struct hl_field *field, void *base, int32_t value)
{
    memcpy((char *)base + field->offset, &value, sizeof value);
}

static int32_t load_int(const struct hl_field *field, const void *base)
{
    int32_t value;
    memcpy(&value, (const char *)base + field->offset, sizeof value);
    return value;
}

static bool parse_number(const char *text, const char *alphabet, double *ret_value)
{
    char *end = NULL;
    if (text[0] == '\0' || text[strspn(text, alphabet)] != '\0')
        return false;
    double value = strtod(text, &end);
    if (*end != '\0' || !isfinite(value))
        return false;
    *ret_value = value;
    return true;
}

static bool parse_int(const struct hl_field *field, const char *text, int32_t *ret_value)
{
    double value;
    if (!parse_number(text, "-0123456789", &value) || value < field->min || value > field->max)
        return false;
    int32_t number = (int32_t)value;
    bool chosen = !field->choices;
    for (const int *choice = field->choices; choice && *choice; choice++)
        chosen = chosen || *choice == number;
    if (!chosen || (field->multiple_of && number % field->multiple_of != 0))
        return false;
    *ret_value = number;
    return true;
}

static bool parse_bool(const char *text, bool *ret_value)
{
    *ret_value = strcmp(text, "true") == 0;
    return *ret_value || strcmp(text, "false") == 0;
}

static bool parse_duration(const struct hl_field *field, const char *text, uint64_t *ret_ns)
{
    size_t digits = strspn(text, "0123456789.");
    char number[32];
    double value;
    if (digits >= sizeof number)
        return false;
    snprintf(number, sizeof number, "%.*s", (int)digits, text);
    for (int i = 0; i < UNITS; i++) {
        if (strcmp(text + digits, units[i].name) != 0 || !parse_number(number, "0123456789.", &value))
            continue;
        value = round(value * units[i].ns);
        if (value < field->min || value > field->max)
            return false;
        *ret_ns = (uint64_t)value;
        return true;
    }
    return false;
}

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

static bool parse_name(const char *text, char *ret_name)
{
    size_t n = strlen(text);
    bool ok = n > 0 && n < HL_NAME_MAX && strchr(letters, text[0]);
    for (size_t i = 0; ok && i < n; i++)
        ok = strchr(letters, text[i]) || strchr("._-", text[i]);
    if (ok)
        memcpy(ret_name, text, n + 1);
    return ok;
}

/* All of the room is written: configurations are compared as bytes. */
static bool parse_path(const char *text, char *ret_path)
{
    size_t n = strlen(text);
    bool ok = n > 0 && n < HL_NAME_MAX;
    for (size_t i = 0; ok && i < n; i++)
        ok = strchr(letters, text[i]) || strchr("._-@/+~", text[i]);
    if (!ok)
        return false;
    memset(ret_path, 0, HL_NAME_MAX);
    if (strcmp(text, "none") != 0)
        memcpy(ret_path, text, n);
    return true;
}

static bool is_also(const struct hl_field *field, const char *text)
{
    return field->also && strcmp(field->also, text) == 0;
}

/* Words may be quoted; numbers, booleans and durations only mean themselves without quotes. */
static bool parse_scalar(const struct hl_field *field, const char *text, bool plain, void *base)
{
    char *place = (char *)base + field->offset;
    int32_t number;
    uint64_t duration_ns;
    bool yes;
    if (is_also(field, text)) {
        if (field->kind == HL_KIND_SIZES)
            ((struct hl_config *)base)->schedule.n_sizes = 0;
        else if (field->kind == HL_KIND_DURATION)
            *(uint64_t *)(void *)place = (uint64_t)field->also_value;
        else if (field->kind == HL_KIND_REAL)
            *(double *)(void *)place = field->also_value;
        else
            store_int(field, base, field->also_value);
        return true;
    }
    switch (field->kind) {
    case HL_KIND_INT:
        if (!plain || !parse_int(field, text, &number))
            return false;
        store_int(field, base, number);
        return true;
    case HL_KIND_REAL: {
        double value;
        if (!plain || !parse_number(text, "-+.0123456789eE", &value) || value < field->min ||
            value > field->max)
            return false;
        *(double *)(void *)place = value == 0 ? 0 : value; /* no -0.0 */
        return true;
    }
    case HL_KIND_BOOL:
        if (!plain || !parse_bool(text, &yes))
            return false;
        *(bool *)place = yes;
        return true;
    case HL_KIND_FLAG:
        if (!plain || !parse_bool(text, &yes))
            return false;
        store_int(field, base, yes);
        return true;
    case HL_KIND_WORD: {
        const struct hl_word *word = hl_words_find(field->words, text);
        if (!word)
            return false;
        store_int(field, base, word->value);
        return true;
    }
    case HL_KIND_DURATION:
        if (!parse_duration(field, text, &duration_ns))
            return false;
        *(uint64_t *)(void *)place = duration_ns;
        return true;
    case HL_KIND_SIZES: {
        struct hl_schedule *schedule = &((struct hl_config *)base)->schedule;
        if (!plain || !parse_int(field, text, &number))
            return false;
        schedule->sizes[0] = (uint32_t)number;
        schedule->n_sizes = 1;
        return true;
    }
    case HL_KIND_NAME: return parse_name(text, place);
    case HL_KIND_PATH: return parse_path(text, place);
    case HL_KIND_SECTION:
    case HL_KIND_OTHER: break;
    }
    assert(!"a value of a kind that has none");
    return false;
}

static const char *nearest_word(const struct hl_field *field, const char *text)
{
    struct hl_nearest nearest = hl_nearest_init(text);
    if (field->also)
        hl_nearest_offer(&nearest, field->also);
    for (int i = 0; field->words && i < field->words->count; i++)
        hl_nearest_offer(&nearest, field->words->words[i].name);
    if (field->kind == HL_KIND_BOOL || field->kind == HL_KIND_FLAG) {
        static const char *const yes[] = { "yes", "on", "1" }, *const no[] = { "no", "off", "0" };
        for (int i = 0; i < 3; i++) {
            if (strcmp(text, yes[i]) == 0)
                return "true";
            if (strcmp(text, no[i]) == 0)
                return "false";
        }
        hl_nearest_offer(&nearest, "true");
        hl_nearest_offer(&nearest, "false");
    }
    return nearest.best;
}

static bool refuse(const struct hl_field *field, const struct hl_node *node,
                   struct hl_diagnostics *diagnostics)
{
    char expected[1024];
    hl_field_expectation(field, expected, sizeof expected);
    struct hl_hint hint = { .expected = expected };
    if (node->kind != HL_NODE_SCALAR || (node->text[0] == '\0' && node->plain)) {
        hl_diagnose(diagnostics, node->offset, hint, "%s is %s", field->path, hl_node_describe(node));
        return false;
    }
    hint.nearest = nearest_word(field, node->text);
    hl_diagnose(diagnostics, node->offset, hint,
                node->plain ? "%s cannot be %.60s" : "%s cannot be the text \"%.60s\"", field->path,
                node->text);
    return false;
}

static bool read_sizes(const struct hl_field *field, const struct hl_node *list, struct hl_config *config,
                       struct hl_diagnostics *diagnostics)
{
    uint32_t sizes[HL_SIZES_MAX];
    int n = 0;
    if (list->count < 1 || list->count > HL_SIZES_MAX) {
        char expected[128];
        hl_field_expectation(field, expected, sizeof expected);
        hl_diagnose(diagnostics, list->offset, (struct hl_hint){ .expected = expected }, "%s has %d entries",
                    field->path, list->count);
        return false;
    }
    for (const struct hl_entry *item = list->first; item; item = item->next) {
        int32_t number;
        const struct hl_node *node = item->value;
        if (node->kind != HL_NODE_SCALAR || !node->plain || !parse_int(field, node->text, &number))
            return refuse(field, node, diagnostics);
        sizes[n++] = (uint32_t)number;
    }
    memcpy(config->schedule.sizes, sizes, (size_t)n * sizeof *sizes);
    config->schedule.n_sizes = n;
    return true;
}

bool hl_value_read(const struct hl_field *field, const struct hl_node *node, void *base,
                   struct hl_diagnostics *diagnostics)
{
    if (field->kind == HL_KIND_SIZES && node->kind == HL_NODE_LIST)
        return read_sizes(field, node, base, diagnostics);
    if (node->kind == HL_NODE_SCALAR && parse_scalar(field, node->text, node->plain, base))
        return true;
    return refuse(field, node, diagnostics);
}

static bool has_value(const struct hl_field *field)
{
    return field->kind != HL_KIND_SECTION && field->kind != HL_KIND_OTHER;
}

void hl_values_init(const struct hl_field_table *table, void *base)
{
    for (int i = 0; i < table->count; i++) {
        const struct hl_field *field = &table->rows[i];
        if (!has_value(field))
            continue;
        if (field->initial) {
            bool ok = parse_scalar(field, field->initial, true, base);
            assert(ok && "a default outside its own range");
            (void)ok;
        } else if (field->absent) {
            store_int(field, base, field->absent);
        }
    }
}

bool hl_value_is_present(const struct hl_field *field, const void *base)
{
    if (!has_value(field))
        return false;
    if (field->initial || field->required)
        return true;
    if (field->kind == HL_KIND_DURATION)
        return *(const uint64_t *)(const void *)((const char *)base + field->offset) !=
               (uint64_t)field->absent;
    return load_int(field, base) != field->absent;
}

void hl_duration_format(uint64_t duration_ns, char *text, size_t size)
{
    for (int i = 0; i < UNITS; i++)
        if (duration_ns % (uint64_t)units[i].ns == 0) {
            snprintf(text, size, "%llu%s", (unsigned long long)(duration_ns / (uint64_t)units[i].ns),
                     units[i].name);
            return;
        }
}

static void format_sizes(const struct hl_schedule *schedule, char text[HL_VALUE_TEXT_MAX])
{
    int n = 0;
    if (schedule->n_sizes < 2) {
        if (schedule->n_sizes == 1)
            snprintf(text, HL_VALUE_TEXT_MAX, "%u", schedule->sizes[0]);
        else
            snprintf(text, HL_VALUE_TEXT_MAX, "auto");
        return;
    }
    for (int i = 0; i < schedule->n_sizes; i++)
        n += snprintf(text + n, HL_VALUE_TEXT_MAX - (size_t)n, "%c%u", i ? ',' : '[', schedule->sizes[i]);
    snprintf(text + n, HL_VALUE_TEXT_MAX - (size_t)n, "]");
}

/* The fewest digits that read back as the same number. */
static void format_real(double value, char text[HL_VALUE_TEXT_MAX])
{
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, HL_VALUE_TEXT_MAX, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            return;
    }
}

void hl_value_format(const struct hl_field *field, const void *base, char text[HL_VALUE_TEXT_MAX])
{
    const char *place = (const char *)base + field->offset;
    const size_t size = HL_VALUE_TEXT_MAX;
    switch (field->kind) {
    case HL_KIND_INT:
        if (field->also && load_int(field, base) == field->also_value)
            snprintf(text, size, "%s", field->also);
        else
            snprintf(text, size, "%d", load_int(field, base));
        return;
    case HL_KIND_REAL: {
        double value = *(const double *)(const void *)place;
        if (field->also && value == field->also_value)
            snprintf(text, size, "%s", field->also);
        else
            format_real(value, text);
        return;
    }
    case HL_KIND_BOOL: snprintf(text, size, "%s", *(const bool *)place ? "true" : "false"); return;
    case HL_KIND_FLAG: {
        int value = load_int(field, base);
        snprintf(text, size, "%s", value < 0 ? "unset" : value ? "true" : "false");
        return;
    }
    case HL_KIND_WORD: {
        int value = load_int(field, base);
        const char *name =
            field->also && value == field->also_value ? field->also : hl_words_name(field->words, value);
        snprintf(text, size, "%s",
                 value == field->absent && !field->initial && !field->required ? "unset" : name);
        return;
    }
    case HL_KIND_DURATION: {
        uint64_t duration_ns = *(const uint64_t *)(const void *)place;
        if (field->also && duration_ns == (uint64_t)field->also_value)
            snprintf(text, size, "%s", field->also);
        else
            hl_duration_format(duration_ns, text, size);
        return;
    }
    case HL_KIND_SIZES: format_sizes(&((const struct hl_config *)base)->schedule, text); return;
    case HL_KIND_NAME: snprintf(text, size, "%s", place); return;
    case HL_KIND_PATH: snprintf(text, size, "%s", place[0] ? place : "none"); return;
    case HL_KIND_SECTION:
    case HL_KIND_OTHER: break;
    }
    assert(!"a value of a kind that has none");
}

void hl_field_expectation(const struct hl_field *field, char *text, size_t size)
{
    size_t n = 0;
#define PRINT(...) (n += (size_t)snprintf(text + n, size - n, __VA_ARGS__), n = n < size ? n : size - 1)
    switch (field->kind) {
    case HL_KIND_INT:
        if (field->choices) {
            PRINT("one of ");
            for (const int *choice = field->choices; *choice; choice++)
                PRINT("%s%d", choice == field->choices ? "" : ", ", *choice);
        } else {
            PRINT("an integer from %.0f to %.0f", field->min, field->max);
        }
        if (field->multiple_of)
            PRINT(", a multiple of %d", field->multiple_of);
        break;
    case HL_KIND_REAL: PRINT("a number from %g to %g", field->min, field->max); break;
    case HL_KIND_BOOL:
    case HL_KIND_FLAG: PRINT("true or false"); break;
    case HL_KIND_WORD:
        PRINT("one of ");
        for (int i = 0; i < field->words->count; i++)
            PRINT("%s%s", i ? ", " : "", field->words->words[i].name);
        break;
    case HL_KIND_DURATION: {
        char least[32], most[32];
        hl_duration_format((uint64_t)field->min, least, sizeof least);
        hl_duration_format((uint64_t)field->max, most, sizeof most);
        PRINT("a duration from %s to %s, such as 20ms or 1.5s", least, most);
        break;
    }
    case HL_KIND_SIZES:
        PRINT("an integer from %.0f to %.0f, or a list of 1 to %d of them", field->min, field->max,
              HL_SIZES_MAX);
        break;
    case HL_KIND_NAME:
        PRINT("up to %d letters, digits, dots, dashes and underscores, a letter or digit first",
              HL_NAME_MAX - 1);
        break;
    case HL_KIND_PATH:
        PRINT("a path or a name of up to %d letters, digits and . _ - @ / + ~, or none", HL_NAME_MAX - 1);
        break;
    case HL_KIND_SECTION: PRINT("a mapping, key: value"); break;
    case HL_KIND_OTHER: break;
    }
    if (field->also)
        PRINT(", or %s", field->also);
#undef PRINT
}

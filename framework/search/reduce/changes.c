/* Groups and dials over struct hl_config; which settings there are comes from the scenario's field table. */
#include "changes.h"
#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include "../../program/resolve.h"
#include "../../scenario/value.h"
#include "../../scenario/words.h"

/*
 * Dials
 */

enum owner { OWNER_CONFIG, OWNER_FAULT, OWNER_SIZE };

static const struct dial_row {
    const char *path;
    enum owner owner;
    size_t offset;
    int min;
    bool doubles;   /* its values double */
    bool has_every; /* -1 stands for all calls */
} dial_rows[] = {
    /* In the order in which they are turned: what makes runs cheap comes first. */
    { "world.ranks", OWNER_CONFIG, offsetof(struct hl_config, world.ranks), 2, .doubles = true },
    { "schedule.layers", OWNER_CONFIG, offsetof(struct hl_config, schedule.layers), 1 },
    { "schedule.replays", OWNER_CONFIG, offsetof(struct hl_config, schedule.replays), 0 },
    { "schedule.warmups", OWNER_CONFIG, offsetof(struct hl_config, schedule.warmups), 0 },
    { "schedule.calls_per_layer", OWNER_CONFIG, offsetof(struct hl_config, schedule.calls_per_layer), 1 },
    { "schedule.pieces", OWNER_CONFIG, offsetof(struct hl_config, schedule.pieces), 1 },
    { "subject.workspaces", OWNER_CONFIG, offsetof(struct hl_config, subject.workspaces), 1 },
    { "schedule.sizes", OWNER_SIZE, 0, 1 },
    { "calls", OWNER_FAULT, offsetof(struct hl_fault, calls), 1 },
    { "call", OWNER_FAULT, offsetof(struct hl_fault, call), 0, .has_every = true },
};
enum { DIAL_ROWS = sizeof dial_rows / sizeof *dial_rows };

static void *dial_place(struct hl_config *config, const struct hl_dial *dial)
{
    const struct dial_row *row = &dial_rows[dial->row];
    if (row->owner == OWNER_SIZE)
        return &config->schedule.sizes[dial->index];
    char *base = row->owner == OWNER_FAULT ? (char *)&config->faults[dial->index] : (char *)config;
    return base + row->offset;
}

static int smaller_values(const struct dial_row *row, long value)
{
    if (value < 0)
        return row->has_every; /* all calls, or the first one; other open numbers are left alone */
    if (!row->doubles)
        return value > row->min ? (int)value - row->min : 0;
    int n = 0;
    for (long v = row->min; v < value; v *= 2)
        n++;
    return n;
}

int hl_dials_list(const struct hl_config *config, struct hl_dial dials[HL_DIALS_MAX])
{
    int n = 0;
    struct hl_config copy = *config;
    for (int row = 0; row < DIAL_ROWS; row++) {
        const enum owner owner = dial_rows[row].owner;
        const int owners = owner == OWNER_FAULT  ? config->n_faults
                           : owner == OWNER_SIZE ? config->schedule.n_sizes
                                                 : 1;
        for (int index = 0; index < owners; index++) {
            struct hl_dial dial = { .path = dial_rows[row].path, .index = index, .row = row };
            int32_t value; /* int and uint32_t alike */
            memcpy(&value, dial_place(&copy, &dial), sizeof value);
            dial.value = value;
            dial.n_smaller = smaller_values(&dial_rows[row], value);
            assert(n < HL_DIALS_MAX);
            if (dial.n_smaller > 0)
                dials[n++] = dial;
        }
    }
    return n;
}

long hl_dial_value(const struct hl_dial *dial, int position)
{
    const struct dial_row *row = &dial_rows[dial->row];
    assert(position >= 0 && position <= dial->n_smaller);
    if (position == dial->n_smaller)
        return dial->value;
    return row->doubles ? (long)row->min << position : row->min + position;
}

void hl_dial_turn(const struct hl_config *config, const struct hl_dial *dial, int position,
                  struct hl_config *ret_config)
{
    *ret_config = *config;
    const int32_t value = (int32_t)hl_dial_value(dial, position);
    memcpy(dial_place(ret_config, dial), &value, sizeof value);
    /* A fault of a rank that went strikes one that stayed. */
    for (int i = 0; i < ret_config->n_faults; i++)
        ret_config->faults[i].rank %= ret_config->world.ranks;
}

void hl_dial_describe(const struct hl_dial *dial, long value, char text[HL_CHANGE_TEXT_MAX])
{
    const enum owner owner = dial_rows[dial->row].owner;
    char path[64];
    if (owner == OWNER_CONFIG)
        snprintf(path, sizeof path, "%s", dial->path);
    else
        snprintf(path, sizeof path, owner == OWNER_FAULT ? "faults.%d.%s" : "schedule.sizes[%d]", dial->index,
                 dial->path);
    if (value < 0)
        snprintf(text, HL_CHANGE_TEXT_MAX, "%s: every", path);
    else
        snprintf(text, HL_CHANGE_TEXT_MAX, "%s: %ld", path, value);
}

/*
 * Settings
 */

static bool is_dial(const char *path)
{
    for (int row = 0; row < DIAL_ROWS; row++)
        if (dial_rows[row].owner != OWNER_FAULT && strcmp(dial_rows[row].path, path) == 0)
            return true;
    return false;
}

static bool is_setting(const struct hl_field *field)
{
    return field->kind != HL_KIND_SECTION && field->kind != HL_KIND_OTHER && field->kind != HL_KIND_NAME &&
           field->kind != HL_KIND_PATH && !is_dial(field->path) && strcmp(field->path, "runs") != 0 &&
           strcmp(field->path, "geometry") != 0;
}

/* Every setting at its plain value: the default, but of what stands in unwritten memory, nothing. */
static void plain_init(struct hl_config *plain)
{
    memset(plain, 0, sizeof *plain);
    hl_values_init(&hl_scenario_fields, plain);
    plain->payload.residue = (struct hl_residue){ 0 };
}

/* The rows of the settings that are not plain. */
static int list_settings(const struct hl_config *config, const struct hl_field *ret_fields[HL_MEMBERS_MAX])
{
    int n = 0;
    struct hl_config plain;
    plain_init(&plain);
    for (int i = 0; i < hl_scenario_fields.count; i++) {
        const struct hl_field *field = &hl_scenario_fields.rows[i];
        char now[HL_VALUE_TEXT_MAX], without[HL_VALUE_TEXT_MAX];
        if (!is_setting(field))
            continue;
        hl_value_format(field, config, now);
        hl_value_format(field, &plain, without);
        if (strcmp(now, without) != 0)
            ret_fields[n++] = field;
    }
    return n;
}

static void copy_value(const struct hl_field *field, const struct hl_config *from, struct hl_config *to)
{
    size_t size = sizeof(int32_t);
    if (field->kind == HL_KIND_BOOL)
        size = sizeof(bool);
    else if (field->kind == HL_KIND_REAL || field->kind == HL_KIND_DURATION)
        size = sizeof(uint64_t);
    memcpy((char *)to + field->offset, (const char *)from + field->offset, size);
}

/*
 * Groups
 */

int hl_group_count(const struct hl_config *config, enum hl_group group)
{
    const struct hl_field *fields[HL_MEMBERS_MAX];
    switch (group) {
    case HL_GROUP_FAULTS: return config->n_faults;
    case HL_GROUP_SIZES: return config->schedule.n_sizes;
    default: return list_settings(config, fields);
    }
}

bool hl_group_without(const struct hl_config *config, enum hl_group group, const bool *remove,
                      struct hl_config *ret_config)
{
    const struct hl_field *fields[HL_MEMBERS_MAX];
    struct hl_config plain;
    struct hl_config c = *config;
    switch (group) {
    case HL_GROUP_FAULTS:
        c.n_faults = 0;
        for (int i = 0; i < config->n_faults; i++)
            if (!remove[i])
                c.faults[c.n_faults++] = config->faults[i];
        break;
    case HL_GROUP_SIZES:
        c.schedule.n_sizes = 0;
        for (int i = 0; i < config->schedule.n_sizes; i++)
            if (!remove[i])
                c.schedule.sizes[c.schedule.n_sizes++] = config->schedule.sizes[i];
        if (c.schedule.n_sizes == 0)
            return false;
        break;
    default:
        plain_init(&plain);
        for (int i = list_settings(config, fields) - 1; i >= 0; i--)
            if (remove[i])
                copy_value(fields[i], &plain, &c);
    }
    *ret_config = c;
    return true;
}

void hl_group_describe(const struct hl_config *config, enum hl_group group, int member,
                       char text[HL_CHANGE_TEXT_MAX])
{
    const struct hl_field *fields[HL_MEMBERS_MAX];
    const struct hl_fault *fault = &config->faults[member];
    char value[HL_VALUE_TEXT_MAX];
    switch (group) {
    case HL_GROUP_FAULTS:
        snprintf(text, HL_CHANGE_TEXT_MAX, "fault %s on rank %d",
                 hl_words_name(&hl_words_faults, (int)fault->kind), fault->rank);
        if (fault->kind != HL_FAULT_LATE_MEMSET)
            snprintf(text + strlen(text), HL_CHANGE_TEXT_MAX - strlen(text),
                     fault->call < 0 ? ", every call" : ", call %d", fault->call);
        return;
    case HL_GROUP_SIZES:
        snprintf(text, HL_CHANGE_TEXT_MAX, "captured size %u", config->schedule.sizes[member]);
        return;
    default:
        list_settings(config, fields);
        hl_value_format(fields[member], config, value);
        snprintf(text, HL_CHANGE_TEXT_MAX, "%s: %.*s", fields[member]->path, HL_CHANGE_TEXT_MAX / 2, value);
    }
}

void hl_group_substitute(const struct hl_config *config, enum hl_group group, int member,
                         char text[HL_CHANGE_TEXT_MAX])
{
    const struct hl_field *fields[HL_MEMBERS_MAX];
    struct hl_config plain;
    char value[HL_VALUE_TEXT_MAX] = "nothing";
    if (group == HL_GROUP_SETTINGS) {
        plain_init(&plain);
        list_settings(config, fields);
        hl_value_format(fields[member], &plain, value);
    }
    snprintf(text, HL_CHANGE_TEXT_MAX, "%.*s", HL_CHANGE_TEXT_MAX / 2, value);
}

bool hl_config_make_sure(const struct hl_config *config, struct hl_config *ret_config)
{
    struct hl_config c = *config;
    bool random = false;
    for (int i = 0; i < c.n_faults; i++) {
        random |= c.faults[i].probability < 1;
        c.faults[i].probability = 1;
    }
    c.payload.residue = hl_residue_model(&c);
    double *const residues[] = { &c.payload.residue.negative_subnormal_rows, &c.payload.residue.nan_rows };
    for (size_t i = 0; i < sizeof residues / sizeof *residues; i++)
        if (*residues[i] > 0 && *residues[i] < 1) {
            *residues[i] = 1;
            random = true;
        }
    *ret_config = c;
    return random;
}

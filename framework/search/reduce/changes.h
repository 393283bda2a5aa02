/* What of a configuration can be taken away, and what can be made smaller.
 *
 * Groups hold what is left out as a whole: a fault, a captured size, a setting that differs from its default.
 * Dials are numbers that can be turned down: ranks, layers, token counts, replays and the like. */
#pragma once
#include "hanglab/config.h"
#include "hanglab/error.h"

/* X(ID, name, doc) */
#define HL_GROUPS(X) \
    X(HL_GROUP_FAULTS, "fault", "a fault, left out") \
    X(HL_GROUP_SETTINGS, "setting", "a value that differs from the plain one, set to it") \
    X(HL_GROUP_SIZES, "size", "a captured size, left out")
enum hl_group { HL_GROUPS(HL_ENUMERATOR) HL_GROUP_COUNT };

enum { HL_MEMBERS_MAX = 256, HL_DIALS_MAX = 256, HL_CHANGE_TEXT_MAX = 256 };

/* The number of things in a group. */
int hl_group_count(const struct hl_config *config, enum hl_group group);
/* The configuration without those for which remove[i] holds. False when that leaves nothing to run. */
bool hl_group_without(const struct hl_config *config, enum hl_group group, const bool *remove,
                      struct hl_config *ret_config);
/* "fault skip-call on rank 2, call 37", "schedule.mode: piecewise" */
void hl_group_describe(const struct hl_config *config, enum hl_group group, int member,
                       char text[HL_CHANGE_TEXT_MAX]);
/* What takes its place: the value of a setting, or "nothing". */
void hl_group_substitute(const struct hl_config *config, enum hl_group group, int member,
                         char text[HL_CHANGE_TEXT_MAX]);

struct hl_dial {
    const char *path; /* for people: schedule.layers, faults.2.calls */
    int index;        /* of the fault or size that it belongs to */
    int row;          /* of the table of dials */
    long value;       /* now */
    int n_smaller;    /* values that it could be turned down to */
};

/* All dials that can still be turned down; returns how many. */
int hl_dials_list(const struct hl_config *config, struct hl_dial dials[HL_DIALS_MAX]);
/* Its `position`-th value, 0 the smallest; n_smaller is the value that it has. */
long hl_dial_value(const struct hl_dial *dial, int position);
void hl_dial_turn(const struct hl_config *config, const struct hl_dial *dial, int position,
                  struct hl_config *ret_config);
void hl_dial_describe(const struct hl_dial *dial, long value, char text[HL_CHANGE_TEXT_MAX]);

/* Everything random at its surest: faults with a probability strike in every run, an unwritten row always
 * holds what it can. False when nothing is random. */
bool hl_config_make_sure(const struct hl_config *config, struct hl_config *ret_config);

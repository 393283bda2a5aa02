/* Schedules as points; see schedules.h. */
#include "schedules.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../decide.h"

enum { ATTEMPTS = 16 }; /* to find a schedule that passes, for a run */

/* A name for each step. */
struct naming {
    struct hl_schedules *schedules;
    bool failed;
};

static void name_turn(void *user, const struct hl_story_turn *turn)
{
    struct naming *naming = user;
    struct hl_schedules *s = naming->schedules;
    naming->failed |= asprintf(&s->names[turn->first + 1], "%u: rank %d, call %d: %s", turn->first + 1,
                               turn->rank, turn->call, turn->text) < 0;
}
static void ignore_wait(void *user, const char *sentence) { (void)user, (void)sentence; }

static enum hl_status name_points(struct hl_schedules *s, const struct hl_path *agents,
                                  struct hl_error *error)
{
    struct naming naming = { .schedules = s };
    const struct hl_story_listener listener = { name_turn, ignore_wait, &naming, UINT32_MAX, .each = true };
    struct hl_story story;
    s->names = calloc((size_t)s->n, sizeof *s->names);
    if (!s->names)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for an axis");
    s->names[0] = strdup("0: none of its steps");
    const enum hl_status status = hl_story_tell(s->space, agents, &listener, &story, error);
    if (status)
        return status;
    if (naming.failed || !s->names[0])
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for an axis");
    return story.hangs
               ? HL_STATUS_OK
               : hl_fail(error, HL_STATUS_USAGE, "the schedule does not hang: it is no bad end of an axis");
}

/* A schedule that passes, for run number `run`. */
static enum hl_status find_passing(struct hl_schedules *s, uint32_t run, struct hl_path *passes,
                                   bool *ret_found, struct hl_error *error)
{
    enum hl_turns_end end;
    enum hl_status status = HL_STATUS_OK;
    *ret_found = false;
    for (uint32_t i = 0; i < ATTEMPTS && !*ret_found && !status; i++)
        status = hl_decide_attempt(s->space, (run + s->seed) * ATTEMPTS + i, 3 * s->lanes.n + 1000, passes,
                                   ret_found, &end, error);
    return status;
}

enum hl_status hl_schedules_init(struct hl_schedules *s, const struct hl_config *config, const char *file,
                                 uint32_t seed, struct hl_error *error)
{
    struct hl_path agents = { 0 };
    *s = (struct hl_schedules){ .seed = seed };
    enum hl_status status = hl_schedule_load(config, file, &s->space, &agents, error);
    s->n = (int)agents.n + 1;
    if (!status)
        status = hl_lanes_of_agents(s->space, &agents, &s->lanes, error);
    if (!status)
        status = name_points(s, &agents, error);
    struct hl_path passes = { 0 };
    bool found = true;
    for (uint32_t run = 0; !status && run < 8 && (run == 0 || !found); run++)
        status = find_passing(s, run, &passes, &found, error);
    if (!status && !found)
        status =
            hl_fail(error, HL_STATUS_USAGE,
                    "none of %d other schedules passes: there is no good end of an axis, the order does not "
                    "seem to decide",
                    8 * ATTEMPTS);
    hl_path_finish(&passes);
    hl_path_finish(&agents);
    if (status)
        hl_schedules_finish(s);
    return status;
}

void hl_schedules_finish(struct hl_schedules *s)
{
    for (int i = 0; s->names && i < s->n; i++)
        free(s->names[i]);
    free(s->names);
    hl_path_finish(&s->lanes);
    hl_space_destroy(s->space);
    *s = (struct hl_schedules){ 0 };
}

/* Run number `run` of a point. */
static enum hl_status run_once(struct hl_schedules *s, int point, uint32_t run, enum hl_shown *ret_shown,
                               struct hl_error *error)
{
    struct hl_path passes = { 0 }, taken = { 0 };
    enum hl_turns_end end = HL_TURNS_CUT;
    bool found, possible;
    enum hl_status status = find_passing(s, run, &passes, &found, error);
    if (!status && found)
        status = hl_lanes_follow(s->space, &(struct hl_lanes_plan){ &s->lanes, (uint32_t)point, &passes },
                                 &taken, &possible, &end, error);
    *ret_shown = !found || end == HL_TURNS_CUT ? HL_SHOWN_NOTHING
                 : end == HL_TURNS_HANGS       ? HL_SHOWN_HANG
                                               : HL_SHOWN_PASS;
    hl_path_finish(&passes);
    hl_path_finish(&taken);
    return status;
}

enum hl_status hl_schedules_run(void *user, int point, int first, int n, enum hl_shown *ret_shown,
                                struct hl_error *error)
{
    for (int i = 0; i < n; i++) {
        const enum hl_status status = run_once(user, point, (uint32_t)(first + i), &ret_shown[i], error);
        if (status)
            return status;
    }
    return HL_STATUS_OK;
}

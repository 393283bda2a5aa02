/* The points of an axis of schedules: --over schedule=FILE, a schedule that hangs.
 *
 * Point k is the first k steps of it, and then a schedule that passes, as far as its steps can be taken:
 * another one in each run, so that a point may hang now and then. Point 0 passes, the last one hangs. */
#pragma once
#include "../portfolio.h"
#include "bisect.h"

struct hl_schedules {
    struct hl_space *space;
    struct hl_path lanes; /* of the schedule */
    char **names;         /* of the points: what the last step does */
    int n;                /* points */
    uint32_t seed;
};

enum hl_status hl_schedules_init(struct hl_schedules *schedules, const struct hl_config *config,
                                 const char *file, uint32_t seed, struct hl_error *error);
void hl_schedules_finish(struct hl_schedules *schedules);
/* hl_bisect_options.run; `user` is a struct hl_schedules. */
enum hl_status hl_schedules_run(void *user, int point, int first, int n, enum hl_shown *ret_shown,
                                struct hl_error *error);

/* The points of an axis that is a parameter of the scenario: --over schedule.pieces=1..9 or =1,2,4,8. */
#pragma once
#include "bisect.h"
#include "trial.h"

enum { HL_POINTS_MAX = 65536 };

struct hl_points {
    char *path;
    char **values; /* from the good end to the bad one */
    int n;
};

enum hl_status hl_points_parse(const char *text, struct hl_points *ret_points, struct hl_error *error);
void hl_points_finish(struct hl_points *points);

/* Where bisect's questions about such points are answered. */
struct hl_points_lab {
    const struct hl_scenario *scenario;
    struct hl_config config; /* of the case; the axis's parameter is set for each point */
    const struct hl_points *points;
    hl_trial_function trial;
    void *trial_user;
    int cause; /* enum hl_cause that counts, or -1: that of the first hang */
    bool met;  /* a hang was seen, and from then on only its cause counts: stages move with sizes */
    enum hl_cause target; /* of it */
};

/* Can the case run at this point at all? */
enum hl_status hl_points_check(const struct hl_points_lab *lab, int point, struct hl_error *error);
/* hl_bisect_options.run; `user` is a struct hl_points_lab. */
enum hl_status hl_points_run(void *user, int point, int first, int n, enum hl_shown *ret_shown,
                             struct hl_error *error);

/* Raises the hang rate of the bad end, where it is below one half: surer chances, more replays, hosts that
 * drift apart. Whatever it changes must leave the good end without a hang. *ret_what says what was changed;
 * NULL: nothing. */
enum hl_status hl_points_steer(struct hl_points_lab *lab, const char **ret_what, long *ret_runs,
                               struct hl_error *error);

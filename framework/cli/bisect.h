/* What a person or a program sees of a bisection. */
#pragma once
#include "../search/reduce/bisect.h"

struct hl_bisect_view {
    const char *id, *axis;
    char **names; /* of the points */
    enum hl_status (*run)(void *user, int point, int first, int n, enum hl_shown *ret_shown,
                          struct hl_error *error);
    void *user;
    bool (*stop)(void *user);
    void *stop_user;
    const char *steered; /* what raised the hang rate, or NULL */
    long steer_runs;
    bool rates_differ;
    double wall_s;
};

/* For hl_bisect_options, whose user is a view. */
enum hl_status hl_bisect_view_run(void *user, int point, int first, int n, enum hl_shown *ret_shown,
                                  struct hl_error *error);
bool hl_bisect_view_stop(void *user);
void hl_bisect_view_question(void *user, const struct hl_bisect_question *question);

void hl_bisect_view_clear(void);
void hl_bisect_view_text(const struct hl_bisect_view *view, const struct hl_bisect_result *result);
void hl_bisect_view_json(const struct hl_bisect_view *view, const struct hl_bisect_result *result);

/* Between the parts of `hanglab explore`: what it was asked, and what it found of a case. */
#pragma once
#include <jansson.h>
#include "../scenario/scenario.h"
#include "../search/decide.h"
#include "../search/portfolio.h"

struct hl_explore_arguments {
    char **names, **filters;
    size_t n_names, n_filters;
    struct hl_portfolio_options search;
    const char *schedule, *save, *checkpoint, *out, *scenario, *engine, *exports;
    bool resumes, json;
    json_t *results;
};

struct hl_explore_found {
    const struct hl_case *c;
    struct hl_portfolio search;
    struct hl_story story; /* of a hang, */
    struct hl_decided decided;
    struct hl_story_turn pair[2]; /* and the two steps whose order decides */
};

/* As text; of a hang with its lanes. */
enum hl_status hl_explore_write_text(const struct hl_explore_found *found, struct hl_error *error);
enum hl_status hl_explore_json(const struct hl_explore_found *found, json_t **ret_object,
                               struct hl_error *error);

/* Between the parts of `hanglab explore`: what it was asked, and what it found of a case. */
#pragma once
#include "../scenario/scenario.h"
#include "../search/portfolio.h"
#include "../search/story.h"

struct hl_explore_arguments {
    char **names, **filters;
    size_t n_names, n_filters;
    struct hl_portfolio_options search;
    const char *schedule, *save, *checkpoint;
    bool resumes, exports, json;
};

struct hl_explore_found {
    const struct hl_case *c;
    struct hl_portfolio search;
    struct hl_story story; /* of a hang */
};

/* As text; of a hang with its lanes. */
enum hl_status hl_explore_write_text(const struct hl_explore_found *found, struct hl_error *error);
/* As one line of JSON. */
void hl_explore_write_json(const struct hl_explore_found *found);

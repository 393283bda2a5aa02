/* Between the parts of `hanglab explore`: what it was asked, and what it found of a case. */
#pragma once
#include <jansson.h>
#include "../scenario/scenario.h"
#include "../search/decide.h"
#include "../search/portfolio.h"

/* How cases were answered, against what their files expect of `hanglab run`. */
struct hl_explore_tally {
    int cases, ok, otherwise;
    int unseen; /* otherwise, because of something that no search sees: struct hl_cover */
    int undecided, refused;
};

struct hl_explore_arguments {
    char **names, **filters;
    size_t n_names, n_filters;
    struct hl_portfolio_options search;
    const char *schedule, *save, *checkpoint, *out, *scenario, *engine, *exports;
    bool resumes, json;
    json_t *results;
    struct hl_explore_tally tally;
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
/* The case is searched no further: why. */
json_t *hl_explore_refused_json(const struct hl_case *c, const struct hl_error *why);

bool hl_explore_is_as_expected(const struct hl_explore_found *found);
void hl_explore_tally_add(struct hl_explore_tally *tally, const struct hl_explore_found *found);
/* The last line: in JSON always, in text of more cases than one. */
void hl_explore_tally_write(const struct hl_explore_tally *tally, bool json, int code);

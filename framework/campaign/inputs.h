/* Scenario files and folders that a user names, and the filters that choose among their cases. */
#pragma once
#include "campaign.h"

struct hl_inputs {
    struct hl_scenario **scenarios;
    size_t n_scenarios;
    struct hl_campaign_item *items; /* the chosen cases, in order of files and matrices */
    size_t n_items;
};

/* A filter is "path=value" (a matrix parameter) or a part of the case id. Filters on the same path are
 * alternatives; a case must satisfy all others. Every mistake of every file is told. */
enum hl_status hl_inputs_load(char *const *paths, size_t n_paths, char *const *filters, size_t n_filters,
                              struct hl_inputs *ret_inputs, struct hl_error *error);
/* The same with those cases of each matrix only that the selector chooses; NULL: all. */
enum hl_status hl_inputs_load_selected(char *const *paths, size_t n_paths, char *const *filters,
                                       size_t n_filters, const struct hl_selector *selector,
                                       struct hl_inputs *ret_inputs, struct hl_error *error);
/* One file from memory, all of its cases; `name` stands for its path. */
enum hl_status hl_inputs_parse(const char *name, const char *text, size_t size, struct hl_inputs *ret_inputs,
                               struct hl_error *error);
void hl_inputs_finish(struct hl_inputs *inputs);

/* FILE#CASE: how the commands that look into one case name it. */
#pragma once
#include "../campaign/inputs.h"

/* Loads the file and finds the case: CASE is an id, or its part behind the scenario's name. Without #CASE,
 * the filters (inputs.h) must leave one case. `inputs` then holds just that one item. */
enum hl_status hl_one_case_load(const char *name, char *const *filters, size_t n_filters,
                                struct hl_inputs *ret_inputs, struct hl_error *error);

/* What the handles of hanglab.h stand for. */
#pragma once
#include "hanglab/hanglab.h"
#include "../campaign/inputs.h"

struct hl_cases {
    struct hl_inputs inputs;
};

/* Takes `inputs` over; NULL, and they are given back, when out of memory. */
enum hl_status hl_cases_create(struct hl_inputs *inputs, struct hl_cases **ret_cases, struct hl_error *error);

/* Takes the inside of `from` over. */
enum hl_status hl_result_create(const struct hl_case *c, struct hl_case_result *from,
                                struct hl_result **ret_result, struct hl_error *error);

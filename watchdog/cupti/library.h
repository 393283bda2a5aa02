/* libcupti and libcuda, opened when they are wanted: a machine without them only loses what they would tell.
 */
#pragma once
#include <cuda.h>
#include <cupti.h>
#include <cupti_pcsampling.h>
#include <stdbool.h>
#include <stddef.h>
#include "calls.h"

struct hl_cupti {
#define X(name) __typeof__(name) *name;
    HL_CUPTI_CALLS(X)
    HL_WATCH_DRIVER_CALLS(X)
#undef X
};

/* Fills the table. False: `why` says what is missing and what to do. Called once. */
bool hl_cupti_load(struct hl_cupti *cupti, char *why, size_t size);
/* Opens libcupti alone, for symbols of saved cubins: no driver is needed. */
bool hl_cupti_load_offline(struct hl_cupti *cupti, char *why, size_t size);

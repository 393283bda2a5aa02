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

/* Each fills its part of the table. False: `why` says what is missing and what to do. Symbols of saved cubins
 * need libcupti alone, and a program that is watched without CUPTI needs the driver alone. */
bool hl_cupti_load(struct hl_cupti *cupti, char *why, size_t size);
bool hl_cupti_load_driver(struct hl_cupti *cupti, char *why, size_t size);

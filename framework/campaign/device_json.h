/* The part of a bundle that comes from CUPTI: the same under `hanglab run` and under `hanglab watch`. */
#pragma once
#include <jansson.h>
#include "../../watchdog/cupti/device.h"

/* What a process's device and driver were doing; NULL when out of memory. */
json_t *hl_device_json(const struct hl_device_evidence *device);
/* pc.json: samples by line, of `n` processes. */
json_t *hl_pc_json(const struct hl_device_evidence *devices, int n);

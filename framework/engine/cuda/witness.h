/* CUPTI inside the processes that run CUDA, for watchdog.detail cupti, node and pc: each writes a page
 * (watchdog/cupti/page.h), which is read out here when a run stands still.
 *
 * A process is watched from before it initialises CUDA to its end, so processes serve runs of one detail. */
#pragma once
#include "../../../watchdog/cupti/device.h"
#include "hanglab/config.h"
#include "hanglab/error.h"

/* Makes the pages of so many processes, before they are forked. `light` and `core` have none. */
enum hl_status hl_witness_init(enum hl_detail detail, int processes, struct hl_error *error);
void hl_witness_finish(void);
/* In a process, before it initialises CUDA. */
void hl_witness_begin(int process);

/* May processes with these pages serve a run of that detail? */
bool hl_witness_fits(enum hl_detail detail);
/* Processes with a page. */
int hl_witness_count(void);
/* What a process's device and driver are doing. Takes a few ms, and some more for PC samples. */
void hl_witness_collect(int process, struct hl_device_evidence *ret_evidence);

/* What track.c and track_calls.c share. */
#pragma once
#include "track.h"

/* A hash that no table takes for a free entry. */
uint64_t hl_page_mix(uint64_t key);

/* Numbers the calls of known kernels that a launch makes, on each of their workspaces. */
void hl_page_count_calls(struct hl_page *page, struct hl_page_launch *launch);

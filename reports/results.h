/* What `run` leaves in its --out folder for people and programs that come later. */
#pragma once
#include "../framework/campaign/campaign.h"
#include "whole_file.h"

/* Writes OUT/results.jsonl, the lines of --format json, and OUT/report.html made of it and the evidence
 * beside it: each whole or not at all. */
enum hl_status hl_results_write(const struct hl_campaign *campaign, struct hl_error *error);
/* The same with lines that `write` writes. */
enum hl_status hl_results_leave(const char *out_dir, hl_write_fn write, void *user, struct hl_error *error);

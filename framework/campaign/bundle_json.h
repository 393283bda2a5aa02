/* What the JSON files of a bundle say. NULL when out of memory. */
#pragma once
#include <jansson.h>
#include "bundle.h"

/* Writes a file of a bundle, and releases `json`; NULL is a failure, too. -1: it could not be written. */
int hl_bundle_write_json(json_t *json, FILE *out);

/* Known fields only, in the order of design section 10; NULL when nobody is named. */
json_t *hl_culprit_json(const struct hl_culprit *culprit);

/* What flags and `auto` were resolved to; NULL when there is nothing to say, too. */
json_t *hl_notes_json(const struct hl_config *config);

/* Adds what the ranks were doing, who waits for whom, and where they part. Takes the evidence alone. */
void hl_bundle_add_ranks(json_t *json, const struct hl_bundle *bundle);
json_t *hl_bundle_verdict_json(const struct hl_bundle *bundle);
json_t *hl_bundle_flags_json(const struct hl_bundle *bundle);
json_t *hl_bundle_slots_json(const struct hl_bundle *bundle);

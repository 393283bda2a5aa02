/* The oracle: every finished call against a float64 reference of its peers' inputs.
 *
 * It follows the feed: inputs are kept at call-begin, outputs checked at call-end. It reports the first
 * wrong result of a run and tells which of a few wrong computations it equals. */
#pragma once
#include "../../watchdog/evidence.h"

struct hl_oracle;

/* `roundings`: how often the subject may round to the data type on its way, beyond hanglab's own kernels. */
struct hl_oracle *hl_oracle_create(int ranks, int workspaces, int roundings);
void hl_oracle_destroy(struct hl_oracle *oracle);
void hl_oracle_event(struct hl_oracle *oracle, const struct hl_event *event);

/* The first wrong result (kind HL_WRONG_NONE: none) and the number of calls checked. `failed` is set when
 * a call could not be checked: the run is then inconclusive. */
struct hl_wrong_result hl_oracle_result(const struct hl_oracle *oracle, uint64_t *ret_checked,
                                        bool *ret_failed);

/* Adds to slots that are awaited what their sources' inputs held (input_sentinels). */
void hl_oracle_add_inputs(const struct hl_oracle *oracle, struct hl_evidence *evidence);

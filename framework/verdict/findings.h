/* How a finding is filled: the rows of the decision table share these. */
#pragma once
#include "classifier.h"
#include "waits.h"

#define HL_SAY __attribute__((format(printf, 2, 3)))

/* The one sentence of a finding; too long a text is cut. */
void hl_say(struct hl_finding *finding, const char *format, ...) HL_SAY;

/* Blames the slot of the lowest call that is of this kind and says who waits for it; NULL: there is none. */
#define HL_WAIT_TEXT_MAX 256
const struct hl_slot_evidence *hl_blame_wait(const struct hl_evidence *evidence, enum hl_wait_kind kind,
                                             struct hl_finding *finding, char *text);
/* Names a slot, and the call that waits for it. */
void hl_blame_slot(const struct hl_evidence *evidence, const struct hl_slot_evidence *slot,
                   struct hl_finding *finding);
void hl_blame_call(int rank, const struct hl_call_record *record, struct hl_finding *finding);
void hl_blame_nobody(struct hl_culprit *culprit);

/* "rank 1 waits in call 37 (mnnvl-oneshot, workspace 0) for row 3 of rank 0 (oneshot, buffer 1)". */
void hl_describe_wait(const struct hl_evidence *evidence, const struct hl_slot_evidence *slot, char *text,
                      size_t size);

const char *hl_protocol_word(enum hl_protocol protocol);
const char *hl_stage_word(enum hl_stage stage);
const char *hl_compare_word(enum hl_compare compare);

/* The rows that rest on diverging call sequences; each is true when it decides. Also used for wrong results.
 */
bool hl_decide_epoch_skew(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_missing_call(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_lone_fallback(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_split_paths(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_shape_mismatch(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_strategy_mismatch(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_grid_mismatch(const struct hl_evidence *evidence, struct hl_finding *finding);

/* What comes from outside of the calls; see outside.c. */
bool hl_decide_wrong_group(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_foreign_kernel(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_tool(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_driver_stall(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_driver_call(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_host_held(const struct hl_evidence *evidence, struct hl_finding *finding);

/* Workspaces that are not what a rank takes them for; see workspace.c. */
bool hl_decide_shared_workspace(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_stale_address(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_reused_memory(const struct hl_evidence *evidence, struct hl_finding *finding);

/* What a wrongly built kernel leaves behind; see misbuilt.c. */
bool hl_decide_early_trigger(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_norm_ran_ahead(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_baked_epoch(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_out_of_bounds(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_weak_ordering(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_wrong_buffer(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_stale_behind_flag(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_uncleared(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_torn(const struct hl_evidence *evidence, struct hl_finding *finding);

/* The rows about calls that a rank has never enqueued. */
bool hl_decide_ring_of_skipped(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_ring_of_extra(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_extra_call_at_end(const struct hl_evidence *evidence, struct hl_finding *finding);
bool hl_decide_missing_call_at_end(const struct hl_evidence *evidence, struct hl_finding *finding);

/* What a configuration means: presets, the serving engine's flags and `auto`, resolved to what really runs.
 *
 * An engine's flags overrule each other, and a user sees only the outcome as a hang or as lost speed. So
 * each step that changes something leaves a note, and `hanglab run`, `list` and `explain` print them. */
#pragma once
#include "hanglab/config.h"
#include "hanglab/error.h"

/* X(ID, name, doc) */
#define HL_SEVERITIES(X) \
    X(HL_SEVERITY_NOTE, "note", "what a flag or `auto` was resolved to") \
    X(HL_SEVERITY_WARNING, "warning", "probably not what the user wants")
enum hl_severity { HL_SEVERITIES(HL_ENUMERATOR) HL_SEVERITY_COUNT };

enum { HL_NOTES_MAX = 16 };
struct hl_note {
    enum hl_severity severity;
    char text[320];
};
struct hl_notes {
    int n;
    struct hl_note note[HL_NOTES_MAX];
};

/* Resolves `config`: in *ret_resolved no backend is `auto`, `sizes` falls and has no value twice, and counts
 * that were left open (0, warmups -1) are filled in. Resolving twice changes nothing more. `notes` may be
 * NULL. */
enum hl_status hl_resolve(const struct hl_config *config, struct hl_config *ret_resolved,
                          struct hl_notes *notes, struct hl_error *error);

/* What one call of `tokens` tokens runs under a resolved configuration: its backend's thresholds, the
 * engine's gate for fused calls, and the fallback. */
enum hl_protocol hl_resolved_protocol(const struct hl_config *resolved, uint32_t tokens);

/* Does the engine send a call of `tokens` tokens to the fused kernel, or to plain allreduce + norm? */
bool hl_is_fused(const struct hl_config *resolved, uint32_t tokens);

/* Is what unwritten rows hold left to the engine? Only a GPU has real leftovers to offer. */
bool hl_residue_is_open(const struct hl_config *config);
/* The chances of the model, which stands in where there are none. */
struct hl_residue hl_residue_model(const struct hl_config *config);

/* Does a workspace of `workspace.size_mib` hold a fused call of `tokens` tokens? */
bool hl_fits_workspace(const struct hl_config *resolved, uint32_t tokens);

/* Workspace of a call. 0 and 1 are the fused ones; calls that go unfused while others are fused run on a
 * communicator of their own after them. */
uint8_t hl_resolved_workspace(const struct hl_config *resolved, uint16_t site, uint32_t tokens);

/* Is every fused allreduce of a forward pass a split op? */
bool hl_splits_calls(const struct hl_schedule *schedule);

/* Graphs that a forward pass is cut into: 0 for eager. Resolved configurations only. */
int hl_resolved_pieces(const struct hl_config *resolved);

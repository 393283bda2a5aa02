/* Evidence bundles: what a hung, wrong or crashed run leaves behind (design section 9).
 *
 * OUT/evidence/<case>/<run>/ = verdict.json, scenario.yaml, repro.sh, timeline.jsonl, flags.json, slots.json,
 * pc.json, workspace-rank<r>-<w>.bin, stacks/rank<r>.txt. It is whole or absent: written under a temporary
 * name, every file fsynced, then renamed; a bundle that was there before is replaced in the same step. */
#pragma once
#include "run.h"
#include "timeline.h"

struct hl_bundle {
    const struct hl_scenario *scenario;
    const struct hl_case *c;
    const struct hl_run_result *result;
    const struct hl_evidence *evidence;
    const struct hl_timeline *timeline;
    const struct hl_program *program;
    const struct hl_probe *probe;
    const char *engine;
    int run;
};

/* Bytes kept of one rank's workspace. */
#define HL_BUNDLE_WORKSPACE_BYTES_MAX (4u << 20)

enum hl_status hl_bundle_write(const struct hl_bundle *bundle, const char *out_dir, char **ret_path,
                               struct hl_error *error);

/* The first bytes of a rank's workspace, as far as they can be read. 0, or -1. */
int hl_bundle_write_workspace(const struct hl_bundle *bundle, int rank, int workspace, FILE *out);

/* A case id as the name of a folder: safe characters, bounded length, and a hash where either changed it,
 * so that two ids never share a folder. */
#define HL_FOLDER_NAME_MAX 128
void hl_case_folder_name(const char *id, char name[HL_FOLDER_NAME_MAX]);

/* The bundle of a watched command: the files of any bundle (design section 9), as far as there is something
 * to say without knowing the program. */
#include "watch_bundle.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../reports/json.h"
#include "../campaign/bundle.h"
#include "../campaign/bundle_json.h"
#include "../campaign/device_json.h"
#include "../campaign/folder.h"
#include "../campaign/gpu_core.h"
#include "../scenario/words.h"
#include "../verdict/classifier.h"

static json_t *text_json(const char *text) { return hl_json_string_of_bytes(text, strlen(text)); }

static json_t *processes_json(const struct hl_watch_report *r)
{
    json_t *array = json_array();
    for (int i = 0; i < r->n; i++) {
        const struct hl_watch_process *p = &r->processes[i];
        json_t *json = hl_device_json(&p->device);
        if (!json)
            continue;
        json_object_set_new(json, "process", json_integer(i));
        json_object_set_new(json, "command", text_json(p->command));
        if (p->rank >= 0)
            json_object_set_new(json, "rank", json_integer(p->rank));
        json_array_append_new(array, json);
    }
    return array;
}

static int write_verdict(const void *user, FILE *out)
{
    const struct hl_watch_report *r = user;
    struct hl_finding f;
    hl_watch_classify(r, &f);
    json_t *json = json_pack(
        "{s:i, s:o, s:o, s:s, s:i, s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:b, s:o}", "hanglab", 1, "case",
        text_json(r->name), "title", text_json(r->title), "engine", "watch", "run", r->number, "verdict",
        hl_words_name(&hl_words_verdicts, f.verdict), "cause", hl_cause_name(f.cause), "certainty",
        hl_words_name(&hl_words_certainties, f.certainty), "summary", text_json(f.summary), "time_ns",
        (json_int_t)r->time_ns, "stalled_ns", (json_int_t)r->stalled_ns, "threshold_ns",
        (json_int_t)r->threshold_ns, "hung", r->resumed_ns == 0, "devices", processes_json(r));
    if (json)
        json_object_set_new(json, "took",
                            json_pack("{s:I, s:I, s:I}", "reading_ns", (json_int_t)r->reading_ns, "asking_ns",
                                      (json_int_t)r->asked_ns, "stacks_ns", (json_int_t)r->stacks_ns));
    json_t *culprit = hl_culprit_json(&f.culprit);
    if (json && culprit)
        json_object_set_new(json, "culprit", culprit);
    if (json && r->resumed_ns)
        json_object_set_new(json, "resumed_ns", json_integer((json_int_t)r->resumed_ns));
    if (json)
        hl_watch_add_worlds(r, json);
    return hl_bundle_write_json(json, out);
}

/* The world that hangs, as a bundle of a run has it. */
static bool world_bundle(const struct hl_watch_report *r, struct hl_bundle *ret_bundle)
{
    const struct hl_known_world *w = hl_watch_hung_world(r);
    if (w)
        *ret_bundle = (struct hl_bundle){ .evidence = &w->evidence, .probe = &w->probe };
    return w;
}

static int write_flags(const void *user, FILE *out)
{
    struct hl_bundle bundle;
    if (world_bundle(user, &bundle))
        return hl_bundle_write_json(hl_bundle_flags_json(&bundle), out);
    return hl_bundle_write_json(json_pack("{s:i, s:[]}", "hanglab", 1, "workspaces"), out);
}

static int write_slots(const void *user, FILE *out)
{
    struct hl_bundle bundle;
    if (world_bundle(user, &bundle))
        return hl_bundle_write_json(hl_bundle_slots_json(&bundle), out);
    return hl_bundle_write_json(
        json_pack("{s:i, s:[], s:[], s:i}", "hanglab", 1, "layouts", "slots", "left_out", 0), out);
}

static int write_pc(const void *user, FILE *out)
{
    const struct hl_watch_report *r = user;
    struct hl_device_evidence *devices = calloc((size_t)r->n + 1, sizeof *devices);
    if (!devices)
        return -1;
    for (int i = 0; i < r->n; i++)
        devices[i] = r->processes[i].device;
    const int status = hl_bundle_write_json(hl_pc_json(devices, r->n), out);
    free(devices);
    return status;
}

static int write_timeline(const void *user, FILE *out)
{
    const struct hl_watch_report *r = user;
    for (int i = 0; i < r->n; i++)
        if (r->processes[i].timeline && fputs(r->processes[i].timeline, out) == EOF)
            return -1;
    return 0;
}

static int write_stack(const void *user, FILE *out)
{
    const struct hl_watch_process *p = user;
    return fputs(p->stack ? p->stack : "not read\n", out) == EOF ? -1 : 0;
}

struct workspace {
    struct hl_bundle bundle;
    int rank;
};

static int write_workspace(const void *user, FILE *out)
{
    const struct workspace *w = user;
    return hl_bundle_write_workspace(&w->bundle, w->rank, 0, out);
}

static int add_workspaces(const struct hl_watch_report *r, const char *folder)
{
    struct workspace w = { .rank = 0 };
    if (!world_bundle(r, &w.bundle))
        return 0;
    for (; w.rank < w.bundle.evidence->ranks; w.rank++) {
        char name[64];
        snprintf(name, sizeof name, "workspace-rank%d-0.bin", w.rank);
        if (w.bundle.evidence->rank[w.rank].workspace[0].known &&
            hl_folder_add(folder, name, write_workspace, &w) < 0)
            return -1;
    }
    return 0;
}

static int write_core(const void *user, FILE *out)
{
    const struct hl_watch_process *p = user;
    char bytes[65536];
    size_t n;
    FILE *in = fopen(p->core_path, "rbe");
    while (in && (n = fread(bytes, 1, sizeof bytes, in)) > 0 && fwrite(bytes, 1, n, out) == n)
        ;
    const bool whole = in && feof(in);
    if (in)
        fclose(in);
    return whole ? 0 : -1;
}

static int add_cores(const struct hl_watch_report *r, const char *folder)
{
    json_t *cores = NULL;
    for (int i = 0; i < r->n; i++) {
        const struct hl_watch_process *p = &r->processes[i];
        char name[64];
        if (!p->has_core && !p->core_why[0])
            continue;
        if (!cores && (!(cores = json_array()) || hl_folder_add_folder(folder, "gpucore") < 0))
            return -1;
        snprintf(name, sizeof name, "gpucore/rank%d.nvcudmp", i);
        if (p->core_path[0] && hl_folder_add(folder, name, write_core, p) < 0)
            return -1;
        json_array_append_new(cores, hl_gpu_core_json(folder, i, p->has_core ? &p->core : NULL, p->core_why));
    }
    return cores ? hl_gpu_core_write(folder, cores) : 0;
}

static int fill(const void *user, const char *folder)
{
    static const struct {
        const char *name;
        hl_folder_file_fn write_file;
    } files[] = { { "timeline.jsonl", write_timeline },
                  { "flags.json", write_flags },
                  { "slots.json", write_slots },
                  { "pc.json", write_pc },
                  { "verdict.json", write_verdict } };
    const struct hl_watch_report *r = user;
    if (hl_folder_add_folder(folder, "stacks") < 0)
        return -1;
    for (int i = 0; i < r->n; i++) {
        char name[64];
        snprintf(name, sizeof name, "stacks/rank%d.txt", i);
        if (hl_folder_add(folder, name, write_stack, &r->processes[i]) < 0)
            return -1;
    }
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (hl_folder_add(folder, files[i].name, files[i].write_file, r) < 0)
            return -1;
    return add_workspaces(r, folder) < 0 ? -1 : add_cores(r, folder);
}

enum hl_status hl_watch_bundle_write(const struct hl_watch_report *report, const char *out_dir,
                                     char **ret_path, struct hl_error *error)
{
    char id[160], name[HL_FOLDER_NAME_MAX], number[16], folder[PATH_MAX];
    snprintf(id, sizeof id, "watch-%s", report->name);
    hl_case_folder_name(id, name);
    snprintf(number, sizeof number, "%d", report->number);
    if (snprintf(folder, sizeof folder, "%s/evidence/%s", out_dir, name) >= (int)sizeof folder)
        return hl_fail(error, HL_STATUS_IO, "%s: the path is too long; choose a shorter --out", out_dir);
    return hl_folder_write(folder, number, fill, report, ret_path, error);
}

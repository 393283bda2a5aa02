/* The folder of a bundle: all or nothing, whatever fails on the way. */
#include "bundle.h"
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../scenario/words.h"
#include "bundle_json.h"
#include "device_json.h"
#include "folder.h"
#include "gpu_core.h"

/* One file of a bundle. Returns 0, or -1 when out of memory or the stream failed. */
typedef int (*write_file_fn)(const struct hl_bundle *b, int rank, int workspace, FILE *out);

static uint32_t hash32(const char *text)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    return hash;
}

void hl_case_folder_name(const char *id, char name[HL_FOLDER_NAME_MAX])
{
    static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-=,+";
    const size_t kept_max = HL_FOLDER_NAME_MAX - 1 - 9; /* room for "-" and 8 digits */
    size_t n = 0;
    bool changed = id[0] == '\0';
    for (; id[n] && n < kept_max; n++) {
        const bool keep = strchr(safe, id[n]) && !(n == 0 && id[n] == '.');
        name[n] = keep ? id[n] : '_';
        changed |= !keep;
    }
    changed |= id[n] != '\0';
    name[n] = '\0';
    if (changed)
        snprintf(name + n, HL_FOLDER_NAME_MAX - n, "-%08" PRIx32, hash32(id));
}

static int write_verdict(const struct hl_bundle *b, int rank, int workspace, FILE *out)
{
    (void)rank;
    (void)workspace;
    return hl_bundle_write_json(hl_bundle_verdict_json(b), out);
}
static int write_flags(const struct hl_bundle *b, int rank, int workspace, FILE *out)
{
    (void)rank;
    (void)workspace;
    return hl_bundle_write_json(hl_bundle_flags_json(b), out);
}
static int write_slots(const struct hl_bundle *b, int rank, int workspace, FILE *out)
{
    (void)rank;
    (void)workspace;
    return hl_bundle_write_json(hl_bundle_slots_json(b), out);
}
static int write_pc(const struct hl_bundle *b, int rank, int workspace, FILE *out)
{
    (void)rank;
    (void)workspace;
    return hl_bundle_write_json(hl_pc_json(b->evidence->devices, b->evidence->n_devices), out);
}
static int write_timeline(const struct hl_bundle *b, int rank, int workspace, FILE *out)
{
    (void)rank;
    (void)workspace;
    return hl_timeline_write(b->timeline, b->program, out);
}
static int write_scenario(const struct hl_bundle *b, int rank, int workspace, FILE *out)
{
    (void)rank;
    (void)workspace;
    return hl_case_write_yaml(b->scenario, b->c, out) == HL_STATUS_OK ? 0 : -1;
}
static int write_stack(const struct hl_bundle *b, int rank, int workspace, FILE *out)
{
    (void)workspace;
    const char *stack = b->evidence->rank[rank].stack;
    const size_t n = strlen(stack);
    const char *threads = b->evidence->rank[rank].threads;
    fputs(stack, out);
    if (n > 0 && stack[n - 1] != '\n')
        fputc('\n', out);
    if (threads)
        fprintf(out, "\n%s", threads);
    return 0;
}

/* The shell's 'quoting', for paths with anything in them. */
static void write_quoted(const char *text, FILE *out)
{
    fputc('\'', out);
    for (; *text; text++)
        if (*text == '\'')
            fputs("'\\''", out);
        else
            fputc(*text, out);
    fputc('\'', out);
}

static int write_repro(const struct hl_bundle *b, int rank, int workspace, FILE *out)
{
    (void)rank;
    (void)workspace;
    char self[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    fprintf(out,
            "#!/bin/sh\n"
            "# Runs this very run again: same case, same seed. Expected: %s.\n"
            "# Takes $HANGLAB, else the hanglab that made this bundle, else the one in PATH;\n"
            "# more options may follow, e.g. --format json.\n"
            "made_by=",
            hl_words_name(&hl_words_verdicts, b->result->finding.verdict));
    write_quoted(self, out);
    fprintf(out,
            "\n[ -x \"$made_by\" ] || made_by=hanglab\n"
            "exec \"${HANGLAB:-$made_by}\" run --engine %s --run-seed %" PRIu64 " --geometry %s \\\n"
            "  --out \"${TMPDIR:-/tmp}/hanglab-repro\" \"$@\" \"$(dirname \"$0\")/scenario.yaml\"\n",
            b->engine, b->result->seed, hl_words_name(&hl_words_geometries, b->c->config.geometry));
    return fchmod(fileno(out), 0755);
}

int hl_bundle_write_workspace(const struct hl_bundle *b, int rank, int workspace, FILE *out)
{
    const uint32_t words_max = HL_BUNDLE_WORKSPACE_BYTES_MAX / 4,
                   words = b->evidence->layout[workspace].words;
    const uint32_t total = words < words_max ? words : words_max;
    uint32_t chunk[1024];
    for (uint32_t at = 0; at < total;) {
        const uint32_t n = total - at < 1024 ? total - at : 1024;
        if (b->probe->read_words(b->probe->user, rank, workspace, at, n, chunk) < 0)
            return 0; /* it cannot be read any more; flags.json says so */
        if (fwrite(chunk, 4, n, out) != n)
            return -1;
        at += n;
    }
    return 0;
}

/* A file of one rank, or of the whole bundle. */
struct file {
    const struct hl_bundle *bundle;
    int rank, workspace;
    write_file_fn write_file;
};

static int write_one(const void *user, FILE *out)
{
    const struct file *file = user;
    return file->write_file(file->bundle, file->rank, file->workspace, out);
}

static int add_file(const struct hl_bundle *b, const char *folder, const char *name, int rank, int workspace,
                    write_file_fn write_file)
{
    const struct file file = { b, rank, workspace, write_file };
    return hl_folder_add(folder, name, write_one, &file);
}

static int add_rank_files(const struct hl_bundle *b, const char *folder, int rank)
{
    char name[64];
    snprintf(name, sizeof name, "stacks/rank%d.txt", rank);
    if (add_file(b, folder, name, rank, 0, write_stack) < 0)
        return -1;
    for (int w = 0; b->probe && w < b->evidence->workspaces; w++) {
        snprintf(name, sizeof name, "workspace-rank%d-%d.bin", rank, w);
        if (add_file(b, folder, name, rank, w, hl_bundle_write_workspace) < 0)
            return -1;
    }
    return 0;
}

static int fill(const void *user, const char *folder)
{
    const struct hl_bundle *b = user;
    static const struct {
        const char *name;
        write_file_fn write_file;
    } files[] = { { "scenario.yaml", write_scenario },  { "repro.sh", write_repro },
                  { "timeline.jsonl", write_timeline }, { "flags.json", write_flags },
                  { "slots.json", write_slots },        { "verdict.json", write_verdict } };
    if (hl_folder_add_folder(folder, "stacks") < 0)
        return -1;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (add_file(b, folder, files[i].name, 0, 0, files[i].write_file) < 0)
            return -1;
    if (b->evidence->n_devices > 0 && add_file(b, folder, "pc.json", 0, 0, write_pc) < 0)
        return -1;
    for (int rank = 0; rank < b->evidence->ranks; rank++)
        if (add_rank_files(b, folder, rank) < 0)
            return -1;
    const bool wants_core = b->c->config.watchdog.detail == HL_DETAIL_CORE && b->evidence->hung;
    return wants_core && b->probe && b->probe->dump_core ? hl_gpu_core_add(b, folder) : 0;
}

enum hl_status hl_bundle_write(const struct hl_bundle *b, const char *out_dir, char **ret_path,
                               struct hl_error *error)
{
    char name[HL_FOLDER_NAME_MAX], run[16], folder[PATH_MAX];
    hl_case_folder_name(b->c->id, name);
    snprintf(run, sizeof run, "%d", b->run);
    if (snprintf(folder, sizeof folder, "%s/evidence/%s", out_dir, name) >= (int)sizeof folder)
        return hl_fail(error, HL_STATUS_IO, "%s: the path is too long; choose a shorter --out", out_dir);
    return hl_folder_write(folder, run, fill, b, ret_path, error);
}

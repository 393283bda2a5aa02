/* The folder of a bundle: all or nothing, whatever fails on the way. */
#include "bundle.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../scenario/words.h"
#include "bundle_json.h"

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

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    remove(path);
    return 0;
}

void hl_bundle_remove(const char *path) { nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS); }

/* mkdir -p */
static int make_folders(char *path)
{
    for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        const int failed = mkdir(path, 0777) < 0 && errno != EEXIST;
        *slash = '/';
        if (failed)
            return -1;
    }
    return mkdir(path, 0777) < 0 && errno != EEXIST ? -1 : 0;
}

static int sync_folder(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    const int failed = fsync(fd) < 0 && errno != EINVAL; /* some file systems cannot */
    close(fd);
    return failed ? -1 : 0;
}

/* Removes half bundles of processes that were killed: ".<run>.<pid>", pid no longer there. */
static void sweep_leftovers(const char *folder)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        int run, end = 0;
        long pid;
        char path[PATH_MAX];
        if (sscanf(entry->d_name, ".%d.%ld%n", &run, &pid, &end) != 2 || entry->d_name[end] != '\0')
            continue;
        const bool gone = pid == (long)getpid() || (kill((pid_t)pid, 0) < 0 && errno == ESRCH);
        if (gone && snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) < (int)sizeof path)
            hl_bundle_remove(path);
    }
    closedir(dir);
}

static int write_json(json_t *json, FILE *out)
{
    if (!json)
        return -1;
    const int failed = json_dumpf(json, out, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    json_decref(json);
    return failed || fputc('\n', out) == EOF ? -1 : 0;
}

static int write_verdict(const struct hl_bundle *b, int rank, int workspace, FILE *out)
{
    (void)rank;
    (void)workspace;
    return write_json(hl_bundle_verdict_json(b), out);
}
static int write_flags(const struct hl_bundle *b, int rank, int workspace, FILE *out)
{
    (void)rank;
    (void)workspace;
    return write_json(hl_bundle_flags_json(b), out);
}
static int write_slots(const struct hl_bundle *b, int rank, int workspace, FILE *out)
{
    (void)rank;
    (void)workspace;
    return write_json(hl_bundle_slots_json(b), out);
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
    fputs(stack, out);
    return n > 0 && stack[n - 1] != '\n' && fputc('\n', out) == EOF ? -1 : 0;
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

static int write_workspace(const struct hl_bundle *b, int rank, int workspace, FILE *out)
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

static int add_file(const struct hl_bundle *b, const char *folder, const char *name, int rank, int workspace,
                    write_file_fn write_file)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    FILE *out = fopen(path, "wxe");
    if (!out)
        return -1;
    errno = 0;
    bool good = write_file(b, rank, workspace, out) == 0;
    good = good && fflush(out) == 0 && !ferror(out) && fsync(fileno(out)) == 0;
    const int why = errno;
    good = fclose(out) == 0 && good;
    errno = why;
    return good ? 0 : -1;
}

static int add_rank_files(const struct hl_bundle *b, const char *folder, int rank)
{
    char name[64];
    snprintf(name, sizeof name, "stacks/rank%d.txt", rank);
    if (add_file(b, folder, name, rank, 0, write_stack) < 0)
        return -1;
    for (int w = 0; b->probe && w < b->evidence->workspaces; w++) {
        snprintf(name, sizeof name, "workspace-rank%d-%d.bin", rank, w);
        if (add_file(b, folder, name, rank, w, write_workspace) < 0)
            return -1;
    }
    return 0;
}

static int fill(const struct hl_bundle *b, const char *folder)
{
    static const struct {
        const char *name;
        write_file_fn write_file;
    } files[] = { { "scenario.yaml", write_scenario },  { "repro.sh", write_repro },
                  { "timeline.jsonl", write_timeline }, { "flags.json", write_flags },
                  { "slots.json", write_slots },        { "verdict.json", write_verdict } };
    char stacks[PATH_MAX];
    if (snprintf(stacks, sizeof stacks, "%s/stacks", folder) >= (int)sizeof stacks) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (mkdir(folder, 0777) < 0 || mkdir(stacks, 0777) < 0)
        return -1;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (add_file(b, folder, files[i].name, 0, 0, files[i].write_file) < 0)
            return -1;
    for (int rank = 0; rank < b->evidence->ranks; rank++)
        if (add_rank_files(b, folder, rank) < 0)
            return -1;
    return sync_folder(stacks) < 0 || sync_folder(folder) < 0 ? -1 : 0;
}

/* Puts `from` in the place of `to`. A former bundle is exchanged, so that one of both is always there. */
static int put_in_place(const char *from, const char *to)
{
    if (rename(from, to) == 0)
        return 0;
    if (errno != EEXIST && errno != ENOTEMPTY)
        return -1;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) < 0) {
        if (errno != EINVAL && errno != ENOSYS)
            return -1;
        hl_bundle_remove(to); /* a file system that cannot exchange */
        return rename(from, to);
    }
    hl_bundle_remove(from);
    return 0;
}

enum hl_status hl_bundle_write(const struct hl_bundle *b, const char *out_dir, char **ret_path,
                               struct hl_error *error)
{
    char name[HL_FOLDER_NAME_MAX], folder[PATH_MAX - 64], temporary[PATH_MAX], path[PATH_MAX];
    hl_case_folder_name(b->c->id, name);
    if (snprintf(folder, sizeof folder, "%s/evidence/%s", out_dir, name) >= (int)sizeof folder)
        return hl_fail(error, HL_STATUS_IO, "%s: the path is too long; choose a shorter --out", out_dir);
    snprintf(path, sizeof path, "%s/%d", folder, b->run);
    snprintf(temporary, sizeof temporary, "%s/.%d.%ld", folder, b->run, (long)getpid());
    if (make_folders(folder) < 0)
        return hl_fail(error, HL_STATUS_IO, "%s: cannot make this folder: %s", folder, strerror(errno));
    sweep_leftovers(folder);
    if (fill(b, temporary) < 0 || put_in_place(temporary, path) < 0) {
        const int why = errno;
        hl_bundle_remove(temporary);
        rmdir(folder); /* stays if other runs are in it */
        return hl_fail(error, HL_STATUS_IO, "%s: cannot write this bundle: %s", path,
                       why ? strerror(why) : "out of memory");
    }
    sync_folder(folder);
    char *copy = strdup(path);
    if (!copy)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory");
    *ret_path = copy;
    return HL_STATUS_OK;
}

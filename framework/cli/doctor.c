/* `hanglab doctor`: what this machine can do for a run, one check a row. It changes nothing and needs no GPU.
 */
#include <argp.h>
#include <errno.h>
#include <jansson.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "../campaign/run.h"
#include "command.h"
#include "options.h"
#include "doctor.h"

enum { OPTION_FORMAT = 256 };

#define GIB (1024.0 * 1024.0 * 1024.0)

void hl_check_row_set(struct hl_check_row *row, enum hl_health health, const char *means, const char *found,
                      ...)
{
    va_list args;
    row->health = health;
    snprintf(row->means, sizeof(row->means), "%s", means);
    va_start(args, found);
    vsnprintf(row->found, sizeof(row->found), found, args);
    va_end(args);
    for (char *c = row->found; *c != '\0'; c++)
        if ((unsigned char)*c >= 0x80) /* a path in another encoding is no valid JSON */
            *c = '?';
}

/*
 * The machine
 */

/* Really runs the road once, so that "available" is known and not assumed. */
static enum hl_status check_simulator(const char *out_dir, struct hl_check_row *row, struct hl_error *error)
{
    static const char text[] = "hanglab: 1\nname: doctor\nworld: {ranks: 2}\nsubject: {backend: mnnvl}\n"
                               "schedule: {mode: eager, layers: 1, sizes: [4], replays: 2}\nruns: 1\n";
    const struct hl_run_options options = { .engine = &hl_engine_sim, .seed = 1 };
    struct hl_scenario *scenario;
    struct hl_case_result result;
    (void)out_dir;
    enum hl_status status = hl_scenario_parse("doctor", text, sizeof(text) - 1, &scenario, error);
    if (status != HL_STATUS_OK)
        return status;
    status = hl_case_run(scenario, &scenario->cases[0], &options, &result, error);
    hl_scenario_destroy(scenario);
    if (status != HL_STATUS_OK)
        return status;
    bool passed = result.verdict == HL_VERDICT_PASS;
    hl_case_result_finish(&result);
    if (!passed)
        return hl_fail(error, HL_STATUS_INTERNAL,
                       "doctor: a healthy 2-rank allreduce did not pass on the simulator");
    hl_check_row_set(row, HL_HEALTH_OK, "every scenario runs here, GPU or not",
                     "a 2-rank allreduce ran and passed");
    return HL_STATUS_OK;
}

static enum hl_status check_cuda_engine(const char *out_dir, struct hl_check_row *row, struct hl_error *error)
{
    const struct hl_engine *engine;
    struct hl_error why;
    (void)out_dir, (void)error;
    if (hl_find_engine("cuda", &engine, &why) == HL_STATUS_OK)
        hl_check_row_set(row, HL_HEALTH_OK, "--engine cuda works, and --engine auto takes it", "CUDA starts");
    else
        hl_check_row_set(row, HL_HEALTH_NOTE, "runs use the simulator; --engine cuda ends with code 77", "%s",
                         why.message);
    return HL_STATUS_OK;
}

/* The first number in a file, or -1. */
static long first_number(const char *path)
{
    long value = -1;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return -1;
    if (fscanf(file, "%ld", &value) != 1)
        value = -1;
    fclose(file);
    return value;
}

static bool has_capability(int bit)
{
    char line[256];
    unsigned long long effective = 0;
    FILE *file = fopen("/proc/self/status", "r");
    if (file == NULL)
        return false;
    while (fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "CapEff: %llx", &effective) == 1)
            break;
    fclose(file);
    return effective >> bit & 1;
}

/* Yama: 0 any process of the same user, 1 only descendants, 2 only with CAP_SYS_PTRACE, 3 nobody. */
static enum hl_status check_ptrace(const char *out_dir, struct hl_check_row *row, struct hl_error *error)
{
    enum { CAP_SYS_PTRACE_BIT = 19 };
    (void)out_dir, (void)error;
    long scope = first_number("/proc/sys/kernel/yama/ptrace_scope");
    bool capable = has_capability(CAP_SYS_PTRACE_BIT);
    char found[64];
    const char *capability = capable ? "with CAP_SYS_PTRACE" : "without CAP_SYS_PTRACE";
    if (scope < 0)
        snprintf(found, sizeof(found), "no Yama, %s", capability);
    else
        snprintf(found, sizeof(found), "ptrace_scope %ld, %s", scope, capability);
    if (scope == 3 || (scope == 2 && !capable))
        hl_check_row_set(row, HL_HEALTH_MISSING, "no host stacks of other processes", "%s", found);
    else if (scope <= 0 || capable)
        hl_check_row_set(row, HL_HEALTH_OK, "host stacks of any rank's process of yours can be read", "%s",
                         found);
    else
        hl_check_row_set(row, HL_HEALTH_OK,
                         "host stacks of ranks that hanglab starts can be read, of others not", "%s", found);
    return HL_STATUS_OK;
}

static enum hl_status check_cores(const char *out_dir, struct hl_check_row *row, struct hl_error *error)
{
    cpu_set_t set;
    (void)out_dir;
    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return hl_fail(error, HL_STATUS_INTERNAL, "doctor: cannot count cores: %s", strerror(errno));
    hl_check_row_set(row, HL_HEALTH_OK,
                     "simulator cases run side by side, one a core, unless --jobs says otherwise",
                     "%d usable of %ld", CPU_COUNT(&set), sysconf(_SC_NPROCESSORS_ONLN));
    return HL_STATUS_OK;
}

static enum hl_status check_memory(const char *out_dir, struct hl_check_row *row, struct hl_error *error)
{
    char line[256];
    unsigned long long available_kib = 0;
    FILE *file = fopen("/proc/meminfo", "r");
    (void)out_dir;
    if (file == NULL)
        return hl_fail(error, HL_STATUS_IO, "doctor: cannot read /proc/meminfo: %s", strerror(errno));
    while (fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "MemAvailable: %llu", &available_kib) == 1)
            break;
    fclose(file);
    double available_gib = (double)available_kib * 1024.0 / GIB;
    hl_check_row_set(row, available_gib < 1 ? HL_HEALTH_NOTE : HL_HEALTH_OK,
                     available_gib < 1 ? "little: run with --jobs 1" : "enough for the simulator",
                     "%.1f GiB available", available_gib);
    return HL_STATUS_OK;
}

/* The folder itself, or, while it does not exist yet, the nearest one above it. */
static void nearest_folder(const char *folder, char *ret_path, size_t size)
{
    snprintf(ret_path, size, "%s", folder);
    while (access(ret_path, F_OK) != 0) {
        char *slash = strrchr(ret_path, '/');
        if (slash == NULL || slash == ret_path) {
            snprintf(ret_path, size, "%s", slash == NULL ? "." : "/");
            return;
        }
        *slash = '\0';
    }
}

static enum hl_status check_disk(const char *out_dir, struct hl_check_row *row, struct hl_error *error)
{
    char folder[4096];
    struct statvfs disk;
    nearest_folder(out_dir, folder, sizeof(folder));
    if (statvfs(folder, &disk) < 0)
        return hl_fail(error, HL_STATUS_IO, "doctor: cannot look at %s: %s", folder, strerror(errno));
    double free_gib = (double)disk.f_bavail * (double)disk.f_frsize / GIB;
    if (access(folder, W_OK) != 0)
        hl_check_row_set(row, HL_HEALTH_MISSING, "no evidence can be kept: choose another folder with --out",
                         "%.100s cannot be written: %s", folder, strerror(errno));
    else
        hl_check_row_set(row, free_gib < 1 ? HL_HEALTH_NOTE : HL_HEALTH_OK,
                         free_gib < 1 ? "little: a run whose evidence does not fit is told, not lost silently"
                                      : "evidence bundles fit",
                         "%.1f GiB free for %.100s", free_gib, out_dir);
    return HL_STATUS_OK;
}

/*
 * The command
 */

static const struct {
    const char *name;
    hl_check check;
} checks[] = {
    { "simulator", check_simulator },
    { "cuda engine", check_cuda_engine },
    { "gpu", hl_check_gpu },
    { "driver", hl_check_driver },
    { "cupti", hl_check_cupti },
    { "profiling right", hl_check_profiling },
    { "gpu core dump", hl_check_gpu_core },
    { "mps", hl_check_mps },
    { "peer access", hl_check_peers },
    { "nccl", hl_check_nccl },
    { "module loading", hl_check_module_loading },
    { "connections", hl_check_connections },
    { "host stacks", check_ptrace },
    { "cores", check_cores },
    { "memory", check_memory },
    { "disk", check_disk },
};

static const char *const health_names[] = {
#define X(id, name, doc) name,
    HL_HEALTHS(X)
#undef X
};

struct arguments {
    bool json;
    const char *out_dir;
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    switch (key) {
    case OPTION_FORMAT: arguments->json = hl_option_is_json(state, value); return 0;
    case 'o': arguments->out_dir = value; return 0;
    case ARGP_KEY_ARG: argp_error(state, "doctor takes no arguments, such as '%s'", value); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static void print_json(json_t *object)
{
    json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
}

static void print_row(const char *name, const struct hl_check_row *row, bool json)
{
    if (json)
        print_json(json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", "check", "name", name, "status",
                             health_names[row->health], "found", row->found, "means", row->means));
    else
        printf("%-8s %-16s %s\n%25s %s\n", health_names[row->health], name, row->found, "", row->means);
}

int hl_command_doctor(int argc, char **argv)
{
    static const struct argp_option options[] = {
        { "format", OPTION_FORMAT, "FORMAT", 0, "text (the default) or json: one object a check", 0 },
        { "out", 'o', "DIR", 0, "the folder that runs would write to (hanglab-out)", 0 },
        { 0 },
    };
    static const struct argp argp = {
        options, parse_option, NULL, "Tells what this machine can do for a run.", NULL, NULL, NULL
    };
    struct arguments arguments = { .out_dir = "hanglab-out" };
    int counts[HL_HEALTH_COUNT] = { 0 }, exit_code = 0;
    argp_parse(&argp, argc, argv, 0, NULL, &arguments);
    for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
        struct hl_check_row row;
        struct hl_error error;
        enum hl_status status = checks[i].check(arguments.out_dir, &row, &error);
        if (status != HL_STATUS_OK) {
            hl_complain(&error);
            exit_code = hl_status_exit_code(HL_STATUS_INTERNAL);
            continue;
        }
        print_row(checks[i].name, &row, arguments.json);
        counts[row.health]++;
    }
    if (arguments.json)
        print_json(json_pack("{s:s, s:i, s:i, s:i, s:i}", "type", "summary", "ok", counts[HL_HEALTH_OK],
                             "note", counts[HL_HEALTH_NOTE], "missing", counts[HL_HEALTH_MISSING], "exit",
                             exit_code));
    else
        printf("\n%d ok, %d to note, %d missing.\n", counts[HL_HEALTH_OK], counts[HL_HEALTH_NOTE],
               counts[HL_HEALTH_MISSING]);
    return hl_finish_output(exit_code);
}

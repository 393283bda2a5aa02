/* The doctor's GPU checks. They need no CUDA headers, and never hang with a driver that hangs: the driver is
 * asked from a child process with a time limit. */
#include <ctype.h>
#include <dlfcn.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "doctor.h"

#define ANSWER_TIMEOUT_MS 10000

/* What the CUDA driver answers; sent through a pipe. */
struct survey {
    bool loaded;     /* libcuda.so.1 is there and has what it should */
    int init_result; /* of cuInit: a CUresult, 0 = CUDA_SUCCESS */
    int count;
    char name[100]; /* of device 0 */
};

static void survey_driver(void *answer)
{
    struct survey *survey = answer;
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return;
    int (*init)(unsigned) = (int (*)(unsigned))dlsym(library, "cuInit");
    int (*get_count)(int *) = (int (*)(int *))dlsym(library, "cuDeviceGetCount");
    int (*get_name)(char *, int, int) = (int (*)(char *, int, int))dlsym(library, "cuDeviceGetName");
    if (init == NULL || get_count == NULL || get_name == NULL)
        return;
    survey->loaded = true;
    survey->init_result = init(0);
    if (survey->init_result != 0 || get_count(&survey->count) != 0 || survey->count == 0)
        return;
    if (get_name(survey->name, sizeof(survey->name), 0) != 0)
        snprintf(survey->name, sizeof(survey->name), "name unknown");
}

int hl_ask_in_child(void (*question)(void *answer), void *ret_answer, size_t size)
{
    int ends[2];
    if (pipe(ends) < 0)
        return -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        memset(ret_answer, 0, size);
        question(ret_answer);
        _exit(write(ends[1], ret_answer, size) == (ssize_t)size ? 0 : 1);
    }
    close(ends[1]);
    struct pollfd answer = { .fd = ends[0], .events = POLLIN };
    bool answered = child > 0 && poll(&answer, 1, ANSWER_TIMEOUT_MS) == 1 &&
                    read(ends[0], ret_answer, size) == (ssize_t)size;
    close(ends[0]);
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, answered ? 0 : WNOHANG); /* one stuck in the driver cannot even be killed */
    }
    return child < 0 ? -1 : answered;
}

static size_t count_files(const char *pattern)
{
    glob_t found;
    size_t n = glob(pattern, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    globfree(&found);
    return n;
}

enum hl_status hl_check_gpu(const char *out_dir, struct hl_check_row *row, struct hl_error *error)
{
    (void)out_dir;
    static const char *const simulate = "only the simulator can run here";
    size_t devices = count_files("/dev/nvidia[0-9]*");
    struct survey survey;
    int answered = hl_ask_in_child(survey_driver, &survey, sizeof(survey));
    if (answered < 0)
        return hl_fail(error, HL_STATUS_INTERNAL,
                       "doctor: cannot start a child process to ask the CUDA driver");
    if (!answered)
        hl_check_row_set(
            row, HL_HEALTH_MISSING, "the driver itself hangs or crashes: look at dmesg for Xid lines",
            "%zu device files, but cuInit did not answer in %d s", devices, ANSWER_TIMEOUT_MS / 1000);
    else if (!survey.loaded && devices == 0)
        hl_check_row_set(row, HL_HEALTH_MISSING, simulate, "no NVIDIA device and no libcuda.so.1");
    else if (!survey.loaded)
        hl_check_row_set(row, HL_HEALTH_MISSING, simulate, "%zu device files, but no libcuda.so.1", devices);
    else if (survey.init_result != 0 || survey.count == 0)
        hl_check_row_set(row, HL_HEALTH_MISSING, simulate,
                         "libcuda.so.1 and %zu device files; cuInit returned %d", devices,
                         survey.init_result);
    else if (survey.count == 1)
        hl_check_row_set(row, HL_HEALTH_OK, "a CUDA engine can place all ranks on it (placement: virtual)",
                         "1 GPU: %s", survey.name);
    else
        hl_check_row_set(row, HL_HEALTH_OK, "a CUDA engine can place a rank on each",
                         "%d GPUs, the first: %s", survey.count, survey.name);
    return HL_STATUS_OK;
}

/* "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun ...": the first word of digits and dots. */
enum hl_status hl_check_driver(const char *out_dir, struct hl_check_row *row, struct hl_error *error)
{
    (void)out_dir, (void)error;
    char line[256] = "", *rest = line, *word;
    FILE *file = fopen("/proc/driver/nvidia/version", "r");
    if (file != NULL && fgets(line, sizeof(line), file) == NULL)
        line[0] = '\0';
    if (file != NULL)
        fclose(file);
    while ((word = strsep(&rest, " \t\n")) != NULL)
        if (isdigit((unsigned char)word[0]) && strchr(word, '.') != NULL)
            break;
    if (word != NULL)
        hl_check_row_set(row, HL_HEALTH_OK, "put it into every report: hangs come and go with it",
                         "version %s", word);
    else
        hl_check_row_set(row, HL_HEALTH_MISSING, "nothing runs on a GPU without it",
                         "no NVIDIA kernel driver (/proc/driver/nvidia/version)");
    return HL_STATUS_OK;
}

struct cupti {
    char path[200]; /* "": none */
};

/* What the loader finds; in a child, for CUPTI starts to work as soon as it is loaded. */
static void load_cupti(void *answer)
{
    static const char *const names[] = { "libcupti.so.13", "libcupti.so.12", "libcupti.so" };
    struct cupti *cupti = answer;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (cupti->path[0] == '\0' && dlopen(names[i], RTLD_LAZY | RTLD_LOCAL) != NULL)
            snprintf(cupti->path, sizeof(cupti->path), "%s", names[i]);
}

enum hl_status hl_check_cupti(const char *out_dir, struct hl_check_row *row, struct hl_error *error)
{
    (void)out_dir, (void)error;
    struct cupti cupti;
    const char *home = getenv("CUDA_HOME");
    if (hl_ask_in_child(load_cupti, &cupti, sizeof(cupti)) != 1 || cupti.path[0] == '\0') {
        snprintf(cupti.path, sizeof(cupti.path), "%s/extras/CUPTI/lib64/libcupti.so",
                 home != NULL ? home : "/usr/local/cuda");
        if (access(cupti.path, R_OK) != 0)
            cupti.path[0] = '\0';
    }
    if (cupti.path[0] != '\0')
        hl_check_row_set(row, HL_HEALTH_OK,
                         "watchdog detail cupti and node need it; one subscriber a process", "%s",
                         cupti.path);
    else
        hl_check_row_set(
            row, HL_HEALTH_MISSING, "no watchdog detail but light: the harness's own feed",
            "no libcupti.so, neither on the library path nor under CUDA_HOME or /usr/local/cuda");
    return HL_STATUS_OK;
}

/* Value of "NAME: VALUE" in a file of /proc, or -1. `base` as in strtol. */
static long long proc_value(const char *path, const char *name, int base)
{
    char line[256];
    long long value = -1;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return -1;
    while (fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
            value = strtoll(line + strlen(name) + 1, NULL, base);
    fclose(file);
    return value;
}

/* The driver lists NVreg_RestrictProfilingToAdminUsers under its internal name. */
enum hl_status hl_check_profiling(const char *out_dir, struct hl_check_row *row, struct hl_error *error)
{
    enum { CAP_SYS_ADMIN_BIT = 21 };
    (void)out_dir, (void)error;
    long long admin_only = proc_value("/proc/driver/nvidia/params", "RmProfilingAdminOnly", 10);
    long long capabilities = proc_value("/proc/self/status", "CapEff", 16);
    if (admin_only < 0)
        hl_check_row_set(row, HL_HEALTH_MISSING, "no PC sampling (watchdog detail pc)",
                         "/proc/driver/nvidia/params does not tell");
    else if (admin_only == 0)
        hl_check_row_set(row, HL_HEALTH_OK, "anyone may sample PCs (watchdog detail pc)",
                         "NVreg_RestrictProfilingToAdminUsers=0");
    else if (capabilities >> CAP_SYS_ADMIN_BIT & 1)
        hl_check_row_set(row, HL_HEALTH_OK, "you may sample PCs (watchdog detail pc), ordinary users may not",
                         "NVreg_RestrictProfilingToAdminUsers=1, and you have CAP_SYS_ADMIN");
    else
        hl_check_row_set(row, HL_HEALTH_NOTE,
                         "no PC sampling for you; callbacks and activity records work all the same",
                         "NVreg_RestrictProfilingToAdminUsers=1, and you have no CAP_SYS_ADMIN");
    return HL_STATUS_OK;
}

static bool on_path(const char *name)
{
    char path[512];
    char *folders = strdup(getenv("PATH") != NULL ? getenv("PATH") : ""), *rest = folders, *folder;
    bool found = false;
    while (!found && (folder = strsep(&rest, ":")) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        found = *folder != '\0' && access(path, X_OK) == 0;
    }
    free(folders);
    return found;
}

enum hl_status hl_check_gpu_core(const char *out_dir, struct hl_check_row *row, struct hl_error *error)
{
    (void)out_dir, (void)error;
    bool driver = access("/proc/driver/nvidia/version", R_OK) == 0;
    bool reader = on_path("cuda-gdb") || access("/usr/local/cuda/bin/cuda-gdb", X_OK) == 0;
    if (!driver)
        hl_check_row_set(row, HL_HEALTH_MISSING, "no GPU core dumps (watchdog detail core)",
                         "no NVIDIA driver%s",
                         reader ? "; cuda-gdb is here and reads dumps of other machines" : "");
    else if (!reader)
        hl_check_row_set(row, HL_HEALTH_OK,
                         "detail core works; it excludes CUPTI in the same process, and cuda-gdb would show "
                         "more of a dump",
                         "the driver can dump; no cuda-gdb");
    else
        hl_check_row_set(row, HL_HEALTH_OK, "detail core works; it excludes CUPTI in the same process",
                         "the driver can dump; cuda-gdb can read");
    return HL_STATUS_OK;
}

/* Linux cuts a process's name to 15 bytes, so that both MPS daemons read "nvidia-cuda-mps". */
static bool mps_runs(void)
{
    glob_t found;
    bool runs = false;
    if (glob("/proc/[0-9]*/comm", 0, NULL, &found) != 0)
        return false;
    for (size_t i = 0; i < found.gl_pathc && !runs; i++) {
        char name[32] = "";
        FILE *file = fopen(found.gl_pathv[i], "r");
        if (file == NULL)
            continue;
        runs = fgets(name, sizeof(name), file) != NULL && strncmp(name, "nvidia-cuda-mps", 15) == 0;
        fclose(file);
    }
    globfree(&found);
    return runs;
}

enum hl_status hl_check_mps(const char *out_dir, struct hl_check_row *row, struct hl_error *error)
{
    (void)out_dir, (void)error;
    if (mps_runs())
        hl_check_row_set(row, HL_HEALTH_NOTE,
                         "ranks in processes share a GPU at full speed; a fault of one client hits all",
                         "MPS is running");
    else
        hl_check_row_set(
            row, HL_HEALTH_OK,
            "ranks in processes that share a GPU take turns: milliseconds a call, not microseconds",
            "MPS is not running");
    return HL_STATUS_OK;
}

enum hl_status hl_check_module_loading(const char *out_dir, struct hl_check_row *row, struct hl_error *error)
{
    (void)out_dir, (void)error;
    const char *value = getenv("CUDA_MODULE_LOADING");
    if (value != NULL && strcmp(value, "EAGER") == 0)
        hl_check_row_set(row, HL_HEALTH_OK, "a kernel's first use does not load code",
                         "CUDA_MODULE_LOADING=EAGER");
    else
        hl_check_row_set(row, HL_HEALTH_NOTE,
                         "a kernel's first use may block its host while a peer spins: a hang of its own",
                         value != NULL ? "CUDA_MODULE_LOADING=%s"
                                       : "CUDA_MODULE_LOADING is not set: CUDA 12 loads lazily",
                         value);
    return HL_STATUS_OK;
}

enum hl_status hl_check_connections(const char *out_dir, struct hl_check_row *row, struct hl_error *error)
{
    (void)out_dir, (void)error;
    const char *value = getenv("CUDA_DEVICE_MAX_CONNECTIONS");
    if (value == NULL)
        hl_check_row_set(row, HL_HEALTH_OK,
                         "more streams than queues on one GPU can wait for each other falsely",
                         "CUDA_DEVICE_MAX_CONNECTIONS is not set: 8 queues");
    else
        hl_check_row_set(row, strcmp(value, "1") == 0 ? HL_HEALTH_NOTE : HL_HEALTH_OK,
                         strcmp(value, "1") == 0
                             ? "one queue for all streams: virtual ranks on one GPU will hang"
                             : "more streams than queues on one GPU can wait for each other falsely",
                         "CUDA_DEVICE_MAX_CONNECTIONS=%s", value);
    return HL_STATUS_OK;
}

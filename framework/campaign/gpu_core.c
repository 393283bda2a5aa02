/* A dump a process: virtual ranks share one. The core itself is kept where it is small; its picture always
 * is. */
#include "gpu_core.h"
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "folder.h"

#define CORE_BYTES_MAX (4 << 20)

json_t *hl_gpu_core_json(const char *folder, int rank, const struct hl_core *core, const char *why)
{
    char path[PATH_MAX];
    struct stat status;
    json_t *json = core ? hl_core_json(core) : json_pack("{s:s}", "why_not", why);
    if (!json)
        return NULL;
    snprintf(path, sizeof path, "%s/gpucore/rank%d.nvcudmp", folder, rank);
    json_object_set_new(json, "rank", json_integer(rank));
    if (stat(path, &status) < 0)
        return json;
    json_object_set_new(json, "bytes", json_integer(status.st_size));
    if (status.st_size <= CORE_BYTES_MAX)
        json_object_set_new(json, "file", json_sprintf("rank%d.nvcudmp", rank));
    else
        unlink(path);
    return json;
}

static int write_summary(const void *user, FILE *out)
{
    return json_dumpf(user, out, JSON_INDENT(1)) || fputc('\n', out) == EOF ? -1 : 0;
}

int hl_gpu_core_write(const char *folder, json_t *cores)
{
    json_t *summary = json_pack("{s:i, s:o}", "hanglab", 1, "cores", cores);
    const int result = summary ? hl_folder_add(folder, "gpucore/summary.json", write_summary, summary) : -1;
    json_decref(summary);
    return result;
}

/* NULL when out of memory. */
static json_t *dump(const struct hl_bundle *b, const char *folder, int rank)
{
    char path[PATH_MAX], why[512] = "";
    struct hl_core core;
    snprintf(path, sizeof path, "%s/gpucore/rank%d.nvcudmp", folder, rank);
    if (b->probe->dump_core(b->probe->user, rank, path, why, sizeof why) < 0 ||
        !hl_core_read(path, &core, why, sizeof why))
        return hl_gpu_core_json(folder, rank, NULL, why);
    json_t *json = hl_gpu_core_json(folder, rank, &core, why);
    hl_core_finish(&core);
    return json;
}

int hl_gpu_core_add(const struct hl_bundle *b, const char *folder)
{
    if (hl_folder_add_folder(folder, "gpucore") < 0)
        return -1;
    json_t *cores = json_array();
    for (int rank = 0; rank < b->evidence->ranks; rank++) {
        const int pid = b->probe->host_place(b->probe->user, rank).pid;
        bool done = pid == 0;
        for (int before = 0; before < rank && !done; before++)
            done = b->probe->host_place(b->probe->user, before).pid == pid;
        if (!done)
            json_array_append_new(cores, dump(b, folder, rank));
    }
    return hl_gpu_core_write(folder, cores);
}

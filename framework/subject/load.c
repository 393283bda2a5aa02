/* Opens a shared object and distrusts what it says of itself; see subject.h. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "subject.h"

static const char *const family_names[] = { [HL_SUBJECT_MNNVL] = "mnnvl", [HL_SUBJECT_TRTLLM] = "trtllm" };

static bool is_text(const char *text) { return text && text[0] && memchr(text, '\0', 64); }

static enum hl_status check_descriptor(const char *path, const struct hl_subject_plugin *p,
                                       struct hl_error *error)
{
    if (p->abi != HL_SUBJECT_ABI)
        return hl_fail(
            error, HL_STATUS_USAGE,
            "%s: built for version %u of <hanglab/subject.h>, this hanglab has version %d; build it "
            "again against this one",
            path, p->abi, HL_SUBJECT_ABI);
    if (!is_text(p->name) || !is_text(p->release))
        return hl_fail(error, HL_STATUS_USAGE, "%s: its descriptor has no name or no release", path);
    if (!p->create || !p->describe || !p->reset || !p->enqueue || !p->destroy)
        return hl_fail(error, HL_STATUS_USAGE,
                       "%s: its descriptor lacks one of create, describe, reset, enqueue and destroy", path);
    if (!p->families || !p->dtypes || !p->strategies || !p->world_sizes)
        return hl_fail(error, HL_STATUS_USAGE,
                       "%s: its descriptor supports nothing: one of families, dtypes, strategies and "
                       "world_sizes is 0",
                       path);
    return HL_STATUS_OK;
}

enum hl_status hl_subject_load(const char *path, const struct hl_subject_plugin **ret_plugin,
                               struct hl_error *error)
{
    char whole[HL_SUBJECT_PATH_MAX];
    /* Without a slash dlopen() would search the system's libraries. */
    if (!realpath(path, whole))
        return hl_fail(error, HL_STATUS_USAGE, "%s: there is no such file", path);
    void *handle = dlopen(whole, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return hl_fail(error, HL_STATUS_USAGE, "cannot load the subject: %.200s", dlerror());
    const struct hl_subject_plugin *plugin = dlsym(handle, "hl_subject_plugin");
    if (!plugin) {
        dlclose(handle);
        return hl_fail(error, HL_STATUS_USAGE,
                       "%s: it exports no `hl_subject_plugin`; see <hanglab/subject.h> and "
                       "HL_SUBJECT_EXPORT",
                       path);
    }
    const enum hl_status status = check_descriptor(path, plugin, error);
    if (status)
        return status;
    *ret_plugin = plugin;
    return HL_STATUS_OK;
}

struct hl_subject_shape hl_subject_shape_of(const struct hl_layout *l, uint32_t strategies)
{
    return (struct hl_subject_shape){ .family =
                                          l->family == HL_FAMILY_MNNVL ? HL_SUBJECT_MNNVL : HL_SUBJECT_TRTLLM,
                                      .dtype = (enum hl_subject_dtype)l->dtype,
                                      .strategies = strategies,
                                      .ranks = (uint32_t)l->ranks,
                                      .tokens_max = l->tokens_max,
                                      .hidden = l->row_words * 4 / hl_dtype_bytes(l->dtype) };
}
_Static_assert((int)HL_SUBJECT_BF16 == (int)HL_BF16 && (int)HL_SUBJECT_FP16 == (int)HL_FP16 &&
                   (int)HL_SUBJECT_FP32 == (int)HL_FP32,
               "the public data types are ours");
_Static_assert(HL_SUBJECT_RANKS_MAX == HL_RANKS_MAX, "worlds of the same size");

enum hl_status hl_subject_check_shape(const struct hl_subject_plugin *plugin,
                                      const struct hl_subject_shape *shape, struct hl_error *error)
{
    static const char *const dtypes[] = { "bf16", "fp16", "fp32" };
    const char *what = NULL, *key = NULL;
    char number[16];
    snprintf(number, sizeof number, "%u", shape->ranks);
    if (!(plugin->families >> shape->family & 1))
        key = "subject.backend", what = family_names[shape->family];
    else if (!(plugin->dtypes >> shape->dtype & 1))
        key = "subject.dtype", what = dtypes[shape->dtype];
    else if (!(plugin->world_sizes >> shape->ranks & 1))
        key = "world.ranks", what = number;
    else if (shape->strategies & ~plugin->strategies)
        key = "subject.strategy",
        what = shape->strategies & ~plugin->strategies & HL_SUBJECT_TWOSHOT ? "twoshot" : "oneshot";
    if (!what)
        return HL_STATUS_OK;
    return hl_fail(error, HL_STATUS_USAGE, "%s: %s %s does not support %s", key, plugin->name,
                   plugin->release, what);
}

/* A subject from a shared object in place of hanglab's own kernels: loaded, given workspaces, called, read.
 *
 * Lives in the runner, which may crash with it. What it is doing stands in shared memory all the while, so
 * that the engine can say what it died of. Calls that the schedule leaves unfused (nccl, norm-only) stay
 * hanglab's own, on a workspace of their own. */
#pragma once
#include "../../subject/subject.h"
#include "driver.h"
#include "plan.h"
#include "shared.h"

struct hl_cuda_subject_workspace {
    void *state;
    struct hl_subject_layout layout;
    struct hl_subject_map map;
    CUdeviceptr memory[HL_RANKS_MAX]; /* on each rank's GPU; 0: a workspace of hanglab's own kernels */
};

struct hl_cuda_subject {
    const struct hl_driver *driver;
    const CUcontext *contexts; /* by GPU */
    const int *gpu;            /* by rank */
    char name[HL_NAME_MAX];    /* "": none is open */
    const struct hl_subject_plugin *plugin;
    int ranks, workspaces;
    struct hl_cuda_subject_workspace workspace[HL_CUDA_WORKSPACES_MAX];
};

/* Does a plugin run these calls? */
bool hl_cuda_subject_runs(const struct hl_config *config, enum hl_protocol protocol);

/* Loads what the configuration names and makes its workspaces; nothing when it names none. `contexts` are the
 * GPUs', shared->device says which of them are the ranks'. What the waits compare goes to shared->compare. */
enum hl_status hl_cuda_subject_open(struct hl_cuda_subject *subject, const struct hl_driver *driver,
                                    const CUcontext *contexts, const struct hl_cuda_plan *plan,
                                    struct hl_shared *shared, struct hl_error *error);
/* Nothing of it may run any more. */
void hl_cuda_subject_close(struct hl_cuda_subject *subject);

/* Can a hung run of it be released? Else it costs the process. */
bool hl_cuda_subject_is_released(const struct hl_cuda_subject *subject);

struct hl_subject_ranks hl_cuda_subject_ranks(const struct hl_cuda_subject *subject, int rank, int workspace);
enum hl_status hl_cuda_subject_reset(const struct hl_cuda_subject *subject, int rank, int workspace,
                                     CUstream stream, struct hl_error *error);
enum hl_status hl_cuda_subject_enqueue(const struct hl_cuda_subject *subject, const struct hl_cuda_call *call,
                                       int workspace, bool pdl, CUstream stream, struct hl_error *error);
/* Copies words of hanglab's layout from where the plugin has them; words that it does not have are 0. */
enum hl_status hl_cuda_subject_read(const struct hl_cuda_subject *subject, int rank, int workspace,
                                    uint32_t first, uint32_t count, uint32_t *words, CUstream stream,
                                    struct hl_error *error);

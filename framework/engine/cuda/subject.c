/* Plugins on the GPU; see subject.h. */
#include "subject.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool hl_cuda_subject_runs(const struct hl_config *config, enum hl_protocol protocol)
{
    return config->subject.plugin[0] && hl_protocol_family(protocol) != HL_FAMILY_NCCL;
}

static void say(struct hl_shared *shared, const char *what, const char *name)
{
    snprintf(shared->doing, sizeof shared->doing, "%s of subject %.120s", what, name);
}

/* What goes wrong inside of a plugin, in its own words. */
static enum hl_status failed(const struct hl_cuda_subject *s, enum hl_status status, const char *what,
                             char *message, struct hl_error *error)
{
    message[HL_SUBJECT_MESSAGE_MAX - 1] = '\0';
    return hl_fail(error, status, "subject %s: %s: %s", s->name, what,
                   message[0] ? message : "failed without a message");
}

/* The strategies of the calls on a workspace, and what a plugin cannot follow. */
static enum hl_status look_at_calls(const struct hl_cuda_plan *plan, int workspace, uint32_t *ret_strategies,
                                    struct hl_error *error)
{
    *ret_strategies = 0;
    for (int rank = 0; rank < plan->program->ranks; rank++) {
        const struct hl_rank_program *p = &plan->program->rank[rank];
        for (uint32_t i = 0; i < p->n_ops; i++) {
            const struct hl_op *op = &p->ops[i];
            if (op->kind != HL_OP_CALL || op->workspace != workspace ||
                !hl_cuda_subject_runs(plan->config, op->protocol))
                continue;
            if (op->ctas)
                return hl_fail(
                    error, HL_STATUS_USAGE,
                    "a fault wants another grid for op %u of rank %d, and a plugin chooses its grids "
                    "itself",
                    i, rank);
            *ret_strategies |= op->protocol == HL_MNNVL_ONESHOT || op->protocol == HL_TRTLLM_ONESHOT
                                   ? HL_SUBJECT_ONESHOT
                                   : HL_SUBJECT_TWOSHOT;
        }
    }
    return HL_STATUS_OK;
}

static enum hl_status use_gpu_of(const struct hl_cuda_subject *s, int rank, struct hl_error *error)
{
    return hl_driver_check(s->driver, s->driver->cuCtxSetCurrent(s->contexts[s->gpu[rank]]), "use a GPU",
                           error);
}

/* Each rank's on its own GPU. */
static enum hl_status take_memory(struct hl_cuda_subject *s, struct hl_cuda_subject_workspace *w,
                                  struct hl_error *error)
{
    enum hl_status status = HL_STATUS_OK;
    for (int rank = 0; !status && rank < s->ranks; rank++) {
        status = use_gpu_of(s, rank, error);
        if (!status)
            status =
                hl_driver_check(s->driver, s->driver->cuMemAlloc(&w->memory[rank], w->layout.words * 4ull),
                                "memory for the subject's workspaces", error);
    }
    return status;
}

/* A kernel's first use on a GPU loads it there, which may wait for a peer that spins: so it is now. */
static enum hl_status warm_up(const struct hl_cuda_subject *s, int workspace, struct hl_error *error)
{
    enum hl_status status = HL_STATUS_OK;
    for (int rank = 0; !status && rank < s->ranks; rank++) {
        status = use_gpu_of(s, rank, error);
        if (!status)
            status = hl_cuda_subject_reset(s, rank, workspace, NULL, error);
        if (!status)
            status = hl_driver_check(s->driver, s->driver->cuCtxSynchronize(), "reset a workspace", error);
    }
    return status;
}

/* Words that are all ranks' stand for a multicast address, which one GPU does not have; between several they
 * would be traffic that no serving engine has. */
static enum hl_status check_sharing(const struct hl_cuda_subject *s, const struct hl_subject_layout *layout,
                                    struct hl_error *error)
{
    if (layout->sharing == HL_SUBJECT_SHARES_NOTHING || s->gpu[s->ranks - 1] == s->gpu[0])
        return HL_STATUS_OK;
    return hl_fail(
        error, HL_STATUS_NO_GPU,
        "subject %s: its ranks share words in place of a multicast, on one GPU only; set `world.gpus: "
        "1`",
        s->name);
}

static enum hl_status open_workspace(struct hl_cuda_subject *s, const struct hl_cuda_plan *plan, int index,
                                     struct hl_shared *shared, struct hl_error *error)
{
    struct hl_cuda_subject_workspace *w = &s->workspace[index];
    char message[HL_SUBJECT_MESSAGE_MAX] = "";
    uint32_t strategies;
    enum hl_status status = look_at_calls(plan, index, &strategies, error);
    if (status || !strategies)
        return status;
    const struct hl_subject_shape shape = hl_subject_shape_of(&plan->layout[index], strategies);
    status = hl_subject_check_shape(s->plugin, &shape, error);
    if (status)
        return status;
    say(shared, "create()", s->name);
    status = use_gpu_of(s, 0, error);
    if (status)
        return status;
    if (s->plugin->create(&shape, &w->state, message) != 0)
        return failed(s, HL_STATUS_USAGE, "create", message, error);
    say(shared, "describe()", s->name);
    status = hl_subject_describe(s->plugin, w->state, &shape, &w->layout, error);
    if (status)
        return status;
    status = check_sharing(s, &w->layout, error);
    if (status)
        return status;
    hl_subject_map_init(&w->map, &plan->layout[index], &w->layout);
    shared->compare = w->layout.compare == HL_SUBJECT_BITS ? HL_COMPARE_BITS : HL_COMPARE_FLOAT_FTZ;
    status = take_memory(s, w, error);
    say(shared, "reset()", s->name);
    return status ? status : warm_up(s, index, error);
}

static enum hl_status check_config(const struct hl_config *config, struct hl_error *error)
{
    if (config->subject.mutant != HL_MUTANT_NONE)
        return hl_fail(
            error, HL_STATUS_USAGE,
            "subject.mutant: mutants are builds of hanglab's own kernels; subject.plugin has none");
    return HL_STATUS_OK;
}

enum hl_status hl_cuda_subject_open(struct hl_cuda_subject *s, const struct hl_driver *driver,
                                    const CUcontext *contexts, const struct hl_cuda_plan *plan,
                                    struct hl_shared *shared, struct hl_error *error)
{
    char path[HL_SUBJECT_PATH_MAX];
    *s = (struct hl_cuda_subject){ .driver = driver, .contexts = contexts, .gpu = shared->device };
    shared->compare = plan->config->subject.sentinel_compare;
    if (!plan->config->subject.plugin[0])
        return HL_STATUS_OK;
    memcpy(s->name, plan->config->subject.plugin, sizeof s->name);
    s->ranks = plan->program->ranks;
    s->workspaces = plan->program->n_workspaces;
    enum hl_status status = check_config(plan->config, error);
    if (!status)
        status = hl_subject_find(s->name, path, error);
    say(shared, "loading", s->name);
    if (!status)
        status = hl_subject_load(path, &s->plugin, error);
    for (int w = 0; !status && w < s->workspaces; w++)
        status = open_workspace(s, plan, w, shared, error);
    shared->doing[0] = '\0';
    if (status)
        hl_cuda_subject_close(s);
    return status;
}

void hl_cuda_subject_close(struct hl_cuda_subject *s)
{
    for (int w = 0; w < s->workspaces; w++) {
        for (int rank = 0; rank < s->ranks; rank++)
            if (s->workspace[w].memory[rank])
                s->driver->cuMemFree(s->workspace[w].memory[rank]);
        if (s->workspace[w].state)
            s->plugin->destroy(s->workspace[w].state);
    }
    *s = (struct hl_cuda_subject){ 0 };
}

bool hl_cuda_subject_is_released(const struct hl_cuda_subject *s)
{
    return !s->plugin || s->plugin->abilities & HL_SUBJECT_POLLS_ABORT;
}

struct hl_subject_ranks hl_cuda_subject_ranks(const struct hl_cuda_subject *s, int rank, int workspace)
{
    const struct hl_cuda_subject_workspace *w = &s->workspace[workspace];
    struct hl_subject_ranks ranks = { .rank = rank };
    for (int peer = 0; peer < s->ranks; peer++)
        ranks.workspace[peer] = (void *)(uintptr_t)w->memory[peer];
    return ranks;
}

enum hl_status hl_cuda_subject_reset(const struct hl_cuda_subject *s, int rank, int workspace,
                                     CUstream stream, struct hl_error *error)
{
    char message[HL_SUBJECT_MESSAGE_MAX] = "";
    const struct hl_subject_ranks ranks = hl_cuda_subject_ranks(s, rank, workspace);
    if (s->plugin->reset(s->workspace[workspace].state, &ranks, stream, message) == 0)
        return HL_STATUS_OK;
    return failed(s, HL_STATUS_INTERNAL, "reset", message, error);
}

enum hl_status hl_cuda_subject_enqueue(const struct hl_cuda_subject *s, const struct hl_cuda_call *call,
                                       int workspace, bool pdl, CUstream stream, struct hl_error *error)
{
    char message[HL_SUBJECT_MESSAGE_MAX] = "";
    const bool oneshot = call->protocol == HL_MNNVL_ONESHOT || call->protocol == HL_TRTLLM_ONESHOT;
    const struct hl_subject_call to = {
        .ranks = hl_cuda_subject_ranks(s, call->rank, workspace),
        .strategy = oneshot ? HL_SUBJECT_ONESHOT : HL_SUBJECT_TWOSHOT,
        .tokens = call->tokens,
        .input = call->input,
        .residual = call->residual,
        .gamma = call->gamma,
        .residual_out = call->residual_out,
        .norm_out = call->norm_out,
        .epsilon = HL_RMS_EPSILON,
        .pdl = pdl,
        .abort_word = call->abort_word,
    };
    if (s->plugin->enqueue(s->workspace[workspace].state, &to, stream, message) == 0)
        return HL_STATUS_OK;
    return failed(s, HL_STATUS_INTERNAL, "enqueue", message, error);
}

enum hl_status hl_cuda_subject_read(const struct hl_cuda_subject *s, int rank, int workspace, uint32_t first,
                                    uint32_t count, uint32_t *words, CUstream stream, struct hl_error *error)
{
    const struct hl_cuda_subject_workspace *w = &s->workspace[workspace];
    struct hl_subject_span span;
    enum hl_status status = HL_STATUS_OK;
    for (uint32_t done = 0; !status && done < count; done += span.words) {
        if (!hl_subject_map_find(&w->map, first + done, count - done, &span)) {
            memset(words + done, 0, span.words * sizeof *words);
            continue;
        }
        const CUdeviceptr from = w->memory[span.of_rank_0 ? 0 : rank] + span.at * 4ull;
        status = hl_driver_check(s->driver,
                                 s->driver->cuMemcpyDtoHAsync(words + done, from, span.words * 4ull, stream),
                                 "read the subject's workspace", error);
    }
    return status;
}

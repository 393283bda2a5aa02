/* Launches of a rank; see issue.h. */
#include "issue.h"
#include "../../program/resolve.h"

static enum hl_status check(const struct hl_cuda_rank *r, int result, const char *what,
                            struct hl_error *error)
{
    return hl_driver_check(r->job->driver, result, what, error);
}

/* A place in a rank's memory. */
static void *at(const struct hl_cuda_job *job, int rank, uint64_t offset)
{
    return (void *)(uintptr_t)(job->memory[rank] + offset);
}

static uint64_t rows_bytes(const struct hl_cuda_plan *plan)
{
    return plan->geometry.tokens_max * plan->layout[0].row_words * 4ull;
}

struct hl_cuda_call hl_cuda_rank_call(const struct hl_cuda_job *job, int rank, uint32_t index)
{
    const struct hl_cuda_plan *plan = job->plan;
    const struct hl_cuda_rank_plan *r = &plan->rank[rank];
    const struct hl_op *op = &plan->program->rank[rank].ops[index];
    const uint64_t outputs = r->outputs_at[op->stream] + r->ops[index].output * 2 * rows_bytes(plan);
    struct hl_cuda_call call = { .layout = plan->layout[op->workspace],
                                 .protocol = op->protocol,
                                 .rank = rank,
                                 .epoch = r->ops[index].epoch,
                                 .tokens = r->ops[index].tokens,
                                 .input = at(job, rank, r->block_at[op->block]),
                                 .residual = at(job, rank, r->residuals_at + op->site * rows_bytes(plan)),
                                 .gamma = at(job, rank, r->gamma_at),
                                 .residual_out = at(job, rank, outputs),
                                 .norm_out = at(job, rank, outputs + rows_bytes(plan)),
                                 .abort_word = job->abort_word,
                                 .strike = plan->config->subject.strike,
                                 .strikes = job->strikes };
    for (int peer = 0; peer < plan->program->ranks; peer++)
        call.workspace[peer] = at(job, peer, plan->rank[peer].workspace_at[op->workspace]);
    return call;
}

static struct hl_cuda_launch launch_of(const struct hl_cuda_rank *r, uint32_t index, enum hl_kernel kernel)
{
    const struct hl_cuda_job *job = r->job;
    const struct hl_config *config = job->plan->config;
    return (struct hl_cuda_launch){
        .kernel = kernel,
        .compare = config->subject.sentinel_compare,
        .mutant = config->subject.mutant,
        .ctas = hl_cuda_plan_ctas(job->plan, r->rank, index, kernel, job->shared->share[kernel]),
        .pdl = job->plan->program->rank[r->rank].ops[index].pdl && !job->nccl,
    };
}

/* The kernels of a call, in their order. NCCL takes the place of the first one of its protocol: it leaves the
 * sum where that would. */
static enum hl_status issue_kernels(struct hl_cuda_rank *r, uint32_t index, const struct hl_cuda_call *call,
                                    struct hl_error *error)
{
    const struct hl_cuda_job *job = r->job;
    const struct hl_cuda_plan *plan = job->plan;
    const struct hl_op *op = &plan->program->rank[r->rank].ops[index];
    const CUstream stream = r->streams[op->stream];
    const struct hl_kernel_list list = hl_protocol_kernels(op->protocol);
    enum hl_status status = HL_STATUS_OK;
    if (hl_cuda_subject_runs(plan->config, op->protocol))
        return hl_cuda_subject_enqueue(&job->subject, call, op->workspace, op->pdl, stream, error);
    for (int i = 0; !status && i < list.count; i++) {
        const enum hl_kernel kernel = list.kernels[i];
        const struct hl_cuda_launch launch = launch_of(r, index, kernel);
        if (job->nccl && kernel == HL_KERNEL_NCCL_ALLREDUCE)
            status = hl_nccl_all_reduce(r, op->workspace, call->input, call->residual_out,
                                        (size_t)call->tokens * plan->geometry.hidden, stream, error);
        else
            status =
                check(r, job->driver->hl_cuda_launch(call, &launch, stream), "launch a call's kernel", error);
    }
    return status;
}

enum hl_status hl_cuda_issue_call(struct hl_cuda_rank *r, uint32_t index, struct hl_error *error)
{
    const struct hl_cuda_job *job = r->job;
    const struct hl_cuda_plan *plan = job->plan;
    const struct hl_cuda_rank_plan *own = &plan->rank[r->rank];
    const struct hl_op *op = &plan->program->rank[r->rank].ops[index];
    const struct hl_cuda_call_op *planned = &own->calls[own->ops[index].call];
    const struct hl_cuda_call call = hl_cuda_rank_call(job, r->rank, index);
    const struct hl_device_call around = {
        .ring = job->ring,
        .what = hl_mark_what(0, r->rank, index),
        .counter = (uint32_t *)at(job, r->rank, own->call_counters_at) + 2 * own->ops[index].call,
        .samples = (const uint32_t *)at(job, r->rank, own->samples_at) + planned->samples_at,
        .executions = planned->executions,
        .copies = job->copies,
        .tokens = call.tokens,
        .row_words = call.layout.row_words,
        .input = call.input,
        .residual_out = call.residual_out,
        .norm_out = call.norm_out,
    };
    const CUstream stream = r->streams[op->stream];
    enum hl_status status =
        check(r, job->driver->hl_device_before_call(&around, stream), "mark a call", error);
    if (!status)
        status = issue_kernels(r, index, &call, error);
    if (!status)
        status =
            check(r, job->driver->hl_device_after_call(&around, stream), "mark the end of a call", error);
    return status;
}

static enum hl_status fill(struct hl_cuda_rank *r, const struct hl_op *op, enum hl_fill_kind kind,
                           uint32_t rows, struct hl_error *error)
{
    const struct hl_cuda_job *job = r->job;
    const struct hl_cuda_plan *plan = job->plan;
    const struct hl_cuda_rank_plan *own = &plan->rank[r->rank];
    const struct hl_config *config = plan->config;
    if (op->block == HL_NONE)
        return HL_STATUS_OK;
    const bool unwritten = kind == HL_FILL_RESIDUE || kind == HL_FILL_LEFTOVERS;
    const struct hl_residue model = hl_residue_model(config);
    const struct hl_device_fill f = {
        .kind = kind,
        .dtype = config->subject.dtype,
        .pattern = config->payload.pattern,
        .rows = at(job, r->rank, own->block_at[op->block]),
        .source = kind == HL_FILL_SOURCE ? at(job, r->rank, own->block_at[op->source]) : NULL,
        .n_rows = rows,
        .row_words = plan->layout[0].row_words,
        .seed = unwritten ? ~job->seed : job->seed,
        .who = (uint32_t)r->rank << 16 | op->block,
        .counter = (uint32_t *)at(job, r->rank, own->block_counters_at) + 2 * op->block,
        .subnormal_rows = model.negative_subnormal_rows,
        .nan_rows = model.nan_rows,
    };
    return check(r, job->driver->hl_device_fill(&f, r->streams[op->stream]), "fill rows", error);
}

enum hl_status hl_cuda_issue_init(struct hl_cuda_rank *r, uint32_t index, struct hl_error *error)
{
    const struct hl_op *op = &r->job->plan->program->rank[r->rank].ops[index];
    const struct hl_cuda_job *job = r->job;
    const struct hl_cuda_rank_plan *own = &job->plan->rank[r->rank];
    const struct hl_layout *layout = &job->plan->layout[op->workspace];
    struct hl_device_init init = {
        .ring = job->ring,
        .what = hl_mark_what(0, r->rank, index),
        .counter = (uint32_t *)at(job, r->rank, own->init_counters_at) + op->workspace,
        .words = at(job, r->rank, own->workspace_at[op->workspace]),
        .n_words = layout->words,
        .buffers_at = layout->buffers_at,
        .words_per_buffer = layout->words_per_buffer,
        .gap = layout->gap,
        .sentinel = hl_sentinel_word(layout),
    };
    hl_workspace_flags(layout, init.flags);
    if (job->subject.workspace[op->workspace].memory[0]) { /* the plugin does it; the mark stays ours */
        const enum hl_status status =
            hl_cuda_subject_reset(&job->subject, r->rank, op->workspace, r->streams[op->stream], error);
        if (status)
            return status;
        init.n_words = 0;
    }
    return check(r, job->driver->hl_device_init(&init, r->streams[op->stream]), "initialise a workspace",
                 error);
}

enum hl_status hl_cuda_issue_copy(struct hl_cuda_rank *r, uint32_t index, struct hl_error *error)
{
    const struct hl_cuda_plan *plan = r->job->plan;
    const struct hl_cuda_rank_plan *own = &plan->rank[r->rank];
    const struct hl_op *op = &plan->program->rank[r->rank].ops[index];
    const uint64_t bytes = own->ops[index].rows * plan->layout[0].row_words * 4ull;
    const CUdeviceptr memory = r->job->memory[r->rank];
    if (bytes == 0)
        return HL_STATUS_OK;
    return check(r,
                 r->job->driver->cuMemcpyDtoDAsync(memory + own->scratch_at,
                                                   memory + own->block_at[op->block], bytes,
                                                   r->streams[op->stream]),
                 "copy rows", error);
}

/* Pool memory changes hands without any work on the device. Its last tenant's work is done here: in another
 * data type, or as the scenario's model says. */
enum hl_status hl_cuda_issue_alloc(struct hl_cuda_rank *r, uint32_t index, struct hl_error *error)
{
    const struct hl_cuda_plan *plan = r->job->plan;
    const struct hl_op *op = &plan->program->rank[r->rank].ops[index];
    if (r->capturing != HL_NONE)
        return hl_fail(error, HL_STATUS_INTERNAL, "the program takes a block in the middle of a capture");
    return fill(r, op, hl_residue_is_open(plan->config) ? HL_FILL_LEFTOVERS : HL_FILL_RESIDUE,
                hl_geometry_tokens(&plan->geometry, plan->program->blocks[op->block].rows), error);
}

enum hl_status hl_cuda_issue_filler(struct hl_cuda_rank *r, uint32_t index, struct hl_error *error)
{
    static const enum hl_fill_kind kinds[] = { [HL_CONTENT_FRESH] = HL_FILL_FRESH,
                                               [HL_CONTENT_PATTERN] = HL_FILL_PATTERN,
                                               [HL_CONTENT_SOURCE] = HL_FILL_SOURCE };
    const struct hl_op *op = &r->job->plan->program->rank[r->rank].ops[index];
    return fill(r, op, kinds[op->content], r->job->plan->rank[r->rank].ops[index].rows, error);
}

/* The buffers and not what lies between them: whoever has that memory now is no stray write of a kernel. */
enum hl_status hl_cuda_issue_reuse(struct hl_cuda_rank *r, uint32_t index, struct hl_error *error)
{
    const struct hl_cuda_job *job = r->job;
    const struct hl_op *op = &job->plan->program->rank[r->rank].ops[index];
    const struct hl_layout *layout = &job->plan->layout[op->workspace];
    const uint64_t begin = job->plan->rank[r->rank].workspace_at[op->workspace];
    enum hl_status status = HL_STATUS_OK;
    for (uint32_t buffer = 0; !status && buffer < layout->depth; buffer++) {
        const struct hl_device_fill f = {
            .kind = HL_FILL_FRESH,
            .dtype = layout->dtype,
            .rows = at(job, r->rank, begin + hl_buffer_at(layout, buffer) * 4ull),
            .n_rows = layout->words_per_buffer / layout->row_words,
            .row_words = layout->row_words,
            .seed = job->seed,
            .who = (uint32_t)r->rank << 16 | UINT16_MAX,
            .turn = buffer,
        };
        status = check(r, job->driver->hl_device_fill(&f, r->streams[op->stream]), "write over a workspace",
                       error);
    }
    return status;
}

enum hl_status hl_cuda_issue_foreign(struct hl_cuda_rank *r, struct hl_error *error)
{
    uint32_t ctas = 0;
    const enum hl_status status =
        check(r, r->job->driver->hl_device_take_room(r->job->abort_word, &ctas, r->aside),
              "launch a kernel of somebody else", error);
    atomic_store(&r->job->shared->rank[r->rank].foreign_ctas, ctas);
    return status;
}

/*
 * Before a run
 */

enum hl_status hl_cuda_issue_load(struct hl_cuda_rank *r, struct hl_error *error)
{
    const struct hl_rank_program *p = &r->job->plan->program->rank[r->rank];
    enum hl_status status = HL_STATUS_OK;
    for (uint32_t index = 0; !status && index < p->n_ops; index++) {
        const struct hl_op *op = &p->ops[index];
        if (op->kind != HL_OP_CALL || hl_cuda_subject_runs(r->job->plan->config, op->protocol))
            continue;
        const struct hl_cuda_call call = hl_cuda_rank_call(r->job, r->rank, index);
        const struct hl_kernel_list list = hl_protocol_kernels(op->protocol);
        for (int i = 0; !status && i < list.count; i++) {
            const struct hl_cuda_launch launch = launch_of(r, index, list.kernels[i]);
            status = check(r, r->job->driver->hl_cuda_load(&call, &launch), "load a kernel", error);
        }
    }
    return status;
}

static enum hl_status fill_constants(struct hl_cuda_rank *r, struct hl_error *error)
{
    const struct hl_cuda_job *job = r->job;
    const struct hl_cuda_plan *plan = job->plan;
    const struct hl_cuda_rank_plan *own = &plan->rank[r->rank];
    struct hl_device_fill f = { .kind = HL_FILL_FRESH,
                                .dtype = plan->config->subject.dtype,
                                .row_words = plan->layout[0].row_words,
                                .seed = job->seed,
                                .who = UINT32_MAX };
    enum hl_status status = HL_STATUS_OK;
    for (uint32_t site = 0; !status && site < plan->program->n_sites; site++) {
        f.rows = at(job, r->rank, own->residuals_at + site * rows_bytes(plan));
        f.n_rows = plan->geometry.tokens_max;
        f.turn = site;
        status = check(r, job->driver->hl_device_fill(&f, r->streams[0]), "fill residuals", error);
    }
    f.rows = at(job, r->rank, own->gamma_at);
    f.n_rows = 1;
    f.turn = UINT32_MAX;
    if (!status)
        status = check(r, job->driver->hl_device_fill(&f, r->streams[0]), "fill gamma", error);
    return status;
}

static enum hl_status fill_guards(struct hl_cuda_rank *r, struct hl_error *error)
{
    const struct hl_cuda_plan *plan = r->job->plan;
    enum hl_status status = HL_STATUS_OK;
    for (int w = 0; w < plan->program->n_workspaces; w++)
        for (int g = 0; !status && g < HL_CUDA_GUARDS; g++)
            status = check(r,
                           r->job->driver->cuMemsetD32Async(r->job->memory[r->rank] +
                                                                hl_cuda_plan_guard_at(plan, r->rank, w, g),
                                                            HL_CUDA_CANARY, plan->guard_words, r->streams[0]),
                           "fill a guard", error);
    return status;
}

enum hl_status hl_cuda_issue_prepare(struct hl_cuda_rank *r, struct hl_error *error)
{
    const struct hl_driver *d = r->job->driver;
    const struct hl_cuda_rank_plan *own = &r->job->plan->rank[r->rank];
    const CUdeviceptr memory = r->job->memory[r->rank];
    enum hl_status status =
        check(r, d->cuMemsetD8Async(memory + own->counters_at, 0, own->counters_bytes, r->streams[0]),
              "clear the counters", error);
    if (!status && own->n_samples)
        status = check(r,
                       d->cuMemcpyHtoDAsync(memory + own->samples_at, own->samples, own->n_samples * 4ull,
                                            r->streams[0]),
                       "say which calls are checked", error);
    if (!status)
        status = fill_guards(r, error);
    if (!status)
        status = fill_constants(r, error);
    return status;
}

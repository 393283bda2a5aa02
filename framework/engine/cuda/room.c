/* Who gets how much of a GPU; see room.h. */
#include "room.h"
#include <string.h>
#include "issue.h"

/* How many CTAs of a kernel of the call the GPU holds: the fewer of its two builds, one CTA a token and
 * several tokens a CTA. */
static enum hl_status measure_kernel(struct hl_cuda_process *p, int rank, uint32_t op, enum hl_kernel kernel,
                                     uint32_t *ret_resident, struct hl_error *error)
{
    struct hl_cuda_call call = hl_cuda_rank_call(&p->job, rank, op);
    *ret_resident = UINT32_MAX;
    for (call.tokens = 1; call.tokens <= 2 && call.tokens <= call.layout.tokens_max; call.tokens++) {
        const struct hl_cuda_launch launch = { .kernel = kernel,
                                               .compare = p->config.subject.sentinel_compare,
                                               .mutant = p->config.subject.mutant,
                                               .ctas = 1 };
        uint32_t resident;
        const enum hl_status status =
            hl_driver_check(&p->driver, p->driver.hl_cuda_resident_ctas(&call, &launch, &resident),
                            "ask how many CTAs fit the GPU", error);
        if (status)
            return status;
        *ret_resident = resident < *ret_resident ? resident : *ret_resident;
    }
    return HL_STATUS_OK;
}

/* Most ranks of a GPU. */
static uint32_t ranks_together(const struct hl_cuda_process *p)
{
    uint32_t most = 0, count[HL_RANKS_MAX] = { 0 };
    for (int rank = 0; rank < p->program->ranks; rank++) {
        const uint32_t n = ++count[p->shared->device[rank]];
        most = n > most ? n : most;
    }
    return most;
}

/* The part of the GPU that a rank's kernel may fill: both kernels of a call of every rank and stream are
 * there at once, and an eighth stays free for fillers and marks. Under `lobe` the grid is as on a GPU of its
 * own. */
static enum hl_status share_gpu(struct hl_cuda_process *p, int rank, uint32_t op_index,
                                struct hl_error *error)
{
    const struct hl_op *op = &p->program->rank[rank].ops[op_index];
    const struct hl_kernel_list list = hl_protocol_kernels(op->protocol);
    struct hl_shared *shared = p->shared;
    for (int i = 0; i < list.count; i++) {
        const enum hl_kernel kernel = list.kernels[i];
        uint32_t resident;
        if (shared->share[kernel])
            continue;
        const enum hl_status status = measure_kernel(p, rank, op_index, kernel, &resident, error);
        if (status)
            return status;
        /* Under PDL the norm of a two-shot starts while its first kernel waits. With grids that filled 86 %
         * of an H100 by occupancy (8 ranks, 168 tokens), those of 7 ranks kept the eighth from starting. */
        const uint32_t early = list.count > 1 && p->config.schedule.pdl ? 2 : 1;
        const uint32_t parts = ranks_together(p) * (uint32_t)list.count * p->program->n_streams * early;
        const bool fair = p->config.world.progress == HL_PROGRESS_FAIR;
        shared->resident[kernel] = resident;
        shared->share[kernel] = fair ? resident / 8 * 7 / parts : UINT32_MAX;
        if (shared->share[kernel] == 0)
            return hl_fail(
                error, HL_STATUS_NO_GPU,
                "%u ranks do not fit one GPU at once: it holds %u CTAs of hidden %u; take fewer ranks, or "
                "`world.progress: lobe` to see them wait for room",
                ranks_together(p), resident, p->plan.geometry.hidden);
    }
    return HL_STATUS_OK;
}

/* A plugin launches grids of its own choice, and nobody knows how many of its CTAs fit. */
static enum hl_status leave_grid(const struct hl_cuda_process *p, const struct hl_op *op)
{
    const struct hl_kernel_list list = hl_protocol_kernels(op->protocol);
    for (int i = 0; i < list.count; i++)
        p->shared->share[list.kernels[i]] = p->shared->resident[list.kernels[i]] = UINT32_MAX;
    return HL_STATUS_OK;
}

enum hl_status hl_cuda_share_room(struct hl_cuda_process *p, struct hl_error *error)
{
    enum hl_status status = HL_STATUS_OK;
    memset(p->shared->share, 0, sizeof p->shared->share);
    /* All ranks: a fault may bring one a protocol of its own. */
    for (int rank = 0; rank < p->program->ranks; rank++)
        for (uint32_t i = 0; !status && i < p->program->rank[rank].n_ops; i++)
            if (p->program->rank[rank].ops[i].kind == HL_OP_CALL)
                status = hl_cuda_subject_runs(&p->config, p->program->rank[rank].ops[i].protocol)
                             ? leave_grid(p, &p->program->rank[rank].ops[i])
                             : share_gpu(p, rank, i, error);
    return status;
}

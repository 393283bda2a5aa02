/* Who gets how much of a GPU; see room.h. */
#include "room.h"
#include <string.h>
#include "issue.h"

/* What the ranks of a GPU run there at once, at most. */
struct demand {
    uint32_t smallest; /* CTAs of the kernel that the GPU surely has place for the fewest of */
    int kernels;       /* of one call */
};

/* How many CTAs of a kernel of the call the GPU holds: the fewer of its two builds, one CTA a token and
 * several tokens a CTA. */
static enum hl_status measure_kernel(struct hl_cuda_process *p, int rank, uint32_t op, enum hl_kernel kernel,
                                     struct demand *demand, struct hl_error *error)
{
    struct hl_cuda_call call = hl_cuda_rank_call(&p->job, rank, op);
    uint32_t *resident = &p->shared->resident[kernel];
    *resident = UINT32_MAX;
    for (call.tokens = 1; call.tokens <= 2 && call.tokens <= call.layout.tokens_max; call.tokens++) {
        const struct hl_cuda_launch launch = { .kernel = kernel,
                                               .compare = p->config.subject.sentinel_compare,
                                               .mutant = p->config.subject.mutant,
                                               .ctas = 1 };
        uint32_t alone, surely;
        int error_number = p->driver.hl_cuda_resident_ctas(&call, &launch, &alone);
        if (!error_number)
            error_number = p->driver.hl_cuda_sure_ctas(&call, &launch, &surely);
        const enum hl_status status =
            hl_driver_check(&p->driver, error_number, "ask how many CTAs fit the GPU", error);
        if (status)
            return status;
        *resident = alone < *resident ? alone : *resident;
        demand->smallest = surely < demand->smallest ? surely : demand->smallest;
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

/* Adds a call's kernels to the demand. A plugin launches grids of its own choice, and nobody knows how many
 * of its CTAs fit: they are neither counted nor cut. */
static enum hl_status add_call(struct hl_cuda_process *p, int rank, uint32_t op_index, struct demand *demand,
                               struct hl_error *error)
{
    const enum hl_protocol protocol = p->program->rank[rank].ops[op_index].protocol;
    const struct hl_kernel_list list = hl_protocol_kernels(protocol);
    const bool plugin = hl_cuda_subject_runs(&p->config, protocol);
    enum hl_status status = HL_STATUS_OK;
    for (int i = 0; !status && i < list.count; i++) {
        uint32_t *resident = &p->shared->resident[list.kernels[i]];
        if (plugin)
            *resident = UINT32_MAX;
        else if (!*resident)
            status = measure_kernel(p, rank, op_index, list.kernels[i], demand, error);
    }
    if (!plugin && list.count > demand->kernels)
        demand->kernels = list.count;
    return status;
}

/* All kernels of a call of every rank and stream are there at once, and an eighth stays free for fillers and
 * marks. A CTA of any kernel counts as one of the largest: a multiprocessor that smaller ones have begun to
 * fill may have no place left for that. And a launch that finds no place keeps all later ones out, even one
 * that it waits for: 8 ranks, mnnvl two-shot with PDL, hung so on an H100, once in 20 runs, when each kernel
 * got a part of the GPU of its own. */
static enum hl_status share_gpu(struct hl_cuda_process *p, const struct demand *demand,
                                struct hl_error *error)
{
    const uint32_t ranks = ranks_together(p);
    const uint32_t share =
        demand->smallest / 8 * 7 / (ranks * (uint32_t)demand->kernels * p->program->n_streams);
    if (share == 0)
        return hl_fail(
            error, HL_STATUS_NO_GPU,
            "%u ranks do not fit one GPU at once: it holds %u CTAs of hidden %u; take fewer ranks, "
            "or `world.progress: lobe` to see them wait for room",
            ranks, demand->smallest, p->plan.geometry.hidden);
    for (int kernel = 0; kernel < HL_KERNEL_COUNT; kernel++)
        if (p->shared->resident[kernel] != UINT32_MAX)
            p->shared->share[kernel] = share;
    return HL_STATUS_OK;
}

enum hl_status hl_cuda_share_room(struct hl_cuda_process *p, struct hl_error *error)
{
    struct hl_shared *shared = p->shared;
    struct demand demand = { .smallest = UINT32_MAX };
    memset(shared->resident, 0, sizeof shared->resident);
    /* All ranks: a fault may bring one a protocol of its own. */
    for (int rank = 0; rank < p->program->ranks; rank++)
        for (uint32_t i = 0; i < p->program->rank[rank].n_ops; i++) {
            if (p->program->rank[rank].ops[i].kind != HL_OP_CALL)
                continue;
            const enum hl_status status = add_call(p, rank, i, &demand, error);
            if (status)
                return status;
        }
    /* Under `lobe` a grid is as on a GPU of its own. */
    for (int kernel = 0; kernel < HL_KERNEL_COUNT; kernel++)
        shared->share[kernel] = UINT32_MAX;
    const bool fair = p->config.world.progress == HL_PROGRESS_FAIR;
    return fair && demand.kernels ? share_gpu(p, &demand, error) : HL_STATUS_OK;
}

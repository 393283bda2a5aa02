/* What of a program the CUDA engine refuses or skips, and the plan of a run, without a GPU. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../framework/engine/cuda/nccl.h"
#include "../framework/engine/cuda/room.h"
#include "kernels/cuda/launch.h"
#include "../framework/fault/weave.h"
#include "fake_gpu.h"
#include "walk.h"

/*
 * What is refused, and what is skipped
 */

static enum hl_status plan_with(enum hl_fault_kind kind, enum hl_placement placement, struct hl_error *error)
{
    struct hl_config config = hl_reduced_config(HL_MODE_FULL);
    config.world.placement = placement;
    config.n_faults = 1;
    config.faults[0] = (struct hl_fault){ .kind = kind, .rank = 1, .call = 5, .calls = 1, .probability = 1 };
    struct hl_program *program = hl_must_create(&config, 1);
    struct hl_cuda_plan plan = { 0 };
    cr_assert_eq(hl_faults_weave(program, 1, error), HL_STATUS_OK, "%s", error->message);
    const enum hl_status status = hl_cuda_plan_init(&plan, &config, program, error);
    hl_cuda_plan_finish(&plan);
    hl_program_destroy(program);
    return status;
}

Test(cuda_refusal, what_happens_to_one_process_is_skipped_where_ranks_share_one)
{
    struct hl_error error;
    cr_assert_eq(plan_with(HL_FAULT_KILL_RANK, HL_PLACEMENT_VIRTUAL, &error), HL_STATUS_NO_GPU);
    cr_assert_not_null(strstr(error.message, "of rank 1 (kill"), "%s", error.message);
    cr_assert_not_null(strstr(error.message, "world.placement: process"), "%s", error.message);
    cr_assert_eq(plan_with(HL_FAULT_STOP_RANK, HL_PLACEMENT_VIRTUAL, &error), HL_STATUS_NO_GPU);
    cr_assert_eq(plan_with(HL_FAULT_KILL_RANK, HL_PLACEMENT_PROCESS, &error), HL_STATUS_OK);
    cr_assert_eq(plan_with(HL_FAULT_STOP_RANK, HL_PLACEMENT_PROCESS, &error), HL_STATUS_OK);
    cr_assert_eq(plan_with(HL_FAULT_SKIP_CALL, HL_PLACEMENT_VIRTUAL, &error), HL_STATUS_OK);
}

Test(cuda_refusal, mutants_are_built_for_bf16_and_up_to_8_ranks)
{
    for (int mutant = 0; mutant < HL_MUTANT_INT_OFFSET; mutant++) /* workspaces are no 2 GiB here */
        cr_assert(hl_cuda_has_build((enum hl_mutant)mutant, HL_BF16, 8), "mutant %d", mutant);
    cr_assert(hl_cuda_has_build(HL_MUTANT_NONE, HL_FP32, 16));
    cr_assert(hl_cuda_has_build(HL_MUTANT_SHORT_CLEAR, HL_FP16, 4));
    cr_assert_not(hl_cuda_has_build(HL_MUTANT_INT_OFFSET, HL_BF16, 4));
    cr_assert_not(hl_cuda_has_build(HL_MUTANT_DEPTH_2, HL_FP16, 4));
    cr_assert_not(hl_cuda_has_build(HL_MUTANT_DEPTH_2, HL_BF16, 16));
}

static int gpus_here;
static CUresult count_gpus(int *ret_count)
{
    *ret_count = gpus_here;
    return CUDA_SUCCESS;
}

Test(cuda_refusal, the_nccl_subject_wants_a_gpu_for_each_rank)
{
    const struct hl_driver driver = { .cuDeviceGetCount = count_gpus };
    struct hl_config config = hl_reduced_config(HL_MODE_EAGER);
    struct hl_error error;
    gpus_here = 1;
    cr_assert_eq(hl_cuda_check_nccl(&driver, &config, 4, &error), HL_STATUS_OK, "other subjects share a GPU");
    config.subject.backend = HL_BACKEND_NCCL;
    cr_assert_eq(hl_cuda_check_nccl(&driver, &config, 4, &error), HL_STATUS_NO_GPU);
    cr_assert_str_eq(error.message,
                     "subject.backend: nccl needs a GPU for each of the 4 ranks, and there is 1 here");
    gpus_here = 4;
    cr_assert_eq(hl_cuda_check_nccl(&driver, &config, 4, &error), HL_STATUS_OK, "%s", error.message);
    config.world.gpus = 2;
    cr_assert_eq(hl_cuda_check_nccl(&driver, &config, 4, &error), HL_STATUS_NO_GPU);
    cr_assert_not_null(strstr(error.message, "world.gpus is 2"), "%s", error.message);
}

/*
 * The plan and the way to the runner
 */

Test(cuda_plan, deals_ranks_to_gpus_in_blocks)
{
    struct hl_config config = hl_reduced_config(HL_MODE_EAGER);
    struct hl_program *program = hl_must_create(&config, 1);
    const struct hl_cuda_plan plan = { .config = &config, .program = program };
    cr_assert_eq(program->ranks, 4);
    cr_assert_eq(hl_cuda_plan_gpu(&plan, 8, 3), 0, "virtual ranks share a GPU unless the scenario says more");
    config.world.gpus = 2;
    for (int rank = 0; rank < 4; rank++)
        cr_assert_eq(hl_cuda_plan_gpu(&plan, 8, rank), rank / 2);
    cr_assert_eq(hl_cuda_plan_gpu(&plan, 1, 3), 1, "a GPU that is asked for and not there is not replaced");
    config.world.gpus = 0;
    config.world.placement = HL_PLACEMENT_PROCESS;
    cr_assert_eq(hl_cuda_plan_gpu(&plan, 8, 3), 3);
    cr_assert_eq(hl_cuda_plan_gpu(&plan, 2, 3), 1);
    cr_assert_eq(hl_cuda_plan_gpu(&plan, 1, 3), 0);
    hl_program_destroy(program);
}

static void expect_guards(const struct hl_fake_gpu *gpu)
{
    for (int rank = 0; rank < gpu->program->ranks; rank++)
        for (int guard = 0; guard < HL_CUDA_GUARDS; guard++) {
            const uint64_t at = hl_cuda_plan_guard_at(&gpu->plan, rank, 0, guard);
            const uint32_t *words = (const uint32_t *)(gpu->memory[rank] + at);
            for (uint32_t i = 0; i < gpu->plan.guard_words; i++)
                cr_assert_eq(words[i], HL_CUDA_CANARY, "rank %d, guard %d, word %u", rank, guard, i);
        }
}

Test(cuda_plan, a_workspace_lies_between_guards)
{
    struct hl_config config = hl_reduced_config(HL_MODE_FULL);
    config.geometry = HL_GEOMETRY_FULL;
    config.subject.hidden = 16384;
    config.subject.dtype = HL_FP32;
    struct hl_fake_gpu *gpu = hl_fake_gpu_create(&config, 1);
    cr_assert_geq(gpu->plan.guard_words, gpu->plan.layout[0].row_words, "a stray row spoils nothing else");
    atomic_store(&gpu->shared->aborted, true); /* the ranks prepare, and that is all */
    hl_fake_gpu_run(gpu, &(struct hl_feed){ 0 });
    expect_guards(gpu);
    hl_fake_gpu_destroy(gpu);
    config = hl_fault_config(HL_FAULT_REALLOC);
    config.schedule.mode = HL_MODE_FULL;
    gpu = hl_fake_gpu_create(&config, 1);
    hl_fake_gpu_run(gpu, &(struct hl_feed){ 0 });
    expect_guards(gpu); /* what takes over the memory writes into the buffers only */
    hl_fake_gpu_destroy(gpu);
}

Test(cuda_plan, a_grid_that_a_fault_halves_is_launched_so)
{
    struct hl_config config = hl_fault_config(HL_FAULT_GRID_MISMATCH);
    config.geometry = HL_GEOMETRY_FULL;
    struct hl_fake_gpu *gpu = hl_fake_gpu_create(&config, 1);
    const struct hl_rank_program *p = &gpu->program->rank[1];
    uint32_t halved = 0;
    for (uint32_t i = 0; i < p->n_ops; i++) {
        if (p->ops[i].kind != HL_OP_CALL || p->ops[i].ctas == 0)
            continue;
        const enum hl_kernel first = hl_protocol_kernels(p->ops[i].protocol).kernels[0];
        cr_assert_eq(hl_cuda_plan_ctas(&gpu->plan, 1, i, first, UINT32_MAX), p->ops[i].ctas);
        halved++;
    }
    cr_assert_gt(halved, 0);
    hl_fake_gpu_destroy(gpu);
}

Test(cuda_plan, samples_the_same_calls_on_all_ranks_within_the_budget)
{
    struct hl_config config = hl_reduced_config(HL_MODE_FULL);
    config.geometry = HL_GEOMETRY_FULL;
    config.schedule.sizes[0] = 16;
    config.schedule.sizes[1] = 4;
    config.schedule.replays = 40;
    struct hl_program *program = hl_must_create(&config, 5);
    struct hl_cuda_plan plan;
    struct hl_error error;
    cr_assert_eq(hl_cuda_plan_init(&plan, &config, program, &error), HL_STATUS_OK);
    cr_assert_gt(plan.calls_sampled, 0);
    cr_assert_lt(plan.calls_sampled, plan.calls, "this run is too large to be checked whole");
    cr_assert_leq(plan.sample_bytes, HL_CUDA_SAMPLE_BYTES);
    for (int rank = 1; rank < program->ranks; rank++) {
        cr_assert_eq(plan.rank[rank].n_samples, plan.rank[0].n_samples);
        for (uint32_t i = 0; i < plan.rank[0].n_samples; i++)
            cr_assert_eq(plan.rank[rank].samples[i] == HL_CUDA_NOT_SAMPLED,
                         plan.rank[0].samples[i] == HL_CUDA_NOT_SAMPLED);
    }
    hl_cuda_plan_finish(&plan);
    hl_program_destroy(program);
}

Test(cuda_plan, a_program_survives_the_way_to_the_runner)
{
    struct hl_config config = hl_reduced_config(HL_MODE_PIECEWISE), copied;
    struct hl_program *program = hl_must_create(&config, 5);
    uint64_t bytes;
    void *packed = hl_program_pack(&config, program, &bytes);
    struct hl_program *copy = hl_program_unpack(packed, &copied);
    cr_assert_eq(memcmp(&config, &copied, sizeof config), 0);
    cr_assert_eq(copy->n_blocks, program->n_blocks);
    cr_assert_eq(memcmp(copy->blocks, program->blocks, program->n_blocks * sizeof *copy->blocks), 0);
    for (int rank = 0; rank < program->ranks; rank++) {
        const struct hl_rank_program *a = &program->rank[rank], *b = &copy->rank[rank];
        cr_assert_eq(a->n_ops, b->n_ops);
        cr_assert_eq(memcmp(a->ops, b->ops, a->n_ops * sizeof *a->ops), 0);
        cr_assert_eq(
            memcmp(program->graphs[rank], copy->graphs[rank], program->n_graphs * sizeof(struct hl_graph)),
            0);
    }
    free(packed);
    hl_program_destroy(copy);
    hl_program_destroy(program);
}

/*
 * Room
 */

/* 132 multiprocessors, and shared memory for 4 CTAs of the norm and 8 of the others in each. */
static int resident_ctas(const struct hl_cuda_call *call, const struct hl_cuda_launch *launch,
                         uint32_t *ret_ctas)
{
    (void)call, (void)launch;
    *ret_ctas = 132 * 16;
    return 0;
}

static int sure_ctas(const struct hl_cuda_call *call, const struct hl_cuda_launch *launch, uint32_t *ret_ctas)
{
    (void)call;
    *ret_ctas = launch->kernel == HL_KERNEL_MNNVL_NORM ? 132 * 4 : 132 * 8;
    return 0;
}

Test(cuda_room, a_small_kernel_of_a_call_gets_no_more_places_than_the_largest)
{
    struct hl_config config = hl_reduced_config(HL_MODE_FULL);
    config.subject.strategy = HL_STRATEGY_TWOSHOT;
    struct hl_fake_gpu *gpu = hl_fake_gpu_create(&config, 1);
    struct hl_cuda_process process = { .driver = gpu->driver,
                                       .shared = gpu->shared,
                                       .config = gpu->config,
                                       .program = gpu->program,
                                       .plan = gpu->plan,
                                       .job = gpu->job };
    process.driver.hl_cuda_resident_ctas = resident_ctas;
    process.driver.hl_cuda_sure_ctas = sure_ctas;
    struct hl_error error;
    cr_assert_eq(hl_cuda_share_room(&process, &error), HL_STATUS_OK, "%s", error.message);
    const uint32_t share = 132 * 4 / 8 * 7 / (2 * (uint32_t)gpu->program->ranks);
    cr_assert_eq(gpu->shared->share[HL_KERNEL_MNNVL_TWOSHOT], share);
    cr_assert_eq(gpu->shared->share[HL_KERNEL_MNNVL_NORM], share);
    cr_assert_eq(gpu->shared->resident[HL_KERNEL_MNNVL_TWOSHOT], 132 * 16);
    process.config.world.progress = HL_PROGRESS_LOBE;
    cr_assert_eq(hl_cuda_share_room(&process, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq(gpu->shared->share[HL_KERNEL_MNNVL_NORM], UINT32_MAX);
    hl_fake_gpu_destroy(gpu);
}

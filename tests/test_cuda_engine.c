/* The CUDA engine without a GPU: which calls a program becomes, and that its feed is the simulator's. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../framework/engine/cuda/nccl.h"
#include "kernels/cuda/launch.h"
#include "../framework/engine/engine.h"
#include "../framework/fault/weave.h"
#include "fake_gpu.h"
#include "walk.h"

/* What a feed said of the calls of one rank, in its order. */
struct heard {
    struct hl_call_record enqueued[4096];
    uint32_t n_enqueued, begun, ended, numbers, inits, faults, exits;
    uint64_t inputs[4096]; /* hash of the input rows, by order of begin */
};
static struct heard heard[2][HL_RANKS_MAX]; /* [engine] */

static uint64_t hash_rows(const uint32_t *rows, size_t words)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < words; i++)
        hash = (hash ^ rows[i]) * 1099511628211u;
    return hash;
}

static void hear(void *user, const struct hl_event *event)
{
    static uint64_t last_ns;
    if (event->rank < 0)
        return;
    struct heard *h = &((struct heard *)user)[event->rank];
    last_ns = event->kind == HL_EVENT_HOST_BEGIN && event->op == 0 ? 0 : last_ns;
    switch (event->kind) {
    case HL_EVENT_ENQUEUE: h->enqueued[h->n_enqueued++] = *event->call; break;
    case HL_EVENT_CALL_BEGIN:
        cr_assert_leq(h->begun, h->n_enqueued, "a call begins before it is enqueued");
        cr_assert_eq(event->call->call, h->enqueued[h->begun].call);
        if (event->data)
            h->inputs[h->begun] =
                hash_rows(event->data->input, (size_t)event->call->exec_tokens * event->data->hidden *
                                                  hl_dtype_bytes(event->call->dtype) / 4);
        h->begun++;
        h->numbers += event->data != NULL;
        break;
    case HL_EVENT_CALL_END: cr_assert_leq(++h->ended, h->begun); break;
    case HL_EVENT_WORKSPACE_INIT: h->inits++; break;
    case HL_EVENT_FAULT: h->faults++; break;
    case HL_EVENT_RANK_EXIT: h->exits++; break;
    default: break;
    }
}

static void run_sim(const struct hl_config *config, const struct hl_program *program, uint64_t seed)
{
    const struct hl_run_spec spec = { config, program, seed, { hear, heard[0] } };
    struct hl_error error;
    struct hl_run *run;
    uint64_t now_ns;
    cr_assert_eq(hl_engine_sim.start(&spec, &run, &error), HL_STATUS_OK, "%s", error.message);
    while (hl_engine_sim.advance(run, 1000000000, &now_ns) == HL_RUN_GOING) {
    }
    hl_engine_sim.end(run);
}

static void compare_records(const struct hl_call_record *a, const struct hl_call_record *b, int rank,
                            uint32_t i)
{
#define SAME(field) \
    cr_assert_eq(a->field, b->field, "rank %d, call %u: " #field " %u, not %u", rank, i, b->field, a->field)
    SAME(call);
    SAME(op);
    SAME(launch);
    SAME(site);
    SAME(graph);
    SAME(node);
    SAME(workspace);
    SAME(stream);
    SAME(protocol);
    SAME(dtype);
    SAME(replay);
    SAME(tokens);
    SAME(exec_tokens);
    SAME(ctas);
#undef SAME
}

/* Runs a configuration on both; they must say the same. */
static void compare_feeds(const struct hl_config *config, uint64_t seed)
{
    memset(heard, 0, sizeof heard);
    struct hl_fake_gpu *gpu = hl_fake_gpu_create(config, seed);
    hl_fake_gpu_run(gpu, &(struct hl_feed){ hear, heard[1] });
    cr_assert_not(gpu->shared->failed, "%s", gpu->shared->failure);
    run_sim(config, gpu->program, seed);
    for (int rank = 0; rank < gpu->program->ranks; rank++) {
        const struct heard *sim = &heard[0][rank], *cuda = &heard[1][rank];
        cr_assert_gt(sim->n_enqueued, 10);
        cr_assert_eq(sim->n_enqueued, cuda->n_enqueued);
        cr_assert_eq(sim->begun, cuda->begun);
        cr_assert_eq(sim->ended, cuda->ended);
        cr_assert_eq(sim->inits, cuda->inits);
        cr_assert_eq(sim->faults, cuda->faults, "rank %d: %u faults, not %u", rank, cuda->faults,
                     sim->faults);
        cr_assert_eq(cuda->exits, 1);
        cr_assert_eq(cuda->numbers, cuda->begun, "reduced runs are small enough to be checked whole");
        for (uint32_t i = 0; i < sim->n_enqueued; i++) {
            compare_records(&sim->enqueued[i], &cuda->enqueued[i], rank, i);
            cr_assert_eq(sim->inputs[i], cuda->inputs[i], "rank %d, call %u: another input", rank, i);
        }
    }
    hl_fake_gpu_destroy(gpu);
}

static struct hl_config reduced(enum hl_mode mode)
{
    struct hl_config config = hl_plain_config(mode);
    config.subject.sentinel_compare = HL_COMPARE_BITS;
    config.payload.residue = (struct hl_residue){ 0.5, 0 };
    return config;
}

Test(cuda_feed, equals_the_simulators_in_every_mode)
{
    for (int mode = 0; mode < HL_MODE_COUNT; mode++)
        for (int fusion = 0; fusion < HL_FUSION_COUNT; fusion++) {
            struct hl_config config = reduced(mode);
            config.schedule.fusion = fusion;
            compare_feeds(&config, 7);
        }
}

Test(cuda_feed, feeds_the_rows_that_the_scenario_asks_for)
{
    for (int rows = 0; rows < HL_ROWS_COUNT; rows++) {
        struct hl_config config = reduced(HL_MODE_PIECEWISE);
        config.payload.rows = rows;
        config.payload.pattern = HL_PAYLOAD_RANDOM_BITS;
        compare_feeds(&config, 3);
    }
}

Test(cuda_feed, tells_faults_that_end_well)
{
    struct hl_config config = reduced(HL_MODE_FULL);
    config.n_faults = 1;
    config.faults[0] = (struct hl_fault){
        .kind = HL_FAULT_HOST_DELAY, .rank = 1, .call = 5, .calls = 1, .probability = 1, .delay_ns = 1000
    };
    compare_feeds(&config, 11);
}

static struct hl_config with_fault(enum hl_fault_kind kind)
{
    struct hl_config config = reduced(HL_MODE_EAGER);
    config.n_faults = 1;
    config.faults[0] = (struct hl_fault){
        .kind = kind, .rank = 1, .call = 5, .calls = 1, .probability = 1, .delay_ns = 1000
    };
    return config;
}

/* Ends a run once rank 1 has begun the op that its fault changed. */
static void abort_at_fault(void *user, const struct hl_event *event)
{
    struct hl_fake_gpu *gpu = user;
    if (event->kind == HL_EVENT_FAULT)
        atomic_store(&gpu->shared->aborted, true);
}

Test(cuda_feed, a_barrier_of_a_wrong_group_tells_its_fault_and_never_ends)
{
    const struct hl_config config = with_fault(HL_FAULT_WRONG_GROUP);
    struct hl_fake_gpu *gpu = hl_fake_gpu_create(&config, 1);
    hl_fake_gpu_run(gpu, &(struct hl_feed){ abort_at_fault, gpu });
    cr_assert(gpu->shared->aborted, "the run came to its end");
    cr_assert_not(gpu->shared->rank[1].exited);
    hl_fake_gpu_destroy(gpu);
}

Test(cuda_feed, an_early_rank_passes_its_barriers_and_says_so)
{
    const struct hl_config config = with_fault(HL_FAULT_EARLY_INIT);
    memset(heard, 0, sizeof heard);
    struct hl_fake_gpu *gpu = hl_fake_gpu_create(&config, 1);
    hl_fake_gpu_run(gpu, &(struct hl_feed){ hear, heard[1] });
    cr_assert_not(gpu->shared->failed, "%s", gpu->shared->failure);
    cr_assert_gt(heard[1][1].faults, 0);
    cr_assert_eq(heard[1][1].ended, heard[1][1].n_enqueued);
    hl_fake_gpu_destroy(gpu);
}

/*
 * Programs become calls
 */

/* The log of rank 0 without its waits and what it prepares, which ends with gamma, behind the residuals of
 * all sites. */
static void log_of(const struct hl_config *config, char *text, size_t size)
{
    struct hl_fake_gpu *gpu = hl_fake_gpu_create(config, 1);
    hl_fake_gpu_run(gpu, &(struct hl_feed){ 0 });
    cr_assert_not(gpu->shared->failed, "%s", gpu->shared->failure);
    text[0] = 0;
    char *copy = strdup(hl_fake_gpu_log(gpu, 0)), *place;
    int prepared = 0; /* rows that were filled */
    for (char *word = strtok_r(copy, " ", &place); word; word = strtok_r(NULL, " ", &place))
        if (prepared <= gpu->program->n_sites)
            prepared += strcmp(word, "fresh") == 0;
        else if (strcmp(word, "query") != 0 && strlen(text) + strlen(word) + 2 < size)
            sprintf(text + strlen(text), "%s ", word);
    free(copy);
    hl_fake_gpu_destroy(gpu);
}

static struct hl_config tiny(enum hl_mode mode, uint32_t size)
{
    struct hl_config config = reduced(mode);
    config.schedule.layers = 1;
    config.schedule.calls_per_layer = 1;
    config.schedule.sizes[0] = size;
    config.schedule.n_sizes = 1;
    config.schedule.replays = 1;
    config.schedule.padding = false;
    return config;
}

Test(cuda_calls, an_eager_call_stands_between_its_marks)
{
    struct hl_config config = tiny(HL_MODE_EAGER, 4);
    char text[4096];
    log_of(&config, text, sizeof text);
    cr_assert_str_eq(text, "init residue residue fresh source before mnnvl_oneshot after ");
    config.payload.residue.negative_subnormal_rows = HL_RESIDUE_AUTO;
    log_of(&config, text, sizeof text);
    cr_assert_str_eq(text, "init leftovers leftovers fresh source before mnnvl_oneshot after ");
}

Test(cuda_calls, a_two_shot_is_two_kernels_with_the_pdl_attribute)
{
    struct hl_config config = tiny(HL_MODE_EAGER, 512);
    config.schedule.pdl = true;
    char text[4096];
    log_of(&config, text, sizeof text);
    cr_assert_str_eq(text,
                     "init residue residue fresh source before mnnvl_twoshot+pdl mnnvl_norm+pdl after ");
}

Test(cuda_calls, a_graph_is_made_before_the_run_and_launched_in_it)
{
    struct hl_config config = tiny(HL_MODE_FULL, 4);
    config.schedule.warmups = 0;
    char text[4096];
    log_of(&config, text, sizeof text);
    cr_assert_str_eq(text, "begin-capture fresh source before mnnvl_oneshot after end-capture upload "
                           "init residue residue residue residue "
                           "begin-capture fresh source before mnnvl_oneshot after end-capture graph ");
}

Test(cuda_calls, split_ops_run_eagerly_during_the_capture_pass)
{
    struct hl_config config = tiny(HL_MODE_PIECEWISE, 4);
    config.schedule.fusion = HL_FUSION_SPLIT_OP;
    config.schedule.warmups = 0;
    char text[4096];
    log_of(&config, text, sizeof text);
    const char *run = strstr(text, "init");
    cr_assert_not_null(run);
    cr_assert_not_null(strstr(run, "end-capture before mnnvl_oneshot after begin-capture"), "%s", text);
    *strstr(text, "init") = 0;
    cr_assert_null(strstr(text, "mnnvl_oneshot"), "split ops belong to no graph: %s", text);
}

Test(cuda_calls, a_call_on_a_second_stream_becomes_a_branch)
{
    struct hl_config config = reduced(HL_MODE_FULL);
    config.schedule.n_sizes = 1;
    config.schedule.replays = 2;
    config.n_faults = 1;
    config.faults[0] = (struct hl_fault){
        .kind = HL_FAULT_SECOND_STREAM, .rank = 0, .call = 9, .calls = 1, .probability = 1
    };
    char text[65536];
    log_of(&config, text, sizeof text);
    cr_assert_not_null(strstr(text, "record wait before"), "%s", text);
    cr_assert_not_null(strstr(text, "after record wait"), "%s", text);
}

Test(cuda_calls, a_driver_that_starts_nothing_holds_every_launch_from_then_on)
{
    struct hl_config config = tiny(HL_MODE_EAGER, 4);
    config.schedule.replays = 2;
    config.n_faults = 1;
    config.faults[0] = (struct hl_fault){
        .kind = HL_FAULT_DRIVER_STALL, .rank = 0, .call = 1, .calls = 1, .probability = 1
    };
    char text[4096];
    log_of(&config, text, sizeof text);
    const char *first = strstr(text, "before"), *held = strstr(text, "hold before");
    cr_assert(first && held && first < held, "the call in front of the fault is free: %s", text);
}

Test(cuda_calls, all_code_is_loaded_before_anything_runs)
{
    const struct hl_config config = tiny(HL_MODE_FULL, 512);
    struct hl_fake_gpu *gpu = hl_fake_gpu_create(&config, 1);
    hl_fake_gpu_run(gpu, &(struct hl_feed){ 0 });
    const char *log = hl_fake_gpu_log(gpu, 0);
    cr_assert(strncmp(log, "load load ", 10) == 0 && !strstr(strstr(log, "clear"), " load "), "%s", log);
    hl_fake_gpu_destroy(gpu);
}

Test(cuda_calls, a_failure_names_rank_and_op)
{
    struct hl_config config = tiny(HL_MODE_FULL, 4);
    struct hl_fake_gpu *gpu = hl_fake_gpu_create(&config, 1);
    gpu->fails_at = "graph";
    hl_fake_gpu_run(gpu, &(struct hl_feed){ 0 });
    cr_assert(gpu->shared->failed);
    cr_assert_not_null(strstr(gpu->shared->failure, "launch a graph: CUDA_ERROR_LAUNCH_FAILED"), "%s",
                       gpu->shared->failure);
    hl_fake_gpu_destroy(gpu);
}

/*
 * What is refused, and what is skipped
 */

static enum hl_status plan_with(enum hl_fault_kind kind, enum hl_placement placement, struct hl_error *error)
{
    struct hl_config config = reduced(HL_MODE_FULL);
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
    struct hl_config config = reduced(HL_MODE_EAGER);
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
    struct hl_config config = reduced(HL_MODE_EAGER);
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
    struct hl_config config = reduced(HL_MODE_FULL);
    config.geometry = HL_GEOMETRY_FULL;
    config.subject.hidden = 16384;
    config.subject.dtype = HL_FP32;
    struct hl_fake_gpu *gpu = hl_fake_gpu_create(&config, 1);
    cr_assert_geq(gpu->plan.guard_words, gpu->plan.layout[0].row_words, "a stray row spoils nothing else");
    atomic_store(&gpu->shared->aborted, true); /* the ranks prepare, and that is all */
    hl_fake_gpu_run(gpu, &(struct hl_feed){ 0 });
    expect_guards(gpu);
    hl_fake_gpu_destroy(gpu);
    config = with_fault(HL_FAULT_REALLOC);
    config.schedule.mode = HL_MODE_FULL;
    gpu = hl_fake_gpu_create(&config, 1);
    hl_fake_gpu_run(gpu, &(struct hl_feed){ 0 });
    expect_guards(gpu); /* what takes over the memory writes into the buffers only */
    hl_fake_gpu_destroy(gpu);
}

Test(cuda_plan, a_grid_that_a_fault_halves_is_launched_so)
{
    struct hl_config config = with_fault(HL_FAULT_GRID_MISMATCH);
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
    struct hl_config config = reduced(HL_MODE_FULL);
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
    struct hl_config config = reduced(HL_MODE_PIECEWISE), copied;
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

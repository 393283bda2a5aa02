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

static uint64_t last_ns; /* of the CUDA engine's events */
static void hear(void *user, const struct hl_event *event)
{
    if (event->rank < 0)
        return;
    struct heard *h = &((struct heard *)user)[event->rank];
    cr_assert(user == heard[0] || event->time_ns > last_ns, "times do not tell the order");
    last_ns = event->time_ns;
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
    last_ns = 0;
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

Test(cuda_feed, equals_the_simulators_in_every_mode)
{
    for (int mode = 0; mode < HL_MODE_COUNT; mode++)
        for (int fusion = 0; fusion < HL_FUSION_COUNT; fusion++) {
            struct hl_config config = hl_reduced_config(mode);
            config.schedule.fusion = fusion;
            compare_feeds(&config, 7);
        }
}

Test(cuda_feed, feeds_the_rows_that_the_scenario_asks_for)
{
    for (int rows = 0; rows < HL_ROWS_COUNT; rows++) {
        struct hl_config config = hl_reduced_config(HL_MODE_PIECEWISE);
        config.payload.rows = rows;
        config.payload.pattern = HL_PAYLOAD_RANDOM_BITS;
        compare_feeds(&config, 3);
    }
}

Test(cuda_feed, tells_faults_that_end_well)
{
    struct hl_config config = hl_reduced_config(HL_MODE_FULL);
    config.n_faults = 1;
    config.faults[0] = (struct hl_fault){
        .kind = HL_FAULT_HOST_DELAY, .rank = 1, .call = 5, .calls = 1, .probability = 1, .delay_ns = 1000
    };
    compare_feeds(&config, 11);
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
    const struct hl_config config = hl_fault_config(HL_FAULT_WRONG_GROUP);
    struct hl_fake_gpu *gpu = hl_fake_gpu_create(&config, 1);
    hl_fake_gpu_run(gpu, &(struct hl_feed){ abort_at_fault, gpu });
    cr_assert(gpu->shared->aborted, "the run came to its end");
    cr_assert_not(gpu->shared->rank[1].exited);
    hl_fake_gpu_destroy(gpu);
}

Test(cuda_feed, an_early_rank_passes_its_barriers_and_says_so)
{
    const struct hl_config config = hl_fault_config(HL_FAULT_EARLY_INIT);
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
    struct hl_config config = hl_reduced_config(mode);
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
    struct hl_config config = hl_reduced_config(HL_MODE_FULL);
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

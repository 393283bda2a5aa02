/* The CUDA engine with a subject from a shared object, without a GPU: what it opens, refuses, reads and says.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../framework/engine/cuda/subject.h"
#include "walk.h"

/* Device memory is the process's own. A context stands for the GPU of this number. */
static int allocated, used[2], gpu;
static const CUcontext contexts[] = { (CUcontext)(uintptr_t)1, (CUcontext)(uintptr_t)2 };
static CUresult set_context(CUcontext context)
{
    gpu = (int)((uintptr_t)context - 1);
    return CUDA_SUCCESS;
}
static CUresult synchronise(void) { return CUDA_SUCCESS; }
static CUresult take(CUdeviceptr *ret_memory, size_t bytes)
{
    allocated++;
    used[gpu]++;
    *ret_memory = (CUdeviceptr)(uintptr_t)calloc(1, bytes);
    return CUDA_SUCCESS;
}
static CUresult give(CUdeviceptr memory)
{
    allocated--;
    free((void *)(uintptr_t)memory);
    return CUDA_SUCCESS;
}
static CUresult copy(void *to, CUdeviceptr from, size_t bytes, CUstream stream)
{
    (void)stream;
    memcpy(to, (void *)(uintptr_t)from, bytes);
    return CUDA_SUCCESS;
}
static const struct hl_driver driver = { .cuCtxSetCurrent = set_context,
                                         .cuCtxSynchronize = synchronise,
                                         .cuMemAlloc = take,
                                         .cuMemFree = give,
                                         .cuMemcpyDtoHAsync = copy };

struct opened {
    struct hl_config config;
    struct hl_program *program;
    struct hl_cuda_plan plan;
    struct hl_shared *shared;
    struct hl_cuda_subject subject;
    struct hl_error error;
};

static struct hl_config config_of(const char *mistake)
{
    struct hl_config config = hl_plain_config(HL_MODE_EAGER);
    config.subject.strategy = HL_STRATEGY_ONESHOT;
    snprintf(config.subject.plugin, sizeof config.subject.plugin, "%.80s/tests/subjects/fake-%s.so",
             getenv("HANGLAB_BUILD"), mistake);
    return config;
}

/* The upper half of the ranks is on the second GPU if there are two. */
static enum hl_status open_on(struct opened *o, const struct hl_config *config, int gpus)
{
    *o = (struct opened){ .config = *config };
    o->program = hl_must_create(&o->config, 1);
    o->shared = calloc(1, sizeof *o->shared);
    cr_assert_eq(hl_cuda_plan_init(&o->plan, &o->config, o->program, &o->error), HL_STATUS_OK);
    for (int rank = 0; rank < o->program->ranks; rank++)
        o->shared->device[rank] = rank * gpus / o->program->ranks;
    return hl_cuda_subject_open(&o->subject, &driver, contexts, &o->plan, o->shared, &o->error);
}

static enum hl_status open_with(struct opened *o, const struct hl_config *config)
{
    return open_on(o, config, 1);
}

static void close_all(struct opened *o)
{
    hl_cuda_subject_close(&o->subject);
    hl_cuda_plan_finish(&o->plan);
    hl_program_destroy(o->program);
    free(o->shared);
    cr_expect_eq(allocated, 0, "memory is left");
}

Test(cuda_subject, words_are_read_where_the_plugin_has_them)
{
    struct opened o;
    const struct hl_config config = config_of("none");
    cr_assert_eq(open_with(&o, &config), HL_STATUS_OK, "%s", o.error.message);
    cr_expect_str_empty(o.shared->doing);
    const struct hl_layout *l = &o.plan.layout[0];
    uint32_t words[HL_FLAG_WORDS], row[4];
    for (int rank = 0; rank < o.program->ranks; rank++) {
        const struct hl_subject_ranks ranks = hl_cuda_subject_ranks(&o.subject, rank, 0);
        uint32_t *own = ranks.workspace[rank];
        own[3] = 100u + (uint32_t)rank; /* current, as tests/subjects/fake.c has it */
        own[7] = 200u + (uint32_t)rank;
        own[16 + l->words_per_buffer + 5] = 300u + (uint32_t)rank;
    }
    for (int rank = 0; rank < o.program->ranks; rank++) {
        cr_assert_eq(hl_cuda_subject_read(&o.subject, rank, 0, 0, HL_FLAG_WORDS, words, NULL, &o.error),
                     HL_STATUS_OK);
        cr_expect_eq(words[HL_MNNVL_CURRENT], 100u + (uint32_t)rank);
        cr_expect_eq(words[HL_MNNVL_ARRIVED], 200u + (uint32_t)rank);
        cr_expect_eq(words[HL_MNNVL_DIRTY], 0, "a flag that it does not have");
        cr_assert_eq(
            hl_cuda_subject_read(&o.subject, rank, 0, hl_buffer_at(l, 1) + 4, 4, row, NULL, &o.error),
            HL_STATUS_OK);
        cr_expect_eq(row[1], 300u + (uint32_t)rank);
    }
    close_all(&o);
}

Test(cuda_subject, workspaces_lie_on_the_gpus_of_their_ranks)
{
    struct opened o;
    const struct hl_config config = config_of("none");
    cr_assert_eq(open_on(&o, &config, 2), HL_STATUS_OK, "%s", o.error.message);
    cr_expect_eq(used[0], o.program->ranks / 2);
    cr_expect_eq(used[1], o.program->ranks / 2);
    close_all(&o);
}

/* Shared words are a multicast's place holder. */
Test(cuda_subject, ranks_of_several_gpus_share_no_words)
{
    struct opened o;
    const struct hl_config config = config_of("shares");
    cr_expect_eq(open_on(&o, &config, 2), HL_STATUS_NO_GPU);
    cr_expect_not_null(strstr(o.error.message, "set `world.gpus: 1`"), "%s", o.error.message);
    close_all(&o);
    cr_expect_eq(open_on(&o, &config, 1), HL_STATUS_OK, "%s", o.error.message);
    close_all(&o);
}

static void expect_refusal(const struct hl_config *config, const char *message)
{
    struct opened o;
    cr_expect_eq(open_with(&o, config), HL_STATUS_USAGE, "%s", message);
    cr_expect_not_null(strstr(o.error.message, message), "%s", o.error.message);
    close_all(&o);
}

Test(cuda_subject, what_it_cannot_run_is_refused)
{
    struct hl_config config = config_of("create-fails");
    expect_refusal(&config, "create: this GPU is too old");
    config = config_of("overlap");
    expect_refusal(&config, "the buffers and arrived overlap");
    config = config_of("none");
    config.subject.mutant = HL_MUTANT_NO_SANITISE;
    expect_refusal(&config, "mutants are builds of hanglab's own kernels");
    config = config_of("none");
    config.subject.strategy = HL_STRATEGY_TWOSHOT;
    expect_refusal(&config, "subject.strategy: fake 1 does not support twoshot");
    config = config_of("nowhere");
    expect_refusal(&config, "No such file");
}

/* Without one, the engine's own kernels run. */
Test(cuda_subject, none_is_opened_when_none_is_named)
{
    struct opened o;
    struct hl_config config = config_of("none");
    config.subject.plugin[0] = '\0';
    cr_assert_eq(open_with(&o, &config), HL_STATUS_OK);
    cr_expect_null(o.subject.plugin);
    cr_expect_not(hl_cuda_subject_runs(&o.config, HL_MNNVL_ONESHOT));
    cr_expect(hl_cuda_subject_is_released(&o.subject));
    close_all(&o);
    config = config_of("none");
    cr_expect(hl_cuda_subject_runs(&config, HL_TRTLLM_TWOSHOT));
    cr_expect_not(hl_cuda_subject_runs(&config, HL_NCCL), "unfused calls stay hanglab's own");
}

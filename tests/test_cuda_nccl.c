/* NCCL's communicators on the CUDA engine, without NCCL: a rank has one for each workspace, as a serving
 * engine has one for each group, and keeps them from run to run. */
#include <criterion/criterion.h>
#include <string.h>
#include "../framework/engine/cuda/rank.h"

static unsigned char ids;
static int joined, left;
static const struct hl_nccl_comm *used;

static int make_id(struct hl_nccl_id *ret_id)
{
    memset(ret_id->bytes, ++ids, sizeof ret_id->bytes);
    return 0;
}
/* A communicator is known by its identity. */
static int init_rank(struct hl_nccl_comm **ret_comm, int ranks, struct hl_nccl_id id, int rank)
{
    (void)ranks, (void)rank;
    joined++;
    *ret_comm = (struct hl_nccl_comm *)(uintptr_t)id.bytes[0];
    return 0;
}
static int all_reduce(const void *input, void *output, size_t count, int dtype, int op,
                      struct hl_nccl_comm *comm, CUstream stream)
{
    (void)input, (void)output, (void)count, (void)dtype, (void)op, (void)stream;
    used = comm;
    return 0;
}
static int leave(struct hl_nccl_comm *comm)
{
    (void)comm;
    left++;
    return 0;
}
static const struct hl_nccl nccl = {
    .get_unique_id = make_id, .init_rank = init_rank, .all_reduce = all_reduce, .abort = leave
};

Test(cuda_nccl, a_rank_has_a_communicator_for_each_workspace)
{
    static struct hl_shared shared;
    struct hl_config config = { .subject = { .dtype = HL_BF16 } };
    struct hl_program program = { .ranks = 2, .n_workspaces = 2 };
    struct hl_cuda_plan plan = { .config = &config, .program = &program };
    struct hl_cuda_job job = { .nccl = &nccl, .plan = &plan, .shared = &shared };
    struct hl_cuda_rank rank = { .job = &job };
    struct hl_error error;
    cr_assert_eq(hl_nccl_renew(&nccl, 2, &shared, &error), HL_STATUS_OK);
    cr_assert_eq(hl_nccl_join(&rank, &error), HL_STATUS_OK);
    cr_expect_eq(joined, 2);
    const struct hl_nccl_comm *of[2];
    for (int w = 0; w < 2; w++) {
        cr_assert_eq(hl_nccl_all_reduce(&rank, w, NULL, NULL, 1, NULL, &error), HL_STATUS_OK);
        of[w] = used;
    }
    cr_expect_neq(of[0], of[1]);
    cr_assert_eq(hl_nccl_join(&rank, &error), HL_STATUS_OK);
    cr_expect_eq(joined, 2, "the next run has the same ones");
    cr_assert_eq(hl_nccl_renew(&nccl, 1, &shared, &error), HL_STATUS_OK);
    cr_assert_eq(hl_nccl_join(&rank, &error), HL_STATUS_OK);
    cr_expect(left == 2 && joined == 3, "after a run that ended badly there are new ones");
    hl_nccl_leave(&rank);
    cr_expect_eq(left, 3);
}

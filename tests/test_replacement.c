/* A workspace that is made anew in the middle of a program: which calls are on the old one and which on the
 * new one, on all ranks. */
#include <criterion/criterion.h>
#include "../framework/fault/weave.h"
#include "walk.h"

enum { RANK = 2 };

/* The program without and with a fault of RANK. Returns the calls that the rank makes without it. */
static uint32_t weave(enum hl_mode mode, enum hl_fault_kind kind, int call, struct hl_program **ret_clean,
                      struct hl_program **ret_faulty)
{
    struct hl_error error;
    struct hl_config c = hl_plain_config(mode);
    c.faults[0] = (struct hl_fault){ .kind = kind, .rank = RANK, .call = call, .calls = 1, .probability = 1 };
    c.n_faults = 1;
    *ret_clean = hl_must_create(&c, 1);
    *ret_faulty = hl_must_create(&c, 1);
    cr_assert_eq(hl_faults_weave(*ret_faulty, 1, &error), HL_STATUS_OK, "%s", error.message);
    cr_assert_eq((*ret_faulty)->fates[0].fate, HL_FATE_WOVEN, "%s", (*ret_faulty)->fates[0].why);
    struct hl_walk walk = hl_walk_rank(*ret_clean, RANK);
    const uint32_t calls = walk.n_calls;
    hl_walk_finish(&walk);
    return calls;
}

static const struct hl_op *find_op(const struct hl_program *p, int rank, enum hl_op_kind kind)
{
    for (uint32_t i = 0; i < p->rank[rank].n_ops; i++)
        if (p->rank[rank].ops[i].kind == kind)
            return &p->rank[rank].ops[i];
    return NULL;
}

/* Calls of a rank by workspace, from the point on at which workspace 1 was made. */
static void count_calls(const struct hl_program *p, int rank, uint32_t *ret_old, uint32_t *ret_new)
{
    struct hl_walk walk = hl_walk_rank(p, rank);
    *ret_old = *ret_new = 0;
    for (uint32_t i = 0; i < walk.n_calls; i++)
        *(walk.calls[i].op->workspace == 1 ? ret_new : ret_old) += 1;
    hl_walk_finish(&walk);
}

Test(replacement, a_workspace_made_anew_after_the_captures_leaves_graphs_on_the_old_one)
{
    struct hl_program *clean, *faulty;
    const uint32_t calls = weave(HL_MODE_PIECEWISE, HL_FAULT_REALLOC, -1, &clean, &faulty);
    uint32_t old, new;
    cr_assert_eq(faulty->n_workspaces, 2);
    cr_expect_eq(hl_program_family(faulty, 1), HL_FAMILY_MNNVL);
    for (int rank = 0; rank < faulty->ranks; rank++) {
        count_calls(faulty, rank, &old, &new);
        cr_expect(old == calls && new == 0, "rank %d: %u and %u calls", rank, old, new);
        const struct hl_op *reuse = find_op(faulty, rank, HL_OP_REUSE);
        cr_expect_eq(reuse != NULL, rank == RANK);
        cr_expect(!reuse || (reuse->workspace == 0 && reuse->fault == 1));
    }
    hl_program_destroy(clean);
    hl_program_destroy(faulty);
}

Test(replacement, a_stale_graph_is_the_one_launch_on_the_old_workspace)
{
    struct hl_program *clean, *faulty;
    const uint32_t calls = weave(HL_MODE_FULL, HL_FAULT_STALE_GRAPH, 20, &clean, &faulty);
    uint32_t old, new, old_of_peer, new_of_peer;
    cr_expect_eq(faulty->n_graphs, 2 * clean->n_graphs);
    count_calls(faulty, RANK, &old, &new);
    count_calls(faulty, 0, &old_of_peer, &new_of_peer);
    cr_expect_eq(old + new, calls);
    cr_expect_eq(old, old_of_peer + 4, "one pass of 2 layers is %u calls", old - old_of_peer);
    cr_expect_gt(new_of_peer, 4);
    hl_program_destroy(clean);
    hl_program_destroy(faulty);
}

/* Where graphs alone use a workspace and all of them are captured after the move, the old one has no call
 * that would tell what it is. */
Test(replacement, a_workspace_is_of_the_family_of_its_calls_even_if_the_old_one_has_none)
{
    struct hl_program *clean, *faulty;
    weave(HL_MODE_FULL, HL_FAULT_MOVE_WORKSPACE, -1, &clean, &faulty);
    for (int rank = 0; rank < faulty->ranks; rank++)
        for (uint32_t i = 0; i < faulty->rank[rank].n_ops; i++)
            if (faulty->rank[rank].ops[i].kind == HL_OP_CALL)
                faulty->rank[rank].ops[i].workspace = 1;
    cr_expect_eq(hl_program_family(faulty, 1), HL_FAMILY_MNNVL);
    hl_program_destroy(clean);
    hl_program_destroy(faulty);
}

Test(replacement, a_moved_workspace_serves_the_graphs_of_later_sizes)
{
    struct hl_program *clean, *faulty;
    weave(HL_MODE_FULL, HL_FAULT_MOVE_WORKSPACE, -1, &clean, &faulty);
    for (int rank = 0; rank < faulty->ranks; rank++) {
        struct hl_walk walk = hl_walk_rank(faulty, rank);
        for (uint32_t i = 0; i < walk.n_calls; i++)
            if (walk.calls[i].launch != (uint32_t)(walk.calls[i].op - faulty->rank[rank].ops))
                cr_expect_eq(walk.calls[i].op->workspace, walk.calls[i].op->tokens == 64);
        hl_walk_finish(&walk);
    }
    hl_program_destroy(clean);
    hl_program_destroy(faulty);
}

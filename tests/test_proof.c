/* What is proven from who waits for whom, and what is not. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include "../framework/verdict/classifier.h"
#include "../framework/verdict/proof.h"

static struct hl_evidence *e;

/* Two ranks, both inside call 3 of workspace 0. */
static void set_up(void)
{
    e = malloc(sizeof *e);
    hl_evidence_init(e);
    e->ranks = 2;
    e->workspaces = 1;
    e->hung = true;
    e->slots = calloc(4, sizeof e->slots[0]);
    for (int r = 0; r < 2; r++) {
        struct hl_rank_evidence *rank = &e->rank[r];
        rank->host = HL_HOST_BLOCKED;
        rank->waits = true;
        rank->workspace[0].known = true;
        rank->workspace[0].enqueued = rank->workspace[0].begun = 4;
        rank->workspace[0].ended = 3;
        rank->pending[0].record.call = 3;
        rank->n_pending = 1;
    }
}

static void tear_down(void)
{
    hl_evidence_finish(e);
    free(e);
}

TestSuite(proof, .init = set_up, .fini = tear_down);

static void waits(int rank, int source, uint32_t call, enum hl_slot_state state)
{
    e->slots[e->n_slots++] = (struct hl_slot_evidence){ .rank = rank,
                                                        .source = source,
                                                        .call = call,
                                                        .stage = HL_STAGE_ONESHOT,
                                                        .state = state,
                                                        .words = 4,
                                                        .words_missing = 1,
                                                        .words_sentinel = state == HL_SLOT_SENTINEL,
                                                        .elsewhere = -1 };
}

/* The rank is past call 3: it has ended, and the next has not begun. */
static void retires(int rank)
{
    e->rank[rank].n_pending = 0;
    e->rank[rank].workspace[0].ended = 4;
}

static void expect(uint32_t stuck, enum hl_edge_end first)
{
    struct hl_proof proof;
    hl_prove(e, &proof);
    cr_assert_gt(proof.n_edges, 0);
    cr_expect_eq(proof.stuck, stuck, "stuck %x, not %x", proof.stuck, stuck);
    cr_expect_eq(proof.edges[0].end, first, "%s, not %s", hl_edge_end_name(proof.edges[0].end),
                 hl_edge_end_name(first));
    const struct hl_finding finding = hl_classify(e);
    cr_expect_eq(finding.certainty, stuck ? HL_CERTAINTY_PROVEN : HL_CERTAINTY_OBSERVED);
}

Test(proof, a_writer_that_has_retired_the_call_stores_no_more)
{
    waits(0, 1, 3, HL_SLOT_SENTINEL);
    retires(1);
    expect(1, HL_EDGE_RETIRED);
}

Test(proof, a_writer_in_the_same_call_may_still_store)
{
    waits(0, 1, 3, HL_SLOT_SENTINEL);
    expect(0, HL_EDGE_OPEN);
}

Test(proof, refused_words_on_both_sides_are_final)
{
    waits(0, 1, 3, HL_SLOT_REFUSED);
    waits(1, 0, 3, HL_SLOT_REFUSED);
    expect(3, HL_EDGE_REFUSED);
}

/* The source waits for nothing: it may go on to a call that stores this buffer anew. */
Test(proof, a_refused_word_of_a_rank_that_goes_on_is_open)
{
    waits(0, 1, 3, HL_SLOT_REFUSED);
    expect(0, HL_EDGE_OPEN);
}

Test(proof, a_refused_word_of_a_rank_that_waits_in_the_next_call_is_final)
{
    waits(0, 1, 3, HL_SLOT_REFUSED);
    waits(1, 0, 4, HL_SLOT_SENTINEL);
    e->rank[1].pending[0].record.call = 4;
    e->rank[1].workspace[0].enqueued = e->rank[1].workspace[0].begun = 5;
    e->rank[1].workspace[0].ended = 4;
    e->rank[0].workspace[0].enqueued = 5;
    expect(3, HL_EDGE_RETIRED);
}

Test(proof, a_program_that_is_over_issues_nothing)
{
    waits(0, 1, 3, HL_SLOT_SENTINEL);
    e->rank[1].n_pending = 0;
    e->rank[1].workspace[0].enqueued = e->rank[1].workspace[0].begun = 3;
    e->rank[1].host = HL_HOST_EXITED;
    expect(1, HL_EDGE_OVER);
}

/* It may sleep, or wait for a lock. */
Test(proof, a_host_that_is_blocked_may_come_yet)
{
    waits(0, 1, 3, HL_SLOT_SENTINEL);
    e->rank[1].n_pending = 0;
    e->rank[1].workspace[0].enqueued = e->rank[1].workspace[0].begun = 3;
    expect(0, HL_EDGE_OPEN);
}

Test(proof, a_dead_rank)
{
    waits(0, 1, 3, HL_SLOT_SENTINEL);
    e->rank[1].host = HL_HOST_DEAD;
    expect(1, HL_EDGE_DEAD);
}

Test(proof, needs_all_records)
{
    struct hl_proof proof;
    waits(0, 1, 3, HL_SLOT_SENTINEL);
    retires(1);
    e->records_dropped = 1;
    hl_prove(e, &proof);
    cr_assert_eq(proof.stuck, 0);
}

/*
 * Hosts
 */

/* Rank 0 waits in call 3 for rank 1, which has not issued it; the host of rank 0 waits for that call's
 * stream, the host of rank 1 at its next barrier, to which rank 0 has not come. */
static void waits_at_barrier(void)
{
    waits(0, 1, 3, HL_SLOT_SENTINEL);
    e->rank[0].wait = HL_HOST_WAIT_STREAM;
    e->rank[0].wait_stream = e->rank[0].pending[0].launch_stream = 1;
    e->rank[0].barriers = 4;
    e->rank[1].n_pending = 0;
    e->rank[1].workspace[0].enqueued = e->rank[1].workspace[0].begun = 3;
    e->rank[1].wait = HL_HOST_WAIT_BARRIER;
    e->rank[1].barriers = 5;
}

static void expect_hosts(uint32_t stuck)
{
    struct hl_proof proof;
    hl_prove(e, &proof);
    cr_expect_eq(proof.stuck_hosts, stuck, "stuck hosts %x, not %x", proof.stuck_hosts, stuck);
}

Test(proof, a_host_at_a_barrier_for_the_rank_that_waits_never_comes)
{
    waits_at_barrier();
    expect(1, HL_EDGE_HELD);
    expect_hosts(3);
}

/* The twin of every test here: the same waits, and one host that merely sleeps. */
Test(proof, a_host_that_sleeps_is_no_proof)
{
    waits_at_barrier();
    e->rank[1].waits = false; /* its last wait was a barrier */
    expect(0, HL_EDGE_OPEN);
    e->rank[1].waits = true;
    e->rank[0].waits = false;
    expect(0, HL_EDGE_OPEN);
    expect_hosts(0);
}

Test(proof, a_host_that_waits_for_its_thread_or_a_signal_is_no_proof)
{
    static const enum hl_host_wait kinds[] = { HL_HOST_WAIT_ORDER, HL_HOST_WAIT_THREAD, HL_HOST_WAIT_SIGNAL };
    waits_at_barrier();
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        e->rank[1].wait = kinds[i];
        expect(0, HL_EDGE_OPEN);
    }
}

Test(proof, a_host_that_waits_for_another_stream_may_go_on)
{
    waits_at_barrier();
    e->rank[0].wait_stream = 0;
    expect(0, HL_EDGE_OPEN);
}

Test(proof, a_barrier_to_which_all_have_come_is_about_to_be_left)
{
    waits_at_barrier();
    e->rank[0].barriers = 5;
    expect(0, HL_EDGE_OPEN);
}

Test(proof, a_barrier_for_other_ranks_is_not_held_by_this_one)
{
    waits_at_barrier();
    e->rank[1].group = 1u << 1;
    expect(0, HL_EDGE_OPEN);
}

Test(proof, a_barrier_of_a_rank_that_has_left_is_never_met)
{
    e->rank[0].n_pending = e->rank[1].n_pending = 0;
    e->rank[0].wait = HL_HOST_WAIT_BARRIER;
    e->rank[0].barriers = 2;
    e->rank[1].host = HL_HOST_EXITED;
    e->rank[1].barriers = 1;
    expect_hosts(1);
    cr_expect_eq(hl_classify(e).certainty, HL_CERTAINTY_PROVEN);
    e->rank[1].barriers = 2;
    expect_hosts(0);
}

Test(proof, a_host_that_waits_for_room_behind_the_stuck_call_is_as_stuck)
{
    waits_at_barrier();
    e->rank[0].wait = HL_HOST_WAIT_QUEUE;
    expect(1, HL_EDGE_HELD);
}

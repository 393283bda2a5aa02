/* Every cause on a run that shows it, made of real protocol steps, and its healthy twin, which must give no
 * finding. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include "rig.h"

static struct hl_finding classify(struct hl_rig *rig, bool proven)
{
    struct hl_evidence *evidence = hl_rig_collect(rig, proven);
    const struct hl_finding finding = hl_classify(evidence);
    hl_rig_evidence_destroy(evidence);
    return finding;
}

static void expect(const struct hl_finding *f, enum hl_verdict verdict, enum hl_cause cause, int rank,
                   int64_t call)
{
    cr_assert_eq(f->verdict, verdict, "verdict %d: %s", f->verdict, f->summary);
    cr_assert_str_eq(hl_cause_name(f->cause), hl_cause_name(cause), "%s", f->summary);
    cr_assert_eq(f->culprit.rank, rank, "rank %d: %s", f->culprit.rank, f->summary);
    cr_assert_eq(f->culprit.call, call, "call %d: %s", (int)f->culprit.call, f->summary);
    cr_assert_gt(strlen(f->summary), 0);
}

static void expect_hang(struct hl_rig *rig, enum hl_cause cause, int rank, int64_t call)
{
    const struct hl_finding f = classify(rig, true);
    expect(&f, HL_VERDICT_HANG, cause, rank, call);
    cr_assert_eq(f.certainty, HL_CERTAINTY_PROVEN);
    hl_rig_destroy(rig);
}

static void expect_pass(struct hl_rig *rig)
{
    for (int r = 0; r < rig->ranks; r++)
        hl_rig_exit(rig, r);
    const struct hl_finding f = classify(rig, true);
    cr_assert_eq(f.verdict, HL_VERDICT_PASS, "%s", f.summary);
    cr_assert_eq(f.cause, HL_CAUSE_NONE);
    hl_rig_destroy(rig);
}

static struct hl_rig *mnnvl(int ranks) { return hl_rig_create(HL_FAMILY_MNNVL, HL_BF16, ranks); }

static void healthy_calls(struct hl_rig *rig, enum hl_protocol protocol, uint32_t tokens, int count)
{
    for (int i = 0; i < count; i++) {
        hl_rig_issue_all(rig, protocol, tokens, (uint16_t)(rig->issued[0][0]));
        cr_assert(hl_rig_run(rig));
    }
}

Test(classifier, negative_subnormals_under_a_float_comparison)
{
    for (int compare = 0; compare < HL_COMPARE_COUNT; compare++)
        for (int twoshot = 0; twoshot < 2; twoshot++) {
            struct hl_rig *rig = mnnvl(4);
            const enum hl_protocol protocol = twoshot ? HL_MNNVL_TWOSHOT : HL_MNNVL_ONESHOT;
            rig->compare = (enum hl_compare)compare;
            healthy_calls(rig, protocol, 5, 4);
            hl_rig_issue_all(rig, protocol, 5, 4);
            rig->call[0].input[3 * rig->layout.row_words + 17] = 0x80010000;
            const bool ended = hl_rig_run(rig);
            cr_assert_eq(ended, compare == HL_COMPARE_BITS);
            if (ended) {
                expect_pass(rig);
                continue;
            }
            struct hl_evidence *e = hl_rig_collect(rig, true);
            const struct hl_finding f = hl_classify(e);
            expect(&f, HL_VERDICT_HANG, HL_CAUSE_SENTINEL_COLLISION, twoshot ? 3 : 1, 4);
            cr_assert_eq(f.culprit.slot_rank, 0);
            cr_assert_eq(f.culprit.slot_token, 3);
            cr_assert_eq(f.culprit.buffer, 1);
            cr_assert_eq(f.culprit.word, 17);
            cr_assert_eq(f.culprit.value, 0x80010000);
            cr_assert_eq(f.culprit.stage, twoshot ? HL_STAGE_SCATTER : HL_STAGE_ONESHOT);
            cr_assert_eq(f.culprit.graph, -1);
            hl_rig_evidence_destroy(e);
            hl_rig_destroy(rig);
        }
}

/* -0.0 that nobody sanitised is the sentinel, bit by bit. */
Test(classifier, unsanitised_negative_zero)
{
    for (int mutant = 0; mutant < 2; mutant++) {
        struct hl_rig *rig = mnnvl(2);
        rig->mutant = mutant ? HL_MUTANT_NO_SANITISE : HL_MUTANT_NONE;
        healthy_calls(rig, HL_MNNVL_ONESHOT, 4, 4);
        hl_rig_issue_all(rig, HL_MNNVL_ONESHOT, 4, 4);
        rig->call[1].input[9] = HL_SENTINEL;
        cr_assert_eq(hl_rig_run(rig), !mutant);
        if (mutant)
            expect_hang(rig, HL_CAUSE_SENTINEL_COLLISION, 0, 4);
        else
            expect_pass(rig);
    }
}

/* Calls 0.. at sites 0..; the rank's sequence is changed by `change`, all others are plain. */
static struct hl_rig *sequences(int ranks, int odd, const uint16_t *odd_sites, int odd_count, int count)
{
    struct hl_rig *rig = mnnvl(ranks);
    for (int i = 0; i < count || i < odd_count; i++) {
        for (int r = 0; r < ranks; r++)
            if (!rig->call[r].running && i < (r == odd ? odd_count : count))
                hl_rig_issue(rig, r, 0, HL_MNNVL_ONESHOT, 4, r == odd ? odd_sites[i] : (uint16_t)(i % 4));
        hl_rig_run(rig);
    }
    for (int r = 0; r < ranks; r++)
        if (!rig->call[r].running)
            hl_rig_exit(rig, r);
    return rig;
}

Test(classifier, a_rank_that_leaves_out_a_call)
{
    const uint16_t sites[] = { 0, 1, 3, 0, 1, 2, 3 }, wrapped[] = { 0, 1, 2, 0, 1, 2, 3 };
    expect_hang(sequences(4, 2, sites, 7, 8), HL_CAUSE_PEER_MISSING_CALL, 2, 2);
    expect_hang(sequences(2, 1, sites, 7, 8), HL_CAUSE_PEER_MISSING_CALL, 1, 2);
    expect_hang(sequences(2, 0, sites, 7, 8), HL_CAUSE_PEER_MISSING_CALL, 0, 2);
    expect_hang(sequences(2, 0, wrapped, 7, 8), HL_CAUSE_PEER_MISSING_CALL, 0, 3);
    expect_hang(sequences(4, 3, wrapped, 7, 8), HL_CAUSE_PEER_MISSING_CALL, 3, 3);
}

Test(classifier, a_rank_that_leaves_out_the_last_call)
{
    const uint16_t sites[] = { 0, 1, 2, 3, 0, 1, 2 };
    expect_hang(sequences(4, 2, sites, 7, 8), HL_CAUSE_PEER_MISSING_CALL, 2, 7);
    expect_hang(sequences(2, 1, sites, 7, 8), HL_CAUSE_PEER_MISSING_CALL, 1, 7);
}

Test(classifier, a_rank_that_makes_a_call_twice)
{
    const uint16_t sites[] = { 0, 1, 1, 2, 3, 0, 1, 2, 3 }, last[] = { 0, 1, 2, 3, 0, 1, 2, 3, 3 };
    expect_hang(sequences(4, 2, sites, 9, 8), HL_CAUSE_EPOCH_SKEW, 2, 2);
    expect_hang(sequences(2, 0, sites, 9, 8), HL_CAUSE_EPOCH_SKEW, 0, 2);
    expect_hang(sequences(2, 1, sites, 9, 8), HL_CAUSE_EPOCH_SKEW, 1, 2);
    expect_hang(sequences(4, 2, last, 9, 8), HL_CAUSE_EPOCH_SKEW, 2, 8);
    expect_hang(sequences(2, 1, last, 9, 8), HL_CAUSE_EPOCH_SKEW, 1, 8);
}

Test(classifier, equal_sequences_pass)
{
    const uint16_t sites[] = { 0, 1, 2, 3, 0, 1, 2, 3 };
    expect_pass(sequences(4, 2, sites, 8, 8));
}

Test(classifier, other_tokens)
{
    struct hl_rig *rig = mnnvl(4);
    healthy_calls(rig, HL_MNNVL_ONESHOT, 6, 3);
    for (int r = 0; r < 4; r++)
        hl_rig_issue(rig, r, 0, HL_MNNVL_ONESHOT, r == 1 ? 6 : 7, 3);
    cr_assert_not(hl_rig_run(rig));
    expect_hang(rig, HL_CAUSE_SHAPE_MISMATCH, 1, 3);
}

Test(classifier, other_strategy)
{
    struct hl_rig *rig = mnnvl(4);
    healthy_calls(rig, HL_MNNVL_ONESHOT, 6, 3);
    for (int r = 0; r < 4; r++)
        hl_rig_issue(rig, r, 0, r == 3 ? HL_MNNVL_TWOSHOT : HL_MNNVL_ONESHOT, 6, 3);
    cr_assert_not(hl_rig_run(rig));
    expect_hang(rig, HL_CAUSE_STRATEGY_MISMATCH, 3, 3);
}

Test(classifier, one_rank_falls_back)
{
    struct hl_rig *rig = mnnvl(4);
    healthy_calls(rig, HL_MNNVL_ONESHOT, 6, 3);
    for (int r = 0; r < 4; r++)
        hl_rig_issue(rig, r, 0, r == 3 ? HL_NORM_ONLY : HL_MNNVL_ONESHOT, 6, 3);
    cr_assert_not(hl_rig_run(rig));
    expect_hang(rig, HL_CAUSE_MISSING_ALLREDUCE, 3, 3);
}

Test(classifier, other_grid_before_a_barrier)
{
    struct hl_rig *rig = hl_rig_create(HL_FAMILY_TRTLLM, HL_BF16, 2);
    healthy_calls(rig, HL_TRTLLM_TWOSHOT, 8, 2);
    rig->ctas_max = 4;
    hl_rig_issue(rig, 1, 0, HL_TRTLLM_TWOSHOT, 8, 2);
    rig->ctas_max = 0;
    hl_rig_issue(rig, 0, 0, HL_TRTLLM_TWOSHOT, 8, 2);
    hl_rig_run(rig);
    const struct hl_finding f = classify(rig, true);
    cr_assert_str_eq(hl_cause_name(f.cause), "grid-mismatch", "%s", f.summary);
    hl_rig_destroy(rig);
}

Test(classifier, a_store_that_never_came)
{
    for (int journal = 0; journal < 2; journal++) {
        struct hl_rig *rig = mnnvl(4);
        rig->mutant = HL_MUTANT_DROP_STORE;
        rig->has_journal = journal;
        healthy_calls(rig, HL_MNNVL_ONESHOT, 4, 4);
        hl_rig_issue_all(rig, HL_MNNVL_ONESHOT, 4, 4);
        cr_assert_not(hl_rig_run(rig));
        const struct hl_finding f = classify(rig, true);
        expect(&f, HL_VERDICT_HANG, HL_CAUSE_LOST_WRITE, 0, 4);
        cr_assert_eq(f.culprit.slot_rank, 1);
        cr_assert_eq(f.culprit.slot_token, 3);
        cr_assert_eq(f.other_cause, journal ? HL_CAUSE_NONE : HL_CAUSE_LATE_CLEAR);
        hl_rig_destroy(rig);
    }
}

/* Rank 2 waits for rank 0, which waits for rank 1, whose flag does not come. A flag's journal tells nothing:
 * every barrier of the call stores it again. */
Test(classifier, a_barrier_flag_that_never_came)
{
    struct hl_evidence *e = malloc(sizeof *e);
    struct hl_slot_evidence slots[2];
    memset(slots, 0, sizeof slots);
    hl_evidence_init(e);
    e->ranks = 3;
    e->workspaces = 1;
    e->hung = true;
    e->layout[0] = hl_layout_make(HL_FAMILY_TRTLLM, 3, 8, 64, HL_BF16);
    for (int r = 0; r < 3; r++) {
        e->rank[r].workspace[0].enqueued = e->rank[r].workspace[0].begun = 1;
        e->rank[r].pending[0].record.protocol = HL_TRTLLM_TWOSHOT;
        e->rank[r].n_pending = 1;
    }
    for (int i = 0; i < 2; i++) {
        slots[i].rank = i ? 0 : 2;
        slots[i].source = i ? 1 : 0;
        slots[i].stage = HL_STAGE_BARRIER;
        slots[i].token = 5;
        slots[i].state = HL_SLOT_SENTINEL;
        slots[i].words = slots[i].words_missing = slots[i].words_sentinel = 1;
        slots[i].history.known = true;
        slots[i].history.stored_by = slots[i].source;
        slots[i].history.cleared_by = -1;
    }
    e->slots = slots;
    e->n_slots = 2;
    const struct hl_finding f = hl_classify(e);
    expect(&f, HL_VERDICT_HANG, HL_CAUSE_LOST_WRITE, 0, 0);
    cr_assert_eq(f.culprit.slot_rank, 1);
    cr_assert_eq(f.culprit.slot_token, 5);
    cr_assert_eq(f.culprit.stage, HL_STAGE_BARRIER);
    free(e);
}

/* What LATE_CLEAR does in a race, done by hand: rank 0's clear hits what rank 1 has already stored for the
 * next call. */
Test(classifier, a_clear_that_comes_too_late)
{
    struct hl_rig *rig = mnnvl(2);
    healthy_calls(rig, HL_MNNVL_ONESHOT, 4, 3);
    hl_rig_issue_all(rig, HL_MNNVL_ONESHOT, 4, 3);
    cr_assert(hl_rig_run(rig));
    hl_rig_issue(rig, 1, 0, HL_MNNVL_ONESHOT, 4, 4);
    cr_assert_not(hl_rig_run(rig));
    const uint32_t at = hl_mnnvl_oneshot_slot(&rig->layout, 1, 2, 1);
    for (uint32_t i = at; i < at + rig->layout.row_words; i++) {
        cr_assert_neq(rig->memory[0][0][i], HL_SENTINEL);
        rig->memory[0][0][i] = HL_SENTINEL;
        rig->journal[0][0][i].cleared_by = 0;
        rig->journal[0][0][i].cleared_call = 3;
        rig->journal[0][0][i].cleared_ns = ++rig->now_ns;
    }
    hl_rig_issue(rig, 0, 0, HL_MNNVL_ONESHOT, 4, 4);
    cr_assert_not(hl_rig_run(rig));
    expect_hang(rig, HL_CAUSE_LATE_CLEAR, 0, 4);
}

Test(classifier, an_initialisation_that_comes_too_late)
{
    for (int journal = 0; journal < 2; journal++) {
        struct hl_rig *rig = mnnvl(2);
        rig->has_journal = journal;
        hl_rig_issue(rig, 1, 0, HL_MNNVL_ONESHOT, 4, 0);
        cr_assert_not(hl_rig_run(rig));
        hl_rig_init_workspace(rig, 0, 0);
        hl_rig_issue(rig, 0, 0, HL_MNNVL_ONESHOT, 4, 0);
        cr_assert_not(hl_rig_run(rig));
        const struct hl_finding f = classify(rig, true);
        expect(&f, HL_VERDICT_HANG, HL_CAUSE_INIT_RACE, 0, 0);
        cr_assert_eq(f.other_cause, journal ? HL_CAUSE_NONE : HL_CAUSE_LOST_WRITE);
        hl_rig_destroy(rig);
    }
}

Test(classifier, a_late_rank_is_no_hang)
{
    struct hl_rig *rig = mnnvl(2);
    hl_rig_issue(rig, 1, 0, HL_MNNVL_ONESHOT, 4, 0);
    cr_assert_not(hl_rig_run(rig));
    hl_rig_issue(rig, 0, 0, HL_MNNVL_ONESHOT, 4, 0);
    cr_assert(hl_rig_run(rig));
    expect_pass(rig);
}

Test(classifier, a_counter_left_behind_by_an_aborted_call)
{
    struct hl_rig *rig = hl_rig_create(HL_FAMILY_TRTLLM, HL_BF16, 2);
    healthy_calls(rig, HL_TRTLLM_ONESHOT, 4, 2);
    rig->memory[0][1][HL_TRTLLM_ARRIVED] = 1;
    hl_rig_issue_all(rig, HL_TRTLLM_ONESHOT, 4, 2);
    cr_assert_not(hl_rig_run(rig));
    expect_hang(rig, HL_CAUSE_ARRIVAL_STUCK, 1, 2);
}

/* Ranks 0 and 1 run a call of workspace 0, rank 2 one of workspace 1. */
static struct hl_rig *ring_of_workspaces(void)
{
    struct hl_rig *rig = mnnvl(3);
    hl_rig_issue(rig, 0, 0, HL_MNNVL_ONESHOT, 4, 0);
    hl_rig_issue(rig, 1, 0, HL_MNNVL_ONESHOT, 4, 0);
    hl_rig_issue(rig, 2, 1, HL_MNNVL_ONESHOT, 4, 1);
    cr_assert_not(hl_rig_run(rig));
    return rig;
}

Test(classifier, two_workspaces_in_two_orders)
{
    struct hl_rig *rig = ring_of_workspaces();
    for (int rank = 0; rank < 3; rank++) /* the other call is on the stream, behind the first */
        hl_watch_event(rig->watch, &(struct hl_event){ .kind = HL_EVENT_ENQUEUE,
                                                       .rank = rank,
                                                       .call = &rig->call[rank < 2 ? 2 : 0].record });
    expect_hang(rig, HL_CAUSE_ORDER_INVERSION, 0, 0);
}

Test(classifier, a_rank_that_left_out_a_call_of_one_workspace_waits_in_the_other)
{
    expect_hang(ring_of_workspaces(), HL_CAUSE_PEER_MISSING_CALL, 2, 0);
}

Test(classifier, two_workspaces_in_one_order_pass)
{
    struct hl_rig *rig = mnnvl(3);
    for (int w = 0; w < 2; w++) {
        for (int r = 0; r < 3; r++)
            hl_rig_issue(rig, r, w, HL_MNNVL_ONESHOT, 4, (uint16_t)w);
        cr_assert(hl_rig_run(rig));
    }
    expect_pass(rig);
}

static struct hl_rig *rank_1_absent(void)
{
    struct hl_rig *rig = mnnvl(2);
    healthy_calls(rig, HL_MNNVL_ONESHOT, 4, 2);
    hl_rig_issue(rig, 0, 0, HL_MNNVL_ONESHOT, 4, 2);
    cr_assert_not(hl_rig_run(rig));
    return rig;
}

Test(classifier, a_dead_peer)
{
    struct hl_rig *rig = rank_1_absent();
    rig->host[1] = HL_HOST_DEAD;
    expect_hang(rig, HL_CAUSE_PEER_DEAD, 0, 2);
}

Test(classifier, a_peer_whose_host_is_blocked_before_the_call)
{
    struct hl_rig *rig = rank_1_absent();
    hl_rig_host_op(rig, 1, rig->call[0].record.launch, true);
    const struct hl_finding f = classify(rig, false);
    expect(&f, HL_VERDICT_HANG, HL_CAUSE_PEER_HOST_BLOCKED, 1, 2);
    cr_assert_eq(f.certainty, HL_CERTAINTY_OBSERVED);
    hl_rig_destroy(rig);
}

Test(classifier, a_peer_whose_host_is_past_the_call)
{
    struct hl_rig *rig = rank_1_absent();
    hl_rig_host_op(rig, 1, rig->call[0].record.launch + 1, true);
    const struct hl_finding f = classify(rig, false);
    expect(&f, HL_VERDICT_HANG, HL_CAUSE_PEER_MISSING_CALL, 1, 2);
    hl_rig_destroy(rig);
}

Test(classifier, a_call_that_is_enqueued_and_does_not_start)
{
    for (int full = 0; full < 2; full++) {
        struct hl_rig *rig = rank_1_absent();
        hl_rig_issue(rig, 1, 0, HL_MNNVL_ONESHOT, 4, 2);
        if (full)
            rig->residency[1] = (struct hl_residency){ .ctas = 4, .room = 0 };
        const struct hl_finding f = classify(rig, true);
        expect(&f, HL_VERDICT_HANG, full ? HL_CAUSE_NOT_RESIDENT : HL_CAUSE_PEER_STREAM_STALLED, full ? 0 : 1,
               2);
        hl_rig_destroy(rig);
    }
}

Test(classifier, a_barrier_whose_peer_has_ended)
{
    struct hl_rig *rig = mnnvl(2);
    healthy_calls(rig, HL_MNNVL_ONESHOT, 4, 1);
    hl_rig_host_op(rig, 0, 55, true);
    hl_rig_exit(rig, 1);
    expect_hang(rig, HL_CAUSE_PEER_MISSING_CALL, 1, -1);
}

Test(classifier, two_calls_at_once)
{
    struct hl_rig *rig = rank_1_absent();
    struct hl_call_record second = rig->call[0].record;
    second.call++;
    second.stream = 1;
    const enum hl_event_kind kinds[] = { HL_EVENT_ENQUEUE, HL_EVENT_CALL_BEGIN };
    for (int i = 0; i < 2; i++)
        hl_watch_event(
            rig->watch,
            &(struct hl_event){ .kind = kinds[i], .rank = 0, .call = &second, .time_ns = rig->now_ns });
    expect_hang(rig, HL_CAUSE_CONCURRENT_CALLS, 0, 3);
}

Test(classifier, a_fallback_without_allreduce)
{
    struct hl_rig *rig = mnnvl(4);
    hl_rig_issue_all(rig, HL_NORM_ONLY, 4, 0);
    cr_assert(hl_rig_run(rig));
    for (int r = 0; r < 4; r++)
        hl_rig_exit(rig, r);
    const struct hl_finding f = classify(rig, true);
    expect(&f, HL_VERDICT_CORRUPT, HL_CAUSE_MISSING_ALLREDUCE, 0, 0);
    cr_assert_eq(f.certainty, HL_CERTAINTY_PROVEN);
    hl_rig_destroy(rig);
}

Test(classifier, a_buffer_that_was_cleared_too_little)
{
    for (int mutant = 0; mutant < 2; mutant++) {
        struct hl_rig *rig = mnnvl(2);
        rig->mutant = mutant ? HL_MUTANT_SHORT_CLEAR : HL_MUTANT_NONE;
        const uint32_t tokens[] = { 8, 2, 2 };
        for (uint16_t i = 0; i < 3; i++) {
            hl_rig_issue_all(rig, HL_MNNVL_ONESHOT, tokens[i], i);
            cr_assert(hl_rig_run(rig));
        }
        for (int r = 0; r < 2; r++) { /* one after the other */
            hl_rig_issue(rig, r, 0, HL_MNNVL_ONESHOT, 8, 3);
            cr_assert_eq(hl_rig_run(rig), r == 1);
        }
        if (!mutant) {
            expect_pass(rig);
            continue;
        }
        const struct hl_finding f = classify(rig, false);
        expect(&f, HL_VERDICT_CORRUPT, HL_CAUSE_SHORT_CLEAR, 0, 3);
        hl_rig_destroy(rig);
    }
}

/* Nobody knows any more what the old rows were; the call that used the buffer last did not have this row. */
Test(classifier, a_wrong_sum_where_only_something_older_can_have_been)
{
    struct hl_evidence *e = malloc(sizeof *e);
    for (int unused = 0; unused < 2; unused++) {
        hl_evidence_init(e);
        e->ranks = 2;
        e->workspaces = 1;
        e->wrong.kind = HL_WRONG_SUM;
        e->wrong.rank = 1;
        e->wrong.record.call = 9;
        e->wrong.row_was_unused = unused;
        const struct hl_finding f = hl_classify(e);
        expect(&f, HL_VERDICT_CORRUPT, unused ? HL_CAUSE_SHORT_CLEAR : HL_CAUSE_UNKNOWN, 1, 9);
        cr_assert_eq(f.other_cause, unused ? HL_CAUSE_UNKNOWN : HL_CAUSE_NONE);
    }
    free(e);
}

Test(classifier, a_divergence_that_the_device_has_not_reached_explains_nothing)
{
    struct hl_rig *rig = mnnvl(2);
    rig->compare = HL_COMPARE_FLOAT_FTZ;
    hl_rig_issue_all(rig, HL_MNNVL_ONESHOT, 4, 0);
    rig->call[0].input[0] = 0x807f0000;
    cr_assert_not(hl_rig_run(rig));
    for (int r = 0; r < 2; r++) {
        struct hl_call_record ahead = rig->call[r].record;
        ahead.call = 1;
        ahead.site = (uint16_t)(1 + r);
        hl_watch_event(rig->watch, &(struct hl_event){ .kind = HL_EVENT_ENQUEUE, .rank = r, .call = &ahead });
    }
    expect_hang(rig, HL_CAUSE_SENTINEL_COLLISION, 1, 0);
}

Test(classifier, says_suspected_when_parts_are_missing)
{
    struct hl_rig *rig = rank_1_absent();
    struct hl_evidence *e = hl_rig_collect(rig, false);
    e->rank[1].workspace[0].known = false;
    cr_assert_eq(hl_classify(e).certainty, HL_CERTAINTY_SUSPECTED);
    hl_rig_evidence_destroy(e);
    hl_rig_destroy(rig);
}

/* Each fault changes the call sequence of its rank as promised, marks what it changed, and touches no other
 * rank. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include "../framework/fault/weave.h"
#include "../framework/program/random.h"
#include "walk.h"

enum { RANK = 2 };

/* A program before and after one fault, as walked on the rank that it hits. */
struct pair {
    struct hl_program *clean, *faulty;
    struct hl_walk before, after;
};

static void weave(struct pair *pair, struct hl_config *config)
{
    struct hl_error error;
    pair->clean = hl_must_create(config, 1);
    pair->faulty = hl_must_create(config, 1);
    cr_assert_eq(hl_faults_weave(pair->faulty, 1, &error), HL_STATUS_OK, "%s", error.message);
    pair->before = hl_walk_rank(pair->clean, RANK);
    pair->after = hl_walk_rank(pair->faulty, RANK);
}

static void finish(struct pair *pair)
{
    hl_walk_finish(&pair->before);
    hl_walk_finish(&pair->after);
    hl_program_destroy(pair->clean);
    hl_program_destroy(pair->faulty);
}

static struct hl_config with_fault(enum hl_mode mode, struct hl_fault fault)
{
    struct hl_config c = hl_plain_config(mode);
    fault.rank = RANK;
    fault.probability = 1;
    if (!fault.calls)
        fault.calls = 1;
    c.faults[0] = fault;
    c.n_faults = 1;
    return c;
}

static bool same_call(const struct hl_seen_call *a, const struct hl_seen_call *b)
{
    return a->op->site == b->op->site && a->op->tokens == b->op->tokens &&
           a->op->protocol == b->op->protocol && a->op->workspace == b->op->workspace &&
           a->op->stream == b->op->stream && a->op->block == b->op->block && a->unwritten == b->unwritten &&
           strcmp(a->label, b->label) == 0;
}

/* calls[a ..] of the clean program are calls[b ..] of the faulty one, `n` of them. */
static void expect_same(const struct pair *pair, uint32_t a, uint32_t b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        cr_expect(same_call(&pair->before.calls[a + i], &pair->after.calls[b + i]), "call %u", a + i);
}

static void expect_same_ops(const struct hl_program *a, const struct hl_program *b, int rank)
{
    cr_assert_eq(a->rank[rank].n_ops, b->rank[rank].n_ops);
    for (uint32_t i = 0; i < a->rank[rank].n_ops; i++) {
        const struct hl_op *x = &a->rank[rank].ops[i], *y = &b->rank[rank].ops[i];
        char left[128], right[128];
        hl_op_describe(a, x, left, sizeof left);
        hl_op_describe(b, y, right, sizeof right);
        cr_assert_str_eq(left, right);
        cr_assert(x->block == y->block && x->label == y->label && x->fault == y->fault);
    }
}

static void expect_fired(const struct pair *pair)
{
    cr_expect_eq(pair->faulty->fates[0].fate, HL_FATE_WOVEN);
    cr_expect_eq(pair->after.marks, 1);
    for (int rank = 0; rank < pair->faulty->ranks; rank++) {
        if (rank == RANK)
            continue;
        expect_same_ops(pair->clean, pair->faulty, rank);
        struct hl_walk walk = hl_walk_rank(pair->faulty, rank);
        cr_expect_eq(walk.marks, 0);
        hl_walk_finish(&walk);
    }
}

/* A call that is launched by itself, the first one in a full graph's 2nd replay, and one amid a piecewise
 * graph. */
static const struct {
    enum hl_mode mode;
    int call;
} spots[] = { { HL_MODE_EAGER, 5 }, { HL_MODE_FULL, 20 }, { HL_MODE_FULL, 26 }, { HL_MODE_PIECEWISE, 33 } };
enum { N_SPOTS = sizeof spots / sizeof *spots };

Test(faults, skip_call_leaves_out_exactly_that_call)
{
    for (int i = 0; i < N_SPOTS; i++) {
        const uint32_t k = (uint32_t)spots[i].call;
        struct hl_config c =
            with_fault(spots[i].mode, (struct hl_fault){ HL_FAULT_SKIP_CALL, .call = spots[i].call });
        struct pair pair;
        weave(&pair, &c);
        expect_fired(&pair);
        cr_assert_eq(pair.after.n_calls, pair.before.n_calls - 1);
        expect_same(&pair, 0, 0, k);
        expect_same(&pair, k + 1, k, pair.after.n_calls - k);
        finish(&pair);
    }
}

Test(faults, extra_call_issues_exactly_that_call_twice)
{
    for (int i = 0; i < N_SPOTS; i++) {
        const uint32_t k = (uint32_t)spots[i].call;
        struct hl_config c =
            with_fault(spots[i].mode, (struct hl_fault){ HL_FAULT_EXTRA_CALL, .call = spots[i].call });
        struct pair pair;
        weave(&pair, &c);
        expect_fired(&pair);
        cr_assert_eq(pair.after.n_calls, pair.before.n_calls + 1);
        expect_same(&pair, 0, 0, k + 1);
        expect_same(&pair, k, k + 1, pair.before.n_calls - k);
        finish(&pair);
    }
}

static void expect_only_call_differs(const struct pair *pair, uint32_t k)
{
    expect_fired(pair);
    cr_assert_eq(pair->after.n_calls, pair->before.n_calls);
    expect_same(pair, 0, 0, k);
    expect_same(pair, k + 1, k + 1, pair->before.n_calls - k - 1);
    cr_expect_eq(pair->after.calls[k].op->fault, 1);
}

Test(faults, other_size_changes_tokens_and_what_follows_from_them)
{
    static const uint32_t sizes[] = { 1, 33, 700, 3000 };
    for (int i = 0; i < N_SPOTS; i++)
        for (int s = 0; s < 4; s++) {
            struct hl_config c =
                with_fault(spots[i].mode, (struct hl_fault){ HL_FAULT_OTHER_SIZE, .call = spots[i].call,
                                                             .tokens = sizes[s] });
            struct pair pair;
            weave(&pair, &c);
            expect_only_call_differs(&pair, (uint32_t)spots[i].call);
            const struct hl_seen_call *call = &pair.after.calls[spots[i].call];
            cr_expect_eq(call->op->tokens, sizes[s]);
            cr_expect_eq(call->op->protocol, sizes[s] <= 32 ? HL_MNNVL_ONESHOT : HL_MNNVL_TWOSHOT);
            if (sizes[s] > pair.before.calls[spots[i].call].op->tokens)
                cr_expect_eq(call->unwritten, 0, "more rows are computed rows");
            finish(&pair);
        }
}

Test(faults, other_size_beyond_the_gate_of_the_engine_goes_unfused)
{
    struct hl_config c =
        with_fault(HL_MODE_FULL, (struct hl_fault){ HL_FAULT_OTHER_SIZE, .call = 20, .tokens = 2049 });
    c.schedule.preset = HL_PRESET_SGLANG;
    struct pair pair;
    weave(&pair, &c);
    cr_expect_eq(pair.after.calls[20].op->protocol, HL_NCCL);
    cr_expect_eq(pair.after.calls[20].op->workspace, 1, "a communicator of its own");
    cr_expect_eq(pair.faulty->n_workspaces, 2);
    bool ready = false;
    for (uint32_t i = 0; i < pair.faulty->rank[0].n_ops; i++)
        ready |= pair.faulty->rank[0].ops[i].kind == HL_OP_WORKSPACE_INIT &&
                 pair.faulty->rank[0].ops[i].workspace == 1;
    cr_expect(ready, "and every rank has made it");
    finish(&pair);
}

Test(faults, other_strategy_flips_one_shot_and_two_shot)
{
    for (int i = 0; i < N_SPOTS; i++) {
        struct hl_config c =
            with_fault(spots[i].mode, (struct hl_fault){ HL_FAULT_OTHER_STRATEGY, .call = spots[i].call });
        struct pair pair;
        weave(&pair, &c);
        expect_only_call_differs(&pair, (uint32_t)spots[i].call);
        const enum hl_protocol before = pair.before.calls[spots[i].call].op->protocol;
        cr_expect_eq(pair.after.calls[spots[i].call].op->protocol,
                     before == HL_MNNVL_ONESHOT ? HL_MNNVL_TWOSHOT : HL_MNNVL_ONESHOT);
        finish(&pair);
    }
}

Test(faults, swap_order_exchanges_two_neighbours_on_two_workspaces)
{
    for (int i = 0; i < N_SPOTS; i++) {
        const uint32_t k = spots[i].mode == HL_MODE_PIECEWISE ? 32 : (uint32_t)spots[i].call & ~1u;
        struct hl_config c =
            with_fault(spots[i].mode, (struct hl_fault){ HL_FAULT_SWAP_ORDER, .call = (int)k });
        c.subject.workspaces = 2;
        struct pair pair;
        weave(&pair, &c);
        expect_fired(&pair);
        cr_assert_eq(pair.after.n_calls, pair.before.n_calls);
        expect_same(&pair, 0, 0, k);
        expect_same(&pair, k, k + 1, 1);
        expect_same(&pair, k + 1, k, 1);
        expect_same(&pair, k + 2, k + 2, pair.before.n_calls - k - 2);
        finish(&pair);
    }
}

Test(faults, second_stream_forks_the_call_and_joins_after_its_neighbour)
{
    for (int i = 0; i < N_SPOTS - 1; i++) {
        const uint32_t k = (uint32_t)spots[i].call;
        struct hl_config c =
            with_fault(spots[i].mode, (struct hl_fault){ HL_FAULT_SECOND_STREAM, .call = spots[i].call });
        struct pair pair;
        weave(&pair, &c);
        expect_fired(&pair);
        cr_expect_eq(pair.faulty->n_streams, 2);
        cr_assert_eq(pair.after.n_calls, pair.before.n_calls);
        const struct hl_op *op = pair.after.calls[k].op;
        cr_expect_eq(op->stream, 1);
        cr_expect(op[-2].kind == HL_OP_EVENT_RECORD && op[-2].stream == 0);
        cr_expect(op[-1].kind == HL_OP_EVENT_WAIT && op[-1].stream == 1 && op[-1].event == op[-2].event);
        const struct hl_op *next = pair.after.calls[k + 1].op;
        cr_expect_eq(next->stream, 0);
        cr_expect(next[1].kind == HL_OP_EVENT_RECORD && next[1].stream == 1);
        cr_expect(next[2].kind == HL_OP_EVENT_WAIT && next[2].stream == 0 && next[2].event == next[1].event);
        finish(&pair);
    }
}

Test(faults, late_memset_moves_the_fill_behind_the_barriers)
{
    for (int mode = 0; mode < HL_MODE_COUNT; mode++) {
        struct hl_config c = with_fault((enum hl_mode)mode, (struct hl_fault){ HL_FAULT_LATE_MEMSET });
        struct pair pair;
        weave(&pair, &c);
        expect_fired(&pair);
        expect_same(&pair, 0, 0, pair.before.n_calls);
        const struct hl_op *ops = pair.faulty->rank[RANK].ops;
        const uint32_t first = pair.after.calls[0].launch;
        cr_expect_eq(ops[first - 1].kind, HL_OP_WORKSPACE_INIT, "right before the first call");
        cr_expect_eq(ops[first - 1].fault, 1);
        cr_expect_neq(ops[0].kind, HL_OP_WORKSPACE_INIT);
        cr_expect_eq(pair.faulty->rank[RANK].n_ops, pair.clean->rank[RANK].n_ops, "moved, not doubled");
        finish(&pair);
    }
}

Test(faults, host_delay_sleeps_before_the_call_or_its_launch)
{
    for (int i = 0; i < N_SPOTS; i++) {
        struct hl_config c = with_fault(
            spots[i].mode, (struct hl_fault){ HL_FAULT_HOST_DELAY, .call = spots[i].call, .delay_ns = 1234 });
        struct pair pair;
        weave(&pair, &c);
        expect_fired(&pair);
        expect_same(&pair, 0, 0, pair.before.n_calls);
        const struct hl_op *delay = &pair.faulty->rank[RANK].ops[pair.after.calls[spots[i].call].launch - 1];
        cr_expect_eq(delay->kind, HL_OP_HOST_DELAY);
        cr_expect_eq(delay->delay_ns, 1234);
        finish(&pair);
    }
}

Test(faults, several_calls_and_every_call)
{
    struct hl_config c =
        with_fault(HL_MODE_FULL, (struct hl_fault){ HL_FAULT_SKIP_CALL, .call = 14, .calls = 5 });
    struct pair pair;
    weave(&pair, &c);
    expect_fired(&pair);
    cr_assert_eq(pair.after.n_calls, pair.before.n_calls - 5);
    expect_same(&pair, 0, 0, 14);
    expect_same(&pair, 19, 14, pair.before.n_calls - 19);
    finish(&pair);

    c = with_fault(HL_MODE_FULL, (struct hl_fault){ HL_FAULT_SKIP_CALL, .call = -1 });
    weave(&pair, &c);
    cr_expect_eq(pair.after.n_calls, 0);
    cr_expect_leq(pair.faulty->n_graphs, 4, "launches that are changed alike share a variant");
    finish(&pair);
}

Test(faults, two_faults_on_one_call_both_leave_their_mark)
{
    struct hl_config c =
        with_fault(HL_MODE_FULL, (struct hl_fault){ HL_FAULT_OTHER_SIZE, .call = 20, .tokens = 40 });
    c.faults[1] = c.faults[0];
    c.faults[1].kind = HL_FAULT_OTHER_STRATEGY;
    c.n_faults = 2;
    struct pair pair;
    weave(&pair, &c);
    cr_expect_eq(pair.after.marks, 3);
    cr_expect_eq(pair.after.calls[20].op->tokens, 40);
    cr_expect_eq(pair.after.calls[20].op->protocol, HL_MNNVL_ONESHOT);
    finish(&pair);
}

static void expect_no_place(struct hl_config c, const char *why)
{
    struct pair pair;
    weave(&pair, &c);
    cr_expect_eq(pair.faulty->fates[0].fate, HL_FATE_NO_PLACE);
    cr_expect_not_null(strstr(pair.faulty->fates[0].why, why), "\"%s\"", pair.faulty->fates[0].why);
    cr_expect_eq(pair.after.marks, 0);
    expect_same(&pair, 0, 0, pair.before.n_calls);
    finish(&pair);
}

Test(faults, that_find_no_place_say_why)
{
    expect_no_place(with_fault(HL_MODE_EAGER, (struct hl_fault){ HL_FAULT_SKIP_CALL, .call = 1000 }),
                    "only 32 calls");
    expect_no_place(
        with_fault(HL_MODE_FULL, (struct hl_fault){ HL_FAULT_OTHER_SIZE, .call = 0, .tokens = 512 }),
        "that many tokens anyway");
    expect_no_place(with_fault(HL_MODE_FULL, (struct hl_fault){ HL_FAULT_SWAP_ORDER, .call = 20 }),
                    "another workspace");
    struct hl_config c = with_fault(HL_MODE_FULL, (struct hl_fault){ HL_FAULT_OTHER_STRATEGY, .call = 20 });
    c.subject.backend = HL_BACKEND_NCCL;
    expect_no_place(c, "no other strategy");
    /* The last call of a pass: the next one comes after the host has waited. */
    expect_no_place(with_fault(HL_MODE_EAGER, (struct hl_fault){ HL_FAULT_SECOND_STREAM, .call = 3 }),
                    "follows it directly");
}

Test(faults, probability_is_drawn_once_per_run_and_told_apart_from_never)
{
    struct hl_config c = with_fault(HL_MODE_EAGER, (struct hl_fault){ HL_FAULT_SKIP_CALL, .call = 1 });
    struct hl_error error;
    c.faults[0].probability = 0.3;
    int woven = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct hl_program *p = hl_must_create(&c, seed);
        cr_assert_eq(hl_faults_weave(p, seed, &error), HL_STATUS_OK);
        cr_assert(p->fates[0].fate == HL_FATE_WOVEN || p->fates[0].fate == HL_FATE_NOT_DRAWN);
        woven += p->fates[0].fate == HL_FATE_WOVEN;
        hl_program_destroy(p);
    }
    cr_expect(woven > 85 && woven < 155, "%d of 400", woven);
}

Test(faults, on_a_rank_that_is_not_there_are_refused)
{
    struct hl_config c = with_fault(HL_MODE_EAGER, (struct hl_fault){ HL_FAULT_SKIP_CALL });
    struct hl_error error;
    c.faults[0].rank = 4;
    struct hl_program *p = hl_must_create(&c, 1);
    cr_expect_eq(hl_faults_weave(p, 1, &error), HL_STATUS_USAGE);
    cr_expect_not_null(strstr(error.message, "ranks 0 to 3"), "%s", error.message);
    hl_program_destroy(p);
}

Test(faults, of_any_kind_anywhere_leave_sound_programs)
{
    uint64_t random = 5;
    struct hl_error error;
    for (int i = 0; i < 300; i++) {
        struct hl_config c = hl_plain_config((enum hl_mode)hl_random_below(&random, HL_MODE_COUNT));
        c.schedule.fusion = (enum hl_fusion)hl_random_below(&random, HL_FUSION_COUNT);
        c.subject.workspaces = 1 + (int)hl_random_below(&random, 2);
        c.subject.backend = (enum hl_backend)hl_random_below(&random, HL_BACKEND_COUNT);
        c.n_faults = 1 + (int)hl_random_below(&random, 4);
        for (int f = 0; f < c.n_faults; f++)
            c.faults[f] =
                (struct hl_fault){ .kind = (enum hl_fault_kind)hl_random_below(&random, HL_FAULT_COUNT),
                                   .rank = (int)hl_random_below(&random, 4),
                                   .call = (int)hl_random_below(&random, 60) - 1,
                                   .calls = 1 + (int)hl_random_below(&random, 6),
                                   .probability = 1,
                                   .tokens = 1 + hl_random_below(&random, 1000),
                                   .delay_ns = 1000 };
        struct hl_program *p = hl_must_create(&c, (uint64_t)i);
        cr_assert_eq(hl_faults_weave(p, (uint64_t)i, &error), HL_STATUS_OK, "%s", error.message);
        uint32_t marks = 0;
        for (int rank = 0; rank < p->ranks; rank++) {
            struct hl_walk walk = hl_walk_rank(p, rank);
            marks |= walk.marks;
            hl_walk_finish(&walk);
        }
        for (int f = 0; f < c.n_faults; f++)
            cr_expect(p->fates[f].fate == HL_FATE_WOVEN || !(marks >> f & 1));
        hl_program_destroy(p);
    }
}

Test(faults, shared_workspace_puts_another_groups_call_in_front)
{
    struct pair pair;
    struct hl_config c = with_fault(HL_MODE_FULL, (struct hl_fault){ HL_FAULT_SHARED_WORKSPACE, .call = 20 });
    weave(&pair, &c);
    expect_fired(&pair);
    cr_assert_eq(pair.after.n_calls, pair.before.n_calls + 1);
    expect_same(&pair, 0, 0, 20);
    expect_same(&pair, 20, 21, pair.before.n_calls - 20);
    cr_expect_eq(pair.after.calls[20].op->group, 0xf0);
    cr_expect_eq(pair.after.calls[21].op->group, 0);
    finish(&pair);
}

Test(faults, a_barrier_in_a_capture_stands_between_its_ends)
{
    struct pair pair;
    struct hl_config c = with_fault(HL_MODE_FULL, (struct hl_fault){ HL_FAULT_CAPTURE_BARRIER, .call = 20 });
    weave(&pair, &c);
    cr_expect_eq(pair.faulty->fates[0].fate, HL_FATE_WOVEN);
    const struct hl_rank_program *rank = &pair.faulty->rank[RANK];
    int inside = 0;
    for (uint32_t i = 0, capturing = 0; i < rank->n_ops; i++) {
        capturing += rank->ops[i].kind == HL_OP_CAPTURE_BEGIN;
        capturing -= rank->ops[i].kind == HL_OP_CAPTURE_END;
        inside += capturing && rank->ops[i].kind == HL_OP_BARRIER && rank->ops[i].fault;
    }
    cr_expect_eq(inside, 1);
    finish(&pair);
}

Test(none, is_the_healthy_twin)
{
    struct pair pair;
    struct hl_config c = with_fault(HL_MODE_FULL, (struct hl_fault){ HL_FAULT_NONE });
    weave(&pair, &c);
    cr_expect_eq(pair.faulty->fates[0].fate, HL_FATE_HEALTHY);
    cr_expect(pair.after.n_calls == pair.before.n_calls && pair.after.marks == 0);
    expect_same(&pair, 0, 0, pair.before.n_calls);
    finish(&pair);
}

Test(catalogue, names_every_fault)
{
    for (int kind = 0; kind < HL_FAULT_COUNT; kind++) {
        cr_expect_not_null(strstr(hl_fault_parameters((enum hl_fault_kind)kind), "rank"));
        cr_expect_gt(strlen(hl_fault_needs((enum hl_fault_kind)kind)), 5);
    }
}

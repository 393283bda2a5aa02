/* Rank programs issue what the serving engines issue (reference: sglang, vLLM and TensorRT-LLM sources named
 * in framework/program), and each schedule feeds the rows that the row model says, no others. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "../framework/program/random.h"
#include "../framework/program/resolve.h"
#include "walk.h"

static bool is_replay(const struct hl_seen_call *call) { return strncmp(call->label, "replay", 6) == 0; }
static bool is_after_attention(const struct hl_seen_call *call) { return call->op->site % 2 == 0; }

/* "replay 7, 300 tokens in size 512" */
static uint32_t real_tokens(const struct hl_seen_call *call)
{
    unsigned tokens;
    cr_assert_eq(sscanf(call->label, "replay %*d, %u tokens", &tokens), 1, "%s", call->label);
    return tokens;
}

static uint32_t unwritten_rows(const struct hl_config *config, uint64_t seed)
{
    struct hl_program *p = hl_must_create(config, seed);
    struct hl_walk walk = hl_walk_rank(p, 0);
    uint32_t rows = 0;
    for (uint32_t i = 0; i < walk.n_calls; i++)
        rows += walk.calls[i].unwritten;
    hl_walk_finish(&walk);
    hl_program_destroy(p);
    return rows;
}

/* Calls whose phase starts with `label`. */
static uint32_t count_calls(const struct hl_walk *walk, const char *label, uint32_t size)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < walk->n_calls; i++)
        n += strncmp(walk->calls[i].label, label, strlen(label)) == 0 && walk->calls[i].op->tokens == size;
    return n;
}

static uint32_t count_ops(const struct hl_program *p, enum hl_op_kind kind, const char *label)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->rank[0].n_ops; i++) {
        const struct hl_op *op = &p->rank[0].ops[i];
        n += op->kind == kind && strncmp(p->labels[op->label], label, strlen(label)) == 0;
    }
    return n;
}

Test(rows, eager_and_full_feed_only_written_rows)
{
    for (uint64_t seed = 0; seed < 10; seed++) {
        const struct hl_config eager = hl_plain_config(HL_MODE_EAGER), full = hl_plain_config(HL_MODE_FULL);
        cr_expect_eq(unwritten_rows(&eager, seed), 0);
        cr_expect_eq(unwritten_rows(&full, seed), 0);
    }
}

/* Replays: the padded rows of calls after attention that no earlier replay of the size has reached; nothing
 * else. A breakable replay starts from a new output each time, so that earlier ones do not count. */
static void expect_padded_rows_in_replays(const struct hl_walk *walk, bool earlier_count)
{
    uint32_t padded = 0, reached[513] = { 0 };
    for (uint32_t i = 0; i < walk->n_calls; i++) {
        const struct hl_seen_call *call = &walk->calls[i];
        if (!is_replay(call))
            continue;
        const uint32_t size = call->op->tokens, tokens = real_tokens(call);
        if (!earlier_count || reached[size] < tokens)
            reached[size] = tokens;
        const uint32_t expected = is_after_attention(call) ? size - reached[size] : 0;
        cr_expect_eq(call->unwritten, expected, "%s, site %u", call->label, call->op->site);
        padded += expected;
    }
    cr_expect_gt(padded, 0, "no replay was padded: the test shows nothing");
}

Test(rows, piecewise_in_graph_feeds_padded_rows_after_attention)
{
    struct hl_config c = hl_plain_config(HL_MODE_PIECEWISE);
    struct hl_program *p = hl_must_create(&c, 1);
    struct hl_walk walk = hl_walk_rank(p, 0);
    expect_padded_rows_in_replays(&walk, true);
    for (uint32_t i = 0; i < walk.n_calls; i++)
        cr_expect(is_replay(&walk.calls[i]) || walk.calls[i].unwritten == 0, "%s", walk.calls[i].label);
    cr_expect_eq(count_calls(&walk, "capture", 512), 0, "recorded calls do not run");
    hl_walk_finish(&walk);
    hl_program_destroy(p);
}

Test(rows, split_op_also_feeds_unwritten_rows_in_the_capture_pass)
{
    struct hl_config c = hl_plain_config(HL_MODE_PIECEWISE);
    c.schedule.fusion = HL_FUSION_SPLIT_OP;
    struct hl_program *p = hl_must_create(&c, 1);
    struct hl_walk walk = hl_walk_rank(p, 0);
    expect_padded_rows_in_replays(&walk, true);
    for (uint32_t i = 0; i < walk.n_calls; i++) {
        const struct hl_seen_call *call = &walk.calls[i];
        if (strncmp(call->label, "capture pass", 12) == 0)
            cr_expect_eq(call->unwritten, call->op->tokens, "%s: its producer was only recorded",
                         call->label);
        else
            cr_expect(is_replay(call) || call->unwritten == 0, "%s", call->label);
    }
    hl_walk_finish(&walk);
    hl_program_destroy(p);
}

Test(rows, breakable_replays_feed_padded_rows)
{
    struct hl_config c = hl_plain_config(HL_MODE_BREAKABLE);
    struct hl_program *p = hl_must_create(&c, 1);
    struct hl_walk walk = hl_walk_rank(p, 0);
    expect_padded_rows_in_replays(&walk, false);
    hl_walk_finish(&walk);
    hl_program_destroy(p);
}

Test(rows, no_padding_leaves_nothing_unwritten_in_replays)
{
    struct hl_config c = hl_plain_config(HL_MODE_PIECEWISE);
    c.schedule.padding = false;
    cr_expect_eq(unwritten_rows(&c, 1), 0);
}

Test(rows, fewer_pieces_feed_fewer_unwritten_rows)
{
    struct hl_config c = hl_plain_config(HL_MODE_PIECEWISE);
    c.schedule.layers = 4;
    for (int fusion = 0; fusion < HL_FUSION_COUNT; fusion++) {
        c.schedule.fusion = (enum hl_fusion)fusion;
        const int all = fusion == HL_FUSION_SPLIT_OP ? 13 : 5;
        uint32_t before = 0;
        for (c.schedule.pieces = 1; c.schedule.pieces <= all; c.schedule.pieces++) {
            const uint32_t rows = unwritten_rows(&c, 3);
            cr_expect(c.schedule.pieces == 1 ? rows == 0 : rows > 0);
            cr_expect_geq(rows, before, "%d pieces", c.schedule.pieces);
            before = rows;
        }
        c.schedule.pieces = 0;
        cr_expect_eq(unwritten_rows(&c, 3), before, "0 means a cut at every split op");
    }
}

Test(rows, payload_overrides_the_schedule)
{
    for (int mode = 0; mode < HL_MODE_COUNT; mode++)
        for (int fusion = 0; fusion < HL_FUSION_COUNT; fusion++) {
            struct hl_config c = hl_plain_config((enum hl_mode)mode);
            c.schedule.fusion = (enum hl_fusion)fusion;
            c.payload.rows = HL_ROWS_REAL;
            cr_expect_eq(unwritten_rows(&c, 1), 0);
            c.payload.rows = HL_ROWS_PATTERN;
            cr_expect_eq(unwritten_rows(&c, 1), 0);
            c.payload.rows = HL_ROWS_UNWRITTEN;
            struct hl_program *p = hl_must_create(&c, 1);
            struct hl_walk walk = hl_walk_rank(p, 0);
            for (uint32_t i = 0; i < walk.n_calls; i++)
                cr_expect_eq(walk.calls[i].unwritten, walk.calls[i].op->tokens);
            hl_walk_finish(&walk);
            hl_program_destroy(p);
        }
}

Test(counts, full_executes_two_warmups_and_records_one_pass_per_size)
{
    struct hl_config c = hl_plain_config(HL_MODE_FULL);
    struct hl_program *p = hl_must_create(&c, 1);
    struct hl_walk walk = hl_walk_rank(p, 0);
    cr_expect_eq(p->n_graphs, 2);
    for (int i = 0; i < 2; i++) {
        const uint32_t size = i ? 64 : 512;
        cr_expect_eq(count_calls(&walk, "warm-up", size), 2 * 4);
        cr_expect_eq(count_calls(&walk, "capture", size), 0);
    }
    cr_expect_eq(count_calls(&walk, "replay", 512) + count_calls(&walk, "replay", 64), 8 * 4);
    cr_expect_eq(count_ops(p, HL_OP_CALL, "capture, size 512"), 4);
    cr_expect_eq(walk.n_calls, 2 * 8 + 8 * 4, "the recorded passes run nothing");
    hl_walk_finish(&walk);
    hl_program_destroy(p);
}

/* 90 tokens are a one-shot and too much for 1 MiB, 157 a two-shot that fits. */
Test(counts, a_call_that_does_not_fit_has_a_workspace_even_if_a_larger_one_fits)
{
    struct hl_config c = hl_plain_config(HL_MODE_EAGER);
    c.world.ranks = 8;
    c.subject.strategy = HL_STRATEGY_AUTO;
    c.subject.dtype = HL_FP16;
    c.subject.hidden = 512;
    c.workspace = (struct hl_workspace_memory){ .size_mib = 1, .checked = true };
    c.schedule.sizes[0] = 157;
    c.schedule.sizes[1] = 90;
    c.schedule.n_sizes = 2;
    struct hl_program *p = hl_must_create(&c, 1);
    struct hl_walk walk = hl_walk_rank(p, 0);
    cr_assert_eq(p->n_workspaces, c.subject.workspaces + 1);
    uint32_t plain = 0;
    for (uint32_t i = 0; i < walk.n_calls; i++) {
        cr_assert_lt(walk.calls[i].op->workspace, p->n_workspaces);
        plain += walk.calls[i].op->protocol == HL_NCCL;
    }
    cr_expect_gt(plain, 0);
    hl_walk_finish(&walk);
    hl_program_destroy(p);
}

Test(counts, split_op_executes_three_passes_per_size_before_replays)
{
    struct hl_config c = hl_plain_config(HL_MODE_PIECEWISE);
    c.schedule.fusion = HL_FUSION_SPLIT_OP;
    struct hl_program *p = hl_must_create(&c, 1);
    struct hl_walk walk = hl_walk_rank(p, 0);
    for (int i = 0; i < 2; i++) {
        const uint32_t size = i ? 64 : 512;
        cr_expect_eq(count_calls(&walk, "compile", size), 4);
        cr_expect_eq(count_calls(&walk, "warm-up", size), 4);
        cr_expect_eq(count_calls(&walk, "capture pass", size), 4);
    }
    cr_expect_eq(count_calls(&walk, "JIT activation", 64), 4, "at the smallest size only");
    cr_expect_eq(count_calls(&walk, "JIT activation", 512), 0);
    hl_walk_finish(&walk);
    hl_program_destroy(p);
}

Test(counts, pieces_are_one_more_than_split_ops)
{
    struct hl_config c = hl_plain_config(HL_MODE_PIECEWISE);
    for (c.schedule.layers = 1; c.schedule.layers < 9; c.schedule.layers++) {
        c.schedule.fusion = HL_FUSION_IN_GRAPH;
        struct hl_program *in_graph = hl_must_create(&c, 1);
        cr_expect_eq(in_graph->n_graphs, 2 * (c.schedule.layers + 1));
        hl_program_destroy(in_graph);
        c.schedule.fusion = HL_FUSION_SPLIT_OP;
        struct hl_program *split = hl_must_create(&c, 1);
        cr_expect_eq(split->n_graphs, 2 * (3 * c.schedule.layers + 1));
        hl_program_destroy(split);
    }
}

Test(counts, presets_warm_up_in_their_own_ways)
{
    struct hl_config c = hl_plain_config(HL_MODE_PIECEWISE);
    c.subject.backend = HL_BACKEND_TRTLLM;
    c.schedule.preset = HL_PRESET_VLLM;
    struct hl_program *p = hl_must_create(&c, 1);
    cr_expect_eq(count_ops(p, HL_OP_CALL, "profile run"), 4);
    cr_expect_eq(count_ops(p, HL_OP_CALL, "warm-up"), 2 * 4, "one per size");
    cr_expect_eq(count_ops(p, HL_OP_BARRIER, "warm-up"), 0, "vLLM has no barrier around warm-ups");
    hl_program_destroy(p);
    c.schedule.preset = HL_PRESET_TRTLLM;
    p = hl_must_create(&c, 1);
    cr_expect_eq(count_ops(p, HL_OP_CALL, "warm-up"), 2 * 2 * 4, "two per size");
    cr_expect_eq(count_ops(p, HL_OP_BARRIER, "warm-up"), 0);
    hl_program_destroy(p);
}

/* The kinds of the ops that `kinds` names, in order, as letters. */
static void trace(const struct hl_program *p, char *text, size_t size)
{
    static const char letters[HL_OP_KIND_COUNT] = {
        [HL_OP_WORKSPACE_INIT] = 'I', [HL_OP_SYNC] = 'S',          [HL_OP_BARRIER] = 'B',
        [HL_OP_CALL] = 'c',           [HL_OP_CAPTURE_BEGIN] = '(', [HL_OP_CAPTURE_END] = ')',
        [HL_OP_GRAPH_LAUNCH] = 'R',   [HL_OP_EXIT] = '.'
    };
    size_t n = 0;
    for (uint32_t i = 0; i < p->rank[0].n_ops; i++)
        if (letters[p->rank[0].ops[i].kind] && n + 1 < size)
            text[n++] = letters[p->rank[0].ops[i].kind];
    text[n] = '\0';
}

static void expect_trace(struct hl_config *c, const char *expected)
{
    char text[512];
    c->schedule.layers = 1;
    c->schedule.sizes[0] = 8;
    c->schedule.n_sizes = 1;
    c->schedule.replays = 1;
    struct hl_program *p = hl_must_create(c, 1);
    trace(p, text, sizeof text);
    cr_expect_str_eq(text, expected);
    hl_program_destroy(p);
}

Test(orders, eager)
{
    struct hl_config c = hl_plain_config(HL_MODE_EAGER);
    expect_trace(&c, "ISBccS.");
}

Test(orders, full_has_no_barrier_between_warmup_and_capture)
{
    struct hl_config c = hl_plain_config(HL_MODE_FULL);
    expect_trace(&c, "ISB"
                     "SBcc"
                     "SBcc"
                     "S(cc)"
                     "SB"
                     "RS.");
}

Test(orders, piecewise_in_graph)
{
    struct hl_config c = hl_plain_config(HL_MODE_PIECEWISE);
    expect_trace(&c, "ISB"
                     "cc"
                     "cc"
                     "SB"
                     "SBcc"
                     "SB"
                     "S()"
                     "S(cc)"
                     "SB"
                     "RRS.");
}

Test(orders, piecewise_split_op_runs_calls_between_captures_and_replayed_pieces)
{
    struct hl_config c = hl_plain_config(HL_MODE_PIECEWISE);
    c.schedule.fusion = HL_FUSION_SPLIT_OP;
    expect_trace(&c, "ISB"
                     "cc"
                     "cc"
                     "SB"
                     "SBcc"
                     "SB"
                     "S()S()cS()cS()"
                     "SB"
                     "RRcRcRS.");
}

Test(orders, breakable_has_barriers_while_capturing_and_none_in_replay)
{
    struct hl_config c = hl_plain_config(HL_MODE_BREAKABLE);
    expect_trace(&c, "ISB"
                     "SBcc"
                     "SBcc"
                     "SB"
                     "()B(cc)"
                     "SB"
                     "RRS.");
}

Test(orders, the_mlp_workspace_is_made_first)
{
    struct hl_config c = hl_plain_config(HL_MODE_EAGER);
    c.subject.workspaces = 2;
    struct hl_program *p = hl_must_create(&c, 1);
    cr_expect_eq(p->rank[0].ops[0].workspace, 1);
    cr_expect_eq(p->rank[0].ops[3].kind, HL_OP_WORKSPACE_INIT);
    cr_expect_eq(p->rank[0].ops[3].workspace, 0);
    struct hl_walk walk = hl_walk_rank(p, 0);
    for (uint32_t i = 0; i < walk.n_calls; i++)
        cr_expect_eq(walk.calls[i].op->workspace, walk.calls[i].op->site % 2);
    hl_walk_finish(&walk);
    hl_program_destroy(p);
}

Test(tokens, replays_draw_counts_that_their_size_serves_and_eager_draws_the_same)
{
    struct hl_config full = hl_plain_config(HL_MODE_FULL), eager = hl_plain_config(HL_MODE_EAGER);
    full.schedule.replays = eager.schedule.replays = 200;
    full.schedule.layers = eager.schedule.layers = 1;
    struct hl_program *p = hl_must_create(&full, 5), *e = hl_must_create(&eager, 5);
    struct hl_walk walk = hl_walk_rank(p, 0), eager_walk = hl_walk_rank(e, 0);
    bool small = false, large = false;
    for (uint32_t i = 0; i < 400; i++) {
        const struct hl_seen_call *call = &walk.calls[walk.n_calls - 400 + i];
        const uint32_t tokens = real_tokens(call), size = call->op->tokens;
        cr_assert(size == 512 ? tokens > 64 && tokens <= 512 : tokens >= 1 && tokens <= 64);
        cr_assert_eq(eager_walk.calls[i].op->tokens, tokens);
        small |= size == 64;
        large |= size == 512;
    }
    cr_expect(small && large);
    hl_walk_finish(&walk);
    hl_walk_finish(&eager_walk);
    hl_program_destroy(p);
    hl_program_destroy(e);
}

Test(programs, describe_their_ops)
{
    struct hl_config c = hl_plain_config(HL_MODE_EAGER);
    struct hl_program *p = hl_must_create(&c, 1);
    char text[128];
    const struct hl_op call = { .kind = HL_OP_CALL, .site = 3, .tokens = 512, .protocol = HL_MNNVL_TWOSHOT };
    hl_op_describe(p, &call, text, sizeof text);
    cr_expect_str_eq(text, "call site 3, 512 tokens, mnnvl-twoshot, workspace 0, stream 0");
    for (int kind = 0; kind < HL_OP_KIND_COUNT; kind++) {
        const struct hl_op op = { .kind = (enum hl_op_kind)kind };
        text[0] = '\0';
        hl_op_describe(p, &op, text, sizeof text);
        cr_expect_gt(strlen(text), 3);
    }
    hl_program_destroy(p);
}

Test(programs, refuse_what_their_numbers_cannot_hold)
{
    struct hl_config c = hl_plain_config(HL_MODE_FULL);
    struct hl_program *p = NULL;
    struct hl_error error;
    c.schedule.replays = 1000000;
    cr_expect_eq(hl_program_create(&c, 1, &p, &error), HL_STATUS_USAGE);
    cr_expect_not_null(strstr(error.message, "fewer"));
    cr_expect_null(p);
}

/* Any configuration that the scenario format allows, small. */
static struct hl_config draw_config(uint64_t *random)
{
    struct hl_config c = hl_plain_config((enum hl_mode)hl_random_below(random, HL_MODE_COUNT));
    c.world.ranks = 2 << hl_random_below(random, 4);
    c.subject.backend = (enum hl_backend)hl_random_below(random, HL_BACKEND_COUNT);
    c.subject.strategy = (enum hl_strategy)hl_random_below(random, HL_STRATEGY_COUNT);
    c.subject.dtype = (enum hl_dtype)hl_random_below(random, HL_DTYPE_COUNT);
    c.subject.fallback = (enum hl_fallback)hl_random_below(random, HL_FALLBACK_COUNT);
    c.subject.workspaces = (int)hl_random_below(random, 3);
    c.subject.hidden = 64u << hl_random_below(random, 8);
    c.schedule.fusion = (enum hl_fusion)hl_random_below(random, HL_FUSION_COUNT);
    c.schedule.preset = (enum hl_preset)hl_random_below(random, HL_PRESET_COUNT);
    c.schedule.layers = 1 + (int)hl_random_below(random, 5);
    c.schedule.calls_per_layer = (int)hl_random_below(random, 3);
    c.schedule.n_sizes = (int)hl_random_below(random, 6);
    for (int i = 0; i < c.schedule.n_sizes; i++)
        c.schedule.sizes[i] = 1 + hl_random_below(random, 4096);
    c.schedule.pieces = (int)hl_random_below(random, 20);
    c.schedule.warmups = (int)hl_random_below(random, 4) - 1;
    c.schedule.replays = (int)hl_random_below(random, 6);
    c.schedule.padding = hl_random_below(random, 2);
    c.payload.rows = (enum hl_rows)hl_random_below(random, HL_ROWS_COUNT);
    c.flags.guard = (enum hl_guard)hl_random_below(random, HL_GUARD_COUNT);
    return c;
}

Test(programs, are_sound_and_the_same_on_all_ranks_for_any_configuration)
{
    uint64_t random = 7;
    for (int i = 0; i < 300; i++) {
        const struct hl_config c = draw_config(&random);
        struct hl_program *p = hl_must_create(&c, (uint64_t)i);
        struct hl_walk first = hl_walk_rank(p, 0);
        cr_expect_eq(first.marks, 0);
        for (int rank = 1; rank < p->ranks; rank++) {
            struct hl_walk walk = hl_walk_rank(p, rank);
            cr_assert_eq(walk.n_calls, first.n_calls);
            for (uint32_t k = 0; k < walk.n_calls; k++) {
                const struct hl_op *a = first.calls[k].op, *b = walk.calls[k].op;
                cr_assert(a->tokens == b->tokens && a->protocol == b->protocol &&
                          a->workspace == b->workspace && a->site == b->site &&
                          first.calls[k].launch == walk.calls[k].launch);
            }
            hl_walk_finish(&walk);
        }
        hl_walk_finish(&first);
        hl_program_destroy(p);
    }
}

Test(programs, depend_on_nothing_but_configuration_and_seed)
{
    uint64_t random = 11;
    for (int i = 0; i < 50; i++) {
        const struct hl_config c = draw_config(&random);
        struct hl_program *a = hl_must_create(&c, 3), *b = hl_must_create(&c, 3);
        cr_assert_eq(a->rank[0].n_ops, b->rank[0].n_ops);
        for (uint32_t k = 0; k < a->rank[0].n_ops; k++) {
            char x[128], y[128];
            hl_op_describe(a, &a->rank[0].ops[k], x, sizeof x);
            hl_op_describe(b, &b->rank[0].ops[k], y, sizeof y);
            cr_assert_str_eq(x, y);
        }
        hl_program_destroy(a);
        hl_program_destroy(b);
    }
}

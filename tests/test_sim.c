/* The simulator runs every protocol to its end with right sums, and stands still exactly when it must. */
#include <criterion/criterion.h>
#include "../framework/engine/engine.h"
#include "../framework/engine/sim/clock.h"
#include "../kernels/sim/numbers.h"

enum { OPS_MAX = 256 };

/* A world of `ranks` ranks that all run the same ops. */
struct fixture {
    struct hl_config config;
    struct hl_program program;
    struct hl_op ops[HL_RANKS_MAX][OPS_MAX];
    struct hl_graph graphs[HL_RANKS_MAX][4];
    struct hl_block blocks[4];
    char *labels[1];
    uint64_t ends, wrong, begins;
};

static void set_up(struct fixture *f, int ranks, enum hl_dtype dtype)
{
    *f = (struct fixture){
        .config = { .world = { .ranks = ranks, .sms = 132, .launch_queue = 1024 },
                    .subject = { .dtype = dtype, .hidden = 64, .workspaces = 1, .strike = HL_STRIKE_DEFAULT },
                    .payload = { .residue = { .negative_subnormal_rows = 0 } } }
    };
    f->labels[0] = "test";
    f->program = (struct hl_program){ .ranks = ranks,
                                      .blocks = f->blocks,
                                      .n_blocks = 1,
                                      .n_streams = 1,
                                      .n_workspaces = 1,
                                      .n_sites = 1,
                                      .labels = f->labels,
                                      .n_labels = 1,
                                      .n_graphs = 1 };
    for (int r = 0; r < ranks; r++) {
        f->program.rank[r] = (struct hl_rank_program){ .ops = f->ops[r], .loop_to = UINT32_MAX };
        f->program.graphs[r] = f->graphs[r];
    }
}

static void add_to(struct fixture *f, int rank, struct hl_op op)
{
    struct hl_rank_program *p = &f->program.rank[rank];
    if (op.kind == HL_OP_CALL && f->blocks[op.block].rows < op.tokens)
        f->blocks[op.block].rows = op.tokens;
    f->ops[rank][p->n_ops++] = op;
}

static void add(struct fixture *f, struct hl_op op)
{
    for (int rank = 0; rank < f->program.ranks; rank++)
        add_to(f, rank, op);
}

static void add_start(struct fixture *f)
{
    add(f, (struct hl_op){ .kind = HL_OP_ALLOC });
    add(f, (struct hl_op){ .kind = HL_OP_WORKSPACE_INIT });
    add(f, (struct hl_op){ .kind = HL_OP_SYNC });
    add(f, (struct hl_op){ .kind = HL_OP_BARRIER });
}

static void add_call(struct fixture *f, enum hl_protocol protocol, uint32_t tokens)
{
    add(f, (struct hl_op){ .kind = HL_OP_FILLER, .content = HL_CONTENT_FRESH, .rows = tokens });
    add(f, (struct hl_op){ .kind = HL_OP_CALL, .protocol = protocol, .tokens = tokens, .pdl = true });
}

/* Inputs of up to 8 ranks x 8 rows x 64 elements of the last calls, and a plain sum as the reference. */
static float g_inputs[16][HL_RANKS_MAX][8 * 64];

static void check_event(void *user, const struct hl_event *e)
{
    struct fixture *f = user;
    const struct hl_call_record *c = e->call;
    if (e->kind == HL_EVENT_CALL_BEGIN) {
        f->begins++;
        hl_unpack_row(e->data->input, c->exec_tokens * 64 * hl_dtype_bytes(c->dtype) / 4, c->dtype,
                      g_inputs[c->call % 16][e->rank]);
    }
    if (e->kind != HL_EVENT_CALL_END)
        return;
    f->ends++;
    float residual[8 * 64], out[8 * 64];
    const uint32_t words = c->exec_tokens * 64 * hl_dtype_bytes(c->dtype) / 4;
    hl_unpack_row(e->data->residual, words, c->dtype, residual);
    hl_unpack_row(e->data->residual_out, words, c->dtype, out);
    for (uint32_t i = 0; i < c->exec_tokens * 64; i++) {
        double want = residual[i];
        for (int r = 0; r < f->program.ranks; r++)
            want += g_inputs[c->call % 16][r][i];
        if (!(fabs(out[i] - want) <= 0.4 + fabs(want) * 0.01))
            f->wrong++;
    }
}

static enum hl_run_state run(struct fixture *f, uint64_t seed)
{
    const struct hl_run_spec spec = { &f->config, &f->program, seed, { check_event, f } };
    struct hl_error error;
    struct hl_run *r = NULL;
    uint64_t now;
    f->ends = f->wrong = f->begins = 0;
    cr_assert_eq(hl_engine_sim.start(&spec, &r, &error), HL_STATUS_OK, "%s", error.message);
    enum hl_run_state state;
    while ((state = hl_engine_sim.advance(r, 1000000000, &now)) == HL_RUN_GOING)
        cr_assert_lt(now, 1000000000000u, "virtual time runs away");
    hl_engine_sim.end(r);
    return state;
}

static void alternate(struct fixture *f, enum hl_protocol a, enum hl_protocol b)
{
    static const uint32_t tokens[] = { 1, 8, 3, 5, 2, 8, 4, 7 };
    add_start(f);
    for (int i = 0; i < 40; i++)
        add_call(f, i % 3 == 2 ? b : a, tokens[i % 8]);
    add(f, (struct hl_op){ .kind = HL_OP_SYNC });
}

Test(sim, every_protocol_ends_with_right_sums)
{
    static const enum hl_protocol pairs[][2] = {
        { HL_MNNVL_ONESHOT, HL_MNNVL_ONESHOT },
        { HL_MNNVL_TWOSHOT, HL_MNNVL_TWOSHOT },
        { HL_MNNVL_ONESHOT, HL_MNNVL_TWOSHOT },
        { HL_TRTLLM_ONESHOT, HL_TRTLLM_ONESHOT },
        { HL_TRTLLM_TWOSHOT, HL_TRTLLM_TWOSHOT },
        { HL_TRTLLM_ONESHOT, HL_TRTLLM_TWOSHOT },
        { HL_NCCL, HL_NCCL },
    };
    static const int worlds[] = { 2, 4, 8, 16 };
    static struct fixture f;
    for (size_t p = 0; p < sizeof pairs / sizeof *pairs; p++)
        for (size_t w = 0; w < 4; w++)
            for (int dtype = 0; dtype < HL_DTYPE_COUNT; dtype++)
                for (uint64_t seed = 1; seed <= 3; seed++) {
                    set_up(&f, worlds[w], dtype);
                    alternate(&f, pairs[p][0], pairs[p][1]);
                    const enum hl_run_state state = run(&f, seed);
                    cr_assert_eq(state, HL_RUN_ENDED,
                                 "pair %zu, %d ranks, dtype %d, seed %lu: state %d after %lu calls", p,
                                 worlds[w], dtype, (unsigned long)seed, state, (unsigned long)f.ends);
                    cr_assert_eq(f.ends, 40u * (unsigned)worlds[w]);
                    cr_assert_eq(f.wrong, 0, "pair %zu, %d ranks, dtype %d: %lu wrong elements", p, worlds[w],
                                 dtype, (unsigned long)f.wrong);
                }
}

Test(sim, a_rank_that_leaves_out_a_call_stops_the_others)
{
    static struct fixture f;
    set_up(&f, 4, HL_BF16);
    add_start(&f);
    for (int i = 0; i < 5; i++)
        add_call(&f, HL_MNNVL_ONESHOT, 4);
    f.program.rank[2].n_ops--; /* the last call of rank 2 */
    cr_assert_eq(run(&f, 1), HL_RUN_STUCK);
    cr_assert_eq(f.ends, 4 * 4);
}

Test(sim, a_refused_word_stops_float_ftz_and_passes_bits)
{
    static struct fixture f;
    for (int compare = 0; compare < HL_COMPARE_COUNT; compare++) {
        set_up(&f, 2, HL_BF16);
        f.config.subject.sentinel_compare = compare;
        f.config.payload.pattern = HL_PAYLOAD_SUBNORMAL;
        add_start(&f);
        add(&f, (struct hl_op){ .kind = HL_OP_FILLER, .content = HL_CONTENT_PATTERN, .rows = 4 });
        add(&f, (struct hl_op){ .kind = HL_OP_CALL, .protocol = HL_MNNVL_ONESHOT, .tokens = 4 });
        cr_assert_eq(run(&f, 1), compare == HL_COMPARE_BITS ? HL_RUN_ENDED : HL_RUN_STUCK);
    }
}

Test(sim, a_graph_replays_its_calls_and_its_branches)
{
    static struct fixture f;
    set_up(&f, 4, HL_FP16);
    f.program.n_streams = 2;
    f.program.n_events = 2;
    f.program.n_blocks = 2;
    f.blocks[1].rows = 4;
    add_start(&f);
    add(&f, (struct hl_op){ .kind = HL_OP_CAPTURE_BEGIN });
    const uint32_t begin = f.program.rank[0].n_ops;
    add_call(&f, HL_MNNVL_TWOSHOT, 6);
    add(&f, (struct hl_op){ .kind = HL_OP_EVENT_RECORD, .event = 0 });
    add(&f, (struct hl_op){ .kind = HL_OP_EVENT_WAIT, .event = 0, .stream = 1 });
    add(&f, (struct hl_op){ .kind = HL_OP_FILLER, .rows = 4, .stream = 1, .block = 1 });
    add(&f, (struct hl_op){ .kind = HL_OP_EVENT_RECORD, .event = 1, .stream = 1 });
    add(&f, (struct hl_op){ .kind = HL_OP_EVENT_WAIT, .event = 1 });
    add_call(&f, HL_MNNVL_ONESHOT, 3);
    for (int r = 0; r < 4; r++)
        f.graphs[r][0] = (struct hl_graph){ begin, f.program.rank[r].n_ops };
    add(&f, (struct hl_op){ .kind = HL_OP_CAPTURE_END });
    for (int i = 0; i < 10; i++)
        add(&f, (struct hl_op){ .kind = HL_OP_GRAPH_LAUNCH });
    cr_assert_eq(run(&f, 7), HL_RUN_ENDED);
    cr_assert_eq(f.ends, 4 * 20);
    cr_assert_eq(f.wrong, 0);
}

Test(sim, the_same_seed_takes_the_same_steps)
{
    static struct fixture f;
    uint64_t steps[2], now[2];
    for (int i = 0; i < 2; i++) {
        set_up(&f, 8, HL_BF16);
        alternate(&f, HL_MNNVL_ONESHOT, HL_MNNVL_TWOSHOT);
        const struct hl_run_spec spec = { &f.config, &f.program, 42, { 0 } };
        struct hl_sim *s;
        struct hl_clock *c;
        cr_assert_eq(hl_sim_create(&spec, &s, NULL), HL_STATUS_OK);
        cr_assert_eq(hl_clock_create(s, 42, &c, NULL), HL_STATUS_OK);
        while (hl_clock_run(c, UINT64_MAX)) {
        }
        steps[i] = hl_clock_steps(c);
        now[i] = hl_clock_now_ns(c);
        hl_clock_destroy(c);
        hl_sim_destroy(s);
    }
    cr_assert_eq(steps[0], steps[1]);
    cr_assert_eq(now[0], now[1]);
}

Test(sim, ranks_of_one_gpu_without_room_for_all_stand_still_under_lobe)
{
    static struct fixture f;
    for (int progress = 0; progress < HL_PROGRESS_COUNT; progress++) {
        set_up(&f, 4, HL_BF16);
        f.config.world.progress = progress;
        f.config.world.resident_ctas = 8;
        add_start(&f);
        add_call(&f, HL_MNNVL_ONESHOT, 8);
        cr_assert_eq(run(&f, 3), progress == HL_PROGRESS_FAIR ? HL_RUN_ENDED : HL_RUN_STUCK);
    }
}

/* Of 40 seeds, how many stand still, and how many end with wrong sums. */
static void count(struct fixture *f, enum hl_mutant mutant, enum hl_protocol protocol, int *ret_stuck,
                  int *ret_wrong)
{
    *ret_stuck = *ret_wrong = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        set_up(f, 4, HL_BF16);
        f->config.subject.mutant = mutant;
        alternate(f, protocol, protocol);
        *ret_stuck += run(f, seed) == HL_RUN_STUCK;
        *ret_wrong += f->wrong != 0;
    }
}

Test(sim, mutants_fail_as_they_must)
{
    static struct fixture f;
    int stuck, wrong;
    for (int protocol = HL_MNNVL_ONESHOT; protocol <= HL_TRTLLM_ONESHOT; protocol += HL_TRTLLM_ONESHOT) {
        count(&f, HL_MUTANT_NONE, protocol, &stuck, &wrong);
        cr_assert_eq(stuck + wrong, 0);
        count(&f, HL_MUTANT_DROP_STORE, protocol, &stuck, &wrong);
        cr_assert_eq(stuck, 40, "drop-store stops %d of 40 runs", stuck);
        count(&f, HL_MUTANT_LATE_CLEAR, protocol, &stuck, &wrong);
        cr_assert_gt(stuck, 0, "late-clear stops no run of 40");
        count(&f, HL_MUTANT_SHORT_CLEAR, protocol, &stuck, &wrong);
        cr_assert_gt(wrong, 0, "short-clear corrupts no run of 40");
    }
}

/* Every agent takes its turn, `rounds` times. */
static void step_all(struct hl_sim *s, int rounds)
{
    for (int round = 0; round < rounds; round++)
        for (uint32_t agent = 0; agent < s->n_agents; agent++)
            hl_sim_step(s, agent);
}

Test(sim, a_state_put_into_another_world_goes_on_as_it_did)
{
    static struct fixture f;
    static const enum hl_protocol protocols[] = { HL_MNNVL_TWOSHOT, HL_MNNVL_ONESHOT };
    set_up(&f, 4, HL_BF16);
    add(&f, (struct hl_op){ .kind = HL_OP_WORKSPACE_INIT });
    add(&f, (struct hl_op){ .kind = HL_OP_SYNC });
    add(&f, (struct hl_op){ .kind = HL_OP_BARRIER });
    for (int i = 0; i < 12; i++) /* rows stay zero: their contents are no part of the state */
        add(&f, (struct hl_op){ .kind = HL_OP_CALL, .protocol = protocols[i % 2], .tokens = 5, .pdl = true });
    const struct hl_run_spec spec = { &f.config, &f.program, 42, { 0 } };
    struct hl_sim *first, *second;
    cr_assert_eq(hl_sim_create(&spec, &first, NULL), HL_STATUS_OK);
    cr_assert_eq(hl_sim_create(&spec, &second, NULL), HL_STATUS_OK);
    step_all(first, 60);
    cr_assert_neq(memcmp(first->state, second->state, first->state_bytes), 0, "the world stood still");
    memcpy(second->state, first->state, first->state_bytes);
    hl_sim_derive(second);
    step_all(first, 40);
    step_all(second, 40);
    cr_expect_eq(memcmp(first->state, second->state, first->state_bytes), 0);
    step_all(second, 2000);
    cr_expect(hl_sim_ended(second));
    hl_sim_destroy(first);
    hl_sim_destroy(second);
}

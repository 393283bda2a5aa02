/* Worlds of known collectives: what becomes of pages and of memory that a test has made up. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../framework/verdict/classifier.h"
#include "../watchdog/cupti/feed.h"
#include "worlds_fixture.h"

TestSuite(worlds, .init = setup, .fini = teardown, .timeout = 60);

/* What a call leaves behind that every CTA has begun, and in which these sources have stored their rows. */
static void stand_in(bool mnnvl, int rank, uint32_t call, uint32_t sources)
{
    struct rank_memory *m = &x.memory[rank];
    m->flags[mnnvl ? HL_MNNVL_CURRENT : HL_TRTLLM_CURRENT] = call % 3;
    m->flags[mnnvl ? HL_MNNVL_ARRIVED : HL_TRTLLM_ARRIVED] = TOKENS;
    for (uint32_t token = 0; token < TOKENS; token++)
        for (uint32_t s = 0; s < (uint32_t)x.ranks; s++)
            for (uint32_t i = 0; i < ROW && sources >> s & 1; i++)
                m->buffers[call % 3 * BUFFER_WORDS +
                           (mnnvl ? token * (uint32_t)x.ranks + s : s * TOKENS + token) * ROW + i] = ONE;
}

static uint64_t arguments(struct hl_page *page, bool mnnvl, int rank, uint32_t *ret_kernel)
{
    uint8_t raw[HL_KNOWN_BYTES_MAX] = { 0 };
    const uint32_t grid[3] = { TOKENS, 1, 1 };
    const struct trtllm_params t = trtllm_params(x.ranks, rank);
    const struct mnnvl_params m = { .table = address(TABLE, rank),
                                    .tokens = TOKENS,
                                    .hidden = HIDDEN,
                                    .rank = rank,
                                    .flags = address(FLAGS, rank) };
    memcpy(raw, mnnvl ? (const void *)&m : &t, mnnvl ? sizeof m : sizeof t);
    if (!mnnvl)
        memcpy(raw + 16, &m.table, 8);
    *ret_kernel = hl_page_kernel(page, 0x3000, mnnvl ? MNNVL_ONESHOT : TRTLLM_ONESHOT);
    hl_page_known(page, *ret_kernel, mnnvl ? 12 : 1, mnnvl ? 8 : sizeof t);
    return hl_page_params(page, CONTEXT, *ret_kernel, grid, raw);
}

/* A rank's calls on its stream; the first `ended` are known to be over. */
static void make_calls(struct hl_page *page, bool mnnvl, int rank, uint32_t calls, uint32_t ended)
{
    uint32_t kernel;
    const uint64_t params = arguments(page, mnnvl, rank, &kernel);
    const uint32_t stream = hl_page_stream(page, CONTEXT, 0x2000u + (unsigned)rank, 1);
    for (uint32_t i = 0; i < calls; i++) {
        const struct hl_page_launch launch = { .at_ns = 1000 * (i + 1) + (unsigned)rank,
                                               .kernel = kernel,
                                               .exec = HL_PAGE_NONE,
                                               .tid = 100 + (unsigned)rank,
                                               .grid = { TOKENS, 1, 1 },
                                               .params = params };
        hl_page_mark(page, stream, hl_page_launch(page, stream, &launch));
    }
    hl_page_complete(page, stream, ended, 1000 * (ended + 1));
}

/* The hang of flashinfer#3053, as it stands in the memory of two ranks of one process. */
static struct hl_known_world *make_collision(enum hl_page_detail detail)
{
    struct hl_page *page = add_page(detail);
    make_memory(true, 2);
    for (int r = 0; r < 2; r++) {
        make_calls(page, true, r, 38, 37);
        stand_in(true, r, 37, 3);
    }
    x.memory[1].buffers[37 % 3 * BUFFER_WORDS + (3 * 2 + 0) * ROW + 17] = 0x80010000u;
    return collect();
}

Test(worlds, a_refused_word_is_named_with_its_call_token_rank_and_value)
{
    const struct hl_known_world *w = make_collision(HL_PAGE_LIGHT);
    cr_assert_eq(x.worlds.n, 1, "%d", x.worlds.n);
    cr_expect(w->ranks == 2 && w->evidence.hung && w->calls_that_fit == 1 && !w->notes[0], "%s", w->notes);
    const struct hl_finding f = hl_classify(&w->evidence);
    cr_expect_eq(f.cause, HL_CAUSE_SENTINEL_COLLISION, "%s: %s", hl_cause_name(f.cause), f.summary);
    cr_expect(f.culprit.rank == 1 && f.culprit.call == 37 && f.culprit.slot_token == 3 &&
              f.culprit.slot_rank == 0 && f.culprit.word == 17 && f.culprit.value == 0x80010000u);
    cr_expect_not_null(strstr(f.summary, "rank 1 waits in call 37 (mnnvl-oneshot"), "%s", f.summary);
}

Test(worlds, healthy_calls_are_no_hang)
{
    struct hl_page *page = add_page(HL_PAGE_LIGHT);
    make_memory(false, 4);
    for (int r = 0; r < 4; r++)
        make_calls(page, false, r, 20, 20);
    const struct hl_known_world *w = collect();
    cr_assert_not_null(w);
    cr_expect_not(w->evidence.hung);
    cr_expect_eq(w->evidence.rank[2].workspace[0].enqueued, 20);
}

/* Rank 2 left a call out. One process a rank pair: addresses say nothing across processes. */
static const struct hl_known_world *make_missing(int processes)
{
    make_memory(false, 4);
    for (int i = 0; i < processes; i++)
        add_page(HL_PAGE_LIGHT);
    for (int r = 0; r < 4; r++) {
        make_calls(x.pages[r * processes / 4], false, r, r == 2 ? 37 : 38, 37);
        if (r != 2)
            stand_in(false, r, 37, 0xb);
        else
            x.memory[r].flags[HL_TRTLLM_CURRENT] = 37 % 3;
    }
    return collect();
}

static void expect_rank_2_to_blame(const struct hl_known_world *w)
{
    cr_assert_eq(x.worlds.n, 1, "%d", x.worlds.n);
    const struct hl_finding f = hl_classify(&w->evidence);
    cr_expect(f.cause == HL_CAUSE_PEER_HOST_BLOCKED || f.cause == HL_CAUSE_PEER_MISSING_CALL, "%s: %s",
              hl_cause_name(f.cause), f.summary);
    cr_expect(f.culprit.rank == 2 && f.culprit.call == 37, "%s", f.summary);
}

Test(worlds, a_rank_that_left_a_call_out_is_named) { expect_rank_2_to_blame(make_missing(1)); }

Test(worlds, ranks_of_several_processes_are_joined)
{
    const struct hl_known_world *w = make_missing(2);
    expect_rank_2_to_blame(w);
    cr_expect(w->process_of[1] == 0 && w->process_of[2] == 1);
}

Test(worlds, a_rank_in_no_watched_process_is_said_to_be_missing)
{
    add_page(HL_PAGE_LIGHT);
    make_memory(false, 2);
    make_calls(x.pages[0], false, 0, 1, 0);
    stand_in(false, 0, 0, 1);
    const struct hl_known_world *w = collect();
    cr_assert_not_null(w);
    cr_expect_not_null(strstr(w->notes, "rank 1 is in no watched process"), "%s", w->notes);
    cr_expect(w->process_of[1] == -1 && w->evidence.hung);
}

Test(worlds, two_worlds_in_one_process_are_told_apart_by_their_addresses)
{
    struct hl_page *page = add_page(HL_PAGE_LIGHT);
    make_memory(false, 4);
    for (int r = 0; r < 4; r++) /* ranks 0 and 1 of two worlds: r & 1 */
        for (int p = 0; p < 2; p++) {
            x.memory[r].table[4 + p] = address(BUFFERS, (r & 2) + p);
            x.memory[r].table[2 + p] = address(BARRIER, (r & 2) + p);
            x.memory[r].table[6] = address(FLAGS, r);
        }
    x.ranks = 2;
    for (int r = 0; r < 4; r++) {
        uint8_t raw[HL_KNOWN_BYTES_MAX] = { 0 };
        struct trtllm_params t = trtllm_params(2, r & 1);
        t.workspace = address(TABLE, r);
        memcpy(raw, &t, sizeof t);
        const uint32_t kernel = hl_page_kernel(page, 0x3000, TRTLLM_ONESHOT);
        hl_page_known(page, kernel, 1, sizeof t);
        const struct hl_page_launch launch = { .at_ns = 10,
                                               .kernel = kernel,
                                               .exec = HL_PAGE_NONE,
                                               .params = hl_page_params(page, CONTEXT, kernel,
                                                                        (uint32_t[3]){ 1, 1, 1 }, raw) };
        hl_page_launch(page, hl_page_stream(page, CONTEXT, 0x2000u + (unsigned)r, 1), &launch);
    }
    x.ranks = 4;
    collect();
    cr_assert_eq(x.worlds.n, 2, "%d", x.worlds.n);
}

/* A captured graph of n calls of one rank, and its executable copy, launched `launches` times. */
static uint32_t launch_graphs(struct hl_page *page, int rank, uint32_t n, uint32_t launches)
{
    uint32_t kernel;
    const uint64_t params = arguments(page, true, rank, &kernel);
    const uint32_t thread = hl_page_thread(page, 100 + (unsigned)rank), graph = 10u + 2 * (unsigned)rank;
    const uint32_t stream = hl_page_stream(page, CONTEXT, 0x2000u + (unsigned)rank, 1);
    for (uint32_t i = 0; i < n; i++) {
        hl_page_enter(page, thread, HL_API_cuLaunchKernel, 0x2000, kernel, 1);
        hl_page_with(page, thread, params);
        hl_page_node(page, graph, 1000 * graph + i, 0, thread);
        hl_page_exit(page, thread);
    }
    for (uint32_t i = 0; i < n; i++)
        hl_page_node_clone(page, graph + 1, 1000 * (graph + 1) + i, 1000 * graph + i, 0);
    hl_page_exec_made(page, 0x4000u + (unsigned)rank, graph + 1);
    for (uint32_t i = 0; i < launches; i++) {
        const struct hl_page_launch launch = { .at_ns = 1000 * (i + 1),
                                               .correlation = 100 + i,
                                               .kernel = HL_PAGE_NONE,
                                               .exec = hl_page_exec(page, 0x4000u + (unsigned)rank) };
        hl_page_mark(page, stream, hl_page_launch(page, stream, &launch));
    }
    hl_page_complete(page, stream, launches - 1, 1);
    return stream;
}

/* Ten graphs of five calls; the last one hangs in its third call, number 47. Rank 0 is a call ahead there,
 * and waits for rank 1. */
static struct hl_known_world *make_graphs(enum hl_page_detail detail)
{
    struct hl_page *page = add_page(detail);
    make_memory(true, 2);
    for (int r = 0; r < 2; r++) {
        launch_graphs(page, r, 5, 10);
        for (uint32_t i = 0; i < (r ? 2u : 3u) && detail == HL_PAGE_NODE; i++)
            hl_page_finish(page, &(struct hl_page_finished){ .correlation = 109,
                                                             .node = 1000u * (11u + 2u * (unsigned)r) + i,
                                                             .start_ns = 1,
                                                             .end_ns = 2 });
    }
    stand_in(true, 1, 47, 3);
    stand_in(true, 0, 48, 1);
    x.memory[1].buffers[47 % 3 * BUFFER_WORDS + (3 * 2 + 0) * ROW + 17] = 0x80010000u;
    return collect();
}

Test(worlds, records_of_nodes_tell_which_call_of_a_graph_hangs)
{
    const struct hl_known_world *w = make_graphs(HL_PAGE_NODE);
    cr_assert_not_null(w);
    const struct hl_finding f = hl_classify(&w->evidence);
    cr_expect_eq(f.cause, HL_CAUSE_SENTINEL_COLLISION, "%s: %s", hl_cause_name(f.cause), f.summary);
    cr_expect(f.culprit.call == 47 && f.culprit.rank == 1 && f.culprit.node == 2, "%s", f.summary);
    cr_expect_eq(w->calls_that_fit, 1);
}

/* Without them, the flags tell it up to a multiple of three; here calls 45 (its buffer would be another one)
 * and 46 do not fit, and 47 does, as nothing behind it does. */
Test(worlds, flags_narrow_down_which_call_of_a_graph_hangs)
{
    const struct hl_known_world *w = make_graphs(HL_PAGE_LIGHT);
    cr_assert_not_null(w);
    const struct hl_finding f = hl_classify(&w->evidence);
    cr_expect_eq(f.cause, HL_CAUSE_SENTINEL_COLLISION, "%s: %s", hl_cause_name(f.cause), f.summary);
    cr_expect(f.culprit.call == 47 && f.culprit.rank == 1, "%s", f.summary);
}

Test(worlds, arguments_of_a_size_that_no_release_has_are_kept_as_bytes)
{
    struct hl_page *page = add_page(HL_PAGE_LIGHT);
    make_memory(false, 2);
    uint8_t raw[HL_KNOWN_BYTES_MAX] = { 0xaa, 0xbb };
    const uint32_t kernel = hl_page_kernel(page, 0x3000, TRTLLM_ONESHOT);
    hl_page_known(page, kernel, 1, 152);
    const struct hl_page_launch launch = { .kernel = kernel,
                                           .exec = HL_PAGE_NONE,
                                           .params = hl_page_params(page, CONTEXT, kernel,
                                                                    (uint32_t[3]){ 1, 1, 1 }, raw) };
    hl_page_launch(page, hl_page_stream(page, CONTEXT, 0x2000, 1), &launch);
    collect();
    cr_assert(x.worlds.n == 0 && x.worlds.n_strange == 1);
    cr_expect_eq(x.worlds.strange[0].bytes[1], 0xbb);
    cr_expect_not_null(strstr(x.worlds.strange[0].why, "152 bytes"), "%s", x.worlds.strange[0].why);
}

static void expect_unread(const char *what)
{
    hl_worlds_finish(&x.worlds);
    const struct hl_known_world *w = collect();
    cr_assert_not_null(w, "%s", what);
    cr_expect(w->evidence.hung, "%s: a call is pending", what);
    cr_expect_not_null(strstr(w->notes, "flags could not be read"), "%s: %s", what, w->notes);
    const struct hl_finding f = hl_classify(&w->evidence);
    cr_expect_neq(f.cause, HL_CAUSE_SENTINEL_COLLISION, "%s: %s", what, f.summary);
}

Test(worlds, what_cannot_be_read_or_is_no_workspace_is_said_and_not_believed)
{
    make_collision(HL_PAGE_LIGHT);
    x.unreadable = true;
    expect_unread("a copy that does not return");
    x.unreadable = false;
    const struct rank_memory good = x.memory[1];
    x.memory[1].table[1] = 0xdeadbeef00000001ull; /* its own buffers */
    hl_worlds_finish(&x.worlds);
    cr_expect_neq(hl_classify(&collect()->evidence).cause, HL_CAUSE_SENTINEL_COLLISION);
    x.memory[1] = good;
    x.memory[1].flags[HL_MNNVL_CURRENT] = 7;
    expect_unread("a buffer that there is not");
    x.memory[1] = good;
    x.memory[1].flags[HL_MNNVL_BYTES_PER_BUFFER] = 0;
    expect_unread("buffers without a size");
    x.memory[1].flags[HL_MNNVL_BYTES_PER_BUFFER] = 0xfffffff0u; /* possible, and not what there is */
    hl_worlds_finish(&x.worlds);
    cr_expect_neq(hl_classify(&collect()->evidence).cause, HL_CAUSE_SENTINEL_COLLISION);
}

/*
 * Of an H100: examples/watch, recorded by `hanglab watch`
 */

static int read_recorded(void *user, int process, uint64_t context, uint64_t at, uint32_t bytes, void *data)
{
    (void)user, (void)process, (void)context;
    return hl_feed_memory(at, bytes, data) ? 0 : -1;
}

static struct hl_finding play(enum hl_page_detail detail, const char *name)
{
    char path[512];
    struct hl_page *page = add_page(detail);
    snprintf(path, sizeof path, "%s/tests/recordings/h100/%s.feed", getenv("HANGLAB_SOURCE"), name);
    FILE *in = fopen(path, "r");
    cr_assert_not_null(in, "%s", path);
    const int bad = hl_feed_play(in, page);
    fclose(in);
    cr_assert_eq(bad, 0, "%s:%d", path, bad);
    x.reader.read = read_recorded;
    const struct hl_known_world *w = collect();
    cr_assert(w && w->evidence.hung && !w->notes[0], "%s: %s", name, w ? w->notes : "no world");
    return hl_classify(&w->evidence);
}

static void expect_collision(const struct hl_finding *f, int64_t call)
{
    cr_expect_eq(f->cause, HL_CAUSE_SENTINEL_COLLISION, "%s: %s", hl_cause_name(f->cause), f->summary);
    cr_expect(f->culprit.call == call && f->culprit.slot_token == 3 && f->culprit.slot_rank == 0 &&
                  f->culprit.word == 17 && f->culprit.value == 0x80010000u,
              "%s", f->summary);
}

Test(worlds, of_an_h100_with_a_subnormal_in_an_eager_call)
{
    const struct hl_finding f = play(HL_PAGE_LIGHT, "watch-flashinfer-0.6.9-subnormal");
    expect_collision(&f, 37);
}

Test(worlds, of_an_h100_with_a_subnormal_in_a_graph)
{
    const struct hl_finding f = play(HL_PAGE_LIGHT, "watch-flashinfer-0.6.9-subnormal-graph");
    expect_collision(&f, 36);
    cr_expect_eq(x.worlds.worlds[0]->calls_that_fit, 3, "%u", x.worlds.worlds[0]->calls_that_fit);
}

Test(worlds, of_an_h100_with_records_of_nodes)
{
    const struct hl_finding f = play(HL_PAGE_NODE, "watch-flashinfer-0.6.9-subnormal-node");
    expect_collision(&f, 36);
    cr_expect_eq(x.worlds.worlds[0]->calls_that_fit, 1, "%u", x.worlds.worlds[0]->calls_that_fit);
    cr_expect(f.culprit.node == 1 && f.culprit.replay == 9, "%s", f.summary);
}

Test(worlds, of_an_h100_with_a_replay_left_out)
{
    const struct hl_finding f = play(HL_PAGE_LIGHT, "watch-flashinfer-0.7.2-skip-graph");
    cr_expect(f.culprit.rank == 2 && f.culprit.call == 96, "%s", f.summary);
}

Test(worlds, flags_that_do_not_fit_the_calls_are_said)
{
    make_collision(HL_PAGE_LIGHT);
    for (int r = 0; r < 2; r++)
        x.memory[r].flags[HL_MNNVL_CURRENT] = 0; /* as of a workspace that was initialised again */
    hl_worlds_finish(&x.worlds);
    const struct hl_known_world *w = collect();
    cr_expect_not_null(strstr(w->notes, "initialised again"), "%s", w->notes);
}

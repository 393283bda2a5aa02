/* Two-shots of known collectives: nobody has seen one hang under watch, so these tests make up what their
 * layouts say. */
#include <criterion/criterion.h>
#include <string.h>
#include "../framework/verdict/classifier.h"
#include "worlds_fixture.h"

TestSuite(twoshot, .init = setup, .fini = teardown, .timeout = 60);

static void launch_known(struct hl_page *page, int rank, const char *symbol, uint32_t n, uint32_t first_bytes,
                         const void *raw, size_t size)
{
    uint8_t bytes[HL_KNOWN_BYTES_MAX] = { 0 };
    const uint32_t kernel = hl_page_kernel(page, 0x3000u + n, symbol);
    const uint32_t stream = hl_page_stream(page, CONTEXT, 0x2000u + (unsigned)rank, 1);
    memcpy(bytes, raw, size);
    hl_page_known(page, kernel, n, first_bytes);
    const struct hl_page_launch launch = { .at_ns = 1000,
                                           .kernel = kernel,
                                           .exec = HL_PAGE_NONE,
                                           .tid = 100 + (unsigned)rank,
                                           .params = hl_page_params(page, CONTEXT, kernel,
                                                                    (uint32_t[3]){ TOKENS, 1, 1 }, bytes) };
    hl_page_mark(page, stream, hl_page_launch(page, stream, &launch));
}

/* What the two kernels of 0.6.12 take, one by one. */
struct twoshot_params {
    uint64_t output, shard, table, multicast;
    uint32_t tokens, hidden, rank;
    uint64_t flags;
    bool wait;
};
struct norm_params {
    uint64_t pointers[4];
    float epsilon, bias;
    uint64_t residual;
    uint32_t tokens, hidden, ranks;
    uint64_t flags;
};

/* Rank 0 has not scattered what rank 1 is to reduce. The first kernel has no ranks in its arguments but in
 * its name, and cannot tell 0.6.11 from 0.6.12; the second one has no rank. */
Test(twoshot, both_kernels_of_an_mnnvl_two_shot_are_one_call)
{
    struct hl_page *page = add_page(HL_PAGE_LIGHT);
    make_memory(true, 2);
    for (int r = 0; r < 2; r++) {
        const struct twoshot_params first = { .table = address(TABLE, r),
                                              .tokens = TOKENS,
                                              .hidden = HIDDEN,
                                              .rank = (unsigned)r,
                                              .flags = address(FLAGS, r) };
        const struct norm_params second = {
            .tokens = TOKENS, .hidden = HIDDEN, .ranks = 2, .flags = address(FLAGS, r)
        };
        launch_known(page, r, MNNVL_TWOSHOT, 9, 8, &first, sizeof first);
        launch_known(page, r, MNNVL_NORM, 11, 8, &second, sizeof second);
    }
    struct rank_memory *m = &x.memory[1]; /* [token / ranks][source] */
    for (uint32_t i = 0; i < TOKENS / 2 * 2 * ROW; i++)
        m->buffers[i] = i / ROW == 2 ? 0x80000000u : ONE; /* token 3 of rank 0 */
    const struct hl_known_world *w = collect();
    cr_assert_not_null(w);
    cr_expect_eq(w->evidence.rank[1].n_pending, 1, "%d", w->evidence.rank[1].n_pending);
    cr_expect_eq(w->evidence.compare, HL_COMPARE_BITS, "the second kernel is of 0.6.12");
    bool found = false;
    for (uint32_t i = 0; i < w->evidence.n_slots; i++) {
        const struct hl_slot_evidence *slot = &w->evidence.slots[i];
        found |= slot->rank == 1 && slot->source == 0 && slot->stage == HL_STAGE_SCATTER &&
                 slot->token == 3 && slot->state == HL_SLOT_SENTINEL && slot->words_missing == ROW;
    }
    cr_expect(found, "%s", hl_classify(&w->evidence).summary);
}

/* CTAs of equal number wait for each other's flags: rank 3's have not come. */
Test(twoshot, barrier_flags_of_a_trtllm_two_shot_are_read)
{
    struct hl_page *page = add_page(HL_PAGE_LIGHT);
    make_memory(false, 4);
    for (int r = 0; r < 4; r++) {
        struct trtllm_params t = trtllm_params(4, r);
        t.workspace = address(TABLE, r);
        launch_known(page, r, TRTLLM_TWOSHOT, 3, sizeof t, &t, sizeof t);
        x.memory[r].flags[HL_TRTLLM_ARRIVED] = TOKENS;
        for (uint32_t flag = 0; flag < 256; flag++)
            for (uint32_t peer = 0; peer < 4; peer++)
                x.memory[r].barrier[flag * 4 + peer] = peer != 3; /* from 0 to 1 */
    }
    const struct hl_known_world *w = collect();
    cr_assert_not_null(w);
    uint32_t waits_for = 0;
    for (uint32_t i = 0; i < w->evidence.n_slots; i++) {
        const struct hl_slot_evidence *slot = &w->evidence.slots[i];
        if (slot->stage == HL_STAGE_BARRIER && slot->state != HL_SLOT_ARRIVED)
            waits_for |= 1u << slot->source;
    }
    cr_expect_eq(waits_for, 1u << 3, "%#x", waits_for);
}

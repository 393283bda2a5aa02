/* Pages and device memory that tests of known collectives make up: ranks with tables, flags and buffers. */
#pragma once
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include "../watchdog/cupti/track.h"
#include "../watchdog/known/world.h"
#include "flashinfer_arguments.h"

#define ROW (HIDDEN / 2) /* words */
#define ONE 0x3f803f80u
#define BUFFER_WORDS (TOKENS * HL_RANKS_MAX * ROW)
#define CONTEXT 0x1000

struct rank_memory {
    uint64_t table[3 * HL_RANKS_MAX + 1];
    uint32_t flags[HL_FLAG_WORDS], barrier[256 * HL_RANKS_MAX], buffers[3 * BUFFER_WORDS];
};
static struct fixture {
    struct hl_page *pages[2];
    int n_pages, ranks;
    struct rank_memory *memory; /* of the ranks */
    bool unreadable;
    struct hl_known_memory reader;
    struct hl_worlds worlds;
} x;

enum area { TABLE = 1, FLAGS, BARRIER, BUFFERS };
static uint64_t address(enum area area, int rank) { return (uint64_t)area << 28 | (uint64_t)rank << 20; }

/* Each address names an area and a rank; each process has the same addresses for its own memory. */
static int read_memory(void *user, int process, uint64_t context, uint64_t at, uint32_t bytes, void *data)
{
    (void)user, (void)process;
    const uint32_t area = (uint32_t)(at >> 28), rank = at >> 20 & 0xff, offset = at & 0xfffff;
    if (x.unreadable || context != CONTEXT || (int)rank >= x.ranks || at >> 32)
        return -1;
    const struct rank_memory *m = &x.memory[rank];
    const void *const of_area[] = { NULL, m->table, m->flags, m->barrier, m->buffers };
    const size_t sizes[] = { 0, sizeof m->table, sizeof m->flags, sizeof m->barrier, sizeof m->buffers };
    if (area < TABLE || area > BUFFERS || offset + bytes > sizes[area])
        return -1;
    memcpy(data, (const char *)of_area[area] + offset, bytes);
    return 0;
}

static void setup(void)
{
    x = (struct fixture){ .reader = { NULL, read_memory } };
    x.memory = calloc(HL_RANKS_MAX, sizeof *x.memory);
    cr_assert_not_null(x.memory);
}

static void teardown(void)
{
    hl_worlds_finish(&x.worlds);
    for (int i = 0; i < x.n_pages; i++)
        free(x.pages[i]);
    free(x.memory);
}

static struct hl_page *add_page(enum hl_page_detail detail)
{
    struct hl_page *page = calloc(1, sizeof *page);
    cr_assert_not_null(page);
    hl_page_init(page, 42 + (uint32_t)x.n_pages, detail, 1);
    atomic_store(&page->state, HL_PAGE_WATCHING);
    return x.pages[x.n_pages++] = page;
}

static void make_memory(bool mnnvl, int ranks)
{
    x.ranks = ranks;
    for (int r = 0; r < ranks; r++) {
        struct rank_memory *m = &x.memory[r];
        for (int p = 0; p < ranks; p++) {
            m->table[p] = mnnvl ? address(BUFFERS, p) : address(BARRIER, p);
            m->table[ranks + p] = address(BARRIER, p);
            m->table[2 * ranks + p] = address(BUFFERS, p);
        }
        m->table[3 * ranks] = address(FLAGS, r);
        for (int i = 0; i < 3 * BUFFER_WORDS; i++)
            m->buffers[i] = mnnvl ? 0x80000000u : 0x80008000u;
        m->flags[mnnvl ? HL_MNNVL_BYTES_PER_BUFFER : HL_TRTLLM_COMM_BYTES] = BUFFER_WORDS * 4;
        if (mnnvl)
            m->flags[HL_MNNVL_DIRTY] = 2;
    }
}

static struct hl_known_world *collect(void)
{
    cr_assert_eq(hl_worlds_collect((const struct hl_page *const *)x.pages, x.n_pages, &x.reader,
                                   5000000000ull, &x.worlds),
                 0);
    return x.worlds.n > 0 ? x.worlds.worlds[0] : NULL;
}

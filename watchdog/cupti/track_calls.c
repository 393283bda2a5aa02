/* Calls of known collectives in a page: their arguments, once each, and how many calls were made on which
 * workspace. A graph's are counted when it is launched first, by its nodes. */
#include "track_calls.h"
#include <stdio.h>
#include <string.h>
#include "feed.h"

/* Entries that are tried for a set of arguments; then one that no graph has makes room. */
#define TRIES 32

static void lose(struct hl_page *page) { atomic_fetch_add(&page->lost, 1); }

void hl_page_known(struct hl_page *page, uint32_t kernel, uint32_t n_params, uint32_t first_bytes)
{
    HL_FEED("known %u %u %u", kernel, n_params, first_bytes);
    page->kernels[kernel].first_bytes = first_bytes;
    page->kernels[kernel].n_params = n_params;
}

static uint32_t find_workspace(struct hl_page *page, uint64_t context, uint64_t address)
{
    const uint64_t key = hl_page_mix(context ^ hl_page_mix(address)) | 1;
    for (uint32_t i = 0; i < HL_PAGE_WORKSPACES; i++) {
        struct hl_page_workspace *w = &page->workspaces[i];
        uint64_t taken = 0;
        if (atomic_compare_exchange_strong(&w->key, &taken, key)) {
            w->context = context;
            w->address = address;
            return i;
        }
        if (taken == key)
            return i;
    }
    lose(page);
    return HL_PAGE_NONE;
}

static uint64_t hash_of(const struct hl_page_params *p)
{
    uint64_t hash = hl_page_mix(p->context) ^ p->kernel;
    for (int i = 0; i < 3; i++)
        hash = hl_page_mix(hash ^ p->grid[i]);
    for (size_t i = 0; i < sizeof p->bytes; i += sizeof hash) {
        uint64_t part;
        memcpy(&part, p->bytes + i, sizeof part);
        hash = hl_page_mix(hash ^ part);
    }
    return hash > 1 ? hash : 2;
}

static void feed_params(const struct hl_page_params *p, uint64_t hash)
{
    char hex[2 * HL_KNOWN_BYTES_MAX + 1];
    if (!hl_feed_out)
        return;
    for (size_t i = 0; i < sizeof p->bytes; i++)
        snprintf(hex + 2 * i, 3, "%02x", p->bytes[i]);
    hl_feed_note("params %llx %llx %u %u %u %u %s", (unsigned long long)hash, (unsigned long long)p->context,
                 p->kernel, p->grid[0], p->grid[1], p->grid[2], hex);
}

/* The entry, which nobody else writes now; NULL: it is there already, or there is no room. */
static struct hl_page_params *take_entry(struct hl_page *page, uint64_t hash)
{
    struct hl_page_params *oldest = NULL;
    for (uint32_t i = 0; i < TRIES; i++) {
        struct hl_page_params *p = &page->params[(hash + i) % HL_PAGE_PARAMS];
        uint64_t taken = 0;
        if (atomic_compare_exchange_strong(&p->hash, &taken, 1))
            return p;
        if (taken == hash)
            return NULL;
        if (!oldest && taken != 1 && !atomic_load(&p->kept))
            oldest = p;
    }
    uint64_t taken = oldest ? atomic_load(&oldest->hash) : 1;
    if (taken != 1 && atomic_compare_exchange_strong(&oldest->hash, &taken, 1))
        return oldest;
    lose(page);
    return NULL;
}

uint64_t hl_page_params(struct hl_page *page, uint64_t context, uint32_t kernel, const uint32_t grid[3],
                        const uint8_t bytes[HL_KNOWN_BYTES_MAX])
{
    const struct hl_page_kernel *k = &page->kernels[kernel];
    const struct hl_known_arguments *known = hl_known_arguments_of(k->known, k->n_params, k->first_bytes);
    struct hl_page_params made = { .context = context, .kernel = kernel };
    memcpy(made.grid, grid, sizeof made.grid);
    memcpy(made.bytes, bytes, sizeof made.bytes);
    const uint64_t hash = hash_of(&made);
    struct hl_page_params *p = take_entry(page, hash);
    if (!p)
        return hash;
    p->context = context;
    p->kernel = kernel;
    memcpy(p->grid, made.grid, sizeof p->grid);
    memcpy(p->bytes, made.bytes, sizeof p->bytes);
    p->workspace = known ? find_workspace(page, context, hl_known_workspace(known, bytes)) : HL_PAGE_NONE;
    feed_params(p, hash);
    atomic_store(&p->kept, 0);
    atomic_store(&p->hash, hash);
    return hash;
}

const struct hl_page_params *hl_page_params_find(const struct hl_page *page, uint64_t hash)
{
    for (uint32_t i = 0; hash && i < TRIES; i++) {
        const struct hl_page_params *p = &page->params[(hash + i) % HL_PAGE_PARAMS];
        if (atomic_load(&p->hash) == hash)
            return p;
    }
    return NULL;
}

/*
 * Counting
 */

/* Which of a call's kernels is it, and does the call turn the buffers? */
static void count(const struct hl_page *page, const struct hl_page_params *p, uint32_t *calls,
                  uint32_t *shots)
{
    const enum hl_known_kernel known = page->kernels[p->kernel].known;
    *calls += !hl_known_is_second(known);
    *shots += !hl_known_is_second(known) && hl_known_protocol(known) != HL_TRTLLM_TWOSHOT;
}

static void count_node(struct hl_page *page, struct hl_page_exec *exec, const struct hl_page_params *p)
{
    uint32_t i = 0;
    while (i < exec->n_parts && exec->parts[i].workspace != p->workspace)
        i++;
    if (i == HL_PAGE_PARTS) {
        lose(page);
        return;
    }
    if (i == exec->n_parts)
        exec->parts[exec->n_parts++] = (struct hl_page_part){ .workspace = p->workspace };
    count(page, p, &exec->parts[i].calls, &exec->parts[i].shots);
}

static void count_graph(struct hl_page *page, struct hl_page_exec *exec)
{
    const uint32_t n = atomic_load(&page->n_nodes);
    for (uint32_t i = n > HL_PAGE_NODES ? n - HL_PAGE_NODES : 0; i < n; i++) {
        const struct hl_page_node *node = &page->nodes[i % HL_PAGE_NODES];
        const struct hl_page_params *p =
            atomic_load(&node->graph) == exec->graph ? hl_page_params_find(page, node->params) : NULL;
        if (p && p->workspace != HL_PAGE_NONE)
            count_node(page, exec, p);
    }
}

static void number(struct hl_page *page, struct hl_page_launch *launch, uint32_t i,
                   const struct hl_page_part *part)
{
    struct hl_page_workspace *w = &page->workspaces[part->workspace];
    launch->first_call[i] = atomic_fetch_add(&w->calls, part->calls);
    launch->first_shot[i] = atomic_fetch_add(&w->shots, part->shots);
}

void hl_page_count_calls(struct hl_page *page, struct hl_page_launch *launch)
{
    const struct hl_page_params *p = hl_page_params_find(page, launch->params);
    if (p && p->workspace != HL_PAGE_NONE) {
        struct hl_page_part part = { .workspace = p->workspace };
        count(page, p, &part.calls, &part.shots);
        number(page, launch, 0, &part);
    }
    if (launch->exec >= HL_PAGE_EXECS)
        return;
    struct hl_page_exec *exec = &page->execs[launch->exec];
    if (exec->launches == 0)
        count_graph(page, exec);
    for (uint32_t i = 0; i < exec->n_parts; i++)
        number(page, launch, i, &exec->parts[i]);
}

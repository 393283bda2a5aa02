/* From launches and nodes to calls. A page keeps the last launches of each stream, and which of them are
 * known to have ended; a graph's calls are those of its nodes, in the order in which they were made. */
#include "seen.h"
#include <stdio.h>
#include <string.h>
#include "../cupti/judge.h"
#include "../cupti/track.h"

struct walk {
    struct hl_seen *seen;
    struct hl_worlds *worlds;
    const struct hl_page *page;
    int process;
    uint32_t stream;
    uint64_t number; /* of the launch */
    const struct hl_page_launch *launch;
    struct hl_unfinished unfinished;                       /* of the stream */
    uint32_t counted[HL_PAGE_PARTS], shots[HL_PAGE_PARTS]; /* calls of this launch so far, by its parts */
};

static int find_member(struct hl_seen *seen, int process, const struct hl_page_workspace *w)
{
    for (int i = 0; i < seen->n_members; i++) {
        const struct hl_member *m = &seen->members[i];
        if (m->process == process && m->context == w->context && m->workspace == w->address)
            return i;
    }
    if (seen->n_members == HL_MEMBERS_MAX)
        return -1;
    seen->members[seen->n_members] = (struct hl_member){ .process = process,
                                                         .context = w->context,
                                                         .workspace = w->address,
                                                         .calls = atomic_load(&w->calls),
                                                         .shots = atomic_load(&w->shots) };
    return seen->n_members++;
}

/* Each kernel once. */
static void note_strange(struct walk *w, const struct hl_page_params *p, const char *why)
{
    struct hl_worlds *worlds = w->worlds;
    const struct hl_page_kernel *k = &w->page->kernels[p->kernel];
    for (int i = 0; i < worlds->n_strange; i++)
        if (worlds->strange[i].process == w->process && strcmp(worlds->strange[i].name, k->name) == 0)
            return;
    if (worlds->n_strange == HL_STRANGE_MAX)
        return;
    struct hl_strange_kernel *s = &worlds->strange[worlds->n_strange++];
    *s = (struct hl_strange_kernel){ .process = w->process,
                                     .n_params = k->n_params,
                                     .first_bytes = k->first_bytes };
    snprintf(s->name, sizeof s->name, "%s", k->name);
    snprintf(s->why, sizeof s->why, "%s", why);
    memcpy(s->bytes, p->bytes, sizeof s->bytes);
}

/* The part of the launch that is on this workspace; the launch of a kernel has one. */
static uint32_t part_of(const struct walk *w, uint32_t workspace)
{
    const struct hl_page_exec *exec =
        w->launch->exec < HL_PAGE_EXECS ? &w->page->execs[w->launch->exec] : NULL;
    for (uint32_t i = 0; exec && i < exec->n_parts && i < HL_PAGE_PARTS; i++)
        if (exec->parts[i].workspace == workspace)
            return i;
    return exec ? HL_PAGE_PARTS : 0;
}

/* Records of kernels tell which one does not end; events and records of graphs, which launch. */
static bool is_stuck(const struct walk *w, uint32_t node)
{
    const struct hl_unfinished *u = &w->unfinished;
    return w->page->detail == HL_PAGE_NODE && w->number == u->number && u->by_record &&
           (node == HL_PAGE_NONE || node == u->node);
}

static bool has_ended(const struct walk *w, uint32_t node)
{
    const struct hl_unfinished *u = &w->unfinished;
    return w->number < u->number || (w->number == u->number && node != HL_PAGE_NONE && u->by_record &&
                                     u->node != HL_PAGE_NONE && node < u->node);
}

/* The second kernel of a call: the call is its first one's, and ends with it. */
static void extend(const struct walk *w, int member, const struct hl_known_call *is, uint32_t ctas,
                   uint32_t node)
{
    for (int i = w->seen->n_calls - 1; i >= 0; i--) {
        struct hl_seen_call *c = &w->seen->calls[i];
        if (c->member != member)
            continue;
        c->ended = has_ended(w, node);
        c->stuck |= is_stuck(w, node);
        c->is.compare = is->compare; /* the first kernel's arguments are the same in 0.6.11 and 0.6.12 */
        c->ctas = ctas;              /* this kernel counts its CTAs in, not the first one */
        return;
    }
}

/* How often the launch's graph was launched before it. */
static uint32_t replays_before(const struct walk *w)
{
    const struct hl_page_stream *s = &w->page->streams[w->stream];
    uint32_t later = 1;
    for (uint64_t n = w->number + 1; n < atomic_load(&s->launched); n++)
        later += s->launch[n % HL_PAGE_LAUNCHES].exec == w->launch->exec;
    const uint32_t launches = w->page->execs[w->launch->exec].launches;
    return launches > later ? launches - later : 0;
}

static void see(struct walk *w, uint64_t hash, uint32_t node)
{
    char why[160];
    struct hl_known_call is;
    const struct hl_page_params *p = hl_page_params_find(w->page, hash);
    if (!p || p->kernel >= HL_PAGE_KERNELS)
        return;
    const struct hl_page_kernel *k = &w->page->kernels[p->kernel];
    const struct hl_known_arguments *a = hl_known_arguments_of(k->known, k->n_params, k->first_bytes);
    if (!a || p->workspace >= HL_PAGE_WORKSPACES) {
        snprintf(why, sizeof why, "no release that is known has %u arguments, the first of %u bytes",
                 k->n_params, k->first_bytes);
        note_strange(w, p, why);
        return;
    }
    if (!hl_known_decode(a, k->name, p->bytes, &is, why, sizeof why)) {
        note_strange(w, p, why);
        return;
    }
    const int member = find_member(w->seen, w->process, &w->page->workspaces[p->workspace]);
    const uint32_t part = part_of(w, p->workspace);
    const uint32_t ctas = hl_protocol_family(is.protocol) == HL_FAMILY_MNNVL
                              ? p->grid[0] /* a cluster of grid[1] counts in once */
                              : p->grid[0] * p->grid[1] * p->grid[2];
    if (member < 0 || part == HL_PAGE_PARTS)
        return;
    if (hl_known_is_second(is.kernel)) {
        extend(w, member, &is, ctas, node);
        return;
    }
    struct hl_member *m = &w->seen->members[member];
    m->stream = w->page->streams[w->stream].handle;
    m->tid = w->launch->tid;
    m->has_rank = true;
    m->like = is;
    if (w->seen->n_calls == HL_SEEN_MAX)
        return;
    w->seen->calls[w->seen->n_calls++] =
        (struct hl_seen_call){ .member = member,
                               .call = w->launch->first_call[part] + w->counted[part]++,
                               .shot = w->launch->first_shot[part] + w->shots[part],
                               .is = is,
                               .at_ns = w->launch->at_ns,
                               .launch = w->number,
                               .stream = w->stream,
                               .tid = w->launch->tid,
                               .ctas = ctas,
                               .graph = node == HL_PAGE_NONE ? HL_PAGE_NONE
                                                             : w->page->execs[w->launch->exec].graph,
                               .node = node,
                               .replay = node == HL_PAGE_NONE ? 0 : replays_before(w),
                               .ended = has_ended(w, node),
                               .stuck = is_stuck(w, node) };
    w->shots[part] += is.protocol != HL_TRTLLM_TWOSHOT;
}

static void see_graph(struct walk *w)
{
    const struct hl_page *page = w->page;
    const uint32_t n = atomic_load(&page->n_nodes), graph = page->execs[w->launch->exec].graph;
    uint32_t index = 0;
    if (page->execs[w->launch->exec].n_parts == 0)
        return;
    for (uint32_t i = n > HL_PAGE_NODES ? n - HL_PAGE_NODES : 0; i < n; i++) {
        const struct hl_page_node *node = &page->nodes[i % HL_PAGE_NODES];
        if (atomic_load(&node->graph) == graph)
            see(w, node->params, index++);
    }
}

void hl_see_page(struct hl_seen *seen, const struct hl_page *page, int process, struct hl_worlds *worlds)
{
    for (uint32_t i = 0; i < HL_PAGE_STREAMS; i++) {
        const struct hl_page_stream *s = &page->streams[i];
        const uint64_t launched = atomic_load(&s->launched);
        if (!atomic_load(&s->key))
            continue;
        const struct hl_unfinished unfinished = hl_find_unfinished(page, i);
        for (uint64_t n = launched > HL_PAGE_LAUNCHES ? launched - HL_PAGE_LAUNCHES : 0; n < launched; n++) {
            struct walk walk = { seen,       worlds, page, process, i, n, &s->launch[n % HL_PAGE_LAUNCHES],
                                 unfinished, { 0 },  { 0 } };
            if (walk.launch->params)
                see(&walk, walk.launch->params, HL_PAGE_NONE);
            else if (walk.launch->exec < HL_PAGE_EXECS)
                see_graph(&walk);
        }
    }
}

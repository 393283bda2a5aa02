/* From calls and workspaces to worlds: which workspaces belong together, which call each rank stands in, and
 * the evidence of it.
 *
 * Workspaces of one process belong together when they know each other's addresses; those of several processes
 * when they have equal sizes and different ranks, in the order of the processes, because each process has
 * addresses of its own for its peers' memory. */
#include "world.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../watch_state.h"
#include "seen.h"

#define PENDING_MAX 64

struct hl_known_group {
    struct hl_known_world *world;
    const struct hl_known_memory *memory;
    struct hl_seen *seen;                   /* of all worlds */
    struct hl_member *member[HL_RANKS_MAX]; /* NULL: the rank is in no watched process */
    /* The call that each rank stands in: the oldest that is not over; NULL: none. */
    struct hl_seen_call *stands_in[HL_RANKS_MAX];
    bool begun[HL_RANKS_MAX], turned[HL_RANKS_MAX];
};

__attribute__((format(printf, 2, 3))) static void note(struct hl_known_world *w, const char *format, ...)
{
    const size_t n = strlen(w->notes);
    va_list arguments;
    va_start(arguments, format);
    if (n > 0 && n + 2 < sizeof w->notes)
        strcat(w->notes, "; ");
    vsnprintf(w->notes + strlen(w->notes), sizeof w->notes - strlen(w->notes), format, arguments);
    va_end(arguments);
}

/*
 * Who belongs together
 */

/* What could not be read is given the benefit of the doubt. */
static bool knows_the_same(const struct hl_member *a, const struct hl_member *b)
{
    const uint32_t ranks = a->like.ranks;
    const uint32_t at = hl_protocol_family(a->like.protocol) == HL_FAMILY_TRTLLM ? 2 * ranks : 0;
    return !a->known || !b->known || memcmp(&a->table[at], &b->table[at], ranks * sizeof a->table[0]) == 0;
}

static bool fits(const struct hl_known_group *g, const struct hl_member *m)
{
    if ((uint32_t)g->world->ranks != m->like.ranks || g->member[m->like.rank])
        return false;
    for (int r = 0; r < g->world->ranks; r++) {
        const struct hl_member *other = g->member[r];
        if (!other)
            continue;
        if (hl_protocol_family(other->like.protocol) != hl_protocol_family(m->like.protocol) ||
            other->like.hidden != m->like.hidden || other->like.dtype != m->like.dtype ||
            (other->process == m->process && !knows_the_same(other, m)))
            return false;
    }
    return true;
}

static struct hl_known_world *new_world(struct hl_worlds *worlds, const struct hl_member *m)
{
    struct hl_known_world *w = calloc(1, sizeof *w);
    struct hl_known_group *g = calloc(1, sizeof *g);
    if (!w || !g || worlds->n == HL_WORLDS_MAX) {
        free(w);
        free(g);
        return NULL;
    }
    w->group = g;
    g->world = w;
    w->ranks = (int)m->like.ranks;
    w->releases = m->like.releases;
    w->library = hl_known_doc(m->like.kernel);
    hl_evidence_init(&w->evidence);
    for (int r = 0; r < HL_RANKS_MAX; r++)
        w->process_of[r] = -1;
    worlds->worlds[worlds->n++] = w;
    return w;
}

static void group(struct hl_worlds *worlds, struct hl_seen *seen)
{
    for (int i = 0; i < seen->n_members; i++) {
        struct hl_member *m = &seen->members[i];
        struct hl_known_world *w = NULL;
        for (int k = 0; m->has_rank && k < worlds->n && !w; k++)
            w = fits(worlds->worlds[k]->group, m) ? worlds->worlds[k] : NULL;
        if (!w && m->has_rank)
            w = new_world(worlds, m);
        if (!w)
            continue;
        w->group->member[m->like.rank] = m;
        w->process_of[m->like.rank] = m->process;
    }
}

/*
 * Which call each rank stands in
 */

static uint32_t flag_of(const struct hl_member *m, int mnnvl, int trtllm)
{
    return m->flags[m->layout.family == HL_FAMILY_MNNVL ? mnnvl : trtllm];
}

/* A call waits before its leader has turned the buffers, or behind that, for then other CTAs may still poll.
 * Both follow from its number, if all calls on the workspace have been seen. */
static bool fits_flags(const struct hl_member *m, const struct hl_seen_call *c, bool turned)
{
    if (c->is.protocol == HL_TRTLLM_TWOSHOT)
        return m->flags[HL_TRTLLM_BARRIER_FLAG] == 2 * (c->call - c->shot + turned) % 3;
    return flag_of(m, HL_MNNVL_CURRENT, HL_TRTLLM_CURRENT) == (c->shot + turned) % 3;
}

/* Have the flags been turned by a call that still waits? The counter is 0 then, and the buffer before the
 * current one lacks words; of a call that is over it would have all. */
static bool is_turned(struct hl_member *m, const struct hl_known_memory *memory, const struct hl_seen_call *c)
{
    const struct hl_layout *l = &m->layout;
    const uint32_t before = hl_buffer_at(l, (flag_of(m, HL_MNNVL_CURRENT, HL_TRTLLM_CURRENT) + 2) % 3);
    bool lacks = false;
    if (flag_of(m, HL_MNNVL_ARRIVED, HL_TRTLLM_ARRIVED) > 0 ||
        (c->is.protocol != HL_MNNVL_ONESHOT && c->is.protocol != HL_TRTLLM_ONESHOT))
        return false;
    uint32_t *words = malloc(l->row_words * sizeof *words);
    for (uint32_t row = 0; words && row < c->is.tokens * c->is.ranks && !lacks; row++) {
        if (hl_member_words(m, memory, before + row * l->row_words, l->row_words, words) < 0)
            break;
        for (uint32_t i = 0; i < l->row_words && !lacks; i++)
            lacks = hl_word_missing(l, words[i], c->is.compare);
    }
    free(words);
    return lacks;
}

/* Calls of a member that are not known to be over, oldest first, and of them those that its flags allow for.
 */
struct candidates {
    struct hl_seen_call *call[PENDING_MAX];
    int n;
    bool turned;
    struct hl_seen_call *first; /* NULL: none is pending */
};

static void add_candidates(struct hl_known_group *g, int rank, bool stuck, struct candidates *found)
{
    for (int i = 0; i < g->seen->n_calls && found->n < PENDING_MAX; i++) {
        struct hl_seen_call *c = &g->seen->calls[i];
        if (&g->seen->members[c->member] == g->member[rank] && !c->ended && c->stuck == stuck &&
            fits_flags(g->member[rank], c, found->turned))
            found->call[found->n++] = c;
    }
}

static struct candidates find_candidates(struct hl_known_group *g, int rank)
{
    struct candidates found = { .n = 0 };
    struct hl_member *m = g->member[rank];
    bool stuck = false;
    for (int i = 0; m && i < g->seen->n_calls; i++) {
        struct hl_seen_call *c = &g->seen->calls[i];
        if (&g->seen->members[c->member] != m || c->ended)
            continue;
        stuck |= c->stuck;
        if (!found.first || c->call < found.first->call)
            found.first = c;
    }
    if (!found.first || !m->known)
        return found;
    found.turned = is_turned(m, g->memory, found.first);
    add_candidates(g, rank, stuck, &found);
    /* A two-shot does not show whether its flags have been turned. */
    if (found.n == 0 && !found.turned && flag_of(m, HL_MNNVL_ARRIVED, HL_TRTLLM_ARRIVED) == 0) {
        found.turned = true;
        add_candidates(g, rank, stuck, &found);
    }
    return found;
}

/* The candidate with that number or the next one; -1: there is none. */
static int find_near(const struct candidates *c, uint32_t call)
{
    int found = -1;
    for (int i = 0; i < c->n; i++)
        if (c->call[i]->call == call || (found < 0 && c->call[i]->call == call + 1))
            found = i;
    return found;
}

static bool all_near(const struct candidates *of_ranks, int ranks, uint32_t call)
{
    for (int r = 0; r < ranks; r++)
        if (of_ranks[r].n > 0 && find_near(&of_ranks[r], call) < 0)
            return false;
    return true;
}

static void stand_in(struct hl_known_group *g, int rank, const struct candidates *c, int index)
{
    const struct hl_member *m = g->member[rank];
    g->stands_in[rank] = index < 0 ? c->first : c->call[index];
    g->turned[rank] = index >= 0 && c->turned;
    /* A CTA counts in before it waits, but for the first kernel of an mnnvl two-shot. */
    g->begun[rank] = index < 0 || g->turned[rank] || flag_of(m, HL_MNNVL_ARRIVED, HL_TRTLLM_ARRIVED) > 0 ||
                     g->stands_in[rank]->is.protocol == HL_MNNVL_TWOSHOT;
}

/* Several calls behind each other look alike in the flags, three apart. A rank is ahead of another one by at
 * most one call (a wait holds it), and the earliest that all of them allow for is taken. */
static uint32_t pick_lowest(struct hl_known_world *w, const struct candidates *of_ranks)
{
    uint32_t picked = UINT32_MAX, fitting[PENDING_MAX];
    for (int r = 0; r < w->ranks; r++)
        for (int i = 0; i < of_ranks[r].n; i++) {
            const uint32_t call = of_ranks[r].call[i]->call;
            bool counted = !all_near(of_ranks, w->ranks, call) || w->calls_that_fit == PENDING_MAX;
            for (uint32_t k = 0; k < w->calls_that_fit && !counted; k++)
                counted = fitting[k] == call;
            if (counted)
                continue;
            fitting[w->calls_that_fit++] = call;
            picked = call < picked ? call : picked;
        }
    return picked;
}

static void find_places(struct hl_known_group *g)
{
    struct hl_known_world *w = g->world;
    struct candidates of_ranks[HL_RANKS_MAX];
    for (int r = 0; r < w->ranks; r++)
        of_ranks[r] = find_candidates(g, r);
    const uint32_t picked = pick_lowest(w, of_ranks);
    for (int r = 0; r < w->ranks; r++) {
        const struct candidates *c = &of_ranks[r];
        if (!c->first)
            continue;
        const int near = picked == UINT32_MAX ? (c->n > 0 ? 0 : -1) : find_near(c, picked);
        stand_in(g, r, c, near);
        if (c->n == 0 && g->member[r]->known)
            note(w,
                 "rank %d's flags are not what %u calls leave behind: it was initialised again, or kernels "
                 "that are not known use it",
                 r, g->stands_in[r]->call);
    }
}

/*
 * Evidence
 */

static struct hl_call_record record_of(const struct hl_seen_call *c)
{
    const bool graph = c->graph != HL_PAGE_NONE;
    return (struct hl_call_record){ .call = c->call,
                                    .graph = graph ? (uint16_t)c->graph : UINT16_MAX,
                                    .node = graph ? (uint16_t)c->node : 0,
                                    .replay = c->replay,
                                    .stream = (uint8_t)c->stream,
                                    .protocol = c->is.protocol,
                                    .dtype = c->is.dtype,
                                    .tokens = c->is.tokens,
                                    .exec_tokens = c->is.tokens,
                                    .rows_written = UINT32_MAX,
                                    .ctas = c->ctas };
}

static int rank_of(const struct hl_known_group *g, const struct hl_seen_call *c)
{
    for (int r = 0; r < g->world->ranks; r++)
        if (g->member[r] == &g->seen->members[c->member])
            return r;
    return -1;
}

static void tell(struct hl_watch *watch, enum hl_event_kind kind, int rank, const struct hl_seen_call *c,
                 uint64_t started_ns)
{
    const struct hl_call_record record = record_of(c);
    const struct hl_event event = { .kind = kind,
                                    .time_ns = c->at_ns > started_ns ? c->at_ns - started_ns : 0,
                                    .rank = rank,
                                    .call = &record };
    hl_watch_event(watch, &event);
}

/* The calls as a feed would have told them. When one began and ended is not known, but whether is. */
static void replay(const struct hl_known_group *g, struct hl_watch *watch, uint64_t started_ns)
{
    for (int i = 0; i < g->seen->n_calls; i++) {
        const struct hl_seen_call *c = &g->seen->calls[i];
        const int r = rank_of(g, c);
        if (r < 0)
            continue;
        const struct hl_seen_call *at = g->stands_in[r];
        tell(watch, HL_EVENT_ENQUEUE, r, c, started_ns);
        if (at && c->call >= at->call && (c != at || !g->begun[r]))
            continue;
        tell(watch, HL_EVENT_CALL_BEGIN, r, c, started_ns);
        if (c != at)
            tell(watch, HL_EVENT_CALL_END, r, c, started_ns);
    }
}

/* Pages keep the last launches alone, but count all calls. */
static void set_counts(const struct hl_known_group *g, struct hl_watch *watch)
{
    for (int r = 0; r < g->world->ranks; r++) {
        const struct hl_member *m = g->member[r];
        const struct hl_seen_call *at = g->stands_in[r];
        struct hl_workspace_track *track = &watch->rank[r].workspace[0];
        if (!m)
            continue;
        track->enqueued = m->calls;
        track->ended = at ? at->call : m->calls;
        track->begun = track->ended + (at && g->begun[r]);
        /* As the flags say, whoever made them so: the decoder asks whether they have turned. */
        const uint32_t current = flag_of(m, HL_MNNVL_CURRENT, HL_TRTLLM_CURRENT);
        track->rotations = (current + (g->turned[r] ? 2 : 0)) % 3;
        track->barriers = (2 * m->flags[HL_TRTLLM_BARRIER_FLAG] + (g->turned[r] ? 2 : 0)) % 3;
    }
}

static const struct hl_layout *probe_layout(void *user, int workspace)
{
    static const struct hl_layout none;
    const struct hl_known_group *g = user;
    (void)workspace;
    for (int r = 0; r < g->world->ranks; r++)
        if (g->member[r] && g->member[r]->known)
            return &g->member[r]->layout;
    return &none;
}

static int probe_read(void *user, int rank, int workspace, uint32_t first, uint32_t count, uint32_t *words)
{
    struct hl_known_group *g = user;
    (void)workspace;
    return g->member[rank] ? hl_member_words(g->member[rank], g->memory, first, count, words) : -1;
}

static enum hl_device_answer probe_device(void *user, int rank)
{
    const struct hl_known_group *g = user;
    return g->member[rank] && g->member[rank]->known ? HL_DEVICE_ANSWERS : HL_DEVICE_NOT_ASKED;
}

/* The thread that makes the rank's calls; NULL: it is over. */
static const struct hl_page_thread *find_thread(const struct hl_page *page, uint32_t tid)
{
    for (uint32_t i = 0; i < HL_PAGE_THREADS; i++)
        if (atomic_load(&page->threads[i].tid) == tid)
            return &page->threads[i];
    return NULL;
}

static void look_at_host(struct hl_known_group *g, int rank, const struct hl_page *page)
{
    struct hl_rank_evidence *e = &g->world->evidence.rank[rank];
    const struct hl_page_thread *t = find_thread(page, g->member[rank]->tid);
    e->op = UINT32_MAX;
    if (!t || atomic_load(&page->state) == HL_PAGE_ENDED) {
        e->host = HL_HOST_EXITED;
        return;
    }
    const enum hl_api api = (enum hl_api)atomic_load(&t->api);
    e->host = api == HL_API_NONE ? HL_HOST_RUNNING : HL_HOST_BLOCKED;
    e->waits = api != HL_API_NONE;
    if (!e->waits)
        return;
    /* A thread that waits for its own stream waits its turn; one that allocates may wait for any kernel. */
    e->wait = hl_api_kind(api) == HL_API_BLOCKING ? HL_HOST_WAIT_DEVICE : HL_HOST_WAIT_ORDER;
    snprintf(e->driver_call, sizeof e->driver_call, "%s", hl_api_name(api));
}

static void note_what_lacks(struct hl_known_group *g)
{
    for (int r = 0; r < g->world->ranks; r++)
        if (!g->member[r])
            note(g->world, "rank %d is in no watched process", r);
        else if (!g->member[r]->known)
            note(g->world, "rank %d's flags could not be read", r);
}

static int collect(struct hl_known_group *g, const struct hl_page *const *pages, uint64_t now_ns)
{
    struct hl_known_world *w = g->world;
    uint64_t started_ns = UINT64_MAX, begun_ns = UINT64_MAX;
    find_places(g);
    note_what_lacks(g);
    for (int r = 0; r < w->ranks; r++) {
        if (w->process_of[r] >= 0 && pages[w->process_of[r]]->started_ns < started_ns)
            started_ns = pages[w->process_of[r]]->started_ns;
        if (g->stands_in[r] && g->stands_in[r]->at_ns < begun_ns)
            begun_ns = g->stands_in[r]->at_ns;
    }
    struct hl_watch *watch = hl_watch_create(w->ranks, 1, 1);
    if (!watch)
        return -1;
    replay(g, watch, started_ns);
    set_counts(g, watch);
    w->probe = (struct hl_probe){ .user = g,
                                  .ranks = w->ranks,
                                  .layout = probe_layout,
                                  .read_words = probe_read,
                                  .device_answer = probe_device };
    for (int r = 0; r < w->ranks; r++)
        if (g->stands_in[r]) {
            w->probe.compare = g->stands_in[r]->is.compare;
            w->probe.polls_own = g->stands_in[r]->is.polls_own;
        }
    const int status = hl_watch_collect(watch, &w->probe, now_ns - started_ns, &w->evidence);
    hl_watch_destroy(watch);
    w->evidence.hung = begun_ns != UINT64_MAX;
    w->evidence.stalled_ns = w->evidence.hung && now_ns > begun_ns ? now_ns - begun_ns : 0;
    for (int r = 0; r < w->ranks; r++)
        if (g->member[r])
            look_at_host(g, r, pages[w->process_of[r]]);
    return status;
}

static int compare_calls(const void *a_, const void *b_)
{
    const struct hl_seen_call *a = a_, *b = b_;
    const uint64_t keys[][2] = { { a->at_ns, b->at_ns }, { a->call, b->call } };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (keys[i][0] != keys[i][1])
            return keys[i][0] < keys[i][1] ? -1 : 1;
    return 0;
}

static void free_seen(struct hl_seen *seen)
{
    for (int i = 0; seen && i < seen->n_members; i++)
        free(seen->members[i].window);
    if (seen)
        free(seen->calls);
    free(seen);
}

int hl_worlds_collect(const struct hl_page *const *pages, int n, const struct hl_known_memory *memory,
                      uint64_t now_ns, struct hl_worlds *worlds)
{
    memset(worlds, 0, sizeof *worlds);
    struct hl_seen *seen = calloc(1, sizeof *seen);
    if (!seen || !(seen->calls = malloc(HL_SEEN_MAX * sizeof *seen->calls))) {
        free_seen(seen);
        return -1;
    }
    worlds->seen = seen;
    for (int i = 0; i < n; i++)
        hl_see_page(seen, pages[i], i, worlds);
    /* Flags of all before anything else: whoever looks longer at one rank sees the others move on. */
    for (int i = 0; i < seen->n_members; i++)
        hl_member_read(&seen->members[i], memory);
    qsort(seen->calls, (size_t)seen->n_calls, sizeof *seen->calls, compare_calls);
    group(worlds, seen);
    for (int i = 0; i < worlds->n; i++) {
        struct hl_known_group *g = worlds->worlds[i]->group;
        g->seen = seen;
        g->memory = memory;
        if (collect(g, pages, now_ns) < 0)
            return -1;
    }
    return 0;
}

void hl_worlds_finish(struct hl_worlds *worlds)
{
    for (int i = 0; i < worlds->n; i++) {
        hl_evidence_finish(&worlds->worlds[i]->evidence);
        free(worlds->worlds[i]->group);
        free(worlds->worlds[i]);
    }
    free_seen(worlds->seen);
    memset(worlds, 0, sizeof *worlds);
}

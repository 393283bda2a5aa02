/* Stalls and unfinished work, from a page alone. */
#include "judge.h"
#include <stddef.h>
#include <string.h>

static bool has_stopped(uint64_t since_ns, uint64_t until_ns, uint64_t threshold_ns)
{
    return until_ns > since_ns && until_ns - since_ns > threshold_ns;
}

static struct hl_stall device_stall(const struct hl_page *page, uint64_t threshold_ns, uint64_t beat_ns)
{
    struct hl_stall stall = { .stream = HL_PAGE_NONE, .thread = HL_PAGE_NONE };
    uint64_t newest_ns = 0;
    for (uint32_t i = 0; i < HL_PAGE_STREAMS; i++) {
        const struct hl_page_stream *s = &page->streams[i];
        const uint64_t progress_ns = atomic_load(&s->progress_ns);
        if (!atomic_load(&s->key))
            continue;
        if (progress_ns > newest_ns)
            newest_ns = progress_ns;
        if (atomic_load(&s->marked) > atomic_load(&s->completed) &&
            has_stopped(progress_ns, beat_ns, threshold_ns) &&
            (stall.kind == HL_STALL_NONE || progress_ns < stall.since_ns))
            stall = (struct hl_stall){ HL_STALL_DEVICE, progress_ns, i, HL_PAGE_NONE };
    }
    if (stall.kind == HL_STALL_DEVICE && !has_stopped(newest_ns, beat_ns, threshold_ns) &&
        (beat_ns - stall.since_ns) / HL_JUDGE_PATIENCE <= threshold_ns)
        stall.kind = HL_STALL_NONE;
    return stall;
}

/* A thread in a driver call for so long, while no stream is known to have work: an event behind the last
 * launch of a stream would tell of it. */
static struct hl_stall host_stall(const struct hl_page *page, uint64_t threshold_ns, uint64_t beat_ns)
{
    struct hl_stall stall = { .stream = HL_PAGE_NONE, .thread = HL_PAGE_NONE };
    for (uint32_t i = 0; i < HL_PAGE_STREAMS; i++) {
        const struct hl_page_stream *s = &page->streams[i];
        if (atomic_load(&s->key) && atomic_load(&s->launched) > atomic_load(&s->completed))
            return stall;
    }
    for (uint32_t i = 0; i < HL_PAGE_THREADS; i++) {
        const struct hl_page_thread *t = &page->threads[i];
        const uint64_t since_ns = atomic_load(&t->since_ns);
        if (atomic_load(&t->tid) && atomic_load(&t->api) != HL_API_NONE &&
            has_stopped(since_ns, beat_ns, threshold_ns) &&
            has_stopped(since_ns, beat_ns, HL_JUDGE_HOST_NS) &&
            (stall.kind == HL_STALL_NONE || since_ns < stall.since_ns))
            stall = (struct hl_stall){ HL_STALL_HOST, since_ns, HL_PAGE_NONE, i };
    }
    return stall;
}

/* The stream that has had work pending for longest. */
static uint32_t pending_stream(const struct hl_page *page)
{
    uint32_t oldest = HL_PAGE_NONE;
    for (uint32_t i = 0; i < HL_PAGE_STREAMS; i++) {
        const struct hl_page_stream *s = &page->streams[i];
        if (atomic_load(&s->key) && atomic_load(&s->marked) > atomic_load(&s->completed) &&
            (oldest == HL_PAGE_NONE ||
             atomic_load(&s->progress_ns) < atomic_load(&page->streams[oldest].progress_ns)))
            oldest = i;
    }
    return oldest;
}

struct hl_stall hl_judge(const struct hl_page *page, uint64_t threshold_ns, uint64_t now_ns)
{
    const struct hl_stall none = { .stream = HL_PAGE_NONE, .thread = HL_PAGE_NONE };
    const uint64_t beat_ns = atomic_load(&page->beat_ns);
    if (atomic_load(&page->state) != HL_PAGE_WATCHING || beat_ns == 0)
        return none;
    struct hl_stall stall = device_stall(page, threshold_ns, beat_ns);
    if (stall.kind == HL_STALL_NONE)
        stall = host_stall(page, threshold_ns, beat_ns);
    if (stall.kind == HL_STALL_NONE && has_stopped(beat_ns, now_ns, threshold_ns) &&
        has_stopped(beat_ns, now_ns, HL_JUDGE_SILENT_NS))
        stall = (struct hl_stall){ HL_STALL_SILENT, beat_ns, pending_stream(page), HL_PAGE_NONE };
    return stall;
}

/*
 * What does not end
 */

/* The record of a launch, or of a node of it; NULL: there is none. */
static const struct hl_page_finished *find_record(const struct hl_page *page, uint32_t correlation,
                                                  uint64_t node)
{
    const uint64_t n = atomic_load(&page->n_finished);
    for (uint64_t back = 1; back <= n && back <= HL_PAGE_FINISHED; back++) {
        const struct hl_page_finished *record = &page->finished[(n - back) % HL_PAGE_FINISHED];
        if (record->correlation == correlation && record->node == node)
            return record;
    }
    return NULL;
}

static bool has_ended(const struct hl_page_finished *record) { return record && record->end_ns != 0; }

/* Walks the kernels of a graph in their order up to the first whose record is missing or has no end. */
static void find_node(const struct hl_page *page, uint32_t graph, struct hl_unfinished *u)
{
    const uint32_t n = atomic_load(&page->n_nodes);
    const uint32_t first = n > HL_PAGE_NODES ? n - HL_PAGE_NODES : 0;
    uint32_t index = 0;
    u->finished = u->nodes = 0;
    u->node = u->kernel = HL_PAGE_NONE;
    for (uint32_t i = first; i < n; i++) {
        const struct hl_page_node *node = &page->nodes[i % HL_PAGE_NODES];
        if (atomic_load(&node->graph) != graph)
            continue;
        if (node->kernel != HL_PAGE_NONE) {
            u->nodes++;
            if (page->detail == HL_PAGE_NODE && has_ended(find_record(page, u->launch.correlation, node->id)))
                u->finished++;
            else if (u->node == HL_PAGE_NONE) {
                u->node = index;
                u->kernel = node->kernel;
            }
        }
        index++;
    }
    /* Without records of nodes, a graph of several kernels does not tell which of them it is. */
    if (page->detail != HL_PAGE_NODE && u->nodes > 1)
        u->node = u->kernel = HL_PAGE_NONE;
}

static bool launch_has_ended(const struct hl_page *page, const struct hl_page_launch *launch,
                             struct hl_unfinished *u)
{
    if (launch->exec >= HL_PAGE_EXECS || page->detail != HL_PAGE_NODE)
        return has_ended(find_record(page, launch->correlation, 0));
    u->launch = *launch;
    find_node(page, page->execs[launch->exec].graph, u);
    return u->nodes > 0 && u->finished == u->nodes;
}

/* Do activity records tell of this kind of launch? */
static bool has_records(const struct hl_page *page, const struct hl_page_launch *launch)
{
    return page->detail == HL_PAGE_NODE || (page->detail >= HL_PAGE_CUPTI && launch->kernel == HL_PAGE_NONE);
}

static enum hl_device_state device_state(const struct hl_page *page)
{
    if (page->detail != HL_PAGE_PC || atomic_load(&page->answered) == 0)
        return HL_DEVICE_UNKNOWN;
    return atomic_load(&page->n_samples) ? HL_DEVICE_SPINS : HL_DEVICE_IDLE;
}

/* The first node of a graph that is the kernel of that name; HL_PAGE_NONE: it has none. */
static uint32_t find_named_node(const struct hl_page *page, uint32_t graph, const char *name)
{
    const uint32_t n = atomic_load(&page->n_nodes);
    uint32_t index = 0;
    for (uint32_t i = n > HL_PAGE_NODES ? n - HL_PAGE_NODES : 0; i < n; i++) {
        const struct hl_page_node *node = &page->nodes[i % HL_PAGE_NODES];
        if (atomic_load(&node->graph) != graph)
            continue;
        if (strcmp(hl_kernel_name(page, node->kernel), name) == 0)
            return index;
        index++;
    }
    return HL_PAGE_NONE;
}

/* An event stands behind several launches at times: the one that spins is the first that has the sampled
 * kernel, by itself or in its graph. */
static void name_by_samples(const struct hl_page *page, uint32_t stream, struct hl_unfinished *u)
{
    const struct hl_page_stream *s = &page->streams[stream];
    const uint64_t launched = atomic_load(&s->launched);
    u->kernel = hl_hottest_kernel(page);
    u->by_samples = true;
    const char *name = hl_kernel_name(page, u->kernel);
    for (uint64_t number = u->number; number < launched && u->known; number++) {
        const struct hl_page_launch *launch = &s->launch[number % HL_PAGE_LAUNCHES];
        const bool graph = launch->exec < HL_PAGE_EXECS;
        const uint32_t node =
            graph ? find_named_node(page, page->execs[launch->exec].graph, name) : HL_PAGE_NONE;
        if (node == HL_PAGE_NONE && (graph || strcmp(hl_kernel_name(page, launch->kernel), name) != 0))
            continue;
        u->number = number;
        u->behind = launched - number - 1;
        u->launch = *launch;
        u->nodes = 0;
        if (graph)
            find_node(page, page->execs[launch->exec].graph, u);
        u->kernel = hl_hottest_kernel(page); /* and not what find_node() makes of it */
        u->node = node;
        return;
    }
}

struct hl_unfinished hl_find_unfinished(const struct hl_page *page, uint32_t stream)
{
    const struct hl_page_stream *s = &page->streams[stream];
    const uint64_t launched = atomic_load(&s->launched);
    struct hl_unfinished u = { .node = HL_PAGE_NONE, .kernel = HL_PAGE_NONE };
    u.number = atomic_load(&s->completed);
    /* The entry of the first may have been used again; that of a later one says nothing of it. */
    const bool lost = launched - u.number > HL_PAGE_LAUNCHES;
    for (; u.number < launched && !lost; u.number++) {
        u.known = true;
        u.launch = s->launch[u.number % HL_PAGE_LAUNCHES];
        u.by_record = has_records(page, &u.launch);
        if (!u.by_record || !launch_has_ended(page, &u.launch, &u))
            break;
    }
    if (u.number >= launched)
        return (struct hl_unfinished){ .number = launched, .node = HL_PAGE_NONE, .kernel = HL_PAGE_NONE };
    u.behind = launched - u.number - 1;
    if (!u.known)
        u.launch.exec = HL_PAGE_NONE;
    else if (u.launch.exec < HL_PAGE_EXECS)
        find_node(page, page->execs[u.launch.exec].graph, &u);
    else
        u.kernel = u.launch.kernel;
    u.device = device_state(page);
    if (u.device == HL_DEVICE_SPINS && (u.kernel == HL_PAGE_NONE || !u.by_record))
        name_by_samples(page, stream, &u);
    return u;
}

uint32_t hl_hottest_kernel(const struct hl_page *page)
{
    const uint32_t n = atomic_load(&page->n_samples);
    uint64_t most = 0;
    uint32_t hottest = HL_PAGE_NONE;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t sum = 0;
        for (uint32_t j = 0; j < n; j++)
            sum += page->samples[j].kernel == page->samples[i].kernel ? page->samples[j].samples : 0;
        if (sum > most) {
            most = sum;
            hottest = page->samples[i].kernel;
        }
    }
    return hottest;
}

const char *hl_kernel_name(const struct hl_page *page, uint32_t kernel)
{
    return kernel < HL_PAGE_KERNELS ? page->kernels[kernel].name : "";
}

/* How a page is written. A key that is not 0 makes an entry of a table taken; it is set by compare-and-swap,
 * so that two threads never take the same one, and tables are hashed and never rehashed. */
#include "track.h"
#include <string.h>
#include "feed.h"
#include "track_calls.h"

static void lose(struct hl_page *page) { atomic_fetch_add(&page->lost, 1); }

uint64_t hl_page_mix(uint64_t key)
{
    key ^= key >> 31;
    key *= 0x9e3779b97f4a7c15ull; /* Fibonacci hashing, Knuth vol. 3, 6.4 */
    return key ^ key >> 29;
}

void hl_page_init(struct hl_page *page, uint32_t pid, enum hl_page_detail detail, uint64_t now_ns)
{
    page->version = HL_PAGE_VERSION;
    page->bytes = sizeof *page;
    page->pid = pid;
    page->detail = detail;
    page->rank = -1;
    page->started_ns = now_ns;
    atomic_store(&page->state, HL_PAGE_STARTING);
    page->magic = HL_PAGE_MAGIC; /* last: a page without it is not there yet */
}

/*
 * Threads
 */

uint32_t hl_page_thread(struct hl_page *page, uint32_t tid)
{
    for (uint32_t i = 0; i < HL_PAGE_THREADS; i++) {
        uint32_t taken = 0;
        struct hl_page_thread *thread = &page->threads[i];
        if (!atomic_compare_exchange_strong(&thread->tid, &taken, tid) && taken != tid)
            continue;
        if (taken != tid)
            atomic_store(&thread->api, HL_API_NONE);
        return i;
    }
    lose(page);
    return HL_PAGE_NONE;
}

void hl_page_thread_over(struct hl_page *page, uint32_t thread)
{
    if (thread == HL_PAGE_NONE)
        return;
    HL_FEED("thread-over %u", atomic_load(&page->threads[thread].tid));
    atomic_store(&page->threads[thread].api, HL_API_NONE);
    atomic_store(&page->threads[thread].tid, 0);
}

void hl_page_enter(struct hl_page *page, uint32_t thread, enum hl_api api, uint64_t stream, uint32_t kernel,
                   uint64_t now_ns)
{
    if (thread == HL_PAGE_NONE)
        return;
    struct hl_page_thread *t = &page->threads[thread];
    HL_FEED("enter %llu %u %s %llx %d", (unsigned long long)now_ns, atomic_load(&t->tid), hl_api_name(api),
            (unsigned long long)stream, (int)kernel);
    t->stream = stream;
    t->kernel = kernel;
    t->params = 0;
    t->recorded = false;
    atomic_store(&t->since_ns, now_ns);
    atomic_store(&t->api, api);
}

void hl_page_with(struct hl_page *page, uint32_t thread, uint64_t params)
{
    if (thread == HL_PAGE_NONE)
        return;
    HL_FEED("with %u %llx", atomic_load(&page->threads[thread].tid), (unsigned long long)params);
    page->threads[thread].params = params;
}

void hl_page_exit(struct hl_page *page, uint32_t thread)
{
    if (thread == HL_PAGE_NONE)
        return;
    HL_FEED("exit %u", atomic_load(&page->threads[thread].tid));
    atomic_store(&page->threads[thread].api, HL_API_NONE);
}

/*
 * Kernels, streams, graphs
 */

uint32_t hl_page_kernel(struct hl_page *page, uint64_t function, const char *name)
{
    uint32_t at = (uint32_t)hl_page_mix(function) % HL_PAGE_KERNELS;
    for (uint32_t tried = 0; tried < HL_PAGE_KERNELS; tried++, at = (at + 1) % HL_PAGE_KERNELS) {
        struct hl_page_kernel *kernel = &page->kernels[at];
        uint64_t taken = 0;
        if (atomic_compare_exchange_strong(&kernel->function, &taken, function)) {
            strncpy(kernel->name, name, sizeof kernel->name - 1);
            kernel->known = hl_known_find(kernel->name);
            HL_FEED("kernel %u %llx %s", at, (unsigned long long)function, kernel->name);
            return at;
        }
        /* A handle may be another kernel's by now: a module was unloaded. */
        if (taken == function && strncmp(kernel->name, name, sizeof kernel->name - 1) == 0)
            return at;
    }
    lose(page);
    return HL_PAGE_NONE;
}

uint32_t hl_page_stream(struct hl_page *page, uint64_t context, uint64_t handle, uint64_t now_ns)
{
    const uint64_t key = hl_page_mix(context ^ hl_page_mix(handle)) | 1;
    uint32_t at = (uint32_t)(key >> 1) % HL_PAGE_STREAMS;
    for (uint32_t tried = 0; tried < HL_PAGE_STREAMS; tried++, at = (at + 1) % HL_PAGE_STREAMS) {
        struct hl_page_stream *stream = &page->streams[at];
        uint64_t taken = 0;
        if (atomic_compare_exchange_strong(&stream->key, &taken, key)) {
            stream->handle = handle;
            stream->context = context;
            atomic_store(&stream->progress_ns, now_ns);
            HL_FEED("stream %u %llx %llx %llu", at, (unsigned long long)context, (unsigned long long)handle,
                    (unsigned long long)now_ns);
            return at;
        }
        if (taken == key)
            return at;
    }
    lose(page);
    return HL_PAGE_NONE;
}

void hl_page_context_over(struct hl_page *page, uint64_t context)
{
    HL_FEED("context-over %llx", (unsigned long long)context);
    for (uint32_t i = 0; i < HL_PAGE_STREAMS; i++) {
        struct hl_page_stream *stream = &page->streams[i];
        if (atomic_load(&stream->key) && stream->context == context) {
            atomic_store(&stream->marked, atomic_load(&stream->launched));
            atomic_store(&stream->completed, atomic_load(&stream->launched));
        }
    }
}

static struct hl_page_exec *find_exec(struct hl_page *page, uint64_t handle, bool make)
{
    uint32_t at = (uint32_t)hl_page_mix(handle) % HL_PAGE_EXECS;
    struct hl_page_exec *free_one = NULL;
    for (uint32_t tried = 0; tried < HL_PAGE_EXECS; tried++, at = (at + 1) % HL_PAGE_EXECS) {
        struct hl_page_exec *exec = &page->execs[at];
        const uint64_t taken = atomic_load(&exec->handle);
        if (taken == handle)
            return exec;
        if (taken <= 1 && !free_one)
            free_one = exec;
        if (taken == 0)
            break;
    }
    if (!make || !free_one)
        return NULL;
    uint64_t expected = atomic_load(&free_one->handle);
    return expected <= 1 && atomic_compare_exchange_strong(&free_one->handle, &expected, handle) ? free_one
                                                                                                 : NULL;
}

uint32_t hl_page_exec(struct hl_page *page, uint64_t handle)
{
    const struct hl_page_exec *exec = find_exec(page, handle, false);
    return exec ? (uint32_t)(exec - page->execs) : HL_PAGE_NONE;
}

void hl_page_exec_made(struct hl_page *page, uint64_t handle, uint32_t graph)
{
    HL_FEED("exec %llx %u", (unsigned long long)handle, graph);
    struct hl_page_exec *exec = find_exec(page, handle, true);
    if (!exec) {
        lose(page);
        return;
    }
    exec->graph = graph;
    exec->launches = 0;
    exec->n_parts = 0;
}

/* Its place stays taken (by 1, which is nobody's handle), so that entries behind it are still found. */
void hl_page_exec_over(struct hl_page *page, uint64_t handle)
{
    HL_FEED("exec-over %llx", (unsigned long long)handle);
    struct hl_page_exec *exec = find_exec(page, handle, false);
    if (exec)
        atomic_store(&exec->handle, 1);
}

/*
 * Work
 */

uint64_t hl_page_launch(struct hl_page *page, uint32_t stream, const struct hl_page_launch *launch)
{
    struct hl_page_stream *s = &page->streams[stream];
    const uint64_t number = atomic_fetch_add(&s->launched, 1);
    HL_FEED("launch %u %llu %u %d %d %u %u %u %u %u %u %u %llx", stream, (unsigned long long)launch->at_ns,
            launch->correlation, (int)launch->kernel, (int)launch->exec, launch->tid, launch->grid[0],
            launch->grid[1], launch->grid[2], launch->block[0], launch->block[1], launch->block[2],
            (unsigned long long)launch->params);
    s->launch[number % HL_PAGE_LAUNCHES] = *launch;
    hl_page_count_calls(page, &s->launch[number % HL_PAGE_LAUNCHES]);
    if (launch->exec != HL_PAGE_NONE)
        page->execs[launch->exec].launches++;
    /* A stream that was idle makes progress by getting work. */
    if (atomic_load(&s->completed) == number)
        atomic_store(&s->progress_ns, launch->at_ns);
    return number + 1;
}

void hl_page_mark(struct hl_page *page, uint32_t stream, uint64_t launches)
{
    HL_FEED("mark %u %llu", stream, (unsigned long long)launches);
    atomic_store(&page->streams[stream].marked, launches);
}

void hl_page_complete(struct hl_page *page, uint32_t stream, uint64_t launches, uint64_t now_ns)
{
    HL_FEED("complete %u %llu %llu", stream, (unsigned long long)launches, (unsigned long long)now_ns);
    struct hl_page_stream *s = &page->streams[stream];
    const uint64_t before_ns = atomic_load(&s->progress_ns);
    if (launches <= atomic_load(&s->completed))
        return;
    atomic_store(&s->completed, launches);
    atomic_store(&s->progress_ns, now_ns);
    if (now_ns > before_ns && now_ns - before_ns > atomic_load(&page->longest_ns))
        atomic_store(&page->longest_ns, now_ns - before_ns);
}

static struct hl_page_node *new_node(struct hl_page *page, uint64_t id, uint32_t type)
{
    const uint32_t at = atomic_fetch_add(&page->n_nodes, 1);
    struct hl_page_node *node = &page->nodes[at % HL_PAGE_NODES]; /* the oldest makes way */
    atomic_store(&node->graph, 0);
    node->id = id;
    node->type = type;
    node->kernel = HL_PAGE_NONE;
    node->params = 0;
    return node;
}

static void take_launch(struct hl_page *page, struct hl_page_node *node, uint32_t kernel, uint64_t params)
{
    struct hl_page_params *p = (struct hl_page_params *)(uintptr_t)hl_page_params_find(page, params);
    node->kernel = kernel;
    node->params = params;
    if (p)
        atomic_store(&p->kept, 1);
}

void hl_page_node(struct hl_page *page, uint32_t graph, uint64_t id, uint32_t type, uint32_t thread)
{
    struct hl_page_thread *t = thread == HL_PAGE_NONE ? NULL : &page->threads[thread];
    HL_FEED("node %u %llx %u %u", graph, (unsigned long long)id, type, t ? atomic_load(&t->tid) : 0);
    struct hl_page_node *node = new_node(page, id, type);
    const enum hl_api api = t ? (enum hl_api)atomic_load(&t->api) : HL_API_NONE;
    if (api != HL_API_NONE && hl_api_kind(api) == HL_API_LAUNCH)
        take_launch(page, node, t->kernel, t->params);
    if (api != HL_API_NONE && (hl_api_kind(api) == HL_API_LAUNCH || hl_api_kind(api) == HL_API_GRAPH))
        t->recorded = true;
    atomic_store(&node->graph, graph);
}

/* Copies are made soon after their originals, in a time that grows with the graph: a node is looked for from
 * the newest back. */
static struct hl_page_node *find_node(struct hl_page *page, uint64_t id)
{
    const uint32_t n = atomic_load(&page->n_nodes);
    for (uint32_t back = 1; back <= n && back <= HL_PAGE_NODES; back++) {
        struct hl_page_node *node = &page->nodes[(n - back) % HL_PAGE_NODES];
        if (node->id == id && atomic_load(&node->graph))
            return node;
    }
    return NULL;
}

void hl_page_node_clone(struct hl_page *page, uint32_t graph, uint64_t id, uint64_t original, uint32_t type)
{
    HL_FEED("clone %u %llx %llx %u", graph, (unsigned long long)id, (unsigned long long)original, type);
    struct hl_page_node *node = find_node(page, id), *from = find_node(page, original);
    if (!node) {
        node = new_node(page, id, type);
        atomic_store(&node->graph, graph);
    }
    if (from)
        take_launch(page, node, from->kernel, from->params);
}

/*
 * Records and samples
 */

void hl_page_finish(struct hl_page *page, const struct hl_page_finished *finished)
{
    HL_FEED("finish %u %llx %llu %llu", finished->correlation, (unsigned long long)finished->node,
            (unsigned long long)finished->start_ns, (unsigned long long)finished->end_ns);
    const uint64_t at = atomic_fetch_add(&page->n_finished, 1);
    page->finished[at % HL_PAGE_FINISHED] = *finished;
}

void hl_page_samples_clear(struct hl_page *page)
{
    HL_FEED("samples-clear");
    atomic_store(&page->n_samples, 0);
    page->samples_all = 0;
}

void hl_page_sample(struct hl_page *page, uint32_t kernel, uint64_t crc, uint64_t pc, uint64_t samples)
{
    HL_FEED("sample %d %llx %llx %llu", (int)kernel, (unsigned long long)crc, (unsigned long long)pc,
            (unsigned long long)samples);
    const uint32_t n = atomic_load(&page->n_samples);
    for (uint32_t i = 0; i < n; i++) {
        struct hl_page_sample *sample = &page->samples[i];
        if (sample->kernel == kernel && sample->pc == pc && sample->crc == crc) {
            sample->samples += samples;
            return;
        }
    }
    if (n == HL_PAGE_SAMPLES) {
        lose(page);
        return;
    }
    page->samples[n] = (struct hl_page_sample){ .kernel = kernel, .crc = crc, .pc = pc, .samples = samples };
    atomic_store(&page->n_samples, n + 1);
}

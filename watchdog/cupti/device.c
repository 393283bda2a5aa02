/* From a page to evidence: names instead of indices, lines instead of PCs. */
#include "device.h"
#include <stdio.h>
#include <string.h>

static void copy_name(char to[HL_PAGE_NAME_MAX], const char *from)
{
    snprintf(to, HL_PAGE_NAME_MAX, "%s", from);
}

static void add_call(struct hl_device_evidence *e, const struct hl_page *page, const struct hl_page_thread *t)
{
    struct hl_inflight_call call = { .tid = atomic_load(&t->tid),
                                     .api = (enum hl_api)atomic_load(&t->api),
                                     .since_ns = atomic_load(&t->since_ns) };
    copy_name(call.kernel, hl_kernel_name(page, t->kernel));
    int at = e->n_calls;
    while (at > 0 && call.since_ns < e->calls[at - 1].since_ns)
        at--;
    if (at == HL_DEVICE_CALLS_MAX)
        return;
    e->n_calls += e->n_calls < HL_DEVICE_CALLS_MAX;
    memmove(&e->calls[at + 1], &e->calls[at], (size_t)(e->n_calls - 1 - at) * sizeof call);
    e->calls[at] = call;
}

static bool same_line(const struct hl_page *page, const struct hl_page_sample *a,
                      const struct hl_page_sample *b)
{
    if (a->line == 0 || b->line == 0)
        return a == b;
    return a->line == b->line && strcmp(a->file, b->file) == 0 &&
           strcmp(hl_kernel_name(page, a->kernel), hl_kernel_name(page, b->kernel)) == 0;
}

static void insert_line(struct hl_device_evidence *e, const struct hl_device_line *line)
{
    int at = e->n_lines;
    while (at > 0 && line->samples > e->lines[at - 1].samples)
        at--;
    if (at == HL_DEVICE_LINES_MAX)
        return;
    e->n_lines += e->n_lines < HL_DEVICE_LINES_MAX;
    memmove(&e->lines[at + 1], &e->lines[at], (size_t)(e->n_lines - 1 - at) * sizeof *line);
    e->lines[at] = *line;
}

/* Every line once: at the first of its samples. */
static void add_lines(struct hl_device_evidence *e, const struct hl_page *page)
{
    const uint32_t n = atomic_load(&page->n_samples);
    for (uint32_t i = 0; i < n; i++) {
        const struct hl_page_sample *first = &page->samples[i];
        struct hl_device_line line = { .line = first->line };
        uint64_t most = 0;
        bool seen = false;
        e->samples += first->samples;
        for (uint32_t j = 0; j < i && !seen; j++)
            seen = same_line(page, &page->samples[j], first);
        for (uint32_t j = i; j < n && !seen; j++) {
            const struct hl_page_sample *sample = &page->samples[j];
            if (!same_line(page, sample, first))
                continue;
            line.samples += sample->samples;
            if (sample->samples > most)
                line.pc = sample->pc;
            most = sample->samples > most ? sample->samples : most;
        }
        copy_name(line.kernel, hl_kernel_name(page, first->kernel));
        copy_name(line.file, first->file);
        if (!seen)
            insert_line(e, &line);
    }
}

/* The kernel in front of the unfinished one in its graph. */
static void name_before(struct hl_device_evidence *e, const struct hl_page *page)
{
    const struct hl_unfinished *u = &e->unfinished;
    const uint32_t n = atomic_load(&page->n_nodes);
    uint32_t index = 0;
    if (u->node == HL_PAGE_NONE || u->launch.exec >= HL_PAGE_EXECS)
        return;
    for (uint32_t i = n > HL_PAGE_NODES ? n - HL_PAGE_NODES : 0; i < n && index < u->node; i++) {
        const struct hl_page_node *node = &page->nodes[i % HL_PAGE_NODES];
        if (atomic_load(&node->graph) != page->execs[u->launch.exec].graph)
            continue;
        index++;
        if (node->kernel != HL_PAGE_NONE)
            copy_name(e->before, hl_kernel_name(page, node->kernel));
    }
}

void hl_device_evidence_of(const struct hl_page *page, const struct hl_stall *stall, uint64_t now_ns,
                           struct hl_device_evidence *ret_evidence)
{
    struct hl_device_evidence *e = ret_evidence;
    memset(e, 0, sizeof *e);
    e->known = true;
    e->pid = page->pid;
    e->detail = (enum hl_page_detail)page->detail;
    e->state = (enum hl_page_state)atomic_load(&page->state);
    snprintf(e->lacks, sizeof e->lacks, "%s", page->why);
    e->stall = *stall;
    e->time_ns = now_ns;
    e->unfinished.node = e->unfinished.kernel = HL_PAGE_NONE;
    if (stall->stream != HL_PAGE_NONE) {
        e->unfinished = hl_find_unfinished(page, stall->stream);
        copy_name(e->kernel, hl_kernel_name(page, e->unfinished.kernel));
        name_before(e, page);
    }
    for (uint32_t i = 0; i < HL_PAGE_THREADS; i++)
        if (atomic_load(&page->threads[i].tid) && atomic_load(&page->threads[i].api) != HL_API_NONE)
            add_call(e, page, &page->threads[i]);
    add_lines(e, page);
    e->flush_ns = page->flush_ns;
    e->sampling_ns = page->sampling_ns;
    e->lost = atomic_load(&page->lost);
}

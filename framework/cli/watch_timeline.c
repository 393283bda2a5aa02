/* What a watched process has launched of late, as the timeline of its bundle. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "watch_bundle.h"

/* A launch that the page still has. */
struct entry {
    const struct hl_page_stream *stream;
    const struct hl_page_launch *launch;
    uint64_t number; /* on its stream */
};

static int compare(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return (x->launch->at_ns > y->launch->at_ns) - (x->launch->at_ns < y->launch->at_ns);
}

static size_t find_launches(const struct hl_page *page, struct entry *entries)
{
    size_t n = 0;
    for (uint32_t i = 0; i < HL_PAGE_STREAMS; i++) {
        const struct hl_page_stream *s = &page->streams[i];
        const uint64_t launched = atomic_load(&s->launched);
        uint64_t number = launched > HL_PAGE_LAUNCHES ? launched - HL_PAGE_LAUNCHES : 0;
        for (; atomic_load(&s->key) && number < launched; number++)
            entries[n++] = (struct entry){ s, &s->launch[number % HL_PAGE_LAUNCHES], number };
    }
    qsort(entries, n, sizeof *entries, compare);
    return n;
}

/* A kernel's name as JSON takes it: ASCII, which mangled names are. */
static json_t *name_json(const char *name)
{
    json_t *json = json_string(name);
    return json ? json : json_string("?");
}

static json_t *entry_json(const struct hl_page *page, int process, const struct entry *e)
{
    const bool ended = e->number < atomic_load(&e->stream->completed);
    const uint64_t t_ns = e->launch->at_ns > page->started_ns ? e->launch->at_ns - page->started_ns : 0;
    json_t *json =
        json_pack("{s:I, s:s, s:i, s:o, s:I, s:I, s:b}", "t_ns", (json_int_t)t_ns, "event", "launch",
                  "process", process, "stream", json_sprintf("0x%llx", (unsigned long long)e->stream->handle),
                  "launch", (json_int_t)e->number, "tid", (json_int_t)e->launch->tid, "ended", (int)ended);
    if (!json)
        return NULL;
    if (e->launch->kernel != HL_PAGE_NONE)
        json_object_set_new(json, "kernel", name_json(hl_kernel_name(page, e->launch->kernel)));
    else if (e->launch->exec < HL_PAGE_EXECS)
        json_object_set_new(json, "graph", json_integer(page->execs[e->launch->exec].graph));
    return json;
}

char *hl_watch_timeline(const struct hl_page *page, int process)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    struct entry *entries = calloc(HL_PAGE_STREAMS * HL_PAGE_LAUNCHES, sizeof *entries);
    const size_t n = entries && out ? find_launches(page, entries) : 0;
    for (size_t i = 0; i < n; i++) {
        json_t *json = entry_json(page, process, &entries[i]);
        if (json && json_dumpf(json, out, JSON_COMPACT) == 0)
            fputc('\n', out);
        json_decref(json);
    }
    free(entries);
    if (out && fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* Pairs the events of a timeline. Its beginning may be lost, and a stalled run leaves spans without end. */
#include "spans.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../kernels/words.h"

static json_t *load_events(const char *folder)
{
    char path[PATH_MAX], *line = NULL;
    size_t size = 0;
    ssize_t length;
    json_t *events = json_array();
    if (snprintf(path, sizeof path, "%s/timeline.jsonl", folder) >= (int)sizeof path)
        return events;
    FILE *file = fopen(path, "re");
    while (file && (length = getline(&line, &size, file)) > 0) {
        json_t *event = json_loadb(line, (size_t)length, 0, NULL);
        if (json_is_object(event))
            json_array_append(events, event);
        json_decref(event);
    }
    free(line);
    if (file)
        fclose(file);
    return events;
}

/* The newest span that `event` goes on with, NULL if its beginning was lost. */
static struct hl_span *find_open(struct hl_spans *s, bool is_call, int rank, const json_t *event)
{
    const json_t *call = json_object_get(event, "call");
    for (size_t i = s->n_spans; i-- > 0;) {
        struct hl_span *span = &s->spans[i];
        if (span->is_call != is_call || span->rank != rank || span->end_ns >= 0)
            continue;
        const json_t *other = json_object_get(span->event, "call");
        if (!is_call || (hl_json_number(other, "call") == hl_json_number(call, "call") &&
                         hl_json_number(other, "workspace") == hl_json_number(call, "workspace")))
            return span;
    }
    return NULL;
}

static struct hl_span *open_span(struct hl_spans *s, bool is_call, int rank, const json_t *event)
{
    struct hl_span *span = &s->spans[s->n_spans++];
    *span = (struct hl_span){ is_call, rank, -1, -1, -1, event };
    return span;
}

static void take_event(struct hl_spans *s, const json_t *event)
{
    const char *kind = hl_json_text(event, "event");
    const int64_t time_ns = hl_json_number(event, "t_ns");
    const long long rank = hl_json_number(event, "rank");
    const bool is_call = json_is_object(json_object_get(event, "call"));
    if (json_is_integer(json_object_get(event, "left_out")))
        s->left_out = hl_json_number(event, "left_out");
    if (time_ns < 0 || rank >= HL_RANKS_MAX)
        return;
    s->ranks = rank >= s->ranks ? (int)rank + 1 : s->ranks;
    if (rank >= 0 && strcmp(kind, "host-begin") == 0) {
        open_span(s, false, (int)rank, event)->begin_ns = time_ns;
    } else if (rank >= 0 && strcmp(kind, "enqueue") == 0 && is_call) {
        open_span(s, true, (int)rank, event)->enqueued_ns = time_ns;
    } else if (rank >= 0 && strcmp(kind, "call-begin") == 0 && is_call) {
        struct hl_span *span = find_open(s, true, (int)rank, event);
        span = span ? span : open_span(s, true, (int)rank, event);
        span->begin_ns = time_ns;
        span->event = event;
    } else if (rank >= 0 && (strcmp(kind, "call-end") == 0 || strcmp(kind, "host-end") == 0)) {
        struct hl_span *span = find_open(s, is_call, (int)rank, event);
        if (span)
            span->end_ns = time_ns;
    } else if (kind[0]) {
        s->marks[s->n_marks++] = (struct hl_mark){ (int)rank, time_ns, event };
    }
}

bool hl_spans_load(const char *folder, struct hl_spans *ret_spans)
{
    struct hl_spans s = { .events = load_events(folder) };
    const size_t n = json_array_size(s.events) + 1;
    s.spans = calloc(n, sizeof *s.spans);
    s.marks = calloc(n, sizeof *s.marks);
    if (!s.events || !s.spans || !s.marks) {
        hl_spans_finish(&s);
        return false;
    }
    size_t i;
    json_t *event;
    json_array_foreach(s.events, i, event) take_event(&s, event);
    *ret_spans = s;
    return true;
}

void hl_spans_finish(struct hl_spans *spans)
{
    free(spans->spans);
    free(spans->marks);
    json_decref(spans->events);
}

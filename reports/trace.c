/* One process a rank, one thread a track: its host, and each of its streams. Viewers take begin and end on a
 * thread for a stack, so calls that overlap on a stream (programmatic dependent launch) get tracks of their
 * own. A span that never ended ends with the trace, marked as stalled. Times are microseconds (Trace Event
 * Format, Google, 2016). */
#include "trace.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "../kernels/words.h"
#include "spans.h"

#define STREAMS_MAX 64
#define LANES_MAX 8
#define TRACKS (1 + STREAMS_MAX * LANES_MAX) /* the host, then the lanes of each stream */

struct tracer {
    FILE *out;
    const struct hl_spans *spans;
    int64_t end_ns; /* of the trace */
    int64_t busy_until_ns[HL_RANKS_MAX][TRACKS];
    bool used[HL_RANKS_MAX][TRACKS];
    bool any;
};

static void write_event(struct tracer *t, json_t *event)
{
    fputs(t->any ? ",\n" : "\n", t->out);
    t->any = true;
    json_dumpf(event, t->out, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(event);
}

static double us(int64_t ns) { return (double)ns / 1000; }

static int stream_of(const struct hl_span *span)
{
    const long long stream = hl_json_number(json_object_get(span->event, "call"), "stream");
    return stream < 0 || stream >= STREAMS_MAX ? 0 : (int)stream;
}

/* The first free lane of its stream; the last one takes what is left. */
static int track_of(struct tracer *t, const struct hl_span *span)
{
    if (!span->is_call)
        return 0;
    const int first = 1 + stream_of(span) * LANES_MAX;
    int lane = 0;
    while (lane < LANES_MAX - 1 && t->busy_until_ns[span->rank][first + lane] > span->begin_ns)
        lane++;
    return first + lane;
}

static json_t *args_of(const struct hl_span *span, bool stalled)
{
    const json_t *call = json_object_get(span->event, "call");
    json_t *args = call ? json_copy((json_t *)call) : json_object();
    if (!call)
        json_object_set_new(args, "op", json_integer(hl_json_number(span->event, "op")));
    if (span->enqueued_ns >= 0)
        json_object_set_new(args, "enqueued_us", json_real(us(span->enqueued_ns)));
    if (stalled)
        json_object_set_new(args, "stalled", json_true());
    return args;
}

static void write_span(struct tracer *t, const struct hl_span *span)
{
    const int track = track_of(t, span);
    int64_t begin_ns = span->begin_ns, end_ns = span->end_ns < 0 ? t->end_ns : span->end_ns;
    int64_t *busy_until_ns = &t->busy_until_ns[span->rank][track];
    begin_ns = begin_ns < *busy_until_ns ? *busy_until_ns : begin_ns;
    end_ns = end_ns < begin_ns ? begin_ns : end_ns;
    *busy_until_ns = end_ns;
    t->used[span->rank][track] = true;
    const json_t *call = json_object_get(span->event, "call");
    json_t *name =
        call ? json_sprintf("call %lld %s%s", hl_json_number(call, "call"), hl_json_text(call, "protocol"),
                            span->end_ns < 0 ? " (stalled)" : "")
             : json_sprintf("%s%s", hl_json_text(span->event, "what"), span->end_ns < 0 ? " (stalled)" : "");
    write_event(t, json_pack("{s:s, s:o, s:s, s:f, s:i, s:i, s:o}", "ph", "B", "name", name, "cat",
                             call ? "call" : "host", "ts", us(begin_ns), "pid", span->rank, "tid", track,
                             "args", args_of(span, span->end_ns < 0)));
    write_event(
        t, json_pack("{s:s, s:f, s:i, s:i}", "ph", "E", "ts", us(end_ns), "pid", span->rank, "tid", track));
}

static void write_mark(struct tracer *t, const struct hl_mark *mark)
{
    const bool of_rank = mark->rank >= 0;
    write_event(t, json_pack("{s:s, s:s, s:s, s:f, s:i, s:i}", "ph", "i", "name",
                             hl_json_text(mark->event, "event"), "s", of_rank ? "p" : "g", "ts",
                             us(mark->time_ns), "pid", of_rank ? mark->rank : 0, "tid", 0));
    if (of_rank)
        t->used[mark->rank][0] = true;
}

static void write_name(struct tracer *t, const char *what, int rank, int track, json_t *name)
{
    write_event(t, json_pack("{s:s, s:s, s:i, s:i, s:{s:o}}", "ph", "M", "name", what, "pid", rank, "tid",
                             track, "args", "name", name));
}

static void write_names(struct tracer *t)
{
    for (int rank = 0; rank < t->spans->ranks; rank++) {
        write_name(t, "process_name", rank, 0, json_sprintf("rank %d", rank));
        write_event(t, json_pack("{s:s, s:s, s:i, s:i, s:{s:i}}", "ph", "M", "name", "process_sort_index",
                                 "pid", rank, "tid", 0, "args", "sort_index", rank));
        for (int track = 0; track < TRACKS; track++) {
            const int stream = (track - 1) / LANES_MAX, lane = (track - 1) % LANES_MAX;
            if (!t->used[rank][track])
                continue;
            write_name(t, "thread_name", rank, track,
                       track == 0  ? json_string("host")
                       : lane == 0 ? json_sprintf("stream %d", stream)
                                   : json_sprintf("stream %d, overlap %d", stream, lane));
        }
    }
}

static int64_t last_time_ns(const struct hl_spans *s)
{
    const json_t *event = json_array_get(s->events, json_array_size(s->events) - 1);
    return event ? hl_json_number(event, "t_ns") : 0;
}

static int compare_begins(const void *a_, const void *b_)
{
    const struct hl_span *a = a_, *b = b_;
    const int64_t keys[][2] = { { a->begin_ns, b->begin_ns },
                                { a->rank, b->rank },
                                { a->enqueued_ns, b->enqueued_ns },
                                { a->end_ns, b->end_ns } };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (keys[i][0] != keys[i][1])
            return keys[i][0] < keys[i][1] ? -1 : 1;
    return 0;
}

int hl_trace_write(const char *bundle, FILE *out)
{
    struct hl_spans spans;
    struct tracer *t = calloc(1, sizeof *t);
    if (!t || !hl_spans_load(bundle, &spans)) {
        free(t);
        errno = 0;
        return -1;
    }
    *t = (struct tracer){ .out = out, .spans = &spans, .end_ns = last_time_ns(&spans) };
    qsort(spans.spans, spans.n_spans, sizeof *spans.spans, compare_begins);
    fputs("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[", out);
    for (size_t i = 0; i < spans.n_spans; i++)
        if (spans.spans[i].begin_ns >= 0) /* what never began takes no time: the host shows who enqueued it */
            write_span(t, &spans.spans[i]);
    for (size_t i = 0; i < spans.n_marks; i++)
        write_mark(t, &spans.marks[i]);
    write_names(t);
    fputs("\n]}\n", out);
    hl_spans_finish(&spans);
    free(t);
    return ferror(out) ? -1 : 0;
}

/* The recorder: an engine around another one; see recording.h.
 *
 * It hands on every event and every question of the watchdog, and notes both. One run at a time, so its state
 * is the process's. */
#include <stdlib.h>
#include <string.h>
#include "../../../watchdog/watch.h"
#include "recording.h"

/* Words are noted up to so many bytes of answers: a GPU that is full leaves thousands of slots empty. */
#define ANSWERS_MAX (1u << 20)
/* Of a rank's native stacks: its own thread comes first. */
#define THREADS_MAX 4096

struct hl_run {
    struct hl_run *inner;
};

/* A call whose rows are kept; those of all its ranks, or the oracle could not check it. */
struct kept_call {
    uint8_t workspace;
    uint32_t call;
};

static struct recorder {
    const struct hl_engine *engine;
    struct hl_engine self;
    struct hl_recording recording;
    struct hl_feed feed;
    struct hl_probe probe; /* of the inner run */
    uint64_t rows_left, last_ns;
    struct kept_call *kept;
    uint32_t n_kept;
    struct enqueued {
        struct hl_call_record *records; /* enqueued and not begun */
        uint32_t n;
    } enqueued[HL_RANKS_MAX];
    bool failed;
} recorder;

/* Is the record of a call that begins the one that it was enqueued with? It is forgotten here. */
static bool is_as_enqueued(const struct hl_event *event)
{
    struct enqueued *e = &recorder.enqueued[event->rank];
    for (uint32_t i = 0; i < e->n; i++) {
        if (e->records[i].call != event->call->call || e->records[i].workspace != event->call->workspace)
            continue;
        const bool same = memcmp(&e->records[i], event->call, sizeof *event->call) == 0;
        e->records[i] = e->records[--e->n];
        return same;
    }
    return false;
}

static void remember_enqueued(const struct hl_event *event)
{
    struct enqueued *e = &recorder.enqueued[event->rank];
    struct hl_call_record *records = realloc(e->records, (e->n + 1u) * sizeof *records);
    recorder.failed |= !records;
    if (!records)
        return;
    e->records = records;
    memcpy(&records[e->n++], event->call,
           sizeof *records); /* with its padding: records are compared as bytes */
}

static bool keeps_rows(const struct hl_event *event)
{
    for (uint32_t i = 0; i < recorder.n_kept; i++)
        if (recorder.kept[i].call == event->call->call &&
            recorder.kept[i].workspace == event->call->workspace)
            return true;
    if (event->kind != HL_EVENT_CALL_BEGIN || !event->data)
        return false;
    /* Inputs, residuals and two outputs of all ranks. */
    const uint64_t row_bytes = (uint64_t)event->data->hidden * hl_dtype_bytes(event->call->dtype);
    const uint64_t bytes =
        (4ull * event->call->exec_tokens + 1) * row_bytes * (uint64_t)recorder.recording.ranks;
    if (bytes > recorder.rows_left)
        return false;
    struct kept_call *kept = realloc(recorder.kept, (recorder.n_kept + 1u) * sizeof *kept);
    recorder.failed |= !kept;
    if (!kept)
        return false;
    recorder.kept = kept;
    kept[recorder.n_kept++] = (struct kept_call){ event->call->workspace, event->call->call };
    recorder.rows_left -= bytes;
    return true;
}

static void put_rows(struct hl_bytes *b, const struct hl_event *event)
{
    const struct hl_call_data *data = event->data;
    const uint32_t row = data->hidden * hl_dtype_bytes(event->call->dtype) / 4;
    const uint32_t rows = event->call->exec_tokens * row;
    hl_put_number(b, data->hidden);
    if (event->kind == HL_EVENT_CALL_BEGIN) {
        hl_put_words(b, data->input, rows);
        hl_put_words(b, data->residual, rows);
        hl_put_words(b, data->gamma, row);
    } else {
        hl_put_words(b, data->residual_out, rows);
        hl_put_words(b, data->norm_out, rows);
        recorder.recording.header.calls_with_rows++;
    }
}

/* Where an event's stream need not be kept. */
static uint32_t stream_of_call(const struct hl_event *event)
{
    return event->kind == HL_EVENT_ENQUEUE ? event->call->stream : 0;
}

static void put_event(const struct hl_event *event)
{
    struct hl_bytes *b = &recorder.recording.events;
    const bool is_call = event->kind == HL_EVENT_CALL_BEGIN || event->kind == HL_EVENT_CALL_END;
    const bool rows = is_call && event->data && keeps_rows(event);
    /* The record is written again where it has changed since the call was enqueued. */
    const bool record =
        event->kind == HL_EVENT_ENQUEUE || (event->kind == HL_EVENT_CALL_BEGIN && !is_as_enqueued(event));
    if (event->kind == HL_EVENT_ENQUEUE)
        remember_enqueued(event);
    hl_put_number(b, event->kind);
    const bool epoch = record && event->call->epoch, group = record && event->call->group;
    const bool outside = event->wait != HL_HOST_WAIT_ORDER || event->group || event->replaces;
    const bool stream = event->stream != stream_of_call(event);
    hl_put_number(b, (record ? 1u : 0u) | (rows ? 2u : 0u) | (epoch ? 4u : 0u) | (outside ? 8u : 0u) |
                         (group ? 16u : 0u) | (stream ? 32u : 0u));
    hl_put_number(b, event->time_ns - recorder.last_ns);
    hl_put_number(b, (uint64_t)(event->rank + 1));
    recorder.last_ns = event->time_ns;
    recorder.recording.header.calls += event->kind == HL_EVENT_CALL_END;
    if (event->kind == HL_EVENT_HOST_BEGIN || event->kind == HL_EVENT_HOST_END ||
        event->kind == HL_EVENT_RANK_EXIT)
        hl_put_number(b, event->op);
    else if (event->kind == HL_EVENT_FAULT)
        hl_put_number(b, event->fault);
    else if (event->kind == HL_EVENT_WORKSPACE_INIT)
        hl_put_number(b, event->workspace);
    else if (record)
        hl_put_record(b, event->call);
    else if (is_call) {
        hl_put_number(b, event->call->workspace);
        hl_put_number(b, event->call->call);
    }
    if (epoch)
        hl_put_number(b, event->call->epoch);
    if (group)
        hl_put_number(b, event->call->group);
    if (outside) {
        hl_put_number(b, event->wait);
        hl_put_number(b, event->group);
        hl_put_number(b, event->replaces);
    }
    if (stream)
        hl_put_number(b, event->stream);
    if (rows)
        put_rows(b, event);
}

static void on_event(void *user, const struct hl_event *event)
{
    (void)user;
    put_event(event);
    recorder.feed.on_event(recorder.feed.user, event);
}

/*
 * The probe
 */

static struct hl_bytes *answer(enum hl_answer_kind kind, int rank)
{
    static struct hl_bytes nowhere = { .failed = true };
    struct hl_bytes *b = &recorder.recording.answers;
    if (kind == HL_ANSWER_WORDS && b->size > ANSWERS_MAX)
        return &nowhere;
    hl_put_number(b, kind);
    hl_put_number(b, (uint64_t)rank);
    return b;
}

static const struct hl_layout *layout(void *user, int workspace)
{
    (void)user;
    return recorder.probe.layout(recorder.probe.user, workspace);
}

static int read_words(void *user, int rank, int workspace, uint32_t first, uint32_t count, uint32_t *words)
{
    (void)user;
    const int result = recorder.probe.read_words(recorder.probe.user, rank, workspace, first, count, words);
    struct hl_bytes *b = answer(HL_ANSWER_WORDS, rank);
    hl_put_number(b, (uint64_t)workspace);
    hl_put_number(b, first);
    hl_put_number(b, count);
    hl_put_number(b, result == 0 && count > 0);
    if (result == 0 && count > 0)
        hl_put_words(b, words, count);
    return result;
}

static enum hl_host_state host_state(void *user, int rank)
{
    (void)user;
    const enum hl_host_state state = recorder.probe.host_state(recorder.probe.user, rank);
    hl_put_number(answer(HL_ANSWER_HOST, rank), state);
    return state;
}

static size_t host_stack(void *user, int rank, char *text, size_t size)
{
    (void)user;
    const size_t length = recorder.probe.host_stack(recorder.probe.user, rank, text, size);
    struct hl_bytes *b = answer(HL_ANSWER_STACK, rank);
    hl_put_number(b, length);
    hl_put(b, text, length);
    return length;
}

static enum hl_device_answer device_answer(void *user, int rank)
{
    (void)user;
    return recorder.probe.device_answer ? recorder.probe.device_answer(recorder.probe.user, rank)
                                        : HL_DEVICE_NOT_ASKED;
}

static bool is_serialised(void *user)
{
    (void)user;
    return recorder.probe.is_serialised && recorder.probe.is_serialised(recorder.probe.user);
}

static struct hl_residency residency(void *user, int rank)
{
    const struct hl_residency r = recorder.probe.residency(recorder.probe.user, rank);
    struct hl_bytes *b = answer(HL_ANSWER_RESIDENCY, rank);
    hl_put_number(b, r.ctas);
    hl_put_number(b, r.started);
    hl_put_number(b, r.ended);
    hl_put_number(b, r.room);
    b = answer(HL_ANSWER_OUTSIDE, rank);
    hl_put_number(b, r.foreign);
    hl_put_number(b, device_answer(user, rank));
    hl_put_number(b, is_serialised(user));
    return r;
}

static struct hl_stray_write stray_write(void *user)
{
    (void)user;
    if (!recorder.probe.stray_write)
        return (struct hl_stray_write){ 0 };
    const struct hl_stray_write s = recorder.probe.stray_write(recorder.probe.user);
    if (!s.found)
        return s;
    struct hl_bytes *b = answer(HL_ANSWER_STRAY, s.rank);
    hl_put_number(b, (uint64_t)s.workspace);
    hl_put_number(b, (uint64_t)(s.buffer + 1));
    hl_put_number(b, s.distance < 0);
    hl_put_number(b, (uint64_t)(s.distance < 0 ? -s.distance : s.distance));
    hl_put_number(b, s.value);
    hl_put_number(b, (uint64_t)(s.by_rank + 1));
    hl_put_number(b, s.by_call);
    return s;
}

static struct hl_word_history word_history(void *user, int rank, int workspace, uint32_t word)
{
    (void)user;
    const struct hl_word_history h = recorder.probe.word_history(recorder.probe.user, rank, workspace, word);
    struct hl_bytes *b = answer(HL_ANSWER_HISTORY, rank);
    hl_put_number(b, (uint64_t)workspace);
    hl_put_number(b, word);
    hl_put_number(b, h.known);
    hl_put_number(b, (uint64_t)(h.stored_by + 1));
    hl_put_number(b, h.stored_call);
    hl_put_number(b, h.stored_ns);
    hl_put_number(b, (uint64_t)(h.cleared_by + 1));
    hl_put_number(b, h.cleared_call);
    hl_put_number(b, h.cleared_ns);
    return h;
}

static void put_text(struct hl_bytes *b, const char *text, size_t max)
{
    const size_t length = strnlen(text ? text : "", max);
    hl_put_number(b, length);
    hl_put(b, text, length);
}

static void threads(void *user, struct hl_evidence *evidence)
{
    (void)user;
    hl_collect_threads(&recorder.probe, evidence);
    for (int r = 0; r < evidence->ranks; r++) {
        const struct hl_rank_evidence *rank = &evidence->rank[r];
        struct hl_bytes *b = answer(HL_ANSWER_THREADS, r);
        put_text(b, rank->threads, THREADS_MAX);
        put_text(b, rank->driver_call, sizeof rank->driver_call);
        put_text(b, rank->called_by, sizeof rank->called_by);
    }
}

static void device(void *user, int index, struct hl_device_evidence *ret_evidence)
{
    (void)user;
    recorder.probe.device(recorder.probe.user, index, ret_evidence);
    if (ret_evidence->known)
        hl_put_device(answer(HL_ANSWER_DEVICE, index), ret_evidence);
}

static struct hl_probe probe(struct hl_run *run)
{
    recorder.probe = recorder.engine->probe(run->inner);
    recorder.recording.compare = recorder.probe.compare;
    for (int w = 0; w < recorder.recording.workspaces; w++)
        recorder.recording.layout[w] = *recorder.probe.layout(recorder.probe.user, w);
    return (struct hl_probe){ .ranks = recorder.probe.ranks,
                              .layout = layout,
                              .compare = recorder.probe.compare,
                              .read_words = read_words,
                              .host_state = host_state,
                              .host_stack = host_stack,
                              .residency = residency,
                              .word_history = word_history,
                              .stray_write = stray_write,
                              .is_serialised = is_serialised,
                              .device_answer = device_answer,
                              .threads = recorder.probe.host_place ? threads : NULL,
                              .devices = recorder.probe.devices,
                              .device = device };
}

/*
 * The rest of the interface
 */

static enum hl_status start(const struct hl_run_spec *spec, struct hl_run **ret_run, struct hl_error *error)
{
    struct hl_run_spec inner = *spec;
    struct hl_run *run = calloc(1, sizeof *run);
    if (!run)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a run");
    recorder.feed = spec->feed;
    recorder.recording.ranks = spec->program->ranks;
    recorder.recording.workspaces = spec->program->n_workspaces;
    recorder.recording.header.seed = spec->seed;
    inner.feed = (struct hl_feed){ on_event, NULL };
    const enum hl_status status = recorder.engine->start(&inner, &run->inner, error);
    if (status) {
        free(run);
        return status;
    }
    *ret_run = run;
    return HL_STATUS_OK;
}

static enum hl_run_state advance(struct hl_run *run, uint64_t slice_ns, uint64_t *ret_now_ns)
{
    struct hl_recording *r = &recorder.recording;
    r->state = recorder.engine->advance(run->inner, slice_ns, ret_now_ns);
    r->end_ns = *ret_now_ns;
    if (r->state == HL_RUN_CRASHED)
        strncpy(r->crash, recorder.engine->crash_reason(run->inner), sizeof r->crash - 1);
    return r->state;
}

static const char *crash_reason(const struct hl_run *run)
{
    return recorder.engine->crash_reason(run->inner);
}

static void end(struct hl_run *run)
{
    recorder.engine->end(run->inner);
    free(run);
}

const struct hl_engine *hl_recorder_begin(const struct hl_engine *engine, uint64_t rows_bytes)
{
    recorder = (struct recorder){ .engine = engine, .rows_left = rows_bytes };
    recorder.self = (struct hl_engine){ engine->name, start, advance, probe, crash_reason, end };
    strncpy(recorder.recording.header.engine, engine->name, sizeof recorder.recording.header.engine - 1);
    return &recorder.self;
}

bool hl_recorder_end(struct hl_recording *ret_recording)
{
    const bool failed =
        recorder.failed || recorder.recording.events.failed || recorder.recording.answers.failed;
    free(recorder.kept);
    for (int rank = 0; rank < HL_RANKS_MAX; rank++)
        free(recorder.enqueued[rank].records);
    *ret_recording = recorder.recording;
    recorder = (struct recorder){ 0 };
    return !failed;
}

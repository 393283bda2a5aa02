/* The player: an engine whose run is a recording; see recording.h.
 *
 * It gives out events as their time comes and answers of the probe as they were given. What was not asked
 * then cannot be answered now. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../../../watchdog/evidence.h"
#include "recording.h"

/* Time after the end of a recording for the watchdog to see a stall. */
#define PATIENCE_NS 600000000000ull

/* Words that the watchdog read. */
struct read {
    int rank, workspace;
    uint32_t first, count;
    uint32_t *words;
};

struct history {
    int rank, workspace;
    uint32_t word;
    struct hl_word_history history;
};

struct rank_answers {
    enum hl_host_state host;
    char stack[4096];
    struct hl_residency residency;
    enum hl_device_answer device;
    char *threads; /* native stacks; NULL: none were recorded */
    char driver_call[64], called_by[192];
    struct hl_call_record *calls; /* enqueued and not ended */
    uint32_t n_calls;
};

struct hl_run {
    const struct hl_recording *recording;
    struct hl_feed feed;
    struct hl_bytes events;
    uint64_t now_ns, event_ns; /* event_ns: time of the last one */
    struct hl_event next;      /* the event that is due next; its record and rows are below */
    bool has_next;
    struct hl_call_record record;
    struct hl_call_data data;
    uint32_t *rows[3];
    struct rank_answers rank[HL_RANKS_MAX];
    struct read *reads;
    uint32_t n_reads;
    struct history *histories;
    uint32_t n_histories;
    struct hl_stray_write stray;
    struct hl_device_evidence *devices;
    int n_devices;
    bool has_threads, serialised;
    bool damaged;
};

static const struct hl_recording *chosen;

/*
 * Events
 */

static void free_rows(struct hl_run *run)
{
    for (int i = 0; i < 3; i++) {
        free(run->rows[i]);
        run->rows[i] = NULL;
    }
}

static bool get_rows(struct hl_run *run)
{
    const bool begins = run->next.kind == HL_EVENT_CALL_BEGIN;
    const int n = begins ? 3 : 2;
    run->data = (struct hl_call_data){ .hidden = (uint32_t)hl_get_number(&run->events) };
    const uint64_t row = (uint64_t)run->data.hidden * hl_dtype_bytes(run->record.dtype) / 4;
    for (int i = 0; i < n; i++) {
        uint32_t count = 0;
        run->rows[i] = hl_get_words(&run->events, &count);
        if (!run->rows[i] || count != (i == 2 ? row : row * run->record.exec_tokens))
            return false;
    }
    run->data.input = begins ? run->rows[0] : NULL;
    run->data.residual = begins ? run->rows[1] : NULL;
    run->data.gamma = begins ? run->rows[2] : NULL;
    run->data.residual_out = begins ? NULL : run->rows[0];
    run->data.norm_out = begins ? NULL : run->rows[1];
    run->next.data = &run->data;
    return true;
}

/* Keeps the record of a call until it ends. */
static bool find_record(struct hl_run *run, struct rank_answers *rank, uint8_t workspace, uint32_t call)
{
    for (uint32_t i = 0; i < rank->n_calls; i++)
        if (rank->calls[i].workspace == workspace && rank->calls[i].call == call) {
            run->record = rank->calls[i];
            rank->calls[i] = rank->calls[--rank->n_calls];
            return true;
        }
    return false;
}

static bool keep_record(struct hl_run *run, struct rank_answers *rank)
{
    struct hl_call_record *calls = realloc(rank->calls, (rank->n_calls + 1u) * sizeof *calls);
    if (!calls)
        return false;
    rank->calls = calls;
    calls[rank->n_calls++] = run->record;
    return true;
}

static bool get_call(struct hl_run *run, bool has_record, bool has_epoch, bool has_group)
{
    struct rank_answers *rank = &run->rank[run->next.rank];
    if (has_record) {
        struct hl_call_record record = hl_get_record(&run->events);
        if (has_epoch)
            record.epoch = (uint32_t)hl_get_number(&run->events);
        if (has_group)
            record.group = (uint32_t)hl_get_number(&run->events);
        find_record(run, rank, record.workspace, record.call); /* an older one makes way */
        run->record = record;
    } else {
        const uint8_t workspace = (uint8_t)hl_get_number(&run->events);
        if (!find_record(run, rank, workspace, (uint32_t)hl_get_number(&run->events)))
            return false;
    }
    run->next.call = &run->record;
    return run->next.kind == HL_EVENT_CALL_END || keep_record(run, rank);
}

static bool get_outside(struct hl_run *run)
{
    const uint64_t wait = hl_get_number(&run->events);
    run->next.wait = (enum hl_host_wait)wait;
    run->next.group = (uint32_t)hl_get_number(&run->events);
    run->next.replaces = (uint32_t)hl_get_number(&run->events);
    return wait < HL_HOST_WAIT_COUNT && run->next.replaces <= (uint32_t)run->recording->workspaces;
}

/* Takes the next event from the bytes; false when there is none, or it makes no sense. */
static bool get_event(struct hl_run *run)
{
    struct hl_bytes *b = &run->events;
    free_rows(run);
    if (b->at == b->size || run->damaged)
        return false;
    const uint64_t kind = hl_get_number(b), flags = hl_get_number(b);
    run->event_ns += hl_get_number(b);
    const uint64_t rank = hl_get_number(b);
    run->next = (struct hl_event){ .kind = (enum hl_event_kind)kind,
                                   .time_ns = run->event_ns,
                                   .rank = (int)rank - 1 };
    bool ok = !b->failed && kind < HL_EVENT_COUNT && rank <= (uint64_t)run->recording->ranks;
    if (!ok || (rank == 0 && kind != HL_EVENT_QUIESCENT)) {
        run->damaged = true;
        return false;
    }
    switch (run->next.kind) {
    case HL_EVENT_HOST_BEGIN:
    case HL_EVENT_HOST_END:
    case HL_EVENT_RANK_EXIT: run->next.op = (uint32_t)hl_get_number(b); break;
    case HL_EVENT_FAULT: run->next.fault = (uint32_t)hl_get_number(b); break;
    case HL_EVENT_WORKSPACE_INIT: run->next.workspace = (uint32_t)hl_get_number(b); break;
    case HL_EVENT_ENQUEUE:
    case HL_EVENT_CALL_BEGIN:
    case HL_EVENT_CALL_END: ok = get_call(run, flags & 1, flags & 4, flags & 16); break;
    default: break;
    }
    if (flags & 8)
        ok = ok && get_outside(run);
    if (run->next.kind == HL_EVENT_ENQUEUE && ok)
        run->next.stream = run->next.call->stream;
    if (flags & 32)
        run->next.stream = (uint32_t)hl_get_number(b);
    if (flags & 2)
        ok = ok && run->next.call && get_rows(run);
    run->damaged = !ok || b->failed;
    return !run->damaged;
}

/*
 * Answers
 */

static bool get_read(struct hl_run *run, struct hl_bytes *b, int rank)
{
    struct read read = { .rank = rank, .workspace = (int)hl_get_number(b) };
    read.first = (uint32_t)hl_get_number(b);
    read.count = (uint32_t)hl_get_number(b);
    if (hl_get_number(b) == 0)
        return !b->failed;
    uint32_t count = 0;
    read.words = hl_get_words(b, &count);
    struct read *reads = realloc(run->reads, (run->n_reads + 1u) * sizeof *reads);
    if (reads)
        run->reads = reads;
    if (!reads || !read.words || count != read.count) {
        free(read.words);
        return false;
    }
    reads[run->n_reads++] = read;
    return true;
}

static bool get_history(struct hl_run *run, struct hl_bytes *b, int rank)
{
    struct history h = { .rank = rank, .workspace = (int)hl_get_number(b) };
    h.word = (uint32_t)hl_get_number(b);
    h.history.known = hl_get_number(b) != 0;
    h.history.stored_by = (int)hl_get_number(b) - 1;
    h.history.stored_call = (uint32_t)hl_get_number(b);
    h.history.stored_ns = hl_get_number(b);
    h.history.cleared_by = (int)hl_get_number(b) - 1;
    h.history.cleared_call = (uint32_t)hl_get_number(b);
    h.history.cleared_ns = hl_get_number(b);
    struct history *histories = realloc(run->histories, (run->n_histories + 1u) * sizeof *histories);
    if (!histories)
        return false;
    run->histories = histories;
    histories[run->n_histories++] = h;
    return !b->failed;
}

static bool get_stack(struct hl_bytes *b, struct rank_answers *rank)
{
    const uint64_t length = hl_get_number(b);
    const char *text = length < sizeof rank->stack ? hl_get(b, length) : NULL;
    if (!text && length)
        return false;
    memcpy(rank->stack, text, length);
    rank->stack[length] = 0;
    return true;
}

static bool get_stray(struct hl_run *run, struct hl_bytes *b, int rank)
{
    struct hl_stray_write s = { .found = true, .rank = rank, .workspace = (int)hl_get_number(b) };
    s.buffer = (int)hl_get_number(b) - 1;
    const bool before = hl_get_number(b) != 0;
    const int64_t distance = (int64_t)(hl_get_number(b) & INT64_MAX);
    s.distance = before ? -distance : distance;
    s.value = (uint32_t)hl_get_number(b);
    s.by_rank = (int)hl_get_number(b) - 1;
    s.by_call = (uint32_t)hl_get_number(b);
    run->stray = s;
    return !b->failed && s.workspace < run->recording->workspaces && s.by_rank < run->recording->ranks;
}

static bool get_text(struct hl_bytes *b, char *text, size_t size)
{
    const uint64_t length = hl_get_number(b);
    const char *from = length < size ? hl_get(b, length) : NULL;
    if (from)
        snprintf(text, size, "%.*s", (int)length, from);
    return from != NULL;
}

static bool get_threads(struct hl_run *run, struct hl_bytes *b, struct rank_answers *rank)
{
    const uint64_t length = hl_get_number(b);
    const char *text = hl_get(b, length);
    free(rank->threads);
    rank->threads = text && length ? strndup(text, length) : NULL;
    run->has_threads = true;
    return text && get_text(b, rank->driver_call, sizeof rank->driver_call) &&
           get_text(b, rank->called_by, sizeof rank->called_by);
}

static bool get_device(struct hl_run *run, struct hl_bytes *b)
{
    struct hl_device_evidence *devices =
        realloc(run->devices, (size_t)(run->n_devices + 1) * sizeof *devices);
    if (!devices)
        return false;
    run->devices = devices;
    return hl_get_device(b, &devices[run->n_devices]) && ++run->n_devices;
}

static bool get_answer(struct hl_run *run, struct hl_bytes *b)
{
    const uint64_t kind = hl_get_number(b), rank = hl_get_number(b);
    if (b->failed || rank >= (uint64_t)run->recording->ranks)
        return false;
    struct rank_answers *to = &run->rank[rank];
    switch (kind) {
    case HL_ANSWER_WORDS: return get_read(run, b, (int)rank);
    case HL_ANSWER_HOST: to->host = (enum hl_host_state)hl_get_number(b); return to->host <= HL_HOST_DEAD;
    case HL_ANSWER_STACK: return get_stack(b, to);
    case HL_ANSWER_RESIDENCY:
        to->residency.ctas = (uint32_t)hl_get_number(b);
        to->residency.started = (uint32_t)hl_get_number(b);
        to->residency.ended = (uint32_t)hl_get_number(b);
        to->residency.room = (uint32_t)hl_get_number(b);
        return !b->failed;
    case HL_ANSWER_HISTORY: return get_history(run, b, (int)rank);
    case HL_ANSWER_OUTSIDE:
        to->residency.foreign = (uint32_t)hl_get_number(b);
        to->device = (enum hl_device_answer)hl_get_number(b);
        run->serialised |= hl_get_number(b) != 0;
        return !b->failed && to->device <= HL_DEVICE_SILENT;
    case HL_ANSWER_STRAY: return get_stray(run, b, (int)rank);
    case HL_ANSWER_THREADS: return get_threads(run, b, to);
    case HL_ANSWER_DEVICE: return get_device(run, b);
    default: return false;
    }
}

static const struct hl_layout *probe_layout(void *user, int workspace)
{
    return &((const struct hl_run *)user)->recording->layout[workspace];
}

static int probe_read_words(void *user, int rank, int workspace, uint32_t first, uint32_t count,
                            uint32_t *words)
{
    const struct hl_run *run = user;
    for (uint32_t i = 0; i < run->n_reads; i++) {
        const struct read *read = &run->reads[i];
        if (read->rank != rank || read->workspace != workspace || first < read->first ||
            count > read->count || first - read->first > read->count - count)
            continue;
        memcpy(words, read->words + (first - read->first), count * sizeof *words);
        return 0;
    }
    return -1;
}

static enum hl_host_state probe_host_state(void *user, int rank)
{
    return ((const struct hl_run *)user)->rank[rank].host;
}

static size_t probe_host_stack(void *user, int rank, char *text, size_t size)
{
    const int n = snprintf(text, size, "%s", ((const struct hl_run *)user)->rank[rank].stack);
    return (size_t)n < size ? (size_t)n : size - 1;
}

static struct hl_residency probe_residency(void *user, int rank)
{
    return ((const struct hl_run *)user)->rank[rank].residency;
}

static struct hl_word_history probe_word_history(void *user, int rank, int workspace, uint32_t word)
{
    const struct hl_run *run = user;
    for (uint32_t i = 0; i < run->n_histories; i++)
        if (run->histories[i].rank == rank && run->histories[i].workspace == workspace &&
            run->histories[i].word == word)
            return run->histories[i].history;
    return (struct hl_word_history){ .known = false, .stored_by = -1, .cleared_by = -1 };
}

static struct hl_stray_write probe_stray_write(void *user) { return ((const struct hl_run *)user)->stray; }

static bool probe_is_serialised(void *user) { return ((const struct hl_run *)user)->serialised; }

static enum hl_device_answer probe_device_answer(void *user, int rank)
{
    return ((const struct hl_run *)user)->rank[rank].device;
}

static void probe_threads(void *user, struct hl_evidence *evidence)
{
    const struct hl_run *run = user;
    for (int r = 0; r < evidence->ranks; r++) {
        const struct rank_answers *from = &run->rank[r];
        struct hl_rank_evidence *to = &evidence->rank[r];
        to->threads = from->threads ? strdup(from->threads) : NULL;
        memcpy(to->driver_call, from->driver_call, sizeof to->driver_call);
        memcpy(to->called_by, from->called_by, sizeof to->called_by);
    }
}

static void probe_device(void *user, int index, struct hl_device_evidence *ret_evidence)
{
    *ret_evidence = ((const struct hl_run *)user)->devices[index];
}

/*
 * The interface
 */

static void end(struct hl_run *run)
{
    free_rows(run);
    for (int rank = 0; rank < HL_RANKS_MAX; rank++)
        free(run->rank[rank].calls);
    for (uint32_t i = 0; i < run->n_reads; i++)
        free(run->reads[i].words);
    free(run->reads);
    free(run->histories);
    free(run->devices);
    for (int rank = 0; rank < HL_RANKS_MAX; rank++)
        free(run->rank[rank].threads);
    free(run);
}

static enum hl_status start(const struct hl_run_spec *spec, struct hl_run **ret_run, struct hl_error *error)
{
    struct hl_run *run = calloc(1, sizeof *run);
    if (!run)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a run");
    run->recording = chosen;
    run->feed = spec->feed;
    run->events = chosen->events; /* a reader of its own over the same bytes */
    struct hl_bytes answers = chosen->answers;
    while (answers.at < answers.size && !run->damaged)
        run->damaged = !get_answer(run, &answers);
    run->has_next = get_event(run);
    if (run->damaged || spec->program->ranks != chosen->ranks ||
        spec->program->n_workspaces != chosen->workspaces) {
        end(run);
        return hl_fail(error, HL_STATUS_USAGE, "the recording is damaged, or is not of this scenario");
    }
    *ret_run = run;
    return HL_STATUS_OK;
}

static enum hl_run_state advance(struct hl_run *run, uint64_t slice_ns, uint64_t *ret_now_ns)
{
    run->now_ns += slice_ns;
    while (run->has_next && run->next.time_ns <= run->now_ns) {
        run->feed.on_event(run->feed.user, &run->next);
        run->has_next = get_event(run);
    }
    *ret_now_ns = run->now_ns;
    if (run->damaged)
        return HL_RUN_CRASHED;
    if (run->has_next || run->now_ns < run->recording->end_ns)
        return HL_RUN_GOING;
    /* Time goes on after a hang until the watchdog sees it; but it must see it some day. */
    const bool waits = run->recording->state == HL_RUN_GOING;
    return waits && run->now_ns > run->recording->end_ns + PATIENCE_NS ? HL_RUN_STUCK : run->recording->state;
}

static const char *crash_reason(const struct hl_run *run)
{
    return run->damaged ? "the recording is damaged" : run->recording->crash;
}

static struct hl_probe probe(struct hl_run *run)
{
    return (struct hl_probe){ .user = run,
                              .ranks = run->recording->ranks,
                              .layout = probe_layout,
                              .compare = run->recording->compare,
                              .read_words = probe_read_words,
                              .host_state = probe_host_state,
                              .host_stack = probe_host_stack,
                              .residency = probe_residency,
                              .stray_write = probe_stray_write,
                              .is_serialised = probe_is_serialised,
                              .device_answer = probe_device_answer,
                              .threads = run->has_threads ? probe_threads : NULL,
                              .devices = run->n_devices,
                              .device = probe_device,
                              .word_history = probe_word_history };
}

const struct hl_engine *hl_replay(const struct hl_recording *recording)
{
    static struct hl_engine engine = { NULL, start, advance, probe, crash_reason, end };
    chosen = recording;
    engine.name = recording->header.engine; /* what reproduces the run is the engine that ran it */
    return &engine;
}

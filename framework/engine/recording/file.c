/* Recordings as files; see recording.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "recording.h"

#define FIRST_LINE "hanglab-recording: 1"
/* A file is not read beyond this. */
#define FILE_BYTES_MAX (256u << 20)

static const char *const state_names[] = {
    [HL_RUN_GOING] = "going", [HL_RUN_ENDED] = "ended", [HL_RUN_STUCK] = "stuck", [HL_RUN_CRASHED] = "crashed"
};

void hl_recording_finish(struct hl_recording *recording)
{
    hl_bytes_finish(&recording->scenario);
    hl_bytes_finish(&recording->events);
    hl_bytes_finish(&recording->answers);
}

/*
 * Writing
 */

static void write_lines(FILE *out, const struct hl_recording *r)
{
    const struct hl_recording_header *h = &r->header;
    fprintf(out, FIRST_LINE "\nengine: %s\ngeometry: %s\ndate: %s\nmachine: %s\nbuild: %s\ncommand: %s\n",
            h->engine, h->geometry, h->date, h->machine, h->build, h->command);
    fprintf(out,
            "verdict: %s\ncause: %s\nseed: %" PRIu64 "\ncalls: %" PRIu64 "\ncalls-with-rows: %" PRIu64 "\n",
            h->verdict, h->cause, h->seed, h->calls, h->calls_with_rows);
    fprintf(out, "state: %s\ncrash: %s\nend-ns: %" PRIu64 "\nranks: %d\nworkspaces: %d\ncompare: %d\n",
            state_names[r->state], r->crash, r->end_ns, r->ranks, r->workspaces, (int)r->compare);
    for (int w = 0; w < r->workspaces; w++)
        fprintf(out, "layout: %d %d %d %" PRIu32 " %" PRIu32 " %" PRIu32 "\n", (int)r->layout[w].family,
                (int)r->layout[w].dtype, r->layout[w].ranks, r->layout[w].tokens_max, r->layout[w].row_words,
                r->layout[w].gap);
    fprintf(out, "scenario: %zu\nevents: %zu\nanswers: %zu\n\n", r->scenario.size, r->events.size,
            r->answers.size);
}

enum hl_status hl_recording_write(const char *path, const struct hl_recording *r, struct hl_error *error)
{
    char temporary[4096];
    if (snprintf(temporary, sizeof temporary, "%s.%ld.tmp", path, (long)getpid()) >= (int)sizeof temporary)
        return hl_fail(error, HL_STATUS_IO, "%s: the path is too long", path);
    FILE *out = fopen(temporary, "wb");
    if (!out)
        return hl_fail(error, HL_STATUS_IO, "cannot write %s: %s", path, strerror(errno));
    write_lines(out, r);
    fwrite(r->scenario.data, 1, r->scenario.size, out);
    fwrite(r->events.data, 1, r->events.size, out);
    fwrite(r->answers.data, 1, r->answers.size, out);
    const bool ok = fflush(out) == 0 && !ferror(out) && fsync(fileno(out)) == 0;
    const int why = errno;
    fclose(out);
    if (ok && rename(temporary, path) == 0)
        return HL_STATUS_OK;
    unlink(temporary);
    return hl_fail(error, HL_STATUS_IO, "cannot write %s: %s", path, strerror(ok ? errno : why));
}

/*
 * Reading
 */

struct reader {
    const char *path;
    struct hl_bytes bytes;
    int line, layouts;
    uint64_t scenario, events, answers;
};

static bool number(const char *text, uint64_t max, uint64_t *ret_number)
{
    char *end;
    errno = 0;
    const unsigned long long n = strtoull(text, &end, 10);
    if (errno || end == text || *end || n > max)
        return false;
    *ret_number = n;
    return true;
}

static bool take_text(char *to, size_t size, const char *text)
{
    return snprintf(to, size, "%s", text) < (int)size;
}

static bool take_layout(struct hl_recording *r, struct reader *reader, const char *text)
{
    int family, dtype, ranks, read = 0;
    uint32_t tokens_max, row_words, gap = 0; /* older recordings have no gap */
    if (reader->layouts == HL_RECORDED_WORKSPACES_MAX ||
        sscanf(text, "%d %d %d %" SCNu32 " %" SCNu32 "%n %" SCNu32 "%n", &family, &dtype, &ranks, &tokens_max,
               &row_words, &read, &gap, &read) < 5 ||
        text[read] || family < 0 || family > HL_FAMILY_NCCL || dtype < 0 || dtype >= HL_DTYPE_COUNT ||
        ranks < 1 || ranks > HL_RANKS_MAX || row_words == 0 || row_words > HL_HIDDEN_MAX ||
        tokens_max > 1u << 16 || gap > HL_HIDDEN_MAX)
        return false;
    const uint32_t hidden = row_words * 4 / hl_dtype_bytes((enum hl_dtype)dtype);
    r->layout[reader->layouts++] = hl_layout_guarded(
        hl_layout_make((enum hl_family)family, ranks, tokens_max, hidden, (enum hl_dtype)dtype), gap);
    return true;
}

static bool take_state(struct hl_recording *r, const char *text)
{
    for (size_t i = 0; i < sizeof state_names / sizeof *state_names; i++)
        if (strcmp(text, state_names[i]) == 0) {
            r->state = (enum hl_run_state)i;
            return true;
        }
    return false;
}

static bool take_line(struct hl_recording *r, struct reader *reader, const char *key, const char *text)
{
    struct hl_recording_header *h = &r->header;
    uint64_t n = 0;
#define TEXT(name, field) \
    if (strcmp(key, name) == 0) \
    return take_text(field, sizeof field, text)
#define NUMBER(name, field, max) \
    if (strcmp(key, name) == 0) { \
        const bool ok = number(text, max, &n); \
        field = ok ? n : 0; \
        return ok; \
    }
    TEXT("engine", h->engine);
    TEXT("geometry", h->geometry);
    TEXT("date", h->date);
    TEXT("machine", h->machine);
    TEXT("build", h->build);
    TEXT("command", h->command);
    TEXT("verdict", h->verdict);
    TEXT("cause", h->cause);
    TEXT("crash", r->crash);
    NUMBER("seed", h->seed, UINT64_MAX)
    NUMBER("calls", h->calls, UINT64_MAX)
    NUMBER("calls-with-rows", h->calls_with_rows, UINT64_MAX)
    NUMBER("end-ns", r->end_ns, UINT64_MAX / 2)
    NUMBER("ranks", r->ranks, HL_RANKS_MAX)
    NUMBER("workspaces", r->workspaces, HL_RECORDED_WORKSPACES_MAX)
    NUMBER("compare", r->compare, HL_COMPARE_COUNT - 1)
    NUMBER("scenario", reader->scenario, FILE_BYTES_MAX)
    NUMBER("events", reader->events, FILE_BYTES_MAX)
    NUMBER("answers", reader->answers, FILE_BYTES_MAX)
#undef TEXT
#undef NUMBER
    if (strcmp(key, "state") == 0)
        return take_state(r, text);
    return strcmp(key, "layout") == 0 && take_layout(r, reader, text);
}

/* The next line without its end, in `line`; false when there is none or it is too long. */
static bool next_line(struct reader *reader, char *line, size_t size)
{
    const struct hl_bytes *b = &reader->bytes;
    const unsigned char *start = b->data + b->at;
    const unsigned char *end = b->at < b->size ? memchr(start, '\n', b->size - b->at) : NULL;
    if (!end || (size_t)(end - start) >= size)
        return false;
    memcpy(line, start, (size_t)(end - start));
    line[end - start] = 0;
    reader->bytes.at += (size_t)(end - start) + 1;
    reader->line++;
    return true;
}

static enum hl_status read_lines(struct reader *reader, struct hl_recording *r, struct hl_error *error)
{
    char line[1024];
    if (!next_line(reader, line, sizeof line) || strcmp(line, FIRST_LINE) != 0)
        return hl_fail(error, HL_STATUS_USAGE,
                       "%s:1: no recording of hanglab: it must begin with '" FIRST_LINE "'", reader->path);
    while (next_line(reader, line, sizeof line)) {
        if (!line[0])
            return HL_STATUS_OK;
        char *colon = strstr(line, ": ");
        if (colon)
            *colon = 0;
        if (!colon || !take_line(r, reader, line, colon + 2))
            return hl_fail(error, HL_STATUS_USAGE,
                           "%s:%d: '%s' is no line that a recording has, or its value is wrong", reader->path,
                           reader->line, line);
    }
    return hl_fail(error, HL_STATUS_USAGE, "%s:%d: the file ends before its events", reader->path,
                   reader->line);
}

static bool take_block(struct reader *reader, uint64_t size, struct hl_bytes *to)
{
    const void *data = hl_get(&reader->bytes, size);
    if (data)
        hl_put(to, data, size);
    return data && !to->failed;
}

static enum hl_status read_all(const char *path, struct hl_bytes *to, struct hl_error *error)
{
    unsigned char part[65536];
    FILE *in = fopen(path, "rb");
    if (!in)
        return hl_fail(error, HL_STATUS_IO, "cannot read %s: %s", path, strerror(errno));
    for (size_t n; (n = fread(part, 1, sizeof part, in)) > 0 && to->size <= FILE_BYTES_MAX;)
        hl_put(to, part, n);
    const bool bad = ferror(in);
    fclose(in);
    if (bad || to->failed)
        return hl_fail(error, HL_STATUS_IO, "cannot read %s", path);
    return HL_STATUS_OK;
}

enum hl_status hl_recording_read(const char *path, struct hl_recording *ret_recording, struct hl_error *error)
{
    struct reader reader = { .path = path };
    struct hl_recording r = { 0 };
    enum hl_status status = read_all(path, &reader.bytes, error);
    if (!status)
        status = read_lines(&reader, &r, error);
    if (!status &&
        (r.ranks < 1 || r.workspaces < 1 || reader.layouts != r.workspaces ||
         !take_block(&reader, reader.scenario, &r.scenario) ||
         !take_block(&reader, reader.events, &r.events) || !take_block(&reader, reader.answers, &r.answers)))
        status = hl_fail(error, HL_STATUS_USAGE, "%s: the recording is cut off or damaged", path);
    hl_bytes_finish(&reader.bytes);
    if (status) {
        hl_recording_finish(&r);
        return status;
    }
    *ret_recording = r;
    return HL_STATUS_OK;
}

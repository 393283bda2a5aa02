/* Writes and reads checkpoints; see checkpoint.h. */
#include "checkpoint.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "explore_state.h"
#include "../scenario/clock.h"

static const char head[] = "hanglab-checkpoint: 1\n", end_of_head[] = "--\n";

/* Mixes 8 bytes at a time; the sizes of what is summed up are the same when it is read. */
static uint64_t sum_up(uint64_t sum, const void *data, size_t size)
{
    const unsigned char *at = data;
    for (; size >= 8; at += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        sum = (sum ^ word) * 0x9fb21c651e98df25u;
        sum ^= sum >> 32;
    }
    for (; size; at++, size--)
        sum = (sum ^ *at) * 0x100000001b3u;
    return sum;
}

struct stream {
    FILE *file;
    uint64_t sum;
    bool failed;
};

static void put(struct stream *s, const void *data, size_t size)
{
    s->failed |= size && fwrite(data, 1, size, s->file) != size;
    s->sum = sum_up(s->sum, data, size);
}

static void get(struct stream *s, void *data, size_t size)
{
    s->failed = s->failed || (size && fread(data, 1, size, s->file) != size);
    if (!s->failed)
        s->sum = sum_up(s->sum, data, size);
}

/* n things of a size; NULL if there are none, or not. */
static void *get_many(struct stream *s, size_t n, size_t size)
{
    void *data = s->failed || !n || n > SIZE_MAX / 2 / size ? NULL : malloc(n * size);
    s->failed |= n && !data;
    if (data)
        get(s, data, n * size);
    return data;
}

/* Sizes of what an exhaustive search has in hand. */
struct sizes {
    uint64_t capacity, count, now, next, ways, state_bytes, hang_number;
};

static void put_search(struct stream *s, const struct hl_search *x)
{
    const size_t bytes = x->space->state_bytes, left = x->now.n - x->at;
    struct hl_explored explored = *x->out;
    explored.overwrites = x->space->overwrites;
    explored.broken_polls = x->space->broken_polls;
    explored.strikes = x->space->strikes;
    explored.path = (struct hl_path){ 0 };
    const struct sizes sizes = {
        x->table.capacity, x->table.count, left, x->next.n, x->ways ? x->out->states : 0, bytes,
        x->hang_number
    };
    put(s, &sizes, sizeof sizes);
    put(s, &explored, sizeof explored);
    put(s, x->table.slots, x->table.capacity * sizeof *x->table.slots);
    put(s, x->now.states + x->at * bytes, left * bytes);
    put(s, x->now.items + x->at, left * sizeof *x->now.items);
    put(s, x->next.states, x->next.n * bytes);
    put(s, x->next.items, x->next.n * sizeof *x->next.items);
    put(s, x->ways, sizes.ways * sizeof *x->ways);
}

static void get_level(struct stream *s, uint64_t n, size_t state_bytes, struct hl_level *level)
{
    level->states = get_many(s, n, state_bytes);
    level->items = get_many(s, n, sizeof *level->items);
    level->n = level->capacity = s->failed ? 0 : n;
}

static void get_search(struct stream *s, struct hl_space *space, struct hl_search *x,
                       struct hl_explored *explored)
{
    struct sizes sizes = { 0 };
    get(s, &sizes, sizeof sizes);
    get(s, explored, sizeof *explored);
    s->failed |= sizes.state_bytes != space->state_bytes || !sizes.capacity;
    x->table.slots = get_many(s, sizes.capacity, sizeof *x->table.slots);
    x->table.capacity = sizes.capacity;
    x->table.count = sizes.count;
    get_level(s, sizes.now, space->state_bytes, &x->now);
    get_level(s, sizes.next, space->state_bytes, &x->next);
    x->ways = get_many(s, sizes.ways, sizeof *x->ways);
    x->ways_capacity = sizes.ways;
    x->hang_number = sizes.hang_number;
}

static bool write_all(const struct hl_checkpoint *c, const struct hl_search *x, FILE *file)
{
    struct stream s = { .file = file };
    struct hl_checkpoint_done done = c->done;
    done.walked.path = (struct hl_path){ 0 };
    const uint64_t has_search = x != NULL;
    fputs(head, file);
    fputs(c->identity, file);
    fputs(end_of_head, file);
    put(&s, &done, sizeof done);
    put(&s, &has_search, sizeof has_search);
    if (x)
        put_search(&s, x);
    const uint64_t sum = s.sum;
    put(&s, &sum, sizeof sum);
    return !s.failed && !fflush(file) && !ferror(file) && !fsync(fileno(file));
}

enum hl_status hl_checkpoint_save(struct hl_checkpoint *c, const struct hl_search *x, struct hl_error *error)
{
    char temporary[4096];
    if (snprintf(temporary, sizeof temporary, "%s.tmp", c->file) >= (int)sizeof temporary)
        return hl_fail(error, HL_STATUS_IO, "the path is too long: %s", c->file);
    FILE *file = fopen(temporary, "wbe");
    if (!file)
        return hl_fail(error, HL_STATUS_IO, "cannot write %s: %s", temporary, strerror(errno));
    const bool written = write_all(c, x, file);
    const int why = errno;
    if (fclose(file) || !written || rename(temporary, c->file)) {
        unlink(temporary);
        return hl_fail(error, HL_STATUS_IO, "cannot write the checkpoint %s: %s", c->file,
                       strerror(written ? errno : why));
    }
    return HL_STATUS_OK;
}

void hl_checkpoint_save_if_due(struct hl_checkpoint *c, const struct hl_search *search, double seconds)
{
    struct hl_error error;
    const double since_s = seconds - c->last_s;
    if (since_s < c->every_s || since_s < 9 * c->took_s)
        return;
    const double from_s = hl_now_s();
    const enum hl_status status = hl_checkpoint_save(c, search, &error);
    snprintf(c->trouble, sizeof c->trouble, "%.255s", status ? error.message : "");
    c->took_s = hl_now_s() - from_s;
    c->last_s = seconds + c->took_s;
}

/* Reads the text, and holds it against what is searched now, line by line. */
static enum hl_status check_identity(const struct hl_checkpoint *c, FILE *file, struct hl_error *error)
{
    char line[1024];
    const char *expected = c->identity;
    if (!fgets(line, sizeof line, file) || strcmp(line, head) != 0)
        return hl_fail(error, HL_STATUS_USAGE, "%s:1: not a checkpoint: expected '%.*s'", c->file,
                       (int)sizeof head - 2, head);
    while (fgets(line, sizeof line, file)) {
        const size_t n = strcspn(expected, "\n"), m = strcspn(line, "\n");
        const bool ends = strcmp(line, end_of_head) == 0;
        if (ends && !*expected)
            return HL_STATUS_OK;
        if (ends || n != m || memcmp(line, expected, n) != 0)
            return hl_fail(
                error, HL_STATUS_USAGE,
                "%s belongs to another search: it has '%.*s' where this one has '%.*s'; go on with "
                "that one, or take another file",
                c->file, ends ? 0 : (int)m, line, (int)n, expected);
        expected += n + (expected[n] == '\n');
    }
    return hl_fail(error, HL_STATUS_USAGE, "%s is not whole: remove it, and begin anew", c->file);
}

static enum hl_status damaged(struct hl_checkpoint *c, struct hl_error *error)
{
    return hl_fail(error, HL_STATUS_USAGE, "%s is damaged: remove it, and begin anew", c->file);
}

static bool ends_well(struct stream *s)
{
    const uint64_t sum = s->sum;
    uint64_t written = 0;
    get(s, &written, sizeof written);
    return !s->failed && written == sum;
}

enum hl_status hl_checkpoint_load(struct hl_checkpoint *c, bool *ret_found, struct hl_error *error)
{
    uint64_t has_search = 0;
    FILE *file = fopen(c->file, "rbe");
    if (!file && errno != ENOENT)
        return hl_fail(error, HL_STATUS_IO, "cannot read %s: %s", c->file, strerror(errno));
    *ret_found = file != NULL;
    if (!file)
        return HL_STATUS_OK;
    struct stream s = { .file = file };
    enum hl_status status = check_identity(c, file, error);
    if (!status) {
        get(&s, &c->done, sizeof c->done);
        get(&s, &has_search, sizeof has_search);
        status = s.failed || (!has_search && !ends_well(&s)) ? damaged(c, error) : HL_STATUS_OK;
    }
    if (status || !has_search) {
        fclose(file);
        return status;
    }
    c->loaded = file;
    c->sum = s.sum;
    return HL_STATUS_OK;
}

enum hl_status hl_checkpoint_take(struct hl_checkpoint *c, struct hl_space *space, struct hl_search *x,
                                  struct hl_explored *explored, struct hl_error *error)
{
    if (!c->loaded)
        return HL_STATUS_OK;
    struct stream s = { .file = c->loaded, .sum = c->sum };
    get_search(&s, space, x, explored);
    const bool whole = ends_well(&s);
    hl_checkpoint_finish(c);
    if (whole)
        return HL_STATUS_OK;
    hl_search_finish(x);
    return damaged(c, error);
}

void hl_checkpoint_finish(struct hl_checkpoint *c)
{
    if (c->loaded)
        fclose(c->loaded);
    c->loaded = NULL;
}

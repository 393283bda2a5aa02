/* Writes and reads checkpoints; see checkpoint.h. */
#include "checkpoint.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "explore_state.h"
#include "../scenario/clock.h"

static const char head[] = "hanglab-checkpoint: 2\n", end_of_head[] = "--\n";

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

/*
 * What an exhaustive search has in hand
 */

/* Ways as bytes: how far the parent is behind that of the way before, then the agent; each in groups of 7
 * bits, the lowest first, with the eighth set where another one follows. States are numbered as they are met,
 * so that parents never go back. In blocks of whole ways. */
enum { WAY_BYTES = 8, BLOCK_BYTES = 65536 };
struct block {
    uint32_t n;
    unsigned char bytes[BLOCK_BYTES];
};

static void add_number(struct block *b, uint32_t number)
{
    for (; number >= 0x80; number >>= 7)
        b->bytes[b->n++] = (unsigned char)(0x80 | number);
    b->bytes[b->n++] = (unsigned char)number;
}

static uint32_t take_number(const struct block *b, uint32_t *at)
{
    uint32_t number = 0;
    for (unsigned shift = 0; *at < b->n && shift < 32; shift += 7) {
        const unsigned char byte = b->bytes[(*at)++];
        number |= (uint32_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            break;
    }
    return number;
}

static void put_block(struct stream *s, struct block *b)
{
    put(s, &b->n, sizeof b->n);
    put(s, b->bytes, b->n);
    b->n = 0;
}

static void put_ways(struct stream *s, const struct hl_search *x)
{
    static struct block b;
    b.n = 0;
    for (uint64_t i = 1; i < x->out->states; i++) {
        add_number(&b, x->ways[i].parent - x->ways[i - 1].parent);
        add_number(&b, x->ways[i].agent);
        if (b.n > BLOCK_BYTES - WAY_BYTES)
            put_block(s, &b);
    }
    put_block(s, &b);
}

struct in_hand {
    uint64_t now_from, at, hang_number;
    struct hl_step_to wrong;
    struct hl_hash sum; /* of the hashes of all states */
    struct hl_explored explored;
};

static struct hl_hash sum_of_states(const struct hl_visited *table)
{
    struct hl_hash sum = { 0, 0 };
    for (uint64_t i = 0; i < table->capacity; i++) {
        sum.low += table->slots[i].low;
        sum.high += table->slots[i].high;
    }
    return sum;
}

static void put_search(struct stream *s, const struct hl_search *x)
{
    struct in_hand h = { x->now_from, x->at, x->hang_number, x->wrong, sum_of_states(&x->table), *x->out };
    h.explored.overwrites = x->space->overwrites;
    h.explored.broken_polls = x->space->broken_polls;
    h.explored.strikes = x->space->strikes;
    h.explored.path = (struct hl_path){ 0 };
    put(s, &h, sizeof h);
    put_ways(s, x);
}

/* Makes the states of a block again, up to number `states`. */
static enum hl_status remake(struct hl_search *x, const struct block *b, uint64_t states, uint32_t *parent,
                             bool *ret_fits)
{
    enum hl_status status = HL_STATUS_OK;
    for (uint32_t at = 0; !status && *ret_fits && at < b->n && x->out->states < states;) {
        *parent += take_number(b, &at);
        const struct hl_step_to way = { *parent, (uint16_t)take_number(b, &at) };
        if (way.parent >= x->now_from + x->now.n)
            hl_search_next_level(x);
        status = hl_search_remake(x, way, ret_fits);
    }
    return status;
}

/* Reads blocks until all states are there. *ret_fits: false when what was read is not what this build writes
 * of this search. */
static enum hl_status get_ways(struct stream *s, struct hl_search *x, uint64_t states, bool *ret_fits)
{
    static struct block b;
    uint32_t parent = 0;
    enum hl_status status = HL_STATUS_OK;
    do {
        get(s, &b.n, sizeof b.n);
        *ret_fits = !s->failed && b.n <= BLOCK_BYTES;
        if (*ret_fits)
            get(s, b.bytes, b.n);
        *ret_fits = *ret_fits && !s->failed && (b.n || x->out->states == states);
        if (*ret_fits)
            status = remake(x, &b, states, &parent, ret_fits);
    } while (!status && *ret_fits && b.n > BLOCK_BYTES - WAY_BYTES);
    *ret_fits = *ret_fits && x->out->states == states;
    return status;
}

static enum hl_status get_search(struct stream *s, struct hl_search *x, bool *ret_fits)
{
    struct in_hand h;
    get(s, &h, sizeof h);
    *ret_fits = !s->failed;
    enum hl_status status = *ret_fits ? hl_search_begin(x) : HL_STATUS_OK;
    if (!status && *ret_fits)
        status = get_ways(s, x, h.explored.states, ret_fits);
    if (status || !*ret_fits)
        return status;
    if (x->now_from != h.now_from || !x->now.n)
        hl_search_next_level(x);
    const struct hl_hash sum = sum_of_states(&x->table);
    *ret_fits =
        x->now_from == h.now_from && h.at <= x->now.n && sum.low == h.sum.low && sum.high == h.sum.high;
    x->at = h.at;
    x->hang_number = h.hang_number;
    x->wrong = h.wrong;
    *x->out = h.explored;
    return HL_STATUS_OK;
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

static enum hl_status save(const struct hl_checkpoint *c, const struct hl_search *x, struct hl_error *error)
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
        const int problem = written ? errno : why;
        unlink(temporary);
        return hl_fail(error, HL_STATUS_IO, "cannot write the checkpoint %s: %s; %s", c->file,
                       strerror(problem),
                       access(c->file, F_OK) ? "nothing is kept there" : "the one before is still there");
    }
    return HL_STATUS_OK;
}

void hl_checkpoint_save(struct hl_checkpoint *c, const struct hl_search *search)
{
    struct hl_error error;
    const enum hl_status status = save(c, search, &error);
    snprintf(c->trouble, sizeof c->trouble, "%.255s", status ? error.message : "");
}

void hl_checkpoint_save_if_due(struct hl_checkpoint *c, const struct hl_search *search, double seconds)
{
    const double since_s = seconds - c->last_s;
    if (since_s < c->every_s || since_s < 9 * c->took_s)
        return;
    const double from_s = hl_now_s();
    hl_checkpoint_save(c, search);
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

enum hl_status hl_checkpoint_take(struct hl_checkpoint *c, struct hl_search *x)
{
    bool fits;
    if (!c->loaded)
        return HL_STATUS_OK;
    struct stream s = { .file = c->loaded, .sum = c->sum };
    enum hl_status status = get_search(&s, x, &fits);
    if (!status && !(fits && ends_well(&s)))
        status = damaged(c, x->error);
    hl_checkpoint_finish(c);
    return status;
}

void hl_checkpoint_finish(struct hl_checkpoint *c)
{
    if (c->loaded)
        fclose(c->loaded);
    c->loaded = NULL;
}

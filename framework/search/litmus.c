/* Records what two ranks do, and writes the accesses of a fragment as threads of a litmus test. */
#include "litmus.h"
#include <stdlib.h>
#include <string.h>

enum { CALLS = 8, ACCESSES_MAX = 8192, LINES_MAX = 16 };

struct access {
    struct hl_touch touch;
    int rank; /* who */
    uint32_t call;
    bool clears, is_row, releases;
};

struct recorder {
    struct hl_space *space;
    struct access *accesses;
    uint32_t n;
};

/* A thread of the test: its instructions. */
struct thread {
    const char *place;
    char lines[LINES_MAX][48];
    uint32_t n;
};

const char *hl_litmus_name(enum hl_litmus_fragment fragment)
{
    static const char *const names[] = {
#define X(id, name, doc) [id] = name,
        HL_LITMUS_FRAGMENTS(X)
#undef X
    };
    return names[fragment];
}

/*
 * Recording
 */

static void note(struct recorder *r, int rank, uint32_t call)
{
    const struct hl_space *s = r->space;
    const struct hl_layout *l = &s->layout[s->touched_workspace];
    for (uint32_t i = 0; i < s->footprint.n && r->n < ACCESSES_MAX; i++) {
        const struct hl_touch *touch = &s->footprint.touch[i];
        const bool is_row = touch->at >= l->comm_at && touch->at < l->buffers_at + hl_buffers_words(l);
        r->accesses[r->n++] = (struct access){ *touch, rank,
                                               call,   s->store.clears && touch->kind == HL_TOUCH_STORE,
                                               is_row, touch->at >= l->barrier_at };
    }
}

/* Takes a clear back, so that nobody waits for rows; what is stored when does not matter here. */
static void keep_rows(struct hl_space *s)
{
    const struct hl_layout *l = &s->layout[s->touched_workspace];
    for (uint32_t i = 0; s->store.clears && i < s->store.count; i++)
        if (s->store.at + i < l->buffers_at + hl_buffers_words(l))
            s->words[s->touched_workspace][s->store.rank][s->store.at + i] = 1;
}

static void record(struct recorder *r)
{
    struct hl_space *s = r->space;
    struct hl_hash hash;
    uint32_t calls[HL_RANKS_MAX] = { 0 };
    hl_space_start(s, s->scratch, &hash);
    s->base = NULL;
    for (bool any = true; any;) {
        any = false;
        for (uint32_t agent = 0; agent < s->agents; agent++) {
            const struct hl_space_agent *a = &s->agent[agent];
            if (calls[a->rank] >= CALLS || !hl_space_is_running(a))
                continue;
            const struct hl_space_kernel kernel = *a->its_kernel;
            const struct hl_space_call *call = hl_space_call(a);
            if (!hl_space_step(s, agent))
                continue;
            any = true;
            note(r, a->rank, calls[a->rank]);
            keep_rows(s);
            calls[a->rank] += s->retired && kernel.which + 1 == hl_protocol_kernels(call->protocol).count;
        }
    }
}

static bool is_at(const struct access *a, int rank, uint32_t at)
{
    const uint32_t offset = at - a->touch.at, stride = a->touch.stride ? a->touch.stride : 1;
    return a->touch.rank == rank && at >= a->touch.at && offset % stride == 0 &&
           offset / stride < a->touch.count;
}
static bool stores(const struct access *a) { return a->touch.kind == HL_TOUCH_STORE; }
static bool loads(const struct access *a) { return a->touch.kind <= HL_TOUCH_LOAD_UNLESS; }

/* The first access from `from` on that fits; n: there is none. */
static uint32_t find(const struct recorder *r, uint32_t from, int by, bool is_store, int rank, uint32_t at)
{
    for (; from < r->n; from++) {
        const struct access *a = &r->accesses[from];
        if (a->rank == by && (is_store ? stores(a) : loads(a)) && is_at(a, rank, at))
            break;
    }
    return from;
}

/*
 * Threads
 */

static void add_line(struct thread *t, const char *format, const char *location, uint32_t value)
{
    if (t->n < LINES_MAX)
        snprintf(t->lines[t->n++], sizeof t->lines[0], format, location, value);
}

/* An access as an instruction; loads go to r0, r1, .. */
static void add_access(struct thread *t, const struct access *a, const char *location, uint32_t *registers,
                       uint32_t value)
{
    char format[48];
    if (a->touch.kind == HL_TOUCH_ADD) {
        add_line(t, "red.release.gpu.add %s, %u", location, 1);
    } else if (stores(a)) {
        add_line(t, "st.relaxed.sys %s, %u", location, a->clears ? 0 : value);
    } else {
        snprintf(format, sizeof format, "ld.relaxed.sys r%u, %%s", (*registers)++);
        add_line(t, format, location, 0);
    }
}

static void write_test(FILE *out, const char *name, enum hl_litmus_fragment fragment, const char *locations,
                       const struct thread threads[2], const char *question, const char *meaning)
{
    const uint32_t rows = threads[0].n > threads[1].n ? threads[0].n : threads[1].n;
    fprintf(out, "PTX %s\n\"%s\"\n{\n%s", hl_litmus_name(fragment), name, locations);
    for (int i = 0; i < 2; i++)
        for (uint32_t k = 0, n = 0; k < threads[i].n; k++)
            if (strncmp(threads[i].lines[k], "ld", 2) == 0)
                fprintf(out, "P%d:r%u=0;\n", i, n++);
    fprintf(out, "}\n %-34s | %s ;\n", threads[0].place, threads[1].place);
    for (uint32_t k = 0; k < rows; k++)
        fprintf(out, " %-34s | %s ;\n", k < threads[0].n ? threads[0].lines[k] : "",
                k < threads[1].n ? threads[1].lines[k] : "");
    fprintf(out, "(* %s *)\nexists\n(%s)\n", meaning, question);
}

/* Within a call of rank 0, up to the leader's wait: any CTA; from there on: the leader. */
static bool write_arrival(const struct recorder *r, const char *name, FILE *out)
{
    const struct hl_layout *l = &r->space->layout[0];
    const bool is_trtllm = l->family == HL_FAMILY_TRTLLM;
    const uint32_t current = is_trtllm ? (uint32_t)HL_TRTLLM_CURRENT : (uint32_t)HL_MNNVL_CURRENT,
                   arrived = is_trtllm ? (uint32_t)HL_TRTLLM_ARRIVED : (uint32_t)HL_MNNVL_ARRIVED;
    struct thread threads[2] = { { .place = "P0@cta 1,gpu 0" }, { .place = "P1@cta 0,gpu 0" } };
    uint32_t registers[2] = { 0 };
    bool waits = false, arrives = false;
    for (uint32_t i = 0; i < r->n; i++) {
        const struct access *a = &r->accesses[i];
        if (a->rank != 0 || a->call != 1)
            continue;
        waits |= loads(a) && is_at(a, 0, arrived);
        arrives |= a->touch.kind == HL_TOUCH_ADD && is_at(a, 0, arrived);
        if (is_at(a, 0, arrived) &&
            !(waits && stores(a))) /* it goes back to 0 in the end: not of this matter */
            add_access(&threads[waits], a, "arrived", &registers[waits], 1);
        else if (is_at(a, 0, current))
            add_access(&threads[waits], a, "current", &registers[waits], 1);
    }
    if (!arrives || !registers[0] || threads[1].n < 2)
        return false;
    write_test(out, name, HL_LITMUS_ARRIVAL, "current=0;\narrived=0;\n", threads, "P0:r0 == 1 /\\ P1:r0 == 1",
               "allowed: a CTA takes the buffer of the next call. Its rows go where nobody waits for them");
    return true;
}

/* What a rank does to two places, from one access to another; calls end with a fence. */
static void add_range(const struct recorder *r, int by, uint32_t from, uint32_t to, int rank_x, uint32_t x,
                      int rank_y, uint32_t y, struct thread *t)
{
    uint32_t registers = 0, call = UINT32_MAX;
    for (uint32_t i = from; i <= to; i++) {
        const struct access *a = &r->accesses[i];
        const bool is_x = is_at(a, rank_x, x), is_y = is_at(a, rank_y, y);
        if (a->rank != by || (!is_x && !is_y))
            continue;
        if (call != UINT32_MAX && a->call != call)
            add_line(t, "fence.sc.sys%s", "", 0);
        call = a->call;
        add_access(t, a, is_x ? "x" : "y", &registers, is_x ? 2 : 1);
    }
}

/* x: a row of rank 1 in rank 0's workspace, which rank 0 clears. Rank 1 stores to it next in some call; in
 * the one before it waits for y, a row of rank 0. */
static bool write_clear(const struct recorder *r, const char *name, FILE *out)
{
    for (uint32_t clear = 0; clear < r->n; clear++) {
        const struct access *c = &r->accesses[clear];
        if (c->rank != 0 || !c->clears || c->call < 2)
            continue;
        for (uint32_t x = c->touch.at; x < c->touch.at + c->touch.count; x++) {
            const uint32_t next = find(r, clear, 1, true, 0, x);
            if (next == r->n || r->accesses[next].clears)
                continue;
            for (uint32_t wait = next; wait-- > 0;) {
                const struct access *w = &r->accesses[wait];
                if (w->rank != 1 || w->call + 1 != r->accesses[next].call || !loads(w) || !w->is_row)
                    continue;
                for (uint32_t y = w->touch.at; y < w->touch.at + w->touch.count; y++) {
                    uint32_t store = find(r, 0, 0, true, 1, y);
                    while (store < r->n && r->accesses[store].call != w->call)
                        store = find(r, store + 1, 0, true, 1, y);
                    if (store == r->n || r->accesses[store].clears)
                        continue;
                    struct thread threads[2] = { { .place = "P0@cta 0,gpu 0" },
                                                 { .place = "P1@cta 0,gpu 1" } };
                    const bool is_late = store < clear;
                    add_range(r, 0, is_late ? store : clear, is_late ? clear : store, 0, x, 1, y,
                              &threads[0]);
                    add_range(r, 1, wait, next, 0, x, 1, y, &threads[1]);
                    write_test(out, name, HL_LITMUS_CLEAR, "x=1;\ny=0;\n", threads, "P1:r0 == 1 /\\ x == 0",
                               "allowed: the clear erases the row that the peer has stored for a later call");
                    return true;
                }
            }
        }
    }
    return false;
}

/* y: a flag of rank 0 at rank 1; x: a row that rank 1 reads behind it, and rank 0 has stored before. */
static bool write_barrier(const struct recorder *r, const char *name, bool is_released, FILE *out)
{
    for (uint32_t raise = 0; raise < r->n; raise++) {
        const struct access *f = &r->accesses[raise];
        if (f->rank != 0 || !f->releases || !stores(f) || f->touch.rank != 1)
            continue;
        for (uint32_t store = raise; store-- > 0;) {
            const struct access *d = &r->accesses[store];
            if (d->rank != 0 || !d->is_row || !stores(d) || d->clears || d->call != f->call)
                continue;
            const uint32_t x = d->touch.at;
            uint32_t wait = find(r, 0, 1, false, 1, f->touch.at);
            while (wait < r->n && r->accesses[wait].call != f->call)
                wait = find(r, wait + 1, 1, false, 1, f->touch.at);
            const uint32_t read = find(r, wait, 1, false, d->touch.rank, x);
            if (read == r->n)
                continue;
            struct thread threads[2] = { { .place = "P0@cta 0,gpu 0" }, { .place = "P1@cta 0,gpu 1" } };
            add_line(&threads[0], "st.relaxed.sys %s, %u", "x", 1);
            if (is_released)
                add_line(&threads[0], "fence.sc.sys%s", "", 0);
            add_line(&threads[0], "st.relaxed.sys %s, %u", "y", 1);
            add_line(&threads[1], "ld.relaxed.sys r0, %s", "y", 0);
            add_line(&threads[1], "fence.sc.sys%s", "", 0);
            add_line(&threads[1], "ld.relaxed.sys r1, %s", "x", 0);
            write_test(out, name, HL_LITMUS_BARRIER, "x=0;\ny=0;\n", threads, "P1:r0 == 1 /\\ P1:r1 == 0",
                       "allowed: a rank that has passed the barrier reads a row that is not there yet");
            return true;
        }
    }
    return false;
}

static enum hl_status check(const struct hl_space *s, struct hl_error *error)
{
    const struct hl_space_stream_program *p = &s->spec.program[0][0];
    if (s->ctas_max > 1 || s->spec.streams > 1 || s->spec.pdl || s->spec.workspaces > 1)
        return hl_fail(error, HL_STATUS_USAGE,
                       "only one CTA a rank, on one stream and workspace without PDL, can be exported: take "
                       "--tokens 1, and `schedule: {pdl: false}` in the file");
    if (p->n == 0 || p->loop_to == UINT32_MAX || p->calls[0].fills || p->calls[0].protocol >= HL_NCCL)
        return hl_fail(error, HL_STATUS_USAGE, "only calls without end, without faults, can be exported");
    return HL_STATUS_OK;
}

enum hl_status hl_litmus_write(struct hl_space *space, enum hl_litmus_fragment fragment, const char *name,
                               FILE *out, bool *ret_written, struct hl_error *error)
{
    struct recorder r = { .space = space };
    const enum hl_status status = check(space, error);
    if (status)
        return status;
    r.accesses = malloc(ACCESSES_MAX * sizeof *r.accesses);
    if (!r.accesses)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a litmus test");
    record(&r);
    switch (fragment) {
    case HL_LITMUS_ARRIVAL: *ret_written = write_arrival(&r, name, out); break;
    case HL_LITMUS_CLEAR: *ret_written = write_clear(&r, name, out); break;
    default: *ret_written = write_barrier(&r, name, space->spec.mutant != HL_MUTANT_NO_RELEASE, out);
    }
    free(r.accesses);
    return HL_STATUS_OK;
}

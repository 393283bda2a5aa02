/* What CUPTI told of a process, into a recording and out of it: one list of fields for both ways. */
#include <string.h>
#include "format.h"

/* The way of a pass: into the bytes, or out of them. */
struct pass {
    struct hl_bytes *bytes;
    bool put;
};

static uint64_t pass_number(const struct pass *p, uint64_t number)
{
    if (!p->put)
        return hl_get_number(p->bytes);
    hl_put_number(p->bytes, number);
    return number;
}

static void pass_text(const struct pass *p, char *text, size_t size)
{
    const uint64_t length = pass_number(p, p->put ? strlen(text) : 0);
    if (p->put) {
        hl_put(p->bytes, text, length);
        return;
    }
    const char *from = length < size ? hl_get(p->bytes, length) : NULL;
    p->bytes->failed |= !from;
    if (!from)
        return;
    memcpy(text, from, length);
    text[length] = '\0';
}

#define NUMBER(p, field) (field) = (__typeof__(field))pass_number(p, (uint64_t)(field))
#define TEXT(p, field) pass_text(p, field, sizeof(field))

static void pass_unfinished(const struct pass *p, struct hl_unfinished *u)
{
    NUMBER(p, u->number);
    NUMBER(p, u->behind);
    NUMBER(p, u->known);
    NUMBER(p, u->by_record);
    NUMBER(p, u->nodes);
    NUMBER(p, u->finished);
    NUMBER(p, u->node);
    NUMBER(p, u->kernel);
    NUMBER(p, u->by_samples);
    NUMBER(p, u->device);
    NUMBER(p, u->launch.at_ns);
    NUMBER(p, u->launch.correlation);
    NUMBER(p, u->launch.kernel);
    NUMBER(p, u->launch.exec);
    NUMBER(p, u->launch.tid);
    for (int i = 0; i < 3; i++) {
        NUMBER(p, u->launch.grid[i]);
        NUMBER(p, u->launch.block[i]);
    }
}

static void pass_lists(const struct pass *p, struct hl_device_evidence *d)
{
    NUMBER(p, d->n_calls);
    p->bytes->failed |= d->n_calls < 0 || d->n_calls > HL_DEVICE_CALLS_MAX;
    for (int i = 0; i < d->n_calls && !p->bytes->failed; i++) {
        NUMBER(p, d->calls[i].tid);
        NUMBER(p, d->calls[i].api);
        NUMBER(p, d->calls[i].since_ns);
        TEXT(p, d->calls[i].kernel);
    }
    NUMBER(p, d->samples);
    NUMBER(p, d->n_lines);
    p->bytes->failed |= d->n_lines < 0 || d->n_lines > HL_DEVICE_LINES_MAX;
    for (int i = 0; i < d->n_lines && !p->bytes->failed; i++) {
        TEXT(p, d->lines[i].kernel);
        TEXT(p, d->lines[i].file);
        NUMBER(p, d->lines[i].line);
        NUMBER(p, d->lines[i].pc);
        NUMBER(p, d->lines[i].samples);
    }
}

static void pass_device(const struct pass *p, struct hl_device_evidence *d)
{
    NUMBER(p, d->pid);
    NUMBER(p, d->detail);
    NUMBER(p, d->state);
    TEXT(p, d->lacks);
    NUMBER(p, d->stall.kind);
    NUMBER(p, d->stall.since_ns);
    NUMBER(p, d->stall.stream);
    NUMBER(p, d->stall.thread);
    NUMBER(p, d->time_ns);
    pass_unfinished(p, &d->unfinished);
    TEXT(p, d->kernel);
    TEXT(p, d->before);
    pass_lists(p, d);
    NUMBER(p, d->flush_ns);
    NUMBER(p, d->sampling_ns);
    NUMBER(p, d->lost);
}

void hl_put_device(struct hl_bytes *bytes, const struct hl_device_evidence *device)
{
    struct hl_device_evidence same = *device; /* a pass into the bytes changes nothing */
    pass_device(&(struct pass){ bytes, true }, &same);
}

bool hl_get_device(struct hl_bytes *bytes, struct hl_device_evidence *ret_device)
{
    struct hl_device_evidence d = { .known = true };
    pass_device(&(struct pass){ bytes, false }, &d);
    bool sound = !bytes->failed && d.detail <= HL_PAGE_PC && d.state <= HL_PAGE_ENDED &&
                 d.stall.kind <= HL_STALL_SILENT && d.unfinished.device <= HL_DEVICE_IDLE;
    for (int i = 0; i < d.n_calls && sound; i++)
        sound = d.calls[i].api < HL_API_COUNT;
    if (sound)
        *ret_device = d;
    return sound;
}

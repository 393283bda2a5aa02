/* Words and culprits of findings, and the texts of the cause table. */
#include "findings.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include "waits.h"

/* One accessor for each column of the cause table. */
struct cause_row {
    const char *name, *meaning, *evidence, *hint, *incidents;
};

static const struct cause_row *cause_row(enum hl_cause cause)
{
    static const struct cause_row rows[HL_CAUSE_COUNT] = {
#define X(id, name, meaning, evidence, hint, incidents) [id] = { name, meaning, evidence, hint, incidents },
        HL_CAUSES(X)
#undef X
    };
    assert(cause >= 0 && cause < HL_CAUSE_COUNT);
    return &rows[cause];
}

const char *hl_cause_name(enum hl_cause cause) { return cause_row(cause)->name; }
const char *hl_cause_meaning(enum hl_cause cause) { return cause_row(cause)->meaning; }
const char *hl_cause_evidence(enum hl_cause cause) { return cause_row(cause)->evidence; }
const char *hl_cause_hint(enum hl_cause cause) { return cause_row(cause)->hint; }
const char *hl_cause_incidents(enum hl_cause cause) { return cause_row(cause)->incidents; }

#define NAME(id, name, doc) name,
const char *hl_protocol_word(enum hl_protocol protocol)
{
    static const char *const names[] = { HL_PROTOCOLS(NAME) };
    return names[protocol];
}
const char *hl_stage_word(enum hl_stage stage)
{
    static const char *const names[] = { HL_STAGES(NAME) };
    return names[stage];
}
const char *hl_compare_word(enum hl_compare compare)
{
    static const char *const names[] = { HL_COMPARES(NAME) };
    return names[compare];
}

void hl_say(struct hl_finding *finding, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(finding->summary, sizeof finding->summary, format, args);
    va_end(args);
}

void hl_blame_nobody(struct hl_culprit *culprit)
{
    *culprit = (struct hl_culprit){ .rank = -1,
                                    .call = -1,
                                    .op = -1,
                                    .graph = -1,
                                    .node = -1,
                                    .replay = -1,
                                    .stage = -1,
                                    .buffer = -1,
                                    .slot_token = -1,
                                    .slot_rank = -1,
                                    .word = -1,
                                    .value = -1 };
}

void hl_blame_call(int rank, const struct hl_call_record *record, struct hl_finding *finding)
{
    struct hl_culprit *culprit = &finding->culprit;
    culprit->rank = rank;
    culprit->call = record->call;
    culprit->op = record->op;
    if (record->graph != UINT16_MAX) {
        culprit->graph = record->graph;
        culprit->node = record->node;
        culprit->replay = record->replay;
    }
}

void hl_blame_slot(const struct hl_evidence *evidence, const struct hl_slot_evidence *slot,
                   struct hl_finding *finding)
{
    struct hl_culprit *culprit = &finding->culprit;
    const struct hl_pending_call *pending =
        hl_pending_find(evidence, slot->rank, slot->workspace, slot->call);
    if (pending)
        hl_blame_call(slot->rank, &pending->record, finding);
    culprit->rank = slot->rank;
    culprit->call = slot->call;
    culprit->stage = (int)slot->stage;
    culprit->word = slot->first_missing;
    culprit->value = slot->value;
    if (slot->stage == HL_STAGE_ARRIVALS)
        return;
    culprit->slot_token = slot->token;
    culprit->slot_rank = slot->source;
    if (slot->stage != HL_STAGE_BARRIER)
        culprit->buffer = slot->buffer;
}

void hl_describe_wait(const struct hl_evidence *evidence, const struct hl_slot_evidence *slot, char *text,
                      size_t size)
{
    const struct hl_pending_call *pending =
        hl_pending_find(evidence, slot->rank, slot->workspace, slot->call);
    char what[64];
    if (slot->stage == HL_STAGE_ARRIVALS)
        snprintf(what, sizeof what, "its own CTAs to count in");
    else if (slot->stage == HL_STAGE_BARRIER)
        snprintf(what, sizeof what, "the barrier flag of rank %d, CTA %u", slot->source, slot->token);
    else
        snprintf(what, sizeof what, "row %u of rank %d (%s, buffer %u)", slot->token, slot->source,
                 hl_stage_word(slot->stage), slot->buffer);
    snprintf(text, size, "rank %d waits in call %u (%s, workspace %d) for %s", slot->rank, slot->call,
             pending ? hl_protocol_word(pending->record.protocol) : "no record", slot->workspace, what);
}

const struct hl_slot_evidence *hl_blame_wait(const struct hl_evidence *evidence, enum hl_wait_kind kind,
                                             struct hl_finding *finding, char *text)
{
    const struct hl_slot_evidence *slot = hl_wait_find(evidence, kind);
    if (!slot)
        return NULL;
    hl_blame_slot(evidence, slot, finding);
    hl_describe_wait(evidence, slot, text, HL_WAIT_TEXT_MAX);
    return slot;
}

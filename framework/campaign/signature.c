/* From evidence to the words of a signature. */
#include "signature.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "../scenario/words.h"
#include "../verdict/waits.h"

static const char *const op_names[] = {
#define NAME(id, name, doc) name,
    HL_OPS(NAME)
#undef NAME
};

static void add(struct hl_signature *signature, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void add(struct hl_signature *signature, const char *format, ...)
{
    const size_t length = strlen(signature->text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(signature->text + length, sizeof signature->text - length, format, arguments);
    va_end(arguments);
}

/* Of two ranks, one is all but one: so a rank that is waited for by all others reads alike in every world. */
static const char *size_class(uint32_t set, int ranks)
{
    const int n = __builtin_popcount(set);
    return n == ranks ? "all" : n == ranks - 1 ? "all but one" : n == 1 ? "one" : "several";
}

static void add_waits(struct hl_signature *signature, const struct hl_evidence *e)
{
    uint32_t waiting = 0, awaited = 0;
    int distance = 0;
    for (uint32_t i = 0; i < e->n_slots; i++) {
        const struct hl_slot_evidence *slot = &e->slots[i];
        if (slot->state == HL_SLOT_ARRIVED)
            continue;
        waiting |= 1u << slot->rank;
        awaited |= 1u << slot->source;
        distance = (slot->source - slot->rank + e->ranks) % e->ranks;
    }
    if (!waiting)
        add(signature, ", no rank waits in a call");
    else if (e->ranks > 2 && __builtin_popcount(waiting) == 1 && __builtin_popcount(awaited) == 1)
        add(signature, distance ? ", one waits on the rank +%d" : ", one waits on itself", distance);
    else
        add(signature, ", %s wait on %s", size_class(waiting, e->ranks),
            __builtin_popcount(awaited) == 1 ? "one" : size_class(awaited, e->ranks));
}

/* The call that waits, or has the wrong result; NULL: none does. */
static const struct hl_call_record *find_call(const struct hl_finding *finding, const struct hl_evidence *e)
{
    if (finding->verdict == HL_VERDICT_CORRUPT)
        return e->wrong.kind != HL_WRONG_NONE ? &e->wrong.record : NULL;
    const struct hl_slot_evidence *found = NULL;
    for (uint32_t i = 0; i < e->n_slots; i++) {
        const struct hl_slot_evidence *slot = &e->slots[i];
        if (slot->state == HL_SLOT_ARRIVED)
            continue;
        if (slot->call == finding->culprit.call) {
            found = slot;
            break;
        }
        found = found ? found : slot;
    }
    const struct hl_pending_call *pending =
        found ? hl_pending_find(e, found->rank, found->workspace, found->call) : NULL;
    return pending ? &pending->record : NULL;
}

static void add_op(struct hl_signature *signature, const struct hl_finding *finding,
                   const struct hl_evidence *e, const struct hl_program *program)
{
    const struct hl_call_record *call = find_call(finding, e);
    const int rank = finding->culprit.rank, calls = program->config.schedule.calls_per_layer;
    if (call) {
        add(signature, ", op call %s", hl_words_name(&hl_words_protocols, call->protocol));
        if (calls > 1)
            add(signature, " %d of %d of a layer", call->site % calls + 1, calls);
        if (call->graph != UINT16_MAX)
            add(signature, " in a graph");
    } else if (rank >= 0 && rank < program->ranks && e->rank[rank].op < program->rank[rank].n_ops) {
        add(signature, ", op %s", op_names[program->rank[rank].ops[e->rank[rank].op].kind]);
    }
}

struct hl_signature hl_signature_of(const struct hl_finding *finding, const struct hl_evidence *evidence,
                                    const struct hl_program *program)
{
    struct hl_signature signature = { "" };
    if (finding->verdict >= HL_VERDICT_PASS)
        return signature;
    add(&signature, "%s", hl_words_name(&hl_words_verdicts, finding->verdict));
    if (finding->cause != HL_CAUSE_NONE)
        add(&signature, " %s", hl_cause_name(finding->cause));
    if (finding->verdict == HL_VERDICT_HANG)
        add_waits(&signature, evidence);
    if (finding->culprit.stage >= 0 && finding->cause != HL_CAUSE_NONE)
        add(&signature, ", stage %s", hl_words_name(&hl_words_stages, finding->culprit.stage));
    if (finding->cause != HL_CAUSE_NONE)
        add_op(&signature, finding, evidence, program);
    return signature;
}

struct hl_signature hl_signature_of_death(int signal, int exit_code, bool timed_out)
{
    struct hl_signature signature = { "" };
    if (timed_out)
        add(&signature, "crash, the process exceeded its time limit and was killed");
    else if (signal)
        add(&signature, "crash, the process died of SIG%s", sigabbrev_np(signal));
    else
        add(&signature, "crash, the process ended with code %d", exit_code);
    return signature;
}

/* From evidence to the words of a signature. */
#include "signature.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "../scenario/words.h"

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

static const char *size_class(uint32_t set, int ranks)
{
    const int n = __builtin_popcount(set);
    return n == ranks ? "all" : n == 1 ? "one" : n == ranks - 1 ? "all but one" : "several";
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
    else if (__builtin_popcount(waiting) == 1 && __builtin_popcount(awaited) == 1)
        add(signature, distance ? ", one waits on the rank +%d" : ", one waits on itself", distance);
    else
        add(signature, ", %s wait on %s", size_class(waiting, e->ranks), size_class(awaited, e->ranks));
}

static void add_op(struct hl_signature *signature, const struct hl_culprit *culprit,
                   const struct hl_program *program)
{
    if (culprit->rank < 0 || culprit->rank >= program->ranks || culprit->op < 0 ||
        culprit->op >= program->rank[culprit->rank].n_ops)
        return;
    const struct hl_op *op = &program->rank[culprit->rank].ops[culprit->op];
    add(signature, ", op %s", op_names[op->kind]);
    if (op->kind == HL_OP_CALL) {
        const int calls = program->config.schedule.calls_per_layer;
        add(signature, " %s", hl_words_name(&hl_words_protocols, op->protocol));
        if (calls > 1)
            add(signature, " %d of %d of a layer", op->site % calls + 1, calls);
    }
    if (culprit->graph >= 0)
        add(signature, " in a graph");
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
        add_op(&signature, &finding->culprit, program);
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

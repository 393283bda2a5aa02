/* Verdict, certainty and cause of a run (design section 8). */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "words.h"

/* In order of severity: a case's verdict is the first of these that any of its runs has. X(ID, name, doc) */
#define HL_VERDICTS(X) \
    X(HL_VERDICT_HANG, "hang", "work is pending and nothing goes on") \
    X(HL_VERDICT_CORRUPT, "corrupt", "a finished call has a wrong result") \
    X(HL_VERDICT_CRASH, "crash", "a rank died or the device reported an error") \
    X(HL_VERDICT_SLOW, "slow", "it goes on, but far below its healthy pace") \
    X(HL_VERDICT_INCONCLUSIVE, "inconclusive", "a fault never fired, or a checker failed") \
    X(HL_VERDICT_PASS, "pass", "everything ended with right results") \
    X(HL_VERDICT_SKIPPED, "skipped", "not run here")

#define HL_CERTAINTIES(X) \
    X(HL_CERTAINTY_PROVEN, "proven", "no step can ever complete the wait") \
    X(HL_CERTAINTY_OBSERVED, "observed", "no progress for many times the healthy time, evidence complete") \
    X(HL_CERTAINTY_SUSPECTED, "suspected", "the evidence is incomplete")

enum hl_verdict { HL_VERDICTS(HL_ENUMERATOR) HL_VERDICT_COUNT };
enum hl_certainty { HL_CERTAINTIES(HL_ENUMERATOR) HL_CERTAINTY_COUNT };

/* The cause table, X(ID, name, meaning, evidence that decides it, hint, incidents), is in causes.h. */
#include "causes.h"
enum hl_cause {
#define X(id, name, meaning, evidence, hint, incidents) id,
    HL_CAUSES(X)
#undef X
    HL_CAUSE_COUNT
};

/* Who is to blame: fields that are not known are -1. */
struct hl_culprit {
    int rank;
    int64_t call;
    int64_t op, graph, node, replay;
    int stage;                 /* enum hl_stage */
    int buffer;
    int64_t slot_token;
    int slot_rank;             /* source of the slot */
    int64_t word;
    int64_t value;
};

struct hl_finding {
    enum hl_verdict verdict;
    enum hl_certainty certainty;
    enum hl_cause cause;
    enum hl_cause other_cause; /* a second candidate that the evidence does not exclude, or HL_CAUSE_NONE */
    struct hl_culprit culprit;
    char summary[512];         /* one sentence: who waits for what, and why it never comes */
};

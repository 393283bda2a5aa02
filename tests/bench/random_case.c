/* Random cases; see random_case.h. */
#include "random_case.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../../framework/fault/places.h"
#include "../../framework/fault/weave.h"
#include "../../framework/program/random.h"
#include "../../kernels/subject.h"

enum { PASS = 1u << HL_VERDICT_PASS, HANG = 1u << HL_VERDICT_HANG, CORRUPT = 1u << HL_VERDICT_CORRUPT };

/* A stall, in these cases: far longer than a healthy rank is ever late, far shorter than a long delay. */
#define THRESHOLD_NS 1000000000ull

static uint32_t draw(uint64_t *random, uint32_t low, uint32_t high)
{
    return low + hl_random_below(random, high - low + 1);
}

static bool draw_bool(uint64_t *random) { return hl_random_below(random, 2); }

/* As many small values as large ones, octave by octave. */
static uint32_t draw_log(uint64_t *random, uint32_t low, uint32_t high)
{
    const double octaves = log2((double)high + 1) - log2(low);
    return (uint32_t)(low * exp2(hl_random_unit(random) * octaves));
}

/* Few enough distinct sizes for the reduced geometry to keep all of them apart. */
static void draw_sizes(struct hl_schedule *s, uint64_t *random)
{
    const uint32_t limit = draw_bool(random) ? 32 : 2048;
    s->n_sizes = (int)draw(random, 1, 4);
    for (int i = 0; i < s->n_sizes; i++)
        s->sizes[i] = draw_log(random, 1, limit);
}

static void draw_healthy(struct hl_config *c, uint64_t *random)
{
    c->world.ranks = 2 << draw(random, 0, 2);
    c->subject.backend = (enum hl_backend)draw(random, HL_BACKEND_MNNVL, HL_BACKEND_NCCL);
    c->subject.strategy = (enum hl_strategy)draw(random, 0, HL_STRATEGY_COUNT - 1);
    c->subject.dtype = (enum hl_dtype)draw(random, 0, HL_DTYPE_COUNT - 1);
    c->subject.hidden = 64u << draw(random, 0, 7);
    c->subject.workspaces = (int)draw(random, 1, 2);
    c->subject.sentinel_compare = HL_COMPARE_BITS;
    struct hl_schedule *s = &c->schedule;
    s->mode = (enum hl_mode)draw(random, 0, HL_MODE_COUNT - 1);
    s->fusion = (enum hl_fusion)draw(random, 0, HL_FUSION_COUNT - 1);
    s->layers = (int)draw(random, 1, 3);
    s->calls_per_layer = (int)draw(random, 1, 2);
    s->pieces = (int)draw(random, 0, 3);
    s->replays = (int)draw(random, 2, 8);
    s->pdl = draw_bool(random);
    s->padding = s->mode != HL_MODE_EAGER && draw_bool(random);
    draw_sizes(s, random);
    c->watchdog.threshold_ns = THRESHOLD_NS;
}

static const enum hl_fault_kind fault_of[HL_TROUBLE_COUNT] = {
    [HL_TROUBLE_SKIP_CALL] = HL_FAULT_SKIP_CALL,     [HL_TROUBLE_EXTRA_CALL] = HL_FAULT_EXTRA_CALL,
    [HL_TROUBLE_OTHER_SIZE] = HL_FAULT_OTHER_SIZE,   [HL_TROUBLE_OTHER_STRATEGY] = HL_FAULT_OTHER_STRATEGY,
    [HL_TROUBLE_SWAP_ORDER] = HL_FAULT_SWAP_ORDER,   [HL_TROUBLE_SECOND_STREAM] = HL_FAULT_SECOND_STREAM,
    [HL_TROUBLE_LATE_MEMSET] = HL_FAULT_LATE_MEMSET, [HL_TROUBLE_SHORT_DELAY] = HL_FAULT_HOST_DELAY,
    [HL_TROUBLE_LONG_DELAY] = HL_FAULT_HOST_DELAY,
};

static void draw_fault(struct hl_random_case *r, uint64_t *random)
{
    struct hl_config *c = &r->config;
    const bool is_long = r->trouble == HL_TROUBLE_LONG_DELAY;
    c->n_faults = 1;
    c->faults[0] = (struct hl_fault){ .kind = fault_of[r->trouble],
                                      .rank = (int)draw(random, 0, (uint32_t)c->world.ranks - 1),
                                      .call = (int)draw_log(random, 1, 64) - 1,
                                      .calls = draw_bool(random) ? 1 : (int)draw(random, 2, 8),
                                      .probability = 1,
                                      .tokens = draw_log(random, 1, 2048),
                                      .delay_ns = is_long ? 5 * THRESHOLD_NS : THRESHOLD_NS / 5 };
}

/* What the trouble needs beside the healthy configuration. */
static void draw_trouble(struct hl_random_case *r, uint64_t *random)
{
    struct hl_config *c = &r->config;
    switch (r->trouble) {
    case HL_TROUBLE_NONE: break;
    case HL_TROUBLE_NO_SANITISE:
        c->subject.mutant = HL_MUTANT_NO_SANITISE;
        c->payload.rows = HL_ROWS_PATTERN;
        c->payload.pattern = HL_PAYLOAD_NEGATIVE_ZERO;
        break;
    case HL_TROUBLE_FLOAT_FTZ:
        c->subject.sentinel_compare = HL_COMPARE_FLOAT_FTZ;
        c->payload.rows = HL_ROWS_PATTERN;
        c->payload.pattern = HL_PAYLOAD_SUBNORMAL;
        break;
    case HL_TROUBLE_SHORT_CLEAR: c->subject.mutant = HL_MUTANT_SHORT_CLEAR; break;
    case HL_TROUBLE_LATE_CLEAR: c->subject.mutant = HL_MUTANT_LATE_CLEAR; break;
    case HL_TROUBLE_DROP_STORE: c->subject.mutant = HL_MUTANT_DROP_STORE; break;
    case HL_TROUBLE_NORM_ONLY: c->subject.fallback = HL_FALLBACK_NORM_ONLY; break;
    case HL_TROUBLE_NO_ROOM:
        c->world.progress = HL_PROGRESS_LOBE;
        c->world.resident_ctas = draw_log(random, 1, 4096);
        break;
    default: draw_fault(r, random);
    }
}

/* One call of the clean program on the rank of the fault. */
struct seen {
    bool any_mnnvl, any_trtllm_oneshot, any_fused, any_norm_only;
    bool store_dropped; /* rank 1's 5th call on a workspace is one-shot */
    uint32_t ctas;      /* of the largest grid */
};

static struct seen look(const struct hl_program *p, const struct hl_places *calls)
{
    struct seen seen = { 0 };
    uint32_t numbers[3] = { 0 };
    for (uint32_t i = 0; i < calls->n; i++) {
        const struct hl_op *op = &p->rank[1].ops[calls->place[i].op];
        seen.any_mnnvl |= hl_protocol_family(op->protocol) == HL_FAMILY_MNNVL;
        seen.any_trtllm_oneshot |= op->protocol == HL_TRTLLM_ONESHOT;
        seen.any_norm_only |= op->protocol == HL_NORM_ONLY;
        seen.store_dropped |= numbers[op->workspace]++ == 4 &&
                              (op->protocol == HL_MNNVL_ONESHOT || op->protocol == HL_TRTLLM_ONESHOT);
        const uint32_t ctas =
            hl_kernel_ctas(hl_protocol_kernels(op->protocol).kernels[0], op->tokens, p->config.world.sms);
        seen.ctas = ctas > seen.ctas ? ctas : seen.ctas;
    }
    seen.any_fused = seen.any_mnnvl || seen.any_trtllm_oneshot;
    return seen;
}

/* A two-shot of trtllm meets in barriers, not in slots: ranks with different sizes pass them, and sum rows
 * that are not there. Everything else waits for rows that nobody sends. */
static uint32_t size_verdicts(const struct hl_program *clean, const struct hl_program *faulty,
                              const struct hl_places *hit)
{
    const int rank = clean->config.faults[0].rank;
    bool slots = false, barriers = false;
    for (uint32_t i = 0; i < hit->n; i++) {
        const bool is_twoshot = clean->rank[rank].ops[hit->place[i].op].protocol == HL_TRTLLM_TWOSHOT;
        barriers |= is_twoshot;
        slots |= !is_twoshot;
    }
    for (uint32_t i = 0; i < faulty->rank[rank].n_ops; i++) {
        const struct hl_op *op = &faulty->rank[rank].ops[i];
        slots |= op->kind == HL_OP_CALL && op->fault && op->protocol != HL_TRTLLM_TWOSHOT;
    }
    return barriers ? HANG | CORRUPT : slots ? HANG : 0;
}

static void expect(struct hl_random_case *r, uint32_t verdicts, enum hl_cause cause)
{
    r->verdicts = verdicts;
    r->cause = cause;
}

static void expect_trouble(struct hl_random_case *r, const struct hl_program *clean,
                           const struct hl_program *faulty, const struct hl_places *hit, struct seen seen)
{
    const struct hl_config *c = &clean->config;
    const uint32_t race = PASS | HANG | CORRUPT;
    switch (r->trouble) {
    case HL_TROUBLE_SKIP_CALL: expect(r, HANG, HL_CAUSE_PEER_MISSING_CALL); break;
    case HL_TROUBLE_EXTRA_CALL: expect(r, HANG, HL_CAUSE_EPOCH_SKEW); break;
    case HL_TROUBLE_OTHER_SIZE: expect(r, size_verdicts(clean, faulty, hit), HL_CAUSE_SHAPE_MISMATCH); break;
    case HL_TROUBLE_OTHER_STRATEGY: /* mnnvl's strategies lay out the same bytes, so that rows may be mixed up
                                     */
        expect(r, seen.any_mnnvl ? HANG | CORRUPT : HANG, HL_CAUSE_STRATEGY_MISMATCH);
        break;
    case HL_TROUBLE_SWAP_ORDER: expect(r, HANG, HL_CAUSE_ORDER_INVERSION); break;
    case HL_TROUBLE_SECOND_STREAM: expect(r, race, HL_CAUSE_CONCURRENT_CALLS); break;
    case HL_TROUBLE_LATE_MEMSET: expect(r, race, HL_CAUSE_INIT_RACE); break;
    case HL_TROUBLE_LONG_DELAY: expect(r, HANG, HL_CAUSE_PEER_HOST_BLOCKED); break;
    case HL_TROUBLE_NO_SANITISE: /* two elements of -0.0 are no sentinel of mnnvl */
        expect(r, seen.any_trtllm_oneshot || (seen.any_mnnvl && c->subject.dtype == HL_FP32) ? HANG : PASS,
               HL_CAUSE_SENTINEL_COLLISION);
        break;
    case HL_TROUBLE_FLOAT_FTZ: expect(r, seen.any_mnnvl ? HANG : PASS, HL_CAUSE_SENTINEL_COLLISION); break;
    case HL_TROUBLE_SHORT_CLEAR: expect(r, seen.any_fused ? race : PASS, HL_CAUSE_SHORT_CLEAR); break;
    case HL_TROUBLE_LATE_CLEAR: /* it clears the next buffer, with the size of the one before: too little, too
                                 */
        expect(r, seen.any_fused ? race : PASS, HL_CAUSE_LATE_CLEAR);
        if (c->schedule.n_sizes > 1)
            r->also = HL_CAUSE_SHORT_CLEAR;
        break;
    case HL_TROUBLE_DROP_STORE: expect(r, seen.store_dropped ? HANG : PASS, HL_CAUSE_LOST_WRITE); break;
    case HL_TROUBLE_NORM_ONLY:
        expect(r, seen.any_norm_only ? CORRUPT : PASS, HL_CAUSE_MISSING_ALLREDUCE);
        break;
    case HL_TROUBLE_NO_ROOM:
        expect(r,
               (uint64_t)seen.ctas * (uint32_t)c->world.ranks > c->world.resident_ctas ? PASS | HANG : PASS,
               HL_CAUSE_NOT_RESIDENT);
        break;
    default: expect(r, PASS, HL_CAUSE_NONE);
    }
}

/* Builds the program with and without the fault. *ret_fits: the fault strikes somewhere. */
static enum hl_status derive(struct hl_random_case *r, bool *ret_fits, struct hl_error *error)
{
    struct hl_program *clean = NULL, *faulty = NULL;
    struct hl_places calls = { 0 }, hit = { 0 };
    const struct hl_fault every_call = { .kind = HL_FAULT_SKIP_CALL, .rank = 1, .call = -1 };
    enum hl_status status = hl_program_create(&r->config, r->seed, &clean, error);
    if (!status)
        status = hl_program_create(&r->config, r->seed, &faulty, error);
    if (!status)
        status = hl_faults_weave(faulty, r->seed, error);
    if (!status)
        status = hl_places_find(clean, &every_call, &calls, error);
    if (!status && r->config.n_faults)
        status = hl_places_find(clean, &clean->config.faults[0], &hit, error);
    if (!status) {
        expect_trouble(r, clean, faulty, &hit, look(clean, &calls));
        *ret_fits = !r->config.n_faults || faulty->fates[0].fate == HL_FATE_WOVEN;
    }
    free(calls.place);
    free(hit.place);
    hl_program_destroy(clean);
    hl_program_destroy(faulty);
    return status;
}

enum hl_status hl_random_case_draw(const struct hl_config *base, enum hl_trouble trouble, uint64_t *random,
                                   struct hl_random_case *ret_case, struct hl_error *error)
{
    for (bool fits = false; !fits;) {
        struct hl_random_case r = { .trouble = trouble, .config = *base };
        r.seed = hl_random_next(random) >> 11;
        draw_healthy(&r.config, random);
        draw_trouble(&r, random);
        if (trouble == HL_TROUBLE_SWAP_ORDER)
            r.config.subject.workspaces = 2;
        const enum hl_status status = derive(&r, &fits, error);
        if (status)
            return status;
        if (fits)
            *ret_case = r;
    }
    return HL_STATUS_OK;
}

/* What a random case must end as, from the definition of its trouble; see random_case.h. */
#include "random_case.h"
#include <string.h>
#include "../../kernels/subject.h"

enum {
    PASS = 1u << HL_VERDICT_PASS,
    HANG = 1u << HL_VERDICT_HANG,
    CORRUPT = 1u << HL_VERDICT_CORRUPT,
    CRASH = 1u << HL_VERDICT_CRASH,
    INCONCLUSIVE = 1u << HL_VERDICT_INCONCLUSIVE,
    RACE = PASS | HANG | CORRUPT
};

/* The calls of the clean program: the same on all ranks. */
struct seen {
    bool any_mnnvl, any_trtllm_oneshot, any_trtllm_twoshot, any_norm_only, any_graph;
    bool struck, struck_oneshot; /* subject.strike hits a call, and one that pushes rows to slots */
    uint32_t ctas;               /* of the largest grid */
};

static bool is_struck(const struct hl_strike *s, uint32_t number)
{
    return s->call < 0 || (number >= (uint32_t)s->call && number - (uint32_t)s->call < (uint32_t)s->calls);
}

static struct seen look(const struct hl_program *p, const struct hl_places *calls, bool for_gpu)
{
    struct seen seen = { 0 };
    uint32_t numbers[HL_PROGRAM_WORKSPACES_MAX] = { 0 };
    for (uint32_t i = 0; i < calls->n; i++) {
        const struct hl_op *op = &p->rank[0].ops[calls->place[i].op];
        const bool struck = is_struck(&p->config.subject.strike, numbers[op->workspace]++);
        seen.any_mnnvl |= hl_protocol_family(op->protocol) == HL_FAMILY_MNNVL;
        seen.any_trtllm_oneshot |= op->protocol == HL_TRTLLM_ONESHOT;
        seen.any_trtllm_twoshot |= op->protocol == HL_TRTLLM_TWOSHOT;
        seen.any_norm_only |= op->protocol == HL_NORM_ONLY;
        seen.any_graph |= calls->place[i].op != calls->place[i].launch;
        /* Mutants are built for a GPU without the plain allreduce (kernels/cuda/steps.cu). */
        seen.struck |= struck && op->protocol != HL_NORM_ONLY && !(for_gpu && op->protocol == HL_NCCL);
        seen.struck_oneshot |=
            struck && (op->protocol == HL_MNNVL_ONESHOT || op->protocol == HL_TRTLLM_ONESHOT);
        const struct hl_kernel_list list = hl_protocol_kernels(op->protocol);
        for (int k = 0; k < list.count; k++) {
            const uint32_t ctas = hl_kernel_ctas(list.kernels[k], op->tokens, p->config.world.sms);
            seen.ctas = ctas > seen.ctas ? ctas : seen.ctas;
        }
    }
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

/* Does the fault strike a call that meets in a barrier of CTAs? */
static bool hits_twoshot_barrier(const struct hl_program *clean, const struct hl_places *hit)
{
    for (uint32_t i = 0; i < hit->n; i++)
        if (clean->rank[clean->config.faults[0].rank].ops[hit->place[i].op].protocol == HL_TRTLLM_TWOSHOT)
            return true;
    return false;
}

/* May the grids of all ranks be more than the GPU holds? The simulator's reduced geometry keeps sizes apart,
 * so that a call of few tokens may take almost as many CTAs there as the largest; room rounds down; with PDL
 * a rank's next kernels take room as well. */
static bool is_tight(const struct hl_program *p, const struct seen *seen, bool for_gpu)
{
    enum { KERNELS_WITH_PDL = 3 };
    if (for_gpu)
        return hl_random_case_is_tight_on_gpu(p, seen->ctas);
    const uint64_t ctas = seen->ctas > p->tokens_max ? seen->ctas : p->tokens_max;
    const uint64_t kernels = p->config.schedule.pdl ? KERNELS_WITH_PDL : 1;
    return (kernels * (uint32_t)p->ranks + 1) * ctas > p->config.world.resident_ctas;
}

static void expect(struct hl_random_case *r, uint32_t verdicts, enum hl_cause cause)
{
    r->verdicts = verdicts;
    r->cause = cause;
}

/* What one rank's calls, or its host, do. */
static bool expect_of_rank(struct hl_random_case *r, const struct hl_program *clean,
                           const struct hl_program *faulty, const struct hl_places *hit,
                           const struct seen *seen)
{
    switch (r->trouble) {
    case HL_TROUBLE_SKIP_CALL: expect(r, HANG, HL_CAUSE_PEER_MISSING_CALL); break;
    case HL_TROUBLE_EXTRA_CALL: expect(r, HANG, HL_CAUSE_EPOCH_SKEW); break;
    case HL_TROUBLE_OTHER_BUCKET:
    case HL_TROUBLE_OTHER_SIZE: expect(r, size_verdicts(clean, faulty, hit), HL_CAUSE_SHAPE_MISMATCH); break;
    case HL_TROUBLE_OTHER_STRATEGY: /* mnnvl's lay out the same bytes, so that rows may be mixed up */
        expect(r, seen->any_mnnvl ? HANG | CORRUPT : HANG, HL_CAUSE_STRATEGY_MISMATCH);
        break;
    case HL_TROUBLE_GRID_MISMATCH: /* only some CTAs are alone, and later ones may come late enough */
        expect(r, hits_twoshot_barrier(clean, hit) ? RACE : PASS, HL_CAUSE_GRID_MISMATCH);
        break;
    case HL_TROUBLE_SWAP_ORDER: expect(r, HANG, HL_CAUSE_ORDER_INVERSION); break;
    case HL_TROUBLE_SECOND_STREAM: expect(r, RACE, HL_CAUSE_CONCURRENT_CALLS); break;
    case HL_TROUBLE_SHARED_WORKSPACE: expect(r, HANG, HL_CAUSE_SHARED_WORKSPACE); break;
    case HL_TROUBLE_REALLOC: expect(r, RACE, HL_CAUSE_STALE_ADDRESS); break;
    case HL_TROUBLE_STALE_GRAPH: expect(r, HANG, HL_CAUSE_STALE_ADDRESS); break;
    case HL_TROUBLE_EARLY_INIT:
    case HL_TROUBLE_LATE_MEMSET: expect(r, RACE, HL_CAUSE_INIT_RACE); break;
    case HL_TROUBLE_WRONG_GROUP: expect(r, HANG, HL_CAUSE_WRONG_GROUP); break;
    case HL_TROUBLE_CAPTURE_BARRIER:
    case HL_TROUBLE_LONE_BARRIER: expect(r, HANG, HL_CAUSE_PEER_MISSING_CALL); break;
    case HL_TROUBLE_STOP_RANK:
    case HL_TROUBLE_LONG_DELAY: expect(r, HANG, HL_CAUSE_PEER_HOST_BLOCKED); break;
    case HL_TROUBLE_ONE_THREAD: /* where the other rank's queue holds all that it issues, nothing happens */
        expect(r, PASS | HANG, HL_CAUSE_PEER_HOST_BLOCKED);
        break;
    case HL_TROUBLE_HOST_BLOCK: /* with a process for each rank it waits for kernels that end */
        expect(r, clean->config.world.placement == HL_PLACEMENT_VIRTUAL ? PASS | HANG : PASS,
               HL_CAUSE_PEER_HOST_BLOCKED);
        break;
    case HL_TROUBLE_KILL_RANK: expect(r, HANG, HL_CAUSE_PEER_DEAD); break;
    case HL_TROUBLE_STALL_STREAM: expect(r, HANG, HL_CAUSE_PEER_STREAM_STALLED); break;
    case HL_TROUBLE_DRIVER_STALL: expect(r, HANG, HL_CAUSE_DRIVER_STALL); break;
    case HL_TROUBLE_FOREIGN_SPIN: expect(r, HANG, HL_CAUSE_FOREIGN_KERNEL); break;
    case HL_TROUBLE_SERIALISE: expect(r, HANG, HL_CAUSE_TOOL_INDUCED); break;
    default: return false;
    }
    return true;
}

/* What a wrong build does, where its protocol is the one that was built wrongly. */
static bool expect_of_build(struct hl_random_case *r, const struct seen *seen)
{
    const struct hl_config *c = &r->config;
    const bool pushes = seen->any_mnnvl || seen->any_trtllm_oneshot;
    switch (r->trouble) {
    case HL_TROUBLE_NO_SANITISE: /* two elements of -0.0 are no sentinel of mnnvl */
        expect(r, seen->any_trtllm_oneshot || (seen->any_mnnvl && c->subject.dtype == HL_FP32) ? HANG : PASS,
               HL_CAUSE_SENTINEL_COLLISION);
        break;
    case HL_TROUBLE_FLOAT_FTZ: expect(r, seen->any_mnnvl ? HANG : PASS, HL_CAUSE_SENTINEL_COLLISION); break;
    case HL_TROUBLE_SHORT_CLEAR: expect(r, pushes ? RACE : PASS, HL_CAUSE_SHORT_CLEAR); break;
    case HL_TROUBLE_LATE_CLEAR:
    case HL_TROUBLE_DEPTH_2: expect(r, pushes ? RACE : PASS, HL_CAUSE_LATE_CLEAR); break;
    case HL_TROUBLE_WRONG_CLEAR_OFFSET: /* one row behind the range, and one row of the range left */
        expect(r, pushes ? RACE : PASS, HL_CAUSE_OUT_OF_BOUNDS);
        r->also = HL_CAUSE_SHORT_CLEAR;
        break;
    case HL_TROUBLE_DROP_STORE:
        expect(r, seen->struck_oneshot ? HANG : INCONCLUSIVE, HL_CAUSE_LOST_WRITE);
        break;
    case HL_TROUBLE_MISDIRECT_STORE: /* the row beside the last one may lie outside of the buffer */
        expect(r, seen->struck_oneshot ? HANG : INCONCLUSIVE, HL_CAUSE_LOST_WRITE);
        r->also = HL_CAUSE_OUT_OF_BOUNDS;
        break;
    case HL_TROUBLE_STRAY_STORE:
        expect(r, seen->struck_oneshot ? CORRUPT : INCONCLUSIVE, HL_CAUSE_OUT_OF_BOUNDS);
        break;
    case HL_TROUBLE_TORN_STORE: expect(r, pushes ? PASS | CORRUPT : PASS, HL_CAUSE_TORN_READ); break;
    case HL_TROUBLE_MISSED_ARRIVAL:
        expect(r, seen->struck ? HANG : INCONCLUSIVE, HL_CAUSE_ARRIVAL_STUCK);
        break;
    case HL_TROUBLE_OVERSHOOT: /* tested for equality, the counter is never right again; else right too early
                                */
        expect(r, seen->struck ? RACE : INCONCLUSIVE, HL_CAUSE_ARRIVAL_STUCK);
        r->also = HL_CAUSE_WEAK_ORDERING;
        break;
    case HL_TROUBLE_SHARED_COUNTER:
        expect(r, RACE, HL_CAUSE_ARRIVAL_STUCK);
        r->also = HL_CAUSE_WEAK_ORDERING;
        break;
    case HL_TROUBLE_RELAXED_ARRIVAL: expect(r, RACE, HL_CAUSE_WEAK_ORDERING); break;
    case HL_TROUBLE_NO_RELEASE:
        expect(r, seen->any_trtllm_twoshot ? PASS | CORRUPT : PASS, HL_CAUSE_WEAK_ORDERING);
        break;
    case HL_TROUBLE_EARLY_TRIGGER: expect(r, RACE, HL_CAUSE_EARLY_TRIGGER); break;
    case HL_TROUBLE_BAKED_EPOCH: expect(r, seen->any_graph ? RACE : PASS, HL_CAUSE_BAKED_EPOCH); break;
    case HL_TROUBLE_INT_OFFSET:
    case HL_TROUBLE_NO_ALIGN: expect(r, pushes ? PASS | CRASH : PASS, HL_CAUSE_OUT_OF_BOUNDS); break;
    case HL_TROUBLE_TOO_SMALL:
        expect(r, pushes || seen->any_trtllm_twoshot ? RACE : PASS, HL_CAUSE_OUT_OF_BOUNDS);
        break;
    default: return false;
    }
    return true;
}

void hl_random_case_expect(struct hl_random_case *r, const struct hl_program *clean,
                           const struct hl_program *faulty, const struct hl_places *hit,
                           const struct hl_places *calls)
{
    const struct seen seen = look(clean, calls, r->for_gpu);
    if (expect_of_rank(r, clean, faulty, hit, &seen) || expect_of_build(r, &seen))
        return;
    switch (r->trouble) {
    case HL_TROUBLE_NO_ROOM:
    case HL_TROUBLE_ANY_ORDER:
        expect(r, is_tight(clean, &seen, r->for_gpu) ? PASS | HANG : PASS, HL_CAUSE_NOT_RESIDENT);
        break;
    case HL_TROUBLE_NORM_ONLY:
        expect(r, seen.any_norm_only ? CORRUPT : PASS, HL_CAUSE_MISSING_ALLREDUCE);
        break;
    default: expect(r, PASS, HL_CAUSE_NONE);
    }
}

/* Random cases; see random_case.h. */
#include "random_case.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../../framework/fault/weave.h"
#include "../../framework/program/random.h"

static const struct {
    const char *name;
    enum hl_fault_kind fault;
    enum hl_mutant mutant;
} troubles[HL_TROUBLE_COUNT] = {
#define X(id, name, fault, mutant) { name, fault, mutant },
    HL_TROUBLES(X)
#undef X
};

const char *hl_trouble_name(enum hl_trouble trouble) { return troubles[trouble].name; }

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

/* From too small for most calls to many GiB, anywhere: right kernels do not mind. */
static void draw_memory(struct hl_workspace_memory *m, uint64_t *random)
{
    m->checked = true;
    m->size_mib = draw_bool(random) ? 0 : draw_log(random, 1, 12288);
    m->offset_bytes = draw_bool(random) ? 0 : 4 * draw(random, 0, 63);
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
    const int ranks = 2 << draw(random, 0, 2);
    c->world.ranks = c->world.gpus ? c->world.gpus : ranks;
    c->subject.backend = (enum hl_backend)draw(random, HL_BACKEND_MNNVL, HL_BACKEND_NCCL);
    if (c->world.gpus &&
        c->subject.backend == HL_BACKEND_NCCL) /* NCCL itself: each of its hangs costs seconds */
        c->subject.backend = HL_BACKEND_MNNVL;
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
    draw_memory(&c->workspace, random);
}

static struct hl_strike draw_strike(int ranks, uint64_t *random)
{
    return (struct hl_strike){ .rank = (int)draw(random, 0, (uint32_t)ranks - 1),
                               .call = (int)draw_log(random, 1, 16) - 2,
                               .calls = draw_bool(random) ? 1 : (int)draw(random, 2, 8),
                               .token = draw_bool(random) ? -1 : 0,
                               .cta = draw_bool(random) ? -1 : 0 };
}

static uint64_t delay_of(enum hl_trouble trouble, uint64_t threshold_ns)
{
    switch (trouble) {
    case HL_TROUBLE_LONG_DELAY: return 5 * threshold_ns;
    case HL_TROUBLE_EARLY_INIT: return 1000000;
    default: return threshold_ns / 5;
    }
}

static void draw_fault(struct hl_random_case *r, uint64_t *random)
{
    struct hl_config *c = &r->config;
    c->n_faults = 1;
    c->faults[0] = (struct hl_fault){ .kind = troubles[r->trouble].fault,
                                      .rank = (int)draw(random, 0, (uint32_t)c->world.ranks - 1),
                                      .call = (int)draw_log(random, 1, 64) - 1,
                                      .calls = draw_bool(random) ? 1 : (int)draw(random, 2, 8),
                                      .probability = 1,
                                      .tokens = draw_log(random, 1, 2048),
                                      .delay_ns = delay_of(r->trouble, c->watchdog.threshold_ns) };
}

/* What the trouble needs beside the healthy configuration. */
static void draw_needs(struct hl_random_case *r, uint64_t *random)
{
    struct hl_config *c = &r->config;
    switch (r->trouble) {
    case HL_TROUBLE_SWAP_ORDER: c->subject.workspaces = 2; break;
    case HL_TROUBLE_ONE_THREAD: c->world.launch_queue = draw_log(random, 1, 64); break;
    case HL_TROUBLE_KILL_RANK:
    case HL_TROUBLE_STOP_RANK: c->world.placement = HL_PLACEMENT_PROCESS; break;
    case HL_TROUBLE_DRIVER_STALL:
    case HL_TROUBLE_HOST_BLOCK:
        c->world.placement = draw_bool(random) ? HL_PLACEMENT_VIRTUAL : HL_PLACEMENT_PROCESS;
        break;
    case HL_TROUBLE_FOREIGN_SPIN: /* room for all, so that nobody else can be to blame */
        c->world.progress = HL_PROGRESS_LOBE;
        c->world.resident_ctas = 1u << 16;
        break;
    case HL_TROUBLE_NO_ROOM:
        c->world.progress = HL_PROGRESS_LOBE;
        c->world.resident_ctas = draw_log(random, 1, 4096);
        break;
    case HL_TROUBLE_ANY_ORDER:
        c->world.progress = HL_PROGRESS_OBE;
        c->world.resident_ctas = draw_log(random, 1, 4096);
        break;
    case HL_TROUBLE_NORM_ONLY: c->subject.fallback = HL_FALLBACK_NORM_ONLY; break;
    case HL_TROUBLE_NO_SANITISE:
        c->payload.rows = HL_ROWS_PATTERN;
        c->payload.pattern = HL_PAYLOAD_NEGATIVE_ZERO;
        break;
    case HL_TROUBLE_FLOAT_FTZ:
        c->subject.sentinel_compare = HL_COMPARE_FLOAT_FTZ;
        c->payload.rows = HL_ROWS_PATTERN;
        c->payload.pattern = HL_PAYLOAD_SUBNORMAL;
        break;
    case HL_TROUBLE_GRID_MISMATCH: /* where it matters */
        c->subject.backend = HL_BACKEND_TRTLLM;
        c->subject.strategy = HL_STRATEGY_TWOSHOT;
        break;
    case HL_TROUBLE_SHARED_COUNTER: c->subject.strategy = HL_STRATEGY_AUTO; break;
    case HL_TROUBLE_NO_RELEASE:
        c->subject.strategy = HL_STRATEGY_TWOSHOT;
        c->world.memory = HL_MEMORY_RELAXED;
        c->subject.backend = HL_BACKEND_TRTLLM;
        break;
    case HL_TROUBLE_TORN_STORE: c->world.memory = draw_bool(random) ? HL_MEMORY_RELAXED : HL_MEMORY_SC; break;
    case HL_TROUBLE_EARLY_TRIGGER: /* calls with nothing between them */
        c->schedule.pdl = true;
        c->payload.rows = HL_ROWS_UNWRITTEN;
        break;
    case HL_TROUBLE_INT_OFFSET: c->workspace.size_mib = draw_log(random, 512, 12288); break;
    case HL_TROUBLE_NO_ALIGN: c->workspace.offset_bytes = 4 * draw(random, 0, 63); break;
    case HL_TROUBLE_TOO_SMALL: /* of one strategy: the reduced geometry has no sizes for both */
        c->workspace.checked = false;
        c->workspace.size_mib = draw_log(random, 1, 64);
        c->subject.strategy = draw_bool(random) ? HL_STRATEGY_ONESHOT : HL_STRATEGY_TWOSHOT;
        break;
    default: break;
    }
    if (HL_MUTANT_COUNTS_CALLS(c->subject.mutant))
        c->subject.strike = draw_strike(c->world.ranks, random);
}

/* Builds the program with and without the fault. *ret_fits: the fault strikes somewhere. */
static enum hl_status derive(struct hl_random_case *r, bool *ret_fits, struct hl_error *error)
{
    struct hl_program *clean = NULL, *faulty = NULL;
    struct hl_places calls = { 0 }, hit = { 0 };
    const struct hl_fault every_call = { .kind = HL_FAULT_SKIP_CALL, .call = -1 };
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
        hl_random_case_expect(r, clean, faulty, &hit, &calls);
        *ret_fits = !r->config.n_faults || faulty->fates[0].fate == HL_FATE_WOVEN;
    }
    free(calls.place);
    free(hit.place);
    hl_program_destroy(clean);
    hl_program_destroy(faulty);
    return status;
}

enum hl_status hl_random_case_draw(const struct hl_config *base, enum hl_trouble trouble, bool for_gpu,
                                   uint64_t *random, struct hl_random_case *ret_case, struct hl_error *error)
{
    for (bool fits = false; !fits;) {
        struct hl_random_case r = { .trouble = trouble, .config = *base, .for_gpu = for_gpu };
        r.seed = hl_random_next(random) >> 11;
        draw_healthy(&r.config, random);
        r.config.subject.mutant = troubles[trouble].mutant;
        draw_needs(&r, random);
        if (for_gpu)
            hl_random_case_fit_gpu(&r, random);
        if (troubles[trouble].fault != HL_FAULT_NONE)
            draw_fault(&r, random);
        const enum hl_status status = derive(&r, &fits, error);
        if (status)
            return status;
        if (fits)
            *ret_case = r;
    }
    return HL_STATUS_OK;
}

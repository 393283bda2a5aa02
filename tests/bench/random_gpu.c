/* Random cases for a GPU: what differs from the simulator by the nature of the thing. See random_case.h.
 *
 * NCCL takes no two ranks on one GPU; mutants are built for bf16 first of all; only processes die alone, and
 * a GPU is shared among those in slices, so they are few and get more time; room is what the GPU has. */
#include "random_case.h"
#include "../../framework/program/random.h"
#include "../../kernels/cuda/launch.h"

enum { PROCESS_RANKS_MAX = 4, ROOM_HIDDEN = 4096, FULL_ELEMENTS_MAX = 1 << 18 };
#define PROCESS_THRESHOLD_NS 1000000000ull

bool hl_trouble_needs_process(enum hl_trouble trouble)
{
    return trouble == HL_TROUBLE_KILL_RANK || trouble == HL_TROUBLE_STOP_RANK;
}

static bool is_built_for_bf16_only(enum hl_mutant mutant)
{
    switch (mutant) {
#define X(id) case id:
        HL_CUDA_MUTANTS(X)
#undef X
        return false;
    default: return true;
    }
}

static uint32_t most_tokens(const struct hl_schedule *s)
{
    uint32_t most = 0;
    for (int i = 0; i < s->n_sizes; i++)
        most = s->sizes[i] > most ? s->sizes[i] : most;
    return most;
}

/* As written where the rows are few, so that most runs take milliseconds. */
static void draw_geometry(struct hl_config *c, uint64_t *random)
{
    const uint64_t elements = (uint64_t)most_tokens(&c->schedule) * c->subject.hidden;
    const bool full = elements <= FULL_ELEMENTS_MAX && hl_random_below(random, 2);
    c->geometry = full ? HL_GEOMETRY_FULL : HL_GEOMETRY_REDUCED;
}

void hl_random_case_fit_gpu(struct hl_random_case *r, uint64_t *random)
{
    struct hl_config *c = &r->config;
    if (c->subject.backend == HL_BACKEND_NCCL)
        c->subject.backend = hl_random_below(random, 2) ? HL_BACKEND_MNNVL : HL_BACKEND_TRTLLM;
    if (is_built_for_bf16_only(c->subject.mutant))
        c->subject.dtype = HL_BF16;
    c->world.memory = HL_MEMORY_SC;
    draw_geometry(c, random);
    if (r->trouble == HL_TROUBLE_NO_ROOM) {
        c->geometry = HL_GEOMETRY_FULL;
        c->subject.hidden = ROOM_HIDDEN;
    }
    if (!hl_trouble_needs_process(r->trouble) && !c->world.gpus)
        c->world.placement = HL_PLACEMENT_VIRTUAL;
    if (c->world.placement != HL_PLACEMENT_PROCESS)
        return;
    if (c->world.ranks > PROCESS_RANKS_MAX && !c->world.gpus)
        c->world.ranks = PROCESS_RANKS_MAX;
    c->watchdog.threshold_ns = PROCESS_THRESHOLD_NS;
}

/* Every call's kernel and its norm, at the least room that a GPU has for wide rows: a CTA a multiprocessor.
 */
bool hl_random_case_is_tight_on_gpu(const struct hl_program *p, uint32_t ctas)
{
    enum { KERNELS = 2, FEWEST_SMS = 114 };
    const uint32_t ranks = p->config.world.gpus ? 1 : (uint32_t)p->ranks;
    return (uint64_t)ctas * ranks * KERNELS > FEWEST_SMS;
}

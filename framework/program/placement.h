/* Which GPU a rank is on: ranks are dealt out in blocks of neighbours, as launchers of serving engines do. */
#pragma once
#include "hanglab/config.h"

/* GPUs that a world takes; `there` is how many the machine has. A world that names its number gets it, there
 * or not. */
static inline int hl_world_gpus(const struct hl_world *world, int ranks, int there)
{
    if (world->gpus)
        return world->gpus < ranks ? world->gpus : ranks;
    if (world->placement == HL_PLACEMENT_VIRTUAL)
        return 1;
    return there < ranks ? there : ranks;
}

static inline int hl_rank_gpu(const struct hl_world *world, int ranks, int there, int rank)
{
    return rank * hl_world_gpus(world, ranks, there) / ranks;
}

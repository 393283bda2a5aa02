/* A member: the process of one rank, with `world.placement: process`. Its memory and its peers' are the
 * runner's, opened through interprocess handles, so that they outlive a rank that dies. */
#pragma once
#include "shared.h"

/* Never returns. Its first message is a reply that says whether it has a GPU. `first` is the plan of the
 * first run that it was started for: it says which GPU. */
struct hl_cuda_plan;
_Noreturn void hl_cuda_member(int fd, struct hl_shared *shared, const struct hl_cuda_plan *first, int rank);

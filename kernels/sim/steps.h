/* The step functions of every mutant build, for the simulator. */
#pragma once
#include "../step.h"
#include "../subject.h"

typedef enum hl_step_result (*hl_step_fn)(struct hl_step *, struct hl_cx *);

/* The step functions of a build, indexed by enum hl_kernel. */
const hl_step_fn *hl_steps_of(enum hl_mutant mutant);

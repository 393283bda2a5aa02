/* The table of builds: one step table per mutant. */
#include "steps.h"

#define X(id, name, doc) extern const hl_step_fn hl_step_table_##id[HL_KERNEL_COUNT];
HL_MUTANTS(X)
#undef X

const hl_step_fn *hl_steps_of(enum hl_mutant mutant)
{
    static const hl_step_fn *const tables[HL_MUTANT_COUNT] = {
#define X(id, name, doc) [id] = hl_step_table_##id,
        HL_MUTANTS(X)
#undef X
    };
    return tables[mutant];
}

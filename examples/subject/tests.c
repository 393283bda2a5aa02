/* The cases of scenario.yaml as Criterion tests of the kernel beside it. */
#include <hanglab/criterion.h>

HL_CRITERION_SCENARIOS(oneshot, scenario, "scenario.yaml")

/* Two tests that fail: one hang that nobody expected, one mistake in a scenario file. */
#include <hanglab/criterion.h>

HL_CRITERION_SCENARIOS(failing, hangs, "failing/refused.yaml")
HL_CRITERION_SCENARIOS(failing, mistake, "failing/mistake.yaml")

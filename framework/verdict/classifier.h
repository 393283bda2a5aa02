/* From evidence to verdict, cause and certainty. Reads evidence only: never the scenario or its faults. */
#pragma once
#include "hanglab/verdict.h"
#include "../../watchdog/evidence.h"

struct hl_finding hl_classify(const struct hl_evidence *evidence);

const char *hl_cause_name(enum hl_cause cause);
const char *hl_cause_meaning(enum hl_cause cause);
const char *hl_cause_evidence(enum hl_cause cause);
const char *hl_cause_hint(enum hl_cause cause);
const char *hl_cause_incidents(enum hl_cause cause);

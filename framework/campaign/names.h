/* Words of the evidence, which scenario files do not know (theirs are in scenario/words.h). */
#pragma once
#include "../../watchdog/evidence.h"

const char *hl_event_name(enum hl_event_kind kind);
const char *hl_family_name(enum hl_family family);
const char *hl_host_state_name(enum hl_host_state state);
const char *hl_slot_state_name(enum hl_slot_state state);
const char *hl_wrong_kind_name(enum hl_wrong_kind kind);

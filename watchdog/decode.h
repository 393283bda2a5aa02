/* Which words the begun calls still wait for, read from the ranks' memory through the layout. */
#pragma once
#include "evidence.h"

/* Fills evidence->slots from its flags and pending calls, which must be there. Returns 0, or -1 when out of
 * memory. */
int hl_decode_slots(const struct hl_probe *probe, struct hl_evidence *evidence);

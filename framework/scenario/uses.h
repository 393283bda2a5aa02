/* Which keys a configuration can use: where a fault or a mutant strikes is said by keys, and not each takes
 * all. */
#pragma once
#include "fields.h"
#include "hanglab/config.h"

/* Does the configuration use a key of its fault `fault`, or with -1 one of its own? Keys that are always read
 * are used, and so are all of a healthy twin. */
bool hl_config_uses(const struct hl_config *config, int fault, const char *path);
/* The keys that use it where this one does not: for a message. */
const char *hl_config_takes(const struct hl_config *config, int fault);

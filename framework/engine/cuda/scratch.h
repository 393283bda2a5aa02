/* A private folder for what the driver and CUPTI write: pipes, cores, cubins. Who leaves it there may be
 * killed, so it is removed with all that is in it. */
#pragma once
#include <stdbool.h>

#define HL_SCRATCH_MAX 64

/* Makes `where`/hanglab-`what`-XXXXXX, readable by its owner only. False, and "": it cannot be made. */
bool hl_scratch_make(char folder[HL_SCRATCH_MAX], const char *where, const char *what);
/* Removes it and its files. "" is none. */
void hl_scratch_remove(const char *folder);

/* Source lines of PC samples, from the cubins that were kept. Includes no CUDA header. */
#pragma once
#include <stddef.h>
#include "page.h"

/* Fills file and line of the page's samples as far as `folder` has their cubins. False: nothing could be
 * looked up; `why` says why. */
bool hl_symbolise(struct hl_page *page, const char *folder, char *why, size_t size);

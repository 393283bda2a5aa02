/* One evidence bundle as the HTML report shows it: a JSON object that holds all of it, and little more. */
#pragma once
#include <stdbool.h>
#include "json.h"

/* `in_full` false: the verdict only, for the bundles that a page has no room for. NULL: no bundle is there,
 * or out of memory. */
json_t *hl_bundle_page_json(const char *folder, bool in_full);

/* The HTML report: one file that needs no network, its data inside as JSON. */
#pragma once
#include "collection.h"

/* Bundles are shown in full as long as the page is smaller than this. */
#define HL_HTML_BYTES_MAX (12u << 20)

/* Returns 0, or -1 when the stream failed, or with errno 0 when out of memory. */
int hl_html_write(const struct hl_collection *collection, FILE *out);

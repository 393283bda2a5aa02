/* A bundle's timeline in the Trace Event Format, which Perfetto and chrome://tracing open. */
#pragma once
#include <stdio.h>

/* Returns 0, or -1 when the stream failed, or with errno 0 when out of memory. */
int hl_trace_write(const char *bundle, FILE *out);

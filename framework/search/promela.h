/* The space as a Promela model, so that Spin can check what the search says. */
#pragma once
#include <stdio.h>
#include "space.h"

/* One CTA a rank, one stream and calls without end; other spaces are refused. */
enum hl_status hl_promela_write(struct hl_space *space, const char *name, FILE *out, struct hl_error *error);

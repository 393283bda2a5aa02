/* Scenario files as results: whole or absent, with as many runs as show what they are about. */
#pragma once
#include <stdio.h>
#include "hanglab/error.h"

enum hl_status hl_scenario_file_write(const char *path, enum hl_status (*write)(void *user, FILE *out),
                                      void *user, struct hl_error *error);
/* As many runs as show a hang, seen in `hits` of `runs`, with 99.9 %, even at the lower end of what its rate
 * may be. */
int hl_runs_to_show(int hits, int runs);

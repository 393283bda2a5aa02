/* Reference pages, written from the tables that the program itself works by: docs/ holds what these print. */
#pragma once
#include <stdio.h>

/* docs/scenario-file.md */
void hl_write_keys_page(FILE *out);
/* docs/causes.md */
void hl_write_causes_page(FILE *out);

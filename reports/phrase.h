/* Sentences that several reports say in the same words. */
#pragma once
#include "report.h"

/* "rank 1, call 37, stage oneshot, buffer 1, slot (token 3, rank 0), word 17 = 0x80010000": what is known. */
void hl_phrase_culprit(const struct hl_culprit *culprit, char *text, size_t size);

/* What was expected instead: "pass", "cause epoch-skew", "rate 0.05 to 0.5". */
void hl_phrase_expected(const struct hl_case *c, const struct hl_case_result *result, char *text,
                        size_t size);

/* Writes `text` in lines of at most `columns`, all but the first indented by `indent`. The first line is
 * taken to begin at `column`. Ends with a newline. */
void hl_write_wrapped(FILE *out, const char *text, int column, int indent, int columns);

/* Texts that are put together piece by piece in a buffer of their own. */
#pragma once
#include <stddef.h>

/* Adds to the string in `text`, which has room for `size` bytes; what does not fit is cut off. */
void hl_text_add(char *text, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Words of memory and times, as a person reads them. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "../kernels/words.h"

/* "bf16 (0x0000 = 0, 0x8001 = -9.18e-41 subnormal)": the elements of a word, first in memory first. */
void hl_decode_word(enum hl_dtype dtype, uint32_t word, char *text, size_t size);

/* "1.203 ms" */
void hl_decode_time(uint64_t time_ns, char *text, size_t size);

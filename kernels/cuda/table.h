/* The tables of kernels that the CUDA builds of the step sources export, for the launch. */
#pragma once
#include "launch.h"

#define HL_WORLD_SIZES 4 /* 2, 4, 8, 16 */

/* [kernel][comparison][straight][log2(ranks) - 1]: addresses for the CUDA runtime, NULL where the mutant
 * changes nothing. "Straight" is a build for the common small call: a CTA is one block with one token, and
 * the row fills the block. */
typedef const void *hl_cuda_table[HL_KERNEL_COUNT][HL_COMPARE_COUNT][2][HL_WORLD_SIZES];

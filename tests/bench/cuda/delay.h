/* A kernel that does nothing for a while: what makes a rank late, or a call slow. */
#pragma once
#include <stdint.h>

struct CUstream_st;

#ifdef __cplusplus
extern "C"
#endif
    /* A cudaError_t; may be captured. */
    int
    hl_delay(uint32_t ns, struct CUstream_st *stream);

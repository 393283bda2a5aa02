/* The oracle of the soak on several GPUs: inputs made and results checked on the GPUs, so that every word of
 * every call is looked at and a call still takes microseconds.
 *
 * Rows are functions of a seed, the replay, the row and the rank; every rank can compute its peers' rows. The
 * elements are small integers, so that sums are exact in bf16 in any order: a sum is right or wrong. Zeros
 * come with both signs. */
#pragma once
#include <stdint.h>

struct CUstream_st;

/* What a rank tells, in host-mapped memory. */
struct hl_peers_report {
    uint32_t replays;                                            /* checked */
    uint32_t wrong;                                              /* words of sums and norms */
    uint32_t first_replay, first_row, first_word, got, expected; /* of the first wrong one */
};

struct hl_peers_oracle {
    int rank, ranks;
    uint32_t seed, rows, row_words;
    uint32_t *input, *residual; /* made */
    const uint32_t *gamma, *residual_out, *norm_out;
    uint32_t *replay; /* device word: number of the replay */
    struct hl_peers_report *report;
};

#ifdef __cplusplus
extern "C" {
#endif
/* Enqueue what stands before and behind the calls of a graph. cudaError_t. */
int hl_peers_oracle_fill(const struct hl_peers_oracle *oracle, struct CUstream_st *stream);
int hl_peers_oracle_check(const struct hl_peers_oracle *oracle, struct CUstream_st *stream);
#ifdef __cplusplus
}
#endif

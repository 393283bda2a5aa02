/* One rank on each GPU for the bench and the soak of several GPUs: rows, a workspace of every family of
 * protocols and a stream for each rank, peer access between all of them.
 *
 * The largest world that there are GPUs and kernels for: 2, 4, 8 or 16 ranks. bf16. */
#pragma once
#include <stdbool.h>
#include "../../../kernels/cuda/launch.h"

#define HL_PEER_FAMILIES (HL_FAMILY_NCCL + 1)

struct hl_peer {
    struct CUstream_st *stream;
    uint32_t *input, *residual, *residual_out, *norm_out; /* [row][row_words] */
    uint32_t *gamma;
    uint32_t *workspace[HL_PEER_FAMILIES];
};

struct hl_peers {
    int ranks;
    uint32_t hidden, rows;
    struct hl_layout layout[HL_PEER_FAMILIES];
    struct hl_peer rank[HL_RANKS_MAX];
    uint32_t *abort_word; /* host-mapped, for all GPUs */
};

/* Calls of a rank, all of one shape: what is launched, as it has to fit beside the calls around it. */
struct hl_peers_call {
    struct hl_cuda_call call;
    struct hl_cuda_launch launches[2];
    int n;
};

/* Finds the GPUs and lets them reach each other. False: there are fewer than two. */
bool hl_peers_find(struct hl_peers *peers);

/* Rows, random ones in, and workspaces as new for calls of at most `tokens_max`. */
void hl_peers_make(struct hl_peers *peers, uint32_t hidden, uint32_t tokens_max, uint32_t rows);
void hl_peers_free(struct hl_peers *peers);

/* Makes the rank's GPU the thread's. */
void hl_peers_use(int rank);

/* A call of `tokens` rows from `row` on. NCCL's has the norm after the sum only: the sum is NCCL's to enqueue
 * before it, from the input to the residual out. */
struct hl_peers_call hl_peers_prepare(const struct hl_peers *peers, int rank, enum hl_protocol protocol,
                                      uint32_t tokens, uint32_t row);
void hl_peers_enqueue(const struct hl_peers_call *call, struct CUstream_st *stream);

/* Polls the rank's stream until it is empty. False: it was not within `limit_ms`; waits were released. */
bool hl_peers_drain(const struct hl_peers *peers, int rank, double limit_ms);

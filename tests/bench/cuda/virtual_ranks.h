/* N ranks on one GPU for the CUDA kernels' check and bench: workspaces, rows and a stream for each rank.
 *
 * One host thread enqueues in turn for all ranks, so no rank's launch queue can fill while another's is
 * empty. Every wait is bounded: past its time the abort word lets the kernels leave. */
#pragma once
#include <stdbool.h>
#include "../../../kernels/cuda/launch.h"

/* Different inputs that calls take in turn, at most. */
#define HL_INPUT_SETS 8

struct hl_group {
    struct hl_layout layout;
    uint32_t hidden;
    uint32_t sets; /* of inputs and outputs */
    uint32_t sms;
    enum hl_compare compare;
    enum hl_mutant mutant;
    bool pdl;
    uint32_t blocks; /* of a cluster; 0 = as few as hold a row */
    struct CUstream_st *streams[HL_RANKS_MAX];
    uint32_t *workspaces[HL_RANKS_MAX];
    uint32_t *inputs[HL_RANKS_MAX];                                /* [set][token][row] */
    uint32_t *residual, *gamma;                                    /* the same for all ranks, as in serving */
    uint32_t *residual_out[HL_RANKS_MAX], *norm_out[HL_RANKS_MAX]; /* [set][token][row] */
    volatile uint32_t *abort_word;                                 /* host address of the mapped word */
    uint32_t *abort_word_device;
    uint32_t *host_inputs[HL_RANKS_MAX], *host_residual, *host_gamma;
};

/* One call of a rank: which rows and which protocol. */
struct hl_group_call {
    enum hl_protocol protocol;
    uint32_t tokens;
    uint32_t set; /* of inputs and outputs */
};

/* Any CUDA error ends the program with its place: the programs here have nothing to save. */
#define HL_CUDA(call) hl_cuda_must((call), #call, __FILE__, __LINE__)
void hl_cuda_must(int error, const char *call, const char *file, int line);

void hl_group_init(struct hl_group *g, enum hl_family family, int ranks, enum hl_dtype dtype, uint32_t hidden,
                   uint32_t tokens_max, uint32_t sets, uint64_t seed);
void hl_group_finish(struct hl_group *g);

/* Sentinels and flags of a fresh workspace on all ranks, poison in all outputs. Nothing may be running. */
void hl_group_reset(struct hl_group *g);
/* Poison in the outputs: NaN of every data type. */
void hl_group_poison(struct hl_group *g);
/* Uploads host_inputs after a change. */
void hl_group_upload(struct hl_group *g);

/* What a call's kernels are launched with. */
void hl_group_fill(const struct hl_group *g, int rank, struct hl_group_call call,
                   struct hl_cuda_call *ret_call);

/* Enqueues a call on a rank's stream, with a grid of which all ranks' fit the GPU at once. */
void hl_group_enqueue(struct hl_group *g, int rank, struct hl_group_call call);

/* Waits for all streams. false: they had not ended within `limit_ms` and were aborted. */
bool hl_group_wait(struct hl_group *g, double limit_ms);

/* Words that differ from a float64 reference by more than rounding, over all ranks; the first one is told. */
uint64_t hl_group_check(const struct hl_group *g, struct hl_group_call call);

double hl_now_ms(void);

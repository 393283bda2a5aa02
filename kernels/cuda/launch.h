/* Launches the step sources as CUDA kernels: what one rank's call needs, and the table of all builds.
 *
 * C11 and CUDA C++; includes no CUDA header, so that whoever plans launches builds without CUDA. A stream
 * is a CUstream (the same as cudaStream_t); a result is a cudaError_t, 0 = success. Nothing here allocates
 * or synchronises, so every call may be captured. */
#pragma once
#include <stdbool.h>
#include "../subject.h"

struct CUstream_st;

/* Mutants that have a CUDA build, X(ID): in every data type, and in bf16 only, because each build takes a
 * compiler seconds. The same as in meson.build. */
#define HL_CUDA_MUTANTS(X) \
    X(HL_MUTANT_NONE) \
    X(HL_MUTANT_NO_SANITISE) \
    X(HL_MUTANT_SHORT_CLEAR) \
    X(HL_MUTANT_LATE_CLEAR) \
    X(HL_MUTANT_DROP_STORE)
#define HL_CUDA_BF16_MUTANTS(X) \
    X(HL_MUTANT_WRONG_CLEAR_OFFSET) \
    X(HL_MUTANT_DEPTH_2) \
    X(HL_MUTANT_MISDIRECT_STORE) \
    X(HL_MUTANT_STRAY_STORE) \
    X(HL_MUTANT_TORN_STORE) \
    X(HL_MUTANT_MISSED_ARRIVAL) \
    X(HL_MUTANT_OVERSHOOT) \
    X(HL_MUTANT_SHARED_COUNTER) \
    X(HL_MUTANT_RELAXED_ARRIVAL) \
    X(HL_MUTANT_NO_RELEASE) \
    X(HL_MUTANT_EARLY_TRIGGER) \
    X(HL_MUTANT_BAKED_EPOCH)

/* Most threads of a block: leaves 128 registers a thread, enough to hold 16 ranks' fragments. Wider rows
 * take a cluster of blocks. */
#define HL_CUDA_THREADS_MAX 512
/* Most blocks of a cluster that every GPU with clusters grants. */
#define HL_CUDA_CLUSTER_MAX 8
/* A thread moves this many words of a row: 16 bytes. */
#define HL_CUDA_FRAGMENT_WORDS 4

/* Parameters of a kernel, all device addresses; rows are [tokens][row_words], `gamma` is one row. */
struct hl_cuda_call {
    struct hl_layout layout;
    enum hl_protocol protocol;
    int rank;
    uint32_t tokens;
    uint32_t epoch;       /* number of the call, for the mutant that takes it from the host */
    float hidden_inverse; /* 1 / hidden, set by the launch */
    uint32_t *workspace[HL_RANKS_MAX];
    const uint32_t *input, *residual, *gamma;
    uint32_t *residual_out, *norm_out;
    const uint32_t *abort_word; /* host-mapped: not 0 lets every wait pass */
    /* For the mutants that strike at one place: where, and a host-mapped count of how often one has. */
    struct hl_strike strike;
    uint32_t *strikes;
};

/* How to launch it. */
struct hl_cuda_launch {
    enum hl_kernel kernel;
    enum hl_compare compare;
    enum hl_mutant mutant;
    uint32_t ctas;   /* of the step source: a CTA there is a cluster of blocks here */
    uint32_t blocks; /* of a cluster: 1, 2, 4 or 8; 0 = as few as hold a row */
    bool pdl;        /* with the programmatic-dependent-launch attribute */
};

/* Is there a build of the mutant? Of the right protocol there is one for 2, 4, 8 and 16 ranks, of mutants for
 * up to 8. */
bool hl_cuda_has_build(enum hl_mutant mutant, enum hl_dtype dtype, int ranks);

/* Can this layout run on a GPU? Rows must be a multiple of 16 bytes and fit a cluster. */
bool hl_cuda_layout_fits(const struct hl_layout *layout);

/* Blocks of a cluster that holds a row, and threads of each block. */
uint32_t hl_cuda_blocks(const struct hl_layout *layout);
uint32_t hl_cuda_threads(const struct hl_layout *layout, uint32_t blocks);

int hl_cuda_launch(const struct hl_cuda_call *call, const struct hl_cuda_launch *launch,
                   struct CUstream_st *stream);

/* Loads the kernel now: a lazy load while another kernel spins can deadlock. */
int hl_cuda_load(const struct hl_cuda_call *call, const struct hl_cuda_launch *launch);

/* How many of its CTAs the current device holds at once when nothing else runs. Ranks that share a device
 * must all fit, with both kernels of a call, and with pdl twice: a kernel that triggers early (trtllm) lets
 * its successor take room that another rank still needs, and all wait for ever (seen on an H100). */
int hl_cuda_resident_ctas(const struct hl_cuda_call *call, const struct hl_cuda_launch *launch,
                          uint32_t *ret_ctas);

/* The kernel's address for the CUDA runtime; NULL where the world size is not 2, 4, 8 or 16, or the mutant
 * has no CUDA build. */
const void *hl_cuda_kernel(const struct hl_cuda_call *call, const struct hl_cuda_launch *launch);

/* A GPU that is none: a table of CUDA calls that run at once, on the CPU, in the caller's thread.
 *
 * Captures are recorded and graphs replayed, fillers write real rows and marks real lines, so that all of the
 * engine but the driver and the kernels themselves is tested without a GPU. Protocol kernels do nothing.
 * Every call is logged, rank by rank, in words. */
#pragma once
#include "../framework/engine/cuda/events.h"
#include "../framework/engine/cuda/rank.h"

/* A program on the fake GPU. */
struct hl_fake_gpu {
    struct hl_config config;
    struct hl_program *program;
    struct hl_cuda_plan plan;
    struct hl_cuda_job job;
    struct hl_driver driver;
    struct hl_shared *shared;
    unsigned char *memory[HL_RANKS_MAX];
    struct hl_cuda_rank rank[HL_RANKS_MAX];
    const char *fails_at; /* word of the log at which a call fails, or NULL */
};

/* Small configurations: a mode with bit-exact waits, and an eager one with a fault of rank 1 at call 5. */
struct hl_config hl_reduced_config(enum hl_mode mode);
struct hl_config hl_fault_config(enum hl_fault_kind kind);

/* The ranks' program for a run of `seed`, faults woven in. */
struct hl_fake_gpu *hl_fake_gpu_create(const struct hl_config *config, uint64_t seed);
void hl_fake_gpu_destroy(struct hl_fake_gpu *gpu);

/* Runs all ranks, each on its thread, until they are done, one fails or the run is aborted, and feeds `feed`
 * meanwhile. */
void hl_fake_gpu_run(struct hl_fake_gpu *gpu, const struct hl_feed *feed);

/* What a rank did, one word or so a call, separated by blanks. */
const char *hl_fake_gpu_log(const struct hl_fake_gpu *gpu, int rank);

/* What a run of a program takes on a GPU: executed sizes, memory, calls and which of them are checked.
 *
 * Computed from the program alone, so that the engine and its runner (two processes) come to the same plan
 * and pass only the program. Includes no CUDA header. */
#pragma once
#include "../../program/program.h"
#include "../sim/geometry.h"
#include "kernels/subject.h"

/* A call writes one of so many pairs of output rows of its stream, in turn. */
#define HL_CUDA_OUTPUTS 2
#define HL_CUDA_WORKSPACES_MAX 3
#define HL_CUDA_STREAMS_MAX 8
/* Rows are copied back for the oracle: all of a run that has no more than the first number of bytes, else
 * about the second, which takes the oracle some milliseconds; other calls are only counted. */
#define HL_CUDA_WHOLE_BYTES (8ull << 20)
#define HL_CUDA_SAMPLE_BYTES (4ull << 20)
#define HL_CUDA_NOT_SAMPLED UINT32_MAX
/* Canaries before the workspace, between its buffers and behind them, as on the simulator: guard b stands
 * before buffer b, then one behind the last, then one before the flags. A guard is at least a row, so that a
 * stray row spoils nothing else; its first and last words are looked at. */
#define HL_CUDA_CANARY 0xcafef00du
enum { HL_CUDA_GUARD_BEHIND = 3, HL_CUDA_GUARD_BEFORE_ALL, HL_CUDA_GUARDS };
#define HL_CUDA_GUARD_SEEN 512u

/* What an op means here. */
struct hl_cuda_op {
    uint32_t tokens, rows; /* as executed */
    uint32_t epoch;        /* of a call in a graph: the number that its host has come to when it captures */
    uint32_t call;         /* dense index of a call op within its rank */
    uint8_t output;        /* which of its stream's output rows */
};

/* How often a call op is executed, and where its copied rows go: first entry of hl_cuda_rank_plan.samples. */
struct hl_cuda_call_op {
    uint32_t op;
    uint32_t executions, samples_at;
};

struct hl_cuda_rank_plan {
    struct hl_cuda_op *ops;
    struct hl_cuda_call_op *calls;
    uint32_t n_calls;
    /* By execution of a call op: offset of its copied rows, in units of 16 bytes, or HL_CUDA_NOT_SAMPLED. The
     * rows are its input, its residual out and its norm out, one after the other. */
    uint32_t *samples;
    uint32_t n_samples;
    /* Byte offsets in the rank's device memory. The first word of rank 0's counts the marks. */
    uint64_t workspace_at[HL_CUDA_WORKSPACES_MAX];
    uint64_t *block_at;
    uint64_t outputs_at[HL_CUDA_STREAMS_MAX]; /* [output][residual out, norm out][tokens_max][row_words] */
    uint64_t scratch_at;                      /* where copies go: one block */
    uint64_t call_counters_at;                /* [call op]: executions, tickets */
    uint64_t block_counters_at;               /* [block]: fills, tickets */
    uint64_t init_counters_at;                /* [workspace]: tickets */
    uint64_t counters_at, counters_bytes;     /* all of them, to be cleared before a run */
    uint64_t samples_at;
    uint64_t residuals_at; /* [site][tokens_max][row_words], the same on all ranks */
    uint64_t gamma_at;
    uint64_t bytes; /* of device memory */
};

struct hl_cuda_plan {
    const struct hl_config *config;
    const struct hl_program *program;
    struct hl_sim_geometry geometry;
    struct hl_layout layout[HL_CUDA_WORKSPACES_MAX];
    struct hl_cuda_rank_plan rank[HL_RANKS_MAX];
    uint32_t guard_words;          /* of each guard, HL_CUDA_GUARDS a workspace */
    uint64_t sample_bytes;         /* of copied rows, all ranks */
    uint64_t calls, calls_sampled; /* over all ranks */
};

/* Fails when the program is beyond this engine or memory is out. */
enum hl_status hl_cuda_plan_init(struct hl_cuda_plan *plan, const struct hl_config *config,
                                 const struct hl_program *program, struct hl_error *error);
void hl_cuda_plan_finish(struct hl_cuda_plan *plan);

/* Where a guard of a workspace is in the rank's memory. */
uint64_t hl_cuda_plan_guard_at(const struct hl_cuda_plan *plan, int rank, int workspace, int guard);

/* Memory that every rank gets for a run of the plan, or of one not much larger. */
uint64_t hl_cuda_plan_arena_bytes(const struct hl_cuda_plan *plan);

/* GPU of a rank on a machine with `there` of them; it may be one that is not there. */
int hl_cuda_plan_gpu(const struct hl_cuda_plan *plan, int there, int rank);

/* CTAs of a kernel of the call, at most `share`: as the simulator counts them, where they fit. */
uint32_t hl_cuda_plan_ctas(const struct hl_cuda_plan *plan, int rank, uint32_t op, enum hl_kernel kernel,
                           uint32_t share);

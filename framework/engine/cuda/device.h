/* The engine's own kernels: rows that fillers write, workspaces, and marks that tell the host where a rank
 * is.
 *
 * A mark is a line that a kernel writes into host memory: this call has begun, has ended, this workspace is
 * initialised. So the host follows every call, inside graphs too, without any tool attached to the process.
 * Marks take numbers from one counter on the device, so their order is the order of cause and effect.
 * C11 and CUDA C++, no CUDA header; a result is a cudaError_t, 0 = success. */
#pragma once
#include "../rows.h"
#include "kernels/layout.h"

struct CUstream_st;

enum hl_mark_kind { HL_MARK_CALL_BEGIN, HL_MARK_CALL_END, HL_MARK_INIT, HL_MARK_CLOCK };

/* One mark. `number` is 1 + its index, written last: anything else there means that it is not whole yet. */
struct hl_mark {
    uint64_t time_ns; /* of the GPU's global timer */
    uint32_t what;    /* kind << 30 | rank << 26 | op */
    uint32_t number;
};
#define HL_MARK_OP_BITS 26
HL_INLINE uint32_t hl_mark_what(enum hl_mark_kind kind, int rank, uint32_t op)
{
    return (uint32_t)kind << 30 | (uint32_t)rank << HL_MARK_OP_BITS | op;
}
HL_INLINE enum hl_mark_kind hl_mark_kind_of(uint32_t what) { return (enum hl_mark_kind)(what >> 30); }
HL_INLINE int hl_mark_rank(uint32_t what) { return (int)(what >> HL_MARK_OP_BITS & 15); }
HL_INLINE uint32_t hl_mark_op(uint32_t what) { return what & ((1u << HL_MARK_OP_BITS) - 1); }

/* The ring of marks in host memory; a power of two. The host has to read it in time: nothing waits for it. */
#define HL_MARKS (1u << 16)
struct hl_mark_ring {
    struct hl_mark *marks; /* device address of host memory */
    uint32_t *taken;       /* on the GPU of rank 0, which all ranks' GPUs can reach */
};

/* What happens before and after a call's own kernels. Before: its outputs are poisoned, and its input is
 * copied to the host if this execution is sampled; after: its outputs are. */
struct hl_device_call {
    struct hl_mark_ring ring;
    uint32_t what;           /* without the kind */
    uint32_t *counter;       /* executions so far, and tickets of the running kernel's blocks */
    const uint32_t *samples; /* by execution: where its rows go, in units of 16 bytes */
    uint32_t executions;
    uint32_t *copies; /* device address of host memory */
    uint32_t tokens, row_words;
    const uint32_t *input;
    uint32_t *residual_out, *norm_out;
};

/* What a filler writes. */
enum hl_fill_kind { HL_FILL_FRESH, HL_FILL_PATTERN, HL_FILL_SOURCE, HL_FILL_RESIDUE, HL_FILL_LEFTOVERS };
struct hl_device_fill {
    enum hl_fill_kind kind;
    enum hl_dtype dtype;
    enum hl_payload_pattern pattern;
    uint32_t *rows;
    const uint32_t *source;
    uint32_t n_rows, row_words;
    uint64_t seed;
    uint32_t who;      /* tells rows of different ranks and blocks apart */
    uint32_t *counter; /* fills so far, and tickets; NULL: `turn` counts */
    uint32_t turn;
    double subnormal_rows, nan_rows;
};

struct hl_device_init {
    struct hl_mark_ring ring;
    uint32_t what;     /* without the kind */
    uint32_t *counter; /* tickets */
    uint32_t *words;
    uint32_t n_words, buffers_at, sentinel;
    uint32_t words_per_buffer, gap; /* the gap before each buffer is left alone */
    uint32_t flags[HL_FLAG_WORDS];
};

#ifdef __cplusplus
extern "C" {
#endif
int hl_device_before_call(const struct hl_device_call *call, struct CUstream_st *stream);
int hl_device_after_call(const struct hl_device_call *call, struct CUstream_st *stream);
int hl_device_fill(const struct hl_device_fill *fill, struct CUstream_st *stream);
int hl_device_init(const struct hl_device_init *init, struct CUstream_st *stream);
int hl_device_clock(const struct hl_mark_ring *ring, struct CUstream_st *stream);
/* A kernel that fills the GPU, as that of somebody else would, until the abort word lets it go. */
int hl_device_take_room(const uint32_t *abort_word, uint32_t *ret_ctas, struct CUstream_st *stream);
/* Loads all of them now: a lazy load while another kernel spins can deadlock. */
int hl_device_load(void);
#ifdef __cplusplus
}
#endif

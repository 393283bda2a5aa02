/* The interface of a subject of your own: a fused allreduce in a shared object, which hanglab runs under its
 * schedules, faults and watchdog in place of its own kernels.
 *
 * The shared object exports one symbol, `hl_subject_plugin`, and is named in a scenario file:
 *
 *     subject: {backend: mnnvl, strategy: oneshot, plugin: ./mine.so}
 *
 * `backend` says which family of protocols the plugin follows: in which order its slots lie, what its
 * sentinel is, and which flags it keeps. That is what the watchdog decodes at a hang, so the plugin describes
 * where these words are in its workspace. hanglab gives it the workspaces, rows and streams; nothing of
 * hanglab has to be linked. docs/subjects.md shows one being written; examples/subject/ is one.
 *
 * C11 and C++; no CUDA header. Device addresses are plain pointers, a stream is a CUstream (cudaStream_t).
 * Functions return 0, or anything else after they have written what is wrong and what to do into `message`.
 * They may be called from several host threads at once, one a rank. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised whenever a struct below changes; a plugin with another number is refused. */
#define HL_SUBJECT_ABI 1
#define HL_SUBJECT_RANKS_MAX 16
#define HL_SUBJECT_MESSAGE_MAX 256

enum hl_subject_dtype { HL_SUBJECT_BF16, HL_SUBJECT_FP16, HL_SUBJECT_FP32 };
enum hl_subject_family {
    HL_SUBJECT_MNNVL, /* one-shot slots [token][rank][hidden], sentinel 0x80000000 a word */
    HL_SUBJECT_TRTLLM /* one-shot slots [rank][token][hidden], sentinel -0.0 an element */
};
enum hl_subject_strategy { HL_SUBJECT_ONESHOT = 1, HL_SUBJECT_TWOSHOT = 2 }; /* bits */

/* When a wait takes a word for "not arrived". */
enum hl_subject_compare {
    HL_SUBJECT_BITS,     /* its bits are the sentinel's */
    HL_SUBJECT_FLOAT_FTZ /* as a float it equals -0.0 with subnormals flushed */
};

/* What a workspace is for. */
struct hl_subject_shape {
    enum hl_subject_family family;
    enum hl_subject_dtype dtype;
    uint32_t strategies; /* bits: the ones that calls on this workspace take */
    uint32_t ranks;
    uint32_t tokens_max; /* most tokens of one call */
    uint32_t hidden;     /* elements of a row */
};

/* A flag: a 32-bit word that every rank keeps for itself. Names that hanglab knows, by family (those with *
 * have to be there): mnnvl: current*, dirty, bytes_per_buffer, dirty_stages, clear_bytes_0, clear_bytes_1,
 * arrived*; trtllm: arrived*, barrier_flag, current*, comm_bytes, clear_elements. */
struct hl_subject_flag {
    const char *name;
    uint32_t at; /* place in the workspace, in 32-bit words */
};
#define HL_SUBJECT_FLAGS_MAX 16

/* Which words all ranks share: those of rank 0's workspace. For subjects that store through a multicast
 * address, which ranks of one GPU do not have. */
enum hl_subject_sharing {
    HL_SUBJECT_SHARES_NOTHING,
    HL_SUBJECT_SHARES_BUFFERS,  /* all buffers */
    HL_SUBJECT_SHARES_BROADCAST /* the second half of each buffer: the broadcast stage of a two-shot */
};

/* Where everything is in a workspace; the same for all ranks. Places and sizes are in 32-bit words. */
struct hl_subject_layout {
    uint32_t words; /* of the whole workspace: hanglab allocates it, aligned to 256 bytes */
    uint32_t n_flags;
    struct hl_subject_flag flags[HL_SUBJECT_FLAGS_MAX];
    /* Three buffers, one after the other, each with room for a call of tokens_max. A two-shot of mnnvl uses
     * the first half of each for its scatter stage and the second half for its broadcast stage. */
    uint32_t buffers_at, buffer_words;
    uint32_t barrier_at; /* trtllm two-shot: 256 x [ranks] flags; else 0 */
    uint32_t sentinel;   /* the word that the buffers are filled with; the family's own */
    enum hl_subject_compare compare;
    enum hl_subject_sharing sharing;
};

/* The workspaces of all ranks; a rank's own is workspace[rank]. */
struct hl_subject_ranks {
    int rank;
    void *workspace[HL_SUBJECT_RANKS_MAX];
};

struct CUstream_st;

/* One call of one rank. Rows are [tokens][hidden]; `gamma` is one row. */
struct hl_subject_call {
    struct hl_subject_ranks ranks;
    enum hl_subject_strategy strategy;
    uint32_t tokens;
    const void *input, *residual, *gamma;
    void *residual_out, *norm_out; /* sum over the ranks + residual; the same, normed */
    float epsilon;
    int pdl;                    /* launch with the programmatic-dependent-launch attribute */
    const uint32_t *abort_word; /* host-mapped: a wait that polls it may leave once it is not 0 */
};

/* What a plugin can do beyond the rest. */
enum hl_subject_abilities {
    HL_SUBJECT_POLLS_ABORT = 1 /* waits leave when abort_word says so; otherwise a hang costs the process */
};

struct hl_subject_plugin {
    uint32_t abi;         /* HL_SUBJECT_ABI */
    const char *name;     /* such as "flashinfer" */
    const char *release;  /* such as "0.6.9" */
    uint32_t families;    /* bits: 1 << enum hl_subject_family */
    uint32_t dtypes;      /* bits: 1 << enum hl_subject_dtype */
    uint32_t strategies;  /* bits: enum hl_subject_strategy */
    uint32_t world_sizes; /* bits: a world of n ranks is 1 << n */
    uint32_t abilities;   /* bits: enum hl_subject_abilities */

    /* Once a workspace, before anything runs: load the kernels, so that no call has to. The GPU is current.
     * Returns a state that all ranks share. */
    int (*create)(const struct hl_subject_shape *shape, void **ret_state, char *message);
    /* Where things are. `state` is NULL when somebody only wants to look; then no GPU is at hand. */
    int (*describe)(void *state, const struct hl_subject_shape *shape, struct hl_subject_layout *ret_layout,
                    char *message);
    /* Enqueues what makes a rank's workspace new: flags, sentinels. May only touch the rank's own. */
    int (*reset)(void *state, const struct hl_subject_ranks *ranks, struct CUstream_st *stream,
                 char *message);
    /* Enqueues a call. May be captured into a graph: no allocation, no synchronisation. */
    int (*enqueue)(void *state, const struct hl_subject_call *call, struct CUstream_st *stream,
                   char *message);
    void (*destroy)(void *state);
};

#if defined(__GNUC__)
#define HL_SUBJECT_EXPORT __attribute__((visibility("default")))
#else
#define HL_SUBJECT_EXPORT
#endif

/* The one symbol of a plugin. */
HL_SUBJECT_EXPORT extern const struct hl_subject_plugin hl_subject_plugin;

#ifdef __cplusplus
}
#endif

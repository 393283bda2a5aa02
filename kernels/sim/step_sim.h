/* The step macros on the CPU: each point returns to the scheduler and resumes here later.
 *
 * The agent is a CTA. Its accesses go to the workspaces through `struct hl_cx`, which also notes what
 * the scheduler must know after a step: which words were stored (to wake waiters) and which word a
 * blocked await looks at. */
#pragma once
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include "numbers.h"

enum hl_step_result { HL_STEP_RAN, HL_STEP_BLOCKED, HL_STEP_DONE };

/* What a blocked await watches besides words of its own workspace. */
#define HL_WATCH_NONE UINT32_MAX
#define HL_WATCH_GRID (UINT32_MAX - 1) /* completion of the kernel before this one */

/* The last store of a step. `count` 0: nothing was stored. */
struct hl_store {
    int rank;
    uint32_t at, count;
    bool clears; /* stored sentinels */
};

/* What a step touched of the workspaces, for a search to see which steps depend on each other: `count` words
 * from `at`, `stride` words apart. Additions commute with each other. A wait that passes unless a word is
 * `value` does not care about stores of other values. */
enum hl_touch_kind { HL_TOUCH_LOAD, HL_TOUCH_LOAD_UNLESS, HL_TOUCH_STORE, HL_TOUCH_ADD };
struct hl_touch {
    uint8_t kind, rank;
    uint16_t stride;
    uint32_t at, count, value; /* value: of a flag that is stored or awaited, else HL_VALUE_ANY */
};
#define HL_VALUE_ANY UINT32_MAX
enum { HL_TOUCHES_MAX = 128 };
struct hl_footprint {
    uint32_t n;
    uint64_t summed; /* which rows it added up, see hl_row_digest(); 0: none */
    struct hl_touch touch[HL_TOUCHES_MAX];
};

/* The buffers of a workspace as they would stand in the memory of a GPU: nothing of that is allocated. */
struct hl_real_place {
    uint64_t words_per_buffer;
    uint32_t row_words;
    uint32_t offset_bytes; /* of their start from a 256-byte bound */
};
enum hl_bad_kind { HL_BAD_NONE, HL_BAD_ILLEGAL, HL_BAD_MISALIGNED };
struct hl_bad_address {
    enum hl_bad_kind kind;
    uint32_t buffer;
    int64_t right_bytes, bytes; /* offset in the workspace: as it has to be, and as it was computed */
};

/* Constants of a launch, the agent's place in it, and the notes of the step. */
struct hl_cx {
    struct hl_layout layout;
    enum hl_protocol protocol;
    enum hl_compare compare;
    int rank, ranks;
    uint32_t tokens, hidden;
    uint32_t cta, ctas;
    uint32_t call;  /* number of this call on its workspace, for mutants that strike once */
    uint32_t epoch; /* the number that the host passed, for BAKED_EPOCH */
    struct hl_strike strike;
    uint32_t strikes; /* out: how often a mutant has struck */
    /* The workspace at its real size, and where the allocation puts it, for mutants that compute addresses
     * wrongly; NULL: addresses are right. Out: what is wrong with the address of the step's store. */
    const struct hl_real_place *real;
    struct hl_bad_address bad;
    uint32_t *workspace[HL_RANKS_MAX];
    const uint32_t *input, *residual, *gamma; /* rows of [tokens][row_words]; gamma one row */
    uint32_t *residual_out, *norm_out;
    uint32_t *regs;            /* one row: what the CTA holds in registers across points */
    bool previous_kernel_done; /* PDL: the kernel before this one has completed */
    bool triggered;            /* PDL: out, the CTA let the next kernel start */
    uint32_t watch;            /* out: first word that kept an await from passing */
    struct hl_store store;     /* out */
    /* Relaxed memory: where the row of a store to a peer is left for the memory to deliver; NULL: it is seen
     * at once. Out: which 8-byte halves of every 16 bytes are in it, a bit each; 0: nothing was left there.
     */
    uint32_t *outbox;
    uint8_t outbox_halves;
    bool releases; /* out: the CTA's earlier stores are seen before those of this step */
    /* Flags for a peer are left to the memory, too. Out: they are, with their value in the outbox. */
    bool delays_flags, outbox_flags;
    /* Out, for a search; NULL in a run. While it is kept, each await is a step of its own. */
    struct hl_footprint *footprint;
};

#define HL_STEP_INLINE static inline
#define HL_STEP(name) static enum hl_step_result hl_step_##name(struct hl_step *t, struct hl_cx *cx)
#define HL_BEGIN(t) \
    switch ((t)->pc) { \
    case 0:
#define HL_END(t) \
    } \
    (t)->pc = 0; \
    return HL_STEP_DONE
#define HL_POINT(t) HL_POINT_AT(t, __COUNTER__ + 1)
#define HL_POINT_AT(t, n) \
    do { \
        (t)->pc = (n); \
        return HL_STEP_RAN; \
    case (n):; \
    } while (0)
#define HL_AWAIT(t, cond) HL_AWAIT_AT(t, cond, __COUNTER__ + 1)
#define HL_AWAIT_AT(t, cond, n) \
    do { \
        (t)->pc = (n); \
        if (cx->footprint) \
            return HL_STEP_RAN; \
        __attribute__((fallthrough)); \
    case (n): \
        if (!(cond)) \
            return HL_STEP_BLOCKED; \
    } while (0)
#define HL_UNROLL

/* Which agent of the grid this is, and what a fragment is: here the CTA, and a row. */
static inline int hl_rank(const struct hl_cx *cx) { return cx->rank; }
static inline int hl_ranks(const struct hl_cx *cx) { return cx->ranks; }
static inline enum hl_protocol hl_protocol(const struct hl_cx *cx) { return cx->protocol; }
static inline uint32_t hl_tokens(const struct hl_cx *cx) { return cx->tokens; }
static inline uint32_t hl_cta(const struct hl_cx *cx) { return cx->cta; }
static inline uint32_t hl_ctas(const struct hl_cx *cx) { return cx->ctas; }
static inline uint16_t hl_next_token(const struct hl_step *t, const struct hl_cx *cx)
{
    return (uint16_t)(t->token + cx->ctas);
}
static inline uint32_t hl_lane(const struct hl_cx *cx) { return cx->cta; }
static inline uint32_t hl_lanes(const struct hl_cx *cx) { return cx->ctas; }
static inline uint32_t hl_fragment_words(const struct hl_cx *cx) { return cx->layout.row_words; }
static inline bool hl_leader(const struct hl_cx *cx) { return cx->cta == 0; }
/* Calls of this rank on the workspace before this one, as counted for mutants, and as the host passed it. */
static inline struct hl_strike hl_strike_of(const struct hl_cx *cx) { return cx->strike; }
static inline bool hl_note_strike(struct hl_cx *cx)
{
    cx->strikes++;
    return true;
}
static inline uint32_t hl_calls_before(const struct hl_cx *cx) { return cx->call; }
static inline uint32_t hl_host_epoch(const struct hl_cx *cx) { return cx->epoch; }

static inline void hl_touch(const struct hl_cx *cx, enum hl_touch_kind kind, int rank, uint32_t at,
                            uint32_t count, uint32_t stride)
{
    struct hl_footprint *f = cx->footprint;
    if (f && f->n < HL_TOUCHES_MAX)
        f->touch[f->n++] =
            (struct hl_touch){ (uint8_t)kind, (uint8_t)rank, (uint16_t)stride, at, count, HL_VALUE_ANY };
}
static inline void hl_touch_value(const struct hl_cx *cx, uint32_t value)
{
    if (cx->footprint)
        cx->footprint->touch[cx->footprint->n - 1].value = value;
}
static inline void hl_note_store(struct hl_cx *cx, int rank, uint32_t at, uint32_t count, bool clears)
{
    cx->store = (struct hl_store){ .rank = rank, .at = at, .count = count, .clears = clears };
}

/* Programmatic dependent launch: cudaGridDependencySynchronize and cudaTriggerProgrammaticLaunchCompletion.
 */
static inline bool hl_previous_kernel_done(struct hl_cx *cx)
{
    cx->watch = HL_WATCH_GRID;
    return cx->previous_kernel_done;
}
static inline void hl_trigger(struct hl_cx *cx) { cx->triggered = true; }

/* Flags of the own rank. */
static inline uint32_t hl_flag(const struct hl_cx *cx, uint32_t word)
{
    hl_touch(cx, HL_TOUCH_LOAD, cx->rank, word, 1, 1);
    return cx->workspace[cx->rank][word];
}
static inline void hl_set_flag(struct hl_cx *cx, uint32_t word, uint32_t value)
{
    cx->workspace[cx->rank][word] = value;
    hl_touch(cx, HL_TOUCH_STORE, cx->rank, word, 1, 1);
    hl_note_store(cx, cx->rank, 0, HL_FLAG_WORDS, false);
}
static inline bool hl_flag_at_least(struct hl_cx *cx, uint32_t word, uint32_t value)
{
    cx->watch = word;
    return hl_flag(cx, word) >= value;
}
static inline bool hl_flag_equals(struct hl_cx *cx, uint32_t word, uint32_t value)
{
    cx->watch = word;
    return hl_flag(cx, word) == value;
}
/* One arrival of a CTA: `red.release.gpu.add` by its first thread, after all its stores (M:340-352). */
static inline void hl_arrive(struct hl_cx *cx, uint32_t word)
{
    cx->workspace[cx->rank][word]++;
    hl_touch(cx, HL_TOUCH_ADD, cx->rank, word, 1, 1);
    hl_note_store(cx, cx->rank, 0, HL_FLAG_WORDS, false);
}

/* A row on its way to a peer. */
struct hl_fragment {
    const uint32_t *words;
    bool sanitise;
};

static inline struct hl_fragment hl_input(const struct hl_cx *cx, uint32_t token)
{
    return (struct hl_fragment){ cx->input + (size_t)token * cx->layout.row_words, !HL_MUTANT(NO_SANITISE) };
}
/* A GPU starts to load these rows here, for later use; they do not change while the call runs. */
static inline void hl_prefetch_input(const struct hl_cx *cx, uint32_t token) { (void)cx, (void)token; }
static inline void hl_prefetch_residual(const struct hl_cx *cx, uint32_t token) { (void)cx, (void)token; }

/* Where `count` words go that are stored at `at` of a rank's workspace: there, or into the outbox, and then
 * the step touches no workspace. */
static inline uint32_t *hl_store_target(struct hl_cx *cx, int rank, uint32_t at, uint32_t count,
                                        uint8_t halves)
{
    hl_note_store(cx, rank, at, count, false);
    if (cx->outbox && rank != cx->rank) {
        cx->outbox_halves = halves;
        return cx->outbox;
    }
    hl_touch(cx, HL_TOUCH_STORE, rank, at, count, 1);
    return cx->workspace[rank] + at;
}

/* The byte offset, at the real size, of what is executed as word `at` of a buffer: rows of the executed
 * buffer are spread evenly over those of the real one. */
static inline uint64_t hl_real_bytes(const struct hl_cx *cx, uint32_t at, uint32_t *ret_buffer)
{
    const struct hl_layout *l = &cx->layout;
    const struct hl_real_place *real = cx->real;
    const uint32_t buffer = (at - l->buffers_at) / (l->words_per_buffer + l->gap);
    const uint32_t stages = (uint32_t)hl_protocol_stages(cx->protocol);
    const uint32_t half = l->words_per_buffer / stages, place = at - hl_buffer_at(l, buffer);
    const uint32_t stage = place / half, rows = half / l->row_words, row = place % half / l->row_words;
    const uint64_t real_half = real->words_per_buffer / stages, real_rows = real_half / real->row_words;
    *ret_buffer = buffer;
    return 4 *
           (buffer * real->words_per_buffer + stage * real_half + row * real_rows / rows * real->row_words);
}

/* Does the wrong build reach the address that it stores to? The right one, with 64 bits and aligned buffers,
 * always does, so that it carries nothing of this. */
static inline bool hl_reaches(struct hl_cx *cx, uint32_t at)
{
    if (!cx->real || at < cx->layout.buffers_at)
        return true;
    const uint64_t right = hl_real_bytes(cx, at, &cx->bad.buffer);
    const int64_t bytes = HL_MUTANT(INT_OFFSET) ? (int64_t)(int32_t)(uint32_t)right : (int64_t)right;
    cx->bad.right_bytes = (int64_t)right;
    cx->bad.bytes = bytes;
    if (bytes != (int64_t)right)
        cx->bad.kind = HL_BAD_ILLEGAL;
    else if (HL_MUTANT(NO_ALIGN) && (right + cx->real->offset_bytes) % 16)
        cx->bad.kind = HL_BAD_MISALIGNED;
    return cx->bad.kind == HL_BAD_NONE;
}

static inline void hl_store(struct hl_cx *cx, int rank, uint32_t at, struct hl_fragment f)
{
    if ((HL_MUTANT(INT_OFFSET) || HL_MUTANT(NO_ALIGN)) && !hl_reaches(cx, at))
        return;
    const uint32_t n = cx->layout.row_words;
    uint32_t *to = hl_store_target(cx, rank, at, n, 3);
    if (f.sanitise)
        for (uint32_t i = 0; i < n; i++)
            to[i] = hl_sanitise(f.words[i], cx->layout.dtype);
    else
        memcpy(to, f.words, n * sizeof *to);
}

/* The mutant TORN_STORE: one 8-byte half of every 16 bytes. */
static inline void hl_store_half(struct hl_cx *cx, int rank, uint32_t at, struct hl_fragment f, uint32_t half)
{
    uint32_t *to = hl_store_target(cx, rank, at, cx->layout.row_words, (uint8_t)(1u << half));
    for (uint32_t i = 0; i < cx->layout.row_words; i++)
        if (i / 2 % 2 == half)
            to[i] = f.sanitise ? hl_sanitise(f.words[i], cx->layout.dtype) : f.words[i];
}

/* Stores sentinels over `words` words of the own workspace, at most one fragment. */
static inline void hl_store_sentinel(struct hl_cx *cx, uint32_t at, uint32_t words)
{
    uint32_t *to = cx->workspace[cx->rank] + at;
    const uint32_t sentinel = hl_sentinel_word(&cx->layout);
    hl_touch(cx, HL_TOUCH_STORE, cx->rank, at, words, 1);
    for (uint32_t i = 0; i < words; i++)
        to[i] = sentinel;
    hl_note_store(cx, cx->rank, at, words, true);
}

static inline struct hl_fragment hl_raw_input(const struct hl_cx *cx, uint32_t token)
{
    return (struct hl_fragment){ cx->input + (size_t)token * cx->layout.row_words, false };
}

/* What the GPU keeps in registers between poll and sum; the simulator reads the slots again, in the
 * same step as the poll that passed. */
struct hl_gather {
    char unused;
};

static inline bool hl_row_arrived(struct hl_cx *cx, struct hl_gather *g, uint32_t at)
{
    (void)g;
    const uint32_t *row = cx->workspace[cx->rank] + at;
    hl_touch(cx, HL_TOUCH_LOAD, cx->rank, at, cx->layout.row_words, 1);
    for (uint32_t i = 0; i < cx->layout.row_words; i += HL_MUTANT(TORN_STORE) ? 4 : 1)
        if (hl_word_missing(&cx->layout, row[i], cx->compare)) {
            cx->watch = at + i;
            return false;
        }
    return true;
}

/* Have all sources' rows arrived at `at`, `stride` words apart? `skip` is a source that is not polled, or -1.
 */
static inline bool hl_rows_arrived(struct hl_cx *cx, struct hl_gather *g, uint32_t at, uint32_t stride,
                                   int skip)
{
    for (int source = 0; source < cx->ranks; source++)
        if (source != skip && !hl_row_arrived(cx, g, at + (uint32_t)source * stride))
            return false;
    return true;
}

/* One row of fp32 sums. */
static inline float *hl_sums(const struct hl_cx *cx)
{
    static _Thread_local float sums[HL_HIDDEN_MAX];
    (void)cx;
    return sums;
}

static inline void hl_add_row(const struct hl_cx *cx, float *sums, const uint32_t *row)
{
    float values[HL_HIDDEN_MAX];
    hl_unpack_row(row, cx->layout.row_words, cx->layout.dtype, values);
    for (uint32_t i = 0; i < cx->hidden; i++)
        sums[i] += values[i];
}

/* The GPU holds its own row in registers; here it is at hand when it is summed. */
#define hl_keep_own(cx, g, skip, token) ((void)0)

/* Tells rows apart whose sums are the same once rounded; digests of several rows are added up. */
static inline uint64_t hl_row_digest(const uint32_t *row, uint32_t words)
{
    uint64_t digest = 0;
    for (uint32_t i = 0; i < words; i++) {
        uint64_t x = (row[i] ^ (uint64_t)(i + 1) << 32) * 0xff51afd7ed558ccdu;
        x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53u;
        digest += x ^ x >> 33;
    }
    return digest;
}

/* The row of a rank joins the sum. */
static inline void hl_sum_row(const struct hl_cx *cx, float *sums, const uint32_t *row)
{
    hl_add_row(cx, sums, row);
    if (cx->footprint)
        cx->footprint->summed += hl_row_digest(row, cx->layout.row_words);
}

/* Sums the rows that the last poll saw, in rank order; the row of `skip` comes from `own`. */
static inline float *hl_sum_rows(struct hl_cx *cx, struct hl_gather *g, uint32_t at, uint32_t stride,
                                 int skip, struct hl_fragment own)
{
    float *sums = hl_sums(cx);
    (void)g;
    memset(sums, 0, cx->hidden * sizeof *sums);
    for (int source = 0; source < cx->ranks; source++)
        hl_sum_row(cx, sums,
                   source == skip ? own.words : cx->workspace[cx->rank] + at + (uint32_t)source * stride);
    return sums;
}

/* The row at `at` of the own workspace. */
static inline float *hl_load_row(struct hl_cx *cx, uint32_t at)
{
    float *sums = hl_sums(cx);
    hl_touch(cx, HL_TOUCH_LOAD, cx->rank, at, cx->layout.row_words, 1);
    hl_unpack_row(cx->workspace[cx->rank] + at, cx->layout.row_words, cx->layout.dtype, sums);
    return sums;
}
/* The same for a row that the last poll saw. */
static inline float *hl_one_row(struct hl_cx *cx, struct hl_gather *g, uint32_t at)
{
    (void)g;
    return hl_load_row(cx, at);
}

/* The same row of every rank's workspace, pulled and summed in rank order. */
static inline float *hl_sum_peers(struct hl_cx *cx, uint32_t at)
{
    float *sums = hl_sums(cx);
    memset(sums, 0, cx->hidden * sizeof *sums);
    for (int source = 0; source < cx->ranks; source++) {
        hl_touch(cx, HL_TOUCH_LOAD, source, at, cx->layout.row_words, 1);
        hl_sum_row(cx, sums, cx->workspace[source] + at);
    }
    return sums;
}

/* The 3-valued flag of this CTA in a peer's workspace. */
static inline void hl_put_flags(struct hl_cx *cx, int peer, uint32_t value)
{
    hl_touch(cx, HL_TOUCH_STORE, peer, hl_trtllm_barrier_flag(&cx->layout, cx->cta, (uint32_t)cx->rank),
             hl_div_up(HL_TRTLLM_BARRIER_FLAGS - cx->cta, cx->ctas), cx->ctas * (uint32_t)cx->ranks);
    hl_touch_value(cx, value);
    for (uint32_t flag = cx->cta; flag < HL_TRTLLM_BARRIER_FLAGS; flag += cx->ctas)
        cx->workspace[peer][hl_trtllm_barrier_flag(&cx->layout, flag, (uint32_t)cx->rank)] = value;
    hl_note_store(cx, peer, cx->layout.barrier_at, HL_TRTLLM_BARRIER_FLAGS * (uint32_t)cx->ranks, false);
}
/* Stores it in release order (T:1019-1024). */
static inline void hl_release_flags(struct hl_cx *cx, int peer, uint32_t value)
{
    cx->releases = !HL_MUTANT(NO_RELEASE);
    cx->outbox_flags = cx->delays_flags && peer != cx->rank;
    if (!cx->outbox_flags) {
        hl_put_flags(cx, peer, value);
        return;
    }
    cx->outbox[0] = value;
    hl_note_store(cx, peer, cx->layout.barrier_at, 1, false);
}
static inline bool hl_no_peer_at(struct hl_cx *cx, uint32_t at, uint32_t value)
{
    hl_touch(cx, HL_TOUCH_LOAD_UNLESS, cx->rank, at, (uint32_t)cx->ranks, 1);
    hl_touch_value(cx, value);
    for (uint32_t peer = 0; peer < (uint32_t)cx->ranks; peer++)
        if (cx->workspace[cx->rank][at + peer] == value) {
            cx->watch = at + peer;
            return false;
        }
    return true;
}

/* NCCL-like slots hold (word, epoch) pairs: a word has arrived when its epoch is this call's. */
static inline void hl_store_with_epoch(struct hl_cx *cx, int rank, uint32_t at, struct hl_fragment f,
                                       uint32_t epoch)
{
    uint32_t *to = hl_store_target(cx, rank, at, 2 * cx->layout.row_words, 3);
    for (uint32_t i = 0; i < cx->layout.row_words; i++) {
        to[2 * i] = f.words[i];
        to[2 * i + 1] = epoch;
    }
}
static inline bool hl_rows_at_epoch(struct hl_cx *cx, struct hl_gather *g, uint32_t at, uint32_t epoch)
{
    const uint32_t n = 2 * cx->layout.row_words;
    (void)g;
    hl_touch(cx, HL_TOUCH_LOAD, cx->rank, at, (uint32_t)cx->ranks * n, 1);
    for (uint32_t i = 1; i < (uint32_t)cx->ranks * n; i += 2)
        if (cx->workspace[cx->rank][at + i] != epoch) {
            cx->watch = at + i;
            return false;
        }
    return true;
}
static inline float *hl_sum_rows_at_epoch(struct hl_cx *cx, struct hl_gather *g, uint32_t at)
{
    const uint32_t n = cx->layout.row_words;
    float *sums = hl_sums(cx);
    uint32_t row[HL_HIDDEN_MAX];
    (void)g;
    memset(sums, 0, cx->hidden * sizeof *sums);
    for (int source = 0; source < cx->ranks; source++, at += 2 * n) {
        for (uint32_t i = 0; i < n; i++)
            row[i] = cx->workspace[cx->rank][at + 2 * i];
        hl_sum_row(cx, sums, row);
    }
    return sums;
}

#include "norm_sim.h"

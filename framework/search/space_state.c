/* States of the space: how large they are, how they begin, and their hash.
 *
 * The hash is a sum over the words of the workspaces and the control blocks of the ranks, each mixed with its
 * place, so that a step changes it by what it touched. With 128 bits and n states, two different states share
 * a hash with a probability of at most n^2 / 2^129 (taking the mixing as random): 1.5e-21 for 10^9 states. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "space.h"

static inline uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53u;
    return x ^ x >> 33;
}

/* Of a word of a workspace, or of 8 bytes of a control block, at its place. */
static inline struct hl_hash hash_at(uint64_t place, uint64_t value)
{
    return (struct hl_hash){ mix(value + place * 0x9e3779b97f4a7c15u),
                             mix((value ^ place * 0xa0761d6478bd642fu) * 0xd6e8feb86659fd93u) };
}

static void add(struct hl_hash *to, struct hl_hash h)
{
    to->low += h.low;
    to->high += h.high;
}
static void subtract(struct hl_hash *from, struct hl_hash h)
{
    from->low -= h.low;
    from->high -= h.high;
}

static void change(struct hl_hash *hash, uint64_t place, uint64_t before, uint64_t after)
{
    subtract(hash, hash_at(place, before));
    add(hash, hash_at(place, after));
}

static uint64_t place_of_control(const struct hl_space *s, int rank, size_t at)
{
    return 1ull << 40 | ((size_t)rank * s->rank_bytes + at);
}
static uint64_t place_of(const struct hl_space *s, int workspace, int rank, uint32_t at)
{
    return ((uint64_t)(workspace * s->spec.ranks + rank) << 20) + at;
}

const uint32_t *hl_space_saved_words(const struct hl_space *s, const unsigned char *state, int workspace,
                                     int rank)
{
    size_t at = 0;
    for (int w = 0; w < workspace; w++)
        at += (size_t)s->spec.ranks * s->live[w];
    return (const uint32_t *)(state + s->control_bytes) + at + (size_t)rank * s->live[workspace];
}

void hl_space_load(struct hl_space *s, const unsigned char *state)
{
    s->base = state;
    memcpy(s->control, state, s->control_bytes);
    const uint32_t *from = (const uint32_t *)(state + s->control_bytes);
    if (s->is_dense) {
        memcpy(s->words[0][0], from, s->state_bytes - s->control_bytes);
        return;
    }
    for (int w = 0; w < s->spec.workspaces; w++)
        for (int rank = 0; rank < s->spec.ranks; rank++, from += s->live[w])
            memcpy(s->words[w][rank], from, s->live[w] * sizeof *from);
}

void hl_space_save(const struct hl_space *s, unsigned char *state)
{
    memcpy(state, s->control, s->control_bytes);
    uint32_t *to = (uint32_t *)(state + s->control_bytes);
    if (s->is_dense) {
        memcpy(to, s->words[0][0], s->state_bytes - s->control_bytes);
        return;
    }
    for (int w = 0; w < s->spec.workspaces; w++)
        for (int rank = 0; rank < s->spec.ranks; rank++, to += s->live[w])
            memcpy(to, s->words[w][rank], s->live[w] * sizeof *to);
}

/* The words that the last step wrote, each once. */
#define EACH_WRITTEN_WORD(s, touch, at) \
    for (const struct hl_touch *touch = (s)->footprint.touch; \
         touch < (s)->footprint.touch + (s)->footprint.n; touch++) \
        if (touch->kind >= HL_TOUCH_STORE) \
            for (uint32_t at = touch->at, end_ = touch->at + touch->count * touch->stride < \
                                                         (s)->live[(s)->touched_workspace] \
                                                     ? touch->at + touch->count * touch->stride \
                                                     : (s)->live[(s)->touched_workspace]; \
                 at < end_; at += touch->stride)

static bool is_repeated(const struct hl_space *s, const struct hl_touch *touch)
{
    for (const struct hl_touch *t = s->footprint.touch; t < touch; t++)
        if (t->kind >= HL_TOUCH_STORE && t->at == touch->at && t->rank == touch->rank)
            return true;
    return false;
}

struct hl_hash hl_space_hash_after(const struct hl_space *s, uint32_t agent, struct hl_hash hash)
{
    const int rank = s->agent[agent].rank, w = s->touched_workspace;
    const unsigned char *before = s->base + (size_t)rank * s->rank_bytes;
    const unsigned char *after = s->control + (size_t)rank * s->rank_bytes;
    for (size_t at = 0; at < s->rank_bytes; at += 8) {
        uint64_t x, y;
        memcpy(&x, before + at, 8);
        memcpy(&y, after + at, 8);
        if (x != y)
            change(&hash, place_of_control(s, rank, at), x, y);
    }
    EACH_WRITTEN_WORD(s, touch, at)
    {
        const uint32_t x = hl_space_saved_words(s, s->base, w, touch->rank)[at];
        const uint32_t y = s->words[w][touch->rank][at];
        if (x != y && !is_repeated(s, touch))
            change(&hash, place_of(s, w, touch->rank, at), x, y);
    }
    return hash;
}

void hl_space_undo(struct hl_space *s, uint32_t agent)
{
    const int rank = s->agent[agent].rank, w = s->touched_workspace;
    const size_t control = (size_t)rank * s->rank_bytes;
    memcpy(s->control + control, s->base + control, s->rank_bytes);
    EACH_WRITTEN_WORD(s, touch, at)
    s->words[w][touch->rank][at] = hl_space_saved_words(s, s->base, w, touch->rank)[at];
}

void hl_space_start(struct hl_space *s, unsigned char *state, struct hl_hash *hash)
{
    memset(s->control, 0, s->control_bytes);
    for (int rank = 0; rank < s->spec.ranks; rank++) {
        const bool fills = s->spec.program[rank][0].n && s->spec.program[rank][0].calls[0].fills;
        for (int w = 0; w < s->spec.workspaces; w++) {
            memset(s->words[w][rank], 0, s->layout[w].words * sizeof(uint32_t));
            if (!fills)
                hl_space_fill_workspace(s, w, rank);
        }
        for (int stream = 0; stream < s->spec.streams; stream++)
            hl_space_launch(s, rank, stream);
    }
    hl_space_save(s, state);
    *hash = (struct hl_hash){ 0, 0 };
    for (int rank = 0; rank < s->spec.ranks; rank++) {
        for (size_t at = 0; at < s->rank_bytes; at += 8) {
            uint64_t x;
            memcpy(&x, s->control + (size_t)rank * s->rank_bytes + at, 8);
            add(hash, hash_at(place_of_control(s, rank, at), x));
        }
        for (int w = 0; w < s->spec.workspaces; w++)
            for (uint32_t at = 0; at < s->live[w]; at++)
                add(hash, hash_at(place_of(s, w, rank, at), s->words[w][rank][at]));
    }
}

/* The layout of a workspace, without what no search needs: buffers are not padded, and the barrier flags
 * that no CTA reads come last, behind the words that a state keeps. */
static void lay_out(struct hl_space *s, int w, enum hl_family family, uint32_t tokens_max, uint32_t ctas_max)
{
    const uint32_t ranks = (uint32_t)s->spec.ranks;
    struct hl_layout *l = &s->layout[w];
    *l = hl_layout_make(family, s->spec.ranks, tokens_max, s->spec.dtype == HL_FP32 ? 1 : 2, s->spec.dtype);
    const uint32_t oneshot = tokens_max * ranks, twoshot = 2 * hl_round_up(tokens_max, ranks);
    l->comm_at = family == HL_FAMILY_MNNVL    ? HL_MNNVL_FLAGS
                 : family == HL_FAMILY_TRTLLM ? HL_TRTLLM_FLAGS + (s->spec.mutant == HL_MUTANT_LATE_CLEAR)
                                              : HL_NCCL_FLAGS;
    l->buffers_at = l->comm_at + (family == HL_FAMILY_TRTLLM ? 2 * tokens_max : 0);
    l->words_per_buffer = family == HL_FAMILY_NCCL                         ? 2 * oneshot
                          : oneshot > twoshot || family != HL_FAMILY_MNNVL ? hl_round_up(oneshot, 2)
                                                                           : twoshot;
    l->barrier_at = l->buffers_at + 3 * l->words_per_buffer;
    s->live[w] = l->barrier_at + (family == HL_FAMILY_TRTLLM ? ctas_max * ranks : 0);
    l->words = l->barrier_at + (family == HL_FAMILY_TRTLLM ? HL_TRTLLM_BARRIER_FLAGS * ranks : 0);
}

/* All workspaces lie side by side: where nothing is left out of a state, it is copied in one go. */
static bool allocate_words(struct hl_space *s)
{
    const size_t behind = s->spec.mutant == HL_MUTANT_NONE ? 0 : 8; /* mutants store behind the end */
    size_t n = 0;
    s->is_dense = behind == 0;
    for (int w = 0; w < s->spec.workspaces; w++) {
        n += (size_t)s->spec.ranks * (s->layout[w].words + behind);
        s->is_dense &= s->layout[w].words == s->live[w];
    }
    uint32_t *words = s->all_words = calloc(n + 2, sizeof *words); /* + 2: a state is a multiple of 8 bytes */
    for (int w = 0; words && w < s->spec.workspaces; w++)
        for (int rank = 0; rank < s->spec.ranks; rank++, words += s->layout[w].words + behind) {
            s->words[w][rank] = words;
            s->stored[w][rank] = calloc(s->live[w], sizeof(uint32_t));
            if (!s->stored[w][rank])
                return false;
        }
    return words != NULL;
}

/* Word of a row: two equal elements, or one; a small whole number that differs from rank to rank. */
static uint32_t payload_of(const struct hl_space *s, int rank)
{
    if (s->spec.payload)
        return s->spec.payload;
    const uint32_t bits = hl_bits_of_float((float)(rank + 1));
    switch (s->spec.dtype) {
    case HL_BF16: return (bits >> 16) * 0x10001u;
    case HL_FP16: return (uint32_t)hl_fp16_of_float((float)(rank + 1)) * 0x10001u;
    default: return bits;
    }
}

/* Rows that a step reads or writes besides the workspaces: an input for each rank, and one zero row for the
 * residual, gamma and the outputs, which nobody looks at. */
static void make_contexts(struct hl_space *s, uint32_t tokens_max)
{
    const size_t n = tokens_max;
    uint32_t *outputs = s->rows + (size_t)s->spec.ranks * n;
    for (int rank = 0; rank < s->spec.ranks; rank++)
        for (uint32_t i = 0; i < tokens_max; i++)
            s->rows[(size_t)rank * n + i] = payload_of(s, rank);
    for (int rank = 0; rank < s->spec.ranks; rank++)
        for (int stream = 0; stream < s->spec.streams; stream++)
            for (uint32_t i = 0; i < s->spec.program[rank][stream].n; i++) {
                const struct hl_space_call *call = &s->spec.program[rank][stream].calls[i];
                for (int which = 0; which < 2; which++) {
                    struct hl_cx *cx =
                        &s->cx[(((size_t)rank * HL_SPACE_STREAMS_MAX + (size_t)stream) * HL_SPACE_CALLS_MAX +
                                i) *
                                   2 +
                               (size_t)which];
                    *cx = (struct hl_cx){ .layout = s->layout[call->workspace],
                                          .protocol = call->protocol,
                                          .strike = HL_STRIKE_DEFAULT,
                                          .compare = s->spec.compare,
                                          .rank = rank,
                                          .ranks = s->spec.ranks,
                                          .tokens = call->tokens,
                                          .hidden = s->spec.dtype == HL_FP32 ? 1 : 2,
                                          .input = s->rows + (size_t)rank * n,
                                          .residual = outputs + 2 * n,
                                          .gamma = outputs + 2 * n,
                                          .residual_out = outputs,
                                          .norm_out = outputs + n,
                                          .footprint = &s->footprint };
                    if (!call->fills)
                        cx->ctas = hl_kernel_ctas(hl_protocol_kernels(call->protocol).kernels[which],
                                                  call->tokens, s->spec.sms);
                    memcpy(cx->workspace, s->words[call->workspace], sizeof cx->workspace);
                }
            }
}

static enum hl_status create(struct hl_space *s, struct hl_error *error)
{
    uint32_t tokens[HL_SPACE_WORKSPACES_MAX] = { 1, 1, 1 }, tokens_max = 1;
    enum hl_family family[HL_SPACE_WORKSPACES_MAX] = { HL_FAMILY_MNNVL, HL_FAMILY_MNNVL, HL_FAMILY_MNNVL };
    const struct hl_space_spec *spec = &s->spec;
    s->kernels = spec->pdl ? HL_SPACE_KERNELS_MAX : 1;
    s->ctas_max = 1;
    for (int rank = 0; rank < spec->ranks; rank++)
        for (int stream = 0; stream < spec->streams; stream++)
            for (uint32_t i = 0; i < spec->program[rank][stream].n; i++) {
                const struct hl_space_call *call = &spec->program[rank][stream].calls[i];
                if (call->fills)
                    continue;
                family[call->workspace] = hl_protocol_family(call->protocol);
                if (call->tokens > tokens[call->workspace])
                    tokens[call->workspace] = call->tokens;
                if (call->tokens > tokens_max)
                    tokens_max = call->tokens;
                for (int k = 0; k < 2; k++) {
                    const uint32_t ctas = hl_kernel_ctas(hl_protocol_kernels(call->protocol).kernels[k],
                                                         call->tokens, spec->sms);
                    s->ctas_max = ctas > s->ctas_max ? ctas : s->ctas_max;
                }
            }
    const size_t kernels = (size_t)(spec->streams * s->kernels);
    s->agents = (uint32_t)(spec->ranks * (int)kernels) * s->ctas_max;
    s->rank_bytes =
        ((size_t)spec->streams * sizeof(struct hl_space_stream) + kernels * sizeof(struct hl_space_kernel) +
         kernels * s->ctas_max * (sizeof(struct hl_space_cta) + sizeof(uint32_t)) + 7) &
        ~(size_t)7;
    s->control_bytes = (size_t)spec->ranks * s->rank_bytes;
    s->state_bytes = s->control_bytes;
    for (int w = 0; w < spec->workspaces; w++) {
        lay_out(s, w, family[w], tokens[w], s->ctas_max);
        if (s->live[w] > HL_SPACE_LIVE_MAX)
            return hl_fail(error, HL_STATUS_USAGE,
                           "%d ranks with calls of %u tokens are too many for a search: take fewer tokens",
                           spec->ranks, tokens[w]);
        s->state_bytes += (size_t)spec->ranks * s->live[w] * sizeof(uint32_t);
    }
    s->state_bytes = (s->state_bytes + 7) & ~(size_t)7;
    const bool ok = allocate_words(s);
    s->control = calloc(1, s->control_bytes);
    s->scratch = calloc(1, s->state_bytes);
    s->checking = calloc(1, s->state_bytes);
    s->agent = calloc(s->agents, sizeof *s->agent);
    s->rows = calloc((size_t)(spec->ranks + 3) * tokens_max, sizeof *s->rows);
    s->cx = calloc((size_t)spec->ranks * HL_SPACE_STREAMS_MAX * HL_SPACE_CALLS_MAX * 2, sizeof *s->cx);
    if (!ok || !s->control || !s->scratch || !s->checking || !s->agent || !s->rows || !s->cx)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a space of %zu-byte states",
                       s->state_bytes);
    hl_space_find_agents(s);
    make_contexts(s, tokens_max);
    return HL_STATUS_OK;
}

enum hl_status hl_space_create(const struct hl_space_spec *spec, struct hl_space **ret_space,
                               struct hl_error *error)
{
    struct hl_space *s = calloc(1, sizeof *s);
    if (!s)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a space");
    s->spec = *spec;
    s->steps = hl_steps_of(spec->mutant);
    const enum hl_status status = create(s, error);
    if (status) {
        hl_space_destroy(s);
        return status;
    }
    *ret_space = s;
    return HL_STATUS_OK;
}

void hl_space_destroy(struct hl_space *s)
{
    if (!s)
        return;
    for (int w = 0; w < HL_SPACE_WORKSPACES_MAX; w++)
        for (int rank = 0; rank < HL_RANKS_MAX; rank++) {
            free(s->stored[w][rank]);
        }
    free(s->control);
    free(s->scratch);
    free(s->checking);
    free(s->agent);
    free(s->all_words);
    free(s->rows);
    free(s->cx);
    free(s);
}

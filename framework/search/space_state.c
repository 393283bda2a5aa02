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
    memcpy(s->control, state, s->is_dense ? s->state_bytes : s->control_bytes);
    if (s->is_dense)
        return;
    const uint32_t *from = (const uint32_t *)(state + s->control_bytes);
    for (int w = 0; w < s->spec.workspaces; w++)
        for (int rank = 0; rank < s->spec.ranks; rank++, from += s->live[w])
            memcpy(s->words[w][rank], from, s->live[w] * sizeof *from);
}

void hl_space_save(const struct hl_space *s, unsigned char *state)
{
    memcpy(state, s->control, s->is_dense ? s->state_bytes : s->control_bytes);
    if (s->is_dense)
        return;
    uint32_t *to = (uint32_t *)(state + s->control_bytes);
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

struct hl_hash hl_space_hash_after(const struct hl_space *s, struct hl_hash hash)
{
    const int w = s->touched_workspace;
    for (uint32_t ranks = s->changed_ranks; ranks; ranks &= ranks - 1) {
        const int rank = __builtin_ctz(ranks);
        const unsigned char *before = s->base + (size_t)rank * s->rank_bytes;
        const unsigned char *after = s->control + (size_t)rank * s->rank_bytes;
        for (size_t at = 0; at < s->rank_bytes; at += 8) {
            uint64_t x, y;
            memcpy(&x, before + at, 8);
            memcpy(&y, after + at, 8);
            if (x != y)
                change(&hash, place_of_control(s, rank, at), x, y);
        }
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

void hl_space_undo(struct hl_space *s)
{
    const int w = s->touched_workspace;
    for (uint32_t ranks = s->changed_ranks; ranks; ranks &= ranks - 1) {
        const size_t control = (size_t)__builtin_ctz(ranks) * s->rank_bytes;
        memcpy(s->control + control, s->base + control, s->rank_bytes);
    }
    EACH_WRITTEN_WORD(s, touch, at)
    s->words[w][touch->rank][at] = hl_space_saved_words(s, s->base, w, touch->rank)[at];
}

/* Does the program fill the workspace? Otherwise it is so from the start. */
static bool fills_itself(const struct hl_space *s, int workspace, int rank)
{
    for (int stream = 0; stream < s->spec.streams; stream++)
        for (uint32_t i = 0; i < s->spec.program[rank][stream].n; i++) {
            const struct hl_space_call *call = &s->spec.program[rank][stream].calls[i];
            if (call->fills && !call->reuses && call->workspace == workspace)
                return true;
        }
    return false;
}

void hl_space_start(struct hl_space *s, unsigned char *state, struct hl_hash *hash)
{
    memset(s->control, 0, s->control_bytes);
    for (int rank = 0; rank < s->spec.ranks; rank++) {
        for (int w = 0; w < s->spec.workspaces; w++) {
            memset(s->words[w][rank], 0, s->layout[w].words * sizeof(uint32_t));
            if (!fills_itself(s, w, rank))
                hl_space_fill_workspace(s, w, rank);
        }
        for (int stream = 0; s->spec.host[rank].n && stream < s->spec.streams; stream++)
            hl_space_host(s, rank)->enqueued[stream] = s->spec.host[rank].stops[0].enqueues[stream];
    }
    hl_space_move_hosts(s, (1u << s->spec.ranks) - 1);
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
    const uint32_t ranks = (uint32_t)s->spec.ranks, row = s->row_words;
    struct hl_layout *l = &s->layout[w];
    *l = hl_layout_make(family, s->spec.ranks, tokens_max, row * 4 / hl_dtype_bytes(s->spec.dtype),
                        s->spec.dtype);
    const uint32_t oneshot = tokens_max * ranks * row, twoshot = 2 * hl_round_up(tokens_max, ranks) * row;
    const bool is_small = s->spec.buffer_rows && family != HL_FAMILY_NCCL;
    l->comm_at = family == HL_FAMILY_MNNVL    ? HL_MNNVL_FLAGS
                 : family == HL_FAMILY_TRTLLM ? HL_TRTLLM_FLAGS + (s->spec.mutant == HL_MUTANT_LATE_CLEAR)
                                              : HL_NCCL_FLAGS;
    l->buffers_at = l->comm_at + (family == HL_FAMILY_TRTLLM ? 2 * tokens_max * row : 0);
    l->words_per_buffer = family == HL_FAMILY_NCCL                         ? 2 * oneshot
                          : oneshot > twoshot || family != HL_FAMILY_MNNVL ? hl_round_up(oneshot, 2)
                                                                           : twoshot;
    if (is_small) { /* what is written beyond a buffer stays in the guard behind it */
        const uint32_t all = l->words_per_buffer;
        l->words_per_buffer = hl_round_up(s->spec.buffer_rows * row, 2);
        l->gap = all > l->words_per_buffer ? all - l->words_per_buffer : 0;
    }
    l->barrier_at = l->buffers_at + hl_buffers_words(l) + l->gap;
    s->live[w] = l->barrier_at + (family == HL_FAMILY_TRTLLM ? ctas_max * ranks : 0);
    l->words = l->barrier_at + (family == HL_FAMILY_TRTLLM ? HL_TRTLLM_BARRIER_FLAGS * ranks : 0);
}

/* The control blocks and then all workspaces, side by side as in a saved state: where nothing is left out of
 * that, it is copied in one go. */
static bool allocate_working_state(struct hl_space *s)
{
    const size_t behind = s->behind;
    size_t n = 0;
    s->is_dense = behind == 0;
    for (int w = 0; w < s->spec.workspaces; w++) {
        n += (size_t)s->spec.ranks * (s->layout[w].words + behind);
        s->is_dense &= s->layout[w].words == s->live[w];
    }
    s->control = calloc(1, s->control_bytes + (n + 2) * sizeof(uint32_t)); /* + 2: a state ends at 8 bytes */
    if (!s->control)
        return false;
    uint32_t *words = (uint32_t *)(s->control + s->control_bytes);
    for (int w = 0; w < s->spec.workspaces; w++)
        for (int rank = 0; rank < s->spec.ranks; rank++, words += s->layout[w].words + behind) {
            s->words[w][rank] = words;
            s->stored[w][rank] = calloc(s->live[w], sizeof(uint32_t));
            if (!s->stored[w][rank])
                return false;
        }
    return true;
}

/* The most tokens, and the family, of each workspace; and what the lists need room for. */
struct needs {
    uint32_t tokens[HL_SPACE_WORKSPACES_MAX];
    enum hl_family family[HL_SPACE_WORKSPACES_MAX];
    size_t rows; /* that all calls send */
};

static struct needs count_needs(struct hl_space *s)
{
    struct needs needs = { { 1, 1, 1 }, { HL_FAMILY_MNNVL, HL_FAMILY_MNNVL, HL_FAMILY_MNNVL }, 0 };
    s->tokens_max = s->ctas_max = s->calls_max = 1;
    for (int rank = 0; rank < s->spec.ranks; rank++)
        for (int stream = 0; stream < s->spec.streams; stream++) {
            const struct hl_space_stream_program *p = &s->spec.program[rank][stream];
            s->calls_max = p->n > s->calls_max ? p->n : s->calls_max;
            for (uint32_t i = 0; i < p->n; i++) {
                const struct hl_space_call *call = &p->calls[i];
                if (call->fills || call->marks || call->waits)
                    continue;
                needs.rows += call->tokens;
                needs.family[call->workspace] = hl_protocol_family(call->protocol);
                if (call->tokens > needs.tokens[call->workspace])
                    needs.tokens[call->workspace] = call->tokens;
                if (call->tokens > s->tokens_max)
                    s->tokens_max = call->tokens;
                const uint32_t flights = s->spec.relaxed ? hl_space_flights_of(s, call) : 0;
                s->flights = flights > s->flights ? flights : s->flights;
                for (int k = 0; k < 2; k++) {
                    const uint32_t ctas = hl_kernel_ctas(hl_protocol_kernels(call->protocol).kernels[k],
                                                         call->tokens, s->spec.sms);
                    s->ctas_max = ctas > s->ctas_max ? ctas : s->ctas_max;
                }
            }
        }
    return needs;
}

static size_t rank_bytes(const struct hl_space *s)
{
    const size_t streams = (size_t)s->spec.streams, kernels = streams * (size_t)s->kernels;
    const size_t bytes =
        sizeof(struct hl_space_host) + streams * sizeof(struct hl_space_stream) +
        kernels * sizeof(struct hl_space_kernel) +
        kernels * s->ctas_max * (sizeof(struct hl_space_cta) + s->cta_words * sizeof(uint32_t));
    return (bytes + 7) & ~(size_t)7;
}

static enum hl_status create(struct hl_space *s, struct hl_error *error)
{
    const struct hl_space_spec *spec = &s->spec;
    const struct needs needs = count_needs(s);
    const size_t ranks = (size_t)spec->ranks;
    s->kernels = spec->pdl ? HL_SPACE_KERNELS_MAX : 1;
    s->row_words = spec->relaxed || spec->mutant == HL_MUTANT_TORN_STORE ? 4 : 1;
    s->behind = spec->mutant == HL_MUTANT_NONE ? 0 : 8 * s->row_words; /* mutants store there */
    if (spec->strike.call > 200 || spec->strike.calls > 50)
        return hl_fail(error, HL_STATUS_USAGE,
                       "subject.strike: a search counts no further than to call 200, and 50 calls in a row");
    s->numbers_max = spec->strike.call < 0 ? 0 : (uint32_t)(spec->strike.call + spec->strike.calls + 1);
    s->flight_words = sizeof(struct hl_space_flight) / 4 + 2 * s->row_words; /* nccl: words with epochs */
    s->cta_words = s->row_words + s->flights * s->flight_words;
    s->ctas = (uint32_t)(spec->ranks * spec->streams * s->kernels) * s->ctas_max;
    s->agents = s->ctas * (1 + 2 * s->flights);
    if (s->agents > UINT16_MAX || s->flights > UINT8_MAX)
        return hl_fail(error, HL_STATUS_USAGE,
                       "%u CTAs with up to %u stores on their way each are too many for a search: take fewer "
                       "ranks or tokens",
                       s->ctas, s->flights);
    s->rank_bytes = rank_bytes(s);
    s->control_bytes = ranks * s->rank_bytes;
    s->state_bytes = s->control_bytes;
    for (int w = 0; w < spec->workspaces; w++) {
        lay_out(s, w, needs.family[w], needs.tokens[w], s->ctas_max);
        if (s->live[w] > HL_SPACE_LIVE_MAX)
            return hl_fail(error, HL_STATUS_USAGE,
                           "%d ranks with calls of %u tokens are too many for a search: take fewer tokens",
                           spec->ranks, needs.tokens[w]);
        s->state_bytes += ranks * s->live[w] * sizeof(uint32_t);
    }
    s->state_bytes = (s->state_bytes + 7) & ~(size_t)7;
    s->contexts = ranks * (size_t)spec->streams * s->calls_max * 2;
    const bool ok = allocate_working_state(s);
    s->scratch = calloc(1, s->state_bytes);
    s->checking = calloc(1, s->state_bytes);
    s->agent = calloc(s->agents, sizeof *s->agent);
    s->rows = calloc((4 * (size_t)s->tokens_max + 2 * 2 * needs.rows) * s->row_words, sizeof *s->rows);
    s->digests_of_rows = calloc(2 * needs.rows + 1, sizeof *s->digests_of_rows);
    s->cx = calloc(2 * s->contexts, sizeof *s->cx);
    s->expected = calloc(2 * s->contexts, sizeof *s->expected);
    s->digests = calloc(2 * s->contexts, sizeof *s->digests);
    s->barriers = calloc(ranks * (HL_SPACE_STOPS_MAX + 1), sizeof *s->barriers);
    if (!ok || !s->scratch || !s->checking || !s->agent || !s->rows || !s->cx || !s->expected ||
        !s->digests || !s->digests_of_rows || !s->barriers)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a space of %zu-byte states",
                       s->state_bytes);
    hl_space_find_agents(s);
    hl_space_make_contexts(s);
    hl_space_count_barriers(s);
    s->is_crowded = hl_space_is_crowded(s);
    return HL_STATUS_OK;
}

enum hl_status hl_space_create(const struct hl_space_spec *spec, struct hl_space **ret_space,
                               struct hl_error *error)
{
    struct hl_space *s = calloc(1, sizeof *s);
    if (!s)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a space");
    s->spec = *spec;
    if (!spec->strike.calls)
        s->spec.strike = (struct hl_strike)HL_STRIKE_DEFAULT;
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
        for (int rank = 0; rank < HL_RANKS_MAX; rank++)
            free(s->stored[w][rank]);
    free(s->control);
    free(s->scratch);
    free(s->checking);
    free(s->agent);
    free(s->rows);
    free(s->cx);
    free(s->expected);
    free(s->digests);
    free(s->digests_of_rows);
    free(s->barriers);
    free(s);
}

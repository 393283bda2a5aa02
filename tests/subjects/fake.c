/* A subject without a GPU, in plain C, for the loader's tests. FAKE_MISTAKE makes one mistake in it. */
#include <hanglab/subject.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int is(const char *mistake) { return strcmp(FAKE_MISTAKE, mistake) == 0; }

static int create(const struct hl_subject_shape *shape, void **ret_state, char *message)
{
    (void)shape;
    if (is("create-dies"))
        *(volatile int *)ret_state[0] = 1; /* nothing is there yet */
    if (is("create-fails")) {
        snprintf(message, HL_SUBJECT_MESSAGE_MAX, "this GPU is too old");
        return 1;
    }
    *ret_state = NULL;
    return 0;
}

static int describe(void *state, const struct hl_subject_shape *s, struct hl_subject_layout *l, char *message)
{
    const uint32_t row_words = s->hidden / 2, tokens = (s->tokens_max + s->ranks - 1) / s->ranks * s->ranks;
    const uint32_t rows = 2 * tokens > s->tokens_max * s->ranks ? 2 * tokens : s->tokens_max * s->ranks;
    (void)state;
    if (is("describe-dies"))
        abort();
    if (is("describe-fails")) {
        snprintf(message, HL_SUBJECT_MESSAGE_MAX, "hidden %u is not mine", s->hidden);
        return 1;
    }
    l->buffers_at = is("overlap") ? 5 : 16;
    l->buffer_words = is("small-buffer") ? 8 : rows * row_words;
    l->words = (is("outside") ? 0 : 16) + 3 * l->buffer_words;
    l->n_flags = is("no-arrived") ? 1 : is("many-flags") ? 99 : 2;
    l->flags[0] = (struct hl_subject_flag){ "current", 3 };
    l->flags[1] = (struct hl_subject_flag){ is("twice") ? "current" : "arrived", 7 };
    l->sentinel = is("sentinel") ? 0xffffffffu : 0x80000000u;
    l->compare = HL_SUBJECT_BITS;
    l->sharing = is("shares") ? HL_SUBJECT_SHARES_BUFFERS : HL_SUBJECT_SHARES_NOTHING;
    return 0;
}

static int reset(void *state, const struct hl_subject_ranks *ranks, struct CUstream_st *stream, char *message)
{
    (void)state, (void)ranks, (void)stream, (void)message;
    return 0;
}

static int enqueue(void *state, const struct hl_subject_call *call, struct CUstream_st *stream, char *message)
{
    (void)state, (void)call, (void)stream, (void)message;
    return 0;
}

static void destroy(void *state) { (void)state; }

#ifndef FAKE_WITHOUT_SYMBOL
#ifndef FAKE_ABI
#define FAKE_ABI HL_SUBJECT_ABI
#endif
const struct hl_subject_plugin hl_subject_plugin = {
    .abi = FAKE_ABI,
    .name = "fake",
    .release = "1",
    .families = 1u << HL_SUBJECT_MNNVL,
    .dtypes = 1u << HL_SUBJECT_BF16,
    .strategies = HL_SUBJECT_ONESHOT,
    .world_sizes = 1u << 2 | 1u << 4,
    .create = create,
    .describe = describe,
    .reset = reset,
    .enqueue = enqueue,
    .destroy = FAKE_DESTROY,
};
#endif

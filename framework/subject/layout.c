/* A plugin's layout: is it possible, and where are the words that the flag decoder asks for; see subject.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "subject.h"

/* Names of a family's flags at the places where hanglab's own layout has them; `required` is a bit each. */
struct flag_names {
    const char *names[HL_FLAG_WORDS];
    uint32_t required;
};
static const struct flag_names flag_names[] = {
    [HL_SUBJECT_MNNVL] = { { [HL_MNNVL_CURRENT] = "current",
                             [HL_MNNVL_DIRTY] = "dirty",
                             [HL_MNNVL_BYTES_PER_BUFFER] = "bytes_per_buffer",
                             [HL_MNNVL_DIRTY_STAGES] = "dirty_stages",
                             [HL_MNNVL_CLEAR_BYTES] = "clear_bytes_0",
                             [HL_MNNVL_CLEAR_BYTES + 1] = "clear_bytes_1",
                             [HL_MNNVL_ARRIVED] = "arrived" },
                           1u << HL_MNNVL_CURRENT | 1u << HL_MNNVL_ARRIVED },
    [HL_SUBJECT_TRTLLM] = { { [HL_TRTLLM_ARRIVED] = "arrived",
                              [HL_TRTLLM_BARRIER_FLAG] = "barrier_flag",
                              [HL_TRTLLM_CURRENT] = "current",
                              [HL_TRTLLM_COMM_BYTES] = "comm_bytes",
                              [HL_TRTLLM_CLEAR_ELEMENTS] = "clear_elements" },
                            1u << HL_TRTLLM_CURRENT | 1u << HL_TRTLLM_ARRIVED },
};

static int flag_index(enum hl_subject_family family, const char *name)
{
    for (int i = 0; i < HL_FLAG_WORDS; i++)
        if (flag_names[family].names[i] && strcmp(flag_names[family].names[i], name) == 0)
            return i;
    return -1;
}

/*
 * Checks
 */

struct part {
    const char *name;
    uint64_t at, words;
};

static int by_place(const void *a_, const void *b_)
{
    const struct part *a = a_, *b = b_;
    return a->at < b->at ? -1 : a->at > b->at;
}

static enum hl_status check_parts(struct part *parts, int n, uint32_t words, struct hl_error *error)
{
    qsort(parts, (size_t)n, sizeof *parts, by_place);
    for (int i = 0; i < n; i++) {
        const uint64_t end = parts[i].at + parts[i].words;
        if (end > words)
            return hl_fail(error, HL_STATUS_USAGE,
                           "%s: words %llu to %llu are outside of the workspace of %u words", parts[i].name,
                           (unsigned long long)parts[i].at, (unsigned long long)end - 1, words);
        if (i + 1 < n && end > parts[i + 1].at)
            return hl_fail(error, HL_STATUS_USAGE, "%s and %s overlap at word %llu", parts[i].name,
                           parts[i + 1].name, (unsigned long long)parts[i + 1].at);
    }
    return HL_STATUS_OK;
}

static enum hl_status check_flags(const struct hl_subject_shape *shape, const struct hl_subject_layout *l,
                                  struct hl_error *error)
{
    uint32_t seen = 0;
    if (l->n_flags > HL_SUBJECT_FLAGS_MAX)
        return hl_fail(error, HL_STATUS_USAGE, "%u flags, and at most %d fit", l->n_flags,
                       HL_SUBJECT_FLAGS_MAX);
    for (uint32_t i = 0; i < l->n_flags; i++) {
        if (!l->flags[i].name)
            return hl_fail(error, HL_STATUS_USAGE, "flag %u has no name", i);
        const int index = flag_index(shape->family, l->flags[i].name);
        if (index < 0)
            continue; /* the plugin's own business */
        if (seen & 1u << index)
            return hl_fail(error, HL_STATUS_USAGE, "the flag '%s' is there twice", l->flags[i].name);
        seen |= 1u << index;
    }
    for (int i = 0; i < HL_FLAG_WORDS; i++)
        if (flag_names[shape->family].required & ~seen & 1u << i)
            return hl_fail(error, HL_STATUS_USAGE,
                           "there is no flag '%s', without which nobody can tell what a wait waits for",
                           flag_names[shape->family].names[i]);
    return HL_STATUS_OK;
}

static enum hl_status check_room(const struct hl_subject_shape *shape, const struct hl_layout *own,
                                 const struct hl_subject_layout *l, struct hl_error *error)
{
    if (l->sentinel != hl_sentinel_word(own))
        return hl_fail(
            error, HL_STATUS_USAGE,
            "the sentinel is 0x%08x, and waits of this backend and data type wait for 0x%08x to go",
            l->sentinel, hl_sentinel_word(own));
    if (l->buffer_words < own->words_per_buffer)
        return hl_fail(error, HL_STATUS_USAGE, "a buffer of %u words is too small: %u tokens of %u need %u",
                       l->buffer_words, shape->tokens_max, shape->hidden, own->words_per_buffer);
    if (shape->family == HL_SUBJECT_MNNVL && shape->strategies & HL_SUBJECT_TWOSHOT &&
        l->buffer_words != own->words_per_buffer)
        return hl_fail(error, HL_STATUS_USAGE,
                       "a buffer of a two-shot has two stages of equal size: make it %u words, not %u",
                       own->words_per_buffer, l->buffer_words);
    if (l->compare != HL_SUBJECT_BITS && l->compare != HL_SUBJECT_FLOAT_FTZ)
        return hl_fail(error, HL_STATUS_USAGE, "compare is %d, which is no comparison", (int)l->compare);
    if (shape->family == HL_SUBJECT_TRTLLM && shape->strategies & HL_SUBJECT_TWOSHOT && l->barrier_at == 0)
        return hl_fail(error, HL_STATUS_USAGE, "the two-shot has no barrier flags (barrier_at)");
    return HL_STATUS_OK;
}

static enum hl_status check_layout(const struct hl_subject_shape *shape, const struct hl_subject_layout *l,
                                   struct hl_error *error)
{
    const struct hl_layout own =
        hl_layout_make(shape->family == HL_SUBJECT_MNNVL ? HL_FAMILY_MNNVL : HL_FAMILY_TRTLLM,
                       (int)shape->ranks, shape->tokens_max, shape->hidden, (enum hl_dtype)shape->dtype);
    struct part parts[HL_SUBJECT_FLAGS_MAX + 2];
    int n = 0;
    enum hl_status status = check_flags(shape, l, error);
    if (!status)
        status = check_room(shape, &own, l, error);
    if (status)
        return status;
    for (uint32_t i = 0; i < l->n_flags; i++)
        parts[n++] = (struct part){ l->flags[i].name, l->flags[i].at, 1 };
    parts[n++] = (struct part){ "the buffers", l->buffers_at, 3ull * l->buffer_words };
    if (l->barrier_at)
        parts[n++] = (struct part){ "the barrier flags", l->barrier_at,
                                    (uint64_t)shape->ranks * HL_TRTLLM_BARRIER_FLAGS };
    return check_parts(parts, n, l->words, error);
}

enum hl_status hl_subject_describe(const struct hl_subject_plugin *plugin, void *state,
                                   const struct hl_subject_shape *shape, struct hl_subject_layout *ret_layout,
                                   struct hl_error *error)
{
    char message[HL_SUBJECT_MESSAGE_MAX] = "";
    struct hl_subject_layout layout = { 0 };
    struct hl_error why;
    if (plugin->describe(state, shape, &layout, message) != 0)
        return hl_fail(error, HL_STATUS_USAGE, "%s %s: describe: %.*s", plugin->name, plugin->release,
                       HL_SUBJECT_MESSAGE_MAX - 1, message);
    if (check_layout(shape, &layout, &why))
        return hl_fail(error, HL_STATUS_USAGE, "%s %s: its layout description is wrong: %s", plugin->name,
                       plugin->release, why.message);
    *ret_layout = layout;
    return HL_STATUS_OK;
}

/*
 * The map
 */

static void add(struct hl_subject_map *map, uint32_t first, uint32_t words, uint32_t at, bool of_rank_0)
{
    map->spans[map->n++] = (struct hl_subject_span){ first, words, at, of_rank_0 };
}

void hl_subject_map_init(struct hl_subject_map *map, const struct hl_layout *l,
                         const struct hl_subject_layout *s)
{
    const enum hl_subject_family family = l->family == HL_FAMILY_MNNVL ? HL_SUBJECT_MNNVL : HL_SUBJECT_TRTLLM;
    map->n = 0;
    for (uint32_t i = 0; i < s->n_flags; i++) {
        const int index = flag_index(family, s->flags[i].name);
        if (index >= 0)
            add(map, (uint32_t)index, 1, s->flags[i].at, false);
    }
    if (s->barrier_at)
        add(map, l->barrier_at, (uint32_t)l->ranks * HL_TRTLLM_BARRIER_FLAGS, s->barrier_at, false);
    for (uint32_t buffer = 0; buffer < 3; buffer++) {
        const uint32_t first = hl_buffer_at(l, buffer);
        const uint32_t at = s->buffers_at + buffer * s->buffer_words;
        const uint32_t half = l->words_per_buffer / 2;
        add(map, first, half, at, s->sharing == HL_SUBJECT_SHARES_BUFFERS);
        add(map, first + half, l->words_per_buffer - half, at + half,
            s->sharing != HL_SUBJECT_SHARES_NOTHING);
    }
}

bool hl_subject_map_find(const struct hl_subject_map *map, uint32_t first, uint32_t count,
                         struct hl_subject_span *ret_span)
{
    uint32_t until = count;
    for (int i = 0; i < map->n; i++) {
        const struct hl_subject_span *s = &map->spans[i];
        if (first >= s->first && first - s->first < s->words) {
            const uint32_t skipped = first - s->first, left = s->words - skipped;
            *ret_span =
                (struct hl_subject_span){ first, count < left ? count : left, s->at + skipped, s->of_rank_0 };
            return true;
        }
        if (s->first > first && s->first - first < until)
            until = s->first - first;
    }
    *ret_span = (struct hl_subject_span){ .first = first, .words = until };
    return false;
}

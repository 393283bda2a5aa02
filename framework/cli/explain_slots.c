/* The memory side of the story: the word that is waited for, and the slots around it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../scenario/words.h"
#include "explain.h"

/* The slot that the finding names, else the first that has not arrived. */
static const json_t *find_slot(const struct hl_story *story)
{
    const json_t *culprit = json_object_get(story->verdict, "culprit"), *first = NULL;
    size_t i;
    json_t *slot;
    json_array_foreach(json_object_get(story->slots, "slots"), i, slot)
    {
        if (strcmp(hl_json_text(slot, "state"), "arrived") == 0)
            continue;
        first = first ? first : slot;
        const json_t *named = json_object_get(culprit, "slot");
        if (strcmp(hl_json_text(slot, "stage"), hl_json_text(culprit, "stage")) == 0 &&
            hl_json_number(slot, "source") == hl_json_number(named, "rank") &&
            hl_json_number(slot, "token") == hl_json_number(named, "token"))
            return slot;
    }
    return first;
}

static bool is_of_row(const char *stage)
{
    return strcmp(stage, "barrier") != 0 && strcmp(stage, "arrivals") != 0;
}

/* A plain allreduce waits for the epoch that stands beside each word. */
static bool is_epoch(const struct hl_story *story, const json_t *slot)
{
    const json_t *layout =
        json_array_get(json_object_get(story->slots, "layouts"), (size_t)hl_json_number(slot, "workspace"));
    return strcmp(hl_json_text(layout, "family"), "nccl") == 0;
}

static void tell_word(const struct hl_story *story, const json_t *slot)
{
    const uint32_t value = (uint32_t)strtoul(hl_json_text(slot, "value"), NULL, 16);
    const json_t *layout = json_array_get(json_object_get(story->slots, "layouts"), 0);
    const struct hl_word *dtype = hl_words_find(&hl_words_dtypes, hl_json_text(layout, "dtype"));
    if (!is_of_row(hl_json_text(slot, "stage")) || is_epoch(story, slot) || !dtype) {
        hl_story_say("It holds %u (0x%08x).", (unsigned)value, (unsigned)value);
        return;
    }
    char decoded[160];
    hl_decode_word((enum hl_dtype)dtype->value, value, decoded, sizeof decoded);
    hl_story_say("It holds 0x%08x, as %s.", (unsigned)value, decoded);
}

static void tell_history(const json_t *slot)
{
    const json_t *history = json_object_get(slot, "history");
    const json_t *stored = json_object_get(history, "stored"), *cleared = json_object_get(history, "cleared");
    char when[32];
    if (!history)
        return;
    if (stored)
        hl_story_say("Last stored by rank %lld in its call %lld, at %s.", hl_json_number(stored, "by"),
                     hl_json_number(stored, "call"), hl_time_text(hl_json_number(stored, "ns"), when));
    else
        hl_story_say("Nobody has ever stored to it.");
    if (cleared && hl_json_number(cleared, "call") >= 0)
        hl_story_say("Last cleared by rank %lld in its call %lld, at %s.", hl_json_number(cleared, "by"),
                     hl_json_number(cleared, "call"), hl_time_text(hl_json_number(cleared, "ns"), when));
    else if (cleared)
        hl_story_say("Last cleared when rank %lld initialised its workspace, at %s.",
                     hl_json_number(cleared, "by"), hl_time_text(hl_json_number(cleared, "ns"), when));
}

/* The sentinel: never stored in this call, or erased, where the word's history tells. */
static void tell_sentinel(const json_t *slot)
{
    const json_t *history = json_object_get(slot, "history");
    const json_t *stored = json_object_get(history, "stored"), *cleared = json_object_get(history, "cleared");
    const long long source = hl_json_number(slot, "source"), call = hl_json_number(slot, "call");
    const bool is_ours =
        stored && hl_json_number(stored, "by") == source && hl_json_number(stored, "call") == call;
    if (!history)
        hl_story_say(
            "That is the sentinel itself, \"not arrived\": whoever should write it has not, or it was "
            "cleared again.");
    else if (!is_ours)
        hl_story_say(
            "That is the sentinel itself, \"not arrived\": rank %lld has not stored it in its call %lld.",
            source, call);
    else if (cleared && hl_json_number(cleared, "ns") >= hl_json_number(stored, "ns"))
        hl_story_say(
            "That is the sentinel itself, \"not arrived\": the row came, and was erased before the wait "
            "had seen it.");
    else
        hl_story_say("That is the sentinel itself: the row came, and this is what was sent.");
}

static void tell_why(const struct hl_story *story, const json_t *slot)
{
    const char *compare = hl_json_text(story->slots, "compare");
    if (strcmp(hl_json_text(slot, "state"), "refused") != 0) {
        if (is_of_row(hl_json_text(slot, "stage")) && is_epoch(story, slot))
            hl_story_say(
                "That is the epoch of an earlier call: rank %lld has not stored the row in its call %lld.",
                hl_json_number(slot, "source"), hl_json_number(slot, "call"));
        else if (is_of_row(hl_json_text(slot, "stage")))
            tell_sentinel(slot);
        return;
    }
    if (strcmp(compare, "float-ftz") == 0)
        hl_story_say("The data is there, but the wait refuses it: it compares as a float with subnormals "
                     "flushed to zero, so "
                     "every word from 0x80000000 to 0x807fffff (negative subnormal as fp32) equals -0.0, the "
                     "sentinel. "
                     "Polling again can never change that.");
    else
        hl_story_say("The data is there, but the wait (comparison: %s) takes it for the sentinel. Polling "
                     "again can never "
                     "change that.",
                     compare);
}

/* A row that nobody wrote holds what another tensor has left in the pool's memory. */
static void tell_unwritten(const json_t *slot)
{
    const long long written = hl_json_number(slot, "source_rows_written"),
                    token = hl_json_number(slot, "token"), source = hl_json_number(slot, "source");
    char rows[48] = "none";
    if (written < 0 || token < written)
        return;
    if (written > 0)
        snprintf(rows, sizeof rows, "0 to %lld", written - 1);
    hl_story_say(
        "Row %lld of rank %lld's input to this call was never written since its block was taken from "
        "the pool (rows written: %s): it holds what another tensor left there.",
        token, source, rows);
}

void hl_story_tell_for_what(const struct hl_story *story)
{
    const json_t *slot = find_slot(story);
    hl_story_heading(story, "For what, and why it never comes");
    if (!slot) {
        hl_story_paragraph("No slot of a waiting call is missing a word.");
        return;
    }
    const char *stage = hl_json_text(slot, "stage");
    if (is_of_row(stage))
        hl_story_say("Rank %lld waits for word %lld of the slot that rank %lld fills for token %lld: stage "
                     "%s, buffer %lld, word "
                     "%lld of the workspace. %lld of the slot's %lld words are missing.",
                     hl_json_number(slot, "rank"), hl_json_number(slot, "first_missing"),
                     hl_json_number(slot, "source"), hl_json_number(slot, "token"), stage,
                     hl_json_number(slot, "buffer"), hl_json_number(slot, "at"),
                     hl_json_number(slot, "missing"), hl_json_number(slot, "words"));
    else
        hl_story_say("Rank %lld waits in stage %s for rank %lld: word %lld of the workspace.",
                     hl_json_number(slot, "rank"), stage, hl_json_number(slot, "source"),
                     hl_json_number(slot, "at"));
    tell_word(story, slot);
    tell_unwritten(slot);
    tell_history(slot);
    tell_why(story, slot);
}

/* One map a stage and buffer: who waits against whose words, the worst slot of each pair. */
static void tell_map(const struct hl_story *story, const char *stage, long long buffer)
{
    char map[HL_RANKS_MAX][HL_RANKS_MAX];
    const size_t told = json_array_size(json_object_get(story->verdict, "ranks"));
    const int ranks = told < 1 ? 1 : told > HL_RANKS_MAX ? HL_RANKS_MAX : (int)told;
    memset(map, ' ', sizeof map);
    size_t i;
    json_t *slot;
    json_array_foreach(json_object_get(story->slots, "slots"), i, slot)
    {
        const long long rank = hl_json_number(slot, "rank"), source = hl_json_number(slot, "source");
        if (strcmp(hl_json_text(slot, "stage"), stage) != 0 || hl_json_number(slot, "buffer") != buffer ||
            rank < 0 || rank >= ranks || source < 0 || source >= ranks)
            continue;
        char *mark = &map[rank][source];
        const char state = hl_json_text(slot, "state")[0];
        if (state == 'r')
            *mark = 'X';
        else if (state == 's' && *mark != 'X')
            *mark = 's';
        else if (*mark == ' ')
            *mark = '.';
    }
    printf("  stage %s, buffer %lld\n    from rank", stage, buffer);
    for (int source = 0; source < ranks; source++)
        printf(" %2d", source);
    putchar('\n');
    for (int rank = 0; rank < ranks; rank++) {
        printf("    at rank %2d", rank);
        for (int source = 0; source < ranks; source++)
            printf("%2s%c", "", map[rank][source]);
        putchar('\n');
    }
}

void hl_story_tell_maps(const struct hl_story *story)
{
    const json_t *slots = json_object_get(story->slots, "slots");
    size_t i;
    json_t *slot;
    if (json_array_size(slots) == 0)
        return;
    hl_story_heading(story, "Slots of the waiting calls (. arrived, s sentinel, X data refused)");
    json_array_foreach(slots, i, slot)
    {
        bool told = false;
        for (size_t k = 0; k < i && !told; k++) {
            const json_t *earlier = json_array_get(slots, k);
            told = strcmp(hl_json_text(earlier, "stage"), hl_json_text(slot, "stage")) == 0 &&
                   hl_json_number(earlier, "buffer") == hl_json_number(slot, "buffer");
        }
        if (!told)
            tell_map(story, hl_json_text(slot, "stage"), hl_json_number(slot, "buffer"));
    }
    if (hl_json_number(story->slots, "left_out") > 0)
        hl_story_say("%lld more slots were left out.", hl_json_number(story->slots, "left_out"));
}

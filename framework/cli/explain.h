/* The parts of `hanglab explain` share the loaded bundle and a few ways to say things. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "../../reports/decode.h"

struct hl_story {
    const char *path;
    json_t *verdict, *flags, *slots; /* the files of these names */
    bool colour;
};

/* Members of a bundle's objects, which may be foreign or damaged: "" and -1 when not there. */
const char *hl_json_text(const json_t *object, const char *key);
long long hl_json_number(const json_t *object, const char *key);

const char *hl_time_text(long long ns, char text[32]);
void hl_story_heading(const struct hl_story *story, const char *text);
void hl_story_paragraph(const char *text);
void hl_story_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Which word is waited for, what it holds and why it never counts as arrived; then the map of all slots. */
void hl_story_tell_for_what(const struct hl_story *story);
void hl_story_tell_maps(const struct hl_story *story);

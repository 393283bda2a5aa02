/* The parts of `hanglab explain` share the loaded bundle and a few ways to say things. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "../../reports/decode.h"
#include "../../reports/json.h"

struct hl_story {
    const char *path;
    json_t *verdict, *flags, *slots; /* the files of these names */
    bool colour;
};

const char *hl_time_text(long long ns, char text[32]);
void hl_story_heading(const struct hl_story *story, const char *text);
void hl_story_paragraph(const char *text);
void hl_story_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "  rank 1: ...", further lines indented more. */
void hl_story_say_of_rank(long long rank, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Which word is waited for, what it holds and why it never counts as arrived; then the map of all slots. */
void hl_story_tell_for_what(const struct hl_story *story);
void hl_story_tell_maps(const struct hl_story *story);
/* What device and driver were doing, where CUPTI told: kernels that do not end, driver calls, samples. */
void hl_story_tell_devices(const struct hl_story *story);
/* Known collectives of a watched command, and kernels whose arguments are not known. */
void hl_story_tell_collectives(const struct hl_story *story);
/* What each rank's host was doing: its program's position and its own thread. */
void hl_story_tell_stack(const struct hl_story *story, long long rank);
void hl_story_tell_hosts(const struct hl_story *story);
/* Where the lanes of the hung kernels stood, if there is a GPU core. */
void hl_story_tell_gpu_core(const struct hl_story *story);

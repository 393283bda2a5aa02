/* Values of options that several commands take. A wrong one ends the command with a message (argp_error). */
#pragma once
#include <argp.h>
#include <stdbool.h>
#include <stdint.h>
#include "../campaign/inputs.h"
#include "../scenario/words.h"

uint64_t hl_option_integer(struct argp_state *state, const char *option, const char *text, uint64_t low,
                           uint64_t high);
double hl_option_real(struct argp_state *state, const char *option, const char *text, double low,
                      double high);
/* "500ms", "90", "90s", "15m", "2h" */
double hl_option_duration_s(struct argp_state *state, const char *option, const char *text);
/* The value of a word. */
int hl_option_word(struct argp_state *state, const char *option, const char *text,
                   const struct hl_words *words);
/* Is it json, and not text? */
bool hl_option_is_json(struct argp_state *state, const char *text);

/* Gives every case the geometry (enum hl_geometry); -1: as its scenario says, on a GPU as written. */
void hl_inputs_set_geometry(struct hl_inputs *inputs, int geometry, bool is_cuda);

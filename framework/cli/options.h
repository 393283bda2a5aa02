/* Values of options that several commands take. A wrong one ends the command with a message (argp_error). */
#pragma once
#include <argp.h>
#include <stdint.h>
#include "../scenario/words.h"

uint64_t hl_option_integer(struct argp_state *state, const char *option, const char *text, uint64_t low,
                           uint64_t high);
double hl_option_real(struct argp_state *state, const char *option, const char *text, double low,
                      double high);
/* "90", "90s", "15m", "2h" */
double hl_option_duration_s(struct argp_state *state, const char *option, const char *text);
/* The value of a word. */
int hl_option_word(struct argp_state *state, const char *option, const char *text,
                   const struct hl_words *words);

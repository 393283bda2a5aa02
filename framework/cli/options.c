/* See options.h. */
#include "options.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint64_t hl_option_integer(struct argp_state *state, const char *option, const char *text, uint64_t low,
                           uint64_t high)
{
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 0);
    if (errno || end == text || *end || text[0] == '-' || value < low || value > high)
        argp_error(state, "--%s takes an integer from %llu to %llu, not '%s'", option,
                   (unsigned long long)low, (unsigned long long)high, text);
    return value;
}

double hl_option_real(struct argp_state *state, const char *option, const char *text, double low, double high)
{
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end || !(value >= low && value <= high))
        argp_error(state, "--%s takes a number from %g to %g, not '%s'", option, low, high, text);
    return value;
}

double hl_option_duration_s(struct argp_state *state, const char *option, const char *text)
{
    char *end;
    const double value = strtod(text, &end);
    const double unit = strcmp(end, "") == 0 || strcmp(end, "s") == 0 ? 1
                        : strcmp(end, "m") == 0                       ? 60
                        : strcmp(end, "h") == 0                       ? 3600
                        : strcmp(end, "ms") == 0                      ? 0.001
                                                                      : 0;
    if (end == text || unit == 0 || !(value > 0 && value < 1e9))
        argp_error(state, "--%s takes a time such as 500ms, 90, 90s, 15m or 2h, not '%s'", option, text);
    return value * unit;
}

int hl_option_word(struct argp_state *state, const char *option, const char *text,
                   const struct hl_words *words)
{
    const struct hl_word *word = hl_words_find(words, text);
    if (word)
        return word->value;
    const char *nearest = hl_words_nearest(words, text);
    argp_error(state, "--%s: there is no '%s' among the %s%s%s%s", option, text, words->plural,
               nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    return 0;
}

bool hl_option_is_json(struct argp_state *state, const char *text)
{
    const bool is_json = strcmp(text, "json") == 0;
    if (!is_json && strcmp(text, "text") != 0)
        argp_error(state, "--format takes text or json, not '%s'", text);
    return is_json;
}

void hl_inputs_set_geometry(struct hl_inputs *inputs, int geometry, bool is_cuda)
{
    if (geometry < 0 && is_cuda)
        geometry = HL_GEOMETRY_FULL;
    for (size_t s = 0; s < inputs->n_scenarios && geometry >= 0; s++)
        for (size_t i = 0; i < inputs->scenarios[s]->n_cases; i++)
            inputs->scenarios[s]->cases[i].config.geometry = (enum hl_geometry)geometry;
}

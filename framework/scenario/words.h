/* Word tables: every X-macro list of words as data, for whoever turns words into values or back: the
 * parser, the schema, `hanglab list` and the reports. */
#pragma once
#include <stdbool.h>
#include "hanglab/config.h"
#include "hanglab/verdict.h"

struct hl_word {
    const char *name;
    int value;
    const char *doc;
};

struct hl_words {
    const char *plural; /* what the list holds, as a person names it: "backends" */
    const struct hl_word *words;
    int count;
};

/* X(variable, plural, list): a table hl_words_<variable> for each list of (ID, name, doc). */
#define HL_WORD_TABLES(X) \
    X(backends, "backends", HL_BACKENDS) \
    X(strategies, "strategies", HL_STRATEGIES) \
    X(patterns, "patterns", HL_PATTERNS) \
    X(dtypes, "dtypes", HL_DTYPES) \
    X(compares, "comparisons", HL_COMPARES) \
    X(mutants, "mutants", HL_MUTANTS) \
    X(fallbacks, "fallbacks", HL_FALLBACKS) \
    X(placements, "placements", HL_PLACEMENTS) \
    X(progress, "progress-models", HL_PROGRESS_MODELS) \
    X(memory, "memory-models", HL_MEMORY_MODELS) \
    X(modes, "modes", HL_MODES) \
    X(fusions, "fusions", HL_FUSIONS) \
    X(presets, "presets", HL_PRESETS) \
    X(guards, "guards", HL_GUARDS) \
    X(rows, "rows", HL_ROWS) \
    X(payload_patterns, "payload-patterns", HL_PAYLOAD_PATTERNS) \
    X(faults, "faults", HL_FAULTS) \
    X(details, "details", HL_DETAILS) \
    X(geometries, "geometries", HL_GEOMETRIES) \
    X(protocols, "protocols", HL_PROTOCOLS) \
    X(stages, "stages", HL_STAGES) \
    X(verdicts, "verdicts", HL_VERDICTS) \
    X(certainties, "certainties", HL_CERTAINTIES)

#define X(variable, plural, list) extern const struct hl_words hl_words_##variable;
HL_WORD_TABLES(X)
#undef X
extern const struct hl_words hl_words_causes;        /* doc = the cause's meaning */
extern const struct hl_words hl_words_flag_backends; /* what sglang's command line takes */

/* All of the tables above but the last, which only repeats words of another one. */
extern const struct hl_words *const hl_word_tables[];
extern const int hl_n_word_tables;

/* The table with this plural, or NULL. */
const struct hl_words *hl_words_find_table(const char *plural);
/* NULL when the table has no such word. */
const struct hl_word *hl_words_find(const struct hl_words *words, const char *name);
/* The name of a value; "?" when the table has none. */
const char *hl_words_name(const struct hl_words *words, int value);
/* The word that `text` may have been meant for, or NULL when none is near. */
const char *hl_words_nearest(const struct hl_words *words, const char *text);

/* For nearest words of other lists: offer each candidate, then read `best` (NULL: none was near). */
struct hl_nearest {
    const char *text;
    const char *best;
    int distance;
};
struct hl_nearest hl_nearest_init(const char *text);
void hl_nearest_offer(struct hl_nearest *nearest, const char *candidate);

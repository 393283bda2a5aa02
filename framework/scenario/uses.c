/* Triggers and who takes them; see uses.h. */
#include "uses.h"
#include <string.h>

#define X(id, parameters, needs) [id] = parameters,
static const char *const takes[] = { HL_FAULT_CATALOGUE(X) };
#undef X

/* Of the mutants that strike at one place: at a CTA that counts in, or else at a row that is stored. */
static bool strikes_cta(enum hl_mutant mutant)
{
    return mutant == HL_MUTANT_MISSED_ARRIVAL || mutant == HL_MUTANT_OVERSHOOT;
}

/* Is `word` in a list such as "rank, call, calls"? */
static bool lists(const char *list, const char *word)
{
    const size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += length)
        if ((at == list || at[-1] == ' ') && (at[length] == ',' || at[length] == 0))
            return true;
    return false;
}

static bool fault_uses(const struct hl_fault *fault, const char *key)
{
    return fault->kind == HL_FAULT_NONE || strcmp(key, "fault") == 0 || strcmp(key, "probability") == 0 ||
           lists(takes[fault->kind], key);
}

#define STRIKE "subject.strike"
bool hl_config_uses(const struct hl_config *config, int fault, const char *path)
{
    const enum hl_mutant mutant = config->subject.mutant;
    if (fault >= 0)
        return fault_uses(&config->faults[fault], path);
    if (strncmp(path, STRIKE, strlen(STRIKE)) != 0)
        return true;
    if (strcmp(path, STRIKE ".token") == 0)
        return HL_MUTANT_COUNTS_CALLS(mutant) && !strikes_cta(mutant);
    if (strcmp(path, STRIKE ".cta") == 0)
        return strikes_cta(mutant);
    return HL_MUTANT_COUNTS_CALLS(mutant);
}

const char *hl_config_takes(const struct hl_config *config, int fault)
{
    const enum hl_mutant mutant = config->subject.mutant;
    if (fault >= 0)
        return takes[config->faults[fault].kind];
    return strikes_cta(mutant)              ? "rank, call, calls, cta"
           : HL_MUTANT_COUNTS_CALLS(mutant) ? "rank, call, calls, token"
                                            : "no place to strike at";
}

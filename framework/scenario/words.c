/* The word tables, and the edit distance behind "did you mean". */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "words.h"

#define WORD(id, name, doc) { name, id, doc },
#define TABLE(variable, plural, list) \
    static const struct hl_word variable##_words[] = { list(WORD) }; \
    const struct hl_words hl_words_##variable = { plural, variable##_words, \
                                                  sizeof variable##_words / sizeof(struct hl_word) };
HL_WORD_TABLES(TABLE)

#define CAUSE_WORD(id, name, meaning, evidence, hint, incidents) { name, id, meaning },
static const struct hl_word cause_words[] = { HL_CAUSES(CAUSE_WORD) };
const struct hl_words hl_words_causes = { "causes", cause_words,
                                          sizeof cause_words / sizeof(struct hl_word) };

static const struct hl_word flag_backend_words[] = {
    { "auto", HL_BACKEND_AUTO, "sglang picks the backend" },
    { "trtllm", HL_BACKEND_TRTLLM, "FlashInfer's trtllm backend" },
    { "mnnvl", HL_BACKEND_MNNVL, "FlashInfer's MNNVL backend" },
};
const struct hl_words hl_words_flag_backends = { "flag-backends", flag_backend_words, 3 };

#define ADDRESS(variable, plural, list) &hl_words_##variable,
const struct hl_words *const hl_word_tables[] = { HL_WORD_TABLES(ADDRESS) & hl_words_causes };
const int hl_n_word_tables = sizeof hl_word_tables / sizeof *hl_word_tables;

const struct hl_words *hl_words_find_table(const char *plural)
{
    for (int i = 0; i < hl_n_word_tables; i++)
        if (strcmp(hl_word_tables[i]->plural, plural) == 0)
            return hl_word_tables[i];
    return NULL;
}

const struct hl_word *hl_words_find(const struct hl_words *words, const char *name)
{
    for (int i = 0; i < words->count; i++)
        if (strcmp(words->words[i].name, name) == 0)
            return &words->words[i];
    return NULL;
}

const char *hl_words_name(const struct hl_words *words, int value)
{
    for (int i = 0; i < words->count; i++)
        if (words->words[i].value == value)
            return words->words[i].name;
    return "?";
}

const char *hl_words_nearest(const struct hl_words *words, const char *text)
{
    struct hl_nearest nearest = hl_nearest_init(text);
    for (int i = 0; i < words->count; i++)
        hl_nearest_offer(&nearest, words->words[i].name);
    return nearest.best;
}

enum { WORD_MAX = 63 };

static int lower(char c)
{
    if (c == '_')
        return '-';
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static int min3(int a, int b, int c)
{
    int least = a < b ? a : b;
    return least < c ? least : c;
}

/* Insertions, deletions, replacements and swaps of neighbours (optimal string alignment); case and
 * the choice of '-' or '_' cost nothing. */
static int edit_distance(const char *a, const char *b)
{
    int rows[3][WORD_MAX + 1];
    int *before = rows[0], *last = rows[1], *now = rows[2];
    int n = (int)strlen(a), m = (int)strlen(b);
    for (int j = 0; j <= m; j++)
        last[j] = j;
    for (int i = 1; i <= n; i++) {
        now[0] = i;
        for (int j = 1; j <= m; j++) {
            int differ = lower(a[i - 1]) != lower(b[j - 1]);
            now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + differ);
            bool swapped =
                i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]);
            if (swapped && before[j - 2] + 1 < now[j])
                now[j] = before[j - 2] + 1;
        }
        int *oldest = before;
        before = last, last = now, now = oldest;
    }
    return last[m];
}

struct hl_nearest hl_nearest_init(const char *text)
{
    /* A third of the letters may be wrong, and at least two: "eagr", "bf_16". */
    int third = (int)(strnlen(text, WORD_MAX) / 3);
    return (struct hl_nearest){ .text = text, .distance = (third > 2 ? third : 2) + 1 };
}

void hl_nearest_offer(struct hl_nearest *nearest, const char *candidate)
{
    if (strlen(nearest->text) > WORD_MAX || strlen(candidate) > WORD_MAX)
        return;
    int distance = edit_distance(nearest->text, candidate);
    /* Nothing of a short word must be left over: "x" is not a misspelt "pc". */
    if (distance < nearest->distance && distance < (int)strlen(candidate) &&
        distance < (int)strlen(nearest->text)) {
        nearest->best = candidate;
        nearest->distance = distance;
    }
}

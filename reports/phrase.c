/* Wording and line breaks of the texts for people. */
#include "phrase.h"
#include <string.h>
#include "../framework/scenario/text.h"
#include "../framework/scenario/words.h"

static const char *comma(const char *text) { return *text ? ", " : ""; }

void hl_phrase_culprit(const struct hl_culprit *c, char *text, size_t size)
{
    text[0] = '\0';
    if (c->rank >= 0)
        hl_text_add(text, size, "rank %d", c->rank);
    if (c->call >= 0)
        hl_text_add(text, size, "%scall %lld", comma(text), (long long)c->call);
    if (c->graph >= 0)
        hl_text_add(text, size, "%sgraph %lld", comma(text), (long long)c->graph);
    if (c->graph >= 0 && c->node >= 0)
        hl_text_add(text, size, " node %lld", (long long)c->node);
    if (c->graph >= 0 && c->replay >= 0)
        hl_text_add(text, size, " replay %lld", (long long)c->replay);
    if (c->stage >= 0)
        hl_text_add(text, size, "%sstage %s", comma(text), hl_words_name(&hl_words_stages, c->stage));
    if (c->buffer >= 0)
        hl_text_add(text, size, "%sbuffer %d", comma(text), c->buffer);
    if (c->slot_token >= 0 && c->slot_rank >= 0)
        hl_text_add(text, size, "%sslot of token %lld from rank %d", comma(text), (long long)c->slot_token,
                    c->slot_rank);
    else if (c->slot_token >= 0)
        hl_text_add(text, size, "%sslot of token %lld", comma(text), (long long)c->slot_token);
    else if (c->slot_rank >= 0)
        hl_text_add(text, size, "%sslot of rank %d", comma(text), c->slot_rank);
    if (c->word >= 0)
        hl_text_add(text, size, "%sword %lld", comma(text), (long long)c->word);
    if (c->value >= 0)
        hl_text_add(text, size, "%s0x%08x", c->word >= 0 ? " = " : comma(text), (unsigned)c->value);
}

void hl_phrase_expected(const struct hl_case *c, const struct hl_case_result *result, char *text, size_t size)
{
    const struct hl_expectation *e = &c->expected;
    if (result->verdict != e->verdict)
        snprintf(text, size, "%s", hl_words_name(&hl_words_verdicts, e->verdict));
    else if (e->cause >= 0 && (int)result->finding.cause != e->cause)
        snprintf(text, size, "cause %s", hl_cause_name((enum hl_cause)e->cause));
    else
        snprintf(text, size, "rate %g to %g", e->rate_min, e->rate_max);
}

void hl_write_wrapped(FILE *out, const char *text, int column, int indent, int columns)
{
    bool first = true;
    while (*text) {
        text += strspn(text, " \n");
        const int length = (int)strcspn(text, " \n");
        if (length == 0)
            break;
        if (!first && column + 1 + length > columns) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
            first = true;
        }
        fprintf(out, "%s%.*s", first ? "" : " ", length, text);
        column += length + !first;
        first = false;
        text += length;
    }
    fputc('\n', out);
}

/* Holds the answers of a search against what the files expect of a run.
 *
 * A file says how runs of its cases end, and a search says it of all schedules: the two agree, unless the
 * case is about something that no search sees (how long things take, say). That is told from a plain
 * difference. */
#include "explore.h"
#include <stdio.h>

bool hl_explore_is_as_expected(const struct hl_explore_found *f)
{
    switch (f->c->expected.verdict) {
    case HL_VERDICT_HANG: return f->search.answer == HL_ANSWER_HANG;
    case HL_VERDICT_CORRUPT: return f->search.answer == HL_ANSWER_CORRUPT;
    case HL_VERDICT_CRASH: return false; /* no search knows addresses */
    default: return f->search.answer == HL_ANSWER_PROVEN_FREE;
    }
}

void hl_explore_tally_add(struct hl_explore_tally *t, const struct hl_explore_found *f)
{
    t->cases++;
    if (hl_explore_is_as_expected(f))
        t->ok++;
    else if (f->search.answer == HL_ANSWER_BOUND_REACHED)
        t->undecided++;
    else if (f->search.answer == HL_ANSWER_PROVEN_FREE && f->search.cover.unseen[0])
        t->unseen++;
    else
        t->otherwise++;
}

void hl_explore_tally_write(const struct hl_explore_tally *t, bool json, int code)
{
    if (json)
        printf("{\"type\":\"summary\",\"cases\":%d,\"ok\":%d,\"otherwise\":%d,\"unseen\":%d,"
               "\"undecided\":%d,\"refused\":%d,\"exit\":%d}\n",
               t->cases, t->ok, t->otherwise, t->unseen, t->undecided, t->refused, code);
    else if (t->cases > 1)
        printf("%d cases: %d as their files expect; %d otherwise; %d whose cause no search sees; %d not "
               "decided; %d refused\n",
               t->cases, t->ok, t->otherwise, t->unseen, t->undecided, t->refused);
}

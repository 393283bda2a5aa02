/* What `hanglab explore` found, as text and as JSON. */
#include <jansson.h>
#include <string.h>
#include "../scenario/words.h"
#include "explore.h"

static const char *answer_name(enum hl_answer answer)
{
    static const char *const names[] = {
#define X(id, name, doc) [id] = name,
        HL_ANSWERS(X)
#undef X
    };
    return names[answer];
}

static const char *promise_name(enum hl_promise promise)
{
    static const char *const names[] = {
#define X(id, name, doc) [id] = name,
        HL_PROMISES(X)
#undef X
    };
    return names[promise];
}

/* A list under one heading. */
static void write_lines(const char *heading, const char *lines)
{
    for (const char *line = lines; *line; line = strchr(line, '\n') + 1)
        printf("  %s %.*s\n", line == lines ? heading : "          ", (int)strcspn(line, "\n"), line);
}

static const char *memory_name(const struct hl_cover *cover)
{
    return hl_words_name(&hl_words_memory, cover->spec.relaxed ? HL_MEMORY_RELAXED : HL_MEMORY_SC);
}

static void write_covered(const struct hl_explore_found *f)
{
    const struct hl_cover *cover = &f->search.cover;
    printf("  covered    %d ranks, %u CTA%s a rank at most; %s\n", cover->spec.ranks, f->search.ctas,
           f->search.ctas == 1 ? "" : "s", cover->calls);
    if (cover->rounds)
        printf("             %u rounds\n", cover->rounds);
    printf("             %s; memory %s, progress %s, PDL %s\n",
           f->search.walked.schedules && !f->search.states ? "orders drawn at random"
                                                           : "every order of every access",
           memory_name(cover), promise_name(cover->spec.promise), cover->spec.pdl ? "on" : "off");
    for (int i = 0; i < cover->n_payloads; i++)
        printf("  %s %s\n", i ? "          " : "payload   ", cover->payload_names[i]);
    write_lines("not       ", cover->notes);
    write_lines("unseen    ", cover->unseen);
}

static const char *ending(enum hl_answer under)
{
    return under == HL_ANSWER_PROVEN_FREE ? "ends" : under == HL_ANSWER_HANG ? "hangs" : "not decided";
}

/* Under which promises about CTAs the case ends; nothing where it does under none. */
static void write_frontier(const struct hl_portfolio *p)
{
    if (hl_frontier_weakest(&p->frontier) == HL_PROMISE_COUNT)
        return;
    for (int i = 0; i < HL_PROMISE_COUNT; i++)
        printf("%s%s %s", i ? ", " : "  progress   ", promise_name((enum hl_promise)i),
               ending(p->frontier.under[i]));
    printf("; room for %u CTAs on a GPU\n", p->cover.room);
}

static json_t *frontier_json(const struct hl_frontier *f)
{
    json_t *object = json_object();
    for (int i = 0; i < HL_PROMISE_COUNT; i++)
        json_object_set_new(object, promise_name((enum hl_promise)i), json_string(ending(f->under[i])));
    return object;
}

static void write_walked(const struct hl_walked *w)
{
    if (w->hangs) {
        printf("  searched   random schedules: the first that hangs has number %llu (%s)\n",
               (unsigned long long)w->number, hl_walk_name(w->kind));
        return;
    }
    printf("  searched   %llu random schedules, %llu steps, in %.3f s\n", (unsigned long long)w->schedules,
           (unsigned long long)w->steps, w->seconds);
    if (w->pct_confidence > 0)
        printf(
            "             no hang of depth <= 2 with %.4g %% (PCT: %llu schedules, %u threads, %u steps)\n",
            100 * w->pct_confidence, (unsigned long long)(w->schedules + 1) / 2, w->threads, w->events);
    if (w->miscounted)
        printf("             in %llu weighted ones ranks took other numbers of steps than foreseen\n",
               (unsigned long long)w->miscounted);
}

static void write_searched(const struct hl_explore_found *f)
{
    const struct hl_portfolio *p = &f->search;
    const bool walked = p->walked.schedules || p->walked.hangs;
    if (walked)
        write_walked(&p->walked);
    if (!p->states)
        return;
    printf("  %s   %llu states in %.3f s, %s; hashed to 128 bits: none missed but with p < %.0e\n",
           walked ? "        " : "searched", (unsigned long long)p->states, p->seconds,
           p->explored.reduced ? "independent steps in one order" : "all orders",
           (double)p->states * (double)p->states / 6.8e38 + 1e-30);
}

static void write_corrupt(const struct hl_explored *e)
{
    if (e->strays)
        printf("  %llu times a row was stored outside of the buffers.\n", (unsigned long long)e->strays);
    if (e->wrong_sums)
        printf("  %llu sums are not those of the rows that the ranks sent in these calls.\n",
               (unsigned long long)e->wrong_sums);
    putchar('\n');
}

static void write_proven(const struct hl_explore_found *f)
{
    printf("  No schedule of this hangs.");
    if (!hl_explore_is_as_expected(f))
        printf(" The file expects %s: %s", hl_words_name(&hl_words_verdicts, f->c->expected.verdict),
               f->search.cover.unseen[0]
                   ? "it comes of what no search sees."
                   : "it does not come from the order of steps,\n  or not at this size.");
    puts("\n");
}

static void write_answer(const struct hl_explore_found *f)
{
    const struct hl_explored *e = &f->search.explored;
    printf("%s: %s\n", f->c->id, answer_name(f->search.answer));
    write_covered(f);
    write_searched(f);
    write_frontier(&f->search);
    if (e->overwrites)
        printf("             %llu times a row was stored over one that nobody had cleared\n",
               (unsigned long long)e->overwrites);
    if (e->broken_polls)
        printf("  warning    %llu times a row was cleared under a wait: a poll pass is not one step here\n",
               (unsigned long long)e->broken_polls);
    if (f->search.answer == HL_ANSWER_HANG)
        printf("  %s\n\n  %u steps in %u turns:\n\n", f->story.sentence, f->story.steps, f->story.blocks);
    else if (f->search.answer == HL_ANSWER_PROVEN_FREE)
        write_proven(f);
    else if (f->search.answer == HL_ANSWER_CORRUPT)
        write_corrupt(e);
    else if (f->search.states)
        puts("  Nothing is proven: raise --states or --time-budget, or take fewer ranks or tokens.\n");
    else
        puts("  No hang was met; nothing is proven beyond that.\n");
}

static void write_step(const struct hl_explore_found *f, const struct hl_story_turn *turn)
{
    printf("    rank %d", turn->rank);
    if (f->search.space->ctas_max > 1)
        printf(" CTA %u", turn->cta);
    if (f->search.space->spec.streams > 1)
        printf(" stream %d", turn->stream);
    printf(", call %d%s: %s\n", turn->call, turn->kernel, turn->text);
}

static void write_decided(const struct hl_explore_found *f)
{
    if (!f->decided.is_decided) {
        if (f->decided.tried) /* the order is not what decides, as far as that shows */
            printf("  None of %u other schedules that were tried passes, either.\n\n", f->decided.tried);
        else
            puts("  No two neighbouring steps were found whose order decides.\n");
        return;
    }
    printf("  The order of two steps decides, behind %u others and with the same ones after them:\n",
           f->decided.common);
    write_step(f, &f->pair[0]);
    write_step(f, &f->pair[1]);
    printf("  In this order it hangs. If the second comes before the first, it passes: %s.\n\n",
           f->decided.repeats ? "the calls go on for ever" : "all calls end");
}

enum hl_status hl_explore_write_text(const struct hl_explore_found *f, struct hl_error *error)
{
    struct hl_story story;
    if (f->search.cover.spec.mutant != HL_MUTANT_NONE)
        printf("(a build with the mutant %s)\n",
               hl_words_name(&hl_words_mutants, f->search.cover.spec.mutant));
    write_answer(f);
    if (f->search.answer != HL_ANSWER_HANG)
        return HL_STATUS_OK;
    const enum hl_status status = hl_story_write(f->search.space, &f->search.path, stdout, &story, error);
    putchar('\n');
    if (!status && !f->search.path.again)
        write_decided(f);
    return status;
}

static json_t *step_json(const struct hl_story_turn *turn)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:s}", "rank", turn->rank, "stream", turn->stream, "cta",
                     (int)turn->cta, "call", turn->call, "steps", (int)turn->steps, "text", turn->text);
}

static void add_turn(void *user, const struct hl_story_turn *turn)
{
    json_array_append_new(json_object_get(user, "schedule"), step_json(turn));
}

static void add_wait(void *user, const char *sentence)
{
    json_array_append_new(json_object_get(user, "waits"), json_string(sentence));
}

static json_t *decided_json(const struct hl_explore_found *f)
{
    const struct hl_decided *d = &f->decided;
    if (!d->is_decided)
        return json_null();
    return json_pack("{s:o, s:o, s:i, s:s}", "first", step_json(&f->pair[0]), "second",
                     step_json(&f->pair[1]), "behind", (int)d->common, "else",
                     d->repeats ? "goes on for ever" : "ends");
}

/* The schedule, turn by turn, and what it leaves behind. */
static enum hl_status add_hang(json_t *object, const struct hl_explore_found *f, struct hl_error *error)
{
    const struct hl_story_listener listener = { add_turn, add_wait, object, UINT32_MAX };
    struct hl_story story;
    json_object_set_new(object, "steps", json_integer(f->story.steps));
    json_object_set_new(object, "turns", json_integer(f->story.blocks));
    json_object_set_new(object, "again", json_integer(f->search.path.again));
    json_object_set_new(object, "summary", json_string(f->story.sentence));
    json_object_set_new(object, "schedule", json_array());
    json_object_set_new(object, "waits", json_array());
    json_object_set_new(object, "decides", decided_json(f));
    return hl_story_tell(f->search.space, &f->search.path, &listener, &story, error);
}

static void add_walked(json_t *object, const struct hl_walked *w)
{
    if (!w->schedules && !w->hangs)
        return;
    json_object_set_new(object, "schedules", json_integer((json_int_t)w->schedules));
    if (w->hangs)
        json_object_set_new(object, "found_by", json_string(hl_walk_name(w->kind)));
    else
        json_object_set_new(object, "pct_confidence", json_real(w->pct_confidence));
}

json_t *hl_explore_refused_json(const struct hl_case *c, const struct hl_error *why)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:b, s:s}", "type", "explore", "id", c->id, "answer", "refused",
                     "expected", hl_words_name(&hl_words_verdicts, c->expected.verdict), "ok", 0, "why",
                     why->message);
}

/* The lines, each an item. */
static json_t *lines_json(const char *lines)
{
    json_t *array = json_array();
    for (const char *line = lines; *line; line = strchr(line, '\n') + 1)
        json_array_append_new(array, json_stringn(line, strcspn(line, "\n")));
    return array;
}

enum hl_status hl_explore_json(const struct hl_explore_found *f, json_t **ret_object, struct hl_error *error)
{
    const struct hl_portfolio *p = &f->search;
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:s, s:b, s:i, s:i, s:s, s:i, s:s, s:s, s:b, s:s, s:I, s:b, s:f}", "type", "explore",
        "id", f->c->id, "answer", answer_name(p->answer), "expected",
        hl_words_name(&hl_words_verdicts, f->c->expected.verdict), "ok", hl_explore_is_as_expected(f),
        "ranks", p->cover.spec.ranks, "ctas", (int)p->ctas, "calls", p->cover.calls, "rounds",
        (int)p->cover.rounds, "memory", memory_name(&p->cover), "progress",
        promise_name(p->cover.spec.promise), "pdl", p->cover.spec.pdl, "payload", p->payload, "states",
        (json_int_t)p->states, "reduced", p->explored.reduced, "wall_s", p->seconds + p->walked.seconds);
    if (!object)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a result");
    add_walked(object, &p->walked);
    json_object_set_new(object, "not_covered", lines_json(p->cover.notes));
    json_object_set_new(object, "unseen", lines_json(p->cover.unseen));
    if (p->frontier.is_known)
        json_object_set_new(object, "progress_frontier", frontier_json(&p->frontier));
    const enum hl_status status = p->answer == HL_ANSWER_HANG ? add_hang(object, f, error) : HL_STATUS_OK;
    if (status)
        json_decref(object);
    else
        *ret_object = object;
    return status;
}

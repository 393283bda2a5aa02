/* `hanglab explore`: proves that a configuration cannot hang, or hands over a way to hang it. */
#include <argp.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "../campaign/inputs.h"
#include "../scenario/words.h"
#include "../search/cover.h"
#include "../search/promela.h"
#include "../search/story.h"
#include "../search/walk.h"
#include "command.h"

static const char doc[] =
    "Goes through every schedule of the cases of scenario files: proves that none hangs, or shows one "
    "that does."
    "\vThe step sources themselves are searched, not a model of them: every order of the accesses of all "
    "CTAs of all ranks, under sequential consistency, with calls issued without end. Rows are one word, and "
    "token counts small; what was covered is printed with each answer.";

enum {
    KEY_RANKS = 256,
    KEY_TOKENS,
    KEY_ROUNDS,
    KEY_STATES,
    KEY_TIME,
    KEY_FULL,
    KEY_SCHEDULE,
    KEY_SAVE,
    KEY_FORMAT,
    KEY_RANDOM,
    KEY_SEED,
    KEY_EXPORT
};

static const struct argp_option options[] = {
    { "filter", 'f', "PATH=VALUE", 0, "only cases with this matrix parameter, or with this text in their id",
      0 },
    { "ranks", KEY_RANKS, "N", 0, "search with N ranks (2..16) instead of the file's", 0 },
    { "tokens", KEY_TOKENS, "N", 0, "at most N tokens, hence CTAs, a call (1..8)", 0 },
    { "rounds", KEY_ROUNDS, "N", 0, "go N times through the sizes instead of without end", 0 },
    { "states", KEY_STATES, "N", 0, "give up after N states (default 50000000)", 0 },
    { "time-budget", KEY_TIME, "SECONDS", 0, "give up a search after so long (default 60)", 0 },
    { "random", KEY_RANDOM, "N", 0, "take N random schedules instead of all; with --rounds (default 4)", 0 },
    { "seed", KEY_SEED, "N", 0, "of the random schedules (default 1)", 0 },
    { "export", KEY_EXPORT, "promela", 0, "write the case as a model for Spin instead of searching", 0 },
    { "no-reduction", KEY_FULL, NULL, 0, "visit every order of independent steps too", 0 },
    { "save-schedule", KEY_SAVE, "FILE", 0, "write the schedule of the first hang to FILE", 0 },
    { "schedule", KEY_SCHEDULE, "FILE", 0, "replay a saved schedule instead of searching", 0 },
    { "format", KEY_FORMAT, "text|json", 0, "json: one object a line", 0 },
    { 0 }
};

struct arguments {
    char **names, **filters;
    size_t n_names, n_filters;
    struct hl_cover_options cover;
    struct hl_explore_options explore;
    const char *schedule, *save;
    struct hl_walk_options walk; /* schedules 0: search all */
    bool exports;
    bool json;
};

static double number(struct argp_state *state, const char *option, const char *text, double min, double max)
{
    char *end;
    errno = 0;
    const double value = strtod(text, &end);
    if (errno || end == text || *end || !(value >= min && value <= max))
        argp_error(state, "--%s: expected a number from %g to %g, not '%s'", option, min, max, text);
    return value;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct arguments *a = state->input;
    switch (key) {
    case 'f': a->filters[a->n_filters++] = text; return 0;
    case KEY_RANKS: a->cover.ranks = (int)number(state, "ranks", text, 2, HL_RANKS_MAX); return 0;
    case KEY_TOKENS: a->cover.tokens_max = (uint32_t)number(state, "tokens", text, 1, 8); return 0;
    case KEY_ROUNDS: a->cover.rounds = (uint32_t)number(state, "rounds", text, 1, 40); return 0;
    case KEY_STATES: a->explore.states_max = (uint64_t)number(state, "states", text, 1, 4e9); return 0;
    case KEY_TIME: a->explore.seconds_max = number(state, "time-budget", text, 0.001, 1e7); return 0;
    case KEY_FULL: a->explore.reduce = false; return 0;
    case KEY_RANDOM: a->walk.schedules = (uint64_t)number(state, "random", text, 1, 1e15); return 0;
    case KEY_SEED: a->walk.seed = (uint64_t)number(state, "seed", text, 0, 1e15); return 0;
    case KEY_EXPORT:
        if (strcmp(text, "promela") != 0)
            argp_error(state, "--export: expected promela, not '%s'", text);
        a->exports = true;
        return 0;
    case KEY_SCHEDULE: a->schedule = text; return 0;
    case KEY_SAVE: a->save = text; return 0;
    case KEY_FORMAT:
        if (strcmp(text, "json") != 0 && strcmp(text, "text") != 0)
            argp_error(state, "--format: expected text or json, not '%s'", text);
        a->json = text[0] == 'j';
        return 0;
    case ARGP_KEY_ARG: a->names[a->n_names++] = text; return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which scenario file?"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* One case: what was found, over all its payloads. */
struct found {
    const struct hl_case *c;
    struct hl_cover cover;
    struct hl_explored explored; /* of the search that decided */
    struct hl_story story;
    const char *payload;
    uint64_t states;
    double seconds;
    uint32_t ctas;
    struct hl_walked walked; /* of random schedules, if there were any */
};

static const char *answer_name(enum hl_answer answer)
{
    static const char *const names[] = {
#define X(id, name, doc) [id] = name,
        HL_ANSWERS(X)
#undef X
    };
    return names[answer];
}

static void write_covered(const struct found *f)
{
    const struct hl_cover *cover = &f->cover;
    printf("  covered    %d ranks, %u CTA%s a rank at most; calls %s: %s\n", cover->spec.ranks, f->ctas,
           f->ctas == 1 ? "" : "s", cover->rounds ? "in rounds" : "without end", cover->calls);
    if (cover->rounds)
        printf("             %u rounds\n", cover->rounds);
    printf("             %s; memory sc, progress fair, PDL %s\n",
           f->walked.schedules && !f->states ? "orders drawn at random" : "every order of every access",
           cover->spec.pdl ? "on" : "off");
    for (int i = 0; i < cover->n_payloads; i++)
        printf("  %s %s\n", i ? "          " : "payload   ", cover->payload_names[i]);
    for (const char *line = cover->notes; *line; line = strchr(line, '\n') + 1)
        printf("  %s %.*s\n", line == cover->notes ? "not       " : "          ", (int)strcspn(line, "\n"),
               line);
}

static void write_searched(const struct found *f)
{
    const struct hl_walked *w = &f->walked;
    if (w->schedules) {
        printf("  searched   %llu random schedules, %llu steps, in %.3f s\n",
               (unsigned long long)w->schedules, (unsigned long long)w->steps, w->seconds);
        if (w->pct_confidence > 0)
            printf(
                "             no hang of depth <= 2 with %.6g %% (PCT: %llu schedules of at most %u steps)\n",
                100 * w->pct_confidence, (unsigned long long)w->schedules / 2, w->longest);
    }
    if (!f->states)
        return;
    printf("  %s   %llu states in %.3f s, %s; hashed to 128 bits: none missed but with p < %.0e\n",
           w->schedules ? "        " : "searched", (unsigned long long)f->states, f->seconds,
           f->explored.reduced ? "independent steps in one order" : "all orders",
           (double)f->states * (double)f->states / 6.8e38 + 1e-30);
}

static void write_found(const struct found *f)
{
    const struct hl_explored *e = &f->explored;
    printf("%s: %s\n", f->c->id, answer_name(e->answer));
    write_covered(f);
    write_searched(f);
    if (e->broken_polls)
        printf("  warning    %llu times a row was cleared under a wait: a poll pass is not one step here\n",
               (unsigned long long)e->broken_polls);
    if (e->answer == HL_ANSWER_HANG)
        printf("  %s\n", f->story.sentence);
    else if (e->answer == HL_ANSWER_PROVEN_FREE)
        puts("  No schedule of this hangs.\n");
    else if (f->states)
        puts("  Nothing is proven: raise --states or --time-budget, or take fewer ranks or tokens.\n");
    else
        puts("  No hang was met; nothing is proven beyond that.\n");
}

static void write_json(const struct found *f)
{
    const struct hl_explored *e = &f->explored;
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:i, s:i, s:s, s:i, s:s, s:s, s:b, s:s, s:I, s:b, s:f}", "type", "explore",
                  "id", f->c->id, "answer", answer_name(e->answer), "ranks", f->cover.spec.ranks, "ctas",
                  (int)f->ctas, "calls", f->cover.calls, "rounds", (int)f->cover.rounds, "memory", "sc",
                  "progress", "fair", "pdl", f->cover.spec.pdl, "payload", f->payload, "states",
                  (json_int_t)f->states, "reduced", e->reduced, "wall_s", f->seconds);
    if (object && e->answer == HL_ANSWER_HANG) {
        json_object_set_new(object, "steps", json_integer(f->story.steps));
        json_object_set_new(object, "turns", json_integer(f->story.blocks));
        json_object_set_new(object, "summary", json_string(f->story.sentence));
    }
    if (object)
        json_dumpf(object, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(object);
}

/* The hang that the search found, or one with fewer turns. */
static enum hl_status tell_hang(const struct arguments *a, struct hl_space *space, struct found *f,
                                struct hl_error *error)
{
    struct hl_path calm = { 0 };
    enum hl_status status = hl_explore_calmest(space, 400000, &calm, error);
    const struct hl_path *path = calm.n ? &calm : &f->explored.path;
    if (!status)
        status = hl_story_tell(space, path, NULL, &f->story, error);
    if (!status && !a->json) {
        write_found(f);
        printf("\n  %u steps in %u turns:\n\n", f->story.steps, f->story.blocks);
        status = hl_story_tell(space, path, stdout, &f->story, error);
        putchar('\n');
    }
    if (!status && a->save)
        status = hl_path_write(space, path, f->c->id, a->save, error);
    hl_path_finish(&calm);
    return status;
}

/* Random schedules: all that is asked for, or some ahead of a search that cannot be reduced. */
static enum hl_status walk(const struct arguments *a, struct hl_space *space, struct found *f,
                           struct hl_error *error)
{
    struct hl_walk_options o = a->walk;
    if (!o.schedules)
        o.schedules = 1000;
    o.steps_max = 1000000;
    o.seconds_max = a->explore.seconds_max;
    enum hl_status status = hl_walk(space, &o, &f->walked, error);
    f->seconds += f->walked.seconds;
    f->explored.answer = f->walked.hangs ? HL_ANSWER_HANG : HL_ANSWER_BOUND_REACHED;
    if (!status && f->walked.hangs) {
        f->explored.path = f->walked.path;
        status = tell_hang(a, space, f, error);
        hl_path_finish(&f->explored.path);
    }
    return status;
}

static enum hl_status search_payload(const struct arguments *a, struct found *f, int payload,
                                     struct hl_error *error)
{
    struct hl_space *space;
    struct hl_explore_options o = a->explore;
    f->cover.spec.payload = f->cover.payloads[payload];
    f->payload = f->cover.payload_names[payload];
    o.keep_path = true;
    enum hl_status status = hl_space_create(&f->cover.spec, &space, error);
    if (status)
        return status;
    f->ctas = space->ctas_max;
    if (a->walk.schedules || (f->cover.rounds && !hl_space_is_reducible(space)))
        status = walk(a, space, f, error);
    if (status || a->walk.schedules || f->walked.hangs) {
        hl_space_destroy(space);
        return status;
    }
    status = hl_explore(space, &o, &f->explored, error);
    if (!status) {
        f->states += f->explored.states;
        f->seconds += f->explored.seconds;
        if (f->explored.answer == HL_ANSWER_HANG)
            status = tell_hang(a, space, f, error);
        hl_path_finish(&f->explored.path);
    }
    hl_space_destroy(space);
    return status;
}

/* Exit code of a case: 1 an unexpected hang, 3 nothing certain. */
static int code_of(const struct found *f)
{
    const bool expected = f->c->expected.verdict == HL_VERDICT_HANG;
    switch (f->explored.answer) {
    case HL_ANSWER_HANG: return expected ? 0 : 1;
    case HL_ANSWER_PROVEN_FREE: return expected ? 3 : 0;
    default: return 3;
    }
}

static int explore_case(const struct arguments *a, const struct hl_case *c)
{
    struct found f = { .c = c };
    struct hl_error error;
    enum hl_status status = hl_cover_make(&c->config, &a->cover, &f.cover, &error);
    if (!status && f.cover.spec.mutant != HL_MUTANT_NONE && !a->json)
        printf("(a build with the mutant %s)\n", hl_words_name(&hl_words_mutants, f.cover.spec.mutant));
    for (int i = 0; !status && i < f.cover.n_payloads; i++) {
        status = search_payload(a, &f, i, &error);
        if (f.explored.answer != HL_ANSWER_PROVEN_FREE)
            break;
    }
    if (status)
        return hl_complain(&error);
    if (a->json)
        write_json(&f);
    else if (f.explored.answer != HL_ANSWER_HANG)
        write_found(&f);
    if (!a->json && f.explored.answer == HL_ANSWER_PROVEN_FREE && c->expected.verdict == HL_VERDICT_HANG)
        puts("  The file expects a hang: it does not come from the order of steps, or not at this size.\n");
    return code_of(&f);
}

static int replay(const struct arguments *a, const struct hl_case *c)
{
    struct hl_cover cover;
    struct hl_space *space;
    struct hl_path path = { 0 };
    struct hl_story story;
    struct hl_error error;
    enum hl_status status = hl_cover_make(&c->config, &a->cover, &cover, &error);
    if (status)
        return hl_complain(&error);
    status = hl_space_create(&cover.spec, &space, &error);
    if (status)
        return hl_complain(&error);
    status = hl_path_read(space, a->schedule, &path, &error);
    printf("%s, schedule %s\n\n", c->id, a->schedule);
    if (!status)
        status = hl_story_tell(space, &path, stdout, &story, &error);
    hl_path_finish(&path);
    hl_space_destroy(space);
    if (status)
        return hl_complain(&error);
    puts(story.hangs ? "\n  Nothing can go on: a hang." : "  Some CTA can still go on: no hang.");
    return story.hangs && c->expected.verdict != HL_VERDICT_HANG ? 1 : 0;
}

static int export_case(const struct arguments *a, const struct hl_case *c)
{
    struct hl_cover cover;
    struct hl_space *space;
    struct hl_error error;
    enum hl_status status = hl_cover_make(&c->config, &a->cover, &cover, &error);
    if (!status)
        status = hl_space_create(&cover.spec, &space, &error);
    if (status)
        return hl_complain(&error);
    status = hl_promela_write(space, c->id, stdout, &error);
    hl_space_destroy(space);
    return status ? hl_complain(&error) : 0;
}

static int explore_all(const struct arguments *a)
{
    struct hl_inputs inputs;
    struct hl_error error;
    if (hl_inputs_load(a->names, a->n_names, a->filters, a->n_filters, &inputs, &error) != HL_STATUS_OK)
        return hl_complain(&error);
    int code = 0;
    for (size_t i = 0; i < inputs.n_items; i++) {
        const struct hl_case *c = inputs.items[i].c;
        const int its = a->schedule ? replay(a, c) : a->exports ? export_case(a, c) : explore_case(a, c);
        if (its > 3 || (its && (code == 0 || its < code)))
            code = code > 3 ? code : its;
        fflush(stdout);
    }
    hl_inputs_finish(&inputs);
    return code;
}

int hl_command_explore(int argc, char **argv)
{
    static const struct argp argp = {
        .options = options, .parser = parse, .args_doc = "FILE...", .doc = doc
    };
    struct arguments a = { .names = calloc((size_t)argc, sizeof(char *)),
                           .filters = calloc((size_t)argc, sizeof(char *)),
                           .explore = { .reduce = true, .states_max = 50000000, .seconds_max = 60 },
                           .walk = { .seed = 1 } };
    if (!a.names || !a.filters)
        return hl_status_exit_code(HL_STATUS_MEMORY);
    argp_parse(&argp, argc, argv, 0, NULL, &a);
    if (a.walk.schedules && !a.cover.rounds)
        a.cover.rounds = 4;
    const int code = explore_all(&a);
    free(a.names);
    free(a.filters);
    return hl_finish_output(code);
}

/* `hanglab explain`: the story of a hang, told from the files of its bundle and nothing else. */
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "../../reports/phrase.h"
#include "../../reports/report.h"
#include "../../reports/table.h"
#include "../scenario/words.h"
#include "../verdict/proof.h"
#include "command.h"
#include "explain.h"

#define COLUMNS 96
#define INDENT 2

void hl_story_heading(const struct hl_story *story, const char *text)
{
    printf("\n%s%s%s\n", hl_colour_on(HL_COLOUR_DOUBT, story->colour), text, hl_colour_off(story->colour));
}

void hl_story_paragraph(const char *text)
{
    if (!text[0])
        return;
    printf("%*s", INDENT, "");
    hl_write_wrapped(stdout, text, INDENT, INDENT, COLUMNS);
}

void hl_story_say(const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    hl_story_paragraph(text);
}

void hl_story_say_of_rank(long long rank, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const int column = printf("%*srank %lld: ", INDENT, "", rank);
    hl_write_wrapped(stdout, text, column, 2 * INDENT + 2, COLUMNS);
}

const char *hl_time_text(long long ns, char text[32])
{
    hl_decode_time(ns > 0 ? (uint64_t)ns : 0, text, 32);
    return text;
}

/* The cause by its name; HL_CAUSE_NONE when the bundle names none that this build knows. */
static enum hl_cause cause_of(const json_t *verdict, const char *key)
{
    const struct hl_word *word = hl_words_find(&hl_words_causes, hl_json_text(verdict, key));
    return word ? (enum hl_cause)word->value : HL_CAUSE_NONE;
}

static void tell_title(const struct hl_story *story)
{
    const char *cause = hl_json_text(story->verdict, "cause");
    printf("%s\n%s%s%s%s%s", hl_json_text(story->verdict, "case"),
           hl_colour_on(HL_COLOUR_LOUD, story->colour), hl_json_text(story->verdict, "verdict"),
           cause[0] ? ": " : "", cause, hl_colour_off(story->colour));
    if (cause[0])
        printf(", %s", hl_json_text(story->verdict, "certainty"));
    putchar('\n');
    hl_story_paragraph(hl_json_text(story->verdict, "summary"));
}

static void tell_faults(const json_t *configuration)
{
    size_t i;
    json_t *fault;
    json_array_foreach(json_object_get(configuration, "faults"), i, fault)
        hl_story_say("Injected: %s on rank %lld, call %lld (%s).", hl_json_text(fault, "fault"),
                     hl_json_number(fault, "rank"), hl_json_number(fault, "call"),
                     json_is_true(json_object_get(fault, "fired")) ? "fired" : "has not fired");
}

static void tell_notes(const struct hl_story *story)
{
    size_t i;
    json_t *note;
    json_array_foreach(json_object_get(story->verdict, "notes"), i, note)
        hl_story_say("Resolved (%s): %s", hl_json_text(note, "severity"), hl_json_text(note, "text"));
}

static void tell_what_ran(const struct hl_story *story)
{
    const json_t *c = json_object_get(story->verdict, "configuration");
    const json_t *real = json_object_get(c, "real"), *executed = json_object_get(c, "executed");
    const bool piecewise = strcmp(hl_json_text(c, "mode"), "piecewise") == 0;
    char now[32];
    hl_story_heading(story, "What was run");
    hl_story_paragraph(hl_json_text(story->verdict, "title"));
    hl_story_say(
        "%lld ranks, %s (strategy %s), %s, hidden %lld, up to %lld tokens a call; schedule %s%s%s, rows %s.",
        hl_json_number(c, "ranks"), hl_json_text(c, "backend"), hl_json_text(c, "strategy"),
        hl_json_text(c, "dtype"), hl_json_number(real, "hidden"), hl_json_number(real, "tokens_max"),
        hl_json_text(c, "mode"), piecewise ? ", fusion " : "", piecewise ? hl_json_text(c, "fusion") : "",
        hl_json_text(c, "rows"));
    if (!json_equal((json_t *)real, (json_t *)executed))
        hl_story_say("Executed in reduced size: hidden %lld, up to %lld tokens a call.",
                     hl_json_number(executed, "hidden"), hl_json_number(executed, "tokens_max"));
    hl_story_say("Engine %s, run %lld, seed %lld; evidence taken %s into the run; results checked: %lld.",
                 hl_json_text(story->verdict, "engine"), hl_json_number(story->verdict, "run"),
                 hl_json_number(story->verdict, "seed"),
                 hl_time_text(hl_json_number(story->verdict, "time_ns"), now),
                 hl_json_number(story->verdict, "calls_checked"));
    tell_faults(c);
    tell_notes(story);
}

static void describe_call(const json_t *call, char *text, size_t size)
{
    int n =
        snprintf(text, size, "call %lld (site %lld, %s, %lld tokens, stream %lld",
                 hl_json_number(call, "call"), hl_json_number(call, "site"), hl_json_text(call, "protocol"),
                 hl_json_number(call, "tokens"), hl_json_number(call, "stream"));
    if (hl_json_number(call, "graph") >= 0 && n > 0 && (size_t)n < size)
        n += snprintf(text + n, size - (size_t)n, ", graph %lld node %lld replay %lld",
                      hl_json_number(call, "graph"), hl_json_number(call, "node"),
                      hl_json_number(call, "replay"));
    else if (n > 0 && (size_t)n < size)
        n += snprintf(text + n, size - (size_t)n, ", eager");
    const char *others = hl_json_text(call, "of_ranks");
    if (n > 0 && (size_t)n < size)
        snprintf(text + n, size - (size_t)n, "%s%s)", others[0] ? ", for the ranks " : "", others);
}

/* Each rank's oldest unfinished call: waiting if it has begun. */
static void tell_who_waits(const struct hl_story *story)
{
    size_t i;
    json_t *rank;
    hl_story_heading(story, "Who waits");
    json_array_foreach(json_object_get(story->verdict, "ranks"), i, rank)
    {
        const json_t *pending = json_object_get(rank, "pending"), *call = json_array_get(pending, 0);
        const json_t *residency = json_object_get(rank, "residency");
        char text[256], since[32], rest[64] = "";
        if (!call) {
            hl_story_say_of_rank((long long)i, "no call is pending");
            continue;
        }
        describe_call(call, text, sizeof text);
        const long long begun = hl_json_number(call, "begun_ns"), ctas = hl_json_number(residency, "ctas");
        if (json_array_size(pending) > 1)
            snprintf(rest, sizeof rest, "; %zu more call%s behind it", json_array_size(pending) - 1,
                     json_array_size(pending) > 2 ? "s" : "");
        if (begun < 0)
            hl_story_say_of_rank((long long)i, "%s has not begun%s", text, rest);
        else
            hl_story_say_of_rank((long long)i, "%s waits since it began at %s%s", text,
                                 hl_time_text(begun, since), rest);
        if (hl_json_text(call, "launched_by")[0])
            hl_story_say_of_rank((long long)i, "launched by %s", hl_json_text(call, "launched_by"));
        if (hl_json_number(residency, "started") >= 0 && hl_json_number(residency, "started") < ctas)
            hl_story_say_of_rank((long long)i, "only %lld of its %lld CTAs have started",
                                 hl_json_number(residency, "started"), ctas);
    }
}

/* Ranks whose calls of one number differ: the first place where their sequences part. */
static void tell_divergence(const struct hl_story *story)
{
    const json_t *divergence = json_object_get(story->verdict, "divergence");
    size_t i;
    json_t *rank;
    if (!divergence)
        return;
    hl_story_heading(story, "Where the ranks part");
    hl_story_say("Call %lld on workspace %lld is the first that is not the same on all ranks:",
                 hl_json_number(divergence, "call"), hl_json_number(divergence, "workspace"));
    json_array_foreach(json_object_get(divergence, "ranks"), i, rank)
    {
        const json_t *record = json_object_get(rank, "record");
        char text[256] = "has not issued it";
        if (record)
            describe_call(record, text, sizeof text);
        hl_story_say_of_rank((long long)i, "%s", text);
    }
}

/* Wrong whatever the numbers are: they may even agree. */
static bool tell_wrong_pairing(const json_t *wrong, const char *call)
{
    const char *kind = hl_json_text(wrong, "kind");
    const long long rank = hl_json_number(wrong, "rank"), source = hl_json_number(wrong, "source");
    if (strcmp(kind, "own-only") == 0) {
        hl_story_say("Rank %lld, %s: what it gave equals its own rows plus the residual, so it summed nobody "
                     "else's; %lld elements of this call are wrong.",
                     rank, call, hl_json_number(wrong, "count"));
        return true;
    }
    if (source < 0)
        return false;
    if (strcmp(kind, "mispaired") == 0)
        hl_story_say(
            "Rank %lld, %s: it summed rows of calls that do not belong together, because rank %lld's "
            "call of this number is another one.",
            rank, call, source);
    else if (strcmp(kind, "early") == 0)
        hl_story_say(
            "Rank %lld, %s: it ended although rank %lld had not sent its rows, so what it summed was "
            "there before.",
            rank, call, source);
    else
        return false;
    return true;
}

static void tell_wrong(const struct hl_story *story)
{
    const json_t *wrong = json_object_get(story->verdict, "wrong");
    if (!wrong)
        return;
    char text[256];
    hl_story_heading(story, "What is wrong");
    describe_call(json_object_get(wrong, "record"), text, sizeof text);
    if (tell_wrong_pairing(wrong, text))
        return;
    hl_story_say("Rank %lld, %s: element %lld of token %lld in the %s output is %s, and should be %s; %lld "
                 "elements of "
                 "this call are wrong (kind: %s).",
                 hl_json_number(wrong, "rank"), text, hl_json_number(wrong, "element"),
                 hl_json_number(wrong, "token"), hl_json_text(wrong, "output"), hl_json_text(wrong, "got"),
                 hl_json_text(wrong, "want"), hl_json_number(wrong, "count"), hl_json_text(wrong, "kind"));
    if (hl_json_number(wrong, "source") >= 0)
        hl_story_say("It fits what rank %lld had sent for call %lld.", hl_json_number(wrong, "source"),
                     hl_json_number(wrong, "source_call"));
}

/* The state of the protocol on each rank, as its own flags say. */
static void tell_flags(const struct hl_story *story)
{
    size_t i;
    json_t *workspace, *value;
    const char *key;
    hl_story_heading(story, "Flags of each rank");
    json_array_foreach(json_object_get(story->flags, "workspaces"), i, workspace)
    {
        char text[512] = "";
        int n = 0;
        json_object_foreach(json_object_get(workspace, "flags"), key, value)
        {
            if (n >= 0 && (size_t)n < sizeof text && strncmp(key, "clear_bytes_", 12) != 0)
                n += snprintf(text + n, sizeof text - (size_t)n, "; %s %lld", key,
                              (long long)json_integer_value(value));
        }
        hl_story_say_of_rank(hl_json_number(workspace, "rank"),
                             "workspace %lld: %lld calls enqueued, %lld begun, %lld ended%s",
                             hl_json_number(workspace, "workspace"), hl_json_number(workspace, "enqueued"),
                             hl_json_number(workspace, "begun"), hl_json_number(workspace, "ended"), text);
    }
}

/* Edges of the wait-for graph, and whether they can end. */
static void tell_proof(const struct hl_story *story)
{
    const json_t *waits = json_object_get(story->verdict, "waits"), *edges = json_object_get(waits, "edges");
    size_t i;
    json_t *edge, *host;
    if (json_array_size(edges) == 0 && json_array_size(json_object_get(waits, "hosts")) == 0)
        return;
    hl_story_heading(story, "Who waits for whom");
    /* Where nothing can run any more, what these edges leave open is closed. */
    const bool quiescent = json_is_true(json_object_get(story->verdict, "quiescent"));
    json_array_foreach(edges, i, edge)
    {
        const bool open = strcmp(hl_json_text(edge, "end"), hl_edge_end_name(HL_EDGE_OPEN)) == 0;
        hl_story_say_of_rank(hl_json_number(edge, "rank"), "in call %lld, waits for rank %lld (%s): %s",
                             hl_json_number(edge, "call"), hl_json_number(edge, "source"),
                             hl_json_text(edge, "stage"),
                             open && quiescent ? "its source has not stored it and no step of it can run"
                                               : hl_json_text(edge, "why"));
    }
    json_array_foreach(json_object_get(waits, "hosts"), i, host)
    {
        char source[32] = "";
        if (hl_json_number(host, "source") >= 0)
            snprintf(source, sizeof source, " (rank %lld)", hl_json_number(host, "source"));
        hl_story_say_of_rank(hl_json_number(host, "rank"), "its host: %s%s", hl_json_text(host, "why"),
                             source);
    }
    if (json_array_size(json_object_get(waits, "stuck")) > 0)
        hl_story_say("So %zu of %zu ranks can never go on, whatever the others do.",
                     json_array_size(json_object_get(waits, "stuck")),
                     json_array_size(json_object_get(story->verdict, "ranks")));
}

static void tell_certainty(const struct hl_story *story)
{
    const enum hl_cause cause = cause_of(story->verdict, "cause"),
                        other = cause_of(story->verdict, "other_cause");
    const char *certainty = hl_json_text(story->verdict, "certainty");
    const struct hl_word *word = hl_words_find(&hl_words_certainties, certainty);
    const bool quiescent = json_is_true(json_object_get(story->verdict, "quiescent"));
    char stalled[32];
    if (cause == HL_CAUSE_NONE)
        return;
    hl_story_heading(story, "How certain");
    if (strcmp(hl_json_text(story->verdict, "verdict"), "hang") == 0)
        hl_story_say("%s: %s.%s", certainty, word ? word->doc : "?",
                     quiescent ? " The simulator saw that no step of any agent is enabled." : "");
    else if (strcmp(hl_json_text(story->verdict, "verdict"), "crash") == 0)
        hl_story_say("%s: the device, or the system, reported it itself.", certainty);
    else
        hl_story_say("%s: the result was recomputed in float64 from what every rank had put in.", certainty);
    if (!quiescent && hl_json_number(story->verdict, "stalled_ns") > 0)
        hl_story_say("No rank had made progress for %s when the evidence was taken.",
                     hl_time_text(hl_json_number(story->verdict, "stalled_ns"), stalled));
    hl_story_say("%s means: %s", hl_cause_name(cause), hl_cause_meaning(cause));
    hl_story_say("What decides it: %s", hl_cause_evidence(cause));
    if (other == HL_CAUSE_NONE)
        return;
    hl_story_say("Not excluded by this evidence: %s (%s)", hl_cause_name(other), hl_cause_meaning(other));
    hl_story_say("What would tell it apart: %s", hl_cause_evidence(other));
}

static void tell_hint(const struct hl_story *story)
{
    const enum hl_cause cause = cause_of(story->verdict, "cause");
    if (cause == HL_CAUSE_NONE)
        return;
    hl_story_heading(story, "What to do");
    hl_story_paragraph(hl_cause_hint(cause));
    if (hl_cause_incidents(cause)[0])
        hl_story_say("Seen before: %s", hl_cause_incidents(cause));
}

static void tell_remedy(const struct hl_story *story)
{
    tell_hint(story);
    hl_story_heading(story, "Run it again");
    printf("%*ssh '%s/repro.sh'\n", INDENT, "", story->path);
}

/* Known collectives leave the same evidence as a run, but for ops: their program is not known. */
static void tell_world(const struct hl_story *story)
{
    tell_who_waits(story);
    hl_story_tell_for_what(story);
    hl_story_tell_maps(story);
    tell_divergence(story);
    tell_flags(story);
    tell_proof(story);
}

/* The stacks of processes that were watched are whole: the bundle has them, the story only says so. */
static void tell_watched(const struct hl_story *story)
{
    char stalled[32];
    tell_title(story);
    hl_story_heading(story, "What was watched");
    hl_story_paragraph(hl_json_text(story->verdict, "title"));
    hl_story_tell_collectives(story);
    if (json_array_size(json_object_get(story->verdict, "ranks")) > 0)
        tell_world(story);
    hl_story_tell_devices(story);
    hl_story_tell_gpu_core(story);
    hl_story_heading(story, "What each process's host was doing");
    for (size_t i = 0; i < json_array_size(json_object_get(story->verdict, "devices")); i++) {
        hl_story_say("Process %zu:", i);
        hl_story_tell_stack(story, (long long)i);
    }
    hl_story_heading(story, "How certain");
    hl_story_say("%s. No progress for %s when the evidence was taken.",
                 hl_json_text(story->verdict, "certainty"),
                 hl_time_text(hl_json_number(story->verdict, "stalled_ns"), stalled));
    if (hl_json_number(story->verdict, "resumed_ns") > 0)
        hl_story_say("It went on, %s after its last progress: this was slow, and not a hang.",
                     hl_time_text(hl_json_number(story->verdict, "resumed_ns"), stalled));
    if (json_array_size(json_object_get(story->verdict, "ranks")) > 0)
        tell_hint(story);
}

static void tell(const struct hl_story *story)
{
    const bool hang = strcmp(hl_json_text(story->verdict, "verdict"), "hang") == 0;
    tell_title(story);
    tell_what_ran(story);
    if (hl_json_text(story->verdict, "crash")[0]) {
        hl_story_heading(story, "Why it crashed");
        hl_story_paragraph(hl_json_text(story->verdict, "crash"));
    }
    tell_wrong(story);
    if (hang) {
        tell_who_waits(story);
        hl_story_tell_for_what(story);
        hl_story_tell_maps(story);
    }
    tell_divergence(story);
    hl_story_tell_hosts(story);
    hl_story_tell_gpu_core(story);
    hl_story_tell_devices(story);
    tell_flags(story);
    tell_proof(story);
    tell_certainty(story);
    tell_remedy(story);
}

/* A file of the bundle that must be there and be hanglab's. */
static enum hl_status load(const char *folder, const char *name, json_t **ret_json, struct hl_error *error)
{
    char path[PATH_MAX];
    json_error_t why;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return hl_fail(error, HL_STATUS_USAGE, "%s: the path is too long", folder);
    json_t *json = json_load_file(path, JSON_REJECT_DUPLICATES, &why);
    if (!json)
        return hl_fail(error, HL_STATUS_USAGE,
                       "%s is not a whole evidence bundle: %s%s%s; a bundle is a folder "
                       "OUT/evidence/CASE/RUN that `hanglab run` made",
                       folder, why.line > 0 ? name : "", why.line > 0 ? ": " : "", why.text);
    if (hl_json_number(json, "hanglab") != 1) {
        json_decref(json);
        return hl_fail(error, HL_STATUS_USAGE, "%s: this is not hanglab's, or of another version of it",
                       path);
    }
    *ret_json = json;
    return HL_STATUS_OK;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct hl_story *story = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (story->path)
            argp_error(state, "one bundle at a time");
        story->path = text;
        return 0;
    case ARGP_KEY_NO_ARGS: argp_error(state, "which bundle? `hanglab run` names them"); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

int hl_command_explain(int argc, char **argv)
{
    static const struct argp argp = { .parser = parse,
                                      .args_doc = "BUNDLE",
                                      .doc = "Tells the story of one run from its evidence bundle: who "
                                             "waits, for which word, what is in it, why it never "
                                             "counts as arrived, and what to do." };
    struct hl_story story = { .colour = hl_report_wants_colour(stdout) };
    struct hl_error error;
    argp_parse(&argp, argc, argv, 0, NULL, &story);
    int code = 0;
    if (load(story.path, "verdict.json", &story.verdict, &error) != HL_STATUS_OK ||
        load(story.path, "flags.json", &story.flags, &error) != HL_STATUS_OK ||
        load(story.path, "slots.json", &story.slots, &error) != HL_STATUS_OK)
        code = hl_complain(&error);
    else if (strcmp(hl_json_text(story.verdict, "engine"), "watch") == 0)
        tell_watched(&story);
    else
        tell(&story);
    json_decref(story.verdict);
    json_decref(story.flags);
    json_decref(story.slots);
    return hl_finish_output(code);
}

/* Replays a schedule and tells it: what each CTA does in a row, and what the last waits look at. */
#include "story.h"
#include <stdlib.h>
#include <string.h>
#include "../scenario/text.h"
#include "lasso.h"

/* Who stored and who cleared a word last. */
struct history {
    int32_t stored_call, cleared_call; /* -1: never */
    uint32_t stored_at, cleared_at;    /* step */
    int8_t stored_by;
};

/* What a CTA did in a row. */
struct block {
    uint32_t agent;
    int rank, call;
    bool delivers;                  /* what it did was to reach its peers */
    uint32_t stored_to, cleared_of; /* sets of ranks */
    uint32_t half_to;               /* of `stored_to`: only a half of every 16 bytes was seen there */
    uint32_t flags_to;
    int stored_buffer, cleared_buffer;
    bool fills, arrives, reads, releases, rotates, ends;
    uint32_t first; /* step */
    const char *kernel;
};

struct teller {
    struct hl_space *space;
    const struct hl_story_listener *listener; /* or NULL */
    struct history *history[HL_SPACE_WORKSPACES_MAX][HL_RANKS_MAX];
    int calls_done[HL_RANKS_MAX][HL_SPACE_STREAMS_MAX];
    struct block block;
    uint32_t at, again_from; /* step; that the cycle of a lasso begins with */
    struct hl_story story;
};

static bool is_last_kernel(const struct hl_space_call *call, uint32_t which)
{
    return !call->fills && (int)which + 1 == hl_protocol_kernels(call->protocol).count;
}

/* Number of the agent's call in its stream. */
static int call_of(const struct teller *t, uint32_t agent)
{
    const struct hl_space_agent *a = &t->space->agent[agent];
    int call = t->calls_done[a->rank][a->stream];
    for (const struct hl_space_kernel *k = a->its_kernel - a->kernel; k < a->its_kernel; k++)
        call += is_last_kernel(&t->space->spec.program[a->rank][a->stream].calls[k->call], k->which);
    return call;
}

static int buffer_of(const struct hl_layout *l, uint32_t at)
{
    return at - l->buffers_at < hl_buffers_words(l) ? (int)hl_buffer_of(l, at) : -1;
}

/* Adds what a turn did, behind a semicolon if it did something before. */
#define DID(turn, ...) \
    do { \
        hl_text_add((turn)->text, sizeof(turn)->text, "%s", (turn)->text[0] ? "; " : ""); \
        hl_text_add((turn)->text, sizeof(turn)->text, __VA_ARGS__); \
    } while (0)

static void add_set(struct hl_story_turn *turn, uint32_t set)
{
    const char *between = " ";
    for (int rank = 0; set >> rank; rank++)
        if (set >> rank & 1) {
            hl_text_add(turn->text, sizeof turn->text, "%s%d", between, rank);
            between = ", ";
        }
}

static void say_what(const struct block *b, struct hl_story_turn *turn)
{
    if (b->fills)
        DID(turn, "fills its workspace with sentinels");
    if (b->stored_to) {
        DID(turn, b->delivers ? b->half_to ? "half of its rows reaches" : "its rows reach" : "stores to");
        add_set(turn, b->stored_to);
        if (b->stored_buffer >= 0)
            hl_text_add(turn->text, sizeof turn->text, " in buffer %d", b->stored_buffer);
    }
    if (b->releases && !b->delivers)
        DID(turn, "raises its flags");
    if (b->flags_to) {
        DID(turn, "its flags reach");
        add_set(turn, b->flags_to);
    }
    if (b->cleared_of) {
        DID(turn, "clears buffer %d, rows of", b->cleared_buffer);
        add_set(turn, b->cleared_of);
    }
    if (b->arrives)
        DID(turn, "arrives");
    if (b->reads)
        DID(turn, "has all rows");
    if (b->rotates)
        DID(turn, "rotates");
    if (b->ends)
        DID(turn, "ends");
    if (!turn->text[0])
        DID(turn, "begins");
}

static void end_block(struct teller *t)
{
    const struct block *b = &t->block;
    if (b->agent == UINT32_MAX)
        return;
    t->story.blocks++;
    if (!t->listener)
        return;
    struct hl_story_turn turn = { .rank = b->rank,
                                  .stream = t->space->agent[b->agent].stream,
                                  .call = b->call,
                                  .cta = t->space->agent[b->agent].cta,
                                  .first = b->first,
                                  .steps = t->at - b->first,
                                  .kernel = b->kernel };
    say_what(b, &turn);
    t->listener->turn(t->listener->user, &turn);
}

/* Which rank's row a word of a buffer is for; -1: nobody's in particular. */
static int source_of(const struct hl_space_call *call, const struct hl_layout *l, uint32_t at)
{
    const uint32_t offset = (at - l->buffers_at) % (l->words_per_buffer + l->gap), ranks = (uint32_t)l->ranks;
    const uint32_t row = offset / l->row_words;
    switch (call->protocol) {
    case HL_MNNVL_ONESHOT: return (int)(row % ranks);
    case HL_MNNVL_TWOSHOT: return offset < l->words_per_buffer / 2 ? (int)(row % ranks) : -1;
    case HL_TRTLLM_ONESHOT: return (int)(row / call->tokens);
    default: return -1;
    }
}

static bool is_flags(const struct hl_layout *l, uint32_t at)
{
    return l->family == HL_FAMILY_TRTLLM && at >= l->barrier_at;
}

/* A store was left to the memory: it is not seen yet. */
static void note_sent(const struct teller *t, struct block *b)
{
    const struct hl_layout *l = &t->space->layout[t->space->touched_workspace];
    const struct hl_store *sent = &t->space->sent;
    if (!sent->count)
        return;
    b->releases |= is_flags(l, sent->at);
    if (is_flags(l, sent->at))
        return;
    b->stored_to |= 1u << sent->rank;
    b->stored_buffer = buffer_of(l, sent->at);
}

static void note_store(struct teller *t, struct block *b, const struct hl_space_call *call)
{
    const struct hl_space *s = t->space;
    const struct hl_layout *l = &s->layout[s->touched_workspace];
    const struct hl_space_agent *a = &s->agent[b->agent];
    const struct hl_store *store = &s->store;
    if (!store->count || store->at >= s->live[s->touched_workspace])
        return;
    const uint32_t row =
        store->at - (a->flight && !is_flags(l, store->at) ? 2 * hl_space_half_of(s, b->agent) : 0);
    struct history *h = &t->history[s->touched_workspace][store->rank][row];
    const int buffer = buffer_of(l, store->at);
    if (store->clears) {
        const int source = source_of(call, l, store->at);
        b->cleared_of |= source < 0 ? 0 : 1u << source;
        b->cleared_buffer = buffer;
        h->cleared_call = b->call;
        h->cleared_at = t->at;
    } else if (buffer >= 0 || store->at - l->comm_at < l->buffers_at - l->comm_at) {
        b->stored_to |= 1u << store->rank;
        b->half_to &= ~(1u << store->rank);
        b->half_to |= a->flight && a->flight->halves ? 1u << store->rank : 0;
        b->stored_buffer = buffer;
        if (!a->flight || h->stored_call != b->call || h->stored_by != b->rank)
            h->stored_at = t->at; /* of the first half, if it comes in two */
        h->stored_call = b->call;
        h->stored_by = (int8_t)b->rank;
    } else {
        b->releases |= is_flags(l, store->at);
        b->flags_to |= a->flight ? 1u << store->rank : 0;
    }
}

/* Does a turn of its own begin at this step? */
static bool is_alone(const struct teller *t)
{
    const uint32_t at = t->listener ? t->listener->alone : UINT32_MAX;
    return (t->listener && t->listener->each) || (at != UINT32_MAX && t->at - at <= 2);
}

static bool take_step(struct teller *t, uint32_t agent)
{
    struct hl_space *s = t->space;
    const struct hl_space_agent *a = &s->agent[agent];
    if (!hl_space_is_running(a))
        return false;
    const struct hl_space_call call = *hl_space_call(a);
    struct hl_space_kernel before[HL_SPACE_KERNELS_MAX];
    memcpy(before, a->its_kernel - a->kernel, (size_t)s->kernels * sizeof *before);
    const int number = call_of(t, agent);
    const uint32_t which = a->its_kernel->which;
    if (!hl_space_step(s, agent))
        return false;
    const uint32_t cta = hl_space_cta_of(s, agent);
    if (t->block.agent == UINT32_MAX || hl_space_cta_of(s, t->block.agent) != cta ||
        t->block.delivers != (a->flight != NULL) || t->at == t->again_from || t->block.ends ||
        t->block.call != number || is_alone(t)) {
        end_block(t);
        t->block = (struct block){ .agent = agent,
                                   .rank = a->rank,
                                   .call = number,
                                   .first = t->at,
                                   .kernel = which ? ", norm" : "",
                                   .delivers = a->flight != NULL };
    }
    struct block *b = &t->block;
    b->agent = agent;
    b->fills |= call.fills;
    for (uint32_t i = 0; i < s->footprint.n; i++) {
        const struct hl_touch *touch = &s->footprint.touch[i];
        const bool is_flag = touch->at < s->layout[s->touched_workspace].comm_at;
        b->reads |= touch->kind == HL_TOUCH_LOAD && !is_flag;
        b->rotates |= touch->kind == HL_TOUCH_STORE && is_flag && !call.fills;
        b->arrives |= touch->kind == HL_TOUCH_ADD;
    }
    note_store(t, b, &call);
    note_sent(t, b);
    t->at++;
    for (int i = 0; i < s->retired; i++)
        t->calls_done[a->rank][a->stream] +=
            is_last_kernel(&s->spec.program[a->rank][a->stream].calls[before[i].call], before[i].which);
    b->ends = !hl_space_is_running(a) || s->retired;
    return true;
}

/* Is every kernel of the rank in a later call, or ended? */
static bool has_gone_past(const struct teller *t, int rank, int call)
{
    for (uint32_t agent = 0; rank >= 0 && agent < t->space->ctas; agent++)
        if (t->space->agent[agent].rank == rank && hl_space_is_running(&t->space->agent[agent]) &&
            call_of(t, agent) <= call)
            return false;
    return true;
}

/* One sentence about the row that a wait looks at in vain. */
static void explain_row(struct teller *t, const struct hl_space_agent *a, const struct hl_space_call *call,
                        uint32_t at)
{
    const struct hl_space *s = t->space;
    const struct hl_layout *l = &s->layout[call->workspace];
    const struct history *h = &t->history[call->workspace][a->rank][at];
    const int source = source_of(call, l, at);
    hl_text_add(t->story.sentence, sizeof t->story.sentence, " waits for the row%s",
                source < 0 ? "" : " of rank ");
    if (source >= 0)
        hl_text_add(t->story.sentence, sizeof t->story.sentence, "%d", source);
    hl_text_add(t->story.sentence, sizeof t->story.sentence, " in buffer %d;", buffer_of(l, at));
    uint32_t word = s->words[call->workspace][a->rank][at];
    for (uint32_t i = 1; i < l->row_words && !hl_word_missing(l, word, s->spec.compare); i++)
        word = s->words[call->workspace][a->rank][at + i];
    const int mine = call_of(t, (uint32_t)(a - s->agent));
    if (h->stored_call < 0 || h->stored_call < mine)
        hl_text_add(t->story.sentence, sizeof t->story.sentence,
                    source < 0 ? " it was not stored." : " rank %d %s.", source,
                    has_gone_past(t, source, mine) ? "has gone on and will never store it"
                                                   : "has not stored it yet");
    else if (word != hl_sentinel_word(l))
        hl_text_add(t->story.sentence, sizeof t->story.sentence,
                    " rank %d stored it, but its value 0x%08x is taken for \"not arrived\".", h->stored_by,
                    word);
    else if (h->cleared_at > h->stored_at)
        hl_text_add(
            t->story.sentence, sizeof t->story.sentence,
            " rank %d had stored it in its call %d, and then rank %d itself cleared it, in its call %d.",
            h->stored_by, h->stored_call, a->rank, h->cleared_call);
    else
        hl_text_add(t->story.sentence, sizeof t->story.sentence,
                    " rank %d had stored it in its call %d, but it is gone.", h->stored_by, h->stored_call);
}

static void explain_wait(struct teller *t, uint32_t agent)
{
    struct hl_space *s = t->space;
    const struct hl_space_agent *a = &s->agent[agent];
    const struct hl_space_call *call = hl_space_call(a);
    const struct hl_layout *l = &s->layout[call->workspace];
    t->story.sentence[0] = 0;
    hl_text_add(t->story.sentence, sizeof t->story.sentence, "Rank %d", a->rank);
    if (s->ctas_max > 1)
        hl_text_add(t->story.sentence, sizeof t->story.sentence, " CTA %u", a->cta);
    hl_text_add(t->story.sentence, sizeof t->story.sentence, ", call %d,", call_of(t, agent));
    const struct hl_touch *last = s->footprint.n ? &s->footprint.touch[s->footprint.n - 1] : NULL;
    if (s->is_crowded && !a->its_cta->started)
        hl_text_add(t->story.sentence, sizeof t->story.sentence, " cannot start: its GPU has no room.");
    else if (!last)
        hl_text_add(t->story.sentence, sizeof t->story.sentence, " waits for the kernel before it.");
    else if (buffer_of(l, last->at) >= 0)
        explain_row(t, a, call, last->at);
    else if (last->at >= l->barrier_at)
        hl_text_add(t->story.sentence, sizeof t->story.sentence,
                    " waits in a barrier for the flag of a peer.");
    else
        hl_text_add(t->story.sentence, sizeof t->story.sentence,
                    " waits for arrivals: the counter is %u, its grid has %u CTAs.",
                    s->words[call->workspace][a->rank][last->at], a->its_kernel->ctas);
}

static void explain_waits(struct teller *t)
{
    struct hl_space *s = t->space;
    char first[sizeof t->story.sentence] = "";
    bool any = false;
    int best = -1;
    for (uint32_t agent = 0; agent < s->agents; agent++) {
        if (!hl_space_is_running(&s->agent[agent]))
            continue;
        if (hl_space_step(s, agent))
            return;
        if (s->agent[agent].flight)
            continue;
        explain_wait(t, agent);
        const int weight = strstr(t->story.sentence, "cleared it") || strstr(t->story.sentence, "not arrived")
                               ? 2
                           : strstr(t->story.sentence, "never store it") ? 1
                                                                         : 0;
        if (weight > best) {
            memcpy(first, t->story.sentence, sizeof first);
            best = weight;
        }
        any = true;
        if (t->listener)
            t->listener->wait(t->listener->user, t->story.sentence);
    }
    t->story.hangs = any;
    memcpy(t->story.sentence, first, sizeof first);
}

/* What a stream waits for while others go on. */
static void explain_stuck(struct teller *t, int rank, int stream)
{
    struct hl_space *s = t->space;
    t->story.hangs = true;
    for (uint32_t agent = 0; agent < s->ctas; agent++) {
        const struct hl_space_agent *a = &s->agent[agent];
        if (a->rank != rank || a->stream != stream || !hl_space_is_running(a) || hl_space_step(s, agent))
            continue;
        explain_wait(t, agent);
        break;
    }
    if (!t->story.sentence[0])
        hl_text_add(t->story.sentence, sizeof t->story.sentence, "Rank %d, stream %d, waits for an event.",
                    rank, stream);
    hl_text_add(t->story.sentence, sizeof t->story.sentence, " Others go on for ever.");
    if (t->listener)
        t->listener->wait(t->listener->user, t->story.sentence);
}

static enum hl_status tell(struct teller *t, const struct hl_path *path, struct hl_error *error)
{
    struct hl_space *s = t->space;
    struct hl_hash hash;
    int rank, stream;
    const bool is_lasso = path->again && hl_lasso_holds(s, path, &rank, &stream);
    t->again_from = path->again ? path->n - path->again : UINT32_MAX;
    hl_space_start(s, s->scratch, &hash);
    s->base = NULL;
    for (uint32_t i = 0; i < path->n; i++)
        if (path->agents[i] >= s->agents || !take_step(t, path->agents[i]))
            return hl_fail(error, HL_STATUS_USAGE,
                           "step %u of the schedule cannot be taken here: it was made for another case",
                           i + 1);
    end_block(t);
    t->story.steps = path->n;
    if (is_lasso)
        explain_stuck(t, rank, stream);
    else
        explain_waits(t);
    return HL_STATUS_OK;
}

enum hl_status hl_story_tell(struct hl_space *space, const struct hl_path *path,
                             const struct hl_story_listener *listener, struct hl_story *ret_story,
                             struct hl_error *error)
{
    struct teller t = { .space = space, .listener = listener, .block = { .agent = UINT32_MAX } };
    bool failed = false;
    for (int w = 0; w < space->spec.workspaces; w++)
        for (int rank = 0; rank < space->spec.ranks; rank++) {
            t.history[w][rank] = calloc(space->live[w], sizeof(struct history));
            failed |= !t.history[w][rank];
            for (uint32_t i = 0; t.history[w][rank] && i < space->live[w]; i++)
                t.history[w][rank][i] = (struct history){ .stored_call = -1, .cleared_call = -1 };
        }
    const enum hl_status status =
        failed ? hl_fail(error, HL_STATUS_MEMORY, "out of memory to tell a schedule") : tell(&t, path, error);
    for (int w = 0; w < space->spec.workspaces; w++)
        for (int rank = 0; rank < space->spec.ranks; rank++)
            free(t.history[w][rank]);
    if (!status)
        *ret_story = t.story;
    return status;
}

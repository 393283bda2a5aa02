/* Configurations as spaces; see cover.h. */
#include "cover.h"
#include <stdio.h>
#include <string.h>
#include "../fault/weave.h"
#include "../program/resolve.h"
#include "../scenario/text.h"
#include "../scenario/words.h"
#include "listing.h"

/* A negative subnormal in the upper half: FTZ takes it for -0.0 (#3304); and -0.0 itself. */
#define SUBNORMAL_WORD 0x80010000u
#define NEGATIVE_ZERO_WORD(dtype) ((dtype) == HL_FP32 ? 0x80000000u : 0x80008000u)
/* Unbounded rounds do not close where calls are counted; a hang of one of two streams is not the end of the
 * other; and a call too few or too many shows when the calls end. Then so many rounds are searched. */
enum { FEW_ROUNDS = 3 };

static const char *protocol_name(enum hl_protocol protocol)
{
    static const char *const names[] = {
#define X(id, name, doc) [id] = name,
        HL_PROTOCOLS(X)
#undef X
    };
    return names[protocol];
}

/* The calls of one round, equal neighbours once. */
static void list_calls(const struct hl_config *c, uint32_t tokens_max, struct hl_cover *cover,
                       struct hl_space_stream_program *round)
{
    for (int i = c->schedule.n_sizes; i-- > 0;) { /* ascending */
        const uint32_t nth = (uint32_t)(c->schedule.n_sizes - i), size = c->schedule.sizes[i];
        for (uint16_t site = 0; site < 2; site++) {
            const struct hl_space_call call = { .workspace = hl_resolved_workspace(c, site, size),
                                                .protocol = hl_resolved_protocol(c, size),
                                                .tokens = (uint8_t)(nth < tokens_max ? nth : tokens_max) };
            const struct hl_space_call *last = round->n ? &round->calls[round->n - 1] : NULL;
            const bool same = last && last->protocol == call.protocol && last->tokens == call.tokens;
            if ((same && last->workspace == call.workspace) || round->n == 8)
                continue;
            round->calls[round->n++] = call;
            hl_text_add(cover->calls, sizeof cover->calls, "%s%s of %u token%s (for %u)",
                        round->n > 1 ? ", " : "", protocol_name(call.protocol), call.tokens,
                        call.tokens == 1 ? "" : "s", size);
            if (c->subject.workspaces > 1)
                hl_text_add(cover->calls, sizeof cover->calls, " on workspace %u", call.workspace);
        }
    }
}

/* Workspaces that occur are numbered from 0. */
static int number_workspaces(struct hl_space_stream_program *round)
{
    int numbers[256], n = 0;
    memset(numbers, -1, sizeof numbers);
    for (uint32_t i = 0; i < round->n; i++) {
        int *number = &numbers[round->calls[i].workspace];
        if (*number < 0)
            *number = n++;
        round->calls[i].workspace = (uint8_t)*number;
    }
    return n;
}

static void repeat(const struct hl_space_stream_program *round, uint32_t times, bool for_ever,
                   struct hl_space_stream_program *to)
{
    to->n = 0;
    for (uint32_t i = 0; i < times; i++)
        for (uint32_t k = 0; k < round->n; k++)
            to->calls[to->n++] = round->calls[k];
    to->loop_to = for_ever ? to->n - round->n : UINT32_MAX;
}

static enum hl_protocol other_strategy(enum hl_protocol protocol)
{
    switch (protocol) {
    case HL_MNNVL_ONESHOT: return HL_MNNVL_TWOSHOT;
    case HL_MNNVL_TWOSHOT: return HL_MNNVL_ONESHOT;
    case HL_TRTLLM_ONESHOT: return HL_TRTLLM_TWOSHOT;
    case HL_TRTLLM_TWOSHOT: return HL_TRTLLM_ONESHOT;
    default: return protocol;
    }
}

static void remove_call(struct hl_space_stream_program *p, uint32_t at)
{
    memmove(&p->calls[at], &p->calls[at + 1], (--p->n - at) * sizeof *p->calls);
    p->loop_to -= p->loop_to != UINT32_MAX;
}

static void insert_call(struct hl_space_stream_program *p, uint32_t at, struct hl_space_call call)
{
    memmove(&p->calls[at + 1], &p->calls[at], (p->n++ - at) * sizeof *p->calls);
    p->calls[at] = call;
    p->loop_to += p->loop_to != UINT32_MAX;
}

/* One fault at one call; the list has room. */
static void apply(const struct hl_fault *f, uint32_t at, uint32_t tokens_max,
                  struct hl_space_stream_program *streams)
{
    struct hl_space_stream_program *p = &streams[0];
    const struct hl_space_call call = p->calls[at];
    switch (f->kind) {
    case HL_FAULT_SKIP_CALL: remove_call(p, at); break;
    case HL_FAULT_EXTRA_CALL: insert_call(p, at, call); break;
    case HL_FAULT_OTHER_SIZE:
        p->calls[at].tokens = (uint8_t)(call.tokens == tokens_max ? call.tokens - 1u : tokens_max);
        break;
    case HL_FAULT_OTHER_STRATEGY: p->calls[at].protocol = other_strategy(call.protocol); break;
    case HL_FAULT_SWAP_ORDER:
        p->calls[at] = p->calls[at + 1];
        p->calls[at + 1] = call;
        break;
    case HL_FAULT_SECOND_STREAM:
        remove_call(p, at);
        streams[1].calls[streams[1].n++] = call;
        streams[1].loop_to = UINT32_MAX;
        break;
    default: break;
    }
}

static enum hl_status weave(const struct hl_config *config, uint32_t tokens_max, struct hl_cover *cover,
                            struct hl_error *error)
{
    struct hl_space_spec *spec = &cover->spec;
    for (int i = 0; i < config->n_faults; i++) {
        const struct hl_fault *f = &config->faults[i];
        struct hl_space_stream_program *streams = spec->program[f->rank];
        if (f->rank >= spec->ranks)
            return hl_fail(error, HL_STATUS_USAGE, "a fault hits rank %d, but the search has %d ranks",
                           f->rank, spec->ranks);
        if (f->kind == HL_FAULT_LATE_MEMSET) {
            for (int w = spec->workspaces; w-- > 0;)
                insert_call(&streams[0], 0, (struct hl_space_call){ .fills = true, .workspace = (uint8_t)w });
            continue;
        }
        const uint32_t first = f->call < 0 ? 0 : (uint32_t)f->call;
        const uint32_t end = f->call < 0 ? streams[0].n : first + (uint32_t)f->calls;
        for (uint32_t at = end; at-- > first;)
            if (at + 1 < streams[0].n || f->kind != HL_FAULT_SWAP_ORDER)
                apply(f, at, tokens_max, streams);
        if (f->kind == HL_FAULT_SECOND_STREAM)
            spec->streams = 2;
    }
    return HL_STATUS_OK;
}

/* Last call that a fault names. */
static uint32_t faults_end(const struct hl_config *config)
{
    uint32_t end = 0;
    for (int i = 0; i < config->n_faults; i++) {
        const struct hl_fault *f = &config->faults[i];
        if (f->call >= 0 && f->kind != HL_FAULT_LATE_MEMSET && (uint32_t)(f->call + f->calls) > end)
            end = (uint32_t)(f->call + f->calls);
    }
    return end;
}

static void choose_payloads(const struct hl_config *c, struct hl_cover *cover)
{
    const bool may_be_stale = c->schedule.mode == HL_MODE_PIECEWISE || c->schedule.mode == HL_MODE_BREAKABLE;
    const bool unwritten =
        c->payload.rows == HL_ROWS_UNWRITTEN || (c->payload.rows == HL_ROWS_ENGINE && may_be_stale);
    uint32_t word = 0;
    const char *name = "real rows";
    if (c->payload.rows == HL_ROWS_PATTERN && c->payload.pattern == HL_PAYLOAD_SUBNORMAL) {
        word = SUBNORMAL_WORD;
        name = "the subnormal pattern";
    } else if (c->payload.rows == HL_ROWS_PATTERN && c->payload.pattern == HL_PAYLOAD_NEGATIVE_ZERO) {
        word = NEGATIVE_ZERO_WORD(c->subject.dtype);
        name = "-0.0 everywhere";
    }
    cover->payloads[0] = word;
    cover->payload_names[0] = name;
    cover->n_payloads = 1;
    if (!unwritten || c->payload.residue.negative_subnormal_rows <= 0)
        return;
    cover->payloads[1] = SUBNORMAL_WORD;
    cover->payload_names[1] = "unwritten rows that hold a negative subnormal";
    cover->n_payloads = 2;
}

static struct hl_space_spec begin_spec(const struct hl_config *c)
{
    return (struct hl_space_spec){ .ranks = c->world.ranks,
                                   .streams = 1,
                                   .dtype = c->subject.dtype,
                                   .compare = c->subject.sentinel_compare,
                                   .mutant = c->subject.mutant,
                                   .sms = c->world.sms,
                                   .pdl = c->schedule.pdl,
                                   .one_gpu = c->world.placement == HL_PLACEMENT_VIRTUAL };
}

/*
 * Rank programs
 */

static enum hl_status check_fates(const struct hl_program *p, struct hl_error *error)
{
    for (int i = 0; i < p->config.n_faults; i++)
        if (p->fates[i].fate == HL_FATE_NO_PLACE)
            return hl_fail(error, HL_STATUS_USAGE, "the fault %s has no place in the program: %s",
                           hl_words_name(&hl_words_faults, p->config.faults[i].kind), p->fates[i].why);
    return HL_STATUS_OK;
}

/* Do the replays go on without end? Ranks must stay in step, and what they count must come round: nccl counts
 * its calls, and a host that passes the numbers of its calls does. */
static bool may_loop(const struct hl_config *c, const struct hl_program *p)
{
    bool loops = c->subject.mutant != HL_MUTANT_BAKED_EPOCH;
    for (int i = 0; i < c->n_faults; i++)
        loops &= c->faults[i].kind == HL_FAULT_NONE || c->faults[i].kind == HL_FAULT_HOST_DELAY;
    for (int w = 0; w < p->n_workspaces; w++)
        loops &= hl_program_family(p, w) != HL_FAMILY_NCCL;
    return loops;
}

static void describe_listing(const struct hl_config *c, const struct hl_listing *l, struct hl_cover *cover)
{
    hl_text_add(cover->calls, sizeof cover->calls, "%s program, %u calls a rank",
                hl_words_name(&hl_words_modes, c->schedule.mode), l->calls);
    if (l->loops)
        hl_text_add(cover->calls, sizeof cover->calls, ", then %u in replays without end", l->calls_of_loop);
}

static enum hl_status list_program(const struct hl_program *program, const struct hl_cover_options *options,
                                   struct hl_cover *cover, struct hl_error *error)
{
    const struct hl_config *c = &program->config;
    struct hl_listing listing;
    const struct hl_listing_options o = { .tokens_max = options->tokens_max       ? options->tokens_max
                                                        : c->schedule.n_sizes > 1 ? 2
                                                                                  : 1,
                                          .loops = !options->rounds && may_loop(c, program) };
    cover->spec.workspaces = program->n_workspaces;
    enum hl_status status = check_fates(program, error);
    if (!status && program->n_streams > HL_SPACE_STREAMS_MAX)
        status = hl_fail(error, HL_STATUS_USAGE, "the program has %d streams, a search takes %d",
                         program->n_streams, HL_SPACE_STREAMS_MAX);
    if (!status)
        status = hl_listing_make(program, &o, &cover->spec, &listing, error);
    if (!status && listing.unsearched)
        status =
            hl_fail(error, HL_STATUS_USAGE, "a search cannot take %s; `hanglab run` can", listing.unsearched);
    if (status)
        return status;
    cover->rounds = listing.loops ? 0 : (uint32_t)c->schedule.replays;
    describe_listing(c, &listing, cover);
    if (!listing.loops && !options->rounds)
        hl_text_add(cover->notes, sizeof cover->notes, "more than the %d replays of the file\n",
                    c->schedule.replays);
    return HL_STATUS_OK;
}

static enum hl_status cover_programs(const struct hl_config *resolved, const struct hl_cover_options *options,
                                     struct hl_cover *cover, struct hl_error *error)
{
    struct hl_config c = *resolved;
    struct hl_program *program;
    if (options->rounds)
        c.schedule.replays = (int)options->rounds;
    for (int i = 0; i < c.n_faults; i++) {
        c.faults[i].probability = 1;
        if (c.faults[i].rank >= cover->spec.ranks)
            return hl_fail(error, HL_STATUS_USAGE, "a fault hits rank %d, but the search has %d ranks",
                           c.faults[i].rank, cover->spec.ranks);
    }
    enum hl_status status = hl_program_create(&c, 1, &program, error);
    if (status)
        return status;
    status = hl_faults_weave(program, 1, error);
    program->ranks = cover->spec.ranks;
    if (!status)
        status = list_program(program, options, cover, error);
    hl_program_destroy(program);
    return status;
}

/*
 * The calls alone
 */

static enum hl_status cover_calls(const struct hl_config *config, const struct hl_cover_options *options,
                                  struct hl_cover *cover, struct hl_error *error)
{
    const struct hl_config c = *config;
    struct hl_space_stream_program round = { 0 };
    const uint32_t tokens_max = options->tokens_max ? options->tokens_max : c.schedule.n_sizes > 1 ? 2 : 1;
    if (c.subject.mutant == HL_MUTANT_BAKED_EPOCH)
        return hl_fail(error, HL_STATUS_USAGE,
                       "only captures freeze the call's number: search the rank programs, without --calls");
    list_calls(&c, tokens_max, cover, &round);
    cover->spec.workspaces = number_workspaces(&round);
    bool counts = false, ends = false;
    for (uint32_t i = 0; i < round.n; i++)
        counts |= round.calls[i].protocol == HL_NCCL;
    for (int i = 0; i < c.n_faults; i++)
        ends |= c.faults[i].kind == HL_FAULT_SECOND_STREAM || c.faults[i].kind == HL_FAULT_SKIP_CALL ||
                c.faults[i].kind == HL_FAULT_EXTRA_CALL;
    uint32_t rounds = options->rounds ? options->rounds : counts || ends ? FEW_ROUNDS : 0;
    const uint32_t prefix = hl_div_up(faults_end(&c), round.n);
    const uint32_t times = rounds > prefix ? rounds : prefix + 1;
    if (times * round.n + 2 * HL_FAULTS_MAX > HL_SPACE_CALLS_MAX)
        return hl_fail(
            error, HL_STATUS_USAGE,
            "%u calls a rank are more than a search keeps (%d): take fewer rounds, sizes, or a fault at "
            "an earlier call",
            times * round.n, HL_SPACE_CALLS_MAX - 2 * HL_FAULTS_MAX);
    cover->rounds = rounds ? times : 0;
    for (int rank = 0; rank < cover->spec.ranks; rank++)
        repeat(&round, times, rounds == 0, &cover->spec.program[rank][0]);
    if (counts && !options->rounds)
        hl_text_add(cover->notes, sizeof cover->notes,
                    "more than %d rounds: nccl counts its calls, so its states never close\n", FEW_ROUNDS);
    return weave(&c, tokens_max, cover, error);
}

/* How many CTAs of the searched size fit where so many real ones do. */
static uint32_t scaled_room(const struct hl_world *world, const struct hl_space_spec *spec,
                            uint32_t real_tokens)
{
    uint32_t tokens = 1;
    for (int stream = 0; stream < spec->streams; stream++)
        for (uint32_t i = 0; i < spec->program[0][stream].n; i++)
            if (spec->program[0][stream].calls[i].tokens > tokens)
                tokens = spec->program[0][stream].calls[i].tokens;
    const uint64_t real = world->resident_ctas ? world->resident_ctas : 2ull * world->sms;
    const uint64_t scaled = real * tokens / real_tokens;
    return scaled ? (uint32_t)scaled : 1;
}

static enum hl_promise promise_of(enum hl_progress progress)
{
    return progress == HL_PROGRESS_FAIR   ? HL_PROMISE_FAIR
           : progress == HL_PROGRESS_LOBE ? HL_PROMISE_LOBE
                                          : HL_PROMISE_OBE;
}

enum hl_status hl_cover_make(const struct hl_config *config, const struct hl_cover_options *options,
                             struct hl_cover *ret_cover, struct hl_error *error)
{
    struct hl_config c = *config, resolved;
    struct hl_cover cover = { 0 };
    if (config->subject.plugin[0])
        return hl_fail(
            error, HL_STATUS_USAGE,
            "subject.plugin: %s cannot be searched: only hanglab's own step sources can be taken step by "
            "step",
            config->subject.plugin);
    /* Worlds have 2, 4, 8 or 16 ranks; a search of 3 takes the first of 4. */
    while (c.world.ranks < options->ranks)
        c.world.ranks *= 2;
    enum hl_status status = hl_resolve(&c, &resolved, NULL, error);
    if (status)
        return status;
    cover.spec = begin_spec(&resolved);
    if (options->ranks)
        cover.spec.ranks = options->ranks;
    status = options->programs ? cover_programs(&resolved, options, &cover, error)
                               : cover_calls(&resolved, options, &cover, error);
    if (status)
        return status;
    choose_payloads(&resolved, &cover);
    cover.room = scaled_room(&resolved.world, &cover.spec, resolved.schedule.sizes[0]);
    cover.spec.room = cover.room;
    cover.spec.promise = promise_of(resolved.world.progress);
    if (resolved.world.memory == HL_MEMORY_RELAXED || resolved.subject.mutant == HL_MUTANT_NO_RELEASE)
        hl_text_add(cover.notes, sizeof cover.notes, "relaxed memory: every store is seen at once (sc)\n");
    *ret_cover = cover;
    return HL_STATUS_OK;
}

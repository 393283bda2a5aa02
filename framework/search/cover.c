/* Configurations as spaces; see cover.h. */
#include "cover.h"
#include <stdio.h>
#include <string.h>
#include "../fault/weave.h"
#include "../program/placement.h"
#include "../program/resolve.h"
#include "../scenario/text.h"
#include "../scenario/words.h"
#include "listing.h"

/* A negative subnormal in the upper half: FTZ takes it for -0.0 (#3304); and -0.0 itself. */
#define SUBNORMAL_WORD 0x80010000u
#define NEGATIVE_ZERO_WORD(dtype) ((dtype) == HL_FP32 ? 0x80000000u : 0x80008000u)
/* Unbounded rounds do not close where calls are counted, and a call too few or too many shows when the calls
 * end. Then so many rounds are searched. */
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

/* Is the fault one of calls? The others are of hosts, graphs and devices. */
static bool is_of_calls(enum hl_fault_kind kind)
{
    switch (kind) {
    case HL_FAULT_NONE:
    case HL_FAULT_HOST_DELAY: /* a list of calls has no time */
    case HL_FAULT_SKIP_CALL:
    case HL_FAULT_EXTRA_CALL:
    case HL_FAULT_OTHER_SIZE:
    case HL_FAULT_OTHER_STRATEGY:
    case HL_FAULT_SWAP_ORDER:
    case HL_FAULT_SECOND_STREAM:
    case HL_FAULT_LATE_MEMSET: return true;
    default: return false;
    }
}

static enum hl_status weave(const struct hl_config *config, uint32_t tokens_max, struct hl_cover *cover,
                            struct hl_error *error)
{
    struct hl_space_spec *spec = &cover->spec;
    for (int i = 0; i < config->n_faults; i++) {
        const struct hl_fault *f = &config->faults[i];
        struct hl_space_stream_program *streams = spec->program[f->rank];
        if (!is_of_calls(f->kind))
            return hl_fail(error, HL_STATUS_USAGE,
                           "the fault %s is not one of calls: search the rank programs, without --calls",
                           hl_words_name(&hl_words_faults, f->kind));
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
    if (!unwritten || hl_residue_model(c).negative_subnormal_rows <= 0)
        return;
    cover->payloads[1] = SUBNORMAL_WORD;
    cover->payload_names[1] = "unwritten rows that hold a negative subnormal";
    cover->n_payloads = 2;
}

static struct hl_space_spec begin_spec(const struct hl_config *c, int ranks)
{
    return (struct hl_space_spec){ .ranks = ranks,
                                   .streams = 1,
                                   .dtype = c->subject.dtype,
                                   .compare = c->subject.sentinel_compare,
                                   .mutant = c->subject.mutant,
                                   .strike = c->subject.strike,
                                   .sms = c->world.sms,
                                   .pdl = c->schedule.pdl,
                                   .one_gpu = c->world.placement == HL_PLACEMENT_VIRTUAL &&
                                              hl_world_gpus(&c->world, ranks, ranks) == 1,
                                   .relaxed = c->world.memory == HL_MEMORY_RELAXED };
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

/* Executed tokens: as few as tell apart what the case is about. */
static struct hl_listing_options choose_tokens(const struct hl_config *c,
                                               const struct hl_cover_options *options,
                                               const struct hl_program *program)
{
    struct hl_listing_options o = { .tokens_min = 1, .tokens_max = c->schedule.n_sizes > 1 ? 2 : 1 };
    bool counts_matter = !c->workspace.checked && !hl_fits_workspace(c, c->schedule.sizes[0]);
    for (int i = 0; i < c->n_faults; i++) {
        counts_matter |= c->faults[i].kind == HL_FAULT_OTHER_SIZE;
        o.splits_grids |= c->faults[i].kind == HL_FAULT_GRID_MISMATCH;
    }
    o.tokens_min += o.splits_grids ? 1 : 0;
    o.tokens_max += counts_matter ? 1 : 0;
    o.tokens_max = o.tokens_max > o.tokens_min ? o.tokens_max : o.tokens_min;
    o.tokens_max = options->tokens_max ? options->tokens_max : o.tokens_max;
    o.loops = !options->rounds && may_loop(c, program);
    return o;
}

static bool is_same_list(const struct hl_space_stream_program *a, const struct hl_space_stream_program *b)
{
    bool same = a->n == b->n;
    for (uint32_t i = 0; same && i < a->n; i++)
        same = a->calls[i].tokens == b->calls[i].tokens && a->calls[i].protocol == b->calls[i].protocol &&
               memcmp(a->calls[i].ctas, b->calls[i].ctas, sizeof a->calls[i].ctas) == 0;
    return same;
}

/* A cap must not take away what the case is about: what would be proven then is another case. */
static enum hl_status check_tokens(const struct hl_config *c, const struct hl_listing_options *o,
                                   const struct hl_listing *listing, const struct hl_space_spec *spec,
                                   struct hl_error *error)
{
    const char *what = listing->merges ? "between calls that fit the workspace and those that do not" : NULL;
    for (int i = 0; i < c->n_faults; i++) {
        const struct hl_fault *f = &c->faults[i];
        const int other = f->rank == 0;
        if ((f->kind == HL_FAULT_OTHER_SIZE || f->kind == HL_FAULT_GRID_MISMATCH) &&
            is_same_list(spec->program[f->rank], spec->program[other]))
            what = "that the fault makes between two ranks";
    }
    if (!what)
        return HL_STATUS_OK;
    return hl_fail(error, HL_STATUS_USAGE,
                   "with at most %u tokens a call the difference is lost %s: take --tokens %u", o->tokens_max,
                   what, o->tokens_max + 1);
}

static enum hl_status list_program(const struct hl_program *program, const struct hl_cover_options *options,
                                   struct hl_cover *cover, struct hl_error *error)
{
    const struct hl_config *c = &program->config;
    struct hl_listing listing;
    const struct hl_listing_options o = choose_tokens(c, options, program);
    cover->spec.workspaces = program->n_workspaces;
    enum hl_status status = check_fates(program, error);
    if (!status && program->n_streams > HL_SPACE_STREAMS_MAX)
        status = hl_fail(error, HL_STATUS_USAGE, "the program has %d streams, a search takes %d",
                         program->n_streams, HL_SPACE_STREAMS_MAX);
    if (!status)
        status = hl_listing_make(program, &o, &cover->spec, &listing, error);
    if (!status)
        status = check_tokens(c, &o, &listing, &cover->spec, error);
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
    for (int i = 0; i < c.n_faults; i++)
        c.faults[i].probability = 1;
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
        ends |= c.faults[i].kind == HL_FAULT_SKIP_CALL || c.faults[i].kind == HL_FAULT_EXTRA_CALL;
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

/* A fault of a rank that is not there hits the last one that is. */
static void move_faults(struct hl_config *c, struct hl_cover *cover)
{
    const int last = cover->spec.ranks - 1;
    for (int i = 0; i < c->n_faults; i++) {
        if (c->faults[i].rank <= last)
            continue;
        hl_text_add(cover->calls, sizeof cover->calls, "the fault of rank %d at rank %d; ", c->faults[i].rank,
                    last);
        c->faults[i].rank = last;
    }
    if (c->subject.strike.rank > last)
        c->subject.strike.rank = last;
}

/* What the case has that a search has no notion of. */
static void note_unseen(const struct hl_config *c, struct hl_cover *cover)
{
    for (int i = 0; i < c->n_faults; i++) {
        if (c->faults[i].kind == HL_FAULT_HOST_DELAY)
            hl_text_add(cover->unseen, sizeof cover->unseen,
                        "time: a host is late, however late, until it comes\n");
        if (c->faults[i].kind == HL_FAULT_FOREIGN_SPIN || c->faults[i].kind == HL_FAULT_DRIVER_STALL)
            hl_text_add(cover->unseen, sizeof cover->unseen,
                        "other ranks on the same GPU, and what was launched before: they still go on\n");
        if (c->faults[i].kind == HL_FAULT_SERIALISE_LAUNCHES)
            hl_text_add(cover->unseen, sizeof cover->unseen,
                        "other orders in which the tool lets kernels start: rank 0 is the first that may\n");
        if (c->faults[i].kind == HL_FAULT_ONE_THREAD)
            hl_text_add(
                cover->unseen, sizeof cover->unseen,
                "queues of launches that are full: each host has a thread, which is never kept waiting\n");
    }
    if (c->subject.mutant == HL_MUTANT_INT_OFFSET || c->subject.mutant == HL_MUTANT_NO_ALIGN)
        hl_text_add(cover->unseen, sizeof cover->unseen,
                    "addresses: a search has words of a few rows, none of which is out of reach\n");
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
    if (config->world.gpus > 1 && config->world.gpus < config->world.ranks)
        return hl_fail(
            error, HL_STATUS_USAGE,
            "world.gpus: a search knows ranks that share a GPU and ranks that have one each; take 1 or "
            "%d instead of %d",
            config->world.ranks, config->world.gpus);
    /* Worlds have 2, 4, 8 or 16 ranks; a search of 3 takes the first of 4. */
    while (c.world.ranks < options->ranks)
        c.world.ranks *= 2;
    enum hl_status status = hl_resolve(&c, &resolved, NULL, error);
    if (status)
        return status;
    cover.spec.ranks = options->ranks ? options->ranks : resolved.world.ranks;
    move_faults(&resolved, &cover);
    cover.spec = begin_spec(&resolved, cover.spec.ranks);
    status = options->programs ? cover_programs(&resolved, options, &cover, error)
                               : cover_calls(&resolved, options, &cover, error);
    if (status)
        return status;
    choose_payloads(&resolved, &cover);
    note_unseen(&resolved, &cover);
    cover.room = scaled_room(&resolved.world, &cover.spec, resolved.schedule.sizes[0]);
    cover.spec.room = cover.room;
    cover.spec.promise = promise_of(resolved.world.progress);
    *ret_cover = cover;
    return HL_STATUS_OK;
}

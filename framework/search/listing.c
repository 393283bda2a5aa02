/* One rank's ops, one after the other; see listing.h. */
#include "listing.h"
#include <stdlib.h>
#include "../program/resolve.h"
#include <string.h>

enum { CALLS_OF_LOOP_MIN = 4, LAPS_MAX = 8 }; /* so that a row of a buffer's last use is another call's */

/* Which entry recorded an event last. */
struct record {
    bool made;
    uint8_t stream;
    uint16_t entry;
};

struct lister {
    const struct hl_program *program;
    const struct hl_listing_options *options;
    struct hl_space_spec *spec;
    int rank;
    bool captures, overflows;
    bool runs_alone; /* calls from here on, under a tool that serialises */
    bool fences[HL_SPACE_STREAMS_MAX];
    uint32_t enqueued[HL_SPACE_STREAMS_MAX]; /* since the last stop */
    uint32_t issued[HL_PROGRAM_WORKSPACES_MAX], captured[HL_PROGRAM_WORKSPACES_MAX];
    uint32_t *epochs;      /* [op] of a captured call */
    uint32_t *written;     /* [block] leading executed rows */
    struct record *events; /* [event] */
    uint32_t *counts;      /* distinct token counts and rows of blocks, ascending */
    size_t n_counts;
    uint32_t fits,
        too_much; /* rows of the largest call that fits the workspace; of the smallest that does not, or 0 */
};

static int compare(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static bool collect_counts(struct lister *l)
{
    const struct hl_program *p = l->program;
    size_t n = p->n_blocks;
    for (int rank = 0; rank < p->ranks; rank++)
        n += p->rank[rank].n_ops;
    l->counts = calloc(n + 1, sizeof *l->counts);
    if (!l->counts)
        return false;
    n = 0;
    for (int rank = 0; rank < p->ranks; rank++)
        for (uint32_t i = 0; i < p->rank[rank].n_ops; i++)
            if (p->rank[rank].ops[i].kind == HL_OP_CALL)
                l->counts[n++] = p->rank[rank].ops[i].tokens;
    for (uint32_t i = 0; i < p->n_blocks; i++)
        l->counts[n++] = p->blocks[i].rows;
    qsort(l->counts, n, sizeof *l->counts, compare);
    for (size_t i = 0; i < n; i++)
        if (!l->n_counts || l->counts[l->n_counts - 1] != l->counts[i])
            l->counts[l->n_counts++] = l->counts[i];
    return true;
}

/* Executed tokens of a real count. */
static uint32_t tokens_of(const struct lister *l, uint32_t real)
{
    uint32_t nth = 0;
    while (nth < l->n_counts && l->counts[nth] < real)
        nth++;
    const uint32_t tokens = nth + l->options->tokens_min;
    return tokens < l->options->tokens_max ? tokens : l->options->tokens_max;
}

static struct hl_space_stream_program *list_of(const struct lister *l, int stream)
{
    return &l->spec->program[l->rank][stream];
}

static struct record push(struct lister *l, int stream, struct hl_space_call entry)
{
    struct hl_space_stream_program *p = list_of(l, stream);
    if (p->n == HL_SPACE_CALLS_MAX) {
        l->overflows = true;
        return (struct record){ 0 };
    }
    if (stream >= l->spec->streams)
        l->spec->streams = stream + 1;
    p->calls[p->n++] = entry;
    l->enqueued[stream]++;
    return (struct record){ true, (uint8_t)stream, (uint16_t)(p->n - 1) };
}

static struct record push_mark(struct lister *l, int stream)
{
    l->fences[stream] = true;
    return push(l, stream, (struct hl_space_call){ .marks = true });
}

static void push_wait(struct lister *l, int stream, struct record record)
{
    l->fences[stream] = true;
    push(l, stream,
         (struct hl_space_call){ .waits = true, .for_stream = record.stream, .for_entry = record.entry });
}

static void push_stop(struct lister *l, struct hl_space_stop stop)
{
    struct hl_space_host_program *p = &l->spec->host[l->rank];
    if (p->n == HL_SPACE_STOPS_MAX) {
        l->overflows = true;
        return;
    }
    const struct hl_space_stop *last = p->n ? &p->stops[p->n - 1] : NULL;
    if (stop.kind == HL_STOP_SYNC && last && last->kind == HL_STOP_SYNC && last->stream == stop.stream &&
        !l->enqueued[0] && !l->enqueued[1])
        return; /* nothing to wait for */
    for (int stream = 0; stream < HL_SPACE_STREAMS_MAX; stream++) {
        stop.enqueues[stream] = (uint16_t)l->enqueued[stream];
        l->enqueued[stream] = 0;
    }
    p->stops[p->n++] = stop;
}

static uint8_t ctas_of(const struct lister *l, const struct hl_op *op, enum hl_kernel kernel, uint32_t tokens)
{
    const uint32_t grid = hl_kernel_ctas(kernel, op->tokens, l->spec->sms);
    const uint32_t real = op->ctas && op->ctas < grid ? op->ctas : grid;
    const uint32_t scaled = l->options->splits_grids
                                ? hl_kernel_ctas(kernel, tokens, l->spec->sms) * real / grid
                                : (uint32_t)((uint64_t)real * tokens / op->tokens);
    return (uint8_t)(scaled ? scaled : 1);
}

/* Does the call fit the workspace at its real size? */
static void note_fit(struct lister *l, const struct hl_op *op, uint32_t tokens)
{
    const uint32_t rows = (uint32_t)hl_protocol_rows(op->protocol, (uint32_t)l->spec->ranks, tokens);
    if (hl_protocol_family(op->protocol) == HL_FAMILY_NCCL)
        return;
    if (hl_fits_workspace(&l->program->config, op->tokens))
        l->fits = rows > l->fits ? rows : l->fits;
    else
        l->too_much = !l->too_much || rows < l->too_much ? rows : l->too_much;
}

static void push_call(struct lister *l, const struct hl_op *op, uint32_t epoch)
{
    const struct hl_kernel_list kernels = hl_protocol_kernels(op->protocol);
    const uint32_t tokens = tokens_of(l, op->tokens), written = l->written[op->block];
    struct hl_space_call call = { .has_rows = true,
                                  .alone = l->runs_alone,
                                  .fences = !op->pdl || l->fences[op->stream],
                                  .workspace = op->workspace,
                                  .protocol = (uint8_t)op->protocol,
                                  .tokens = (uint8_t)tokens,
                                  .written = (uint8_t)(written < tokens ? written : tokens),
                                  .epoch = (uint16_t)epoch };
    for (int k = 0; k < kernels.count; k++)
        call.ctas[k] = ctas_of(l, op, kernels.kernels[k], tokens);
    push(l, op->stream, call);
    note_fit(l, op, tokens);
    l->fences[op->stream] = false;
    l->issued[op->workspace]++;
}

/* Rows of a pattern count as not written: they hold the payload that is searched for. */
static void fill(struct lister *l, const struct hl_op *op)
{
    l->fences[op->stream] = true;
    if (op->kind != HL_OP_FILLER || op->block == HL_NONE || op->content == HL_CONTENT_PATTERN)
        return;
    const uint32_t real = l->program->blocks[op->block].rows, all = tokens_of(l, real);
    uint32_t rows = all;
    if (op->rows < real) { /* fewer stay fewer */
        rows = (uint32_t)(((uint64_t)op->rows * all + real - 1) / real);
        rows = rows < all ? rows : all - 1;
    }
    if (op->content == HL_CONTENT_SOURCE && l->written[op->source] < rows)
        rows = l->written[op->source];
    if (rows > l->written[op->block])
        l->written[op->block] = rows;
}

/* What happens on a stream, launched by the host or by a graph. */
static void list_device_op(struct lister *l, const struct hl_op *op, uint32_t epoch)
{
    switch (op->kind) {
    case HL_OP_CALL: push_call(l, op, epoch); break;
    case HL_OP_FILLER:
    case HL_OP_COPY: fill(l, op); break;
    case HL_OP_EVENT_RECORD: l->events[op->event] = push_mark(l, op->stream); break;
    case HL_OP_EVENT_WAIT:
        if (l->events[op->event].made)
            push_wait(l, op->stream, l->events[op->event]);
        break;
    case HL_OP_WORKSPACE_INIT:
    case HL_OP_REUSE:
        push(l, op->stream,
             (struct hl_space_call){
                 .fills = true, .reuses = op->kind == HL_OP_REUSE, .workspace = op->workspace });
        l->fences[op->stream] = true;
        break;
    case HL_OP_HOLD: push_wait(l, op->stream, (struct record){ true, 0, HL_SPACE_NEVER }); break;
    default: break;
    }
}

/* Which streams does a graph use besides the one it is launched on? A set. */
static uint32_t branches_of(const struct lister *l, struct hl_graph range, int stream)
{
    uint32_t branches = 0;
    for (uint32_t i = range.begin; i < range.end; i++)
        branches |= 1u << l->program->rank[l->rank].ops[i].stream;
    return branches & ~(1u << stream);
}

static void launch_graph(struct lister *l, const struct hl_op *op)
{
    const struct hl_graph range = l->program->graphs[l->rank][op->graph];
    const uint32_t branches = branches_of(l, range, op->stream);
    l->fences[op->stream] = true;
    if (branches) {
        const struct record begin = push_mark(l, op->stream);
        for (int stream = 0; branches >> stream; stream++)
            if (branches >> stream & 1)
                push_wait(l, stream, begin);
    }
    for (uint32_t i = range.begin; i < range.end; i++)
        list_device_op(l, &l->program->rank[l->rank].ops[i], l->epochs[i]);
    for (int stream = 0; branches >> stream; stream++)
        if (branches >> stream & 1)
            push_wait(l, op->stream, push_mark(l, stream));
    l->fences[op->stream] = true;
}

static bool is_recorded(enum hl_op_kind kind)
{
    return kind == HL_OP_CALL || kind == HL_OP_FILLER || kind == HL_OP_COPY || kind == HL_OP_EVENT_RECORD ||
           kind == HL_OP_EVENT_WAIT;
}

static void list_host_op(struct lister *l, uint32_t i)
{
    const struct hl_op *op = &l->program->rank[l->rank].ops[i];
    switch (op->kind) {
    case HL_OP_BARRIER:
        push_stop(l, (struct hl_space_stop){ .kind = op->early ? HL_STOP_EARLY : HL_STOP_BARRIER,
                                             .group = op->group });
        break;
    case HL_OP_SYNC: push_stop(l, (struct hl_space_stop){ HL_STOP_SYNC, op->stream, { 0 }, 0 }); break;
    case HL_OP_DEVICE_SYNC: push_stop(l, (struct hl_space_stop){ .kind = HL_STOP_IDLE }); break;
    case HL_OP_STOP: push_stop(l, (struct hl_space_stop){ .kind = HL_STOP_NEVER }); break;
    case HL_OP_KILL: push_stop(l, (struct hl_space_stop){ .kind = HL_STOP_DEATH }); break;
    case HL_OP_EXIT: push_stop(l, (struct hl_space_stop){ .kind = HL_STOP_END }); break;
    case HL_OP_CAPTURE_BEGIN:
    case HL_OP_CAPTURE_END:
        l->captures = op->kind == HL_OP_CAPTURE_BEGIN;
        memset(l->captured, 0, sizeof l->captured);
        break;
    case HL_OP_GRAPH_LAUNCH: launch_graph(l, op); break;
    case HL_OP_ALLOC: l->written[op->block] = 0; break;
    case HL_OP_SERIALISE: l->spec->serialises = l->runs_alone = true; break;
    case HL_OP_FOREIGN: /* nothing starts any more that is launched from here on */
    case HL_OP_FREEZE:
        for (int stream = 0; stream < l->program->n_streams; stream++)
            push_wait(l, stream, (struct record){ true, 0, HL_SPACE_NEVER });
        break;
    case HL_OP_FREE:
    case HL_OP_HOST_DELAY: break;
    default: list_device_op(l, op, l->issued[op->workspace]);
    }
}

static void list_ops(struct lister *l, uint32_t begin, uint32_t end)
{
    for (uint32_t i = begin; i < end; i++) {
        const struct hl_op *op = &l->program->rank[l->rank].ops[i];
        if (!l->captures || !is_recorded(op->kind))
            list_host_op(l, i);
        else if (op->kind == HL_OP_CALL)
            l->epochs[i] = l->issued[op->workspace] + l->captured[op->workspace]++;
    }
}

/* The first op of the replays, or of the eager passes, that come last; n_ops: there are none. */
static uint32_t find_replays(const struct hl_program *p, int rank)
{
    const struct hl_rank_program *r = &p->rank[rank];
    for (uint32_t i = 0; i < r->n_ops; i++)
        if (strncmp(p->labels[r->ops[i].label], "replay ", 7) == 0 ||
            strncmp(p->labels[r->ops[i].label], "forward ", 8) == 0)
            return i;
    return r->n_ops;
}

static uint32_t count_calls(const struct hl_space_stream_program *p, uint32_t from)
{
    uint32_t n = 0;
    for (uint32_t i = from; i < p->n; i++)
        n += !p->calls[i].fills && !p->calls[i].marks && !p->calls[i].waits;
    return n;
}

/* Goes through the replays again: by then they have no rows left that nobody wrote before them. */
static void list_loop(struct lister *l, struct hl_listing *listing)
{
    const struct hl_rank_program *r = &l->program->rank[l->rank];
    struct hl_space_stream_program *p = list_of(l, 0);
    struct hl_space_host_program *host = &l->spec->host[l->rank];
    const uint32_t from = find_replays(l->program, l->rank);
    p->loop_to = p->n;
    host->loop_to = host->n;
    for (int lap = 0; lap < LAPS_MAX && count_calls(p, p->loop_to) < CALLS_OF_LOOP_MIN; lap++)
        list_ops(l, from, r->n_ops - 1);
    listing->calls_of_loop = count_calls(p, p->loop_to);
    listing->loops = p->n > p->loop_to && host->n > host->loop_to && !l->enqueued[0];
}

static enum hl_status list_rank(struct lister *l, struct hl_listing *listing, struct hl_error *error)
{
    const struct hl_program *program = l->program;
    const struct hl_rank_program *r = &program->rank[l->rank];
    l->epochs = calloc(r->n_ops + 1, sizeof *l->epochs);
    l->written = calloc(program->n_blocks + 1u, sizeof *l->written);
    l->events = calloc(program->n_events + 1u, sizeof *l->events);
    if (!l->epochs || !l->written || !l->events)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for the calls of a rank");
    for (int stream = 0; stream < HL_SPACE_STREAMS_MAX; stream++)
        list_of(l, stream)->loop_to = UINT32_MAX;
    l->spec->host[l->rank].loop_to = UINT32_MAX;
    list_ops(l, 0, r->n_ops - 1);
    listing->calls = count_calls(list_of(l, 0), 0) + count_calls(list_of(l, 1), 0);
    if (l->options->loops)
        list_loop(l, listing);
    if (!listing->loops) {
        list_of(l, 0)->loop_to = l->spec->host[l->rank].loop_to = UINT32_MAX;
        list_ops(l, r->n_ops - 1, r->n_ops);
    }
    if (!l->overflows)
        return HL_STATUS_OK;
    return hl_fail(error, HL_STATUS_USAGE,
                   "rank %d has more than the %d calls and fills, or the %d stops of its host, that a search "
                   "keeps: take fewer sizes, layers or replays (--rounds)",
                   l->rank, HL_SPACE_CALLS_MAX, HL_SPACE_STOPS_MAX);
}

enum hl_status hl_listing_make(const struct hl_program *program, const struct hl_listing_options *options,
                               struct hl_space_spec *spec, struct hl_listing *ret_listing,
                               struct hl_error *error)
{
    struct hl_listing first = { 0 };
    struct lister common = { .program = program, .options = options, .spec = spec };
    enum hl_status status = collect_counts(&common)
                                ? HL_STATUS_OK
                                : hl_fail(error, HL_STATUS_MEMORY, "out of memory for token counts");
    uint32_t fits = 0, too_much = 0;
    spec->streams = 1;
    for (int rank = 0; !status && rank < program->ranks; rank++) {
        struct hl_listing listing = { 0 };
        struct lister l = common;
        l.rank = rank;
        l.fits = fits;
        l.too_much = too_much;
        status = list_rank(&l, &listing, error);
        fits = l.fits;
        too_much = l.too_much;
        free(l.epochs);
        free(l.written);
        free(l.events);
        if (rank == 0)
            first = listing;
    }
    free(common.counts);
    first.counts = (uint32_t)common.n_counts;
    first.merges = too_much && fits >= too_much;
    if (too_much)
        spec->buffer_rows = fits ? fits : 1;
    if (!status)
        *ret_listing = first;
    return status;
}

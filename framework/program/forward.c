/* Forward passes; see forward.h.
 *
 * The row model. Fact: piecewise replay pads the tokens up to the captured size (sglang@00381c02,
 * piecewise_cuda_graph_runner.py), and a split op such as attention runs eagerly, on the real tokens'
 * metadata. Fact: in the capture pass split ops run while the pieces around them are only recorded
 * (sglang@046ed665, cuda_piecewise_backend.py). Our reading of what follows, upstream did not spell it out:
 *  - a split attention writes the rows of the real tokens, so the padded rows of its output hold what the
 *    pool's last user left there: later captures reuse the memory of the shared pool, so the capture pass's
 *    own rows do not last. Rows that an earlier replay of the size has written are stale, but data;
 *  - a projection recorded in a graph runs over all rows and is linear, so the model lets residue through
 *    it, as it is, to the call after attention;
 *  - the norm of that call does not let it through: residue + residual stream is an ordinary row after it. So
 *    the MLP computes all rows of its call's input;
 *  - a split-op allreduce of the capture pass reduces an input whose producer has not run: no row is written;
 *  - attention inside a graph, and every warm-up with dummy tokens, computes all rows: nothing is left over;
 *  - a breakable replay copies the whole output of the eager attention into the captured one
 *    (sglang@018dc6d6), so its padded rows are residue of a block taken from the pool for that replay. */
#include "forward.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "resolve.h"

void hl_writer_label(struct hl_writer *w, const char *format, ...)
{
    struct hl_program *p = w->program;
    char text[128];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if ((p->n_labels & (p->n_labels - 1)) == 0) { /* room doubles at powers of two */
        char **labels = realloc(p->labels, (p->n_labels ? 2u * p->n_labels : 1u) * sizeof *labels);
        w->list.failed |= !labels;
        if (labels)
            p->labels = labels;
    }
    char *copy = w->list.failed ? NULL : strdup(text);
    w->list.failed |= !copy;
    if (!copy)
        return;
    w->label = p->n_labels;
    p->labels[p->n_labels++] = copy;
}

void hl_writer_push(struct hl_writer *w, struct hl_op op)
{
    op.label = w->label;
    hl_op_push(&w->list, op);
}

/*
 * Block sets: outputs of attention, inputs of the calls, and the eager outputs of breaks.
 */

static uint16_t attention_block(uint16_t set, int layer) { return (uint16_t)(set + layer); }

static uint16_t input_block(const struct hl_schedule *s, uint16_t set, int site)
{
    return (uint16_t)(set + s->layers + site);
}

static uint16_t break_block(const struct hl_schedule *s, uint16_t set, int layer)
{
    return (uint16_t)(set + s->layers * (1 + s->calls_per_layer) + layer);
}

uint32_t hl_block_set_size(const struct hl_config *resolved)
{
    const struct hl_schedule *s = &resolved->schedule;
    return (uint32_t)(s->layers * (1 + s->calls_per_layer + (s->mode == HL_MODE_BREAKABLE)));
}

static void push_block_op(struct hl_writer *w, enum hl_op_kind kind, uint16_t block)
{
    struct hl_op op = hl_op_make(kind);
    op.block = block;
    hl_writer_push(w, op);
}

static void recycle(struct hl_writer *w, uint16_t block)
{
    push_block_op(w, HL_OP_FREE, block);
    push_block_op(w, HL_OP_ALLOC, block);
}

uint16_t hl_writer_add_blocks(struct hl_writer *w, uint32_t size)
{
    struct hl_program *p = w->program;
    const uint32_t n = hl_block_set_size(w->config);
    assert(p->n_blocks + n < HL_NONE);
    struct hl_block *blocks = realloc(p->blocks, (p->n_blocks + n) * sizeof *blocks);
    w->list.failed |= !blocks;
    if (!blocks)
        return 0;
    p->blocks = blocks;
    const uint16_t set = p->n_blocks;
    for (uint32_t i = 0; i < n; i++) {
        p->blocks[p->n_blocks].rows = size;
        push_block_op(w, HL_OP_ALLOC, p->n_blocks++);
    }
    return set;
}

void hl_writer_recycle_attention(struct hl_writer *w, uint16_t set)
{
    const struct hl_schedule *s = &w->config->schedule;
    const int points_per_layer = hl_splits_calls(s) ? 1 + s->calls_per_layer : 1;
    for (int layer = 0; layer < s->layers; layer++)
        if (layer * points_per_layer < hl_resolved_pieces(w->config) - 1)
            recycle(w, attention_block(set, layer));
}

/*
 * The walk
 */

struct walk {
    struct hl_writer *w;
    const struct hl_pass *pass;
    int piece; /* the piece that the walk is in */
    int last_piece;
};

static void push_graph_op(struct hl_writer *w, enum hl_op_kind kind, uint16_t graph)
{
    struct hl_op op = hl_op_make(kind);
    op.graph = graph;
    hl_writer_push(w, op);
}

static void begin_piece(struct walk *k)
{
    struct hl_writer *w = k->w;
    const uint16_t graph = (uint16_t)(k->pass->graph + k->piece);
    if (k->pass->kind == HL_PASS_REPLAY)
        push_graph_op(w, HL_OP_GRAPH_LAUNCH, graph);
    if (k->pass->kind != HL_PASS_CAPTURE)
        return;
    hl_writer_label(w, "capture, size %u, piece %d", k->pass->size, k->piece);
    /* torch.cuda.graph synchronizes as it is entered; the breakable runner begins captures without it. */
    if (w->config->schedule.mode != HL_MODE_BREAKABLE)
        hl_writer_push(w, hl_op_make(HL_OP_SYNC));
    push_graph_op(w, HL_OP_CAPTURE_BEGIN, graph);
}

static void end_piece(struct walk *k)
{
    if (k->pass->kind != HL_PASS_CAPTURE)
        return;
    push_graph_op(k->w, HL_OP_CAPTURE_END, (uint16_t)(k->pass->graph + k->piece));
    /* Breakable: ranks meet again after the slow end of a segment, before what runs in the break. */
    if (k->w->config->schedule.mode == HL_MODE_BREAKABLE && k->piece < k->last_piece)
        hl_writer_push(k->w, hl_op_make(HL_OP_BARRIER));
}

/* Is there still a cut to make? Then the op at this split point runs between two pieces. */
static bool is_cut(const struct walk *k)
{
    return k->pass->kind != HL_PASS_EAGER && k->piece < k->last_piece;
}

/* An op that belongs to the piece: a replay does not issue it, the graph does. */
static void push_inside(struct walk *k, struct hl_op op)
{
    if (k->pass->kind != HL_PASS_REPLAY)
        hl_writer_push(k->w, op);
}

/* An op at a split point: between two pieces while there are cuts left, else like any other. */
static void push_split(struct walk *k, bool cut, const struct hl_op *ops, int n)
{
    if (cut) {
        end_piece(k);
        if (k->pass->kind == HL_PASS_CAPTURE)
            hl_writer_label(k->w, "capture pass, size %u, after piece %d", k->pass->size, k->piece);
    }
    for (int i = 0; i < n; i++) {
        if (cut)
            hl_writer_push(k->w, ops[i]);
        else
            push_inside(k, ops[i]);
    }
    if (!cut)
        return;
    k->piece++;
    begin_piece(k);
}

static struct hl_op filler(const struct walk *k, uint16_t block, uint32_t rows)
{
    struct hl_op op = hl_op_make(HL_OP_FILLER);
    op.block = block;
    op.rows = rows;
    op.content = k->w->config->payload.rows == HL_ROWS_PATTERN ? HL_CONTENT_PATTERN : HL_CONTENT_FRESH;
    return op;
}

static struct hl_op source_filler(const struct walk *k, uint16_t block, uint16_t source)
{
    struct hl_op op = filler(k, block, k->pass->size);
    if (k->w->config->payload.rows == HL_ROWS_ENGINE) {
        op.content = HL_CONTENT_SOURCE;
        op.source = source;
    }
    return op;
}

static void walk_attention(struct walk *k, int layer)
{
    const struct hl_config *c = k->w->config;
    const struct hl_pass *pass = k->pass;
    const uint16_t output = attention_block(pass->blocks, layer);
    const bool cut = is_cut(k);
    const bool padded = cut && pass->kind == HL_PASS_REPLAY && c->payload.rows == HL_ROWS_ENGINE;
    const uint32_t rows = padded ? pass->tokens : pass->size;
    if (c->payload.rows == HL_ROWS_UNWRITTEN) {
        push_split(k, cut, NULL, 0);
    } else if (cut && c->schedule.mode == HL_MODE_BREAKABLE) {
        const uint16_t eager = break_block(&c->schedule, pass->blocks, layer);
        struct hl_op ops[] = { hl_op_make(HL_OP_FREE), hl_op_make(HL_OP_ALLOC), filler(k, eager, rows),
                               source_filler(k, output, eager) };
        ops[0].block = ops[1].block = eager;
        push_split(k, cut, ops, 4);
    } else {
        const struct hl_op op = filler(k, output, rows);
        push_split(k, cut, &op, 1);
    }
}

static struct hl_op call_op(const struct walk *k, int site)
{
    const struct hl_config *c = k->w->config;
    struct hl_op op = hl_op_make(HL_OP_CALL);
    op.site = (uint16_t)site;
    op.tokens = k->pass->size;
    op.block = input_block(&c->schedule, k->pass->blocks, site);
    op.protocol = hl_resolved_protocol(c, op.tokens);
    op.workspace = hl_resolved_workspace(c, op.site, op.tokens);
    op.pdl = c->schedule.pdl;
    return op;
}

static void walk_call(struct walk *k, int site)
{
    const struct hl_config *c = k->w->config;
    const bool cut = hl_splits_calls(&c->schedule) && is_cut(k);
    const struct hl_op call = call_op(k, site);
    const enum hl_rows rows = c->payload.rows;
    /* Rows that the scenario wants written are written in the capture pass too, where no producer runs. */
    if (cut && k->pass->kind == HL_PASS_CAPTURE && (rows == HL_ROWS_REAL || rows == HL_ROWS_PATTERN)) {
        const struct hl_op ops[] = { filler(k, call.block, k->pass->size), call };
        push_split(k, cut, ops, 2);
    } else {
        push_split(k, cut, &call, 1);
    }
}

static void walk_layer(struct walk *k, int layer)
{
    const struct hl_schedule *s = &k->w->config->schedule;
    const bool written = k->w->config->payload.rows != HL_ROWS_UNWRITTEN;
    const uint16_t set = k->pass->blocks;
    const int site = layer * s->calls_per_layer;
    walk_attention(k, layer);
    if (written) /* the projection */
        push_inside(k, source_filler(k, input_block(s, set, site), attention_block(set, layer)));
    walk_call(k, site);
    if (s->calls_per_layer < 2)
        return;
    if (written) /* the MLP */
        push_inside(k, filler(k, input_block(s, set, site + 1), k->pass->size));
    walk_call(k, site + 1);
}

void hl_writer_forward(struct hl_writer *w, const struct hl_pass *pass)
{
    struct walk k = { .w = w, .pass = pass, .last_piece = hl_resolved_pieces(w->config) - 1 };
    if (w->config->payload.rows == HL_ROWS_UNWRITTEN) {
        hl_writer_push(w, hl_op_make(HL_OP_SYNC)); /* earlier passes may still read these blocks */
        for (int site = 0; site < w->program->n_sites; site++)
            recycle(w, input_block(&w->config->schedule, pass->blocks, site));
    }
    begin_piece(&k);
    for (int layer = 0; layer < w->config->schedule.layers; layer++)
        walk_layer(&k, layer);
    end_piece(&k);
    assert(pass->kind == HL_PASS_EAGER || k.piece == k.last_piece);
}

/* What the feed says of calls. */
#include "sim.h"

/* An output word that nobody wrote since the call began: a NaN in every data type. */
static void poison(uint32_t *rows, size_t words)
{
    for (size_t i = 0; i < words; i++)
        rows[i] = HL_POISON;
}

static struct hl_call_record make_record(const struct hl_sim *s, int rank, const struct hl_sim_entry *from,
                                         uint32_t op_index, uint32_t call)
{
    const struct hl_op *op = hl_sim_op(s, rank, op_index), *launch = hl_sim_op(s, rank, from->op);
    const bool in_graph = launch->kind == HL_OP_GRAPH_LAUNCH;
    return (struct hl_call_record){
        .call = call,
        .op = op_index,
        .launch = from->op,
        .site = op->site,
        .graph = in_graph ? launch->graph : HL_NONE,
        .node = in_graph ? (uint16_t)(op_index - s->program->graphs[rank][launch->graph].begin) : 0,
        .workspace = op->workspace,
        .stream = op->stream,
        .protocol = op->protocol,
        .dtype = s->config->subject.dtype,
        .replay = in_graph ? from->number : 0,
        .tokens = op->tokens,
        .exec_tokens = s->ops[rank][op_index].tokens,
        .rows_written = s->rows_written[rank][op->block],
        .ctas = s->ops[rank][op_index].ctas[0],
        .epoch = s->config->subject.mutant == HL_MUTANT_BAKED_EPOCH
                     ? 1 + hl_sim_epoch(s, rank, from->op, op_index, call)
                     : 0,
        .group = op->group,
    };
}

void hl_sim_emit_enqueued(struct hl_sim *s, int rank, const struct hl_sim_entry *entry)
{
    if (!s->feed.on_event)
        return;
    const struct hl_op *op = hl_sim_op(s, rank, entry->op);
    const struct hl_graph one = { entry->op, entry->op + 1 };
    const bool in_graph = op->kind == HL_OP_GRAPH_LAUNCH;
    const struct hl_graph range = in_graph ? s->program->graphs[rank][op->graph] : one;
    for (uint32_t i = range.begin; i < range.end; i++) {
        const struct hl_op *node = hl_sim_op(s, rank, i);
        if (node->kind != HL_OP_CALL)
            continue;
        const uint32_t ordinal = in_graph ? s->ops[rank][i].ordinal : 0;
        const struct hl_call_record record =
            make_record(s, rank, entry, i, entry->first_call[node->workspace] + ordinal);
        hl_sim_emit(s, (struct hl_event){
                           .kind = HL_EVENT_ENQUEUE, .rank = rank, .stream = op->stream, .call = &record });
    }
}

void hl_sim_emit_call(struct hl_sim *s, uint32_t kernel, enum hl_event_kind kind)
{
    const struct hl_sim_kernel *k = &s->kernels[kernel];
    const struct hl_cx *cx = &s->cx[kernel];
    const size_t words = (size_t)cx->tokens * cx->layout.row_words;
    if (kind == HL_EVENT_CALL_BEGIN) {
        poison(cx->residual_out, words);
        poison(cx->norm_out, words);
    } else {
        hl_sim_check_guards(s, cx->rank);
    }
    if (!s->feed.on_event)
        return;
    const struct hl_call_record record = make_record(s, cx->rank, &k->from, k->op, k->call);
    const struct hl_call_data data = {
        .input = cx->input,
        .residual = cx->residual,
        .gamma = cx->gamma,
        .residual_out = cx->residual_out,
        .norm_out = cx->norm_out,
        .hidden = cx->hidden,
    };
    hl_sim_emit(s, (struct hl_event){ .kind = kind, .rank = cx->rank, .call = &record, .data = &data });
}

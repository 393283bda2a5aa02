/* Forward passes: the one place that says which rows a schedule feeds to its fused allreduces.
 *
 * A pass is a walk over the layers: attention, projection, fused call, MLP, fused call. How it is issued (op
 * by op, recorded into pieces, or replayed) decides which rows of the calls' inputs anybody has written;
 * nothing else in hanglab does. The row model, and what of it is fact, stands in forward.c. */
#pragma once
#include "ops.h"

enum hl_pass_kind {
    HL_PASS_EAGER,   /* the host launches everything */
    HL_PASS_CAPTURE, /* pieces are recorded, split ops run eagerly between them */
    HL_PASS_REPLAY   /* graphs are launched, split ops run eagerly between them */
};

struct hl_pass {
    enum hl_pass_kind kind;
    uint32_t size;   /* rows that the kernels run over */
    uint32_t tokens; /* rows that hold a token; fewer than `size` when replay pads */
    uint16_t blocks; /* first block of the set that the pass works on */
    uint16_t graph;  /* first graph; the pieces follow */
};

/* Writes a program for one rank; all ranks get the same one. */
struct hl_writer {
    const struct hl_config *config; /* resolved */
    struct hl_program *program;
    struct hl_op_list list;
    uint16_t label;
};

/* Starts a new phase: ops pushed from now on carry this label. */
__attribute__((format(printf, 2, 3))) void hl_writer_label(struct hl_writer *w, const char *format, ...);
void hl_writer_push(struct hl_writer *w, struct hl_op op);

/* Blocks that one pass works on. */
uint32_t hl_block_set_size(const struct hl_config *resolved);
/* A new set for passes of `size` rows, taken from the pool here. A set serves one size only, so that a
 * reduced geometry scales a pass's rows and tokens alike. */
uint16_t hl_writer_add_blocks(struct hl_writer *w, uint32_t size);
/* After a capture pass: pieces share the pool, so the outputs of split attentions have had other users. */
void hl_writer_recycle_attention(struct hl_writer *w, uint16_t set);

void hl_writer_forward(struct hl_writer *w, const struct hl_pass *pass);

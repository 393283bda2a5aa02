/* Rank programs: what every rank's host does, op by op.
 *
 * A schedule becomes one op list a rank; faults are woven into it; both engines execute it. Ops carry real
 * token counts: the simulator reduces them itself. An op between capture-begin and capture-end of its
 * stream is recorded into that graph instead of executed; graph-launch executes the recorded ops, so a
 * graph is the op range of its capture. Streams forked inside a capture (event-record on the captured
 * stream, event-wait on the other) become parallel branches. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "hanglab/config.h"
#include "hanglab/error.h"
#include "../../kernels/layout.h"

/* X(ID, name, doc) */
#define HL_OPS(X) \
    X(HL_OP_WORKSPACE_INIT, "workspace-init", "fill the own workspace with sentinels and set its flags") \
    X(HL_OP_BARRIER, "barrier", "host barrier over all ranks") \
    X(HL_OP_CALL, "call", "one fused allreduce") \
    X(HL_OP_FILLER, "filler", "computation that writes rows of a block") \
    X(HL_OP_CAPTURE_BEGIN, "capture-begin", "start to record `stream` into `graph`") \
    X(HL_OP_CAPTURE_END, "capture-end", "end the recording of `graph`") \
    X(HL_OP_GRAPH_LAUNCH, "graph-launch", "replay `graph` on `stream`") \
    X(HL_OP_EVENT_RECORD, "event-record", "record `event` on `stream`") \
    X(HL_OP_EVENT_WAIT, "event-wait", "`stream` waits for `event`") \
    X(HL_OP_COPY, "copy", "asynchronous copy of `rows` rows on `stream`") \
    X(HL_OP_HOST_DELAY, "host-delay", "the host sleeps `delay_ns`") \
    X(HL_OP_ALLOC, "alloc", "take `block` from the pool: it holds what was there before") \
    X(HL_OP_FREE, "free", "give `block` back") \
    X(HL_OP_SYNC, "sync", "the host waits until `stream` is empty") \
    X(HL_OP_EXIT, "exit", "the host program ends") \
    X(HL_OP_KILL, "kill", "the process dies, with all its work on the device") \
    X(HL_OP_STOP, "stop", "the process is stopped and does not go on") \
    X(HL_OP_DEVICE_SYNC, "device-sync", \
      "the host waits until no kernel runs in its context, as cudaFree does") \
    X(HL_OP_FOREIGN, "foreign", "from here on, a kernel of somebody else takes all room of the GPU") \
    X(HL_OP_SERIALISE, "serialise", "from here on, a tool lets one kernel of all ranks run at a time") \
    X(HL_OP_HOLD, "hold", "from here on, `stream` waits for something that does not come") \
    X(HL_OP_FREEZE, "freeze", "from here on, the driver starts nothing on the rank's GPU, and tells nobody") \
    X(HL_OP_TURN, "turn", "the host waits until that of rank `source` has issued `rows` calls: they share a thread") \
    X(HL_OP_REUSE, "reuse", \
      "the memory of `workspace`, given back, is written by somebody else: its buffers, not its flags")
enum hl_op_kind { HL_OPS(HL_ENUMERATOR) HL_OP_KIND_COUNT };

/* What a filler writes into a row. */
#define HL_CONTENTS(X) \
    X(HL_CONTENT_FRESH, "fresh", "new values, distinct for every execution, rank and row") \
    X(HL_CONTENT_PATTERN, "pattern", "the payload pattern of the configuration") \
    X(HL_CONTENT_SOURCE, "source", "row by row what block `source` holds: a projection lets residue through")
enum hl_content { HL_CONTENTS(HL_ENUMERATOR) HL_CONTENT_COUNT };

#define HL_NONE UINT16_MAX          /* no block, no graph */
#define HL_PROGRAM_WORKSPACES_MAX 3 /* attention, MLP, and the communicator of unfused calls */

struct hl_op {
    enum hl_op_kind kind;
    uint8_t stream;
    uint8_t workspace; /* call, workspace-init, reuse */
    uint8_t replaces;  /* workspace-init: 1 + the workspace that this one stands for from now on; 0: none */
    uint16_t graph;    /* capture-begin/-end, graph-launch */
    uint16_t event;    /* event-record, event-wait */
    uint16_t block;    /* call: input; filler: output; alloc, free, copy */
    uint16_t source;   /* filler with HL_CONTENT_SOURCE: a block; turn: a rank */
    uint16_t label;    /* index into hl_program.labels: which phase this op belongs to */
    uint16_t site;     /* call: which fused allreduce of a forward pass, 0.. */
    uint16_t fault;    /* 0, or 1 + index of the fault that changed this op: fires HL_EVENT_FAULT */
    enum hl_content content;   /* filler */
    enum hl_protocol protocol; /* call: resolved from backend, strategy and tokens */
    bool pdl;                  /* call: launched with the PDL attribute */
    bool early;                /* barrier: comes to it without waiting for the others */
    uint32_t group;    /* barrier, call: the ranks that it is for, a bit each; 0 = all of this world */
    uint32_t ctas;     /* call: most CTAs of its grid; 0 = as many as the protocol wants */
    uint32_t tokens;   /* call: rows it reduces; real, not reduced */
    uint32_t rows;     /* filler, copy: leading rows written; turn: calls */
    uint64_t delay_ns; /* host-delay */
};

/* A block of pool memory: `rows` rows of `hidden` elements. */
struct hl_block {
    uint32_t rows;
};

struct hl_rank_program {
    struct hl_op *ops;
    uint32_t n_ops;
    /* Unbounded replay (explore): after the last op, go on at this one. UINT32_MAX: end. */
    uint32_t loop_to;
};

/* The op range [begin, end) strictly between capture-begin and capture-end, per rank. It may be empty: two
 * split ops in a row leave a piece with nothing in it, and engines capture and launch those too. */
struct hl_graph {
    uint32_t begin, end;
};

/* What became of a fault when it was woven in. X(ID, name, doc) */
#define HL_FATES(X) \
    X(HL_FATE_NONE, "none", "not woven in yet") \
    X(HL_FATE_HEALTHY, "healthy", \
      "the fault is `none`: there is nothing to weave in, and nothing that could fire") \
    X(HL_FATE_WOVEN, "woven", "in the program: it fires when a marked op is executed") \
    X(HL_FATE_NOT_DRAWN, "not-drawn", "its probability left it out of this run: the run counts without it") \
    X(HL_FATE_NO_PLACE, "no-place", "the program has no place for it: it can never fire")
enum hl_fate { HL_FATES(HL_ENUMERATOR) HL_FATE_COUNT };

struct hl_fault_fate {
    enum hl_fate fate;
    char why[160]; /* no-place: why */
};

struct hl_program {
    struct hl_config config; /* resolved: what the ops were made from */
    int ranks;
    struct hl_rank_program rank[HL_RANKS_MAX];
    struct hl_graph *graphs[HL_RANKS_MAX]; /* [rank][graph] */
    uint16_t n_graphs;                     /* the same for all ranks; unused ones are empty */
    struct hl_block *blocks;
    uint16_t n_blocks;
    uint16_t n_events;
    uint8_t n_streams; /* per rank */
    uint8_t n_workspaces;
    uint16_t n_sites;    /* fused allreduces of one forward pass */
    uint32_t tokens_max; /* most tokens of any call: sizes the workspaces */
    char **labels;
    uint16_t n_labels;
    struct hl_fault_fate fates[HL_FAULTS_MAX]; /* of config.faults */
};

/* Resolves presets and `auto`, then builds every rank's program for one run; `seed` draws what varies
 * between runs (replayed token counts). Faults are not in it yet: see fault/weave.h. */
enum hl_status hl_program_create(const struct hl_config *config, uint64_t seed,
                                 struct hl_program **ret_program, struct hl_error *error);
void hl_program_destroy(struct hl_program *program);

/* Family of the calls on a workspace: all are of one, unfused calls have a workspace of their own. */
enum hl_family hl_program_family(const struct hl_program *program, int workspace);

/* One op as a person reads it, e.g. "call site 3, 512 tokens, mnnvl-twoshot, workspace 0, stream 0". */
void hl_op_describe(const struct hl_program *program, const struct hl_op *op, char *text, size_t size);

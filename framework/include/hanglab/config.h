/* One case's configuration: what a scenario file says, resolved to one point of the matrix.
 *
 * Every choice is an X-macro row X(ID, name in the file, doc), so that parser, schema, `hanglab list` and
 * reports take their words from one place. Numbers carry their unit in the name. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "words.h"

#define HL_BACKENDS(X) \
    X(HL_BACKEND_MNNVL, "mnnvl", "FlashInfer's MNNVL backend: Lamport buffers, sentinel words") \
    X(HL_BACKEND_TRTLLM, "trtllm", "FlashInfer's trtllm backend: Lamport one-shot, barrier two-shot") \
    X(HL_BACKEND_NCCL, "nccl", "plain allreduce, then residual + RMSNorm: the reference") \
    X(HL_BACKEND_AUTO, "auto", "what FlashInfer picks: trtllm up to 16 ranks on one node, else mnnvl")

#define HL_STRATEGIES(X) \
    X(HL_STRATEGY_AUTO, "auto", "the backend's own threshold decides, per call and rank") \
    X(HL_STRATEGY_ONESHOT, "oneshot", "every rank reduces everything") \
    X(HL_STRATEGY_TWOSHOT, "twoshot", "each rank reduces its share and broadcasts it")

#define HL_PATTERNS(X) \
    X(HL_PATTERN_AR_RESIDUAL_RMSNORM, "ar-residual-rmsnorm", "allreduce, residual add, RMSNorm (kARResidualRMSNorm)")

#define HL_PLACEMENTS(X) \
    X(HL_PLACEMENT_VIRTUAL, "virtual", "one process for all ranks: a host thread and streams of its own for each, on one GPU or several") \
    X(HL_PLACEMENT_PROCESS, "process", "one process a rank, a GPU each, or a shared one")

#define HL_PROGRESS_MODELS(X) \
    X(HL_PROGRESS_FAIR, "fair", "every CTA runs eventually") \
    X(HL_PROGRESS_LOBE, "lobe", "CTAs start in order while there is room, and only started ones are sure to run on") \
    X(HL_PROGRESS_OBE, "obe", "as lobe, but CTAs of a grid start in any order: the oversubscribed grid that few GPUs show")

#define HL_MEMORY_MODELS(X) \
    X(HL_MEMORY_SC, "sc", "sequential consistency: a store is seen by all at once") \
    X(HL_MEMORY_RELAXED, "relaxed", "a peer sees a store later, out of order and in 8-byte halves, unless it is released")

#define HL_MODES(X) \
    X(HL_MODE_EAGER, "eager", "every op launched by the host, token counts unpadded") \
    X(HL_MODE_FULL, "full", "one decode graph per size, padded replay") \
    X(HL_MODE_PIECEWISE, "piecewise", "one graph per piece, split ops launched eagerly between pieces") \
    X(HL_MODE_BREAKABLE, "breakable", "one capture broken into segments around attention, no barriers in replay")

#define HL_FUSIONS(X) \
    X(HL_FUSION_IN_GRAPH, "in-graph", "the fused allreduce is recorded inside a piece (option A)") \
    X(HL_FUSION_SPLIT_OP, "split-op", "the fused allreduce runs eagerly between pieces, also during the capture pass (option B)")

#define HL_PRESETS(X) \
    X(HL_PRESET_NONE, "none", "the schedule as written") \
    X(HL_PRESET_SGLANG, "sglang", "sglang's flags, orders and counts") \
    X(HL_PRESET_VLLM, "vllm", "vLLM's orders and counts") \
    X(HL_PRESET_TRTLLM, "trtllm", "TensorRT-LLM's orders and counts")

#define HL_GUARDS(X) \
    X(HL_GUARD_SHIPPED, "shipped", "piecewise graphs are turned off while the backend is mnnvl") \
    X(HL_GUARD_OPTION_A, "option-a", "sglang#23402, option A: piecewise with mnnvl, fusion in the graph") \
    X(HL_GUARD_OPTION_B, "option-b", "sglang#23402, option B: piecewise with mnnvl, fusion as a split op")

#define HL_FALLBACKS(X) \
    X(HL_FALLBACK_NONE, "none", "the fused call runs") \
    X(HL_FALLBACK_NORM_ONLY, "norm-only", "the fused call returns nothing and its caller only norms: the allreduce is lost") \
    X(HL_FALLBACK_ALLREDUCE_FIRST, "allreduce-first", "the fused call returns nothing; its caller reduces first, then norms")

#define HL_ROWS(X) \
    X(HL_ROWS_ENGINE, "engine", "what this schedule would really feed: real, padded or unwritten rows") \
    X(HL_ROWS_REAL, "real", "every row freshly computed") \
    X(HL_ROWS_UNWRITTEN, "unwritten", "every row is pool residue that nobody wrote") \
    X(HL_ROWS_PATTERN, "pattern", "every row holds `payload.pattern`")

#define HL_PAYLOAD_PATTERNS(X) \
    X(HL_PAYLOAD_SUBNORMAL, "subnormal", "the #3304 regression pattern: pairs (0x0000, 0x8001..0x807F), 0x8000, 0x0001..0x007F") \
    X(HL_PAYLOAD_NEGATIVE_ZERO, "negative-zero", "-0.0 everywhere") \
    X(HL_PAYLOAD_RANDOM_BITS, "random-bits", "uniformly random bits: NaN, infinities, subnormals and all") \
    X(HL_PAYLOAD_NAN, "nan", "quiet NaN everywhere") \
    X(HL_PAYLOAD_ZERO, "zero", "+0.0 everywhere")

#define HL_DETAILS(X) \
    X(HL_DETAIL_LIGHT, "light", "the harness's own feed only") \
    X(HL_DETAIL_CUPTI, "cupti", "plus CUPTI callbacks and graph-level records") \
    X(HL_DETAIL_NODE, "node", "plus a record per graph node") \
    X(HL_DETAIL_PC, "pc", "plus PC sampling") \
    X(HL_DETAIL_CORE, "core", "a GPU core dump of the hang, without CUPTI")

#define HL_GEOMETRIES(X) \
    X(HL_GEOMETRY_REDUCED, "reduced", "64 hidden and at most 8 tokens a call in the simulator") \
    X(HL_GEOMETRY_FULL, "full", "hidden size and tokens as written")

/* X(ID, name, doc): deviations that the fault catalogue weaves into rank programs. */
#define HL_FAULTS(X) \
    X(HL_FAULT_NONE, "none", "no deviation: the healthy twin") \
    X(HL_FAULT_SKIP_CALL, "skip-call", "the rank leaves out one call") \
    X(HL_FAULT_EXTRA_CALL, "extra-call", "the rank issues one call twice") \
    X(HL_FAULT_OTHER_SIZE, "other-size", "the rank calls with `tokens` tokens") \
    X(HL_FAULT_OTHER_STRATEGY, "other-strategy", "the rank takes the other of one-shot and two-shot") \
    X(HL_FAULT_SWAP_ORDER, "swap-order", "the rank swaps two neighbouring calls of different workspaces") \
    X(HL_FAULT_SECOND_STREAM, "second-stream", "the rank issues one call on a second stream, beside its neighbour") \
    X(HL_FAULT_LATE_MEMSET, "late-memset", "the rank fills its workspace with sentinels after the barrier instead of before it; `delay` after it, if that is given") \
    X(HL_FAULT_HOST_DELAY, "host-delay", "the rank's host sleeps `delay` before one call; by default 10 us to 41 ms, log-uniform") \
    X(HL_FAULT_EARLY_INIT, "early-init", "the rank goes on to its first calls although its peers, `delay` late, have not filled their workspaces") \
    X(HL_FAULT_OTHER_BUCKET, "other-bucket", "the rank replays the graph of another size") \
    X(HL_FAULT_EAGER_INSTEAD, "eager-instead-of-graph", "the rank launches the ops of a graph one by one instead of replaying it") \
    X(HL_FAULT_GRID_MISMATCH, "grid-mismatch", "the rank launches the call with half of its CTAs") \
    X(HL_FAULT_KILL_RANK, "kill-rank", "the rank's process dies, with all its work on the device") \
    X(HL_FAULT_STOP_RANK, "stop-rank", "the rank's process is stopped (SIGSTOP) and issues nothing more") \
    X(HL_FAULT_HOST_BLOCK, "host-block", "the rank's host waits until no kernel runs in its context, as cudaFree does") \
    X(HL_FAULT_LONE_BARRIER, "lone-barrier", "the rank comes to a barrier that its peers do not have") \
    X(HL_FAULT_WRONG_GROUP, "wrong-group", "the rank's first barrier waits for a rank that is not of this world") \
    X(HL_FAULT_FOREIGN_SPIN, "foreign-spin", "a kernel of somebody else takes all room of the rank's GPU and does not end") \
    X(HL_FAULT_SERIALISE_LAUNCHES, "serialise-launches", "a tool on the rank lets kernels of all ranks run one after another only") \
    X(HL_FAULT_ONE_THREAD, "one-thread", "one thread issues for two ranks: the rank's call comes after all that the other one issues without a wait (world.launch_queue)") \
    X(HL_FAULT_CAPTURE_BARRIER, "capture-barrier", "the rank comes to a barrier inside the capture of a graph, where its peers have none") \
    X(HL_FAULT_STALL_STREAM, "stall-stream", "the rank's stream waits for something that does not come: a copy, an event, another stream") \
    X(HL_FAULT_DRIVER_STALL, "driver-stall", "the driver of the rank's GPU starts nothing any more, while launches succeed") \
    X(HL_FAULT_SHARED_WORKSPACE, "shared-workspace", "another group of ranks uses the rank's workspace for a call of its own") \
    X(HL_FAULT_MOVE_WORKSPACE, "move-workspace", "all ranks make a workspace anew between two captures and keep the old one: does no harm") \
    X(HL_FAULT_REALLOC, "realloc-after-capture", "all ranks make a workspace anew after the captures; on the rank, somebody else writes the old memory, which graphs still use") \
    X(HL_FAULT_STALE_GRAPH, "stale-graph", "all ranks make a workspace anew and capture again; the rank replays a graph of before")

/* The catalogue: X(ID of HL_FAULTS, keys that it takes beside probability, what it needs to find). A key that
 * no case of a file can take is a mistake. */
#define HL_FAULT_CATALOGUE(X) \
    X(HL_FAULT_NONE, "rank", "nothing: the twin of a fault on the same axis") \
    X(HL_FAULT_SKIP_CALL, "rank, call, calls", "the call") \
    X(HL_FAULT_EXTRA_CALL, "rank, call, calls", "the call") \
    X(HL_FAULT_OTHER_SIZE, "rank, call, calls, tokens", "the call, with another number of tokens") \
    X(HL_FAULT_OTHER_STRATEGY, "rank, call, calls", "a fused call; trtllm: with more tokens than ranks") \
    X(HL_FAULT_SWAP_ORDER, "rank, call, calls", \
      "the call and the next one on another workspace (subject.workspaces: 2), in one graph or launched " \
      "one by one") \
    X(HL_FAULT_SECOND_STREAM, "rank, call, calls", \
      "the call and the next one on the same workspace, in one graph or launched one by one") \
    X(HL_FAULT_LATE_MEMSET, "rank, delay", "a workspace with a call") \
    X(HL_FAULT_HOST_DELAY, "rank, call, calls, delay", \
      "the call; in a graph, the host sleeps before its launch") \
    X(HL_FAULT_EARLY_INIT, "rank, delay", \
      "a workspace with a call, and a barrier between its filling and that") \
    X(HL_FAULT_OTHER_BUCKET, "rank, call, calls", "the call in a graph, and a second size") \
    X(HL_FAULT_EAGER_INSTEAD, "rank, call, calls", "the call in a graph") \
    X(HL_FAULT_GRID_MISMATCH, "rank, call, calls", "the call, with a grid of more than one CTA") \
    X(HL_FAULT_KILL_RANK, "rank, call", "the call; in a graph, before its launch") \
    X(HL_FAULT_STOP_RANK, "rank, call", "the call; in a graph, before its launch") \
    X(HL_FAULT_HOST_BLOCK, "rank, call, calls", "the call; in a graph, before its launch") \
    X(HL_FAULT_LONE_BARRIER, "rank, call, calls", "the call; in a graph, before its launch") \
    X(HL_FAULT_WRONG_GROUP, "rank", "a workspace with a call, and a barrier between its filling and that") \
    X(HL_FAULT_FOREIGN_SPIN, "rank, call", "the call, and world.progress: lobe, where room is limited") \
    X(HL_FAULT_SERIALISE_LAUNCHES, "rank, call", "the call; in a graph, before its launch") \
    X(HL_FAULT_ONE_THREAD, "rank, call", "the call; in a graph, before its launch") \
    X(HL_FAULT_CAPTURE_BARRIER, "rank, call", "the call in a graph") \
    X(HL_FAULT_STALL_STREAM, "rank, call", "the call; in a graph, before its launch") \
    X(HL_FAULT_DRIVER_STALL, "rank, call", "the call; in a graph, before its launch") \
    X(HL_FAULT_SHARED_WORKSPACE, "rank, call, calls", "the call") \
    X(HL_FAULT_MOVE_WORKSPACE, "rank, call", "the call in a graph of the second size or a later one") \
    X(HL_FAULT_REALLOC, "rank, call, calls", "the call in a graph; a program with at most two workspaces") \
    X(HL_FAULT_STALE_GRAPH, "rank, call, calls", "the call in a graph; a program with at most two workspaces")

enum hl_backend { HL_BACKENDS(HL_ENUMERATOR) HL_BACKEND_COUNT };
enum hl_strategy { HL_STRATEGIES(HL_ENUMERATOR) HL_STRATEGY_COUNT };
enum hl_pattern { HL_PATTERNS(HL_ENUMERATOR) HL_PATTERN_COUNT };
enum hl_placement { HL_PLACEMENTS(HL_ENUMERATOR) HL_PLACEMENT_COUNT };
enum hl_progress { HL_PROGRESS_MODELS(HL_ENUMERATOR) HL_PROGRESS_COUNT };
enum hl_memory_model { HL_MEMORY_MODELS(HL_ENUMERATOR) HL_MEMORY_COUNT };
enum hl_mode { HL_MODES(HL_ENUMERATOR) HL_MODE_COUNT };
enum hl_fusion { HL_FUSIONS(HL_ENUMERATOR) HL_FUSION_COUNT };
enum hl_preset { HL_PRESETS(HL_ENUMERATOR) HL_PRESET_COUNT };
enum hl_guard { HL_GUARDS(HL_ENUMERATOR) HL_GUARD_COUNT };
enum hl_fallback { HL_FALLBACKS(HL_ENUMERATOR) HL_FALLBACK_COUNT };
enum hl_rows { HL_ROWS(HL_ENUMERATOR) HL_ROWS_COUNT };
enum hl_payload_pattern { HL_PAYLOAD_PATTERNS(HL_ENUMERATOR) HL_PAYLOAD_COUNT };
enum hl_detail { HL_DETAILS(HL_ENUMERATOR) HL_DETAIL_COUNT };
enum hl_geometry { HL_GEOMETRIES(HL_ENUMERATOR) HL_GEOMETRY_COUNT };
enum hl_fault_kind { HL_FAULTS(HL_ENUMERATOR) HL_FAULT_COUNT };

#define HL_NAME_MAX 128

struct hl_world {
    int ranks;                     /* 2, 4, 8 or 16 */
    enum hl_placement placement;
    int gpus;                      /* that ranks are dealt to; 0 = auto, see program/placement.h */
    enum hl_progress progress;
    enum hl_memory_model memory;
    uint32_t sms;                  /* multiprocessors of each GPU; a trtllm grid has at most as many CTAs */
    uint32_t resident_ctas;        /* CTAs that one GPU holds (lobe); 0 = 2 a multiprocessor */
    uint32_t launch_queue;         /* launches that a stream takes before the host blocks */
};

struct hl_subject {
    enum hl_backend backend;
    enum hl_strategy strategy;
    enum hl_pattern pattern;
    enum hl_dtype dtype;
    uint32_t hidden;               /* elements of a row */
    enum hl_compare sentinel_compare;
    enum hl_mutant mutant;
    char plugin[HL_NAME_MAX];      /* shared object that runs the calls; "": hanglab's own kernels */
    enum hl_fallback fallback;
    int workspaces;                /* 1, or 2: attention and MLP calls on workspaces of their own */
    struct hl_strike strike;       /* where the mutants that strike once do so */
};

/* Where the memory of a workspace comes from: its size and its place. */
struct hl_workspace_memory {
    uint32_t size_mib;             /* of the three buffers; 0: exactly as much as the largest call needs */
    uint32_t offset_bytes;         /* of its start from a 256-byte bound */
    bool checked;                  /* the host sends a call that does not fit to the plain allreduce */
};

#define HL_SIZES_MAX 128 /* vLLM captures 67 */
struct hl_schedule {
    enum hl_mode mode;
    enum hl_fusion fusion;
    enum hl_preset preset;
    int layers;
    int calls_per_layer;           /* fused allreduces in a layer: 2 = after attention and after the MLP */
    uint32_t sizes[HL_SIZES_MAX];  /* captured token counts; eager: the token counts that occur */
    int n_sizes;
    int pieces;                    /* graphs a forward pass is cut into; 0 = at every split op */
    int warmups;                   /* executed forward passes before each capture; -1 = the mode's own */
    int replays;                   /* forward passes after capture */
    bool pdl;                      /* programmatic dependent launch on the fused calls */
    bool padding;                  /* replay pads tokens up to the captured size */
};

#define HL_RESIDUE_AUTO (-1)
struct hl_residue {
    double negative_subnormal_rows; /* probability that an unwritten row holds a negative-subnormal word */
    double nan_rows;                /* ... holds a NaN */
};

struct hl_payload {
    enum hl_rows rows;
    enum hl_payload_pattern pattern;
    struct hl_residue residue;
};

/* The serving engine's own flags; used with a preset. Tristate: -1 not given, 0 off, 1 on. */
struct hl_flags {
    int allreduce_fusion_backend;            /* enum hl_backend, or -1: not given */
    int enable_allreduce_fusion;             /* the legacy flag */
    int enforce_disable_allreduce_fusion;
    int enable_deterministic_inference;
    int enable_piecewise_cuda_graph;
    enum hl_guard guard;
    int deterministic_clears_old_flag_only;  /* the bug: the resolved backend stays active */
    int nodes;                               /* hosts in the world */
};

struct hl_fault {
    enum hl_fault_kind kind;
    int rank;
    int call;                      /* first call that it hits; -1 = every call */
    int calls;                     /* how many calls in a row */
    double probability;            /* that it hits at all, drawn once per run */
    uint32_t tokens;               /* other-size */
    uint64_t delay_ns;             /* host-delay */
};

struct hl_watchdog_config {
    uint64_t threshold_ns;         /* no progress for so long is a stall; 0 = auto */
    enum hl_detail detail;
};

#define HL_FAULTS_MAX 16
struct hl_config {
    char name[HL_NAME_MAX];
    struct hl_world world;
    struct hl_subject subject;
    struct hl_workspace_memory workspace;
    struct hl_schedule schedule;
    struct hl_payload payload;
    struct hl_flags flags;
    struct hl_fault faults[HL_FAULTS_MAX];
    int n_faults;
    struct hl_watchdog_config watchdog;
    enum hl_geometry geometry;     /* of the simulator; the command line's --geometry */
    int runs;
};

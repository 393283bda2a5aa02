/* What a watched process tells of itself: a page of fixed size, in memory that its supervisor reads.
 *
 * Callbacks write it while the process runs; nobody has to ask the process once it is stuck, and it is still
 * there when the process is dead. Writers never allocate and never wait: what finds no room is counted in
 * `lost`. Readers take a copy and allow for entries that are half written.
 *
 * A page is a file under `hanglab watch`, and shared memory between the CUDA engine and its runner. Times are
 * CLOCK_MONOTONIC, in nanoseconds. No CUDA header is needed to read one. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "../host/snapshot.h"
#include "../known/known.h"
#include "apis.h"

#define HL_PAGE_MAGIC 0x676170676e616c68ull /* "hlangpag" */
#define HL_PAGE_VERSION 2

#define HL_PAGE_THREADS 256
#define HL_PAGE_STREAMS 256
#define HL_PAGE_LAUNCHES 64 /* last ones of a stream */
#define HL_PAGE_KERNELS 4096
#define HL_PAGE_EXECS 4096
#define HL_PAGE_NODES 131072
#define HL_PAGE_FINISHED 16384
#define HL_PAGE_SAMPLES 1024
#define HL_PAGE_MODULES 256
#define HL_PAGE_PARAMS 4096
#define HL_PAGE_WORKSPACES 64
#define HL_PAGE_PARTS 4           /* workspaces that one graph's calls are on */
#define HL_PAGE_WINDOW (1u << 20) /* bytes of device memory that are read at once */
#define HL_PAGE_NAME_MAX 240
#define HL_PAGE_NONE UINT32_MAX

/* How much is looked at. Each level has what the one before it has, but for graphs of CORE, whose kernels are
 * not known, and the node's kernels, which replace the graph's. */
enum hl_page_detail {
    HL_PAGE_LIGHT, /* driver calls, and events on the streams */
    HL_PAGE_CORE,  /* the same without CUPTI, beside which the driver dumps no GPU */
    HL_PAGE_CUPTI, /* a record for every graph launch */
    HL_PAGE_NODE,  /* a record for every kernel, also in graphs */
    HL_PAGE_PC     /* a record for every graph launch, and samples of the program counter */
};

enum hl_page_state {
    HL_PAGE_STARTING,
    HL_PAGE_WATCHING,
    HL_PAGE_BLIND, /* CUPTI cannot be had: `why` says so; the supervisor sees the process alone */
    HL_PAGE_ENDED  /* the process has come to its exit() */
};

/* The driver call that a thread is in. */
struct hl_page_thread {
    _Atomic uint32_t tid; /* 0: free */
    _Atomic uint32_t api; /* enum hl_api, HL_API_NONE outside */
    _Atomic uint64_t since_ns;
    uint64_t stream; /* that it launches on or waits for; 0: none, or not known */
    uint32_t kernel; /* launched by it, HL_PAGE_NONE */
    uint64_t params; /* of that launch, in params; 0: none that anybody asks for */
    bool recorded;   /* the launch has become a node of a graph: nothing runs */
};

struct hl_page_launch {
    uint64_t at_ns;
    uint32_t correlation; /* of its activity records */
    uint32_t kernel;      /* HL_PAGE_NONE: a graph */
    uint32_t exec;        /* the graph's, in execs; HL_PAGE_NONE: a kernel, or not known */
    uint32_t tid;
    uint32_t grid[3], block[3];
    uint64_t params; /* of a known kernel; 0: none */
    /* Numbers of the first call on each workspace of it, as counted there: a kernel has one, a graph those of
     * its parts. */
    uint32_t first_call[HL_PAGE_PARTS], first_shot[HL_PAGE_PARTS];
};

struct hl_page_stream {
    _Atomic uint64_t key;       /* of context and handle; 0: free */
    uint64_t handle, context;   /* as the driver names them */
    _Atomic uint64_t launched;  /* launches so far */
    _Atomic uint64_t completed; /* of them are known to have ended: all up to this number */
    _Atomic uint64_t marked;    /* an event stands behind so many of them */
    _Atomic uint64_t progress_ns;
    struct hl_page_launch launch[HL_PAGE_LAUNCHES]; /* launch n at n % HL_PAGE_LAUNCHES */
};

struct hl_page_kernel {
    _Atomic uint64_t function; /* the driver's handle; 0: free */
    enum hl_known_kernel known;
    uint32_t n_params,
        first_bytes; /* of a known one: its arguments, and bytes of the first; 0: not asked yet */
    char name[HL_PAGE_NAME_MAX];
};

/* A graph that can be launched. Its nodes are those of `graph`, in the order in which they were made. */
struct hl_page_exec {
    _Atomic uint64_t handle; /* 0: free */
    uint32_t graph;
    uint32_t launches;
    uint32_t n_parts; /* known since the first launch */
    struct hl_page_part {
        uint32_t workspace;    /* in workspaces */
        uint32_t calls, shots; /* of it in the graph */
    } parts[HL_PAGE_PARTS];
};

/* The arguments of known kernels, each set once. */
struct hl_page_params {
    _Atomic uint64_t hash; /* names it in launches and nodes; 0: free, 1: being written */
    uint64_t context;
    uint32_t kernel;    /* in kernels */
    uint32_t workspace; /* in workspaces; HL_PAGE_NONE: such arguments are not known */
    uint32_t grid[3];
    _Atomic uint32_t kept; /* a graph has it: never replaced */
    uint8_t bytes[HL_KNOWN_BYTES_MAX];
};

/* A workspace of known collectives. */
struct hl_page_workspace {
    _Atomic uint64_t key; /* of context and address; 0: free */
    uint64_t context, address;
    _Atomic uint32_t calls; /* so far */
    _Atomic uint32_t shots; /* of them turn its buffers: all but trtllm two-shots */
};

/* Device memory that the supervisor asks for, and what became of it. */
enum hl_page_read_result {
    HL_PAGE_READ_DONE,
    HL_PAGE_READ_UNPREPARED, /* no stream was prepared in that context */
    HL_PAGE_READ_NO_MEMORY,  /* it is no memory of the device, or not all of it */
    HL_PAGE_READ_LATE,       /* the copy has not ended in time, or an earlier one still has not */
    HL_PAGE_READ_FAILED
};
struct hl_page_read {
    uint64_t context, address;
    uint32_t bytes;
    enum hl_page_read_result result;
    uint64_t took_ns;
};

struct hl_page_node {
    _Atomic uint32_t graph; /* 0: free */
    uint32_t kernel;        /* HL_PAGE_NONE: no kernel, or its name is not known */
    uint32_t type;          /* CUgraphNodeType */
    uint64_t id;
    uint64_t params; /* of a known kernel; 0: none */
};

/* An activity record: of a graph launch (node 0) or of a kernel. */
struct hl_page_finished {
    uint32_t correlation;
    uint64_t node;             /* 0: not in a graph, or the whole graph */
    uint64_t start_ns, end_ns; /* the GPU's time; 0: not known */
};

struct hl_page_sample {
    uint32_t kernel;  /* its name, in kernels */
    uint64_t crc;     /* of its cubin */
    uint64_t pc;      /* offset in the function */
    uint64_t samples; /* a weight: shares are of their sum */
    /* Filled by who has the cubin: */
    uint32_t line; /* 0: not known */
    char file[HL_PAGE_NAME_MAX];
};

/* A cubin with line information, kept as a file beside the page. */
struct hl_page_module {
    uint64_t crc;
    uint64_t bytes;
};

struct hl_page {
    uint64_t magic;
    uint32_t version, bytes;
    uint32_t pid, detail;
    uint64_t started_ns;
    _Atomic uint32_t state;
    int rank; /* as the launcher of the job numbers it; -1: not known */
    char command[256];
    struct hl_snapshot snapshot;   /* of a thread that may not be traced */
    char why[256];                 /* BLIND, or what of the detail is missing */
    _Atomic uint64_t beat_ns;      /* the watchdog thread has last looked at all streams */
    _Atomic uint64_t threshold_ns; /* as learned */
    _Atomic uint64_t longest_ns;   /* longest time without progress that went on */
    _Atomic uint32_t capturing;    /* streams that are being captured */
    _Atomic uint64_t lost;

    /* The supervisor raises `asked`; the watchdog thread collects (or, with `reads`, reads memory) and then
     * sets `answered` to it. */
    _Atomic uint32_t asked, answered;
    _Atomic uint32_t reads;
    struct hl_page_read read;
    uint32_t serves_memory;         /* what reading takes is prepared in every context */
    uint64_t flush_ns, sampling_ns; /* what that took */
    uint64_t samples_all; /* of any code; the samples below count each under every reason of its warp */

    _Atomic uint64_t n_finished;
    _Atomic uint32_t n_nodes, n_samples, n_modules;
    struct hl_page_thread threads[HL_PAGE_THREADS];
    struct hl_page_stream streams[HL_PAGE_STREAMS];
    struct hl_page_kernel kernels[HL_PAGE_KERNELS];
    struct hl_page_exec execs[HL_PAGE_EXECS];
    struct hl_page_node nodes[HL_PAGE_NODES];
    struct hl_page_finished finished[HL_PAGE_FINISHED];
    struct hl_page_sample samples[HL_PAGE_SAMPLES];
    struct hl_page_module modules[HL_PAGE_MODULES];
    struct hl_page_params params[HL_PAGE_PARAMS];
    struct hl_page_workspace workspaces[HL_PAGE_WORKSPACES];
    uint8_t window[HL_PAGE_WINDOW];
};

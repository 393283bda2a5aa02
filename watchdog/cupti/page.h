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
#include "apis.h"

#define HL_PAGE_MAGIC 0x676170676e616c68ull /* "hlangpag" */
#define HL_PAGE_VERSION 1

#define HL_PAGE_THREADS 256
#define HL_PAGE_STREAMS 256
#define HL_PAGE_LAUNCHES 64 /* last ones of a stream */
#define HL_PAGE_KERNELS 4096
#define HL_PAGE_EXECS 4096
#define HL_PAGE_NODES 131072
#define HL_PAGE_FINISHED 16384
#define HL_PAGE_SAMPLES 1024
#define HL_PAGE_MODULES 256
#define HL_PAGE_NAME_MAX 240
#define HL_PAGE_NONE UINT32_MAX

/* How much is looked at. Each level has what the one before it has, but for the node's kernels, which replace
 * the graph's. */
enum hl_page_detail {
    HL_PAGE_LIGHT, /* callbacks of the driver, and events on the streams */
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
    bool recorded;   /* the launch has become a node of a graph: nothing runs */
};

struct hl_page_launch {
    uint64_t at_ns;
    uint32_t correlation; /* of its activity records */
    uint32_t kernel;      /* HL_PAGE_NONE: a graph */
    uint32_t exec;        /* the graph's, in execs; HL_PAGE_NONE: a kernel, or not known */
    uint32_t tid;
    uint32_t grid[3], block[3];
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
    char name[HL_PAGE_NAME_MAX];
};

/* A graph that can be launched. Its nodes are those of `graph`, in the order in which they were made. */
struct hl_page_exec {
    _Atomic uint64_t handle; /* 0: free */
    uint32_t graph;
    uint32_t launches;
};

struct hl_page_node {
    _Atomic uint32_t graph; /* 0: free */
    uint32_t kernel;        /* HL_PAGE_NONE: no kernel, or its name is not known */
    uint32_t type;          /* CUgraphNodeType */
    uint64_t id;
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
    char why[256];                 /* BLIND, or what of the detail is missing */
    _Atomic uint64_t beat_ns;      /* the watchdog thread has last looked at all streams */
    _Atomic uint64_t threshold_ns; /* as learned */
    _Atomic uint64_t longest_ns;   /* longest time without progress that went on */
    _Atomic uint32_t capturing;    /* streams that are being captured */
    _Atomic uint64_t lost;

    /* The supervisor raises `asked`; the watchdog thread collects and then sets `answered` to it. */
    _Atomic uint32_t asked, answered;
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
};

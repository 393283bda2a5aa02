/* The memory that the engine shares with the processes that run CUDA, and what they say to each other.
 *
 * Those are the runner and, with a process for each rank, the members; they alone touch CUDA, and they can be
 * killed. The engine reads marks, events of the hosts and copied rows straight from shared memory, which the
 * others have registered with the driver, so kernels write there and nothing has to pass through a process
 * that may be stuck. */
#pragma once
#include <stdatomic.h>
#include <stdint.h>
#include "../../program/program.h"
#include "../../../watchdog/probe.h"
#include "device.h"
#include "plan.h"
#include "kernels/subject.h"

/* What a rank's host thread reports. An event that launches calls is written before the launch. */
enum hl_host_event_kind { HL_HOST_OP_BEGIN, HL_HOST_OP_END, HL_HOST_OP_ISSUED, HL_HOST_EXIT };
struct hl_host_event {
    uint64_t time_ns; /* CLOCK_MONOTONIC */
    enum hl_host_event_kind kind;
    uint32_t op;
};

/* A ring with one writer and one reader. The writer waits when it is full. */
#define HL_HOST_EVENTS 4096u
struct hl_shared_rank {
    _Atomic uint32_t written, read;
    _Atomic uint32_t marks_read;   /* of this rank; its host keeps within its part of the ring of marks */
    _Atomic int tid;               /* of the thread that runs its program */
    _Atomic uint32_t op;           /* op that the host is in */
    _Atomic uint64_t since_ns;     /* since when */
    _Atomic uint32_t barriers;     /* that it has come to */
    _Atomic uint32_t calls;        /* that it has issued */
    _Atomic uint32_t foreign_ctas; /* of a kernel of somebody else on its GPU */
    _Atomic bool waits;            /* in a barrier, a sync or a delay */
    _Atomic bool exited;           /* its program is over */
    _Atomic bool done;             /* and so is all its work on the device */
    struct hl_host_event events[HL_HOST_EVENTS];
};

/* A handle of CUDA's interprocess memory, and an identity of a NCCL communicator. */
#define HL_IPC_HANDLE_BYTES 64
#define HL_NCCL_ID_BYTES 128

struct hl_shared {
    uint32_t abort_word;     /* kernels poll it; not 0 lets every wait pass */
    uint32_t strikes;        /* kernels count them; see struct hl_cuda_call */
    _Atomic bool aborted;    /* hosts poll it */
    _Atomic bool failing;    /* a CUDA call of a rank failed, and its rank says which */
    _Atomic bool failed;     /* `failure` says which */
    _Atomic bool go;         /* programs may begin */
    _Atomic uint32_t ready;  /* ranks whose graphs are made */
    _Atomic bool serialised; /* a tool lets one launch of all ranks run at a time */
    _Atomic uint32_t turn;   /* 1 + the rank whose launch it is; 0: nobody's */
    _Atomic uint32_t frozen; /* GPUs, a bit each, on which nothing is to start any more: a fault */
    _Atomic uint32_t silent; /* GPUs that were asked for a copy and do not do it */
    char failure[256];
    char doing[160];             /* what the runner does that may kill it; "" nothing of that kind */
    enum hl_compare compare;     /* of the subject's waits */
    struct hl_stray_write stray; /* what a look at the guards found */
    /* Where ranks are and what the devices hold. */
    int device[HL_RANKS_MAX];
    bool mps; /* kernels of several processes run at once on one GPU; else they take turns */
    int64_t gpu_to_host_ns[HL_RANKS_MAX]; /* added to the timer of the rank's GPU gives CLOCK_MONOTONIC */
    uint32_t share[HL_KERNEL_COUNT]; /* most CTAs of a rank's kernel that are sure to run with its peers' */
    uint32_t resident[HL_KERNEL_COUNT]; /* CTAs of it that the GPU holds when nothing else runs */
    unsigned char memory[HL_RANKS_MAX][HL_IPC_HANDLE_BYTES];
    unsigned char nccl_id[HL_CUDA_WORKSPACES_MAX][HL_NCCL_ID_BYTES]; /* a communicator for each workspace */
    int nccl_ids;
    uint32_t nccl_serial; /* of these identities; 0: none */
    struct hl_mark marks[HL_MARKS];
    struct hl_shared_rank rank[HL_RANKS_MAX];
    uint64_t copies_bytes;
    _Alignas(4096) uint32_t copies[]; /* rows of sampled calls */
};

/* Bytes of all of it. */
static inline uint64_t hl_shared_bytes(uint64_t copies_bytes)
{
    return (sizeof(struct hl_shared) + copies_bytes + 4095) / 4096 * 4096;
}

enum hl_request_kind { HL_REQUEST_RUN, HL_REQUEST_READ, HL_REQUEST_GUARDS, HL_REQUEST_END };

/* What the engine asks for. After a RUN come `bytes` bytes: the configuration and the program. */
struct hl_request {
    enum hl_request_kind kind;
    uint64_t seed, bytes;
    int rank, workspace; /* READ */
    uint32_t first, count;
};

/* What it is answered. After a READ come `count` words. */
struct hl_reply {
    enum hl_status status;
    uint32_t count;
    char message[256];
};

/* The program as bytes, and back. The copy has no labels. NULL when out of memory. */
void *hl_program_pack(const struct hl_config *config, const struct hl_program *program, uint64_t *ret_bytes);
struct hl_program *hl_program_unpack(const void *bytes, struct hl_config *ret_config);

/* Sends or receives all of it, or until `timeout_ms` have passed. 0, or -1. */
int hl_transfer(int fd, void *data, uint64_t bytes, int timeout_ms, bool out);

/* Answers a request. False: whoever asked is gone. */
bool hl_answer(int fd, enum hl_status status, const struct hl_error *error, const uint32_t *words,
               uint32_t count);

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t hl_monotonic_ns(void);

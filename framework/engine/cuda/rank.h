/* One rank's host program, op by op, as calls to CUDA. */
#pragma once
#include <pthread.h>
#include "driver.h"
#include "nccl.h"
#include "plan.h"
#include "shared.h"
#include "subject.h"

/* What all ranks of a process share. */
struct hl_cuda_job {
    const struct hl_driver *driver;
    const struct hl_nccl *nccl; /* NULL: the subject is another one */
    const struct hl_cuda_plan *plan;
    struct hl_shared *shared;
    CUdeviceptr memory[HL_RANKS_MAX]; /* of every rank, as this process sees it */
    struct hl_cuda_subject subject;
    uint64_t seed;
    /* Device addresses of shared memory. */
    const uint32_t *abort_word;
    uint32_t *strikes;
    struct hl_mark_ring ring;
    uint32_t *copies;
};

struct hl_cuda_rank {
    struct hl_cuda_job *job;
    int rank;
    /* Kept from run to run. */
    CUcontext context;
    CUstream streams[HL_CUDA_STREAMS_MAX];
    CUstream aside; /* of a kernel of somebody else */
    struct hl_nccl_comm *comms[HL_CUDA_WORKSPACES_MAX];
    uint32_t comm_serial; /* of the identities that they were made with */
    /* The run. */
    CUevent *events;     /* [event] */
    CUgraphExec *graphs; /* [graph], NULL until captured */
    uint16_t capturing;  /* graph, or HL_NONE */
    uint8_t capture_stream;
    uint32_t marks; /* of the calls issued so far */
    pthread_t thread;
    bool started;
};

/* Loads the kernels, clears the rank's memory and makes the program's graphs, says so in shared->ready and
 * waits for shared->go; then runs the program to its end, or until the run is aborted or fails. What fails is
 * said in shared memory. */
void hl_cuda_rank_run(struct hl_cuda_rank *rank);

/* Is the run aborted, or has a rank failed? */
bool hl_cuda_is_over(const struct hl_cuda_job *job);

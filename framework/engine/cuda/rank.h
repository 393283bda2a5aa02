/* One rank's host program, op by op, as calls to CUDA. */
#pragma once
#include <pthread.h>
#include "driver.h"
#include "plan.h"
#include "shared.h"
#include "subject.h"

/* What all ranks of a run share. */
struct hl_cuda_job {
    const struct hl_driver *driver;
    const struct hl_cuda_plan *plan;
    struct hl_shared *shared;
    CUcontext context;
    CUdeviceptr memory; /* of the plan */
    struct hl_cuda_subject subject;
    uint64_t seed;
    /* Device addresses of shared memory. */
    const uint32_t *abort_word;
    struct hl_mark_ring ring;
    uint32_t *copies;
    _Atomic uint32_t barriers[HL_RANKS_MAX]; /* that a rank has come to */
    _Atomic uint32_t ready;                  /* ranks whose graphs are made */
    _Atomic bool go;                         /* programs may begin */
};

struct hl_cuda_rank {
    struct hl_cuda_job *job;
    int rank;
    CUstream streams[HL_CUDA_STREAMS_MAX];
    CUevent *events;     /* [event] */
    CUgraphExec *graphs; /* [graph], NULL until captured */
    uint16_t capturing;  /* graph, or HL_NONE */
    uint8_t capture_stream;
    uint32_t marks; /* of the calls issued so far */
    pthread_t thread;
};

/* Makes the program's graphs, says so in job->ready and waits for job->go; then runs the program to its end,
 * or until the run is aborted or fails. What fails is said in shared memory. */
void hl_cuda_rank_run(struct hl_cuda_rank *rank);

/* What the kernels of a call op are launched with. */
struct hl_cuda_call hl_cuda_rank_call(const struct hl_cuda_job *job, int rank, uint32_t op);
/* Constant rows: gamma and the residuals of every call site. */
enum hl_status hl_cuda_fill_constants(const struct hl_cuda_job *job, CUstream stream, struct hl_error *error);

/* What every process that runs CUDA sets up first: the driver, contexts, the shared memory. */
#pragma once
#include "rank.h"

struct hl_cuda_process {
    struct hl_driver driver;
    struct hl_nccl nccl;
    struct hl_shared *shared;
    int gpus; /* there are */
    CUcontext contexts[HL_RANKS_MAX];
    struct hl_cuda_job job; /* of its ranks */
    /* The run. */
    bool running;
    struct hl_config config;
    struct hl_program *program;
    struct hl_cuda_plan plan;
};

/* What the driver, CUPTI and NCCL read of the environment: set before any of them has threads that may look.
 * `eager`: all code is loaded at once. Else a run loads the kernels that it names, before anything spins: of
 * all data types and mutants it takes one, and the others' code takes a third of a second. `connections`:
 * hardware queues of the process, unless the user has said so; MPS has not enough of them for 32 in each of 5
 * processes. */
void hl_cuda_process_environment(bool eager, int connections);
/* Opens the driver and counts the GPUs. HL_STATUS_NO_GPU: there is none. */
enum hl_status hl_cuda_process_init(struct hl_cuda_process *process, struct hl_shared *shared,
                                    struct hl_error *error);
/* Makes a GPU's context the current one, and shared memory known to the driver. */
enum hl_status hl_cuda_process_use(struct hl_cuda_process *process, int gpu, struct hl_error *error);

/* Receives a run's configuration and program, and plans it. */
enum hl_status hl_cuda_process_receive(struct hl_cuda_process *process, int fd,
                                       const struct hl_request *request, struct hl_error *error);
/* Once the ranks' memory is known: where marks are counted, and NCCL if it is the subject. */
enum hl_status hl_cuda_process_prepare(struct hl_cuda_process *process, struct hl_error *error);
void hl_cuda_process_forget(struct hl_cuda_process *process);

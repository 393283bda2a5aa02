/* NCCL, the reference subject: opened when it is asked for, so that nothing needs it to be built or to start.
 *
 * `HANGLAB_NCCL` names the library; without it, the loader finds libnccl.so.2. NVLink multicast is always
 * turned off (NCCL_NVLS_ENABLE=0, process.c): hanglab takes no multicast object of a machine that it shares.
 */
#pragma once
#include "driver.h"
#include "hanglab/config.h"
#include "shared.h"

struct hl_nccl_comm; /* a ncclComm */
struct hl_cuda_rank;

/* ncclUniqueId, which goes by value (nccl.h of NCCL 2). */
struct hl_nccl_id {
    unsigned char bytes[HL_NCCL_ID_BYTES];
};

/* What is called of it; results are a ncclResult_t, 0 = success. */
struct hl_nccl {
    bool loaded;
    int (*get_unique_id)(struct hl_nccl_id *ret_id);
    int (*init_rank)(struct hl_nccl_comm **ret_comm, int ranks, struct hl_nccl_id id, int rank);
    int (*all_reduce)(const void *input, void *output, size_t count, int dtype, int op,
                      struct hl_nccl_comm *comm, CUstream stream);
    int (*abort)(struct hl_nccl_comm *comm);
    const char *(*error_string)(int result);
};

/* HL_STATUS_NO_GPU: the subject wants a GPU for each rank and there are fewer. */
enum hl_status hl_cuda_check_nccl(const struct hl_driver *driver, const struct hl_config *config, int ranks,
                                  struct hl_error *error);

/* Opens the library, once. HL_STATUS_NO_GPU: it is not here. */
enum hl_status hl_nccl_load(struct hl_nccl *nccl, struct hl_error *error);
/* New identities for communicators of the ranks, one a workspace, in shared memory. */
enum hl_status hl_nccl_renew(const struct hl_nccl *nccl, int workspaces, struct hl_shared *shared,
                             struct hl_error *error);

/* Joins the communicators of shared->nccl_id, unless the rank is in them; all ranks must come. */
enum hl_status hl_nccl_join(struct hl_cuda_rank *rank, struct hl_error *error);
/* Leaves them, with what is in flight. */
void hl_nccl_leave(struct hl_cuda_rank *rank);
/* Sums `elements` of all ranks over the workspace's communicator. */
enum hl_status hl_nccl_all_reduce(struct hl_cuda_rank *rank, int workspace, const void *input, void *output,
                                  size_t elements, CUstream stream, struct hl_error *error);

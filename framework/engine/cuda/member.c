/* One rank in a process of its own; see member.h. */
#include "member.h"
#include <string.h>
#include <unistd.h>
#include "process.h"
#include "seat.h"

struct member {
    int fd, rank;
    struct hl_cuda_process p;
    struct hl_cuda_rank seat;
    bool opened; /* all ranks' memory */
};

#define TRY(call) \
    do { \
        const enum hl_status status_ = hl_driver_check(&m->p.driver, m->p.driver.call, #call, error); \
        if (status_) \
            return status_; \
    } while (0)

static enum hl_status open_memory(struct member *m, struct hl_error *error)
{
    for (int rank = 0; !m->opened && rank < m->p.program->ranks; rank++) {
        CUipcMemHandle handle;
        _Static_assert(sizeof handle == HL_IPC_HANDLE_BYTES, "a handle has room in shared memory");
        memcpy(&handle, m->p.shared->memory[rank], sizeof handle);
        TRY(cuIpcOpenMemHandle(&m->p.job.memory[rank], handle, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    }
    m->opened = true;
    return HL_STATUS_OK;
}

static enum hl_status run(struct member *m, const struct hl_request *request, struct hl_error *error)
{
    const int gpu = m->p.shared->device[m->rank];
    enum hl_status status = hl_cuda_process_receive(&m->p, m->fd, request, error);
    if (!status)
        status = hl_cuda_process_use(&m->p, gpu, error);
    if (!status)
        status = open_memory(m, error);
    if (!status)
        status = hl_cuda_process_prepare(&m->p, error);
    if (!status)
        status = hl_seat_take(&m->seat, &m->p.job, m->rank, m->p.contexts[gpu], error);
    if (!status)
        status = hl_seat_start(&m->seat, error);
    m->p.running = !status;
    return status;
}

static enum hl_status end(struct member *m, struct hl_error *error)
{
    const enum hl_status status = hl_seat_leave(&m->seat, error);
    if (status)
        return status;
    hl_seat_clear(&m->seat);
    hl_cuda_process_forget(&m->p);
    return HL_STATUS_OK;
}

_Noreturn void hl_cuda_member(int fd, struct hl_shared *shared, const struct hl_cuda_plan *first, int rank)
{
    static struct member member; /* large */
    struct hl_error error;
    struct hl_request request;
    member.fd = fd;
    member.rank = rank;
    enum hl_status status = hl_cuda_process_init(&member.p, shared, &error);
    const int gpu = status ? 0 : hl_cuda_plan_gpu(first, member.p.gpus, rank);
    if (!status && gpu < member.p.gpus) /* one that is not there is the runner's to tell */
        status = hl_cuda_process_use(&member.p, gpu, &error);
    bool goes_on = hl_answer(fd, status, &error, NULL, 0) && !status;
    while (goes_on && hl_transfer(fd, &request, sizeof request, -1, false) == 0) {
        status = request.kind == HL_REQUEST_RUN ? run(&member, &request, &error) : end(&member, &error);
        goes_on = hl_answer(fd, status, &error, NULL, 0);
    }
    _exit(0);
}

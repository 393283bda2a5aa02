/* Starting, asking and ending the processes that run CUDA; see crew.h. */
#include "../../../watchdog/core/dump.h"
#include "crew.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "member.h"
#include "process.h"
#include "runner.h"
#include "scratch.h"
#include "witness.h"

#define SET_UP_MS 60000
#define START_MS 120000
#define READ_MS 2000
#define END_MS 4000
#define POLL_NS 20000
/* Queues of a process that hosts all ranks, and of one that hosts one or none. */
#define ALL_CONNECTIONS 32
#define MEMBER_CONNECTIONS 8
/* Words that one read may ask for. */
#define READ_WORDS_MAX 65536u

struct process {
    pid_t pid; /* 0: none, or already waited for */
    int fd;
    enum hl_crew_state state;
    int signal; /* that it died of */
};

static struct crew {
    pid_t owner; /* the process that started it; a fork of that one has none. 0: there is no crew */
    struct process runner, members[HL_RANKS_MAX];
    int n_members;
    struct hl_shared *shared;
    uint64_t arena_bytes;             /* of each rank; members have opened them */
    int gpus;                         /* that the scenario of the members asked for */
    char core_folder[HL_SCRATCH_MAX]; /* "": they cannot be dumped */
    bool spent;                       /* one was dumped or did not answer in time; this run is their last */
    bool deaf;  /* the runner owes an answer that nobody waits for: nothing more can be asked of it */
    bool nccl;  /* was the subject of the members' first run */
    bool eager; /* all code is loaded, not only hanglab's own that a run names */
} crew;

struct hl_shared *hl_crew_shared(void) { return crew.shared; }

/*
 * Lives
 */

static void end_process(struct process *p)
{
    int status;
    if (p->pid) {
        kill(p->pid, SIGKILL);
        while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    close(p->fd);
}

void hl_crew_kill(void)
{
    if (!crew.owner)
        return;
    const bool own = crew.owner == getpid();
    for (int i = -1; i < crew.n_members; i++) {
        struct process *p = i < 0 ? &crew.runner : &crew.members[i];
        p->pid = own ? p->pid : 0; /* not this process's to kill */
        if (p->pid)
            kill(p->pid, SIGKILL); /* all at once, so that nobody waits for another's end */
    }
    end_process(&crew.runner);
    for (int i = 0; i < crew.n_members; i++)
        end_process(&crew.members[i]);
    munmap(crew.shared, hl_shared_bytes(crew.shared->copies_bytes));
    hl_witness_finish();
    if (own)
        hl_scratch_remove(crew.core_folder);
    crew = (struct crew){ 0 };
}

/* In the child: its own socket is all that it keeps open, so that nobody waits for it by mistake. */
static void begin_child(int fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != crew.owner) /* it died before this one could ask to be told */
        _exit(0);
    signal(SIGINT, SIG_IGN);
    if (fd != 3)
        dup2(fd, 3);
    close_range(4, ~0u, 0);
}

static bool has_processes(const struct hl_cuda_plan *plan)
{
    return plan && plan->config->world.placement == HL_PLACEMENT_PROCESS;
}

/* Does the plan run kernels that the engine cannot name, and so cannot load beforehand? */
static bool needs_eager(const struct hl_cuda_plan *plan)
{
    return plan && (plan->config->subject.plugin[0] || plan->config->subject.backend == HL_BACKEND_NCCL);
}

/* Forks the runner, or the member of a rank. */
static enum hl_status start_process(struct process *p, const struct hl_cuda_plan *plan, int rank,
                                    struct hl_error *error)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return hl_fail(error, HL_STATUS_INTERNAL, "cannot make a socket: %s", strerror(errno));
    const pid_t pid = fork();
    if (pid == 0) {
        begin_child(fds[1]);
        hl_cuda_process_environment(crew.eager, has_processes(plan) ? MEMBER_CONNECTIONS : ALL_CONNECTIONS);
        if (crew.core_folder[0])
            hl_core_dump_allow(crew.core_folder, getpid());
        if (rank >= 0 || !has_processes(plan)) /* the processes that launch are watched */
            hl_witness_begin(rank < 0 ? 0 : rank);
        if (rank < 0)
            hl_cuda_runner(3, crew.shared);
        hl_cuda_member(3, crew.shared, plan, rank);
    }
    const int why = errno;
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return hl_fail(error, HL_STATUS_INTERNAL, "cannot start a process that runs CUDA: %s", strerror(why));
    }
    *p = (struct process){ .pid = pid, .fd = fds[0], .state = HL_CREW_ALIVE };
    return HL_STATUS_OK;
}

static enum hl_status receive_reply(const struct process *p, int timeout_ms, const char *what,
                                    struct hl_error *error)
{
    struct hl_reply reply;
    if (hl_transfer(p->fd, &reply, sizeof reply, timeout_ms, false) < 0)
        return hl_fail(error, HL_STATUS_INTERNAL, "%s: a process that runs CUDA died or does not answer%s%s",
                       what, crew.shared->doing[0] ? ", in " : "", crew.shared->doing);
    if (reply.status)
        return hl_fail(error, reply.status, "%s: %s", what, reply.message);
    return HL_STATUS_OK;
}

static enum hl_status start_crew(const struct hl_cuda_plan *plan, struct hl_error *error)
{
    const uint64_t wanted = plan ? plan->sample_bytes : 0;
    const uint64_t copies = wanted > HL_CUDA_WHOLE_BYTES ? wanted : HL_CUDA_WHOLE_BYTES;
    struct hl_shared *shared =
        mmap(NULL, hl_shared_bytes(copies), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for the rows that are checked: %llu MiB",
                       (unsigned long long)(copies >> 20));
    const enum hl_detail detail = plan ? plan->config->watchdog.detail : HL_DETAIL_LIGHT;
    enum hl_status status = hl_witness_init(detail, has_processes(plan) ? plan->program->ranks : 1, error);
    shared->copies_bytes = copies;
    prctl(PR_SET_TIMERSLACK, 1000ul); /* naps between two looks are short */
    crew = (struct crew){ .owner = getpid(), .shared = shared, .eager = needs_eager(plan) };
    if (detail == HL_DETAIL_CORE)
        hl_scratch_make(crew.core_folder, getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", "core");
    fflush(NULL);
    if (!status)
        status = start_process(&crew.runner, plan, -1, error);
    if (status) {
        munmap(shared, hl_shared_bytes(copies));
        hl_witness_finish();
        hl_scratch_remove(crew.core_folder);
        crew = (struct crew){ 0 };
        return status;
    }
    for (int rank = 0; !status && has_processes(plan) && rank < plan->program->ranks; rank++) {
        status = start_process(&crew.members[rank], plan, rank, error);
        crew.n_members += !status;
    }
    if (has_processes(plan)) {
        crew.arena_bytes = hl_cuda_plan_arena_bytes(plan);
        crew.gpus = plan->config->world.gpus;
        crew.nccl = plan->config->subject.backend == HL_BACKEND_NCCL;
    }
    for (int i = -1; !status && i < crew.n_members; i++)
        status = receive_reply(i < 0 ? &crew.runner : &crew.members[i], SET_UP_MS, "start CUDA", error);
    if (status)
        hl_crew_kill();
    return status;
}

bool hl_crew_look(char *text, size_t size)
{
    for (int i = -1; i < crew.n_members; i++) {
        struct process *p = i < 0 ? &crew.runner : &crew.members[i];
        int status;
        if (!p->pid || waitpid(p->pid, &status, WNOHANG | WUNTRACED | WCONTINUED) != p->pid)
            continue;
        p->state = WIFSTOPPED(status) ? HL_CREW_STOPPED : WIFCONTINUED(status) ? HL_CREW_ALIVE : HL_CREW_DEAD;
        if (p->state != HL_CREW_DEAD)
            continue;
        p->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        p->pid = 0; /* its number may be another process's by now */
    }
    if (crew.runner.state == HL_CREW_DEAD)
        snprintf(text, size, "the process that runs CUDA died of signal %d", crew.runner.signal);
    return crew.runner.state != HL_CREW_DEAD;
}

/* Has it begun to exit? A process with GPUs takes tenths of a second to end. */
static bool is_exiting(pid_t pid)
{
    enum { PF_EXITING = 4 }; /* of the kernel's task flags, proc(5) */
    char path[64], text[1024] = "", state = 0;
    unsigned flags = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    const size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    const char *after_name = n ? strrchr(text, ')') : NULL;
    if (!after_name || sscanf(after_name, ") %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2)
        return false;
    return state == 'Z' || flags & PF_EXITING;
}

void hl_crew_look_closely(void)
{
    for (int i = 0; i < crew.n_members; i++)
        if (crew.members[i].pid && is_exiting(crew.members[i].pid))
            crew.members[i].state = HL_CREW_DEAD; /* it is waited for as before */
}

static bool is_whole(void)
{
    char why[64];
    bool whole = hl_crew_look(why, sizeof why);
    for (int i = 0; i < crew.n_members; i++)
        whole = whole && crew.members[i].state == HL_CREW_ALIVE;
    return whole;
}

/* Can the crew that is there run the plan? Members are a fixed number on fixed GPUs with a fixed memory. */
static bool is_fit(const struct hl_cuda_plan *plan)
{
    const enum hl_detail detail = plan ? plan->config->watchdog.detail : HL_DETAIL_LIGHT;
    if (crew.owner != getpid() || !is_whole() || !hl_witness_fits(detail) ||
        (crew.core_folder[0] != '\0') != (detail == HL_DETAIL_CORE))
        return false;
    if (!plan)
        return true;
    if (crew.shared->copies_bytes < plan->sample_bytes || (needs_eager(plan) && !crew.eager))
        return false;
    if (!has_processes(plan))
        return crew.n_members == 0;
    return crew.n_members == plan->program->ranks && crew.gpus == plan->config->world.gpus &&
           crew.nccl == (plan->config->subject.backend == HL_BACKEND_NCCL) &&
           crew.arena_bytes >= hl_cuda_plan_arena_bytes(plan);
}

enum hl_status hl_crew_need(const struct hl_cuda_plan *plan, struct hl_error *error)
{
    if (is_fit(plan))
        return HL_STATUS_OK;
    hl_crew_kill();
    return start_crew(plan, error);
}

enum hl_crew_state hl_crew_state_of(int rank, int *ret_signal)
{
    const struct process *p = rank < crew.n_members ? &crew.members[rank] : &crew.runner;
    if (ret_signal)
        *ret_signal = p->signal;
    return p->state;
}

/*
 * Runs
 */

static bool send_run(const struct process *p, struct hl_request request, void *bytes)
{
    return hl_transfer(p->fd, &request, sizeof request, START_MS, true) == 0 &&
           hl_transfer(p->fd, bytes, request.bytes, START_MS, true) == 0;
}

/* The graphs of all ranks are made, or one has failed, which the run tells later. */
static enum hl_status wait_for_ranks(int ranks, struct hl_error *error)
{
    char why[64];
    const uint64_t until_ns = hl_monotonic_ns() + START_MS * 1000000ull;
    while (atomic_load(&crew.shared->ready) < (uint32_t)ranks && !atomic_load(&crew.shared->failed)) {
        if (!hl_crew_look(why, sizeof why))
            return hl_fail(error, HL_STATUS_INTERNAL, "start a run: %s", why);
        for (int i = 0; i < crew.n_members; i++)
            if (crew.members[i].state == HL_CREW_DEAD)
                return hl_fail(error, HL_STATUS_INTERNAL,
                               "start a run: the process of rank %d died of "
                               "signal %d",
                               i, crew.members[i].signal);
        if (hl_monotonic_ns() > until_ns)
            return hl_fail(error, HL_STATUS_INTERNAL, "start a run: ranks do not get their graphs made");
        nanosleep(&(struct timespec){ .tv_nsec = POLL_NS }, NULL);
    }
    return HL_STATUS_OK;
}

/* The runner first: it has the memory that the members open. */
enum hl_status hl_crew_start(const struct hl_run_spec *spec, struct hl_error *error)
{
    struct hl_request request = { .kind = HL_REQUEST_RUN, .seed = spec->seed };
    void *bytes = hl_program_pack(spec->config, spec->program, &request.bytes);
    if (!bytes)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a program");
    bool sent = send_run(&crew.runner, request, bytes);
    enum hl_status status = sent ? receive_reply(&crew.runner, START_MS, "start a run", error) : HL_STATUS_OK;
    for (int i = 0; sent && !status && i < crew.n_members; i++)
        sent = send_run(&crew.members[i], request, bytes);
    free(bytes);
    if (!sent)
        return hl_fail(error, HL_STATUS_INTERNAL, "start a run: a process that runs CUDA is gone");
    for (int i = 0; !status && i < crew.n_members; i++)
        status = receive_reply(&crew.members[i], START_MS, "start a run", error);
    return status ? status : wait_for_ranks(spec->program->ranks, error);
}

void hl_crew_end(void)
{
    struct hl_request request = { .kind = HL_REQUEST_END };
    struct hl_error error;
    if (!crew.owner)
        return;
    bool ends = is_whole() && !crew.spent;
    atomic_store(&crew.shared->aborted, true);
    *(volatile uint32_t *)&crew.shared->abort_word = 1;
    for (int i = crew.n_members - 1; ends && i >= -1; i--) {
        struct process *p = i < 0 ? &crew.runner : &crew.members[i];
        ends = hl_transfer(p->fd, &request, sizeof request, END_MS, true) == 0;
    }
    for (int i = crew.n_members - 1; ends && i >= -1; i--)
        ends = receive_reply(i < 0 ? &crew.runner : &crew.members[i], END_MS, "end a run", &error) ==
               HL_STATUS_OK;
    if (!ends)
        hl_crew_kill();
}

/* Asks the runner during a run; a stuck GPU may leave that without an answer. One that comes too late would
 * be taken for the next request's, so there is none. */
static int ask(struct hl_request request, uint32_t *words)
{
    struct hl_reply reply;
    if (!crew.owner || crew.deaf)
        return -1;
    crew.deaf =
        hl_transfer(crew.runner.fd, &request, sizeof request, READ_MS, true) < 0 ||
        hl_transfer(crew.runner.fd, &reply, sizeof reply, READ_MS, false) < 0 ||
        (!reply.status && hl_transfer(crew.runner.fd, words, request.count * 4ull, READ_MS, false) < 0);
    if (crew.deaf) /* not even the process comes back from the driver */
        atomic_fetch_or(&crew.shared->silent, 1u << crew.shared->device[request.rank]);
    crew.spent = crew.spent || crew.deaf;
    return crew.deaf || reply.status ? -1 : 0;
}

int hl_crew_read(int rank, int workspace, uint32_t first, uint32_t count, uint32_t *words)
{
    while (count) {
        const uint32_t n = count < READ_WORDS_MAX ? count : READ_WORDS_MAX;
        if (ask((struct hl_request){ HL_REQUEST_READ, .rank = rank, .workspace = workspace, .first = first,
                                     .count = n },
                words) < 0)
            return -1;
        first += n;
        words += n;
        count -= n;
    }
    return 0;
}

int hl_crew_check_guards(void) { return ask((struct hl_request){ HL_REQUEST_GUARDS }, NULL); }

pid_t hl_crew_pid_of(int rank)
{
    const struct process *p = rank < crew.n_members ? &crew.members[rank] : &crew.runner;
    return p->state == HL_CREW_DEAD ? 0 : p->pid;
}

int hl_crew_dump_core(int rank, const char *path, char *why, size_t size)
{
    const pid_t pid = hl_crew_pid_of(rank);
    if (!pid || !crew.core_folder[0]) {
        snprintf(why, size, "there is no process that can be dumped");
        return -1;
    }
    crew.spent = true;
    return hl_core_dump(crew.core_folder, pid, path, why, size);
}

/* The CUDA engine behind the engine interface.
 *
 * Every process that runs cases keeps one runner, a child that does all CUDA, for run after run: starting
 * CUDA takes half a second, a run takes milliseconds. A run that does not let go of the GPU costs its runner:
 * it is killed, the driver clears up behind it, and the next run gets a new one. */
#include "cuda.h"
#include "../engine.h"
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
#include "core_dump.h"
#include "events.h"
#include "runner.h"
#include "../../program/resolve.h"
#include "witness.h"

#define SET_UP_MS 60000
#define START_MS 120000
#define READ_MS 2000
#define END_MS 4000
#define POLL_NS 20000
/* A host that stays in one launch for so long is blocked there. */
#define BLOCKED_NS 50000000u
/* Words that one read may ask for. */
#define READ_WORDS_MAX 65536u

struct runner_handle {
    pid_t pid, owner; /* owner: the process that started it; a fork of that one has none */
    int fd;
    struct hl_shared *shared;
    uint64_t shared_bytes;
    char core_folder[HL_CORE_FOLDER_MAX]; /* "": it cannot be dumped */
};
static struct runner_handle runner;

struct hl_run {
    struct hl_cuda_plan plan;
    struct hl_cuda_events events;
    char crash[300];
    bool over;   /* ended or crashed */
    bool dumped; /* and so lost to CUDA */
};

/*
 * The runner
 */

static void kill_runner(void)
{
    int status;
    if (runner.pid == 0)
        return;
    if (runner.owner == getpid()) {
        kill(runner.pid, SIGKILL);
        while (waitpid(runner.pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    close(runner.fd);
    munmap(runner.shared, runner.shared_bytes);
    hl_witness_finish();
    hl_core_folder_remove(runner.core_folder);
    runner = (struct runner_handle){ 0 };
}

void hl_cuda_stop_runner(void) { kill_runner(); }

static enum hl_status receive_reply(int timeout_ms, const char *what, struct hl_error *error)
{
    struct hl_reply reply;
    if (hl_transfer(runner.fd, &reply, sizeof reply, timeout_ms, false) < 0)
        return hl_fail(error, HL_STATUS_INTERNAL,
                       "%s: the process that runs CUDA died or does not answer%s%s", what,
                       runner.shared->doing[0] ? ", in " : "", runner.shared->doing);
    if (reply.status)
        return hl_fail(error, reply.status, "%s: %s", what, reply.message);
    return HL_STATUS_OK;
}

/* In the child: its own socket is all that it keeps open, so that nobody waits for it by mistake. */
_Noreturn static void runner_main(int fd, struct hl_shared *shared, uint64_t bytes, const char *core_folder)
{
    if (core_folder[0])
        hl_core_dump_allow(core_folder);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_IGN);
    if (fd != 3)
        dup2(fd, 3);
    close_range(4, ~0u, 0);
    hl_cuda_runner(3, shared, bytes);
}

static enum hl_status start_runner(uint64_t copies_bytes, enum hl_detail detail, struct hl_error *error)
{
    int fds[2];
    const uint64_t bytes = (sizeof(struct hl_shared) + copies_bytes + 4095) / 4096 * 4096;
    struct hl_shared *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for the rows that are checked: %llu MiB",
                       (unsigned long long)(bytes >> 20));
    shared->copies_bytes = copies_bytes;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        munmap(shared, bytes);
        return hl_fail(error, HL_STATUS_INTERNAL, "cannot make a socket: %s", strerror(errno));
    }
    enum hl_status status = hl_witness_init(detail, 1, error);
    if (status) {
        close(fds[0]);
        close(fds[1]);
        munmap(shared, bytes);
        return status;
    }
    char core_folder[HL_CORE_FOLDER_MAX] = "";
    if (detail == HL_DETAIL_CORE)
        hl_core_folder_make(core_folder); /* without one, the dump will say that it cannot be had */
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0)
        runner_main(fds[1], shared, bytes, core_folder);
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        munmap(shared, bytes);
        hl_witness_finish();
        return hl_fail(error, HL_STATUS_INTERNAL, "cannot start the process that runs CUDA: %s",
                       strerror(errno));
    }
    runner = (struct runner_handle){
        .pid = pid, .owner = getpid(), .fd = fds[0], .shared = shared, .shared_bytes = bytes
    };
    memcpy(runner.core_folder, core_folder, sizeof runner.core_folder);
    status = receive_reply(SET_UP_MS, "start CUDA", error);
    if (status)
        kill_runner();
    return status;
}

/* A runner with room for the rows to check. One with too little makes way for a larger one. */
static enum hl_status need_runner(uint64_t copies_bytes, enum hl_detail detail, struct hl_error *error)
{
    if (runner.pid &&
        (runner.owner != getpid() || runner.shared->copies_bytes < copies_bytes || !hl_witness_fits(detail) ||
         (runner.core_folder[0] != '\0') != (detail == HL_DETAIL_CORE)))
        kill_runner();
    if (runner.pid)
        return HL_STATUS_OK;
    return start_runner(copies_bytes > HL_CUDA_SAMPLE_BYTES ? copies_bytes : HL_CUDA_SAMPLE_BYTES, detail,
                        error);
}

enum hl_status hl_cuda_find_gpu(struct hl_error *error)
{
    const enum hl_status status = need_runner(0, HL_DETAIL_LIGHT, error);
    kill_runner(); /* the supervisor needs none; its workers start their own */
    return status;
}

static enum hl_status send_run(const struct hl_run_spec *spec, struct hl_error *error)
{
    struct hl_request request = { .kind = HL_REQUEST_RUN, .seed = spec->seed };
    void *bytes = hl_program_pack(spec->config, spec->program, &request.bytes);
    if (!bytes)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a program");
    const bool sent = hl_transfer(runner.fd, &request, sizeof request, START_MS, true) == 0 &&
                      hl_transfer(runner.fd, bytes, request.bytes, START_MS, true) == 0;
    free(bytes);
    if (!sent)
        return hl_fail(error, HL_STATUS_INTERNAL, "start a run: the process that runs CUDA is gone");
    return receive_reply(START_MS, "start a run", error);
}

/*
 * The interface
 */

static void free_run(struct hl_run *run)
{
    if (run->events.plan)
        hl_cuda_events_finish(&run->events);
    hl_cuda_plan_finish(&run->plan);
    free(run);
}

static bool has_cuda_build(enum hl_mutant mutant)
{
#define X(id) || mutant == id
    return false HL_CUDA_MUTANTS(X);
#undef X
}

static enum hl_status check_config(const struct hl_config *config, const struct hl_cuda_plan *plan,
                                   struct hl_error *error)
{
    if (config->world.placement != HL_PLACEMENT_VIRTUAL)
        return hl_fail(error, HL_STATUS_USAGE, "the CUDA engine has `world.placement: virtual` only so far");
    if (!has_cuda_build(config->subject.mutant))
        return hl_fail(error, HL_STATUS_USAGE,
                       "subject.mutant: this one has no CUDA build; it runs on the simulator");
    const struct hl_strike *s = &config->subject.strike, normal = HL_STRIKE_DEFAULT;
    if (HL_MUTANT_COUNTS_CALLS(config->subject.mutant) && memcmp(s, &normal, sizeof normal) != 0)
        return hl_fail(
            error, HL_STATUS_USAGE,
            "subject.strike: the CUDA builds strike at the default place only; this case runs on the "
            "simulator");
    if (!config->workspace.checked && !hl_fits_workspace(&plan->program->config, plan->program->tokens_max))
        return hl_fail(
            error, HL_STATUS_USAGE,
            "workspace.checked: calls that write outside of a workspace run on the simulator only");
    for (int w = 0; w < plan->program->n_workspaces; w++)
        if (!hl_cuda_layout_fits(&plan->layout[w]))
            return hl_fail(
                error, HL_STATUS_USAGE,
                "subject.hidden: %u elements of this data type are no multiple of 16 bytes, or more than a "
                "cluster of blocks holds",
                plan->geometry.hidden);
    return HL_STATUS_OK;
}

static enum hl_status start(const struct hl_run_spec *spec, struct hl_run **ret_run, struct hl_error *error)
{
    struct hl_run *run = calloc(1, sizeof *run);
    if (!run)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a run");
    enum hl_status status = hl_cuda_plan_init(&run->plan, spec->config, spec->program, error);
    if (!status)
        status = check_config(spec->config, &run->plan, error);
    if (!status)
        status = need_runner(run->plan.sample_bytes, spec->config->watchdog.detail, error);
    if (status == HL_STATUS_NO_GPU) /* there was one when the engine was chosen: nothing to skip in silence */
        status = error->status = HL_STATUS_INTERNAL;
    if (!status) {
        status = send_run(spec, error);
        if (status && status != HL_STATUS_USAGE && status != HL_STATUS_NO_GPU)
            kill_runner();
    }
    if (!status)
        status = hl_cuda_events_init(&run->events, &run->plan, runner.shared, &spec->feed, spec->seed, error);
    if (status) {
        free_run(run);
        return status;
    }
    *ret_run = run;
    return HL_STATUS_OK;
}

static enum hl_run_state crashed(struct hl_run *run, const char *why)
{
    snprintf(run->crash, sizeof run->crash, "%s", why);
    run->over = true;
    return HL_RUN_CRASHED;
}

static bool all_done(const struct hl_run *run)
{
    for (int rank = 0; rank < run->plan.program->ranks; rank++)
        if (!atomic_load(&runner.shared->rank[rank].done))
            return false;
    return true;
}

/* What can be told before the next look, and how the run stands. */
static enum hl_run_state look(struct hl_run *run)
{
    int status;
    const bool done = all_done(run), failed = atomic_load(&runner.shared->failed);
    hl_cuda_events_drain(&run->events);
    if (run->events.failed)
        return crashed(run, "the engine lost track of the GPU's marks");
    if (failed)
        return crashed(run, runner.shared->failure);
    if (done)
        return HL_RUN_ENDED;
    if (waitpid(runner.pid, &status, WNOHANG) == runner.pid) {
        char why[64];
        runner.owner = 0; /* its number may be another process's by now */
        snprintf(why, sizeof why, "the process that runs CUDA died of signal %d",
                 WIFSIGNALED(status) ? WTERMSIG(status) : 0);
        return crashed(run, why);
    }
    return HL_RUN_GOING;
}

static enum hl_run_state advance(struct hl_run *run, uint64_t slice_ns, uint64_t *ret_now_ns)
{
    const uint64_t until_ns = hl_monotonic_ns() + slice_ns;
    enum hl_run_state state;
    while ((state = look(run)) == HL_RUN_GOING && hl_monotonic_ns() < until_ns)
        nanosleep(&(struct timespec){ .tv_nsec = POLL_NS }, NULL);
    const uint64_t now_ns = hl_monotonic_ns() - run->events.start_ns;
    *ret_now_ns = now_ns > run->events.last_ns ? now_ns : run->events.last_ns;
    return state;
}

static const char *crash_reason(const struct hl_run *run) { return run->crash; }

static void end(struct hl_run *run)
{
    struct hl_request request = { .kind = HL_REQUEST_END };
    struct hl_error error;
    if (runner.pid &&
        (run->crash[0] || run->dumped || hl_transfer(runner.fd, &request, sizeof request, END_MS, true) < 0 ||
         receive_reply(END_MS, "end a run", &error) != HL_STATUS_OK))
        kill_runner();
    free_run(run);
}

/*
 * The watchdog's view
 */

static const struct hl_layout *probe_layout(void *user, int workspace)
{
    const struct hl_run *run = user;
    return &run->plan.layout[workspace];
}

static int probe_read_words(void *user, int rank, int workspace, uint32_t first, uint32_t count,
                            uint32_t *words)
{
    const struct hl_run *run = user;
    struct hl_error error;
    if (count > run->plan.layout[workspace].words || first > run->plan.layout[workspace].words - count)
        return -1;
    while (count) {
        struct hl_request request = {
            .kind = HL_REQUEST_READ, .rank = rank, .workspace = workspace, .first = first
        };
        request.count = count < READ_WORDS_MAX ? count : READ_WORDS_MAX;
        if (!runner.pid || hl_transfer(runner.fd, &request, sizeof request, READ_MS, true) < 0 ||
            receive_reply(READ_MS, "read a workspace", &error) != HL_STATUS_OK ||
            hl_transfer(runner.fd, words, request.count * 4ull, READ_MS, false) < 0)
            return -1;
        first += request.count;
        words += request.count;
        count -= request.count;
    }
    return 0;
}

static enum hl_host_state probe_host_state(void *user, int rank)
{
    const struct hl_run *run = user;
    const struct hl_shared_rank *host = &run->events.shared->rank[rank];
    if (atomic_load(&host->exited))
        return HL_HOST_EXITED;
    const bool stays = hl_monotonic_ns() - atomic_load(&host->since_ns) > BLOCKED_NS;
    return atomic_load(&host->waits) || stays ? HL_HOST_BLOCKED : HL_HOST_RUNNING;
}

static size_t probe_host_stack(void *user, int rank, char *text, size_t size)
{
    const struct hl_run *run = user;
    const struct hl_program *program = run->plan.program;
    const struct hl_rank_program *p = &program->rank[rank];
    const uint32_t index = atomic_load(&run->events.shared->rank[rank].op);
    char op[256];
    int n;
    if (atomic_load(&run->events.shared->rank[rank].exited) || index >= p->n_ops) {
        n = snprintf(text, size, "#0 exited after %u ops\n", p->n_ops);
    } else {
        hl_op_describe(program, &p->ops[index], op, sizeof op);
        n = snprintf(text, size, "#0 %s (%s)\n#1 %s\n#2 rank %d: op %u of %u\n", op,
                     probe_host_state(user, rank) == HL_HOST_BLOCKED ? "blocked" : "running",
                     program->labels[p->ops[index].label], rank, index, p->n_ops);
    }
    return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

static struct hl_host_place probe_host_place(void *user, int rank)
{
    const struct hl_run *run = user;
    return (struct hl_host_place){ runner.pid, atomic_load(&run->events.shared->rank[rank].tid) };
}

static int probe_dump_core(void *user, int rank, const char *path, char *why, size_t size)
{
    struct hl_run *run = user;
    (void)rank;
    if (!runner.pid || !runner.core_folder[0]) {
        snprintf(why, size, "there is no process that can be dumped");
        return -1;
    }
    run->dumped = true;
    return hl_core_dump(runner.core_folder, runner.pid, path, why, size);
}

/* CTAs of a call that runs: of its first kernel. */
static const struct hl_cuda_pending *running_call(const struct hl_run *run, int rank)
{
    const struct hl_cuda_track *t = &run->events.rank[rank];
    for (uint32_t i = 0; i < t->n_pending; i++)
        if (t->pending[i].begun)
            return &t->pending[i];
    return NULL;
}

/* A GPU does not tell which CTAs have started. Where all running calls fit, all have; where they do not, room
 * is taken to be given in the order in which the calls began. */
static struct hl_residency probe_residency(void *user, int rank)
{
    const struct hl_run *run = user;
    const struct hl_cuda_pending *own = running_call(run, rank);
    if (!own)
        return (struct hl_residency){ .room = UINT32_MAX };
    const uint32_t resident =
        run->events.shared->resident[hl_protocol_kernels(own->record.protocol).kernels[0]];
    uint32_t before = 0, all = 0;
    for (int r = 0; r < run->plan.program->ranks; r++) {
        const struct hl_cuda_pending *other = running_call(run, r);
        if (!other)
            continue;
        all += other->record.ctas;
        if (other->begun_number < own->begun_number)
            before += other->record.ctas;
    }
    const uint32_t left = before < resident ? resident - before : 0;
    return (struct hl_residency){ .ctas = own->record.ctas,
                                  .started = own->record.ctas < left ? own->record.ctas : left,
                                  .room = all < resident ? resident - all : 0 };
}

static struct hl_word_history probe_word_history(void *user, int rank, int workspace, uint32_t word)
{
    (void)user, (void)rank, (void)workspace, (void)word;
    return (struct hl_word_history){ .known = false, .stored_by = -1, .cleared_by = -1 };
}

static void probe_device(void *user, int index, struct hl_device_evidence *ret_evidence)
{
    (void)user;
    hl_witness_collect(index, ret_evidence);
}

static struct hl_probe probe(struct hl_run *run)
{
    return (struct hl_probe){ .user = run,
                              .ranks = run->plan.program->ranks,
                              .layout = probe_layout,
                              .compare = run->events.shared->compare,
                              .read_words = probe_read_words,
                              .host_state = probe_host_state,
                              .host_stack = probe_host_stack,
                              .host_place = probe_host_place,
                              .dump_core = probe_dump_core,
                              .residency = probe_residency,
                              .devices = hl_witness_count(),
                              .device = probe_device,
                              .word_history = probe_word_history };
}

const struct hl_engine hl_engine_cuda = {
    .name = "cuda",
    .start = start,
    .advance = advance,
    .probe = probe,
    .crash_reason = crash_reason,
    .end = end,
};

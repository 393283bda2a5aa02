/* Who of the CUDA engine's processes lives, who is told of whose death, and what they leave behind. Runner
 * and members here answer as the real ones do and touch no CUDA, so that all of it is tested without a GPU.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../framework/engine/cuda/crew.h"
#include "../framework/engine/cuda/member.h"
#include "../framework/engine/cuda/runner.h"
#include "../framework/engine/cuda/subject.h"
#include "../framework/engine/cuda/witness.h"
#include "walk.h"

/* Reads of this workspace get no answer in time. */
#define SLOW_WORKSPACE 2

static bool is_eager; /* as the crew's processes should find it */

/* What a driver does that was asked for core dumps: it makes the pipe that the environment names. */
static void make_pipe(void)
{
    const char *pipe = getenv("CUDA_COREDUMP_PIPE");
    if (pipe && mkfifo(pipe, 0600) < 0)
        _exit(98);
}

/* Is the environment as CUDA and NCCL have to find it? */
static bool has_environment(void)
{
    const char *loading = getenv("CUDA_MODULE_LOADING"), *multicast = getenv("NCCL_NVLS_ENABLE");
    return loading && strcmp(loading, is_eager ? "EAGER" : "LAZY") == 0 && multicast &&
           strcmp(multicast, "0") == 0;
}

/* Of the test's plan, in the runner's own process, as the real one does before a run. NULL: none. */
static const struct hl_cuda_plan *plan_with_subject;

static CUresult set_context(CUcontext context)
{
    (void)context;
    return CUDA_SUCCESS;
}

static enum hl_status open_subject(struct hl_shared *shared, struct hl_error *error)
{
    static const struct hl_driver driver = { .cuCtxSetCurrent = set_context };
    static const CUcontext contexts[] = { NULL };
    struct hl_cuda_subject subject;
    return hl_cuda_subject_open(&subject, &driver, contexts, plan_with_subject, shared, error);
}

_Noreturn static void serve(int fd, struct hl_shared *shared, uint32_t ranks)
{
    struct hl_error error = { .message = "the environment is not set" };
    struct hl_request request;
    uint32_t words[64] = { 7 };
    make_pipe();
    hl_answer(fd, has_environment() ? HL_STATUS_OK : HL_STATUS_INTERNAL, &error, NULL, 0);
    while (hl_transfer(fd, &request, sizeof request, -1, false) == 0) {
        if (request.kind == HL_REQUEST_RUN) {
            void *bytes = malloc(request.bytes);
            hl_transfer(fd, bytes, request.bytes, -1, false);
            free(bytes);
            if (plan_with_subject && open_subject(shared, &error) != HL_STATUS_OK)
                _exit(97);
            atomic_fetch_add(&shared->ready, ranks);
        }
        if (request.kind == HL_REQUEST_READ && request.workspace == SLOW_WORKSPACE)
            nanosleep(&(struct timespec){ .tv_sec = 2, .tv_nsec = 200000000 }, NULL);
        words[0] = 7 + request.first;
        hl_answer(fd, HL_STATUS_OK, &error, words, request.kind == HL_REQUEST_READ ? request.count : 0);
    }
    _exit(0);
}

static bool are_ranks_members;

_Noreturn void hl_cuda_runner(int fd, struct hl_shared *shared)
{
    serve(fd, shared, are_ranks_members ? 0 : 4);
}

_Noreturn void hl_cuda_member(int fd, struct hl_shared *shared, const struct hl_cuda_plan *first, int rank)
{
    (void)first;
    atomic_store(&shared->rank[rank].tid, gettid());
    serve(fd, shared, 1);
}

/* A plan for a crew. Programs of no calls do, as nobody runs them. */
struct setting {
    struct hl_config config;
    struct hl_program *program;
    struct hl_cuda_plan plan;
};

static void set(struct setting *s, enum hl_placement placement, enum hl_detail detail)
{
    struct hl_error error;
    s->config = hl_plain_config(HL_MODE_EAGER);
    s->config.world.placement = placement;
    s->config.watchdog.detail = detail;
    s->program = hl_must_create(&s->config, 1);
    are_ranks_members = placement == HL_PLACEMENT_PROCESS;
    cr_assert_eq(hl_cuda_plan_init(&s->plan, &s->config, s->program, &error), HL_STATUS_OK);
}

static void need(const struct setting *s)
{
    struct hl_error error;
    cr_assert_eq(hl_crew_need(&s->plan, &error), HL_STATUS_OK, "%s", error.message);
}

static void start(const struct setting *s)
{
    const struct hl_run_spec spec = { .config = &s->config, .program = s->program, .seed = 1 };
    struct hl_error error;
    need(s);
    atomic_store(&hl_crew_shared()->ready, 0); /* the real runner does it */
    cr_assert_eq(hl_crew_start(&spec, &error), HL_STATUS_OK, "%s", error.message);
}

static void finish(struct setting *s)
{
    hl_crew_kill();
    hl_cuda_plan_finish(&s->plan);
    hl_program_destroy(s->program);
}

/* Waits up to a second until the rank's process is in that state. */
static bool comes_to(int rank, enum hl_crew_state state)
{
    char why[96];
    for (int i = 0; i < 1000 && hl_crew_state_of(rank, NULL) != state; i++) {
        hl_crew_look(why, sizeof why);
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    return hl_crew_state_of(rank, NULL) == state;
}

static bool dies(pid_t pid)
{
    for (int i = 0; i < 2000 && kill(pid, 0) == 0; i++) {
        waitpid(pid, NULL, WNOHANG); /* orphans of a test come to it */
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    return kill(pid, 0) < 0;
}

Test(cuda_crew, is_one_process_for_virtual_ranks_and_one_more_for_each_rank_else)
{
    struct setting s;
    set(&s, HL_PLACEMENT_VIRTUAL, HL_DETAIL_LIGHT);
    start(&s);
    for (int rank = 1; rank < 4; rank++)
        cr_assert_eq(hl_crew_pid_of(rank), hl_crew_pid_of(0));
    finish(&s);
    set(&s, HL_PLACEMENT_PROCESS, HL_DETAIL_LIGHT);
    start(&s);
    for (int rank = 0; rank < 4; rank++) {
        cr_assert_gt(hl_crew_pid_of(rank), 0);
        cr_assert_eq(atomic_load(&hl_crew_shared()->rank[rank].tid), hl_crew_pid_of(rank));
    }
    finish(&s);
}

Test(cuda_crew, serves_run_after_run_until_the_plan_wants_another)
{
    struct setting s, other;
    set(&s, HL_PLACEMENT_PROCESS, HL_DETAIL_LIGHT);
    start(&s);
    const pid_t first = hl_crew_pid_of(2);
    hl_crew_end();
    start(&s);
    cr_assert_eq(hl_crew_pid_of(2), first);
    hl_crew_end();
    set(&other, HL_PLACEMENT_VIRTUAL, HL_DETAIL_LIGHT);
    start(&other);
    cr_assert_eq(kill(first, 0), -1, "members of another crew live on");
    finish(&other);
    finish(&s);
}

Test(cuda_crew, loads_all_code_at_once_where_a_plugin_launches_what_nobody_can_name)
{
    struct setting own, plugin;
    set(&own, HL_PLACEMENT_VIRTUAL, HL_DETAIL_LIGHT);
    start(&own);
    const pid_t lazy = hl_crew_pid_of(0);
    hl_crew_end();
    is_eager = true;
    set(&plugin, HL_PLACEMENT_VIRTUAL, HL_DETAIL_LIGHT);
    strcpy(plugin.config.subject.plugin, "flashinfer");
    start(&plugin);
    const pid_t eager = hl_crew_pid_of(0);
    cr_assert_neq(eager, lazy);
    hl_crew_end();
    start(&own);
    cr_assert_eq(hl_crew_pid_of(0), eager, "a crew that has loaded all serves the others, too");
    finish(&plugin);
    finish(&own);
}

Test(cuda_crew, a_dead_and_a_stopped_member_are_seen_and_cost_the_crew)
{
    struct setting s;
    int signal;
    set(&s, HL_PLACEMENT_PROCESS, HL_DETAIL_LIGHT);
    start(&s);
    const pid_t stopped = hl_crew_pid_of(3);
    kill(hl_crew_pid_of(1), SIGKILL);
    kill(stopped, SIGSTOP);
    cr_assert(comes_to(1, HL_CREW_DEAD));
    cr_assert(comes_to(3, HL_CREW_STOPPED));
    hl_crew_state_of(1, &signal);
    cr_assert_eq(signal, SIGKILL);
    cr_assert_eq(hl_crew_pid_of(1), 0, "its number may be another process's");
    cr_assert_eq(hl_crew_state_of(0, NULL), HL_CREW_ALIVE);
    hl_crew_end();
    cr_assert_eq(kill(stopped, 0), -1, "a stopped member outlives its crew");
    start(&s);
    cr_assert_eq(hl_crew_state_of(1, NULL), HL_CREW_ALIVE);
    finish(&s);
}

/* As one whose driver still clears up. */
Test(cuda_crew, a_member_that_cannot_be_waited_for_yet_is_dead_on_a_close_look)
{
    struct setting s;
    set(&s, HL_PLACEMENT_PROCESS, HL_DETAIL_LIGHT);
    start(&s);
    const pid_t dying = hl_crew_pid_of(1);
    kill(dying, SIGKILL);
    cr_assert_eq(waitid(P_PID, (id_t)dying, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), 0);
    cr_expect_eq(hl_crew_state_of(1, NULL), HL_CREW_ALIVE);
    hl_crew_look_closely();
    cr_expect_eq(hl_crew_state_of(1, NULL), HL_CREW_DEAD);
    cr_expect_eq(hl_crew_pid_of(1), 0);
    cr_expect_eq(hl_crew_state_of(0, NULL), HL_CREW_ALIVE);
    finish(&s);
    cr_expect_eq(waitpid(dying, NULL, WNOHANG), -1, "it was not waited for");
}

Test(cuda_crew, a_process_that_dies_between_runs_costs_no_run)
{
    struct setting s;
    set(&s, HL_PLACEMENT_VIRTUAL, HL_DETAIL_LIGHT);
    start(&s);
    const pid_t runner = hl_crew_pid_of(0);
    hl_crew_end();
    kill(runner, SIGKILL);
    cr_assert_eq(waitid(P_PID, (id_t)runner, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), 0);
    start(&s);
    cr_assert_neq(hl_crew_pid_of(0), runner);
    finish(&s);
}

/* Somebody else's code runs in the runner alone: what it does to that process is said, and the next run gets
 * a new one. */
Test(cuda_crew, a_subject_that_crashes_in_create_costs_its_process_and_no_more)
{
    struct setting s;
    struct hl_error error = { .message = "" };
    char wanted[512];
    s.config = hl_plain_config(HL_MODE_EAGER);
    s.config.subject.strategy = HL_STRATEGY_ONESHOT;
    snprintf(s.config.subject.plugin, sizeof s.config.subject.plugin,
             "%.80s/tests/subjects/fake-create-dies.so", getenv("HANGLAB_BUILD"));
    s.program = hl_must_create(&s.config, 1);
    is_eager = true; /* a subject loads kernels that the engine does not know */
    are_ranks_members = false;
    cr_assert_eq(hl_cuda_plan_init(&s.plan, &s.config, s.program, &error), HL_STATUS_OK);
    plan_with_subject = &s.plan;
    need(&s);
    const struct hl_run_spec spec = { .config = &s.config, .program = s.program, .seed = 1 };
    cr_assert_eq(hl_crew_start(&spec, &error), HL_STATUS_INTERNAL, "%s", error.message);
    snprintf(wanted, sizeof wanted, "died or does not answer, in create() of subject %s",
             s.config.subject.plugin);
    cr_expect_not_null(strstr(error.message, wanted), "%s", error.message);
    plan_with_subject = NULL;
    is_eager = false;
    s.config.subject.plugin[0] = '\0';
    hl_crew_end();
    start(&s);
    cr_expect_eq(hl_crew_state_of(0, NULL), HL_CREW_ALIVE);
    finish(&s);
}

Test(cuda_crew, an_answer_that_comes_too_late_is_not_taken_for_the_next)
{
    struct setting s;
    uint32_t words[4];
    set(&s, HL_PLACEMENT_VIRTUAL, HL_DETAIL_LIGHT);
    start(&s);
    const pid_t runner = hl_crew_pid_of(0);
    cr_assert_eq(hl_crew_read(0, 0, 5, 4, words), 0);
    cr_assert_eq(words[0], 12);
    cr_assert_eq(hl_crew_read(0, SLOW_WORKSPACE, 0, 4, words), -1);
    nanosleep(&(struct timespec){ .tv_nsec = 400000000 }, NULL); /* by now it is there */
    cr_assert_eq(hl_crew_read(0, 0, 9, 4, words), -1, "word %u", words[0]);
    cr_assert_eq(hl_crew_check_guards(), -1);
    hl_crew_end();
    start(&s);
    cr_assert_neq(hl_crew_pid_of(0), runner, "a runner that owes an answer serves another run");
    cr_assert_eq(hl_crew_read(0, 0, 1, 4, words), 0);
    cr_assert_eq(words[0], 8);
    finish(&s);
}

Test(cuda_crew, cupti_watches_the_processes_that_launch)
{
    static struct hl_device_evidence evidence;
    struct setting s;
    set(&s, HL_PLACEMENT_PROCESS, HL_DETAIL_CUPTI);
    start(&s);
    cr_assert_eq(hl_witness_count(), 4);
    for (int rank = 0; rank < 4; rank++) {
        hl_witness_collect(rank, &evidence);
        cr_assert_eq((pid_t)evidence.pid, hl_crew_pid_of(rank));
    }
    finish(&s);
    set(&s, HL_PLACEMENT_VIRTUAL, HL_DETAIL_CUPTI);
    start(&s);
    cr_assert_eq(hl_witness_count(), 1);
    hl_witness_collect(0, &evidence);
    cr_assert_eq((pid_t)evidence.pid, hl_crew_pid_of(0));
    finish(&s);
}

static int entries(const char *path)
{
    int n = 0;
    DIR *folder = opendir(path);
    cr_assert_not_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        n += entry->d_name[0] != '.';
    closedir(folder);
    return n;
}

Test(cuda_crew, core_dumps_are_allowed_in_all_processes_and_leave_no_folder)
{
    char folder[] = "/tmp/hanglab-test-XXXXXX", path[64], why[256];
    struct setting s;
    cr_assert_not_null(mkdtemp(folder));
    setenv("TMPDIR", folder, 1);
    set(&s, HL_PLACEMENT_PROCESS, HL_DETAIL_CORE);
    start(&s);
    const pid_t first = hl_crew_pid_of(0);
    cr_assert_eq(entries(folder), 1);
    cr_assert_eq(hl_witness_count(), 0, "CUPTI is not with core dumps");
    snprintf(path, sizeof path, "%s/core", folder);
    cr_assert_eq(hl_crew_dump_core(2, path, why, sizeof why), -1, "nobody reads the pipe here");
    hl_crew_end();
    cr_assert_eq(kill(first, 0), -1, "a crew that was dumped serves another run");
    cr_assert_eq(entries(folder), 0, "pipes of killed processes stay behind");
    finish(&s);
    rmdir(folder);
}

Test(cuda_crew, nobody_outlives_a_killed_worker_stopped_or_not)
{
    pid_t pids[4];
    int fds[2];
    cr_assert_eq(pipe(fds), 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    const pid_t worker = fork();
    if (worker == 0) {
        struct setting s;
        set(&s, HL_PLACEMENT_PROCESS, HL_DETAIL_LIGHT);
        start(&s);
        for (int rank = 0; rank < 4; rank++)
            pids[rank] = hl_crew_pid_of(rank);
        kill(pids[1], SIGSTOP);
        if (write(fds[1], pids, sizeof pids) != sizeof pids)
            _exit(1);
        for (;;)
            pause();
    }
    cr_assert_eq(read(fds[0], pids, sizeof pids), (ssize_t)sizeof pids);
    kill(worker, SIGKILL);
    waitpid(worker, NULL, 0);
    for (int rank = 0; rank < 4; rank++)
        cr_assert(dies(pids[rank]), "the process of rank %d lives on", rank);
}

Test(cuda_crew, a_fork_of_its_owner_lets_go_of_it_without_harm)
{
    char folder[] = "/tmp/hanglab-test-XXXXXX";
    struct setting s;
    int status;
    cr_assert_not_null(mkdtemp(folder));
    setenv("TMPDIR", folder, 1);
    set(&s, HL_PLACEMENT_PROCESS, HL_DETAIL_CORE);
    start(&s);
    const pid_t child = fork();
    if (child == 0) {
        hl_crew_kill();
        _exit(0);
    }
    waitpid(child, &status, 0);
    cr_assert_eq(entries(folder), 1, "the folder is its owner's");
    cr_assert_eq(kill(hl_crew_pid_of(0), 0), 0);
    hl_crew_end();
    start(&s);
    finish(&s);
    rmdir(folder);
}

/* The CUDA engine behind the engine interface. */
#include "cuda.h"
#include "../engine.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "crew.h"
#include "events.h"
#include "../../program/resolve.h"
#include "kernels/cuda/launch.h"
#include "witness.h"

#define POLL_NS 20000
/* A host that stays in one launch for so long is blocked there. */
#define BLOCKED_NS 50000000u

struct hl_run {
    struct hl_cuda_plan plan;
    struct hl_cuda_events events;
    char crash[300];
    bool over; /* ended or crashed */
};

void hl_cuda_stop_runner(void) { hl_crew_kill(); }

enum hl_status hl_cuda_find_gpu(struct hl_error *error)
{
    const enum hl_status status = hl_crew_need(NULL, error);
    hl_crew_kill(); /* the supervisor needs none; its workers start their own */
    return status;
}

/*
 * The interface
 */

/* What has no kernel here is skipped, as is what wants more GPUs than there are. */
static enum hl_status check_kernels(const struct hl_config *config, const struct hl_cuda_plan *plan,
                                    struct hl_error *error)
{
    if (config->subject.plugin[0] && config->world.placement == HL_PLACEMENT_PROCESS)
        return hl_fail(error, HL_STATUS_NO_GPU,
                       "subject.plugin: its workspaces are made in one process; it runs with "
                       "`world.placement: virtual`");
    if (config->world.progress == HL_PROGRESS_OBE)
        return hl_fail(error, HL_STATUS_NO_GPU,
                       "world.progress: obe: a GPU starts CTAs in an order of its own; this case runs on the "
                       "simulator");
    if (!hl_cuda_has_build(config->subject.mutant, config->subject.dtype, plan->program->ranks))
        return hl_fail(error, HL_STATUS_NO_GPU,
                       "subject.mutant: this one has no CUDA build for this data type and so many ranks; it "
                       "runs on the simulator");
    if (!config->workspace.checked && !hl_fits_workspace(&plan->program->config, plan->program->tokens_max))
        return hl_fail(
            error, HL_STATUS_NO_GPU,
            "workspace.checked: calls that write outside of a workspace run on the simulator only");
    for (int w = 0; w < plan->program->n_workspaces; w++)
        if (!hl_cuda_layout_fits(&plan->layout[w]))
            return hl_fail(
                error, HL_STATUS_NO_GPU,
                "subject.hidden: %u elements of this data type are no multiple of 16 bytes, or more than a "
                "cluster of blocks holds",
                plan->geometry.hidden);
    return HL_STATUS_OK;
}

/* A crew that has the run and waits for the word to go. */
static enum hl_status start_crew(const struct hl_run_spec *spec, const struct hl_cuda_plan *plan,
                                 struct hl_error *error)
{
    enum hl_status status = hl_crew_need(plan, error);
    if (status == HL_STATUS_NO_GPU) /* there was one when the engine was chosen: nothing to skip in silence */
        return error->status = HL_STATUS_INTERNAL;
    if (!status)
        status = hl_crew_start(spec, error);
    if (status && status != HL_STATUS_USAGE && status != HL_STATUS_NO_GPU)
        hl_crew_kill();
    return status;
}

static enum hl_status start(const struct hl_run_spec *spec, struct hl_run **ret_run, struct hl_error *error)
{
    struct hl_run *run = calloc(1, sizeof *run);
    if (!run)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a run");
    enum hl_status status = hl_cuda_plan_init(&run->plan, spec->config, spec->program, error);
    if (!status)
        status = check_kernels(spec->config, &run->plan, error);
    if (!status)
        status = start_crew(spec, &run->plan, error);
    if (!status) {
        status =
            hl_cuda_events_init(&run->events, &run->plan, hl_crew_shared(), &spec->feed, spec->seed, error);
        if (status)
            hl_crew_kill();
    }
    if (status) {
        hl_cuda_plan_finish(&run->plan);
        free(run);
        return status;
    }
    atomic_store(&hl_crew_shared()->go, true);
    *ret_run = run;
    return HL_STATUS_OK;
}

static enum hl_run_state crashed(struct hl_run *run, const char *why)
{
    snprintf(run->crash, sizeof run->crash, "%s", why);
    run->over = true;
    return HL_RUN_CRASHED;
}

/* Are all ranks done that live? `ret_dead` is one that does not, or -1. */
static bool all_done(const struct hl_run *run, int *ret_dead)
{
    bool done = true;
    *ret_dead = -1;
    for (int rank = 0; rank < run->plan.program->ranks; rank++) {
        const bool own = atomic_load(&run->events.shared->rank[rank].done);
        if (!own && hl_crew_state_of(rank, NULL) == HL_CREW_DEAD)
            *ret_dead = rank;
        else
            done = done && own;
    }
    return done;
}

/* What can be told before the next look, and how the run stands. */
static enum hl_run_state look(struct hl_run *run)
{
    int dead, signal;
    char why[96];
    const bool lives = hl_crew_look(why, sizeof why), done = all_done(run, &dead);
    const bool failed = atomic_load(&run->events.shared->failed);
    hl_cuda_events_drain(&run->events);
    if (run->events.failed)
        return crashed(run, "the engine lost track of the GPU's marks");
    if (failed)
        return crashed(run, run->events.shared->failure);
    if (!lives)
        return crashed(run, why);
    if (!done)
        return HL_RUN_GOING;
    if (dead < 0)
        return HL_RUN_ENDED;
    hl_crew_state_of(dead, &signal);
    snprintf(why, sizeof why, "the process of rank %d died of signal %d; its peers had ended", dead, signal);
    return crashed(run, why);
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
    if (run->crash[0])
        hl_crew_kill();
    else
        hl_crew_end();
    hl_cuda_events_finish(&run->events);
    hl_cuda_plan_finish(&run->plan);
    free(run);
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
    if (run->plan.config->subject.backend == HL_BACKEND_NCCL) /* NCCL itself has memory of its own */
        return -1;
    if (count > run->plan.layout[workspace].words || first > run->plan.layout[workspace].words - count)
        return -1;
    return hl_crew_read(rank, workspace, first, count, words);
}

static enum hl_host_state probe_host_state(void *user, int rank)
{
    const struct hl_run *run = user;
    const struct hl_shared_rank *host = &run->events.shared->rank[rank];
    const enum hl_crew_state state = hl_crew_state_of(rank, NULL);
    if (atomic_load(&host->exited))
        return HL_HOST_EXITED;
    if (state != HL_CREW_ALIVE)
        return state == HL_CREW_DEAD ? HL_HOST_DEAD : HL_HOST_BLOCKED;
    const bool stays = hl_monotonic_ns() - atomic_load(&host->since_ns) > BLOCKED_NS;
    return atomic_load(&host->waits) || stays ? HL_HOST_BLOCKED : HL_HOST_RUNNING;
}

static size_t probe_host_stack(void *user, int rank, char *text, size_t size)
{
    const struct hl_run *run = user;
    const struct hl_program *program = run->plan.program;
    const struct hl_rank_program *p = &program->rank[rank];
    const uint32_t index = atomic_load(&run->events.shared->rank[rank].op);
    const enum hl_host_state state = probe_host_state(user, rank);
    char op[256];
    int n;
    if (atomic_load(&run->events.shared->rank[rank].exited) || index >= p->n_ops) {
        n = snprintf(text, size, "#0 exited after %u ops\n", p->n_ops);
    } else {
        hl_op_describe(program, &p->ops[index], op, sizeof op);
        n = snprintf(text, size, "#0 %s (%s)\n#1 %s\n#2 rank %d: op %u of %u\n", op,
                     state == HL_HOST_DEAD      ? "dead"
                     : state == HL_HOST_BLOCKED ? "blocked"
                                                : "running",
                     program->labels[p->ops[index].label], rank, index, p->n_ops);
    }
    return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

static struct hl_host_place probe_host_place(void *user, int rank)
{
    const struct hl_run *run = user;
    return (struct hl_host_place){ hl_crew_pid_of(rank), atomic_load(&run->events.shared->rank[rank].tid) };
}

static int probe_dump_core(void *user, int rank, const char *path, char *why, size_t size)
{
    (void)user;
    return hl_crew_dump_core(rank, path, why, size);
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

/* Do the kernels of two ranks compete for the room of a GPU? Without MPS, contexts of two processes take
 * turns on it. */
static bool share_room(const struct hl_run *run, int rank, int other)
{
    const struct hl_shared *shared = run->events.shared;
    const bool at_once = run->plan.config->world.placement == HL_PLACEMENT_VIRTUAL || shared->mps;
    return rank == other || (at_once && shared->device[rank] == shared->device[other]);
}

/* CTAs of somebody else's kernels where the rank's have to run. They take all room. */
static uint32_t foreign_ctas(const struct hl_run *run, int rank)
{
    uint32_t ctas = 0;
    for (int r = 0; r < run->plan.program->ranks; r++)
        if (share_room(run, rank, r))
            ctas += atomic_load(&run->events.shared->rank[r].foreign_ctas);
    return ctas;
}

/* A GPU does not tell which CTAs have started. Where all running calls fit, all have; where they do not, room
 * is taken to be given in the order in which the calls began. */
static struct hl_residency probe_residency(void *user, int rank)
{
    const struct hl_run *run = user;
    const struct hl_cuda_track *t = &run->events.rank[rank];
    const struct hl_cuda_pending *own = running_call(run, rank);
    const uint32_t foreign = foreign_ctas(run, rank);
    if (!own)
        return (struct hl_residency){ .ctas = foreign && t->n_pending ? t->pending[0].record.ctas : 0,
                                      .room = foreign ? 0 : UINT32_MAX,
                                      .foreign = foreign };
    const uint32_t resident =
        run->events.shared->resident[hl_protocol_kernels(own->record.protocol).kernels[0]];
    uint32_t before = 0, all = 0;
    for (int r = 0; r < run->plan.program->ranks; r++) {
        const struct hl_cuda_pending *other = running_call(run, r);
        if (!other || !share_room(run, rank, r))
            continue;
        all += other->record.ctas;
        if (other->begun_number < own->begun_number)
            before += other->record.ctas;
    }
    const uint32_t left = before < resident ? resident - before : 0;
    return (struct hl_residency){ .ctas = own->record.ctas,
                                  .started = own->record.ctas < left ? own->record.ctas : left,
                                  .room = foreign || all >= resident ? 0 : resident - all,
                                  .foreign = foreign };
}

static struct hl_word_history probe_word_history(void *user, int rank, int workspace, uint32_t word)
{
    (void)user, (void)rank, (void)workspace, (void)word;
    return (struct hl_word_history){ .known = false, .stored_by = -1, .cleared_by = -1 };
}

static struct hl_stray_write probe_stray_write(void *user)
{
    const struct hl_run *run = user;
    if (hl_crew_check_guards() < 0)
        return (struct hl_stray_write){ .by_rank = -1 };
    return run->events.shared->stray;
}

static bool probe_is_serialised(void *user)
{
    const struct hl_run *run = user;
    return atomic_load(&run->events.shared->serialised);
}

static void probe_device(void *user, int index, struct hl_device_evidence *ret_evidence)
{
    (void)user;
    hl_witness_collect(index, ret_evidence);
}

/* Asked by the runner, on a stream that it made before anything ran. Where that cannot ask any more, another
 * GPU's silence says nothing of this one. */
static enum hl_device_answer probe_device_answer(void *user, int rank)
{
    const struct hl_shared *shared = ((const struct hl_run *)user)->events.shared;
    uint32_t word;
    if (hl_crew_read(rank, 0, 0, 1, &word) == 0)
        return HL_DEVICE_ANSWERS;
    return atomic_load(&shared->silent) >> shared->device[rank] & 1 ? HL_DEVICE_SILENT : HL_DEVICE_NOT_ASKED;
}

static uint32_t probe_strikes(void *user)
{
    const struct hl_run *run = user;
    return *(const volatile uint32_t *)&run->events.shared->strikes;
}

static struct hl_probe probe(struct hl_run *run)
{
    hl_crew_look_closely();
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
                              .word_history = probe_word_history,
                              .devices = hl_witness_count(),
                              .device = probe_device,
                              .stray_write = probe_stray_write,
                              .is_serialised = probe_is_serialised,
                              .device_answer = probe_device_answer,
                              .strikes = probe_strikes };
}

const struct hl_engine hl_engine_cuda = {
    .name = "cuda",
    .start = start,
    .advance = advance,
    .probe = probe,
    .crash_reason = crash_reason,
    .end = end,
    .leave = hl_cuda_stop_runner,
};

/* The simulator behind the engine interface, and the watchdog's view into a world. */
#include "clock.h"
#include <stdio.h>
#include <stdlib.h>

struct hl_run {
    struct hl_sim *sim;
    struct hl_clock *clock;
    bool told_quiescent;
    char crash_reason[256];
};

static void end(struct hl_run *run)
{
    hl_clock_destroy(run->clock);
    hl_sim_destroy(run->sim);
    free(run);
}

static enum hl_status start(const struct hl_run_spec *spec, struct hl_run **ret_run, struct hl_error *error)
{
    if (spec->config->subject.plugin[0])
        return hl_fail(error, HL_STATUS_NO_GPU, "subject.plugin: %s runs on a GPU only (--engine cuda)",
                       spec->config->subject.plugin);
    struct hl_run *run = calloc(1, sizeof *run);
    if (!run)
        return hl_fail(error, HL_STATUS_MEMORY, "out of memory for a run");
    enum hl_status status = hl_sim_create(spec, &run->sim, error);
    if (!status)
        status = hl_clock_create(run->sim, spec->seed, &run->clock, error);
    if (status) {
        end(run);
        return status;
    }
    *ret_run = run;
    return HL_STATUS_OK;
}

static int dead_rank(const struct hl_sim *s)
{
    for (int rank = 0; rank < s->ranks; rank++)
        if (s->hosts[rank].dead)
            return rank;
    return -1;
}

/* In the words of the CUDA driver, with what that does not tell. */
static void describe_device_fault(struct hl_run *run)
{
    const struct hl_sim_device_fault *f = &run->sim->device_fault;
    if (f->address.kind == HL_BAD_MISALIGNED)
        snprintf(run->crash_reason, sizeof run->crash_reason,
                 "misaligned address: call %u of rank %d stored 16 bytes at byte %lld of workspace %d "
                 "(buffer %u), "
                 "whose memory begins %u bytes from a bound",
                 f->call, f->rank, (long long)f->address.bytes, f->workspace, f->address.buffer,
                 run->sim->real.offset_bytes);
    else
        snprintf(
            run->crash_reason, sizeof run->crash_reason,
            "an illegal memory access was encountered: call %u of rank %d stored at byte %lld of workspace "
            "%d, where buffer %u has its row at byte %lld",
            f->call, f->rank, (long long)f->address.bytes, f->workspace, f->address.buffer,
            (long long)f->address.right_bytes);
}

static enum hl_run_state advance(struct hl_run *run, uint64_t slice_ns, uint64_t *ret_now_ns)
{
    const bool going = hl_clock_run(run->clock, hl_clock_now_ns(run->clock) + slice_ns);
    *ret_now_ns = hl_clock_now_ns(run->clock);
    if (run->sim->device_fault.address.kind != HL_BAD_NONE) {
        describe_device_fault(run);
        return HL_RUN_CRASHED;
    }
    if (going)
        return HL_RUN_GOING;
    if (hl_sim_ended(run->sim))
        return dead_rank(run->sim) < 0 ? HL_RUN_ENDED : HL_RUN_CRASHED;
    if (!run->told_quiescent)
        hl_sim_emit(run->sim, (struct hl_event){ .kind = HL_EVENT_QUIESCENT, .rank = -1 });
    run->told_quiescent = true;
    return HL_RUN_STUCK;
}

static const struct hl_layout *probe_layout(void *user, int workspace)
{
    const struct hl_run *run = user;
    return &run->sim->layout[workspace];
}

static int probe_read_words(void *user, int rank, int workspace, uint32_t first, uint32_t count,
                            uint32_t *words)
{
    struct hl_run *run = user;
    if (count > run->sim->layout[workspace].words || first > run->sim->layout[workspace].words - count)
        return -1;
    memcpy(words, hl_sim_workspace(run->sim, workspace, rank) + first, count * sizeof *words);
    return 0;
}

static enum hl_host_state probe_host_state(void *user, int rank)
{
    const struct hl_run *run = user;
    const struct hl_sim_host *host = &run->sim->hosts[rank];
    if (host->dead)
        return HL_HOST_DEAD;
    return host->exited ? HL_HOST_EXITED : host->waiting ? HL_HOST_BLOCKED : HL_HOST_RUNNING;
}

static size_t probe_host_stack(void *user, int rank, char *text, size_t size)
{
    const struct hl_run *run = user;
    const struct hl_sim *s = run->sim;
    const struct hl_sim_host *host = &s->hosts[rank];
    const struct hl_rank_program *p = &s->program->rank[rank];
    char op[256];
    int n;
    if (host->exited || host->op >= p->n_ops) {
        n = snprintf(text, size, "#0 exited after %u ops\n", p->n_ops);
    } else {
        hl_op_describe(s->program, &p->ops[host->op], op, sizeof op);
        n = snprintf(text, size, "#0 %s (%s)\n#1 %s\n#2 rank %d: op %u of %u\n", op,
                     host->waiting ? "blocked" : "running", s->program->labels[p->ops[host->op].label], rank,
                     host->op, p->n_ops);
    }
    return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

/* The rank's kernel with the lowest ticket that has not ended. */
static struct hl_residency probe_residency(void *user, int rank)
{
    const struct hl_run *run = user;
    const struct hl_sim *s = run->sim;
    const struct hl_sim_kernel *oldest = NULL;
    const uint32_t first = (uint32_t)(rank * s->lanes) * HL_SIM_KERNELS_MAX;
    for (uint32_t k = first; k < first + (uint32_t)s->lanes * HL_SIM_KERNELS_MAX; k++)
        if (s->kernels[k].active && (!oldest || s->kernels[k].ticket < oldest->ticket))
            oldest = &s->kernels[k];
    const int gpu = hl_sim_gpu(s, rank);
    return (struct hl_residency){ .ctas = oldest ? oldest->ctas : 0,
                                  .started = oldest ? oldest->started : 0,
                                  .ended = oldest ? oldest->ended : 0,
                                  .room = s->room[gpu],
                                  .foreign = s->outside[gpu].foreign_ctas };
}

static struct hl_word_history probe_word_history(void *user, int rank, int workspace, uint32_t word)
{
    const struct hl_run *run = user;
    const struct hl_sim_trace *t = hl_sim_trace(run->sim, workspace, rank, word);
    return (struct hl_word_history){ .known = true,
                                     .stored_by = t->stored_by,
                                     .stored_call = t->stored_call,
                                     .stored_ns = t->stored_ns,
                                     .cleared_by = t->cleared_by,
                                     .cleared_call = t->cleared_call,
                                     .cleared_ns = t->cleared_ns };
}

static struct hl_stray_write probe_stray_write(void *user)
{
    const struct hl_run *run = user;
    for (int rank = 0; rank < run->sim->ranks; rank++)
        hl_sim_check_guards(run->sim, rank);
    return run->sim->stray;
}

static bool probe_is_serialised(void *user)
{
    const struct hl_run *run = user;
    return run->sim->outside[0].serialised;
}

static enum hl_device_answer probe_device_answer(void *user, int rank)
{
    const struct hl_run *run = user;
    return run->sim->outside[hl_sim_gpu(run->sim, rank)].frozen ? HL_DEVICE_SILENT : HL_DEVICE_ANSWERS;
}

static uint32_t probe_strikes(void *user)
{
    const struct hl_run *run = user;
    return run->sim->strikes;
}

static struct hl_probe probe(struct hl_run *run)
{
    return (struct hl_probe){ .user = run,
                              .ranks = run->sim->ranks,
                              .layout = probe_layout,
                              .compare = run->sim->config->subject.sentinel_compare,
                              .read_words = probe_read_words,
                              .host_state = probe_host_state,
                              .host_stack = probe_host_stack,
                              .residency = probe_residency,
                              .word_history = probe_word_history,
                              .stray_write = probe_stray_write,
                              .is_serialised = probe_is_serialised,
                              .device_answer = probe_device_answer,
                              .strikes = probe_strikes };
}

static const char *crash_reason(const struct hl_run *run)
{
    if (run->crash_reason[0])
        return run->crash_reason;
    return dead_rank(run->sim) < 0 ? "" : "a rank's process died; its peers had ended";
}

const struct hl_engine hl_engine_sim = {
    .name = "sim",
    .start = start,
    .advance = advance,
    .probe = probe,
    .crash_reason = crash_reason,
    .end = end,
};

/* Writes what each rank does as a Promela process, taken from the step sources by running them.
 *
 * With one CTA a rank, what a rank does next is decided by its own flags alone; only when it may go on
 * depends on others. So each rank's accesses are recorded once, with clears left out so that nothing ever has
 * to wait: first the calls until its flags have gone round, then the calls that go round for ever. A slot
 * becomes a bit (arrived or not), a barrier flag a byte; steps that touch only what nobody else looks at are
 * left out. */
#include "promela.h"
#include <stdlib.h>
#include <string.h>

/* Calls after which a rank's flags are as before: three buffers, or two and a barrier flag with three values.
 */
static uint32_t rotation(const struct hl_space *s) { return s->spec.mutant == HL_MUTANT_DEPTH_2 ? 6 : 3; }

struct writer {
    struct hl_space *space;
    FILE *out;
    uint32_t calls[HL_RANKS_MAX]; /* ended */
    char *text[HL_RANKS_MAX];     /* the process of each rank, while it is recorded */
    size_t size[HL_RANKS_MAX];
    FILE *process[HL_RANKS_MAX];
    bool loops[HL_RANKS_MAX];
};

static bool is_row(const struct hl_layout *l, uint32_t at)
{
    return at - l->buffers_at < hl_buffers_words(l);
}
static bool is_barrier(const struct hl_layout *l, uint32_t at)
{
    return l->family == HL_FAMILY_TRTLLM && at >= l->barrier_at;
}

static void write_wait(FILE *out, const struct hl_space *s, int rank)
{
    const int w = s->touched_workspace;
    const char *between = "    (";
    for (uint32_t i = 0; i < s->footprint.n; i++) {
        const struct hl_touch *t = &s->footprint.touch[i];
        for (uint32_t at = t->at; at < t->at + t->count; at++) {
            if (t->kind == HL_TOUCH_LOAD && is_row(&s->layout[w], at))
                fprintf(out, "%srow%d_%d[%u]", between, w, rank, at);
            else if (t->kind == HL_TOUCH_LOAD_UNLESS)
                fprintf(out, "%sflag%d_%d[%u] != %u", between, w, rank, at - s->layout[w].barrier_at,
                        t->value);
            else
                continue;
            between = " && ";
        }
    }
    if (between[0] == ' ' && between[1] == '&')
        fputs(");\n", out);
}

/* The last step of a rank as a statement; nothing for what only the rank itself sees. */
static void write_step(struct writer *w, int rank)
{
    struct hl_space *s = w->space;
    FILE *out = w->process[rank];
    const struct hl_layout *l = &s->layout[s->touched_workspace];
    const struct hl_store *store = &s->store;
    write_wait(out, s, rank);
    if (store->count && is_row(l, store->at))
        fprintf(out, "    row%d_%d[%u] = %d;\n", s->touched_workspace, store->rank, store->at,
                !store->clears);
    else if (store->count && is_barrier(l, store->at))
        fprintf(out, "    flag%d_%d[%u] = %u;\n", s->touched_workspace, store->rank,
                s->footprint.touch[0].at - l->barrier_at, s->footprint.touch[0].value);
}

/* Takes a clear back, so that the recording never waits. */
static void keep_row(struct hl_space *s, uint32_t word)
{
    if (s->store.count && s->store.clears)
        s->words[s->touched_workspace][s->store.rank][s->store.at] = word;
}

/* One round of single steps; false: every rank has been recorded. */
static bool record_round(struct writer *w, uint32_t round)
{
    struct hl_space *s = w->space;
    bool going = false;
    for (uint32_t agent = 0; agent < s->agents; agent++) {
        const int rank = s->agent[agent].rank;
        if (w->calls[rank] == 2 * round || !hl_space_is_running(&s->agent[agent]))
            continue;
        const struct hl_space_kernel kernel = *s->agent[agent].its_kernel;
        const struct hl_space_call *call = hl_space_call(&s->agent[agent]);
        if (!w->loops[rank] && w->calls[rank] == round) {
            fputs("    do ::\n", w->process[rank]);
            w->loops[rank] = true;
        }
        going = true;
        if (!hl_space_step(s, agent))
            continue;
        write_step(w, rank);
        keep_row(s, 1);
        w->calls[rank] += s->retired && kernel.which + 1 == hl_protocol_kernels(call->protocol).count;
    }
    return going;
}

static void write_model(struct writer *w, const char *name)
{
    const struct hl_space *s = w->space;
    fprintf(w->out,
            "/* %s: %d ranks, from hanglab's step sources. An invalid end state is a hang.\n"
            "   spin -a FILE && cc -O2 -DSAFETY -o pan pan.c && ./pan -m10000000 */\n",
            name, s->spec.ranks);
    for (int ws = 0; ws < s->spec.workspaces; ws++)
        for (int rank = 0; rank < s->spec.ranks; rank++) {
            const struct hl_layout *l = &s->layout[ws];
            fprintf(w->out, "bit row%d_%d[%u];\n", ws, rank, l->buffers_at + hl_buffers_words(l));
            if (l->family == HL_FAMILY_TRTLLM)
                fprintf(w->out, "byte flag%d_%d[%u];\n", ws, rank, s->live[ws] - l->barrier_at);
        }
    for (int rank = 0; rank < s->spec.ranks; rank++)
        fprintf(w->out, "active proctype rank%d()\n{\n%s    od\n}\n", rank, w->text[rank]);
}

static enum hl_status check(const struct hl_space *s, struct hl_error *error)
{
    if (s->ctas_max > 1 || s->spec.streams > 1 || s->spec.pdl)
        return hl_fail(error, HL_STATUS_USAGE,
                       "only one CTA a rank, on one stream without PDL, can be exported: take --tokens 1, "
                       "and `schedule: {pdl: false}` in the file");
    for (int rank = 0; rank < s->spec.ranks; rank++) {
        const struct hl_space_stream_program *p = &s->spec.program[rank][0];
        if (p->n == 0 || p->loop_to != 0 || HL_MUTANT_COUNTS_CALLS(s->spec.mutant) || s->spec.payload)
            return hl_fail(error, HL_STATUS_USAGE,
                           "only calls without end, without faults and payloads, can be exported");
        for (uint32_t i = 0; i < p->n; i++)
            if (p->calls[i].protocol >= HL_NCCL)
                return hl_fail(error, HL_STATUS_USAGE, "nccl counts its calls: it cannot be exported");
    }
    return HL_STATUS_OK;
}

enum hl_status hl_promela_write(struct hl_space *space, const char *name, FILE *out, struct hl_error *error)
{
    struct writer w = { .space = space, .out = out };
    struct hl_hash hash;
    enum hl_status status = check(space, error);
    if (status)
        return status;
    hl_space_start(space, space->scratch, &hash);
    space->base = NULL;
    bool failed = false;
    for (int rank = 0; rank < space->spec.ranks; rank++) {
        w.process[rank] = open_memstream(&w.text[rank], &w.size[rank]);
        failed |= !w.process[rank];
    }
    while (!failed && record_round(&w, rotation(space) * space->spec.program[0][0].n)) {
    }
    for (int rank = 0; rank < space->spec.ranks; rank++)
        failed |= w.process[rank] && fclose(w.process[rank]);
    if (!failed)
        write_model(&w, name);
    for (int rank = 0; rank < space->spec.ranks; rank++)
        free(w.text[rank]);
    return failed ? hl_fail(error, HL_STATUS_MEMORY, "out of memory for a Promela model") : HL_STATUS_OK;
}

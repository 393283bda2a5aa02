/* The rig: the simulator's step functions without the simulator. */
#include "rig.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void emit(struct hl_rig *rig, struct hl_event event)
{
    event.time_ns = rig->now_ns;
    hl_watch_event(rig->watch, &event);
    hl_oracle_event(rig->oracle, &event);
}

float hl_rig_get(const struct hl_rig *rig, const uint32_t *row, uint32_t i)
{
    float values[HL_RIG_HIDDEN];
    hl_unpack_row(row, rig->layout.row_words, rig->layout.dtype, values);
    return values[i];
}

void hl_rig_set(const struct hl_rig *rig, uint32_t *row, uint32_t i, float value)
{
    float values[HL_RIG_HIDDEN];
    hl_unpack_row(row, rig->layout.row_words, rig->layout.dtype, values);
    values[i] = value;
    hl_pack_row(values, rig->layout.row_words, rig->layout.dtype, row);
}

/* xorshift32; values of both signs over a few binades. */
static float draw(struct hl_rig *rig)
{
    rig->random ^= rig->random << 13;
    rig->random ^= rig->random >> 17;
    rig->random ^= rig->random << 5;
    const float size =
        (float)(rig->random >> 8 & 0xffff) / 65536 * (float)(1u << (rig->random >> 24 & 7)) / 16;
    return rig->random >> 31 ? -size : size;
}

static void fill(struct hl_rig *rig, uint32_t *rows, uint32_t count)
{
    float values[HL_RIG_HIDDEN];
    for (uint32_t t = 0; t < count; t++) {
        for (uint32_t i = 0; i < HL_RIG_HIDDEN; i++)
            values[i] = draw(rig);
        hl_pack_row(values, rig->layout.row_words, rig->layout.dtype, rows + t * rig->layout.row_words);
    }
}

void hl_rig_init_workspace(struct hl_rig *rig, int rank, int workspace)
{
    uint32_t *words = rig->memory[workspace][rank];
    memset(words, 0, rig->layout.buffers_at * sizeof *words);
    hl_workspace_flags(&rig->layout, words);
    rig->now_ns++;
    for (uint32_t i = rig->layout.buffers_at; i < rig->layout.words; i++) {
        words[i] = rig->layout.family == HL_FAMILY_NCCL ? 0 : hl_sentinel_word(&rig->layout);
        struct hl_rig_journal *journal = &rig->journal[workspace][rank][i];
        journal->cleared_by = rank;
        journal->cleared_call = UINT32_MAX;
        journal->cleared_ns = rig->now_ns;
    }
    emit(rig, (struct hl_event){
                  .kind = HL_EVENT_WORKSPACE_INIT, .rank = rank, .workspace = (uint32_t)workspace });
}

struct hl_rig *hl_rig_create(enum hl_family family, enum hl_dtype dtype, int ranks)
{
    struct hl_rig *rig = calloc(1, sizeof *rig);
    if (!rig)
        abort();
    rig->ranks = ranks;
    rig->workspaces = HL_WORKSPACES_MAX;
    rig->has_journal = true;
    rig->random = 0x2545f491;
    rig->layout = hl_layout_make(family, ranks, HL_RIG_TOKENS, HL_RIG_HIDDEN, dtype);
    if (rig->layout.words > HL_RIG_WORKSPACE_WORDS)
        abort();
    rig->watch = hl_watch_create(ranks, rig->workspaces, 0);
    rig->oracle = hl_oracle_create(ranks, rig->workspaces, 0);
    fill(rig, rig->gamma, 1);
    for (int w = 0; w < rig->workspaces; w++)
        for (int r = 0; r < ranks; r++) {
            rig->residency[r].room = UINT32_MAX;
            for (uint32_t i = 0; i < rig->layout.words; i++)
                rig->journal[w][r][i].stored_by = rig->journal[w][r][i].cleared_by = -1;
            hl_rig_init_workspace(rig, r, w);
        }
    return rig;
}

void hl_rig_destroy(struct hl_rig *rig)
{
    hl_watch_destroy(rig->watch);
    hl_oracle_destroy(rig->oracle);
    free(rig);
}

void hl_rig_issue(struct hl_rig *rig, int rank, int workspace, enum hl_protocol protocol, uint32_t tokens,
                  uint16_t site)
{
    struct hl_rig_call *call = &rig->call[rank];
    memset(call, 0, sizeof *call);
    call->running = true;
    call->record =
        (struct hl_call_record){ .call = rig->issued[rank][workspace]++,
                                 .op = 100 + rig->issued[rank][0] + rig->issued[rank][1],
                                 .launch = 100 + rig->issued[rank][0] + rig->issued[rank][1],
                                 .site = site,
                                 .graph = UINT16_MAX,
                                 .workspace = (uint8_t)workspace,
                                 .protocol = protocol,
                                 .dtype = rig->layout.dtype,
                                 .tokens = tokens,
                                 .exec_tokens = tokens,
                                 .rows_written = tokens,
                                 .ctas = rig->ctas_max && rig->ctas_max < tokens ? rig->ctas_max : tokens };
    fill(rig, call->input, tokens);
    fill(rig, call->residual, tokens);
    for (size_t i = 0; i < sizeof call->norm_out / sizeof call->norm_out[0]; i++)
        call->residual_out[i] = call->norm_out[i] = HL_POISON;
    rig->now_ns++;
    emit(rig, (struct hl_event){ .kind = HL_EVENT_ENQUEUE, .rank = rank, .call = &call->record });
}

void hl_rig_issue_all(struct hl_rig *rig, enum hl_protocol protocol, uint32_t tokens, uint16_t site)
{
    for (int r = 0; r < rig->ranks; r++)
        hl_rig_issue(rig, r, 0, protocol, tokens, site);
}

static void emit_call(struct hl_rig *rig, int rank, enum hl_event_kind kind)
{
    struct hl_rig_call *call = &rig->call[rank];
    const struct hl_call_data data = { .input = call->input,
                                       .residual = call->residual,
                                       .gamma = rig->gamma,
                                       .residual_out = call->residual_out,
                                       .norm_out = call->norm_out,
                                       .hidden = HL_RIG_HIDDEN };
    emit(rig, (struct hl_event){ .kind = kind, .rank = rank, .call = &call->record, .data = &data });
}

static void journal_store(struct hl_rig *rig, int rank, const struct hl_rig_call *call,
                          const struct hl_store *store)
{
    for (uint32_t i = store->at; i < store->at + store->count; i++) {
        struct hl_rig_journal *journal = &rig->journal[call->record.workspace][store->rank][i];
        if (store->clears) {
            journal->cleared_by = rank;
            journal->cleared_call = call->record.call;
            journal->cleared_ns = rig->now_ns;
        } else {
            journal->stored_by = rank;
            journal->stored_call = call->record.call;
            journal->stored_ns = rig->now_ns;
        }
    }
}

static struct hl_cx context(struct hl_rig *rig, int rank, uint32_t cta)
{
    struct hl_rig_call *call = &rig->call[rank];
    struct hl_cx cx = { .layout = rig->layout,
                        .strike = HL_STRIKE_DEFAULT,
                        .protocol = call->record.protocol,
                        .compare = rig->compare,
                        .rank = rank,
                        .ranks = rig->ranks,
                        .tokens = call->record.exec_tokens,
                        .hidden = HL_RIG_HIDDEN,
                        .cta = cta,
                        .ctas = call->record.ctas,
                        .call = call->record.call,
                        .input = call->input,
                        .residual = call->residual,
                        .gamma = rig->gamma,
                        .residual_out = call->residual_out,
                        .norm_out = call->norm_out,
                        .regs = call->regs[cta],
                        .previous_kernel_done = true };
    for (int r = 0; r < rig->ranks; r++)
        cx.workspace[r] = rig->memory[call->record.workspace][r];
    return cx;
}

/* One step of one CTA; true when it went on. */
static bool step_cta(struct hl_rig *rig, int rank, uint32_t cta, enum hl_kernel kernel)
{
    struct hl_rig_call *call = &rig->call[rank];
    if (call->done[cta])
        return false;
    struct hl_cx cx = context(rig, rank, cta);
    const enum hl_step_result result = hl_steps_of(rig->mutant)[kernel](&call->step[cta], &cx);
    rig->now_ns++;
    if (cx.store.count > 0)
        journal_store(rig, rank, call, &cx.store);
    call->done[cta] = result == HL_STEP_DONE;
    return result != HL_STEP_BLOCKED;
}

/* One step of every CTA of a rank's call. */
static bool step_rank(struct hl_rig *rig, int rank)
{
    struct hl_rig_call *call = &rig->call[rank];
    if (!call->running)
        return false;
    if (!call->begun)
        emit_call(rig, rank, HL_EVENT_CALL_BEGIN);
    call->begun = true;
    const struct hl_kernel_list kernels = hl_protocol_kernels(call->record.protocol);
    bool went_on = false, done = true;
    for (uint32_t cta = 0; cta < call->record.ctas; cta++) {
        went_on |= step_cta(rig, rank, cta, kernels.kernels[call->kernel]);
        done = done && call->done[cta];
    }
    if (!done)
        return went_on;
    memset(call->done, 0, sizeof call->done);
    if (++call->kernel < kernels.count)
        return true;
    call->running = false;
    if (rig->before_end)
        rig->before_end(rig, rank);
    emit_call(rig, rank, HL_EVENT_CALL_END);
    return true;
}

bool hl_rig_run(struct hl_rig *rig)
{
    bool went_on = true, ended = true;
    while (went_on) {
        went_on = false;
        for (int r = 0; r < rig->ranks; r++)
            went_on |= step_rank(rig, r);
    }
    for (int r = 0; r < rig->ranks; r++)
        ended = ended && !rig->call[r].running;
    return ended;
}

void hl_rig_exit(struct hl_rig *rig, int rank)
{
    rig->host[rank] = HL_HOST_EXITED;
    emit(rig, (struct hl_event){ .kind = HL_EVENT_RANK_EXIT, .rank = rank });
}

void hl_rig_host_op(struct hl_rig *rig, int rank, uint32_t op, bool begin)
{
    rig->host[rank] = begin ? HL_HOST_BLOCKED : HL_HOST_RUNNING;
    emit(rig, (struct hl_event){
                  .kind = begin ? HL_EVENT_HOST_BEGIN : HL_EVENT_HOST_END, .rank = rank, .op = op });
}

static const struct hl_layout *probe_layout(void *user, int workspace)
{
    (void)workspace;
    return &((struct hl_rig *)user)->layout;
}

static int probe_words(void *user, int rank, int workspace, uint32_t first, uint32_t count, uint32_t *words)
{
    struct hl_rig *rig = user;
    if (first + count > rig->layout.words)
        abort(); /* the decoder left the workspace */
    if (rig->is_opaque)
        return -1;
    memcpy(words, rig->memory[workspace][rank] + first, count * sizeof *words);
    return 0;
}

static enum hl_host_state probe_host(void *user, int rank) { return ((struct hl_rig *)user)->host[rank]; }

static size_t probe_stack(void *user, int rank, char *text, size_t size)
{
    (void)user;
    return (size_t)snprintf(text, size, "main of rank %d\n", rank);
}

static struct hl_residency probe_residency(void *user, int rank)
{
    return ((struct hl_rig *)user)->residency[rank];
}

static struct hl_word_history probe_history(void *user, int rank, int workspace, uint32_t word)
{
    const struct hl_rig *rig = user;
    const struct hl_rig_journal *journal = &rig->journal[workspace][rank][word];
    return (struct hl_word_history){ .known = rig->has_journal,
                                     .stored_by = journal->stored_by,
                                     .stored_call = journal->stored_call,
                                     .stored_ns = journal->stored_ns,
                                     .cleared_by = journal->cleared_by,
                                     .cleared_call = journal->cleared_call,
                                     .cleared_ns = journal->cleared_ns };
}

struct hl_evidence *hl_rig_collect(struct hl_rig *rig, bool proven)
{
    struct hl_evidence *evidence = malloc(sizeof *evidence);
    const struct hl_probe probe = { .user = rig,
                                    .ranks = rig->ranks,
                                    .layout = probe_layout,
                                    .compare = rig->compare,
                                    .read_words = probe_words,
                                    .host_state = probe_host,
                                    .host_stack = probe_stack,
                                    .residency = probe_residency,
                                    .word_history = probe_history };
    bool failed;
    if (proven)
        emit(rig, (struct hl_event){ .kind = HL_EVENT_QUIESCENT, .rank = -1 });
    if (!evidence ||
        hl_watch_collect(rig->watch, &probe, rig->now_ns + 2 * HL_WATCH_UNLEARNED_NS, evidence) < 0)
        abort();
    evidence->wrong = hl_oracle_result(rig->oracle, &evidence->calls_checked, &failed);
    return evidence;
}

void hl_rig_evidence_destroy(struct hl_evidence *evidence)
{
    hl_evidence_finish(evidence);
    free(evidence);
}

/* Evidence as JSON: numbers as they are, words by their names, nothing that is not known. */
#include "bundle_json.h"
#include "../verdict/proof.h"
#include <assert.h>
#include "../program/resolve.h"
#include "../scenario/words.h"
#include "device_json.h"
#include "names.h"

int hl_bundle_write_json(json_t *json, FILE *out)
{
    if (!json)
        return -1;
    const int failed = json_dumpf(json, out, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    json_decref(json);
    return failed || fputc('\n', out) == EOF ? -1 : 0;
}

#define NEVER UINT64_MAX

static void set(json_t *object, const char *key, json_t *value) { json_object_set_new(object, key, value); }

static void set_known(json_t *object, const char *key, int64_t value)
{
    if (value >= 0)
        set(object, key, json_integer(value));
}

static void set_time(json_t *object, const char *key, uint64_t time_ns)
{
    if (time_ns != NEVER)
        set(object, key, json_integer((json_int_t)time_ns));
}

static json_t *hex(uint32_t word) { return json_sprintf("0x%08x", (unsigned)word); }

json_t *hl_culprit_json(const struct hl_culprit *culprit)
{
    json_t *json = json_object();
    set_known(json, "rank", culprit->rank);
    set_known(json, "call", culprit->call);
    set_known(json, "op", culprit->op);
    set_known(json, "graph", culprit->graph);
    set_known(json, "node", culprit->node);
    set_known(json, "replay", culprit->replay);
    if (culprit->stage >= 0)
        set(json, "stage", json_string(hl_words_name(&hl_words_stages, culprit->stage)));
    set_known(json, "buffer", culprit->buffer);
    if (culprit->slot_token >= 0 || culprit->slot_rank >= 0) {
        json_t *slot = json_object();
        set_known(slot, "token", culprit->slot_token);
        set_known(slot, "rank", culprit->slot_rank);
        set(json, "slot", slot);
    }
    set_known(json, "word", culprit->word);
    if (culprit->value >= 0)
        set(json, "value", hex((uint32_t)culprit->value));
    if (json_object_size(json) > 0)
        return json;
    json_decref(json);
    return NULL;
}

static json_t *record_json(const struct hl_call_record *r)
{
    json_t *json = json_pack("{s:I, s:I, s:I, s:i, s:i, s:i, s:s, s:s, s:I, s:I, s:I}", "call",
                             (json_int_t)r->call, "op", (json_int_t)r->op, "launch", (json_int_t)r->launch,
                             "site", (int)r->site, "workspace", (int)r->workspace, "stream", (int)r->stream,
                             "protocol", hl_words_name(&hl_words_protocols, r->protocol), "dtype",
                             hl_words_name(&hl_words_dtypes, r->dtype), "tokens", (json_int_t)r->tokens,
                             "exec_tokens", (json_int_t)r->exec_tokens, "ctas", (json_int_t)r->ctas);
    if (json && r->rows_written != UINT32_MAX)
        set(json, "rows_written", json_integer(r->rows_written));
    if (json && r->graph != UINT16_MAX) {
        set(json, "graph", json_integer(r->graph));
        set(json, "node", json_integer(r->node));
        set(json, "replay", json_integer(r->replay));
    }
    if (json && r->epoch != 0)
        set(json, "host_epoch", json_integer(r->epoch - 1));
    if (json && r->group != 0)
        set(json, "of_ranks", hex(r->group));
    return json;
}

static json_t *residency_json(const struct hl_residency *r)
{
    json_t *json = json_pack("{s:I, s:I, s:I}", "ctas", (json_int_t)r->ctas, "started",
                             (json_int_t)r->started, "ended", (json_int_t)r->ended);
    if (json && r->room != UINT32_MAX)
        set(json, "room", json_integer(r->room));
    if (json && r->foreign != 0)
        set(json, "foreign_ctas", json_integer(r->foreign));
    return json;
}

static json_t *overlap_json(const struct hl_overlap *o)
{
    return json_pack("{s:i, s:I, s:I, s:I}", "workspace", o->workspace, "first", (json_int_t)o->first,
                     "second", (json_int_t)o->second, "time_ns", (json_int_t)o->time_ns);
}

/* Which op of the host's program launched it: the graph it is in, or itself. */
static void describe_launch(const struct hl_bundle *b, int rank, uint32_t launch, json_t *call)
{
    char text[256];
    if (!b->program || launch >= b->program->rank[rank].n_ops || !call)
        return;
    const struct hl_op *op = &b->program->rank[rank].ops[launch];
    hl_op_describe(b->program, op, text, sizeof text);
    set(call, "launched_by",
        json_sprintf("op %u, %s, in %s", (unsigned)launch, text, b->program->labels[op->label]));
}

static json_t *rank_json(const struct hl_bundle *b, int rank)
{
    const struct hl_rank_evidence *r = &b->evidence->rank[rank];
    json_t *json = json_pack("{s:i, s:s, s:I}", "rank", rank, "host", hl_host_state_name(r->host),
                             "progress_ns", (json_int_t)r->progress_ns);
    if (!json)
        return NULL;
    if (r->op != UINT32_MAX)
        set(json, "op", json_integer(r->op));
    if (b->program && r->op < b->program->rank[rank].n_ops) {
        char text[256];
        hl_op_describe(b->program, &b->program->rank[rank].ops[r->op], text, sizeof text);
        set(json, "what", json_string(text));
    }
    json_t *pending = json_array();
    for (int i = 0; i < r->n_pending; i++) {
        json_t *call = record_json(&r->pending[i].record);
        describe_launch(b, rank, r->pending[i].record.launch, call);
        set_time(call, "enqueued_ns", r->pending[i].enqueued_ns);
        set_time(call, "begun_ns", r->pending[i].begun_ns);
        json_array_append_new(pending, call);
    }
    set(json, "pending", pending);
    set(json, "residency", residency_json(&r->residency));
    if (r->overlap.seen)
        set(json, "overlap", overlap_json(&r->overlap));
    if (r->early.seen)
        set(json, "early", overlap_json(&r->early));
    if (r->others.group != 0)
        set(json, "call_of_others", record_json(&r->others));
    if (r->device != HL_DEVICE_NOT_ASKED)
        set(json, "device_answers", json_boolean(r->device == HL_DEVICE_ANSWERS));
    if (r->waits)
        set(json, "waits_for", json_string(hl_host_wait_name(r->wait)));
    if (r->driver_call[0])
        set(json, "driver_call", json_string(r->driver_call));
    if (r->called_by[0])
        set(json, "called_by", json_string(r->called_by));
    if (r->group != 0)
        set(json, "barrier_of_ranks", hex(r->group));
    return json;
}

static json_t *divergence_json(const struct hl_evidence *e)
{
    const struct hl_divergence *d = &e->divergence;
    json_t *ranks = json_array();
    for (int rank = 0; rank < e->ranks; rank++) {
        json_t *json = json_pack("{s:i}", "rank", rank);
        if (d->have[rank])
            set(json, "record", record_json(&d->record[rank]));
        if (d->have_before && d->have[rank])
            set(json, "before", record_json(&d->before[rank]));
        json_array_append_new(ranks, json);
    }
    return json_pack("{s:i, s:I, s:o}", "workspace", d->workspace, "call", (json_int_t)d->call, "ranks",
                     ranks);
}

static json_t *stray_json(const struct hl_stray_write *s)
{
    json_t *json =
        json_pack("{s:i, s:i, s:i, s:I, s:o}", "rank", s->rank, "workspace", s->workspace, "buffer",
                  s->buffer, "distance", (json_int_t)s->distance, "value", hex(s->value));
    if (json && s->by_rank >= 0) {
        set(json, "by_rank", json_integer(s->by_rank));
        set(json, "by_call", json_integer(s->by_call));
    }
    return json;
}

static json_t *wrong_json(const struct hl_wrong_result *w)
{
    json_t *json = json_pack("{s:s, s:i, s:o, s:I, s:I, s:s, s:I}", "kind", hl_wrong_kind_name(w->kind),
                             "rank", w->rank, "record", record_json(&w->record), "token",
                             (json_int_t)w->token, "element", (json_int_t)w->element, "output",
                             w->in_norm_out ? "norm" : "residual", "count", (json_int_t)w->count);
    if (!json)
        return NULL;
    /* JSON has no NaN and no infinity: such values are spelled. */
    set(json, "got", json_sprintf("%.9g", w->got));
    set(json, "want", json_sprintf("%.9g", w->want));
    if (w->kind == HL_WRONG_STALE || w->kind == HL_WRONG_EARLY || w->kind == HL_WRONG_MISPAIRED) {
        set(json, "source", json_integer(w->stale_source));
        set(json, "source_call", json_integer(w->stale_call));
    }
    return json;
}

json_t *hl_notes_json(const struct hl_config *config)
{
    static const char *const severities[] = {
#define NAME(id, name, doc) name,
        HL_SEVERITIES(NAME)
#undef NAME
    };
    struct hl_config resolved;
    struct hl_notes notes = { 0 };
    if (hl_resolve(config, &resolved, &notes, NULL) != HL_STATUS_OK || notes.n == 0)
        return NULL;
    json_t *array = json_array();
    for (int i = 0; i < notes.n; i++)
        json_array_append_new(array, json_pack("{s:s, s:s}", "severity", severities[notes.note[i].severity],
                                               "text", notes.note[i].text));
    return array;
}

static json_t *faults_json(const struct hl_bundle *b)
{
    const struct hl_config *c = &b->c->config;
    json_t *faults = json_array();
    for (int i = 0; i < c->n_faults; i++)
        json_array_append_new(faults, json_pack("{s:s, s:i, s:i, s:b}", "fault",
                                                hl_words_name(&hl_words_faults, c->faults[i].kind), "rank",
                                                c->faults[i].rank, "call", c->faults[i].call, "fired",
                                                (int)(b->evidence->faults_fired >> i & 1)));
    return faults;
}

/* What was run, for a reader who has no scenario at hand. */
static json_t *configuration_json(const struct hl_bundle *b)
{
    const struct hl_config *c = &b->c->config;
    const struct hl_run_result *r = b->result;
    json_t *params = json_object();
    for (int i = 0; i < b->c->n_params; i++)
        set(params, b->c->params[i].path, json_string(b->c->params[i].value));
    return json_pack(
        "{s:o, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:{s:I, s:I}, s:{s:I, s:I}}", "params", params,
        "ranks", c->world.ranks, "backend", hl_words_name(&hl_words_backends, c->subject.backend), "strategy",
        hl_words_name(&hl_words_strategies, c->subject.strategy), "dtype",
        hl_words_name(&hl_words_dtypes, c->subject.dtype), "mode",
        hl_words_name(&hl_words_modes, c->schedule.mode), "fusion",
        hl_words_name(&hl_words_fusions, c->schedule.fusion), "rows",
        hl_words_name(&hl_words_rows, c->payload.rows), "faults", faults_json(b), "real", "hidden",
        (json_int_t)r->real.hidden, "tokens_max", (json_int_t)r->real.tokens_max, "executed", "hidden",
        (json_int_t)r->executed.hidden, "tokens_max", (json_int_t)r->executed.tokens_max);
}

static void add_finding(json_t *json, const struct hl_finding *f)
{
    set(json, "verdict", json_string(hl_words_name(&hl_words_verdicts, f->verdict)));
    if (f->cause != HL_CAUSE_NONE) {
        set(json, "cause", json_string(hl_cause_name(f->cause)));
        set(json, "certainty", json_string(hl_words_name(&hl_words_certainties, f->certainty)));
    }
    if (f->other_cause != HL_CAUSE_NONE)
        set(json, "other_cause", json_string(hl_cause_name(f->other_cause)));
    set(json, "summary", json_string(f->summary));
    json_t *culprit = hl_culprit_json(&f->culprit);
    if (culprit)
        set(json, "culprit", culprit);
}

static json_t *devices_json(const struct hl_evidence *e)
{
    json_t *devices = json_array();
    for (int i = 0; i < e->n_devices; i++)
        if (e->devices[i].known)
            json_array_append_new(devices, hl_device_json(&e->devices[i]));
    return devices;
}

/* Who waits for whom, and whether that can end. */
static json_t *waits_json(const struct hl_evidence *e)
{
    struct hl_proof proof;
    json_t *edges = json_array(), *stuck = json_array(), *hosts = json_array();
    hl_prove(e, &proof);
    for (int rank = 0; rank < e->ranks; rank++) {
        const struct hl_host_edge *host = &proof.host[rank];
        if ((proof.stuck | proof.stuck_hosts) >> rank & 1)
            json_array_append_new(stuck, json_integer(rank));
        if (host->end == HL_HOST_END_OPEN)
            continue;
        json_t *json = json_pack("{s:i, s:s, s:s}", "rank", rank, "end", hl_host_end_name(host->end), "why",
                                 hl_host_end_doc(host->end));
        if (json && host->source >= 0)
            json_object_set_new(json, "source", json_integer(host->source));
        json_array_append_new(hosts, json);
    }
    for (int i = 0; i < proof.n_edges; i++) {
        const struct hl_edge *edge = &proof.edges[i];
        json_array_append_new(
            edges, json_pack("{s:i, s:i, s:i, s:I, s:s, s:s, s:s}", "rank", edge->rank, "source",
                             edge->source, "workspace", edge->workspace, "call", (json_int_t)edge->call,
                             "stage", hl_words_name(&hl_words_stages, edge->stage), "end",
                             hl_edge_end_name(edge->end), "why", hl_edge_end_doc(edge->end)));
    }
    return json_pack("{s:o, s:o, s:o}", "stuck", stuck, "edges", edges, "hosts", hosts);
}

void hl_bundle_add_ranks(json_t *json, const struct hl_bundle *b)
{
    const struct hl_evidence *e = b->evidence;
    if (e->divergence.found)
        set(json, "divergence", divergence_json(e));
    json_t *ranks = json_array();
    for (int rank = 0; rank < e->ranks; rank++)
        json_array_append_new(ranks, rank_json(b, rank));
    set(json, "ranks", ranks);
    if (e->hung)
        set(json, "waits", waits_json(e));
}

json_t *hl_bundle_verdict_json(const struct hl_bundle *b)
{
    const struct hl_evidence *e = b->evidence;
    json_t *json = json_pack("{s:i, s:s, s:s, s:s, s:i, s:I}", "hanglab", 1, "case", b->c->id, "title",
                             b->scenario->title ? b->scenario->title : b->scenario->name, "engine", b->engine,
                             "run", b->run, "seed", (json_int_t)b->result->seed);
    if (!json)
        return NULL;
    add_finding(json, &b->result->finding);
    set(json, "configuration", configuration_json(b));
    json_t *notes = hl_notes_json(&b->c->config);
    if (notes)
        set(json, "notes", notes);
    set(json, "time_ns", json_integer((json_int_t)e->time_ns));
    set(json, "stalled_ns", json_integer((json_int_t)e->stalled_ns));
    set(json, "hung", json_boolean(e->hung));
    set(json, "quiescent", json_boolean(e->quiescent));
    set(json, "calls_checked", json_integer((json_int_t)e->calls_checked));
    if (e->n_devices > 0)
        set(json, "devices", devices_json(e));
    if (e->crashed)
        set(json, "crash", json_string(e->crash_reason));
    if (e->wrong.kind != HL_WRONG_NONE)
        set(json, "wrong", wrong_json(&e->wrong));
    if (e->stray.found)
        set(json, "stray_write", stray_json(&e->stray));
    if (e->serialised)
        set(json, "serialised", json_true());
    hl_bundle_add_ranks(json, b);
    return json;
}

/* The named words of a flag block, after the families' own structs (kernels/protocol.h). */
static json_t *decoded_flags(enum hl_family family, const uint32_t *flags)
{
    static const char *const mnnvl[] = { "current",       "dirty",         "bytes_per_buffer",
                                         "dirty_stages",  "clear_bytes_0", "clear_bytes_1",
                                         "clear_bytes_2", "clear_bytes_3", "arrived" };
    static const char *const trtllm[] = { "arrived", "barrier_flag", "current", "comm_bytes",
                                          "clear_elements" };
    static const char *const nccl[] = { "epoch", "arrived" };
    static_assert(sizeof mnnvl / sizeof mnnvl[0] == HL_MNNVL_FLAGS, "one name a flag");
    static_assert(sizeof trtllm / sizeof trtllm[0] == HL_TRTLLM_FLAGS, "one name a flag");
    static_assert(sizeof nccl / sizeof nccl[0] == HL_NCCL_FLAGS, "one name a flag");
    const char *const *names = family == HL_FAMILY_MNNVL ? mnnvl : family == HL_FAMILY_TRTLLM ? trtllm : nccl;
    const int count = family == HL_FAMILY_MNNVL    ? HL_MNNVL_FLAGS
                      : family == HL_FAMILY_TRTLLM ? HL_TRTLLM_FLAGS
                                                   : HL_NCCL_FLAGS;
    json_t *json = json_object();
    for (int i = 0; i < count; i++)
        set(json, names[i], json_integer(flags[i]));
    return json;
}

static json_t *workspace_json(const struct hl_evidence *e, int rank, int workspace)
{
    const struct hl_workspace_evidence *w = &e->rank[rank].workspace[workspace];
    json_t *json = json_pack("{s:i, s:i, s:b, s:I, s:I, s:I}", "rank", rank, "workspace", workspace, "known",
                             (int)w->known, "enqueued", (json_int_t)w->enqueued, "begun",
                             (json_int_t)w->begun, "ended", (json_int_t)w->ended);
    if (!json)
        return NULL;
    set_time(json, "initialised_ns", w->initialised_ns);
    set_time(json, "first_begun_ns", w->first_begun_ns);
    if (!w->known)
        return json;
    set(json, "flags", decoded_flags(e->layout[workspace].family, w->flags));
    json_t *words = json_array();
    for (int i = 0; i < HL_FLAG_WORDS; i++)
        json_array_append_new(words, hex(w->flags[i]));
    set(json, "words", words);
    return json;
}

json_t *hl_bundle_flags_json(const struct hl_bundle *b)
{
    json_t *array = json_array();
    for (int rank = 0; rank < b->evidence->ranks; rank++)
        for (int w = 0; w < b->evidence->workspaces; w++)
            json_array_append_new(array, workspace_json(b->evidence, rank, w));
    return json_pack("{s:i, s:o}", "hanglab", 1, "workspaces", array);
}

static json_t *layout_json(const struct hl_layout *l)
{
    const uint64_t bytes = (uint64_t)l->words * 4;
    const uint64_t kept = bytes < HL_BUNDLE_WORKSPACE_BYTES_MAX ? bytes : HL_BUNDLE_WORKSPACE_BYTES_MAX;
    return json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "family",
                     hl_family_name(l->family), "dtype", hl_words_name(&hl_words_dtypes, l->dtype), "ranks",
                     l->ranks, "tokens_max", (json_int_t)l->tokens_max, "row_words", (json_int_t)l->row_words,
                     "barrier_at", (json_int_t)l->barrier_at, "comm_at", (json_int_t)l->comm_at, "buffers_at",
                     (json_int_t)l->buffers_at, "gap", (json_int_t)l->gap, "words_per_buffer",
                     (json_int_t)l->words_per_buffer, "bytes", (json_int_t)bytes, "bytes_kept",
                     (json_int_t)kept);
}

static json_t *history_json(const struct hl_word_history *h)
{
    json_t *json = json_object();
    if (h->stored_by >= 0)
        set(json, "stored",
            json_pack("{s:i, s:I, s:I}", "by", h->stored_by, "call", (json_int_t)h->stored_call, "ns",
                      (json_int_t)h->stored_ns));
    if (h->cleared_by >= 0) {
        json_t *cleared = json_pack("{s:i, s:I}", "by", h->cleared_by, "ns", (json_int_t)h->cleared_ns);
        if (h->cleared_call != UINT32_MAX)
            set(cleared, "call", json_integer(h->cleared_call));
        set(json, "cleared", cleared);
    }
    return json;
}

static json_t *slot_json(const struct hl_slot_evidence *s)
{
    json_t *json = json_pack("{s:i, s:i, s:i, s:I, s:s, s:i, s:I, s:s, s:I, s:I, s:I, s:I}", "rank", s->rank,
                             "source", s->source, "workspace", s->workspace, "call", (json_int_t)s->call,
                             "stage", hl_words_name(&hl_words_stages, s->stage), "buffer", (int)s->buffer,
                             "token", (json_int_t)s->token, "state", hl_slot_state_name(s->state), "start",
                             (json_int_t)s->start, "words", (json_int_t)s->words, "missing",
                             (json_int_t)s->words_missing, "sentinel", (json_int_t)s->words_sentinel);
    if (json && s->source_rows_written != UINT32_MAX)
        set(json, "source_rows_written", json_integer(s->source_rows_written));
    if (!json || s->state == HL_SLOT_ARRIVED)
        return json;
    set(json, "first_missing", json_integer(s->first_missing));
    set(json, "at", json_integer(s->at));
    set(json, "value", hex(s->value));
    if (s->history.known)
        set(json, "history", history_json(&s->history));
    if (s->elsewhere >= 0)
        set(json, "elsewhere", json_integer(s->elsewhere));
    return json;
}

json_t *hl_bundle_slots_json(const struct hl_bundle *b)
{
    const struct hl_evidence *e = b->evidence;
    json_t *layouts = json_array(), *slots = json_array();
    for (int w = 0; w < e->workspaces; w++)
        json_array_append_new(layouts, layout_json(&e->layout[w]));
    for (uint32_t i = 0; i < e->n_slots; i++)
        json_array_append_new(slots, slot_json(&e->slots[i]));
    return json_pack("{s:i, s:s, s:o, s:o, s:I}", "hanglab", 1, "compare",
                     hl_words_name(&hl_words_compares, e->compare), "layouts", layouts, "slots", slots,
                     "left_out", (json_int_t)e->slots_left_out);
}

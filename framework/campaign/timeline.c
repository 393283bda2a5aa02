/* The newest events of a run as JSON Lines, with the host's ops in words. */
#include <stdlib.h>
#include "../scenario/words.h"
#include "bundle_json.h"
#include "names.h"

static json_t *call_json(const struct hl_call_record *call)
{
    json_t *json = json_pack("{s:i, s:i, s:i, s:i, s:s, s:i, s:i, s:i}", "workspace", (int)call->workspace, "call",
                             (int)call->call, "site", (int)call->site, "stream", (int)call->stream, "protocol",
                             hl_words_name(&hl_words_protocols, call->protocol), "tokens", (int)call->tokens, "rows_written",
                             (int)call->rows_written, "op", (int)call->op);
    if (json && call->graph != UINT16_MAX) {
        json_object_set_new(json, "graph", json_integer(call->graph));
        json_object_set_new(json, "node", json_integer(call->node));
        json_object_set_new(json, "replay", json_integer(call->replay));
    }
    return json;
}

static json_t *event_json(const struct hl_timeline_event *e, const struct hl_program *program)
{
    json_t *json = json_pack("{s:I, s:s}", "t_ns", (json_int_t)e->time_ns, "event", hl_event_name(e->kind));
    if (!json)
        return NULL;
    if (e->rank >= 0)
        json_object_set_new(json, "rank", json_integer(e->rank));
    if (e->has_call)
        json_object_set_new(json, "call", call_json(&e->call));
    if (e->kind == HL_EVENT_WORKSPACE_INIT)
        json_object_set_new(json, "workspace", json_integer(e->workspace));
    if (e->kind == HL_EVENT_FAULT)
        json_object_set_new(json, "fault", json_integer(e->fault));
    if (e->kind == HL_EVENT_HOST_BEGIN || e->kind == HL_EVENT_HOST_END) {
        json_object_set_new(json, "op", json_integer(e->op));
        if (e->rank >= 0 && e->rank < program->ranks && e->op < program->rank[e->rank].n_ops) {
            char text[256];
            hl_op_describe(program, &program->rank[e->rank].ops[e->op], text, sizeof text);
            json_object_set_new(json, "what", json_string(text));
        }
    }
    return json;
}

static int write_events(const struct hl_timeline_event *events, uint32_t count, const struct hl_program *program,
                        FILE *out)
{
    for (uint32_t i = 0; i < count; i++) {
        json_t *json = event_json(&events[i], program);
        if (!json)
            return -1;
        const int failed = json_dumpf(json, out, JSON_COMPACT);
        json_decref(json);
        if (failed || fputc('\n', out) == EOF)
            return -1;
    }
    return 0;
}

int hl_bundle_write_timeline(const struct hl_bundle *bundle, FILE *out)
{
    struct hl_timeline_event *events = calloc(HL_TIMELINE_MAX, sizeof *events);
    if (!events)
        return -1;
    uint64_t left_out;
    const uint32_t count = hl_watch_timeline(bundle->watch, events, HL_TIMELINE_MAX, &left_out);
    if (left_out > 0)
        fprintf(out, "{\"left_out\":%llu}\n", (unsigned long long)left_out);
    const int status = write_events(events, count, bundle->program, out);
    free(events);
    return status;
}

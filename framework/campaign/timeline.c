/* A ring of copied events; JSON Lines are made of them only when a bundle is written. */
#include "timeline.h"
#include <inttypes.h>
#include <jansson.h>
#include "../scenario/words.h"
#include "names.h"

void hl_timeline_event(struct hl_timeline *timeline, const struct hl_event *event)
{
    struct hl_timeline_event *kept = &timeline->events[timeline->count++ % HL_TIMELINE_MAX];
    kept->event = *event;
    kept->event.call = NULL;
    kept->event.data = NULL;
    kept->has_call = event->call != NULL;
    if (kept->has_call)
        kept->call = *event->call;
}

static json_t *call_json(const struct hl_call_record *call)
{
    json_t *json = json_pack("{s:i, s:i, s:i, s:i, s:s, s:i, s:i, s:i}", "workspace", (int)call->workspace,
                             "call", (int)call->call, "site", (int)call->site, "stream", (int)call->stream,
                             "protocol", hl_words_name(&hl_words_protocols, call->protocol), "tokens",
                             (int)call->tokens, "rows_written", (int)call->rows_written, "op", (int)call->op);
    if (json && call->graph != UINT16_MAX) {
        json_object_set_new(json, "graph", json_integer(call->graph));
        json_object_set_new(json, "node", json_integer(call->node));
        json_object_set_new(json, "replay", json_integer(call->replay));
    }
    return json;
}

static json_t *event_json(const struct hl_timeline_event *kept, const struct hl_program *program)
{
    const struct hl_event *e = &kept->event;
    json_t *json = json_pack("{s:I, s:s}", "t_ns", (json_int_t)e->time_ns, "event", hl_event_name(e->kind));
    if (!json)
        return NULL;
    if (e->rank >= 0)
        json_object_set_new(json, "rank", json_integer(e->rank));
    if (kept->has_call)
        json_object_set_new(json, "call", call_json(&kept->call));
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

int hl_timeline_write(const struct hl_timeline *timeline, const struct hl_program *program, FILE *out)
{
    const uint64_t first = timeline->count > HL_TIMELINE_MAX ? timeline->count - HL_TIMELINE_MAX : 0;
    if (first > 0)
        fprintf(out, "{\"left_out\":%" PRIu64 "}\n", first);
    for (uint64_t i = first; i < timeline->count; i++) {
        json_t *json = event_json(&timeline->events[i % HL_TIMELINE_MAX], program);
        if (!json)
            return -1;
        const int failed = json_dumpf(json, out, JSON_COMPACT);
        json_decref(json);
        if (failed || fputc('\n', out) == EOF)
            return -1;
    }
    return 0;
}

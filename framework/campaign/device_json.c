/* Device evidence as JSON: names, not indices; what is not known is left out. */
#include "device_json.h"

static const char *const details[] = { "light", "core", "cupti", "node", "pc" };
static const char *const stalls[] = { "none", "device", "host", "silent" };
static const char *const states[] = { "unknown", "spins", "nothing runs" };

static void set(json_t *object, const char *key, json_t *value) { json_object_set_new(object, key, value); }

/* Names come from other programs, and may have been cut in the middle of a letter: what is not ASCII is not
 * kept. */
static void set_text(json_t *object, const char *key, const char *text)
{
    char kept[512];
    size_t n = 0;
    for (; text[n] && n + 1 < sizeof kept; n++)
        kept[n] = (unsigned char)text[n] < 0x80 ? text[n] : '?';
    kept[n] = '\0';
    if (n > 0)
        set(object, key, json_string(kept));
}

static json_t *sizes_json(const uint32_t sizes[3])
{
    return json_pack("[I, I, I]", (json_int_t)sizes[0], (json_int_t)sizes[1], (json_int_t)sizes[2]);
}

/* A kernel has a name or, where that is not known, a size. */
static bool is_graph(const struct hl_page_launch *launch)
{
    return launch->kernel == HL_PAGE_NONE && launch->grid[0] == 0;
}

static json_t *unfinished_json(const struct hl_device_evidence *d)
{
    const struct hl_unfinished *u = &d->unfinished;
    json_t *json = json_pack("{s:I, s:I, s:s, s:s, s:s}", "launch", (json_int_t)u->number, "behind",
                             (json_int_t)u->behind, "what", is_graph(&u->launch) ? "graph" : "kernel",
                             "told_by", u->by_record ? "record" : "event", "device", states[u->device]);
    set_text(json, "kernel", d->kernel);
    set_text(json, "node_before", d->before);
    if (u->by_samples)
        set(json, "named_by_samples", json_true());
    if (!u->known)
        return json;
    set(json, "launched_ns", json_integer((json_int_t)u->launch.at_ns));
    set(json, "tid", json_integer(u->launch.tid));
    set(json, "correlation", json_integer(u->launch.correlation));
    if (!is_graph(&u->launch)) {
        set(json, "grid", sizes_json(u->launch.grid));
        set(json, "block", sizes_json(u->launch.block));
    }
    if (u->nodes > 0)
        set(json, "graph_kernels", json_integer(u->nodes));
    if (u->nodes > 0 && d->detail == HL_PAGE_NODE)
        set(json, "graph_kernels_ended", json_integer(u->finished));
    if (u->node != HL_PAGE_NONE)
        set(json, "node", json_integer(u->node));
    return json;
}

static json_t *call_json(const struct hl_device_evidence *d, const struct hl_inflight_call *call)
{
    const uint64_t for_ns = d->time_ns > call->since_ns ? d->time_ns - call->since_ns : 0;
    json_t *json = json_pack("{s:I, s:s, s:I}", "tid", (json_int_t)call->tid, "call", hl_api_name(call->api),
                             "for_ns", (json_int_t)for_ns);
    set_text(json, "kernel", call->kernel);
    return json;
}

json_t *hl_device_json(const struct hl_device_evidence *d)
{
    json_t *calls = json_array();
    json_t *json = json_pack("{s:I, s:s, s:s, s:b}", "pid", (json_int_t)d->pid, "detail", details[d->detail],
                             "stall", stalls[d->stall.kind], "watched", d->state != HL_PAGE_BLIND);
    if (!json)
        return NULL;
    set_text(json, "lacks", d->lacks);
    if (d->stall.kind != HL_STALL_NONE)
        set(json, "stalled_ns",
            json_integer((json_int_t)(d->time_ns > d->stall.since_ns ? d->time_ns - d->stall.since_ns : 0)));
    if (d->stall.stream != HL_PAGE_NONE)
        set(json, "unfinished", unfinished_json(d));
    for (int i = 0; i < d->n_calls; i++)
        json_array_append_new(calls, call_json(d, &d->calls[i]));
    set(json, "calls", calls);
    if (d->detail == HL_PAGE_PC) {
        set(json, "samples", json_integer((json_int_t)d->samples));
        set(json, "sampling_ns", json_integer((json_int_t)d->sampling_ns));
    }
    if (d->flush_ns)
        set(json, "flush_ns", json_integer((json_int_t)d->flush_ns));
    if (d->lost)
        set(json, "lost", json_integer((json_int_t)d->lost));
    return json;
}

static json_t *line_json(const struct hl_device_evidence *d, const struct hl_device_line *line)
{
    json_t *json = json_pack("{s:I, s:f, s:s}", "samples", (json_int_t)line->samples, "share",
                             d->samples ? (double)line->samples / (double)d->samples : 0.0, "pc", "");
    set(json, "pc", json_sprintf("0x%llx", (unsigned long long)line->pc));
    set_text(json, "kernel", line->kernel);
    set_text(json, "file", line->file);
    if (line->line)
        set(json, "line", json_integer(line->line));
    return json;
}

json_t *hl_pc_json(const struct hl_device_evidence *devices, int n)
{
    json_t *processes = json_array();
    for (int i = 0; i < n; i++) {
        json_t *lines = json_array();
        for (int k = 0; k < devices[i].n_lines; k++)
            json_array_append_new(lines, line_json(&devices[i], &devices[i].lines[k]));
        json_array_append_new(processes, json_pack("{s:i, s:I, s:I, s:o}", "process", i, "pid",
                                                   (json_int_t)devices[i].pid, "samples",
                                                   (json_int_t)devices[i].samples, "lines", lines));
    }
    return json_pack("{s:i, s:o}", "hanglab", 1, "processes", processes);
}

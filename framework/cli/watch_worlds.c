/* Known collectives in a watched command: the world that hangs, classified as any other run, and what the
 * bundle says of all of them. */
#include <stdio.h>
#include <string.h>
#include "../../reports/demangle.h"
#include "../../reports/json.h"
#include "../campaign/bundle_json.h"
#include "../verdict/findings.h"
#include "watch_bundle.h"

/* What decides here are counts of launches, which nobody but the watchdog keeps: not a proof. */
static struct hl_finding classify(const struct hl_known_world *w)
{
    struct hl_finding f = hl_classify(&w->evidence);
    if (f.certainty == HL_CERTAINTY_PROVEN)
        f.certainty = HL_CERTAINTY_OBSERVED;
    return f;
}

static void append(struct hl_finding *f, const char *text)
{
    const size_t n = strlen(f->summary);
    snprintf(f->summary + n, sizeof f->summary - n, "%s", text);
}

/* The kernel that the blamed rank's process does not end, where the wait is only a victim of it. */
static void name_what_holds(const struct hl_watch_report *r, const struct hl_known_world *w,
                            struct hl_finding *f)
{
    char plain[HL_DEMANGLED_MAX], text[HL_DEMANGLED_MAX + 64];
    const int process =
        f->culprit.rank >= 0 && f->culprit.rank < w->ranks ? w->process_of[f->culprit.rank] : -1;
    if (f->cause != HL_CAUSE_PEER_STREAM_STALLED || process < 0)
        return;
    const struct hl_device_evidence *d = &r->processes[process].device;
    if (!d->kernel[0] || hl_known_find(d->kernel))
        return;
    snprintf(text, sizeof text, "; its process stands in %s", hl_demangle(d->kernel, plain));
    append(f, text);
}

bool hl_watch_classify_worlds(const struct hl_watch_report *r, struct hl_finding *ret_finding)
{
    const struct hl_known_world *w = hl_watch_hung_world(r);
    if (!w)
        return false;
    struct hl_finding f = classify(w);
    char text[128];
    if (f.cause == HL_CAUSE_UNKNOWN)
        return false;
    if (w->calls_that_fit > 1) {
        snprintf(text, sizeof text, " (or in one of %u later calls, which look alike: --detail node tells)",
                 w->calls_that_fit - 1);
        append(&f, text);
    }
    name_what_holds(r, w, &f);
    f.culprit.op = -1; /* of a program that is not known */
    f.verdict = r->resumed_ns ? HL_VERDICT_SLOW : HL_VERDICT_HANG;
    *ret_finding = f;
    return true;
}

const struct hl_known_world *hl_watch_hung_world(const struct hl_watch_report *r)
{
    const struct hl_known_world *found = NULL;
    for (int i = 0; i < r->worlds.n; i++) {
        const struct hl_known_world *w = r->worlds.worlds[i];
        const bool better =
            !found || (classify(found).cause == HL_CAUSE_UNKNOWN && classify(w).cause != HL_CAUSE_UNKNOWN);
        if (w->evidence.hung && better)
            found = w;
    }
    return found;
}

static json_t *world_json(const struct hl_known_world *w)
{
    json_t *processes = json_array();
    for (int r = 0; r < w->ranks; r++)
        json_array_append_new(processes, w->process_of[r] < 0 ? json_null() : json_integer(w->process_of[r]));
    json_t *json = json_pack("{s:s, s:s, s:i, s:o, s:b}", "collective", w->library, "releases", w->releases,
                             "ranks", w->ranks, "processes", processes, "hung", (int)w->evidence.hung);
    if (json && w->notes[0])
        json_object_set_new(json, "notes", json_string(w->notes));
    if (json && w->calls_that_fit > 1)
        json_object_set_new(json, "calls_that_fit", json_integer(w->calls_that_fit));
    if (json && w->evidence.hung) {
        const struct hl_finding f = classify(w);
        json_object_set_new(json, "cause", json_string(hl_cause_name(f.cause)));
        json_object_set_new(json, "summary", json_string(f.summary));
    }
    return json;
}

static json_t *strange_json(const struct hl_strange_kernel *s)
{
    char hex[2 * HL_KNOWN_BYTES_MAX + 1];
    for (size_t i = 0; i < sizeof s->bytes; i++)
        snprintf(hex + 2 * i, 3, "%02x", s->bytes[i]);
    return json_pack("{s:i, s:o, s:s, s:I, s:I, s:s}", "process", s->process, "kernel",
                     hl_json_string_of_bytes(s->name, strlen(s->name)), "why", s->why, "arguments",
                     (json_int_t)s->n_params, "first_bytes", (json_int_t)s->first_bytes, "bytes", hex);
}

void hl_watch_add_worlds(const struct hl_watch_report *r, json_t *json)
{
    json_t *worlds = json_array(), *strange = json_array();
    for (int i = 0; i < r->worlds.n; i++)
        json_array_append_new(worlds, world_json(r->worlds.worlds[i]));
    for (int i = 0; i < r->worlds.n_strange; i++)
        json_array_append_new(strange, strange_json(&r->worlds.strange[i]));
    json_object_set_new(json, "collectives", worlds);
    json_object_set_new(json, "unknown_arguments", strange);
    const struct hl_known_world *w = hl_watch_hung_world(r);
    const struct hl_bundle bundle = { .evidence = w ? &w->evidence : NULL };
    if (w)
        hl_bundle_add_ranks(json, &bundle);
}

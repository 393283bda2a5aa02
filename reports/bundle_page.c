/* Files of a bundle, packed: events become spans, words become hexadecimal digits. */
#include "bundle_page.h"
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../kernels/words.h"
#include "demangle.h"
#include "spans.h"

#define TEXT_BYTES_MAX 65536 /* of a stack, a scenario, a script */
#define WORDS_MAX 16384      /* of all slots that are shown */

static void set(json_t *object, const char *key, json_t *value)
{
    if (value)
        json_object_set_new(object, key, value);
}

static json_t *load(const char *folder, const char *name)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return NULL;
    json_t *json = json_load_file(path, 0, NULL);
    if (hl_json_number(json, "hanglab") == 1)
        return json;
    json_decref(json);
    return NULL;
}

/* Index of a text in a table, which grows. */
static json_t *index_of(json_t *texts, json_t *indices, const char *text)
{
    json_t *index = json_object_get(indices, text);
    if (index)
        return json_incref(index);
    index = json_integer((json_int_t)json_array_size(texts));
    json_array_append_new(texts, json_string(text));
    json_object_set(indices, text, index);
    return index;
}

/* [begin, end, what] */
static json_t *host_json(const struct hl_span *span, json_t *texts, json_t *indices)
{
    return json_pack("[I, I, o]", (json_int_t)span->begin_ns, (json_int_t)span->end_ns,
                     index_of(texts, indices, hl_json_text(span->event, "what")));
}

/* [enqueued, begin, end, protocol, then the numbers of the call in the order of `keys`] */
static json_t *call_json(const struct hl_span *span, json_t *texts, json_t *indices)
{
    static const char *const keys[] = { "call",         "workspace", "site", "stream", "tokens",
                                        "rows_written", "graph",     "node", "replay" };
    const json_t *call = json_object_get(span->event, "call");
    json_t *json =
        json_pack("[I, I, I, o]", (json_int_t)span->enqueued_ns, (json_int_t)span->begin_ns,
                  (json_int_t)span->end_ns, index_of(texts, indices, hl_json_text(call, "protocol")));
    for (size_t i = 0; json && i < sizeof keys / sizeof keys[0]; i++)
        json_array_append_new(json, json_integer(hl_json_number(call, keys[i])));
    return json;
}

static json_t *timeline_json(const char *folder)
{
    struct hl_spans spans;
    if (!hl_spans_load(folder, &spans))
        return NULL;
    json_t *texts = json_array(), *indices = json_object(), *ranks = json_array(), *marks = json_array();
    for (int rank = 0; rank < spans.ranks; rank++)
        json_array_append_new(ranks, json_pack("{s:[], s:[]}", "host", "calls"));
    for (size_t i = 0; i < spans.n_spans; i++) {
        const struct hl_span *span = &spans.spans[i];
        json_t *rank = json_array_get(ranks, (size_t)span->rank);
        json_array_append_new(json_object_get(rank, span->is_call ? "calls" : "host"),
                              span->is_call ? call_json(span, texts, indices)
                                            : host_json(span, texts, indices));
    }
    for (size_t i = 0; i < spans.n_marks; i++)
        json_array_append_new(
            marks, json_pack("[I, i, o]", (json_int_t)spans.marks[i].time_ns, spans.marks[i].rank,
                             index_of(texts, indices, hl_json_text(spans.marks[i].event, "event"))));
    json_t *timeline = json_pack("{s:o, s:o, s:o, s:I}", "texts", texts, "ranks", ranks, "marks", marks,
                                 "left_out", (json_int_t)spans.left_out);
    json_decref(indices);
    hl_spans_finish(&spans);
    return timeline;
}

/* `count` words of a saved workspace, eight digits each. NULL: they are not in the file. */
static json_t *words_json(const char *folder, long long rank, long long workspace, long long start,
                          size_t count)
{
    char path[PATH_MAX], *digits = malloc(count * 8 + 1);
    uint32_t *words = malloc((count + 1) * sizeof *words);
    json_t *json = NULL;
    const int n = snprintf(path, sizeof path, "%s/workspace-rank%lld-%lld.bin", folder, rank, workspace);
    FILE *file = digits && words && n < (int)sizeof path ? fopen(path, "re") : NULL;
    if (file && fseeko(file, (off_t)start * 4, SEEK_SET) == 0 &&
        fread(words, sizeof *words, count, file) == count) {
        for (size_t i = 0; i < count; i++)
            snprintf(digits + 8 * i, 9, "%08x", (unsigned)words[i]);
        json = json_stringn(digits, count * 8);
    }
    if (file)
        fclose(file);
    free(digits);
    free(words);
    return json;
}

/* Adds the words of each slot, as far as there is room: those that are missing come first. */
static void add_words(const char *folder, json_t *slots)
{
    const json_t *layouts = json_object_get(slots, "layouts");
    size_t i;
    long long left = WORDS_MAX;
    json_t *slot;
    json_array_foreach(json_object_get(slots, "slots"), i, slot)
    {
        const long long workspace = hl_json_number(slot, "workspace"), start = hl_json_number(slot, "start");
        const json_t *layout = workspace < 0 ? NULL : json_array_get(layouts, (size_t)workspace);
        const char *stage = hl_json_text(slot, "stage");
        /* The NCCL-like protocol keeps an epoch beside each word. */
        const bool pairs =
            strcmp(hl_json_text(layout, "family"), "nccl") == 0 && strcmp(stage, "oneshot") == 0;
        const long long words = hl_json_number(slot, "words") * (pairs ? 2 : 1);
        if (!layout || start < 0 || words <= 0 || words > left)
            continue;
        left -= words;
        set(slot, "bits", words_json(folder, hl_json_number(slot, "rank"), workspace, start, (size_t)words));
    }
}

static json_t *stacks_json(const char *folder, size_t ranks)
{
    json_t *stacks = json_array();
    for (size_t rank = 0; rank < ranks && rank < HL_RANKS_MAX; rank++) {
        char name[32];
        snprintf(name, sizeof name, "stacks/rank%zu.txt", rank);
        json_t *stack = hl_json_text_file(folder, name, TEXT_BYTES_MAX);
        json_array_append_new(stacks, stack ? stack : json_string(""));
    }
    return stacks;
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Names of all that lies in the folder: the page does not show every kind of file. */
static json_t *files_json(const char *folder)
{
    struct dirent **entries;
    json_t *files = json_array();
    const int n = scandir(folder, &entries, NULL, compare_names);
    for (int i = 0; i < n; free(entries[i++]))
        if (entries[i]->d_name[0] != '.')
            json_array_append_new(files,
                                  hl_json_string_of_bytes(entries[i]->d_name, strlen(entries[i]->d_name)));
    if (n >= 0)
        free(entries);
    return files;
}

/* Names of kernels and functions as people write them, wherever they stand. */
static json_t *demangled(json_t *value)
{
    const char *key;
    json_t *inner;
    void *next;
    size_t i;
    char plain[HL_DEMANGLED_MAX];
    json_array_foreach(value, i, inner) demangled(inner);
    json_object_foreach_safe(value, next, key, inner)
    {
        const bool is_name =
            strcmp(key, "kernel") == 0 || strcmp(key, "node_before") == 0 || strcmp(key, "function") == 0;
        if (is_name && json_is_string(inner))
            json_object_set_new(value, key, json_string(hl_demangle(json_string_value(inner), plain)));
        else
            demangled(inner);
    }
    return value;
}

json_t *hl_bundle_page_json(const char *folder, bool in_full)
{
    json_t *verdict = load(folder, "verdict.json");
    if (!verdict)
        return NULL;
    json_t *page = json_object();
    set(page, "path", hl_json_string_of_bytes(folder, strlen(folder)));
    set(page, "verdict", verdict);
    set(page, "scenario", hl_json_text_file(folder, "scenario.yaml", TEXT_BYTES_MAX));
    if (!in_full)
        return page;
    json_t *slots = load(folder, "slots.json");
    if (slots)
        add_words(folder, slots);
    set(page, "flags", load(folder, "flags.json"));
    set(page, "slots", slots);
    demangled(json_object_get(verdict, "devices"));
    set(page, "pc", demangled(load(folder, "pc.json")));
    set(page, "gpucore", demangled(load(folder, "gpucore/summary.json")));
    set(page, "timeline", timeline_json(folder));
    const json_t *ranks = json_object_get(verdict, "ranks");
    set(page, "stacks",
        stacks_json(folder, json_array_size(ranks ? ranks : json_object_get(verdict, "devices"))));
    set(page, "files", files_json(folder));
    return page;
}

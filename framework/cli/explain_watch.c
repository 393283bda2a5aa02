/* The part of a story that comes from CUPTI: what the device and the driver were doing. It is all there is to
 * tell of a command that was watched, and an addition to the story of a run. */
#include <limits.h>
#include <string.h>
#include "../../reports/demangle.h"
#include "explain.h"

static const char *text_of(const json_t *object, const char *key) { return hl_json_text(object, key); }

static void say_kernel(const json_t *u)
{
    const bool graph = strcmp(text_of(u, "what"), "graph") == 0;
    const json_t *grid = json_object_get(u, "grid");
    char of[160] = "";
    if (graph && hl_json_number(u, "node") >= 0)
        snprintf(of, sizeof of, ", node %lld of a graph with %lld kernels", hl_json_number(u, "node"),
                 hl_json_number(u, "graph_kernels"));
    else if (graph && hl_json_number(u, "graph_kernels") > 0)
        snprintf(of, sizeof of, ", in a graph with %lld kernels", hl_json_number(u, "graph_kernels"));
    else if (json_array_size(grid) == 3)
        snprintf(of, sizeof of, ", grid %lld x %lld x %lld", json_integer_value(json_array_get(grid, 0)),
                 json_integer_value(json_array_get(grid, 1)), json_integer_value(json_array_get(grid, 2)));
    char plain[HL_DEMANGLED_MAX];
    const char *kernel = hl_demangle(text_of(u, "kernel"), plain);
    hl_story_say("Does not end: %s%s; %lld launches wait behind it on its stream.%s",
                 kernel[0] ? kernel
                 : graph   ? "a graph, and this level of detail does not tell which of its kernels"
                           : "a kernel whose name is not known",
                 of, hl_json_number(u, "behind"),
                 json_is_true(json_object_get(u, "named_by_samples")) ? " It is named by its samples." : "");
    if (text_of(u, "node_before")[0])
        hl_story_say("The kernel before it in the graph, %s, has ended.",
                     hl_demangle(text_of(u, "node_before"), plain));
    if (strcmp(text_of(u, "device"), "nothing runs") == 0)
        hl_story_say(
            "No kernel executed an instruction while samples were taken: the device does not run it.");
}

static void say_calls(const json_t *device)
{
    size_t i;
    json_t *call;
    char for_text[32], plain[HL_DEMANGLED_MAX];
    json_array_foreach(json_object_get(device, "calls"), i, call) hl_story_say(
        "Thread %lld is in %s%s%s%s for %s.", hl_json_number(call, "tid"), text_of(call, "call"),
        text_of(call, "kernel")[0] ? " (" : "", hl_demangle(text_of(call, "kernel"), plain),
        text_of(call, "kernel")[0] ? ")" : "", hl_time_text(hl_json_number(call, "for_ns"), for_text));
    if (json_array_size(json_object_get(device, "calls")) == 0)
        hl_story_say("No thread is in a driver call.");
}

/* Lines with at least a hundredth of the samples, or the PCs where the lines are not known. */
static void say_lines(const json_t *process)
{
    size_t i;
    json_t *line;
    json_array_foreach(json_object_get(process, "lines"), i, line)
    {
        const double share = json_number_value(json_object_get(line, "share"));
        char at[32] = "", plain[HL_DEMANGLED_MAX];
        if (share < 0.01)
            continue;
        if (hl_json_number(line, "line") > 0)
            snprintf(at, sizeof at, ":%lld", hl_json_number(line, "line"));
        printf("    %5.1f %%  %s%s  %s+%s\n", share * 100, text_of(line, "file"), at,
               hl_demangle(text_of(line, "kernel"), plain), text_of(line, "pc"));
    }
}

static void tell_samples(const struct hl_story *story)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/pc.json", story->path);
    json_t *pc = json_load_file(path, 0, NULL), *process;
    size_t i;
    if (!pc)
        return;
    json_array_foreach(json_object_get(pc, "processes"), i, process)
    {
        if (json_array_size(json_object_get(process, "lines")) == 0)
            continue;
        hl_story_heading(story, "What the device executes");
        hl_story_say("Process %lld, share of PC samples:", hl_json_number(process, "process"));
        say_lines(process);
    }
    json_decref(pc);
}

static void tell_device(const json_t *device, size_t index)
{
    char stalled[32];
    const char *stall = text_of(device, "stall"), *command = text_of(device, "command");
    hl_story_say("Process %zu: %lld%s%s, detail %s.", index, hl_json_number(device, "pid"),
                 command[0] ? ", " : "", command, text_of(device, "detail"));
    if (text_of(device, "lacks")[0])
        hl_story_say("Missing: %s.", text_of(device, "lacks"));
    if (strcmp(stall, "none") == 0)
        hl_story_say("It does not stand still.");
    else
        hl_story_say("No progress for %s%s.", hl_time_text(hl_json_number(device, "stalled_ns"), stalled),
                     strcmp(stall, "host") == 0     ? ", and no launch is pending"
                     : strcmp(stall, "silent") == 0 ? " that its watchdog thread could tell of"
                                                    : "");
    if (json_object_get(device, "unfinished"))
        say_kernel(json_object_get(device, "unfinished"));
    say_calls(device);
}

void hl_story_tell_devices(const struct hl_story *story)
{
    const json_t *devices = json_object_get(story->verdict, "devices");
    size_t i;
    json_t *device;
    if (json_array_size(devices) == 0)
        return;
    hl_story_heading(story, "What device and driver were doing");
    json_array_foreach(devices, i, device) tell_device(device, i);
    tell_samples(story);
}

static void say_collective(const json_t *world)
{
    char ranks[256] = "";
    size_t i;
    json_t *process;
    json_array_foreach(json_object_get(world, "processes"), i, process)
    {
        const size_t n = strlen(ranks);
        snprintf(ranks + n, sizeof ranks - n, "%s%lld", i ? ", " : "",
                 json_is_integer(process) ? (long long)json_integer_value(process) : -1);
    }
    hl_story_say("%s (arguments as of %s), %lld ranks, in process %s (-1: in none that is watched)%s.",
                 text_of(world, "collective"), text_of(world, "releases"), hl_json_number(world, "ranks"),
                 ranks, json_is_true(json_object_get(world, "hung")) ? "" : "; no call is pending");
    if (text_of(world, "summary")[0])
        hl_story_say("%s: %s.", text_of(world, "cause"), text_of(world, "summary"));
    if (text_of(world, "notes")[0])
        hl_story_say("Note: %s.", text_of(world, "notes"));
}

void hl_story_tell_collectives(const struct hl_story *story)
{
    const json_t *worlds = json_object_get(story->verdict, "collectives"),
                 *strange = json_object_get(story->verdict, "unknown_arguments");
    size_t i;
    json_t *entry;
    char plain[HL_DEMANGLED_MAX];
    if (json_array_size(worlds) + json_array_size(strange) == 0)
        return;
    hl_story_heading(story, "Known collectives");
    json_array_foreach(worlds, i, entry) say_collective(entry);
    json_array_foreach(strange, i, entry)
        hl_story_say("Process %lld: %s cannot be read: %s. verdict.json has the bytes of its arguments.",
                     hl_json_number(entry, "process"), hl_demangle(text_of(entry, "kernel"), plain),
                     text_of(entry, "why"));
}

/* The parts of a story that tell where somebody stood: hosts by their stacks, lanes of the GPU by a core
 * dump. */
#include <limits.h>
#include <string.h>
#include "../../reports/demangle.h"
#include "explain.h"

/* Frames without names in a row say no more than one line does. */
struct fold {
    int frames;
    char object[128];
};

static void unfold(struct fold *fold)
{
    if (fold->frames)
        printf("          ... %d frames without names in %s\n", fold->frames, fold->object);
    fold->frames = 0;
}

/* A frame as the file has it: "    #3 0x7fc0 of libcuda.so (libcuda.so+0x46)". */
static void tell_frame(const char *line, struct fold *fold)
{
    const char *name = strchr(line, ' '), *of = strstr(line, " of "), *place = strstr(line, " (");
    if (name && strncmp(name, " 0x", 3) == 0 && of && place && place > of) {
        fold->frames++;
        snprintf(fold->object, sizeof fold->object, "%.*s", (int)(place - of - 4), of + 4);
        return;
    }
    unfold(fold);
    printf("        %.*s\n", place ? (int)(place - line) : (int)strlen(line), line);
}

/* Native stacks: the first thread is the rank's own. */
static void tell_threads(FILE *file, long long rank)
{
    char line[1024];
    int threads = 0;
    struct fold fold = { 0 };
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        const char *text = line + strspn(line, " ");
        threads += strncmp(line, "  thread ", 9) == 0;
        if (threads > 1)
            continue;
        if (text[0] == '#')
            tell_frame(text, &fold);
        else
            printf("      %s\n", text);
    }
    unfold(&fold);
    if (threads > 1)
        printf("      Threads more: %d, in stacks/rank%lld.txt\n", threads - 1, rank);
}

void hl_story_tell_stack(const struct hl_story *story, long long rank)
{
    char path[PATH_MAX], line[256];
    snprintf(path, sizeof path, "%s/stacks/rank%lld.txt", story->path, rank);
    FILE *file = fopen(path, "r");
    if (!file)
        return;
    while (fgets(line, sizeof line, file) && line[0] != '\n') {
        line[strcspn(line, "\n")] = '\0';
        printf("      %s\n", line);
        if (strncmp(line, "process ", 8) == 0) /* of a command that was watched: nothing but threads */
            break;
    }
    tell_threads(file, rank);
    fclose(file);
}

void hl_story_tell_hosts(const struct hl_story *story)
{
    size_t i;
    json_t *rank;
    hl_story_heading(story, "What each rank's host was doing");
    json_array_foreach(json_object_get(story->verdict, "ranks"), i, rank)
    {
        char since[32];
        const char *what = hl_json_text(rank, "what"), *host = hl_json_text(rank, "host");
        const char *how = strcmp(host, "exited") == 0 ? ", last op: " : " in: ";
        hl_story_say_of_rank((long long)i, "%s%s%s; last progress at %s", host, what[0] ? how : "", what,
                             hl_time_text(hl_json_number(rank, "progress_ns"), since));
        hl_story_tell_stack(story, (long long)i);
    }
}

/*
 * The GPU core
 */

static void tell_place(const json_t *place)
{
    const char *wait = hl_json_text(place, "wait"), *file = hl_json_text(place, "file");
    char at[512];
    if (file[0])
        snprintf(at, sizeof at, "%s:%lld", file, hl_json_number(place, "line"));
    else
        snprintf(at, sizeof at, "%s + 0x%llx", hl_json_text(place, "function"),
                 (unsigned long long)hl_json_number(place, "offset"));
    printf("      %s%slanes %lld, warps %lld, blocks %lld: %s\n", wait,
           strcmp(wait, "in") == 0 ? " the wait: "
           : wait[0]               ? " it: "
                                   : "",
           hl_json_number(place, "lanes"), hl_json_number(place, "warps"), hl_json_number(place, "blocks"),
           at);
}

static void tell_kernel(const json_t *kernel)
{
    size_t i;
    json_t *place;
    const json_t *wait = json_object_get(kernel, "wait"), *grid = json_object_get(kernel, "grid");
    char plain[HL_DEMANGLED_MAX];
    const char *name = hl_demangle(hl_json_text(kernel, "kernel"), plain);
    hl_story_say("%s, grid %lld x %lld x %lld: %lld blocks on the GPU, %lld lanes, %lld exited.",
                 name[0] ? name : "A kernel without lanes on the GPU",
                 json_integer_value(json_array_get(grid, 0)), json_integer_value(json_array_get(grid, 1)),
                 json_integer_value(json_array_get(grid, 2)), hl_json_number(kernel, "blocks_on_device"),
                 hl_json_number(kernel, "lanes"), hl_json_number(kernel, "lanes_exited"));
    if (wait)
        hl_story_say("Of its lanes, %lld poll in the wait, %lld are past it, %lld have not come to it.",
                     hl_json_number(wait, "lanes_in"), hl_json_number(wait, "lanes_past"),
                     hl_json_number(wait, "lanes_before"));
    json_array_foreach(json_object_get(kernel, "places"), i, place) tell_place(place);
}

void hl_story_tell_gpu_core(const struct hl_story *story)
{
    char path[PATH_MAX];
    size_t c, k;
    json_t *core, *kernel;
    if (snprintf(path, sizeof path, "%s/gpucore/summary.json", story->path) >= (int)sizeof path)
        return;
    json_t *summary = json_load_file(path, 0, NULL);
    if (hl_json_number(summary, "hanglab") == 1)
        hl_story_heading(story, "Where the lanes of the GPU stood");
    json_array_foreach(json_object_get(summary, "cores"), c, core)
    {
        if (hl_json_text(core, "why_not")[0])
            hl_story_say("No GPU core of rank %lld: %s.", hl_json_number(core, "rank"),
                         hl_json_text(core, "why_not"));
        json_array_foreach(json_object_get(core, "kernels"), k, kernel) tell_kernel(kernel);
    }
    json_decref(summary);
}

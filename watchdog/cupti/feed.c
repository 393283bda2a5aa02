/* Recording and playing: a word that names the call, then its arguments. */
#include "feed.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "track.h"

FILE *hl_feed_out;

void hl_feed_note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    flockfile(hl_feed_out);
    vfprintf(hl_feed_out, format, args);
    putc('\n', hl_feed_out);
    funlockfile(hl_feed_out);
    va_end(args);
}

int hl_feed_open(const char *path)
{
    hl_feed_out = fopen(path, "we");
    if (hl_feed_out)
        setlinebuf(hl_feed_out); /* the process may be killed */
    return hl_feed_out ? 0 : -1;
}

/* -1 is HL_PAGE_NONE. */
static bool names_entry(int index, int entries) { return index >= -1 && index < entries; }

static bool play_enter(struct hl_page *page, const char *line)
{
    uint64_t now_ns, stream;
    uint32_t tid;
    int kernel;
    char api[64];
    if (sscanf(line, "%" SCNu64 " %u %63s %" SCNx64 " %d", &now_ns, &tid, api, &stream, &kernel) != 5 ||
        !names_entry(kernel, HL_PAGE_KERNELS))
        return false;
    hl_page_enter(page, hl_page_thread(page, tid), hl_api_of_name(api), stream, (uint32_t)kernel, now_ns);
    return true;
}

static bool play_exit(struct hl_page *page, const char *line)
{
    hl_page_exit(page, hl_page_thread(page, (uint32_t)strtoul(line, NULL, 10)));
    return true;
}

static bool play_kernel(struct hl_page *page, const char *line)
{
    uint32_t at;
    uint64_t function;
    char name[HL_PAGE_NAME_MAX];
    return sscanf(line, "%u %" SCNx64 " %239[^\n]", &at, &function, name) == 3 &&
           hl_page_kernel(page, function, name) == at;
}

static bool play_stream(struct hl_page *page, const char *line)
{
    uint32_t at;
    uint64_t context, handle, now_ns;
    return sscanf(line, "%u %" SCNx64 " %" SCNx64 " %" SCNu64, &at, &context, &handle, &now_ns) == 4 &&
           hl_page_stream(page, context, handle, now_ns) == at;
}

static bool play_launch(struct hl_page *page, const char *line)
{
    struct hl_page_launch l = { 0 }; /* recordings from before known kernels have no params */
    uint32_t stream;
    int kernel, exec;
    if (sscanf(line, "%u %" SCNu64 " %u %d %d %u %u %u %u %u %u %u %" SCNx64, &stream, &l.at_ns,
               &l.correlation, &kernel, &exec, &l.tid, &l.grid[0], &l.grid[1], &l.grid[2], &l.block[0],
               &l.block[1], &l.block[2], &l.params) < 12 ||
        stream >= HL_PAGE_STREAMS || !names_entry(exec, HL_PAGE_EXECS) ||
        !names_entry(kernel, HL_PAGE_KERNELS))
        return false;
    l.kernel = (uint32_t)kernel;
    l.exec = (uint32_t)exec;
    hl_page_launch(page, stream, &l);
    return true;
}

static bool play_complete(struct hl_page *page, const char *line)
{
    uint32_t stream;
    uint64_t launches, now_ns;
    if (sscanf(line, "%u %" SCNu64 " %" SCNu64, &stream, &launches, &now_ns) != 3 ||
        stream >= HL_PAGE_STREAMS)
        return false;
    hl_page_complete(page, stream, launches, now_ns);
    return true;
}

static bool play_mark(struct hl_page *page, const char *line)
{
    uint32_t stream;
    uint64_t launches;
    if (sscanf(line, "%u %" SCNu64, &stream, &launches) != 2 || stream >= HL_PAGE_STREAMS)
        return false;
    hl_page_mark(page, stream, launches);
    return true;
}

static bool play_beat(struct hl_page *page, const char *line)
{
    atomic_store(&page->beat_ns, strtoull(line, NULL, 10));
    return true;
}

static bool play_context_over(struct hl_page *page, const char *line)
{
    hl_page_context_over(page, strtoull(line, NULL, 16));
    return true;
}

static bool play_node(struct hl_page *page, const char *line)
{
    uint32_t graph, type, tid;
    uint64_t id;
    if (sscanf(line, "%u %" SCNx64 " %u %u", &graph, &id, &type, &tid) != 4)
        return false;
    hl_page_node(page, graph, id, type, tid ? hl_page_thread(page, tid) : HL_PAGE_NONE);
    return true;
}

static bool play_clone(struct hl_page *page, const char *line)
{
    uint32_t graph, type;
    uint64_t id, original;
    if (sscanf(line, "%u %" SCNx64 " %" SCNx64 " %u", &graph, &id, &original, &type) != 4)
        return false;
    hl_page_node_clone(page, graph, id, original, type);
    return true;
}

static bool play_exec(struct hl_page *page, const char *line)
{
    uint64_t handle;
    uint32_t graph;
    if (sscanf(line, "%" SCNx64 " %u", &handle, &graph) != 2)
        return false;
    hl_page_exec_made(page, handle, graph);
    return true;
}

static bool play_exec_over(struct hl_page *page, const char *line)
{
    hl_page_exec_over(page, strtoull(line, NULL, 16));
    return true;
}

static bool play_finish(struct hl_page *page, const char *line)
{
    struct hl_page_finished f;
    if (sscanf(line, "%u %" SCNx64 " %" SCNu64 " %" SCNu64, &f.correlation, &f.node, &f.start_ns,
               &f.end_ns) != 4)
        return false;
    hl_page_finish(page, &f);
    return true;
}

static bool play_samples_clear(struct hl_page *page, const char *line)
{
    (void)line;
    hl_page_samples_clear(page);
    return true;
}

static bool play_sample(struct hl_page *page, const char *line)
{
    int kernel;
    uint64_t crc, pc, samples;
    if (sscanf(line, "%d %" SCNx64 " %" SCNx64 " %" SCNu64, &kernel, &crc, &pc, &samples) != 4 ||
        !names_entry(kernel, HL_PAGE_KERNELS))
        return false;
    hl_page_sample(page, (uint32_t)kernel, crc, pc, samples);
    return true;
}

static bool play_known(struct hl_page *page, const char *line)
{
    uint32_t kernel, n_params, first_bytes;
    if (sscanf(line, "%u %u %u", &kernel, &n_params, &first_bytes) != 3 || kernel >= HL_PAGE_KERNELS)
        return false;
    hl_page_known(page, kernel, n_params, first_bytes);
    return true;
}

static bool play_with(struct hl_page *page, const char *line)
{
    uint32_t tid;
    uint64_t params;
    if (sscanf(line, "%u %" SCNx64, &tid, &params) != 2)
        return false;
    hl_page_with(page, hl_page_thread(page, tid), params);
    return true;
}

static bool play_thread_over(struct hl_page *page, const char *line)
{
    hl_page_thread_over(page, hl_page_thread(page, (uint32_t)strtoul(line, NULL, 10)));
    return true;
}

static bool play_params(struct hl_page *page, const char *line)
{
    uint64_t hash, context;
    uint32_t kernel, grid[3];
    int at = 0;
    uint8_t bytes[HL_KNOWN_BYTES_MAX];
    if (sscanf(line, "%" SCNx64 " %" SCNx64 " %u %u %u %u %n", &hash, &context, &kernel, &grid[0], &grid[1],
               &grid[2], &at) != 6 ||
        kernel >= HL_PAGE_KERNELS || strlen(line + at) < 2 * sizeof bytes)
        return false;
    for (size_t i = 0; i < sizeof bytes; i++)
        if (sscanf(line + at + 2 * i, "%2hhx", &bytes[i]) != 1)
            return false;
    return hl_page_params(page, context, kernel, grid, bytes) == hash;
}

/* Runs of equal words, as reads of the device's memory told them. */
static struct run {
    uint64_t address, words;
    uint32_t value;
} * runs;
static size_t n_runs;

static bool play_memory(struct hl_page *page, const char *line)
{
    struct run run;
    (void)page;
    if (sscanf(line, "%" SCNx64 " %" SCNu64 " %x", &run.address, &run.words, &run.value) != 3)
        return false;
    struct run *more = realloc(runs, (n_runs + 1) * sizeof *runs);
    if (!more)
        return false;
    runs = more;
    runs[n_runs++] = run;
    return true;
}

static const struct {
    const char *word;
    bool (*play)(struct hl_page *page, const char *arguments);
} words[] = {
    { "enter", play_enter },         { "exit", play_exit },     { "kernel", play_kernel },
    { "stream", play_stream },       { "launch", play_launch }, { "mark", play_mark },
    { "complete", play_complete },   { "beat", play_beat },     { "context-over", play_context_over },
    { "node", play_node },           { "clone", play_clone },   { "exec", play_exec },
    { "exec-over", play_exec_over }, { "finish", play_finish }, { "samples-clear", play_samples_clear },
    { "sample", play_sample },       { "known", play_known },   { "with", play_with },
    { "params", play_params },       { "memory", play_memory }, { "thread-over", play_thread_over },
};

static bool play_line(struct hl_page *page, char *line)
{
    char *rest = line + strcspn(line, " \n");
    if (*rest)
        *rest++ = '\0';
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(line, words[i].word) == 0)
            return words[i].play(page, rest);
    return false;
}

void hl_feed_note_memory(uint64_t address, const void *data, size_t bytes)
{
    const uint32_t *word = data;
    for (size_t at = 0, n; at < bytes / 4; at += n) {
        for (n = 1; at + n < bytes / 4 && word[at + n] == word[at]; n++) {
        }
        HL_FEED("memory %llx %zu %x", (unsigned long long)(address + 4 * at), n, word[at]);
    }
}

bool hl_feed_memory(uint64_t address, uint32_t bytes, void *ret_data)
{
    uint32_t *word = ret_data;
    for (uint32_t i = 0; i < bytes / 4; i++) {
        const uint64_t at = address + 4ull * i;
        size_t found = n_runs; /* the newest read of a word counts */
        while (found > 0 &&
               !(at >= runs[found - 1].address && (at - runs[found - 1].address) / 4 < runs[found - 1].words))
            found--;
        if (found == 0)
            return false;
        word[i] = runs[found - 1].value;
    }
    return true;
}

int hl_feed_play(FILE *in, struct hl_page *page)
{
    char line[512];
    for (int number = 1; fgets(line, sizeof line, in); number++)
        if (line[0] != '#' && !play_line(page, line))
            return number;
    return 0;
}

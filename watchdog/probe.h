/* What the watchdog may look at when it suspects a stall: memory of the ranks and state of their hosts.
 *
 * An engine (or a recording) implements it; no call may block on stuck GPU work. */
#pragma once
#include "cupti/device.h"
#include "feed.h"

enum hl_host_state { HL_HOST_RUNNING, HL_HOST_BLOCKED, HL_HOST_EXITED, HL_HOST_DEAD };

/* How many CTAs of a rank's oldest unfinished kernel run, wait to start, and have ended. */
struct hl_residency {
    uint32_t ctas, started, ended;
    uint32_t room;    /* CTAs that the GPU still has room for; UINT32_MAX: not known */
    uint32_t foreign; /* CTAs of kernels that are no call of any rank */
};

/* The last store and the last clear that hit a word; `known` false where the engine keeps no journal. */
struct hl_word_history {
    bool known;
    int stored_by; /* rank, -1 never */
    uint32_t stored_call;
    uint64_t stored_ns;
    int cleared_by;        /* rank, -1 never; workspace-init counts as a clear */
    uint32_t cleared_call; /* UINT32_MAX: by workspace-init */
    uint64_t cleared_ns;
};

/* A word outside of the buffers that changed: found by the guards around them. */
struct hl_stray_write {
    bool found;
    int rank, workspace; /* whose */
    int buffer;          /* the nearest one; -1: the word lies before the whole workspace */
    int64_t distance;    /* in words: 0 is the first one behind that buffer, -1 the last one before it */
    uint32_t value;
    int by_rank; /* who wrote it, -1: not known */
    uint32_t by_call;
};

/* Does a GPU still do what it is asked? Tried with a small copy on a stream of its own: it needs no room. */
enum hl_device_answer { HL_DEVICE_NOT_ASKED, HL_DEVICE_ANSWERS, HL_DEVICE_SILENT };

/* The process and the thread that a rank's host program runs in. */
struct hl_host_place {
    int pid, tid; /* 0: none, as on the simulator */
};

struct hl_evidence;

struct hl_probe {
    void *user;
    int ranks;
    /* Layout of a workspace, as executed; the same for all ranks. */
    const struct hl_layout *(*layout)(void *user, int workspace);
    enum hl_compare compare;
    bool polls_own; /* mnnvl one-shots wait for the rank's own row, too */
    /* Copies `count` words of a rank's workspace. 0, or -1 when they cannot be read. */
    int (*read_words)(void *user, int rank, int workspace, uint32_t first, uint32_t count, uint32_t *words);
    enum hl_host_state (*host_state)(void *user, int rank);
    /* The host's stack, innermost frame first, one frame a line. Returns the length without the final 0. */
    size_t (*host_stack)(void *user, int rank, char *text, size_t size);
    struct hl_residency (*residency)(void *user, int rank);
    struct hl_word_history (*word_history)(void *user, int rank, int workspace, uint32_t word);
    /* The first write outside of a workspace. */
    struct hl_stray_write (*stray_write)(void *user);
    /* Does a tool (a profiler, a debugger) let kernels of different ranks run one after another only? */
    bool (*is_serialised)(void *user);
    /* Processes that CUPTI watches, and what the device and the driver of one are doing. */
    int devices;
    void (*device)(void *user, int index, struct hl_device_evidence *ret_evidence);
    enum hl_device_answer (*device_answer)(void *user, int rank);
    /* How often a mutant has struck that does so at one place. */
    uint32_t (*strikes)(void *user);
    struct hl_host_place (*host_place)(void *user, int rank);
    /* Fills in the native stacks of the ranks' hosts; NULL: they are taken from the processes that host_place
     * names. */
    void (*threads)(void *user, struct hl_evidence *evidence);
    /* Dumps the state of the rank's GPU into a file. The last thing to ask for: the rank's work on the GPU
     * does not survive it. 0, or -1, and `why` says why. */
    int (*dump_core)(void *user, int rank, const char *path, char *why, size_t size);
};

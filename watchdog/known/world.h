/* Worlds of known collectives in watched processes: their calls, from the pages; their flags and slots, from
 * the device's memory; as the same evidence that a run of hanglab's own leaves, so that decoder, classifier
 * and reports need no second way.
 *
 * A rank is a workspace in a process: a process has one, or as many as it plays ranks in its threads. */
#pragma once
#include "../cupti/page.h"
#include "../evidence.h"

#define HL_WORLDS_MAX 8
#define HL_STRANGE_MAX 8

/* How the memory of a process's device is read; at most HL_PAGE_WINDOW bytes. 0, or -1. */
struct hl_known_memory {
    void *user;
    int (*read)(void *user, int process, uint64_t context, uint64_t address, uint32_t bytes, void *ret_data);
};

/* A known kernel whose arguments could not be made out. */
struct hl_strange_kernel {
    int process;
    char name[HL_PAGE_NAME_MAX];
    uint32_t n_params, first_bytes;
    uint8_t bytes[HL_KNOWN_BYTES_MAX]; /* the arguments of a launch of it */
    char why[160];
};

struct hl_known_world;
struct hl_worlds {
    struct hl_known_world *worlds[HL_WORLDS_MAX];
    int n;
    struct hl_seen *seen; /* private */
    struct hl_strange_kernel strange[HL_STRANGE_MAX];
    int n_strange;
};

struct hl_known_world {
    int ranks;
    int process_of[HL_RANKS_MAX];   /* -1: the rank is in no watched process */
    const char *library, *releases; /* whose arguments fit */
    struct hl_evidence evidence;    /* hung where a call is pending */
    struct hl_probe probe;          /* reads the same memory, for as long as the processes live */
    uint32_t calls_that_fit;      /* begun calls that the flags allow for: more than 1, the first is meant */
    char notes[512];              /* what is not as it should be; "": nothing */
    struct hl_known_group *group; /* private */
};

/* Looks at the pages of `n` processes at once; `memory` has to live as long as the worlds. 0, or -1 when out
 * of memory; hl_worlds_finish() in any case. */
int hl_worlds_collect(const struct hl_page *const *pages, int n, const struct hl_known_memory *memory,
                      uint64_t now_ns, struct hl_worlds *ret_worlds);
void hl_worlds_finish(struct hl_worlds *worlds);

/* Calls and workspaces of known collectives as the pages of the processes tell them; private to this folder.
 */
#pragma once
#include "world.h"

#define HL_MEMBERS_MAX 64
#define HL_SEEN_MAX 8192

/* A workspace: one rank's of one world. */
struct hl_member {
    int process;
    uint64_t context, workspace; /* the address that names it */
    uint32_t calls, shots;       /* made so far */
    bool has_rank;
    struct hl_known_call like; /* a call on it that told its rank */
    uint64_t stream;           /* of its last call, and the thread that made it */
    uint32_t tid;
    /* What memory told: */
    bool known;
    uint64_t table[3 * HL_RANKS_MAX + 1];
    uint64_t barrier_at, buffers_at; /* addresses */
    uint32_t flags[HL_FLAG_WORDS];
    struct hl_layout layout;
    uint8_t *window; /* memory that was read last */
    uint64_t window_at;
    uint32_t window_bytes;
};

struct hl_seen_call {
    int member;
    uint32_t call, shot; /* numbers of it, and of it among those that turn the buffers */
    struct hl_known_call is;
    uint64_t at_ns, launch; /* launch: number on its stream */
    uint32_t stream;
    uint32_t tid, ctas;
    uint32_t graph, node, replay; /* graph HL_PAGE_NONE: eager */
    bool ended;
    bool stuck; /* a record tells that it is this one which does not end */
};

struct hl_seen {
    struct hl_member members[HL_MEMBERS_MAX];
    int n_members;
    struct hl_seen_call *calls;
    int n_calls;
};

/* Adds the calls of a page. */
void hl_see_page(struct hl_seen *seen, const struct hl_page *page, int process, struct hl_worlds *worlds);

/* Reads table and flags of a member, and lays it out. */
void hl_member_read(struct hl_member *m, const struct hl_known_memory *memory);
/* Words of a workspace in hanglab's own layout of its family. 0, or -1. */
int hl_member_words(struct hl_member *m, const struct hl_known_memory *memory, uint32_t first, uint32_t count,
                    uint32_t *words);

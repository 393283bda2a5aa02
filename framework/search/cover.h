/* What a search of a case covers: a scenario's configuration as a space of few ranks, tokens and calls.
 *
 * Either the rank programs of the case, op by op: initialisation, warm-ups, captures, replays, with barriers,
 * syncs, events and faults; the replays then go on without end, where they do so in step. Or its calls alone:
 * the sizes are gone through in turn, without hosts and graphs.
 * Protocols, thresholds, workspaces, PDL, mutants and faults come from the configuration as it resolves.
 * Smaller are: rows (one word), tokens (1, 2, .. for the counts in ascending order, up to a cap), and, if
 * asked for, the ranks. Every host delay, launch delay and pace of a CTA is covered: a search takes them all.
 */
#pragma once
#include "space.h"

struct hl_cover_options {
    bool programs;       /* the rank programs; else the calls alone */
    int ranks;           /* 0: as in the file */
    uint32_t tokens_max; /* cap of the executed tokens; 0: 2 if there are several sizes, else 1 */
    uint32_t rounds;     /* replays, or how often the sizes are gone through; 0: without end */
};

enum { HL_COVER_PAYLOADS_MAX = 2 };
struct hl_cover {
    struct hl_space_spec spec;
    uint32_t rounds;                          /* 0: without end */
    uint32_t room;                            /* CTAs of this size that a GPU holds */
    uint32_t payloads[HL_COVER_PAYLOADS_MAX]; /* words to search with, one after the other; 0: real data */
    const char *payload_names[HL_COVER_PAYLOADS_MAX];
    int n_payloads;
    char calls[512]; /* the list, as a person reads it */
    char notes[512]; /* what is not covered, line by line; may be empty */
    /* What of the case no search sees, although it may be what the case is about; in lines, may be empty. */
    char unseen[512];
};

enum hl_status hl_cover_make(const struct hl_config *config, const struct hl_cover_options *options,
                             struct hl_cover *ret_cover, struct hl_error *error);

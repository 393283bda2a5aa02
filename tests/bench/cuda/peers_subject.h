/* Somebody else's trtllm kernels (a plugin, such as flashinfer@0.6.12) on one GPU a rank, for bench_peers. */
#pragma once
#include "../../../framework/subject/subject.h"
#include "peers.h"

struct hl_peers_subject {
    const struct hl_subject_plugin *plugin;
    void *state;
    struct hl_subject_ranks ranks[HL_RANKS_MAX];
};

/* Loads it and makes its workspaces for the peers' hidden size and token count. What fails ends the program.
 */
void hl_peers_subject_open(struct hl_peers_subject *subject, const char *name, const struct hl_peers *peers);
void hl_peers_subject_close(struct hl_peers_subject *subject, const struct hl_peers *peers);

/* False: it refuses the call, and stderr has its words. */
bool hl_peers_subject_enqueue(const struct hl_peers_subject *subject, const struct hl_peers_call *call,
                              struct CUstream_st *stream);

/* A plugin on one GPU a rank; see peers_subject.h. */
#include "peers_subject.h"
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include "virtual_ranks.h"

static void must(int failed, const char *message)
{
    if (!failed)
        return;
    fprintf(stderr, "%s\n", message);
    exit(99);
}

void hl_peers_subject_open(struct hl_peers_subject *s, const char *name, const struct hl_peers *p)
{
    char path[HL_SUBJECT_PATH_MAX], message[HL_SUBJECT_MESSAGE_MAX] = "";
    struct hl_subject_layout layout;
    struct hl_error error = { 0 };
    void *workspaces[HL_RANKS_MAX];
    const struct hl_subject_shape shape =
        hl_subject_shape_of(&p->layout[HL_FAMILY_TRTLLM], HL_SUBJECT_ONESHOT | HL_SUBJECT_TWOSHOT);
    must(hl_subject_find(name, path, &error) || hl_subject_load(path, &s->plugin, &error) ||
             hl_subject_check_shape(s->plugin, &shape, &error),
         error.message);
    hl_peers_use(0);
    must(s->plugin->create(&shape, &s->state, message), message);
    must(hl_subject_describe(s->plugin, s->state, &shape, &layout, &error), error.message);
    for (int r = 0; r < p->ranks; r++) {
        hl_peers_use(r);
        HL_CUDA(cudaMalloc(&workspaces[r], layout.words * 4ull));
    }
    for (int r = 0; r < p->ranks; r++) {
        s->ranks[r].rank = r;
        for (int peer = 0; peer < p->ranks; peer++)
            s->ranks[r].workspace[peer] = workspaces[peer];
        hl_peers_use(r);
        must(s->plugin->reset(s->state, &s->ranks[r], p->rank[r].stream, message), message);
        HL_CUDA(cudaDeviceSynchronize());
    }
}

void hl_peers_subject_close(struct hl_peers_subject *s, const struct hl_peers *p)
{
    for (int r = 0; r < p->ranks; r++)
        HL_CUDA(cudaFree(s->ranks[r].workspace[r]));
    s->plugin->destroy(s->state);
}

bool hl_peers_subject_enqueue(const struct hl_peers_subject *s, const struct hl_peers_call *ours,
                              struct CUstream_st *stream)
{
    char message[HL_SUBJECT_MESSAGE_MAX] = "";
    const struct hl_cuda_call *call = &ours->call;
    const bool oneshot = call->protocol == HL_TRTLLM_ONESHOT;
    const struct hl_subject_call to = { .ranks = s->ranks[call->rank],
                                        .strategy = oneshot ? HL_SUBJECT_ONESHOT : HL_SUBJECT_TWOSHOT,
                                        .tokens = call->tokens,
                                        .input = call->input,
                                        .residual = call->residual,
                                        .gamma = call->gamma,
                                        .residual_out = call->residual_out,
                                        .norm_out = call->norm_out,
                                        .epsilon = HL_RMS_EPSILON,
                                        .pdl = 1,
                                        .abort_word = call->abort_word };
    if (s->plugin->enqueue(s->state, &to, stream, message) == 0)
        return true;
    fprintf(stderr, "%u tokens: %s\n", call->tokens, message);
    return false;
}

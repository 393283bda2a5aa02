/* One rank on each GPU; see peers.h. */
#include "peers.h"
#include <cuda_runtime_api.h>
#include <stdlib.h>
#include <string.h>
#include "virtual_ranks.h"

static uint64_t row_words(const struct hl_peers *p) { return p->hidden / 2; }

bool hl_peers_find(struct hl_peers *p)
{
    int gpus = 0;
    *p = (struct hl_peers){ 0 };
    setenv("CUDA_MODULE_LOADING", "EAGER", 1);
    if (cudaGetDeviceCount(&gpus) != cudaSuccess || gpus < 2)
        return false;
    for (p->ranks = 2; p->ranks * 2 <= gpus && p->ranks * 2 <= HL_RANKS_MAX;)
        p->ranks *= 2;
    for (int a = 0; a < p->ranks; a++) {
        hl_peers_use(a);
        for (int b = 0; b < p->ranks; b++)
            if (a != b)
                HL_CUDA(cudaDeviceEnablePeerAccess(b, 0));
    }
    HL_CUDA(cudaHostAlloc((void **)&p->abort_word, 4, cudaHostAllocPortable | cudaHostAllocMapped));
    *p->abort_word = 0;
    return true;
}

void hl_peers_use(int rank) { HL_CUDA(cudaSetDevice(rank)); }

/* Numbers of either sign, 1/4 to 4. */
static uint32_t *random_words(uint64_t words, uint32_t seed)
{
    uint32_t *host = malloc(words * 4), *device, x = seed;
    for (uint64_t i = 0; i < words; i++) {
        x = x * 1664525u + 1013904223u;
        host[i] = 0x3e803e80u + (x >> 7 & 0x01ff01ffu) + (x & 0x80008000u);
    }
    HL_CUDA(cudaMalloc((void **)&device, words * 4));
    HL_CUDA(cudaMemcpy(device, host, words * 4, cudaMemcpyHostToDevice));
    free(host);
    return device;
}

static uint32_t *reserve(uint64_t words)
{
    uint32_t *device;
    HL_CUDA(cudaMalloc((void **)&device, words * 4));
    HL_CUDA(cudaMemset(device, 0xff, words * 4));
    return device;
}

/* On all ranks' GPUs. */
static void make_workspaces(struct hl_peers *p, enum hl_family family)
{
    const struct hl_layout *l = &p->layout[family];
    uint32_t *image = calloc(l->words, 4);
    hl_workspace_flags(l, image);
    for (uint32_t i = l->buffers_at; i < l->words; i++)
        image[i] = hl_sentinel_word(l);
    for (int r = 0; r < p->ranks; r++) {
        hl_peers_use(r);
        p->rank[r].workspace[family] = reserve(l->words);
        HL_CUDA(cudaMemcpy(p->rank[r].workspace[family], image, l->words * 4ull, cudaMemcpyHostToDevice));
    }
    free(image);
}

void hl_peers_make(struct hl_peers *p, uint32_t hidden, uint32_t tokens_max, uint32_t rows)
{
    p->hidden = hidden;
    p->rows = rows;
    const uint64_t words = rows * row_words(p);
    for (int r = 0; r < p->ranks; r++) {
        hl_peers_use(r);
        p->rank[r] = (struct hl_peer){ .input = random_words(words, 17u + (uint32_t)r),
                                       .residual = random_words(words, 5),
                                       .gamma = random_words(row_words(p), 3),
                                       .residual_out = reserve(words),
                                       .norm_out = reserve(words) };
        HL_CUDA(cudaStreamCreateWithFlags(&p->rank[r].stream, cudaStreamNonBlocking));
    }
    for (int family = 0; family < HL_PEER_FAMILIES; family++) {
        p->layout[family] = hl_layout_make((enum hl_family)family, p->ranks, tokens_max, hidden, HL_BF16);
        if (family != HL_FAMILY_NCCL) /* NCCL has memory of its own */
            make_workspaces(p, (enum hl_family)family);
    }
    for (int r = 0; r < p->ranks; r++) {
        hl_peers_use(r);
        HL_CUDA(cudaDeviceSynchronize());
    }
}

void hl_peers_free(struct hl_peers *p)
{
    for (int r = 0; r < p->ranks; r++) {
        struct hl_peer *own = &p->rank[r];
        hl_peers_use(r);
        uint32_t *const all[] = { own->input,
                                  own->residual,
                                  own->gamma,
                                  own->residual_out,
                                  own->norm_out,
                                  own->workspace[HL_FAMILY_MNNVL],
                                  own->workspace[HL_FAMILY_TRTLLM] };
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            HL_CUDA(cudaFree(all[i]));
        HL_CUDA(cudaStreamDestroy(own->stream));
    }
}

/* Two calls' kernels may be there at once; all of them must fit. */
static uint32_t fitting_ctas(const struct hl_cuda_call *call, struct hl_cuda_launch launch, uint32_t kernels)
{
    uint32_t resident;
    int device, sms;
    HL_CUDA(cudaGetDevice(&device));
    HL_CUDA(cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, device));
    launch.ctas = hl_kernel_ctas(launch.kernel, call->tokens, (uint32_t)sms);
    HL_CUDA(hl_cuda_resident_ctas(call, &launch, &resident));
    const uint32_t share = resident / (2 * kernels);
    return launch.ctas < share ? launch.ctas : share;
}

struct hl_peers_call hl_peers_prepare(const struct hl_peers *p, int rank, enum hl_protocol protocol,
                                      uint32_t tokens, uint32_t row)
{
    const struct hl_peer *own = &p->rank[rank];
    const enum hl_family family = hl_protocol_family(protocol);
    const struct hl_kernel_list list = hl_protocol_kernels(protocol);
    const uint64_t at = row * row_words(p);
    struct hl_peers_call ready = { .call = { .layout = p->layout[family],
                                             .protocol = protocol,
                                             .rank = rank,
                                             .tokens = tokens,
                                             .input = own->input + at,
                                             .residual = own->residual + at,
                                             .gamma = own->gamma,
                                             .residual_out = own->residual_out + at,
                                             .norm_out = own->norm_out + at,
                                             .abort_word = p->abort_word } };
    for (int peer = 0; peer < p->ranks; peer++)
        ready.call.workspace[peer] = p->rank[peer].workspace[family];
    hl_peers_use(rank);
    for (int i = 0; i < list.count; i++) {
        struct hl_cuda_launch *launch = &ready.launches[ready.n];
        *launch = (struct hl_cuda_launch){ .kernel = list.kernels[i], .pdl = family != HL_FAMILY_NCCL };
        if (launch->kernel == HL_KERNEL_NCCL_ALLREDUCE)
            continue;
        launch->ctas = fitting_ctas(&ready.call, *launch, (uint32_t)list.count);
        ready.n++;
    }
    return ready;
}

void hl_peers_enqueue(const struct hl_peers_call *ready, struct CUstream_st *stream)
{
    for (int i = 0; i < ready->n; i++)
        HL_CUDA(hl_cuda_launch(&ready->call, &ready->launches[i], stream));
}

bool hl_peers_drain(const struct hl_peers *p, int rank, double limit_ms)
{
    const double begin_ms = hl_now_ms();
    int state;
    while ((state = cudaStreamQuery(p->rank[rank].stream)) == cudaErrorNotReady)
        if (hl_now_ms() - begin_ms > limit_ms) {
            *(volatile uint32_t *)p->abort_word = 1;
            return false;
        }
    HL_CUDA(state);
    return true;
}

// FlashInfer's fused allreduces as a subject: the kernels of one installed release, unmodified.
//
// Compiled by `./dev subject flashinfer==X` against the headers in that release's wheel, with that release's
// own flags. Nothing of FlashInfer is in this file. Facts about its workspaces are cited as T
// (trtllm_allreduce_fusion.cuh) and M (trtllm_mnnvl_allreduce.cuh), lines of release 0.6.18.
//
// All ranks share one GPU. For trtllm that changes nothing: it stores to each peer. mnnvl stores once, to a
// multicast address, and a GPU cannot multicast to itself. So its ranks share rank 0's buffers (in a two-shot
// only the broadcast stages), and a kernel of ours in front of each call joins the ranks: without it a fast
// rank would clear what a slow one still polls (M:953).
#include <array>
#include <cstdio>
#include <cstring>
#include <exception>
#include <mutex>
#include <string>
#include <tuple>

#include <flashinfer/comm/trtllm_mnnvl_allreduce.cuh>
#ifndef HL_MNNVL_INCLUDES_TRTLLM // from 0.6.13 on the one includes the other, which has no include guard
#include <flashinfer/comm/trtllm_allreduce_fusion.cuh>
#endif

#include "hanglab/subject.h"

namespace mnnvl = flashinfer::trtllm_mnnvl_allreduce;
namespace trtllm = flashinfer::trtllm_allreduce_fusion;

namespace
{

constexpr uint32_t kSentinelMnnvl = 0x80000000u;
// Places in a workspace, in words. mnnvl: flags, two tables of addresses. trtllm: flags, one table.
constexpr uint32_t kTableAt = 16;
constexpr uint32_t kFixedWords = 128; // holds 3 * 16 + 1 addresses behind the flags
constexpr uint32_t kBarrierFlags = 256;

struct Places {
    uint32_t barrier_at, comm_at, buffers_at, buffer_words, words;
};

struct State {
    hl_subject_shape shape;
    Places places;
    bool flushes;    // the sentinel comparison of this build takes subnormals for it
    uint32_t *joins; // on the device: arrivals of all ranks, then calls of each rank
};

int fail(char *message, const char *what, const char *why)
{
    snprintf(message, HL_SUBJECT_MESSAGE_MAX, "%s: %s", what, why);
    return 1;
}

int check(cudaError_t error, const char *what, char *message)
{
    return error == cudaSuccess ? 0 : fail(message, what, cudaGetErrorString(error));
}

uint32_t round_up(uint32_t n, uint32_t to) { return (n + to - 1) / to * to; }

uint32_t row_words(const hl_subject_shape &s) { return s.hidden / (s.dtype == HL_SUBJECT_FP32 ? 1 : 2); }

// Buffers hold one call of the larger strategy (mnnvl_ar.py:241-249); trtllm's hold a one-shot (T:1528).
Places places_of(const hl_subject_shape &s)
{
    const uint32_t oneshot = s.tokens_max * s.ranks * row_words(s);
    const uint32_t twoshot = 2 * round_up(s.tokens_max, s.ranks) * row_words(s);
    Places p = {};
    p.comm_at = p.buffers_at = kFixedWords;
    p.buffer_words = round_up(oneshot > twoshot ? oneshot : twoshot, 8);
    if (s.family == HL_SUBJECT_TRTLLM) {
        p.barrier_at = kFixedWords;
        p.comm_at = p.barrier_at + s.ranks * kBarrierFlags;
        p.buffers_at = round_up(p.comm_at + 2 * s.tokens_max * row_words(s), 64); // input and reduced rows
        p.buffer_words = round_up(oneshot, 8);
    }
    p.words = p.buffers_at + 3 * p.buffer_words;
    return p;
}

uint32_t sentinel_of(const hl_subject_shape &s)
{
    return s.family == HL_SUBJECT_TRTLLM && s.dtype != HL_SUBJECT_FP32 ? 0x80008000u : kSentinelMnnvl;
}

// The header's own comparison, asked about a negative subnormal, under the flags that its kernels have.
__global__ void ask_comparison(uint32_t word, uint32_t *ret_is_sentinel)
{
    *ret_is_sentinel = mnnvl::utils::isNegZero<float>(__uint_as_float(word));
}

// Holds every rank back until all have come as often.
__global__ void join(uint32_t *joins, int rank, uint32_t ranks, const uint32_t *abort_word)
{
    const uint32_t target = ++joins[1 + rank] * ranks;
    __threadfence();
    atomicAdd(joins, 1);
    while ((int32_t)(*(volatile uint32_t *)joins - target) < 0)
        if (*(const volatile uint32_t *)abort_word)
            return;
    __threadfence();
}

struct Reset {
    hl_subject_ranks ranks;
    hl_subject_shape shape;
    Places places;
    uint32_t sentinel;
};

__device__ void write_mnnvl_flags(const Reset &r, uint32_t *own)
{
    for (uint32_t i = 0; i < kTableAt; i++)
        own[i] = i == 1 ? 2 : i == 2 ? r.places.buffer_words * 4 : 0; // trtllm_mnnvl_ar.py:184-190
    void **table = (void **)(own + kTableAt);
    for (uint32_t peer = 0; peer < r.shape.ranks; peer++) {
        table[peer] = (uint32_t *)r.ranks.workspace[0] + r.places.buffers_at;
        table[r.shape.ranks + peer] = (uint32_t *)r.ranks.workspace[peer] + r.places.buffers_at;
    }
}

__device__ void write_trtllm_flags(const Reset &r, uint32_t *own)
{
    for (uint32_t i = 0; i < kTableAt; i++)
        own[i] = i == 3 ? r.places.buffer_words * 4 : 0; // trtllm_ar.py:745-766
    const uint32_t n = r.shape.ranks;
    void **table = (void **)(own + kTableAt); // trtllm_ar.py:738-774
    for (uint32_t peer = 0; peer < n; peer++) {
        uint32_t *workspace = (uint32_t *)r.ranks.workspace[peer];
        table[peer] = workspace + r.places.comm_at;
        table[n + peer] = workspace + r.places.barrier_at;
        table[2 * n + peer] = workspace + r.places.buffers_at;
    }
    table[3 * n] = own;
    for (uint32_t i = 0; i < n * kBarrierFlags; i++)
        own[r.places.barrier_at + i] = 0;
}

__global__ void reset_workspace(Reset r)
{
    uint32_t *own = (uint32_t *)r.ranks.workspace[r.ranks.rank];
    if (blockIdx.x == 0 && threadIdx.x == 0)
        r.shape.family == HL_SUBJECT_MNNVL ? write_mnnvl_flags(r, own) : write_trtllm_flags(r, own);
    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < 3 * r.places.buffer_words;
         i += gridDim.x * blockDim.x)
        own[r.places.buffers_at + i] = r.sentinel;
}

template <typename T, int Ranks>
cudaError_t run_trtllm(const State &s, const hl_subject_call &c, cudaStream_t stream)
{
    trtllm::AllReduceFusionParams<T> p = {};
    p.nranks = Ranks;
    p.rank = c.ranks.rank;
    p.size = (int)(c.tokens * s.shape.hidden);
    p.hidden_dim = (int)s.shape.hidden;
    p.workspace = (void **)((uint32_t *)c.ranks.workspace[c.ranks.rank] + kTableAt);
    p.allreduce_in = const_cast<void *>(c.input);
    p.residual_in = const_cast<void *>(c.residual);
    p.residual_out = c.residual_out;
    p.norm_out = c.norm_out;
    p.rms_gamma = const_cast<void *>(c.gamma);
    p.rms_eps = c.epsilon;
    p.use_oneshot = c.strategy == HL_SUBJECT_ONESHOT;
    p.stream = stream;
    p.pattern = trtllm::AllReduceFusionPattern::kARResidualRMSNorm;
    p.trigger_completion_at_end = true;
    return trtllm::allreduce_fusion_kernel_launcher<trtllm::AllReduceFusionPattern::kARResidualRMSNorm, T,
                                                    Ranks, false>(p, c.pdl != 0);
}

template <typename T> cudaError_t run_mnnvl(const State &s, const hl_subject_call &c, cudaStream_t stream)
{
    uint32_t *own = (uint32_t *)c.ranks.workspace[c.ranks.rank];
    void *shared = (uint32_t *)c.ranks.workspace[0] + s.places.buffers_at;
    const bool oneshot = c.strategy == HL_SUBJECT_ONESHOT;
    mnnvl::AllReduceFusionParams p = {};
    p.nRanks = (int)s.shape.ranks;
    p.rank = c.ranks.rank;
    p.numTokens = (int)c.tokens;
    p.tokenDim = (int)s.shape.hidden;
    p.bufferPtrsDev = (void **)(own + kTableAt) + (oneshot ? 0 : s.shape.ranks);
    p.bufferPtrLocal = shared; // read by the second kernel of the two-shot alone (M:1552)
    p.multicastPtr = shared;
    p.bufferFlags = own;
    p.rmsNormFusion = true;
    p.launchWithPdl = c.pdl != 0;
    p.input = c.input;
    p.residualIn = c.residual;
    p.gamma = c.gamma;
    p.epsilon = c.epsilon;
    p.residualOut = c.residual_out;
    p.output = c.norm_out;
    p.stream = stream;
    join<<<1, 1, 0, stream>>>(s.joins, c.ranks.rank, s.shape.ranks, c.abort_word);
    const cudaError_t error = cudaGetLastError();
    if (error != cudaSuccess)
        return error;
    if (oneshot)
        return mnnvl::oneshotAllreduceFusionDispatch<T>(p);
    // It sets the kernel's shared memory for the launch behind it: two host threads would take it from each
    // other (seen: "invalid argument"). In a serving engine a rank has a process of its own.
    static std::mutex one_at_a_time;
    const std::lock_guard<std::mutex> lock(one_at_a_time);
    return mnnvl::twoshotAllreduceFusionDispatch<T>(p);
}

template <typename T> cudaError_t run(const State &s, const hl_subject_call &c, cudaStream_t stream)
{
    if (s.shape.family == HL_SUBJECT_MNNVL)
        return run_mnnvl<T>(s, c, stream);
    switch (s.shape.ranks) {
    case 2: return run_trtllm<T, 2>(s, c, stream);
    case 4: return run_trtllm<T, 4>(s, c, stream);
    default: return run_trtllm<T, 8>(s, c, stream);
    }
}

// One question to the GPU; also makes this library's copy of the CUDA runtime load all its kernels
// (CUDA_MODULE_LOADING is EAGER), which a call of a spinning world could not wait for.
int ask(State *s, char *message)
{
    uint32_t answer = 0;
    if (check(cudaMalloc(&s->joins, (1 + HL_SUBJECT_RANKS_MAX) * sizeof *s->joins), "memory for the joins",
              message))
        return 1;
    ask_comparison<<<1, 1>>>(0x80010000u, s->joins);
    if (check(cudaMemcpy(&answer, s->joins, sizeof answer, cudaMemcpyDeviceToHost), "ask the comparison",
              message))
        return 1;
    s->flushes = s->shape.family == HL_SUBJECT_MNNVL && answer;
    return check(cudaMemset(s->joins, 0, (1 + HL_SUBJECT_RANKS_MAX) * sizeof *s->joins), "clear the joins",
                 message);
}

int create(const hl_subject_shape *shape, void **ret_state, char *message)
{
    if (shape->family == HL_SUBJECT_MNNVL && shape->strategies == (HL_SUBJECT_ONESHOT | HL_SUBJECT_TWOSHOT))
        return fail(
            message, "mnnvl",
            "on one GPU a workspace takes one-shots or two-shots, not both: the ranks share other words "
            "in each; set subject.strategy, or sizes on one side of the threshold");
    State *s = new State{ *shape, places_of(*shape), false, nullptr };
    if (ask(s, message)) {
        cudaFree(s->joins);
        delete s;
        return 1;
    }
    *ret_state = s;
    return 0;
}

int describe(void *state, const hl_subject_shape *shape, hl_subject_layout *layout, char *)
{
    static const char *const mnnvl_flags[] = { "current",       "dirty",         "bytes_per_buffer",
                                               "dirty_stages",  "clear_bytes_0", "clear_bytes_1",
                                               "clear_bytes_2", "clear_bytes_3", "arrived" }; // M:230-254
    static const char *const trtllm_flags[] = { "arrived", "barrier_flag", "current", "comm_bytes",
                                                "clear_elements" }; // T:960-990
    const Places p = places_of(*shape);
    const bool is_mnnvl = shape->family == HL_SUBJECT_MNNVL;
    layout->words = p.words;
    layout->n_flags = is_mnnvl ? 9 : 5;
    for (uint32_t i = 0; i < layout->n_flags; i++)
        layout->flags[i] = { is_mnnvl ? mnnvl_flags[i] : trtllm_flags[i], i };
    layout->buffers_at = p.buffers_at;
    layout->buffer_words = p.buffer_words;
    layout->barrier_at = p.barrier_at;
    layout->sentinel = sentinel_of(*shape);
    layout->compare = state && ((State *)state)->flushes ? HL_SUBJECT_FLOAT_FTZ : HL_SUBJECT_BITS;
    layout->sharing = !is_mnnvl                                ? HL_SUBJECT_SHARES_NOTHING
                      : shape->strategies & HL_SUBJECT_TWOSHOT ? HL_SUBJECT_SHARES_BROADCAST
                                                               : HL_SUBJECT_SHARES_BUFFERS;
    return 0;
}

int reset(void *state, const hl_subject_ranks *ranks, CUstream_st *stream, char *message)
{
    const State &s = *(State *)state;
    reset_workspace<<<64, 256, 0, stream>>>(Reset{ *ranks, s.shape, s.places, sentinel_of(s.shape) });
    return check(cudaGetLastError(), "reset a workspace", message);
}

int enqueue(void *state, const hl_subject_call *call, CUstream_st *stream, char *message)
{
    const State &s = *(State *)state;
    try { // FLASHINFER_CHECK throws
        const cudaError_t error = s.shape.dtype == HL_SUBJECT_BF16 ? run<__nv_bfloat16>(s, *call, stream)
                                                                   : run<half>(s, *call, stream);
        return check(error, "launch", message);
    } catch (const std::exception &e) {
        return fail(message, "FlashInfer refuses the call", e.what());
    }
}

void destroy(void *state)
{
    cudaFree(((State *)state)->joins);
    delete (State *)state;
}

} // namespace

extern "C" const struct hl_subject_plugin hl_subject_plugin = {
    HL_SUBJECT_ABI,
    "flashinfer",
    HL_RELEASE,
    1u << HL_SUBJECT_MNNVL | 1u << HL_SUBJECT_TRTLLM,
    1u << HL_SUBJECT_BF16 | 1u << HL_SUBJECT_FP16,
    HL_SUBJECT_ONESHOT | HL_SUBJECT_TWOSHOT,
    1u << 2 | 1u << 4 | 1u << 8,
    0,
    create,
    describe,
    reset,
    enqueue,
    destroy,
};

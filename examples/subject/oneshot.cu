// A subject of your own, complete: a fused one-shot allreduce + residual + RMSNorm for bfloat16, in one file.
//
// It follows hanglab's `mnnvl` family, so the watchdog can read its buffers: every rank stores its rows into
// a slot [token][rank][hidden] of every rank's current buffer, waits until no word of its own buffer's slots
// is the sentinel, sums, adds the residual and norms. Three buffers rotate; each call clears the one before
// its own. Copy it, put your kernel in its place, keep the six functions at the end.
#include <hanglab/subject.h>
#include <cstdio>
#include <cuda_bf16.h>

namespace
{

constexpr uint32_t kSentinel = 0x80000000u; // fp32 -0.0
constexpr int kThreads = 256;
constexpr uint32_t kBuffersAt = 64; // words of a workspace before its buffers

// The flags of a workspace, one word each.
enum { CURRENT, DIRTY_WORDS, ARRIVED, FLAGS };

struct Call {
    hl_subject_call c;
    uint32_t ranks, hidden, buffer_words;
};

union Fragment { // what a thread moves at a time: 8 elements
    int4 packed;
    uint32_t words[4];
    __nv_bfloat16 elements[8];
};

__device__ uint32_t *workspace(const Call &a, int rank) { return (uint32_t *)a.c.ranks.workspace[rank]; }

__device__ Fragment load(const void *rows, uint32_t i) { return Fragment{ ((const int4 *)rows)[i] }; }

// A payload of -0.0 would read as "not arrived".
__device__ Fragment sanitise(Fragment f)
{
    for (__nv_bfloat16 &e : f.elements)
        if (__bfloat16_as_ushort(e) == 0x8000)
            e = __ushort_as_bfloat16(0);
    return f;
}

// Polls 16 bytes until every word of them is there; the abort word lets the wait go.
__device__ Fragment await(const uint32_t *slot, const uint32_t *abort_word)
{
    Fragment f;
    for (uint32_t spins = 0;; spins++) {
        asm volatile("ld.volatile.global.v4.u32 {%0,%1,%2,%3}, [%4];"
                     : "=r"(f.words[0]), "=r"(f.words[1]), "=r"(f.words[2]), "=r"(f.words[3])
                     : "l"(slot));
        if (f.words[0] != kSentinel && f.words[1] != kSentinel && f.words[2] != kSentinel &&
            f.words[3] != kSentinel)
            return f;
        if (spins % 1024 == 1023 && *(const volatile uint32_t *)abort_word)
            return f;
    }
}

__device__ float block_sum(float value)
{
    __shared__ float sums[kThreads / 32];
    for (int lane = 16; lane; lane /= 2)
        value += __shfl_xor_sync(~0u, value, lane);
    if (threadIdx.x % 32 == 0)
        sums[threadIdx.x / 32] = value;
    __syncthreads();
    value = 0;
    for (float sum : sums)
        value += sum;
    return value;
}

// The last thing of a call: the next buffer, once every block has counted in.
__device__ void rotate(const Call &a, volatile uint32_t *flags, uint32_t current)
{
    while (flags[ARRIVED] < gridDim.x && !*(const volatile uint32_t *)a.c.abort_word)
        ;
    flags[CURRENT] = (current + 1) % 3;
    flags[DIRTY_WORDS] = a.c.tokens * a.ranks * a.hidden / 2;
    flags[ARRIVED] = 0;
}

// One block a token.
__global__ void __launch_bounds__(kThreads) oneshot(Call a)
{
    const uint32_t token = blockIdx.x, fragments = a.hidden / 8, rank = (uint32_t)a.c.ranks.rank;
    uint32_t *own = workspace(a, (int)rank);
    const uint32_t current = ((volatile uint32_t *)own)[CURRENT];
    const uint32_t dirty_words = ((volatile uint32_t *)own)[DIRTY_WORDS];
    const uint32_t slots = kBuffersAt + current * a.buffer_words + token * a.ranks * a.hidden / 2;

    for (uint32_t i = threadIdx.x; i < fragments; i += kThreads) {
        const Fragment f = sanitise(load(a.c.input, token * fragments + i));
        for (uint32_t peer = 0; peer < a.ranks; peer++)
            *(int4 *)(workspace(a, (int)peer) + slots + rank * a.hidden / 2 + 4 * i) = f.packed;
    }
    uint32_t *dirty = own + kBuffersAt + (current + 2) % 3 * a.buffer_words;
    for (uint32_t i = 4 * (blockIdx.x * kThreads + threadIdx.x); i < dirty_words;
         i += 4 * gridDim.x * kThreads)
        *(uint4 *)(dirty + i) = make_uint4(kSentinel, kSentinel, kSentinel, kSentinel);
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        atomicAdd(&own[ARRIVED], 1);
    }

    float squares = 0;
    for (uint32_t i = threadIdx.x; i < fragments; i += kThreads) {
        const uint32_t at = token * fragments + i;
        float sum[8] = { 0 };
        for (uint32_t peer = 0; peer < a.ranks; peer++) {
            const Fragment f = await(own + slots + peer * a.hidden / 2 + 4 * i, a.c.abort_word);
            for (int e = 0; e < 8; e++)
                sum[e] += __bfloat162float(f.elements[e]);
        }
        Fragment residual = load(a.c.residual, at);
        for (int e = 0; e < 8; e++) {
            const float value = sum[e] + __bfloat162float(residual.elements[e]);
            squares += value * value;
            residual.elements[e] = __float2bfloat16(value);
        }
        ((int4 *)a.c.residual_out)[at] = residual.packed;
    }
    const float scale = rsqrtf(block_sum(squares) / (float)a.hidden + a.c.epsilon);
    for (uint32_t i = threadIdx.x; i < fragments; i += kThreads) {
        const uint32_t at = token * fragments + i;
        Fragment row = load(a.c.residual_out, at);
        const Fragment gamma = load(a.c.gamma, i);
        for (int e = 0; e < 8; e++)
            row.elements[e] = __float2bfloat16(__bfloat162float(row.elements[e]) * scale *
                                               __bfloat162float(gamma.elements[e]));
        ((int4 *)a.c.norm_out)[at] = row.packed;
    }
    if (blockIdx.x == 0 && threadIdx.x == 0)
        rotate(a, own, current);
}

__global__ void make_new(uint32_t *own, uint32_t words)
{
    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < words; i += gridDim.x * blockDim.x)
        own[i] = i < kBuffersAt ? 0 : kSentinel;
}

//
// What hanglab calls
//

uint32_t buffer_words(const hl_subject_shape &s) // as many as hanglab asks for: see hl_buffer_words()
{
    const uint32_t tokens = (s.tokens_max + s.ranks - 1) / s.ranks * s.ranks;
    return (2 * tokens > s.tokens_max * s.ranks ? 2 * tokens : s.tokens_max * s.ranks) * s.hidden / 2;
}

int check(cudaError_t error, char *message)
{
    if (error != cudaSuccess)
        snprintf(message, HL_SUBJECT_MESSAGE_MAX, "%s", cudaGetErrorString(error));
    return error != cudaSuccess;
}

int create(const hl_subject_shape *shape, void **ret_state, char *message)
{
    cudaFuncAttributes attributes; // asking for them loads the kernels, which a spinning world would wait for
    if (check(cudaFuncGetAttributes(&attributes, oneshot), message) ||
        check(cudaFuncGetAttributes(&attributes, make_new), message))
        return 1;
    *ret_state = new hl_subject_shape(*shape);
    return 0;
}

int describe(void *, const hl_subject_shape *shape, hl_subject_layout *layout, char *)
{
    layout->buffers_at = kBuffersAt;
    layout->buffer_words = buffer_words(*shape);
    layout->words = kBuffersAt + 3 * layout->buffer_words;
    layout->n_flags = 2;
    layout->flags[0] = { "current", CURRENT };
    layout->flags[1] = { "arrived", ARRIVED };
    layout->sentinel = kSentinel;
    layout->compare = HL_SUBJECT_BITS;
    return 0;
}

int reset(void *state, const hl_subject_ranks *ranks, CUstream_st *stream, char *message)
{
    const uint32_t words = kBuffersAt + 3 * buffer_words(*(hl_subject_shape *)state);
    make_new<<<64, kThreads, 0, stream>>>((uint32_t *)ranks->workspace[ranks->rank], words);
    return check(cudaGetLastError(), message);
}

int enqueue(void *state, const hl_subject_call *call, CUstream_st *stream, char *message)
{
    const hl_subject_shape &s = *(hl_subject_shape *)state;
    oneshot<<<call->tokens, kThreads, 0, stream>>>(Call{ *call, s.ranks, s.hidden, buffer_words(s) });
    return check(cudaGetLastError(), message);
}

void destroy(void *state) { delete (hl_subject_shape *)state; }

} // namespace

extern "C" const struct hl_subject_plugin hl_subject_plugin = {
    HL_SUBJECT_ABI,
    "my-oneshot",
    "1",
    1u << HL_SUBJECT_MNNVL,
    1u << HL_SUBJECT_BF16,
    HL_SUBJECT_ONESHOT,
    1u << 2 | 1u << 4 | 1u << 8,
    HL_SUBJECT_POLLS_ABORT,
    create,
    describe,
    reset,
    enqueue,
    destroy,
};

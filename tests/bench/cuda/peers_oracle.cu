// Kernels of the soak's oracle; see peers_oracle.h.
#include "peers_oracle.h"
#include <cuda_bf16.h>
#include "../../../kernels/protocol.h"

#define THREADS 256
#define RESIDUAL 255u // the "rank" that the residual comes from

static __device__ uint32_t mix(uint32_t x)
{
    x ^= x >> 16, x *= 0x7feb352du;
    x ^= x >> 15, x *= 0x846ca68bu;
    return x ^ x >> 16;
}

// Two elements of -8 to 7, the lower one first.
static __device__ uint32_t word_of(const hl_peers_oracle &o, uint32_t rank, uint32_t replay, uint32_t row,
                                   uint32_t i)
{
    const uint32_t x = mix(mix(mix(o.seed + replay) + rank * 65536u + row) + i);
    const __nv_bfloat162 pair =
        __floats2bfloat162_rn((float)(int)(x & 15) - 8.0f, (float)(int)(x >> 4 & 15) - 8.0f);
    const uint32_t word = *(const uint32_t *)&pair, sign = x >> 8 & 1;
    return word | ((word & 0xffffu) == 0 ? sign << 15 : 0) | ((word >> 16) == 0 ? sign << 31 : 0);
}

static __device__ float2 floats_of(uint32_t word)
{
    return make_float2(__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u));
}

static __global__ void fill(const __grid_constant__ struct hl_peers_oracle o)
{
    const uint32_t replay = *o.replay;
    for (uint32_t i = threadIdx.x; i < o.row_words; i += THREADS) {
        const size_t at = (size_t)blockIdx.x * o.row_words + i;
        o.input[at] = word_of(o, (uint32_t)o.rank, replay, blockIdx.x, i);
        o.residual[at] = word_of(o, RESIDUAL, replay, blockIdx.x, i);
    }
}

static __device__ void tell_wrong(const hl_peers_oracle &o, uint32_t i, float got, float expected)
{
    if (atomicAdd(&o.report->wrong, 1u) != 0)
        return;
    o.report->first_replay = *o.replay;
    o.report->first_row = blockIdx.x;
    o.report->first_word = i;
    o.report->got = __float_as_uint(got);
    o.report->expected = __float_as_uint(expected);
}

// One rounding to bf16, and the arithmetic of two reciprocal roots.
static __device__ bool is_near(float got, float expected)
{
    return fabsf(got - expected) <= 0.006f * fabsf(expected) + 1e-6f;
}

static __device__ float2 sum_of(const hl_peers_oracle &o, uint32_t replay, uint32_t i)
{
    float2 sum = floats_of(word_of(o, RESIDUAL, replay, blockIdx.x, i));
    for (uint32_t rank = 0; rank < (uint32_t)o.ranks; rank++) {
        const float2 row = floats_of(word_of(o, rank, replay, blockIdx.x, i));
        sum.x += row.x, sum.y += row.y;
    }
    return sum;
}

// A block a row.
static __global__ void check(const __grid_constant__ struct hl_peers_oracle o)
{
    __shared__ float squares;
    const uint32_t replay = *o.replay;
    const size_t begin = (size_t)blockIdx.x * o.row_words;
    float own = 0;
    if (threadIdx.x == 0)
        squares = 0;
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < o.row_words; i += THREADS) {
        const float2 sum = sum_of(o, replay, i), got = floats_of(o.residual_out[begin + i]);
        own += sum.x * sum.x + sum.y * sum.y;
        if (!(got.x == sum.x))
            tell_wrong(o, i, got.x, sum.x);
        if (!(got.y == sum.y))
            tell_wrong(o, i, got.y, sum.y);
    }
    atomicAdd(&squares, own);
    __syncthreads();
    const float scale = rsqrtf(squares / (float)(2 * o.row_words) + HL_RMS_EPSILON);
    for (uint32_t i = threadIdx.x; i < o.row_words; i += THREADS) {
        const float2 sum = sum_of(o, replay, i), gamma = floats_of(o.gamma[i]);
        const float2 got = floats_of(o.norm_out[begin + i]);
        if (!is_near(got.x, sum.x * scale * gamma.x))
            tell_wrong(o, i, got.x, sum.x * scale * gamma.x);
        if (!is_near(got.y, sum.y * scale * gamma.y))
            tell_wrong(o, i, got.y, sum.y * scale * gamma.y);
    }
}

static __global__ void count(const __grid_constant__ struct hl_peers_oracle o)
{
    ++*o.replay;
    ++*(volatile uint32_t *)&o.report->replays;
}

extern "C" int hl_peers_oracle_fill(const struct hl_peers_oracle *o, struct CUstream_st *stream)
{
    fill<<<o->rows, THREADS, 0, stream>>>(*o);
    return cudaGetLastError();
}

extern "C" int hl_peers_oracle_check(const struct hl_peers_oracle *o, struct CUstream_st *stream)
{
    check<<<o->rows, THREADS, 0, stream>>>(*o);
    count<<<1, 1, 0, stream>>>(*o);
    return cudaGetLastError();
}

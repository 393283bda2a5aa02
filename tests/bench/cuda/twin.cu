/* The mnnvl one-shot as one would write it by hand for one case: bf16, one block a token, no abort word, no
 * macros. Shares nothing with the step sources but the layout's numbers. */
#include <cuda_bf16.h>
#include "twin.h"

static __device__ __forceinline__ uint4 load_volatile(const uint4 *p)
{
    uint4 v;
    asm volatile("ld.volatile.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p)
                 : "memory");
    return v;
}

static __device__ __forceinline__ uint32_t sanitise(uint32_t w)
{
    if ((w & 0xffffu) == 0x8000u)
        w &= 0xffff0000u;
    if (w >> 16 == 0x8000u)
        w &= 0xffffu;
    return w;
}

static __device__ __forceinline__ void add(float *x, uint4 v)
{
    const uint32_t w[4] = { v.x, v.y, v.z, v.w };
#pragma unroll
    for (int i = 0; i < 4; i++) {
        x[2 * i] += __uint_as_float(w[i] << 16);
        x[2 * i + 1] += __uint_as_float(w[i] & 0xffff0000u);
    }
}

static __device__ __forceinline__ uint4 pack(const float *x)
{
    uint32_t w[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const __nv_bfloat162 b = __floats2bfloat162_rn(x[2 * i], x[2 * i + 1]);
        w[i] = *(const uint32_t *)&b;
    }
    return make_uint4(w[0], w[1], w[2], w[3]);
}

static __device__ __forceinline__ float block_sum(float v)
{
    __shared__ float partial[16];
    const int warps = blockDim.x / 32;
    for (int m = 16; m; m /= 2)
        v += __shfl_xor_sync(~0u, v, m);
    if (threadIdx.x % 32 == 0)
        partial[threadIdx.x / 32] = v;
    __syncthreads();
    v = threadIdx.x % 32 < warps ? partial[threadIdx.x % 32] : 0;
    for (int m = 16; m; m /= 2)
        v += __shfl_xor_sync(~0u, v, m);
    return v;
}

template <int ranks>
__global__ void __launch_bounds__(512, 1) twin(const __grid_constant__ struct hl_cuda_call call)
{
    const uint32_t token = blockIdx.x, row16 = call.layout.row_words / 4, i = threadIdx.x;
    const uint32_t per_buffer = call.layout.words_per_buffer / 4;
    uint32_t *flags = call.workspace[call.rank];
    uint4 *own = (uint4 *)(flags + call.layout.buffers_at);
    const uint4 gamma = ((const uint4 *)call.gamma)[i];
    asm volatile("griddepcontrol.wait;" ::: "memory");
    uint4 mine = ((const uint4 *)call.input)[token * row16 + i];
    const uint4 residual = ((const uint4 *)call.residual)[token * row16 + i];
    const uint32_t current = flags[HL_MNNVL_CURRENT], dirty = flags[HL_MNNVL_DIRTY];
    const uint32_t stages = flags[HL_MNNVL_DIRTY_STAGES];
    const uint32_t clear16[2] = { flags[HL_MNNVL_CLEAR_BYTES] / 16, flags[HL_MNNVL_CLEAR_BYTES + 1] / 16 };
    mine = make_uint4(sanitise(mine.x), sanitise(mine.y), sanitise(mine.z), sanitise(mine.w));
    const uint32_t slots = current * per_buffer + token * ranks * row16 + i;
#pragma unroll
    for (int p = 0; p < ranks; p++)
        ((uint4 *)(call.workspace[p] + call.layout.buffers_at))[slots + call.rank * row16] = mine;
    __syncthreads();
    if (i == 0)
        asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(flags + HL_MNNVL_ARRIVED) : "memory");
    const uint4 empty = make_uint4(HL_SENTINEL, HL_SENTINEL, HL_SENTINEL, HL_SENTINEL);
    for (int stage = 0; stage < 2; stage++)
        for (uint32_t c = blockIdx.x * blockDim.x + i; stage < stages && c < clear16[stage];
             c += gridDim.x * blockDim.x)
            own[dirty * per_buffer + stage * (per_buffer / 2) + c] = empty;
    uint4 got[ranks];
    bool all;
    do {
        all = true;
#pragma unroll
        for (int p = 0; p < ranks; p++)
            got[p] = p == call.rank ? mine : load_volatile(&own[slots + p * row16]);
#pragma unroll
        for (int p = 0; p < ranks; p++)
            all &= got[p].x != HL_SENTINEL && got[p].y != HL_SENTINEL && got[p].z != HL_SENTINEL &&
                   got[p].w != HL_SENTINEL;
    } while (!all);
    float x[8] = {};
#pragma unroll
    for (int p = 0; p < ranks; p++)
        add(x, got[p]);
    add(x, residual);
    ((uint4 *)call.residual_out)[token * row16 + i] = pack(x);
    float squares = 0;
#pragma unroll
    for (int k = 0; k < 8; k++)
        squares += x[k] * x[k];
    const float scale = rsqrtf(block_sum(squares) * call.hidden_inverse + HL_RMS_EPSILON);
    float weights[8] = {};
    add(weights, gamma);
#pragma unroll
    for (int k = 0; k < 8; k++)
        x[k] *= scale * weights[k];
    ((uint4 *)call.norm_out)[token * row16 + i] = pack(x);
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
    if (blockIdx.x == 0 && i == 0) {
        while (*(volatile uint32_t *)(flags + HL_MNNVL_ARRIVED) < gridDim.x) {
        }
        flags[HL_MNNVL_CURRENT] = (current + 1) % 3;
        flags[HL_MNNVL_DIRTY] = current;
        flags[HL_MNNVL_DIRTY_STAGES] = 1;
        flags[HL_MNNVL_CLEAR_BYTES] = gridDim.x * ranks * row16 * 16;
        flags[HL_MNNVL_CLEAR_BYTES + 1] = 0;
        flags[HL_MNNVL_ARRIVED] = 0;
    }
}

/* What a launch alone takes: as many threads, which only wait for the kernel before them. */
__global__ void __launch_bounds__(512, 1) empty(const __grid_constant__ struct hl_cuda_call)
{
    asm volatile("griddepcontrol.wait;" ::: "memory");
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}

static cudaError_t launch(const struct hl_cuda_call *call, bool pdl, struct CUstream_st *stream,
                          void (*kernel)(const struct hl_cuda_call))
{
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(call->tokens);
    config.blockDim = dim3(call->layout.row_words / 4);
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = pdl;
    struct hl_cuda_call parameters = *call;
    parameters.hidden_inverse = 0.5f / (float)call->layout.row_words;
    return cudaLaunchKernelEx(&config, kernel, parameters);
}

int hl_twin_launch(const struct hl_cuda_call *call, bool pdl, struct CUstream_st *stream)
{
    switch (call->layout.ranks) {
    case 2: return launch(call, pdl, stream, twin<2>);
    case 4: return launch(call, pdl, stream, twin<4>);
    case 8: return launch(call, pdl, stream, twin<8>);
    default: return cudaErrorInvalidValue;
    }
}

int hl_empty_launch(const struct hl_cuda_call *call, bool pdl, struct CUstream_st *stream)
{
    return launch(call, pdl, stream, empty);
}

/* The filler kernel: a block a row, 16 bytes a thread and turn. Fresh rows differ in every execution, replays
 * of a graph too, so the count of executions lives on the device. */
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include "fill.h"

static __device__ __forceinline__ uint32_t hl_fresh_word(const struct hl_cuda_fill &fill, uint32_t execution,
                                                         uint32_t row, uint32_t word)
{
    if (fill.dtype == HL_FP32)
        return __float_as_uint(hl_fresh_64ths(fill.seed, execution, row, word) / 64.0f);
    const float low = hl_fresh_64ths(fill.seed, execution, row, 2 * word) / 64.0f;
    const float high = hl_fresh_64ths(fill.seed, execution, row, 2 * word + 1) / 64.0f;
    if (fill.dtype == HL_BF16)
        return __bfloat16_as_ushort(__float2bfloat16_rn(low)) |
               (uint32_t)__bfloat16_as_ushort(__float2bfloat16_rn(high)) << 16;
    return __half_as_ushort(__float2half_rn(low)) | (uint32_t)__half_as_ushort(__float2half_rn(high)) << 16;
}

/* The last block to come by counts the execution: all blocks have read the count by then. */
static __device__ __forceinline__ void hl_count_execution(uint32_t *executions)
{
    __syncthreads();
    if (threadIdx.x == 0 && atomicInc(&executions[1], gridDim.x - 1) == gridDim.x - 1)
        executions[0]++;
}

static __global__ void fill_rows(const __grid_constant__ struct hl_cuda_fill fill)
{
    asm volatile("griddepcontrol.wait;" ::: "memory");
    const uint32_t row = blockIdx.x;
    const uint32_t execution = fill.executions ? *(volatile uint32_t *)fill.executions : 0;
    for (uint32_t word = 4 * threadIdx.x; word < fill.row_words; word += 4 * blockDim.x) {
        const size_t at = (size_t)row * fill.row_words + word;
        *(uint4 *)(fill.output + at) = fill.source
                                           ? *(const uint4 *)(fill.source + at)
                                           : make_uint4(hl_fresh_word(fill, execution, row, word),
                                                        hl_fresh_word(fill, execution, row, word + 1),
                                                        hl_fresh_word(fill, execution, row, word + 2),
                                                        hl_fresh_word(fill, execution, row, word + 3));
    }
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
    if (fill.executions)
        hl_count_execution(fill.executions);
}

int hl_cuda_fill(const struct hl_cuda_fill *fill, struct CUstream_st *stream)
{
    if (fill->row_words % 4 || (!fill->source && !fill->executions))
        return cudaErrorInvalidValue;
    if (fill->rows == 0)
        return cudaSuccess;
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attribute.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(fill->rows);
    config.blockDim = dim3(256);
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = fill->pdl;
    return cudaLaunchKernelEx(&config, fill_rows, *fill);
}

/* Picks the kernel of a build, its grid and its launch attributes. */
#include "room.h"
#include "table.h"
#include <cuda_runtime_api.h>
#include <string.h>

/* One table per mutant and data type: kernels/cuda/steps.cu, built once for each. */
#define HL_TABLE_NAME(mutant, dtype) hl_cuda_table_##mutant##_##dtype
#define X(id) \
    extern const hl_cuda_table HL_TABLE_NAME(id, HL_BF16), HL_TABLE_NAME(id, HL_FP16), \
        HL_TABLE_NAME(id, HL_FP32);
HL_CUDA_MUTANTS(X)
#undef X
#define X(id) extern const hl_cuda_table HL_TABLE_NAME(id, HL_BF16);
HL_CUDA_BF16_MUTANTS(X)
#undef X

static const hl_cuda_table *const tables[HL_MUTANT_COUNT][HL_DTYPE_COUNT] = {
#define X(id) \
    [id] = { [HL_BF16] = &HL_TABLE_NAME(id, HL_BF16), \
             [HL_FP16] = &HL_TABLE_NAME(id, HL_FP16), \
             [HL_FP32] = &HL_TABLE_NAME(id, HL_FP32) },
    HL_CUDA_MUTANTS(X)
#undef X
#define X(id) [id] = { [HL_BF16] = &HL_TABLE_NAME(id, HL_BF16) },
        HL_CUDA_BF16_MUTANTS(X)
#undef X
};

bool hl_cuda_has_build(enum hl_mutant mutant, enum hl_dtype dtype, int ranks)
{
    return tables[mutant][dtype] && (mutant == HL_MUTANT_NONE || ranks <= 8);
}

static uint32_t hl_row_fragments(const struct hl_layout *layout)
{
    return layout->row_words / HL_CUDA_FRAGMENT_WORDS;
}

bool hl_cuda_layout_fits(const struct hl_layout *layout)
{
    return layout->row_words > 0 && layout->row_words % HL_CUDA_FRAGMENT_WORDS == 0 &&
           hl_row_fragments(layout) <= HL_CUDA_CLUSTER_MAX * HL_CUDA_THREADS_MAX;
}

uint32_t hl_cuda_blocks(const struct hl_layout *layout)
{
    uint32_t blocks = 1;
    while (blocks * HL_CUDA_THREADS_MAX < hl_row_fragments(layout))
        blocks *= 2;
    return blocks;
}

uint32_t hl_cuda_threads(const struct hl_layout *layout, uint32_t blocks)
{
    return hl_round_up(hl_div_up(hl_row_fragments(layout), blocks), 32);
}

/* Is this the common small call that has a build of its own? See table.h. */
static bool hl_is_straight(const struct hl_cuda_call *call, const struct hl_cuda_launch *launch,
                           uint32_t blocks)
{
    return blocks == 1 && launch->ctas == call->tokens &&
           hl_row_fragments(&call->layout) == hl_cuda_threads(&call->layout, blocks);
}

static uint32_t hl_launch_blocks(const struct hl_cuda_call *call, const struct hl_cuda_launch *launch)
{
    return launch->blocks ? launch->blocks : hl_cuda_blocks(&call->layout);
}

const void *hl_cuda_kernel(const struct hl_cuda_call *call, const struct hl_cuda_launch *launch)
{
    const int ranks = call->layout.ranks;
    const int size = ranks == 2 ? 0 : ranks == 4 ? 1 : ranks == 8 ? 2 : ranks == 16 ? 3 : -1;
    const bool straight = hl_is_straight(call, launch, hl_launch_blocks(call, launch));
    if (size < 0 || !tables[launch->mutant][call->layout.dtype])
        return NULL;
    const hl_cuda_table *clean = tables[HL_MUTANT_NONE][call->layout.dtype];
    const void *mutated =
        (*tables[launch->mutant][call->layout.dtype])[launch->kernel][launch->compare][straight][size];
    return mutated ? mutated : (*clean)[launch->kernel][launch->compare][straight][size];
}

/* A launch with its attributes; `attributes` is what `config` points to. */
struct hl_prepared {
    const void *kernel;
    cudaLaunchConfig_t config;
    cudaLaunchAttribute attributes[2];
};

static cudaError_t hl_prepare(const struct hl_cuda_call *call, const struct hl_cuda_launch *launch,
                              struct hl_prepared *p)
{
    const struct hl_layout *layout = &call->layout;
    const uint32_t blocks = hl_launch_blocks(call, launch);
    const uint32_t threads = hl_cuda_threads(layout, blocks);
    memset(p, 0, sizeof *p);
    p->kernel = hl_cuda_kernel(call, launch);
    if (!p->kernel || !hl_cuda_layout_fits(layout) || blocks > HL_CUDA_CLUSTER_MAX ||
        threads > HL_CUDA_THREADS_MAX)
        return cudaErrorInvalidValue;
    if (launch->ctas == 0 || call->tokens > layout->tokens_max || call->tokens + launch->ctas > UINT16_MAX)
        return cudaErrorInvalidValue;
    p->config.gridDim = (dim3){ launch->ctas * blocks, 1, 1 };
    p->config.blockDim = (dim3){ threads, 1, 1 };
    if (blocks > 1) {
        cudaLaunchAttribute *cluster = &p->attributes[p->config.numAttrs++];
        cluster->id = cudaLaunchAttributeClusterDimension;
        cluster->val.clusterDim.x = blocks;
        cluster->val.clusterDim.y = cluster->val.clusterDim.z = 1;
    }
    if (launch->pdl) {
        cudaLaunchAttribute *pdl = &p->attributes[p->config.numAttrs++];
        pdl->id = cudaLaunchAttributeProgrammaticStreamSerialization;
        pdl->val.programmaticStreamSerializationAllowed = 1;
    }
    p->config.attrs = p->attributes;
    return cudaSuccess;
}

int hl_cuda_launch(const struct hl_cuda_call *call, const struct hl_cuda_launch *launch,
                   struct CUstream_st *stream)
{
    struct hl_prepared p;
    const cudaError_t error = hl_prepare(call, launch, &p);
    if (error != cudaSuccess)
        return error;
    struct hl_cuda_call parameters = *call;
    parameters.hidden_inverse =
        (float)hl_dtype_bytes(call->layout.dtype) / (4.0f * (float)call->layout.row_words);
    p.config.stream = stream;
    void *arguments[] = { &parameters };
    return cudaLaunchKernelExC(&p.config, p.kernel, arguments);
}

int hl_cuda_load(const struct hl_cuda_call *call, const struct hl_cuda_launch *launch)
{
    struct hl_prepared p;
    struct cudaFuncAttributes attributes;
    const cudaError_t error = hl_prepare(call, launch, &p);
    return error != cudaSuccess ? error : cudaFuncGetAttributes(&attributes, p.kernel);
}

int hl_cuda_resident_ctas(const struct hl_cuda_call *call, const struct hl_cuda_launch *launch,
                          uint32_t *ret_ctas)
{
    struct hl_prepared p;
    int device, sms, count;
    cudaError_t error = hl_prepare(call, launch, &p);
    if (error != cudaSuccess)
        return error;
    const bool clustered = p.config.gridDim.x > launch->ctas;
    if (clustered)
        error = cudaOccupancyMaxActiveClusters(&count, p.kernel, &p.config);
    else
        error = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&count, p.kernel, (int)p.config.blockDim.x, 0);
    if (error == cudaSuccess)
        error = cudaGetDevice(&device);
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, device);
    if (error == cudaSuccess)
        *ret_ctas = (uint32_t)(clustered ? count : count * sms);
    return error;
}

/* The least shared memory but none that a multiprocessor can be set to (CUDA C++ Programming Guide, compute
 * capability 9.0). */
#define HL_LEAST_SHARED_BYTES 8192u

int hl_cuda_sure_ctas(const struct hl_cuda_call *call, const struct hl_cuda_launch *launch,
                      uint32_t *ret_ctas)
{
    struct hl_prepared p;
    struct cudaFuncAttributes attributes;
    int device, sms, reserved;
    uint32_t alone;
    cudaError_t error = hl_prepare(call, launch, &p);
    if (error == cudaSuccess)
        error = (cudaError_t)hl_cuda_resident_ctas(call, launch, &alone);
    if (error == cudaSuccess)
        error = cudaFuncGetAttributes(&attributes, p.kernel);
    if (error == cudaSuccess)
        error = cudaGetDevice(&device);
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, device);
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&reserved, cudaDevAttrReservedSharedMemoryPerBlock, device);
    if (error != cudaSuccess)
        return error;
    const uint32_t blocks = p.config.gridDim.x / launch->ctas; /* of a CTA: of a cluster */
    const uint32_t bytes = (uint32_t)attributes.sharedSizeBytes + (uint32_t)reserved;
    const uint32_t beside = HL_LEAST_SHARED_BYTES / bytes * (uint32_t)sms / blocks;
    *ret_ctas = alone < beside ? alone : beside;
    return cudaSuccess;
}

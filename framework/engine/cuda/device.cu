/* The engine's own kernels; see device.h.
 *
 * A kernel of several blocks ends with its last block: each takes a ticket when it is done, and the one with
 * the last ticket writes the mark and counts the execution. */
#include "device.h"

#define HL_BLOCK_THREADS 256
#define HL_BLOCKS_MAX 64 /* few, so that they find room beside kernels that spin */

static __device__ uint64_t hl_global_timer(void)
{
    uint64_t ns;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(ns));
    return ns;
}

static __device__ void hl_write_mark(const struct hl_mark_ring &ring, uint32_t what)
{
    const uint32_t index = atomicAdd_system(ring.taken, 1u);
    struct hl_mark *mark = &ring.marks[index % HL_MARKS];
    asm volatile("st.relaxed.sys.global.u64 [%0], %1;" ::"l"(&mark->time_ns), "l"(hl_global_timer())
                 : "memory");
    asm volatile("st.relaxed.sys.global.u32 [%0], %1;" ::"l"(&mark->what), "r"(what) : "memory");
    asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(&mark->number), "r"(index + 1) : "memory");
}

/* Is this the last block of the grid? Asked by every block at its end; true in one thread of one block. */
static __device__ bool hl_is_last(uint32_t *tickets)
{
    __threadfence_system();
    __syncthreads();
    if (threadIdx.x != 0)
        return false;
    const bool last = atomicInc(tickets, gridDim.x - 1) == gridDim.x - 1;
    __threadfence_system();
    return last;
}

static __device__ void hl_copy_rows(uint32_t *to, const uint32_t *from, uint32_t words)
{
    for (uint32_t i = (blockIdx.x * blockDim.x + threadIdx.x) * 4; i < words; i += gridDim.x * blockDim.x * 4)
        *(uint4 *)(to + i) = *(const uint4 *)(from + i);
}

/* Where the rows of this execution go, or NULL. */
static __device__ uint32_t *hl_copies_of(const struct hl_device_call &call)
{
    const uint32_t execution = *(volatile const uint32_t *)call.counter;
    const uint32_t at = execution < call.executions ? call.samples[execution] : UINT32_MAX;
    return at == UINT32_MAX ? NULL : call.copies + (size_t)at * 4;
}

static __global__ void hl_before_call(const __grid_constant__ struct hl_device_call call)
{
    const uint32_t words = call.tokens * call.row_words;
    const uint4 poison = make_uint4(0xfff1fff1u, 0xfff1fff1u, 0xfff1fff1u, 0xfff1fff1u);
    for (uint32_t i = (blockIdx.x * blockDim.x + threadIdx.x) * 4; i < words;
         i += gridDim.x * blockDim.x * 4) {
        *(uint4 *)(call.residual_out + i) = poison;
        *(uint4 *)(call.norm_out + i) = poison;
    }
    uint32_t *copies = hl_copies_of(call);
    if (copies)
        hl_copy_rows(copies, call.input, words);
    if (hl_is_last(call.counter + 1))
        hl_write_mark(call.ring, (uint32_t)HL_MARK_CALL_BEGIN << 30 | call.what);
}

static __global__ void hl_after_call(const __grid_constant__ struct hl_device_call call)
{
    const uint32_t words = call.tokens * call.row_words;
    uint32_t *copies = hl_copies_of(call);
    if (copies) {
        hl_copy_rows(copies + words, call.residual_out, words);
        hl_copy_rows(copies + 2 * (size_t)words, call.norm_out, words);
    }
    if (!hl_is_last(call.counter + 1))
        return;
    *call.counter += 1;
    hl_write_mark(call.ring, (uint32_t)HL_MARK_CALL_END << 30 | call.what);
}

static __device__ uint32_t hl_fill_word(const struct hl_device_fill &f,
                                        const struct hl_residue_words &residue, enum hl_tenant tenant,
                                        uint64_t x, uint32_t row, uint32_t i)
{
    switch (f.kind) {
    case HL_FILL_FRESH: return hl_ordinary_word(x, f.dtype, i);
    case HL_FILL_PATTERN: return hl_pattern_word(f.pattern, f.dtype, x, i, f.row_words);
    case HL_FILL_SOURCE: return f.source[(size_t)row * f.row_words + i];
    case HL_FILL_LEFTOVERS: return hl_tenant_word(tenant, x, i, f.row_words);
    default: return hl_residue_word(&residue, x, f.dtype, i);
    }
}

static __global__ void hl_fill_rows(const __grid_constant__ struct hl_device_fill f)
{
    const uint32_t turn = f.counter ? *(volatile uint32_t *)f.counter + 1 : f.turn;
    const enum hl_tenant tenant = hl_tenant_of(hl_row_seed(f.seed, f.who, turn, UINT32_MAX));
    for (uint32_t row = blockIdx.x; row < f.n_rows; row += gridDim.x) {
        const uint64_t x = hl_row_seed(f.seed, f.who, turn, row);
        struct hl_residue_words residue = { UINT32_MAX, 0, UINT32_MAX };
        if (f.kind == HL_FILL_RESIDUE)
            residue = hl_residue_draw(x, f.row_words, f.subnormal_rows, f.nan_rows);
        for (uint32_t i = threadIdx.x; i < f.row_words; i += blockDim.x)
            f.rows[(size_t)row * f.row_words + i] = hl_fill_word(f, residue, tenant, x, row, i);
    }
    if (f.counter && hl_is_last(f.counter + 1))
        *f.counter = turn;
}

static __global__ void hl_init_workspace(const __grid_constant__ struct hl_device_init init)
{
    const uint32_t gaps_at = init.buffers_at - init.gap;
    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < init.n_words; i += gridDim.x * blockDim.x)
        if (i < gaps_at)
            init.words[i] = i < HL_FLAG_WORDS ? init.flags[i] : 0;
        else if ((i - gaps_at) % (init.words_per_buffer + init.gap) >= init.gap)
            init.words[i] = init.sentinel;
    if (hl_is_last(init.counter))
        hl_write_mark(init.ring, (uint32_t)HL_MARK_INIT << 30 | init.what);
}

static __global__ void hl_clock(struct hl_mark_ring ring)
{
    hl_write_mark(ring, (uint32_t)HL_MARK_CLOCK << 30);
}

/* As many threads as a block may have, so that two of them leave a multiprocessor no room. */
#define HL_ROOM_THREADS 1024
static __global__ void __launch_bounds__(HL_ROOM_THREADS) hl_take_room(const uint32_t *abort_word)
{
    uint32_t aborted = threadIdx.x;
    while (aborted == 0) {
        __nanosleep(1000);
        asm volatile("ld.relaxed.sys.global.u32 %0, [%1];" : "=r"(aborted) : "l"(abort_word) : "memory");
    }
    __syncthreads();
}

/* Blocks for so many pieces of work. */
static uint32_t hl_blocks_for(uint64_t work)
{
    return work < 1 ? 1 : work > HL_BLOCKS_MAX ? HL_BLOCKS_MAX : (uint32_t)work;
}
static uint32_t hl_blocks_for_words(uint64_t words)
{
    return hl_blocks_for((words / 4 + HL_BLOCK_THREADS - 1) / HL_BLOCK_THREADS);
}

extern "C" int hl_device_before_call(const struct hl_device_call *call, struct CUstream_st *stream)
{
    const uint32_t blocks = hl_blocks_for_words((uint64_t)call->tokens * call->row_words);
    hl_before_call<<<blocks, HL_BLOCK_THREADS, 0, stream>>>(*call);
    return cudaGetLastError();
}

extern "C" int hl_device_after_call(const struct hl_device_call *call, struct CUstream_st *stream)
{
    const uint32_t blocks = hl_blocks_for_words((uint64_t)call->tokens * call->row_words);
    hl_after_call<<<blocks, HL_BLOCK_THREADS, 0, stream>>>(*call);
    return cudaGetLastError();
}

extern "C" int hl_device_fill(const struct hl_device_fill *fill, struct CUstream_st *stream)
{
    hl_fill_rows<<<hl_blocks_for(fill->n_rows), HL_BLOCK_THREADS, 0, stream>>>(*fill);
    return cudaGetLastError();
}

extern "C" int hl_device_init(const struct hl_device_init *init, struct CUstream_st *stream)
{
    hl_init_workspace<<<hl_blocks_for_words(init->n_words), HL_BLOCK_THREADS, 0, stream>>>(*init);
    return cudaGetLastError();
}

extern "C" int hl_device_clock(const struct hl_mark_ring *ring, struct CUstream_st *stream)
{
    hl_clock<<<1, 1, 0, stream>>>(*ring);
    return cudaGetLastError();
}

extern "C" int hl_device_take_room(const uint32_t *abort_word, uint32_t *ret_ctas, struct CUstream_st *stream)
{
    int device, sms, blocks;
    cudaError_t error = cudaGetDevice(&device);
    if (error == cudaSuccess)
        error = cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, device);
    if (error == cudaSuccess)
        error = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, hl_take_room, HL_ROOM_THREADS, 0);
    if (error != cudaSuccess)
        return error;
    *ret_ctas = (uint32_t)(sms * blocks);
    hl_take_room<<<*ret_ctas, HL_ROOM_THREADS, 0, stream>>>(abort_word);
    return cudaGetLastError();
}

extern "C" int hl_device_load(void)
{
    const void *const kernels[] = { (const void *)hl_before_call, (const void *)hl_after_call,
                                    (const void *)hl_fill_rows,   (const void *)hl_init_workspace,
                                    (const void *)hl_clock,       (const void *)hl_take_room };
    struct cudaFuncAttributes attributes;
    for (const void *kernel : kernels) {
        const cudaError_t error = cudaFuncGetAttributes(&attributes, kernel);
        if (error != cudaSuccess)
            return error;
    }
    return cudaSuccess;
}

/* Residual + RMSNorm of a row that a cluster of blocks holds in registers: the end of step_cuda.cuh.
 *
 * Each warp leaves the sum of its squares in the shared memory of every block of the cluster; after one
 * barrier each thread adds up all warps'. The two halves of that memory take turns, so that one barrier a
 * row is enough. */
#pragma once

#define HL_WARPS_MAX (HL_CUDA_THREADS_MAX / HL_WARP)

HL_STEP_INLINE float hl_warp_sum(float v)
{
    HL_UNROLL
    for (int mask = HL_WARP / 2; mask; mask /= 2)
        v += __shfl_xor_sync(0xffffffffu, v, mask);
    return v;
}

/* Stores to the same shared address of block `block` of the cluster. */
HL_STEP_INLINE void hl_store_in_cluster(float *to, uint32_t block, float v)
{
    const uint32_t here = (uint32_t)__cvta_generic_to_shared(to);
    asm volatile("{\n\t.reg .b32 there;\n\tmapa.shared::cluster.u32 there, %0, %1;\n\t"
                 "st.shared::cluster.f32 [there], %2;\n\t}" ::"r"(here),
                 "r"(block), "f"(v)
                 : "memory");
}

/* The sum of `v` over all threads of the CTA, in an order that does not depend on timing. */
HL_STEP_INLINE float hl_cta_sum(struct hl_cx *cx, float v)
{
    __shared__ float partials[2][HL_CUDA_CLUSTER_MAX * HL_WARPS_MAX];
    float *turn = partials[cx->sums_turn];
    const uint32_t warps = blockDim.x / HL_WARP, warp = threadIdx.x / HL_WARP, lane = threadIdx.x % HL_WARP;
    cx->sums_turn ^= 1;
    v = hl_warp_sum(v);
    if (cx->blocks > 1) {
        if (lane < cx->blocks)
            hl_store_in_cluster(&turn[cx->block * warps + warp], lane, v);
        hl_cluster_barrier();
    } else {
        if (lane == 0)
            turn[warp] = v;
        __syncthreads();
    }
    if (cx->blocks == 1) /* at most 16 warps */
        return hl_warp_sum(lane < warps ? turn[lane] : 0);
    float sum = 0;
    for (uint32_t i = lane; i < cx->blocks * warps; i += HL_WARP)
        sum += turn[i];
    return hl_warp_sum(sum);
}

/* Of a number that is no subnormal, as epsilon makes sure: rsqrtf() would first test for one. */
HL_STEP_INLINE float hl_rsqrt(float v)
{
    float r;
    asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(v));
    return r;
}

/* residual out = sum + residual; norm out = residual out / rms * gamma. */
HL_STEP_INLINE void hl_finish_row(struct hl_cx *cx, uint32_t token, struct hl_sums sums)
{
    const uint32_t at = hl_row_at(cx, token);
    float squares = 0;
    hl_prefetch_residual(cx, token);
    if (cx->has_fragment) {
        hl_add16(cx, &sums, cx->residual);
        *(uint4 *)(cx->call->residual_out + at) = hl_pack16(cx, sums);
        HL_UNROLL
        for (int i = 0; i < 8; i++)
            squares += sums.v[i] * sums.v[i];
    }
    const float scale = hl_rsqrt(hl_cta_sum(cx, squares) * cx->call->hidden_inverse + HL_RMS_EPSILON);
    if (!cx->has_fragment)
        return;
    const struct hl_sums gamma = hl_unpack16(cx, cx->gamma);
    HL_UNROLL
    for (int i = 0; i < 8; i++)
        sums.v[i] *= scale * gamma.v[i];
    *(uint4 *)(cx->call->norm_out + at) = hl_pack16(cx, sums);
}

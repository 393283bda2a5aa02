// Makes tests/recordings/cores/wait.core.gz: 4 blocks of 64 threads, of which 16 exit, block 3 gets past the wait.
#include <cuda_runtime.h>
#include <unistd.h>

extern "C" __global__ void wait_for_peer(volatile unsigned *flags)
{
    if (threadIdx.x >= 48)
        return;
    while (flags[blockIdx.x / 3] == 0) { // the wait
    }
    while (flags[2] == 0) { // past it
    }
}

int main(void)
{
    unsigned *flags, one = 1;
    cudaMalloc(&flags, 3 * sizeof *flags);
    cudaMemset(flags, 0, 3 * sizeof *flags);
    cudaMemcpy(flags + 1, &one, sizeof one, cudaMemcpyHostToDevice);
    wait_for_peer<<<4, 64>>>(flags);
    return cudaDeviceSynchronize() != cudaSuccess;
}

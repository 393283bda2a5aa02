// A program that hangs in FlashInfer's fused allreduces, to be watched. It has nothing of hanglab in it: only
// FlashInfer's headers, its kernels as they are, and a thread or a process for each rank, all on one GPU.
//
//   flashinfer_hang CASE [CALLS]
//   subnormal        mnnvl one-shot, 2 ranks; in call 37, word 17 of rank 0's token 3 is a negative subnormal
//   subnormal-graph  the same in a captured graph of 4 calls, from its replay 9 on (so in call 36)
//   skip             trtllm one-shot, 4 ranks; rank 2 leaves out call 37
//   skip-graph       the same, with graphs of 4 calls: rank 2 does not replay for the tenth time
//   skip-processes   as skip, in a process for each rank
//   healthy          both, without any of that
//
// Releases before 0.6.12 take such a subnormal for data that has not arrived (flashinfer#3304).
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flashinfer/comm/trtllm_mnnvl_allreduce.cuh>
#ifndef MNNVL_INCLUDES_TRTLLM // as it does from 0.6.13 on; the other one has no include guard
#include <flashinfer/comm/trtllm_allreduce_fusion.cuh>
#endif

namespace mnnvl = flashinfer::trtllm_mnnvl_allreduce;
namespace trtllm = flashinfer::trtllm_allreduce_fusion;

#define MUST(call) \
    do { \
        const cudaError_t error_ = (call); \
        if (error_ != cudaSuccess) { \
            fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(error_)); \
            exit(1); \
        } \
    } while (0)

namespace
{

constexpr int kHidden = 1024, kTokens = 4, kRanksMax = 4, kGraphCalls = 4;
constexpr int kWords = kHidden / 2; // of a row of bf16
constexpr size_t kBuffer = (size_t)kTokens * kRanksMax * kHidden * 2;

struct Rank {
    cudaStream_t stream;
    __nv_bfloat16 *input, *residual, *gamma, *residual_out, *norm_out;
    uint32_t *flags;
    void **table;
    void *comm, *barrier, *lamport;
};

Rank ranks[kRanksMax];
int n_ranks;
uint32_t *joins; // arrivals of all ranks, then calls of each

__global__ void fill(uint32_t *words, size_t n, uint32_t value)
{
    for (size_t i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        words[i] = value;
}

// One GPU cannot multicast to itself, so the ranks share one buffer; without a join a fast rank would clear
// what a slow one still reads.
__global__ void join(uint32_t *joins, int rank, uint32_t n)
{
    const uint32_t target = ++joins[1 + rank] * n;
    __threadfence();
    atomicAdd(joins, 1);
    while ((int32_t)(*(volatile uint32_t *)joins - target) < 0) {
    }
    __threadfence();
}

void *allocate(size_t bytes, uint32_t value)
{
    void *memory;
    MUST(cudaMalloc(&memory, bytes));
    fill<<<32, 256>>>((uint32_t *)memory, bytes / 4, value);
    return memory;
}

void copy_to(void *to, const void *from, size_t bytes)
{
    MUST(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice));
}

void make_rank(bool is_mnnvl, int r)
{
    const uint32_t one = 0x3f803f80u, sentinel = is_mnnvl ? 0x80000000u : 0x80008000u;
    const size_t rows = (size_t)kTokens * kHidden * 2;
    Rank &k = ranks[r];
    MUST(cudaStreamCreateWithFlags(&k.stream, cudaStreamNonBlocking));
    for (__nv_bfloat16 **rows_of : { &k.input, &k.residual, &k.residual_out, &k.norm_out })
        *rows_of = (__nv_bfloat16 *)allocate(rows, one);
    k.gamma = (__nv_bfloat16 *)allocate(kHidden * 2, one);
    k.comm = allocate(2 * rows, 0);
    k.barrier = allocate(256 * 4 * n_ranks, 0);
    k.lamport = allocate(3 * kBuffer, sentinel);
    const uint32_t of_mnnvl[9] = { 0, 2, kBuffer }, of_trtllm[9] = { 0, 0, 0, kBuffer };
    k.flags = (uint32_t *)allocate(64, 0);
    copy_to(k.flags, is_mnnvl ? of_mnnvl : of_trtllm, sizeof of_mnnvl);
    k.table = (void **)allocate(sizeof(void *) * (3 * kRanksMax + 1), 0);
}

// Once the addresses of all ranks are known.
void make_table(bool is_mnnvl, int r)
{
    std::vector<void *> table;
    for (int p = 0; p < n_ranks; p++)
        table.push_back(is_mnnvl ? ranks[0].lamport : ranks[p].comm);
    for (int p = 0; p < n_ranks; p++)
        table.push_back(ranks[p].barrier);
    for (int p = 0; p < n_ranks; p++)
        table.push_back(ranks[p].lamport);
    table.push_back(ranks[r].flags);
    copy_to(ranks[r].table, table.data(), table.size() * sizeof(void *));
    MUST(cudaDeviceSynchronize());
}

void call_mnnvl(int r)
{
    const Rank &k = ranks[r];
    mnnvl::AllReduceFusionParams p = {};
    p.nRanks = n_ranks;
    p.rank = r;
    p.numTokens = kTokens;
    p.tokenDim = kHidden;
    p.bufferPtrsDev = k.table;
    p.bufferPtrLocal = ranks[0].lamport;
    p.multicastPtr = ranks[0].lamport;
    p.bufferFlags = k.flags;
    p.rmsNormFusion = true;
    p.input = k.input;
    p.residualIn = k.residual;
    p.gamma = k.gamma;
    p.epsilon = 1e-5;
    p.residualOut = k.residual_out;
    p.output = k.norm_out;
    p.stream = k.stream;
    join<<<1, 1, 0, k.stream>>>(joins, r, n_ranks);
    MUST(mnnvl::oneshotAllreduceFusionDispatch<__nv_bfloat16>(p));
}

void call_trtllm(int r)
{
    const Rank &k = ranks[r];
    trtllm::AllReduceFusionParams<__nv_bfloat16> p = {};
    p.nranks = n_ranks;
    p.rank = r;
    p.size = kTokens * kHidden;
    p.hidden_dim = kHidden;
    p.workspace = k.table;
    p.allreduce_in = k.input;
    p.residual_in = k.residual;
    p.residual_out = k.residual_out;
    p.norm_out = k.norm_out;
    p.rms_gamma = k.gamma;
    p.rms_eps = 1e-5f;
    p.use_oneshot = true;
    p.stream = k.stream;
    p.pattern = trtllm::AllReduceFusionPattern::kARResidualRMSNorm;
    p.trigger_completion_at_end = true;
    MUST((trtllm::allreduce_fusion_kernel_launcher<trtllm::AllReduceFusionPattern::kARResidualRMSNorm,
                                                   __nv_bfloat16, 4, false>(p, false)));
}

struct Case {
    bool is_mnnvl, graph, subnormal, skip;
    int calls;
};

cudaGraphExec_t capture(const Case &c, int r)
{
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    MUST(cudaStreamBeginCapture(ranks[r].stream, cudaStreamCaptureModeThreadLocal));
    for (int i = 0; i < kGraphCalls; i++)
        c.is_mnnvl ? call_mnnvl(r) : call_trtllm(r);
    MUST(cudaStreamEndCapture(ranks[r].stream, &graph));
    MUST(cudaGraphInstantiate(&exec, graph, 0));
    return exec;
}

void poison(int r)
{
    static uint32_t word = 0x80010000u; // bf16 +0 and a negative subnormal
    uint32_t *row = (uint32_t *)ranks[r].input + 3 * kWords;
    fill<<<1, 1, 0, ranks[r].stream>>>(row + 17, 1, word);
}

void run(const Case &c, int r, cudaGraphExec_t exec)
{
    const int step = c.graph ? kGraphCalls : 1;
    const int bad = 37 / step * step;
    for (int call = 0; call < c.calls; call += step) {
        if (c.subnormal && r == 0 && call == bad)
            poison(r);
        if (c.skip && r == 2 && call == bad)
            continue;
        if (c.graph)
            MUST(cudaGraphLaunch(exec, ranks[r].stream));
        else
            c.is_mnnvl ? call_mnnvl(r) : call_trtllm(r);
        if (call % 8 == 0)
            MUST(cudaStreamSynchronize(ranks[r].stream));
    }
    MUST(cudaStreamSynchronize(ranks[r].stream));
}

void run_threads(const Case &c)
{
    n_ranks = c.is_mnnvl ? 2 : 4;
    joins = (uint32_t *)allocate(4 * (1 + kRanksMax), 0);
    for (int r = 0; r < n_ranks; r++)
        make_rank(c.is_mnnvl, r);
    for (int r = 0; r < n_ranks; r++)
        make_table(c.is_mnnvl, r);
    std::vector<cudaGraphExec_t> execs(n_ranks);
    std::vector<std::thread> threads;
    for (int r = 0; r < n_ranks && c.graph; r++)
        execs[r] = capture(c, r);
    for (int r = 0; r < n_ranks; r++)
        threads.emplace_back(run, c, r, execs[r]);
    for (std::thread &thread : threads)
        thread.join();
}

struct Shared {
    pthread_barrier_t barrier;
    cudaIpcMemHandle_t handles[kRanksMax][3];
};

void run_process(const Case &c, int r, Shared *shared)
{
    Rank &own = ranks[r];
    make_rank(false, r);
    MUST(cudaIpcGetMemHandle(&shared->handles[r][0], own.comm));
    MUST(cudaIpcGetMemHandle(&shared->handles[r][1], own.barrier));
    MUST(cudaIpcGetMemHandle(&shared->handles[r][2], own.lamport));
    MUST(cudaDeviceSynchronize());
    pthread_barrier_wait(&shared->barrier);
    for (int p = 0; p < n_ranks; p++) {
        void **places[] = { &ranks[p].comm, &ranks[p].barrier, &ranks[p].lamport };
        for (int i = 0; i < 3 && p != r; i++)
            MUST(cudaIpcOpenMemHandle(places[i], shared->handles[p][i], cudaIpcMemLazyEnablePeerAccess));
    }
    make_table(false, r);
    pthread_barrier_wait(&shared->barrier);
    run(c, r, nullptr);
    pthread_barrier_wait(&shared->barrier); // nobody goes while others use its memory
}

int run_processes(const Case &c)
{
    n_ranks = 4;
    Shared *shared = (Shared *)mmap(nullptr, sizeof *shared, PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_barrierattr_t attributes;
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&shared->barrier, &attributes, n_ranks);
    for (int r = 0; r < n_ranks; r++) {
        const std::string rank = std::to_string(r);
        setenv("RANK", rank.c_str(), 1);
        if (fork() == 0) {
            run_process(c, r, shared);
            exit(0);
        }
    }
    int status, failed = 0;
    while (wait(&status) > 0)
        failed |= status;
    return failed ? 1 : 0;
}

} // namespace

int main(int argc, char **argv)
{
    const std::string name = argc > 1 ? argv[1] : "";
    const int calls = argc > 2 ? atoi(argv[2]) : 100;
    const bool graph = name.find("-graph") != std::string::npos;
    setenv("CUDA_MODULE_LOADING", "EAGER", 1); // a kernel that is loaded late waits for those that spin
    if (name == "healthy") {
        for (int i = 0; i < 4; i++)
            run_threads({ i % 2 == 0, i > 1, false, false, calls });
    } else if (name == "subnormal" || name == "subnormal-graph") {
        run_threads({ true, graph, true, false, calls });
    } else if (name == "skip" || name == "skip-graph") {
        run_threads({ false, graph, false, true, calls });
    } else if (name == "skip-processes") {
        if (run_processes({ false, false, false, true, calls }))
            return 1;
    } else {
        fprintf(stderr,
                "usage: flashinfer_hang subnormal[-graph]|skip[-graph]|skip-processes|healthy [CALLS]\n");
        return 64;
    }
    puts("all calls have ended");
    return 0;
}

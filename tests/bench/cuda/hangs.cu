// What bench_watch watches: an ordinary CUDA program with nothing of hanglab in it. It stands still in
// several ways and goes on once it has been told, or it only works, and says how long that took.
//
//   hangs stuck HOW [N [FOLDER]]   N times: stand still until FOLDER/<n>/verdict.json is there; print how
//                                  long that was after the first launch, in ms. HOW all: each way in turn.
//                                  Without FOLDER: stand still for ever
//   hangs work -                   a line with graph, eager or long on standard input: such kernels;
//                                  print us a kernel, the fastest of five rounds
//   hangs slow|sleep|resume|crowd SECONDS
//
// HOW: graph, direct, queue, event; peer takes two GPUs: one waits for the other's kernel, which waits.
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "pin.h"

#define CHECK(call) \
    do { \
        const cudaError_t error_ = (call); \
        if (error_ != cudaSuccess) { \
            fprintf(stderr, "%s: %s\n", #call, cudaGetErrorString(error_)); \
            exit(3); \
        } \
    } while (0)

__global__ void work(float *x) { x[threadIdx.x] = x[threadIdx.x] * 1.5f + 1.0f; }

__global__ void wait_for_peer(volatile int *flag)
{
    while (*flag == 0) {
    }
}

__global__ void busy(long long cycles)
{
    const long long start = clock64();
    while (clock64() - start < cycles) {
    }
}

static float *x;
static volatile int *flag;
static int *device_flag;
static cudaStream_t stream, other;
static cudaGraphExec_t exec;

static double now_ms()
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static void set_up()
{
    int *host;
    cudaGraph_t graph;
    CHECK(cudaMalloc(&x, 4096));
    CHECK(cudaHostAlloc(&host, 4, cudaHostAllocMapped));
    CHECK(cudaHostGetDevicePointer(&device_flag, host, 0));
    flag = host;
    *flag = 1;
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    CHECK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    for (int i = 0; i < 3; i++)
        work<<<1, 32, 0, stream>>>(x);
    wait_for_peer<<<4, 64, 0, stream>>>(device_flag);
    work<<<2, 32, 0, stream>>>(x);
    CHECK(cudaStreamEndCapture(stream, &graph));
    CHECK(cudaGraphInstantiate(&exec, graph, 0));
    for (int i = 0; i < 20; i++) {
        CHECK(cudaGraphLaunch(exec, stream));
        work<<<1, 32, 0, other>>>(x);
        wait_for_peer<<<1, 32, 0, other>>>(device_flag);
    }
    CHECK(cudaDeviceSynchronize());
}

__global__ void release_peer(volatile int *flag)
{
    *flag = 1;
    __threadfence_system();
}

static cudaStream_t second; // of GPU 1
static int *peer_flag;      // on GPU 0

static void set_up_peer()
{
    cudaFuncAttributes attributes; // loads the kernels, which later may have to wait for one that spins
    CHECK(cudaMalloc(&peer_flag, 4));
    CHECK(cudaSetDevice(1));
    CHECK(cudaDeviceEnablePeerAccess(0, 0));
    CHECK(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
    CHECK(cudaFuncGetAttributes(&attributes, wait_for_peer));
    CHECK(cudaFuncGetAttributes(&attributes, release_peer));
    CHECK(cudaSetDevice(0));
}

// A kernel of GPU 0 waits for a store of GPU 1, whose kernel does not come to it.
static void stand_still_between_gpus()
{
    CHECK(cudaMemsetAsync(peer_flag, 0, 4, stream));
    CHECK(cudaStreamSynchronize(stream));
    wait_for_peer<<<4, 64, 0, stream>>>(peer_flag);
    work<<<1, 32, 0, stream>>>(x);
    CHECK(cudaSetDevice(1));
    wait_for_peer<<<4, 64, 0, second>>>(device_flag);
    release_peer<<<1, 1, 0, second>>>(peer_flag);
    CHECK(cudaSetDevice(0));
}

// Work that does not end, and the way in which the host waits for it; false: the host is to come back.
static void stand_still(const char *how)
{
    if (!strcmp(how, "graph")) {
        CHECK(cudaGraphLaunch(exec, stream));
    } else if (!strcmp(how, "direct")) {
        work<<<1, 32, 0, stream>>>(x);
        wait_for_peer<<<4, 64, 0, stream>>>(device_flag);
        work<<<1, 32, 0, stream>>>(x);
    } else if (!strcmp(how, "queue")) { // many launches wait behind it
        wait_for_peer<<<4, 64, 0, stream>>>(device_flag);
        for (int i = 0; i < 500; i++)
            work<<<1, 32, 0, stream>>>(x);
    } else if (!strcmp(how, "event")) { // the stream waits for another one's work
        cudaEvent_t event;
        CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
        wait_for_peer<<<4, 64, 0, other>>>(device_flag);
        CHECK(cudaEventRecord(event, other));
        CHECK(cudaStreamWaitEvent(stream, event, 0));
        CHECK(cudaEventDestroy(event));
        work<<<1, 32, 0, stream>>>(x);
    } else if (!strcmp(how, "peer")) {
        stand_still_between_gpus();
    } else {
        fprintf(stderr, "no way to stand still is called %s\n", how);
        exit(64);
    }
}

// The number of a file in its file system, which changes when the file is replaced; 0: there is none.
static ino_t inode_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_ino : 0;
}

// Until the file is another one than `former`; false: not within `limit_ms`.
static bool wait_for_change(const char *path, ino_t former, double limit_ms)
{
    const double start_ms = now_ms();
    while (inode_of(path) == former) {
        if (now_ms() - start_ms > limit_ms)
            return false;
        usleep(200);
    }
    return true;
}

static void stuck(const char *how, int n, const char *folder)
{
    static const char *const ways[] = { "graph", "direct", "queue", "event" };
    char path[512];
    int first = 0; // setting up may already have been reported
    if (!strcmp(how, "peer"))
        set_up_peer();
    for (; folder; first++) {
        snprintf(path, sizeof path, "%s/%d/verdict.json", folder, first);
        if (!inode_of(path))
            break;
    }
    for (int i = 0; i < n; i++) {
        const char *way = strcmp(how, "all") ? how : ways[i % 4];
        *flag = 0;
        const double start_ms = now_ms();
        stand_still(way);
        if (!folder) {
            CHECK(cudaDeviceSynchronize());
            continue;
        }
        snprintf(path, sizeof path, "%s/%d/verdict.json", folder, first + i);
        const bool seen = wait_for_change(path, 0, 5000);
        const double took_ms = now_ms() - start_ms;
        const ino_t bundle = inode_of(path);
        *flag = 1;
        CHECK(cudaDeviceSynchronize());
        if (!seen)
            fprintf(stderr, "hang %d (%s) was not reported\n", i, way);
        else if (!wait_for_change(path, bundle, 1000)) // once it goes on, the bundle says so
            fprintf(stderr, "hang %d (%s) was not amended\n", i, way);
        printf("%s %.3f\n", way, seen ? took_ms : -1);
        fflush(stdout);
    }
}

// A round: kernels of 2.7 us in graphs; of 1 us, which is less than a launch takes; of 11 us, which is more.
static double round_of_work(const char *how, cudaGraphExec_t many)
{
    const bool longer = !strcmp(how, "long");
    const long long cycles = longer ? 20000 : 500;
    const int hundreds = longer ? 5 : 20;
    const double start_ms = now_ms();
    for (int i = 0; i < hundreds; i++)
        if (!strcmp(how, "graph"))
            CHECK(cudaGraphLaunch(many, stream));
        else
            for (int k = 0; k < 100; k++)
                busy<<<1, 32, 0, stream>>>(cycles);
    CHECK(cudaStreamSynchronize(stream));
    return (now_ms() - start_ms) * 10 / hundreds;
}

static void do_work()
{
    char how[16];
    cudaGraph_t graph;
    cudaGraphExec_t many;
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    for (int i = 0; i < 100; i++)
        busy<<<1, 32, 0, stream>>>(4000);
    CHECK(cudaStreamEndCapture(stream, &graph));
    CHECK(cudaGraphInstantiate(&many, graph, 0));
    hl_pin_to_last_core();
    printf("ready\n");
    fflush(stdout);
    while (scanf("%15s", how) == 1) {
        double fastest_us = 1e9;
        for (int i = 0; i < 5; i++) {
            const double us = round_of_work(how, many);
            fastest_us = us < fastest_us ? us : fastest_us;
        }
        printf("%.4f\n", fastest_us);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "", *how = argc > 2 ? argv[2] : "";
    const double seconds = atof(how);
    set_up();
    if (!strcmp(what, "stuck")) {
        stuck(how, argc > 3 ? atoi(argv[3]) : 1, argc > 4 ? argv[4] : NULL);
    } else if (!strcmp(what, "work")) {
        do_work();
    } else if (!strcmp(what, "slow")) { // kernels of 0.1 s each
        for (int i = 0; i < (int)(seconds * 10); i++)
            busy<<<1, 1, 0, stream>>>(170000000);
        CHECK(cudaStreamSynchronize(stream));
    } else if (!strcmp(what, "crowd")) { // kernels that fill the GPU, one behind the other
        const double end_ms = now_ms() + seconds * 1e3;
        int multiprocessors;
        CHECK(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0));
        while (now_ms() < end_ms) {
            busy<<<2 * multiprocessors, 1024, 0, stream>>>(17000000);
            CHECK(cudaStreamSynchronize(stream));
        }
    } else if (!strcmp(what, "sleep")) { // the host pauses, and nothing is pending
        usleep((useconds_t)(seconds * 1e6));
        CHECK(cudaGraphLaunch(exec, stream));
        CHECK(cudaStreamSynchronize(stream));
    } else if (!strcmp(what, "resume")) { // stands still, and then goes on
        *flag = 0;
        CHECK(cudaGraphLaunch(exec, stream));
        usleep((useconds_t)(seconds * 1e6));
        *flag = 1;
        CHECK(cudaStreamSynchronize(stream));
    } else {
        fprintf(stderr, "what is to be done?\n");
        return 64;
    }
    return 0;
}

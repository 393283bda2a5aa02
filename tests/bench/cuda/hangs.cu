// What bench_watch watches: an ordinary CUDA program with nothing of hanglab in it. It stands still in
// several ways and goes on once it has been told, or it only works, and says how long that took.
//
//   hangs stuck HOW [N [FOLDER]]   N times: stand still until FOLDER/<n>/verdict.json is there; print how
//   long
//                                  that was after the last launch, in ms. Without FOLDER: stand still for
//                                  ever
//   hangs work eager|graph ROUNDS  ROUNDS of 2000 kernels of about 3 us; print the fastest, in us a kernel
//   hangs slow|sleep|resume SECONDS
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

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
    } else {
        fprintf(stderr, "no way to stand still is called %s\n", how);
        exit(64);
    }
}

static void stuck(const char *how, int n, const char *folder)
{
    for (int i = 0; i < n; i++) {
        char path[512];
        *flag = 0;
        const double start_ms = now_ms();
        stand_still(how);
        if (!folder) {
            CHECK(cudaDeviceSynchronize());
            continue;
        }
        snprintf(path, sizeof path, "%s/%d/verdict.json", folder, i);
        while (access(path, F_OK) != 0 && now_ms() - start_ms < 5000)
            usleep(200);
        printf("%.3f\n", now_ms() - start_ms);
        fflush(stdout);
        *flag = 1;
        CHECK(cudaDeviceSynchronize());
        usleep(30000); // the watchdog sees it go on
    }
}

static double round_of_work(const char *how, cudaGraphExec_t many)
{
    const double start_ms = now_ms();
    for (int i = 0; i < 20; i++)
        if (!strcmp(how, "graph"))
            CHECK(cudaGraphLaunch(many, stream));
        else
            for (int k = 0; k < 100; k++)
                busy<<<1, 32, 0, stream>>>(4000);
    CHECK(cudaStreamSynchronize(stream));
    return (now_ms() - start_ms) * 1e3 / 2000;
}

static void do_work(const char *how, int rounds)
{
    double best = 1e9;
    cudaGraph_t graph;
    cudaGraphExec_t many;
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    for (int i = 0; i < 100; i++)
        busy<<<1, 32, 0, stream>>>(4000);
    CHECK(cudaStreamEndCapture(stream, &graph));
    CHECK(cudaGraphInstantiate(&many, graph, 0));
    for (int i = 0; i < rounds; i++) {
        const double us = round_of_work(how, many);
        best = us < best ? us : best;
    }
    printf("%.4f\n", best);
}

int main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "", *how = argc > 2 ? argv[2] : "";
    const double seconds = atof(how);
    set_up();
    if (!strcmp(what, "stuck")) {
        stuck(how, argc > 3 ? atoi(argv[3]) : 1, argc > 4 ? argv[4] : NULL);
    } else if (!strcmp(what, "work")) {
        do_work(how, argc > 3 ? atoi(argv[3]) : 10);
    } else if (!strcmp(what, "slow")) { // kernels of 0.1 s each
        for (int i = 0; i < (int)(seconds * 10); i++)
            busy<<<1, 1, 0, stream>>>(170000000);
        CHECK(cudaStreamSynchronize(stream));
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

/* A CUDA program that links no driver: it asks for the driver's functions as the CUDA runtime does. It
 * launches kernels that end, captures one (which runs nothing), launches a graph, and waits for what never
 * ends. */
#include <cuda.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STREAM ((CUstream)0x2000)

static __typeof__(cuGetProcAddress) *get_address;
static __typeof__(cuLaunchKernel) *launch;
static __typeof__(cuGraphLaunch) *launch_graph;
static __typeof__(cuStreamSynchronize) *synchronize;
static __typeof__(cuStreamBeginCapture) *begin;
static __typeof__(cuStreamEndCapture) *end;

/* This program's own: what RTLD_NEXT finds from here is the C library's. */
int puts(const char *text)
{
    (void)text;
    return -7;
}

static void check_next(void)
{
    int (*next)(const char *);
    void *symbol = dlsym(RTLD_NEXT, "puts");
    memcpy(&next, &symbol, sizeof next);
    if (!next || next == puts) {
        fputs("RTLD_NEXT means something else here\n", stderr);
        exit(91);
    }
}

static void need(void *symbol, void *to)
{
    if (!symbol) {
        fprintf(stderr, "%s\n", dlerror());
        exit(90);
    }
    memcpy(to, &symbol, sizeof symbol);
}

static void ask(const char *name, cuuint64_t flags, void *to)
{
    void *symbol = NULL;
    get_address(name, &symbol, 13000, flags, NULL);
    need(symbol, to);
}

int main(int argc, char **argv)
{
    check_next();
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    _Atomic uint64_t *ended;
    __typeof__(cuInit) *initialise;
    need(driver, &driver);
    need(dlsym(driver, "cuInit"), &initialise);
    need(dlsym(driver, "hl_fake_ended"), &ended);
    need(dlsym(driver, "cuGetProcAddress_v2"), &get_address);
    need(dlsym(driver, "cuStreamBeginCapture_v2"), &begin);
    need(dlsym(driver, "cuStreamEndCapture"), &end);
    ask("cuLaunchKernel", 0, &launch);
    ask("cuGraphLaunch", 0, &launch_graph);
    ask("cuStreamSynchronize", CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM, &synchronize);
    if (initialise(0) != CUDA_SUCCESS)
        return 92;
    const CUfunction work = (CUfunction)(uintptr_t) "work", wait = (CUfunction)(uintptr_t) "wait_for_peer";
    for (int i = 0; i < 100; i++)
        launch(work, 3, 1, 1, 32, 1, 1, 0, STREAM, NULL, NULL);
    atomic_store(ended, 100);
    CUgraph graph;
    begin(STREAM, CU_STREAM_CAPTURE_MODE_GLOBAL);
    launch(work, 3, 1, 1, 32, 1, 1, 0, STREAM, NULL, NULL);
    end(STREAM, &graph);
    usleep(100000);
    launch_graph((CUgraphExec)2, STREAM);
    atomic_store(ended, 101);
    if (argc > 1 && strcmp(argv[1], "ends") == 0)
        return synchronize(STREAM) == CUDA_SUCCESS ? 4 : 5;
    launch(wait, 4, 1, 1, 64, 1, 1, 0, STREAM, NULL, NULL);
    synchronize(STREAM);
    return 0;
}

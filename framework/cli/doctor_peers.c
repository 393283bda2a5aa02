/* The doctor's checks of what several ranks need: GPUs that reach each other, and NCCL. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include "doctor.h"

/* What the CUDA driver says of pairs of GPUs. */
struct peers {
    int gpus, pairs, reaching;
};

static void survey_peers(void *answer)
{
    struct peers *peers = answer;
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return;
    int (*init)(unsigned) = (int (*)(unsigned))dlsym(library, "cuInit");
    int (*get_count)(int *) = (int (*)(int *))dlsym(library, "cuDeviceGetCount");
    int (*can_access)(int *, int, int) = (int (*)(int *, int, int))dlsym(library, "cuDeviceCanAccessPeer");
    if (init == NULL || get_count == NULL || can_access == NULL || init(0) != 0 ||
        get_count(&peers->gpus) != 0)
        return;
    for (int a = 0; a < peers->gpus; a++)
        for (int b = 0; b < peers->gpus; b++) {
            int reaches = 0;
            if (a == b)
                continue;
            peers->pairs++;
            peers->reaching += can_access(&reaches, a, b) == 0 && reaches;
        }
}

enum hl_status hl_check_peers(const char *out_dir, struct hl_check_row *row, struct hl_error *error)
{
    (void)out_dir, (void)error;
    struct peers peers;
    if (hl_ask_in_child(survey_peers, &peers, sizeof(peers)) != 1 || peers.gpus == 0)
        hl_check_row_set(row, HL_HEALTH_MISSING, "no ranks on GPUs of their own", "no GPU answers");
    else if (peers.pairs == 0)
        hl_check_row_set(row, HL_HEALTH_NOTE,
                         "ranks share it (world.gpus: 1); cases that want more GPUs are skipped", "1 GPU");
    else if (peers.reaching < peers.pairs)
        hl_check_row_set(row, HL_HEALTH_NOTE,
                         "ranks on the other pairs cannot run: their workspaces must be one address away",
                         "%d of %d ordered pairs of GPUs reach each other's memory", peers.reaching,
                         peers.pairs);
    else
        hl_check_row_set(row, HL_HEALTH_OK, "a rank on each GPU works: world.gpus, or placement: process",
                         "%d GPUs, and each reaches the others' memory", peers.gpus);
    return HL_STATUS_OK;
}

struct nccl {
    char path[200]; /* "": none */
    int version;    /* 0: it does not say */
};

static void load_nccl(void *answer)
{
    struct nccl *nccl = answer;
    const char *path = getenv("HANGLAB_NCCL");
    path = path != NULL && *path != '\0' ? path : "libnccl.so.2";
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return;
    snprintf(nccl->path, sizeof(nccl->path), "%s", path);
    int (*get_version)(int *) = (int (*)(int *))dlsym(library, "ncclGetVersion");
    if (get_version == NULL || get_version(&nccl->version) != 0)
        nccl->version = 0;
}

enum hl_status hl_check_nccl(const char *out_dir, struct hl_check_row *row, struct hl_error *error)
{
    (void)out_dir, (void)error;
    struct nccl nccl;
    if (hl_ask_in_child(load_nccl, &nccl, sizeof(nccl)) != 1 || nccl.path[0] == '\0')
        hl_check_row_set(row, HL_HEALTH_NOTE,
                         "subject.backend: nccl is skipped on a GPU; HANGLAB_NCCL may name the library",
                         "no libnccl.so.2 on the library path");
    else
        hl_check_row_set(row, HL_HEALTH_OK,
                         "subject.backend: nccl runs where there is a GPU for each rank (NCCL_NVLS_ENABLE=0)",
                         "%s, version %d.%d.%d", nccl.path, nccl.version / 10000, nccl.version / 100 % 100,
                         nccl.version % 100);
    return HL_STATUS_OK;
}

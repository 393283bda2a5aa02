/* Claims in shared memory, rings of paths in the supervisor's own. */
#include "keeper.h"
#include <ftw.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <time.h>

#define CLAIMS 4096 /* signatures; those beyond have no bundles */
#define PAUSE_MS 1000
#define FREE_BYTES_MIN ((uint64_t)512 << 20) /* stay for the results themselves */

struct claim {
    _Atomic uint64_t signature; /* 0: free */
    _Atomic uint64_t written_ms;
};

struct shared {
    _Atomic bool full;
    struct claim claims[CLAIMS];
};

struct kept {
    char **ring; /* the newest; the first bundle is not in it */
    int count, next;
    bool has_first;
};

struct hl_keeper {
    struct shared *shared;
    const char *folder;
    uint64_t bytes, bytes_max;
    int newest;
    struct kept *kept; /* by signature */
    int n_kept;
};

struct hl_keeper *hl_keeper_create(const char *folder, uint64_t bytes_max, int newest)
{
    struct hl_keeper *keeper = calloc(1, sizeof *keeper);
    if (!keeper)
        return NULL;
    keeper->folder = folder;
    keeper->bytes_max = bytes_max;
    keeper->newest = newest;
    keeper->shared =
        mmap(NULL, sizeof *keeper->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (keeper->shared != MAP_FAILED)
        return keeper;
    free(keeper);
    return NULL;
}

void hl_keeper_destroy(struct hl_keeper *keeper)
{
    for (int i = 0; i < keeper->n_kept; i++) {
        for (int k = 0; k < keeper->kept[i].count; k++)
            free(keeper->kept[i].ring[k]);
        free(keeper->kept[i].ring);
    }
    free(keeper->kept);
    munmap(keeper->shared, sizeof *keeper->shared);
    free(keeper);
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000 + 1;
}

bool hl_keeper_wants(struct hl_keeper *keeper, uint64_t signature)
{
    signature |= signature == 0;
    if (atomic_load(&keeper->shared->full))
        return false;
    for (size_t probe = 0; probe < CLAIMS; probe++) {
        struct claim *claim = &keeper->shared->claims[(signature + probe) % CLAIMS];
        uint64_t owner = 0;
        if (!atomic_compare_exchange_strong(&claim->signature, &owner, signature) && owner != signature)
            continue;
        uint64_t written = atomic_load(&claim->written_ms);
        const uint64_t now = now_ms();
        return (written == 0 || now - written >= PAUSE_MS) &&
               atomic_compare_exchange_strong(&claim->written_ms, &written, now);
    }
    return false;
}

bool hl_keeper_is_full(const struct hl_keeper *keeper) { return atomic_load(&keeper->shared->full); }

static __thread uint64_t counted_bytes; /* nftw() hands no context on */

static int count_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)path;
    (void)type;
    (void)ftw;
    counted_bytes += (uint64_t)st->st_blocks * 512;
    return 0;
}

static uint64_t bytes_of(const struct hl_keeper *keeper, const char *bundle)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", keeper->folder, bundle) >= (int)sizeof path)
        return 0;
    counted_bytes = 0;
    nftw(path, count_file, 16, FTW_PHYS);
    return counted_bytes;
}

static struct kept *kept_of(struct hl_keeper *keeper, int signature)
{
    if (signature >= keeper->n_kept) {
        const int n = 2 * signature + 16;
        struct kept *larger = realloc(keeper->kept, (size_t)n * sizeof *larger);
        if (!larger)
            return NULL;
        memset(larger + keeper->n_kept, 0, (size_t)(n - keeper->n_kept) * sizeof *larger);
        keeper->kept = larger;
        keeper->n_kept = n;
    }
    return &keeper->kept[signature];
}

static void look_for_room(struct hl_keeper *keeper)
{
    struct statvfs disk;
    const bool small =
        statvfs(keeper->folder, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize < FREE_BYTES_MIN;
    atomic_store(&keeper->shared->full, small || keeper->bytes >= keeper->bytes_max);
}

bool hl_keeper_add(struct hl_keeper *keeper, int signature, const char *bundle, char **ret_dropped)
{
    struct kept *kept = kept_of(keeper, signature);
    *ret_dropped = NULL;
    if (!kept)
        return false;
    keeper->bytes += bytes_of(keeper, bundle);
    if (!kept->has_first) {
        kept->has_first = true;
        look_for_room(keeper);
        return true;
    }
    if (!kept->ring)
        kept->ring = calloc((size_t)keeper->newest, sizeof *kept->ring);
    char *copy = strdup(bundle);
    if (!kept->ring || !copy) {
        free(copy);
        return false;
    }
    if (kept->count < keeper->newest) {
        kept->ring[kept->count++] = copy;
    } else {
        *ret_dropped = kept->ring[kept->next];
        kept->ring[kept->next] = copy;
        kept->next = (kept->next + 1) % keeper->newest;
    }
    if (*ret_dropped) {
        const uint64_t dropped = bytes_of(keeper, *ret_dropped);
        keeper->bytes -= dropped < keeper->bytes ? dropped : keeper->bytes;
    }
    look_for_room(keeper);
    return true;
}

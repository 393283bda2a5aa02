/* A GPU core dump, read without a GPU and without cuda-gdb: which kernels were on the device, and where each
 * of their lanes stood.
 *
 * The driver writes an ELF file whose tables (devices, SMs, blocks, warps, lanes) are described in NVIDIA's
 * cudacoredump.h. Its rows grow from version to version: a reader takes sh_entsize for the stride and the
 * fields that it knows from each row. The images of the modules are in it, with line tables. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include "../../kernels/words.h"

/* Where a lane is with regard to the loops of its kernel that poll memory. X(ID, name, doc) */
#define HL_CORE_SIDES(X) \
    X(HL_CORE_UNKNOWN, "", "no lane of the grid polls, or the code is not understood") \
    X(HL_CORE_BEFORE, "before", "in front of the wait, in the order of the code") \
    X(HL_CORE_IN, "in", "in the wait") \
    X(HL_CORE_PAST, "past", "behind the wait, in the order of the code")
enum hl_core_side { HL_CORE_SIDES(HL_ENUMERATOR) };

/* A source line (or, without line information, an instruction) at which lanes of a grid stand. */
struct hl_core_place {
    char *file; /* NULL: no line information */
    int line;
    uint64_t offset;               /* of the first such instruction in its function */
    char *function;                /* that the instruction is in, as the linker calls it */
    uint32_t lanes, warps, blocks; /* warps and blocks with at least one lane here */
    enum hl_core_side side;
    uint64_t pc;                    /* the first of them */
    uint64_t last_warp, last_block; /* that were counted */
};

struct hl_core_grid {
    uint64_t id;
    char *kernel; /* NULL: none of its lanes was on the device */
    uint32_t grid[3], block[3];
    uint32_t blocks; /* on the device; others have ended or have not begun: a core does not tell */
    uint32_t lanes, lanes_exited; /* of those blocks */
    uint32_t side_lanes[4];       /* by enum hl_core_side */
    struct hl_core_place *places; /* in the wait first, then most lanes first */
    uint32_t n_places;
};

struct hl_core {
    char device[64], arch[16]; /* "sm_90" */
    uint32_t sms;
    struct hl_core_grid *grids;
    uint32_t n_grids;
};

/* Is this a core whose last byte has been written? */
bool hl_core_is_whole(const char *path);

/* The caller calls hl_core_finish(). False: it cannot be read, is cut off or damaged; `why` says which. */
bool hl_core_read(const char *path, struct hl_core *ret_core, char *why, size_t size);
void hl_core_finish(struct hl_core *core);

/* As it stands in a bundle's gpucore/summary.json. NULL when out of memory. */
json_t *hl_core_json(const struct hl_core *core);

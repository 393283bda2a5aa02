/* GPU core dumps: one recorded on an H100 (tests/recordings/cores/wait.cu), and what is left of it after all
 * sorts of damage.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <elfutils/libdwelf.h>
#include "../watchdog/core/core.h"

static const char *recorded(void)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/tests/recordings/cores/wait.core.gz", getenv("HANGLAB_SOURCE"));
    return path;
}

/* The recorded core's bytes, uncompressed. */
static char *load(size_t *ret_size)
{
    elf_version(EV_CURRENT);
    const int fd = open(recorded(), O_RDONLY);
    Elf *elf = dwelf_elf_begin(fd);
    const char *bytes = elf ? elf_rawfile(elf, ret_size) : NULL;
    cr_assert(bytes, "%s cannot be read", recorded());
    char *copy = malloc(*ret_size);
    memcpy(copy, bytes, *ret_size);
    elf_end(elf);
    close(fd);
    return copy;
}

/* A file that lives in memory only. */
static const char *store(const char *bytes, size_t size)
{
    static char path[64];
    static int fd = -1;
    if (fd >= 0)
        close(fd);
    fd = memfd_create("core", 0);
    cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}

Test(core, says_where_every_lane_stood)
{
    struct hl_core core;
    char why[256] = "";
    cr_assert(hl_core_is_whole(recorded()));
    cr_assert(hl_core_read(recorded(), &core, why, sizeof why), "%s", why);
    cr_assert_str_eq(core.device, "NVIDIA H100 80GB HBM3");
    cr_assert_str_eq(core.arch, "sm_90");
    cr_assert_eq(core.sms, 132);
    cr_assert_eq(core.n_grids, 1);
    const struct hl_core_grid *grid = &core.grids[0];
    cr_assert_str_eq(grid->kernel, "wait_for_peer");
    cr_assert_eq(grid->grid[0], 4);
    cr_assert_eq(grid->block[0], 64);
    cr_assert_eq(grid->blocks, 4);
    cr_assert_eq(grid->lanes, 4 * 48);
    cr_assert_eq(grid->lanes_exited, 4 * 16);
    cr_assert_eq(grid->n_places, 2);
    const struct hl_core_place *waiting = &grid->places[0], *beyond = &grid->places[1];
    cr_assert_str_eq(waiting->file, "/src/wait.cu");
    cr_assert_eq(waiting->line, 9);
    cr_assert_eq(waiting->side, HL_CORE_IN);
    cr_assert_eq(waiting->lanes, 3 * 48);
    cr_assert_eq(waiting->warps, 6);
    cr_assert_eq(waiting->blocks, 3);
    cr_assert_eq(beyond->line, 11);
    cr_assert_eq(beyond->lanes, 48);
    cr_assert_eq(beyond->warps, 2);
    cr_assert_eq(beyond->blocks, 1);
    hl_core_finish(&core);
}

Test(core, as_json)
{
    struct hl_core core;
    char why[256] = "";
    cr_assert(hl_core_read(recorded(), &core, why, sizeof why), "%s", why);
    json_t *json = hl_core_json(&core);
    const json_t *kernel = json_array_get(json_object_get(json, "kernels"), 0);
    const json_t *wait = json_object_get(kernel, "wait");
    cr_assert_eq(json_integer_value(json_object_get(kernel, "blocks_on_device")), 4);
    cr_assert_eq(json_integer_value(json_object_get(wait, "lanes_in")), 192);
    cr_assert_eq(json_integer_value(json_object_get(wait, "lanes_past")), 0);
    json_decref(json);
    hl_core_finish(&core);
}

/* Whoever waits for a dump looks at a file that grows. */
Test(core, is_not_whole_before_its_last_byte)
{
    size_t size;
    char *bytes = load(&size);
    char why[256] = "";
    struct hl_core core;
    const size_t cuts[] = { 0, 1, 63, 64, 4096, size / 2, size - 64, size - 1 };
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        const char *path = store(bytes, cuts[i]);
        cr_assert_not(hl_core_is_whole(path), "cut to %zu bytes", cuts[i]);
        cr_assert_not(hl_core_read(path, &core, why, sizeof why));
        cr_assert(strstr(why, "GPU core dump"), "%s", why);
    }
    cr_assert(hl_core_is_whole(store(bytes, size)));
    free(bytes);
}

Test(core, is_none)
{
    char why[256] = "";
    struct hl_core core;
    cr_assert_not(hl_core_read("/proc/self/exe", &core, why, sizeof why));
    cr_assert_str_eq(why, "/proc/self/exe is no GPU core dump");
    cr_assert_not(hl_core_read("/nowhere/core", &core, why, sizeof why));
    cr_assert_str_eq(why, "/nowhere/core: No such file or directory");
}

static uint32_t next(uint32_t *state) { return *state = *state * 1664525u + 1013904223u; }

/* Damaged tables, headers and images end in an error or in a smaller picture, never in a crash. */
Test(core, survives_damage, .timeout = 60)
{
    size_t size;
    char *bytes = load(&size), *damaged = malloc(size);
    uint64_t headers;
    memcpy(&headers, bytes + 0x28, sizeof headers); /* e_shoff */
    uint32_t random = 1;
    for (int round = 0; round < 150; round++) {
        memcpy(damaged, bytes, size);
        const uint32_t changes = 1 + next(&random) / 65536 % 16;
        for (uint32_t i = 0; i < changes; i++) {
            const bool of_headers = round % 2;
            const uint64_t from = of_headers ? headers : 0, range = size - from;
            const uint64_t at = from + (next(&random) ^ (uint64_t)next(&random) << 16) % range;
            damaged[at] = (char)(next(&random) >> 16);
        }
        struct hl_core core;
        char why[256];
        if (hl_core_read(store(damaged, size), &core, why, sizeof why)) {
            json_decref(hl_core_json(&core));
            hl_core_finish(&core);
        }
    }
    free(damaged);
    free(bytes);
}

/* From the tables of a core to a histogram of its lanes.
 *
 * Every section names its parent by sh_link and the row in it by sh_info: lanes lie in a warp, a warp in a
 * block (CTA), a block on an SM. Nothing in the file is trusted: rows are found by bounded arithmetic or not
 * at all. */
#include "core.h"
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <elfutils/libdwelf.h>
#include "image.h"

/* Section types (cudacoredump.h). */
enum section_type {
    RELOCATED_IMAGE = SHT_LOUSER + 7u,
    DEVICE_TABLE = SHT_LOUSER + 9u,
    GRID_TABLE = SHT_LOUSER + 12u,
    BLOCK_TABLE = SHT_LOUSER + 13u,
    WARP_TABLE = SHT_LOUSER + 14u,
    LANE_TABLE = SHT_LOUSER + 15u
};

/* The fields that are read, at the start of each row. */
struct device_row {
    uint64_t name, type, sm_type;
    uint32_t device, bus, slot, sms;
};
struct grid_row {
    uint64_t id, context, function, entry, module, parent, parameters;
    uint32_t kernel_type, origin, status, registers, grid[3], block[3];
};
struct block_row {
    uint64_t grid;
    uint32_t block[3], padding;
};
struct warp_row {
    uint64_t error_pc;
    uint32_t warp, valid_lanes, active_lanes;
};
struct lane_row {
    uint64_t pc, physical_pc;
    uint32_t lane;
};

/* A core being read. */
struct reader {
    Elf *elf;
    struct hl_images *images;
    struct hl_core *core;
    bool no_memory;
};

static bool is_core(Elf *elf)
{
    GElf_Ehdr header;
    return elf && elf_kind(elf) == ELF_K_ELF && gelf_getehdr(elf, &header) && header.e_type == ET_CORE &&
           header.e_machine == EM_CUDA;
}

static bool has_type(Elf_Scn *section, uint32_t type, GElf_Shdr *ret_header)
{
    return section && gelf_getshdr(section, ret_header) && ret_header->sh_type == type;
}

/* Copies the known start of a row; false: there is none. */
static bool read_row(Elf_Scn *section, uint32_t type, uint64_t row, void *to, size_t size)
{
    GElf_Shdr header;
    if (!has_type(section, type, &header) || header.sh_entsize < size ||
        row >= header.sh_size / header.sh_entsize)
        return false;
    const Elf_Data *data = elf_rawdata(section, NULL);
    if (!data || !data->d_buf || data->d_size < header.sh_size)
        return false;
    memcpy(to, (const char *)data->d_buf + row * header.sh_entsize, size);
    return true;
}

static struct hl_core_grid *find_grid(struct hl_core *core, uint64_t id)
{
    for (uint32_t i = 0; i < core->n_grids; i++)
        if (core->grids[i].id == id)
            return &core->grids[i];
    return NULL;
}

static char *copy(struct reader *reader, const char *text)
{
    char *same = text ? strdup(text) : NULL;
    reader->no_memory |= text && !same;
    return same;
}

/*
 * Lanes
 */

static bool is_at(const struct hl_core_place *place, const struct hl_source_place *found)
{
    if (!found->file)
        return !place->file && place->offset == found->offset;
    return place->file && place->line == found->line && strcmp(place->file, found->file) == 0;
}

/* The place of a pc in its grid; NULL when out of memory. */
static struct hl_core_place *place_of(struct reader *reader, struct hl_core_grid *grid, uint64_t pc)
{
    const struct hl_source_place found = hl_images_find(reader->images, pc);
    for (uint32_t i = 0; i < grid->n_places; i++)
        if (is_at(&grid->places[i], &found))
            return &grid->places[i];
    struct hl_core_place *places = realloc(grid->places, (grid->n_places + 1) * sizeof grid->places[0]);
    reader->no_memory |= !places;
    if (!places)
        return NULL;
    grid->places = places;
    places[grid->n_places] = (struct hl_core_place){ .file = copy(reader, found.file),
                                                     .line = found.line,
                                                     .offset = found.offset,
                                                     .pc = pc,
                                                     .function = copy(reader, found.function),
                                                     .last_warp = UINT64_MAX,
                                                     .last_block = UINT64_MAX };
    return &places[grid->n_places++];
}

/* Numbers of a warp and of a block in this file. */
static uint64_t row_number(Elf_Scn *section, uint32_t row)
{
    return (uint64_t)elf_ndxscn(section) << 32 | row;
}

/* The lanes of one warp: of which grid, and at which places. */
static void count_lanes(struct reader *reader, Elf_Scn *lanes, const GElf_Shdr *header)
{
    Elf_Scn *warps = elf_getscn(reader->elf, header->sh_link);
    GElf_Shdr of_warps;
    struct warp_row warp;
    struct block_row block;
    if (!read_row(warps, WARP_TABLE, header->sh_info, &warp, sizeof warp) ||
        !has_type(warps, WARP_TABLE, &of_warps))
        return;
    Elf_Scn *blocks = elf_getscn(reader->elf, of_warps.sh_link);
    if (!read_row(blocks, BLOCK_TABLE, of_warps.sh_info, &block, sizeof block))
        return;
    struct hl_core_grid *grid = find_grid(reader->core, block.grid);
    struct lane_row lane;
    for (uint64_t i = 0; grid && i < 32 && read_row(lanes, LANE_TABLE, i, &lane, sizeof lane); i++) {
        if (lane.lane >= 32 || !(warp.valid_lanes >> lane.lane & 1))
            continue;
        struct hl_core_place *place = place_of(reader, grid, lane.pc);
        if (!place)
            return;
        const uint64_t this_warp = row_number(warps, header->sh_info),
                       this_block = row_number(blocks, of_warps.sh_info);
        grid->lanes++;
        place->lanes++;
        place->warps += place->last_warp != this_warp;
        place->blocks += place->last_block != this_block;
        place->last_warp = this_warp;
        place->last_block = this_block;
    }
}

/* Which places lie in a loop that polls, and where the others lie to it. Of several such loops with lanes,
 * the first begins the wait and the last ends it. */
static void find_sides(struct reader *reader, struct hl_core_grid *grid)
{
    uint64_t first = UINT64_MAX, last = 0, from, to;
    if (strcmp(reader->core->arch, "sm_90") != 0)
        return;
    for (uint32_t i = 0; i < grid->n_places; i++) {
        struct hl_core_place *place = &grid->places[i];
        if (!hl_images_find_poll(reader->images, place->pc, &from, &to))
            continue;
        place->side = HL_CORE_IN;
        first = from < first ? from : first;
        last = to > last ? to : last;
    }
    for (uint32_t i = 0; first != UINT64_MAX && i < grid->n_places; i++) {
        struct hl_core_place *place = &grid->places[i];
        if (place->side != HL_CORE_IN)
            place->side = place->pc > last ? HL_CORE_PAST : HL_CORE_BEFORE;
        grid->side_lanes[place->side] += place->lanes;
    }
}

static int by_side_and_lanes(const void *a, const void *b)
{
    const struct hl_core_place *x = a, *y = b;
    if ((x->side == HL_CORE_IN) != (y->side == HL_CORE_IN))
        return x->side == HL_CORE_IN ? -1 : 1;
    return (y->lanes > x->lanes) - (y->lanes < x->lanes);
}

/* The kernel's name is that of the function that its lanes are in. */
static void finish_grid(struct reader *reader, struct hl_core_grid *grid)
{
    const uint64_t threads = (uint64_t)grid->block[0] * grid->block[1] * grid->block[2] * grid->blocks;
    grid->lanes_exited = threads > grid->lanes ? (uint32_t)(threads - grid->lanes) : 0;
    if (grid->n_places == 0)
        return;
    find_sides(reader, grid);
    qsort(grid->places, grid->n_places, sizeof grid->places[0], by_side_and_lanes);
    grid->kernel = copy(reader, grid->places[0].function);
}

/*
 * Tables
 */

/* A text that a table names: in the string table that is not the one of section names. */
static const char *find_text(Elf *elf, uint64_t at)
{
    size_t names = 0;
    GElf_Shdr header;
    elf_getshdrstrndx(elf, &names);
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section)) != NULL;)
        if (elf_ndxscn(section) != names && has_type(section, SHT_STRTAB, &header))
            return elf_strptr(elf, elf_ndxscn(section), at);
    return NULL;
}

static void read_devices(struct reader *reader, Elf_Scn *section)
{
    struct device_row row;
    if (!read_row(section, DEVICE_TABLE, 0, &row, sizeof row))
        return;
    const char *name = find_text(reader->elf, row.name);
    snprintf(reader->core->device, sizeof reader->core->device, "%s", name ? name : "");
    name = find_text(reader->elf, row.sm_type);
    snprintf(reader->core->arch, sizeof reader->core->arch, "%s", name ? name : "");
    reader->core->sms = row.sms;
}

static void read_grids(struct reader *reader, Elf_Scn *section)
{
    struct hl_core *core = reader->core;
    struct grid_row row;
    for (uint64_t i = 0; read_row(section, GRID_TABLE, i, &row, sizeof row); i++) {
        struct hl_core_grid *grids = realloc(core->grids, (core->n_grids + 1) * sizeof grids[0]);
        reader->no_memory |= !grids;
        if (!grids)
            return;
        core->grids = grids;
        struct hl_core_grid *grid = &grids[core->n_grids++];
        *grid = (struct hl_core_grid){ .id = row.id };
        memcpy(grid->grid, row.grid, sizeof grid->grid);
        memcpy(grid->block, row.block, sizeof grid->block);
    }
}

static void count_blocks(struct reader *reader, Elf_Scn *section)
{
    struct block_row row;
    for (uint64_t i = 0; read_row(section, BLOCK_TABLE, i, &row, sizeof row); i++) {
        struct hl_core_grid *grid = find_grid(reader->core, row.grid);
        if (grid)
            grid->blocks++;
    }
}

static void read_tables(struct reader *reader)
{
    GElf_Shdr header;
    for (Elf_Scn *section = NULL; (section = elf_nextscn(reader->elf, section)) != NULL;)
        if (has_type(section, DEVICE_TABLE, &header))
            read_devices(reader, section);
        else if (has_type(section, GRID_TABLE, &header))
            read_grids(reader, section);
    for (Elf_Scn *section = NULL; (section = elf_nextscn(reader->elf, section)) != NULL;)
        if (has_type(section, BLOCK_TABLE, &header))
            count_blocks(reader, section);
        else if (has_type(section, LANE_TABLE, &header))
            count_lanes(reader, section, &header);
    for (uint32_t i = 0; i < reader->core->n_grids; i++)
        finish_grid(reader, &reader->core->grids[i]);
}

/* Do all sections end within the file? */
static bool is_whole(Elf *elf)
{
    size_t size, sections;
    GElf_Shdr header;
    if (!elf_rawfile(elf, &size) || elf_getshdrnum(elf, &sections) < 0 || sections < 2)
        return false;
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section)) != NULL;)
        if (!gelf_getshdr(section, &header) || header.sh_offset > size ||
            header.sh_size > size - header.sh_offset)
            return false;
    return true;
}

/* A core may be compressed: kept ones are. */
static Elf *open_core(const char *path, int *ret_fd)
{
    elf_version(EV_CURRENT);
    *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
    return *ret_fd < 0 ? NULL : dwelf_elf_begin(*ret_fd);
}

bool hl_core_is_whole(const char *path)
{
    int fd;
    Elf *elf = open_core(path, &fd);
    const bool whole = is_core(elf) && is_whole(elf);
    elf_end(elf);
    if (fd >= 0)
        close(fd);
    return whole;
}

bool hl_core_read(const char *path, struct hl_core *ret_core, char *why, size_t size)
{
    int fd;
    struct hl_core core = { 0 };
    Elf *elf = open_core(path, &fd);
    struct reader reader = { .elf = elf, .core = &core };
    const bool whole = is_core(elf) && is_whole(elf);
    if (fd < 0)
        snprintf(why, size, "%s: %s", path, strerror(errno));
    else if (!is_core(elf))
        snprintf(why, size, "%s is no GPU core dump", path);
    else if (!whole)
        snprintf(why, size, "%s is a GPU core dump that is cut off", path);
    else if (!(reader.images = hl_images_create(elf, RELOCATED_IMAGE)))
        reader.no_memory = true;
    if (reader.images) {
        read_tables(&reader);
        hl_images_destroy(reader.images);
    }
    elf_end(elf);
    if (fd >= 0)
        close(fd);
    if (reader.no_memory)
        snprintf(why, size, "out of memory for %s", path);
    if (!whole || reader.no_memory) {
        hl_core_finish(&core);
        return false;
    }
    *ret_core = core;
    return true;
}

void hl_core_finish(struct hl_core *core)
{
    for (uint32_t i = 0; i < core->n_grids; i++) {
        struct hl_core_grid *grid = &core->grids[i];
        for (uint32_t p = 0; p < grid->n_places; p++) {
            free(grid->places[p].file);
            free(grid->places[p].function);
        }
        free(grid->places);
        free(grid->kernel);
    }
    free(core->grids);
    *core = (struct hl_core){ 0 };
}

/*
 * As JSON
 */

static const char *side_name(enum hl_core_side side)
{
    switch (side) {
#define X(id, name, doc) \
    case id: return name;
        HL_CORE_SIDES(X)
#undef X
    }
    return "";
}

static json_t *place_json(const struct hl_core_place *place)
{
    json_t *json = json_pack("{s:s*, s:I, s:i, s:i, s:i}", "function", place->function, "offset",
                             (json_int_t)place->offset, "lanes", (int)place->lanes, "warps",
                             (int)place->warps, "blocks", (int)place->blocks);
    if (json && place->file) {
        json_object_set_new(json, "file", json_string(place->file));
        json_object_set_new(json, "line", json_integer(place->line));
    }
    if (json && place->side != HL_CORE_UNKNOWN)
        json_object_set_new(json, "wait", json_string(side_name(place->side)));
    return json;
}

static json_t *size_json(const uint32_t size[3])
{
    return json_pack("[i, i, i]", (int)size[0], (int)size[1], (int)size[2]);
}

static json_t *grid_json(const struct hl_core_grid *grid)
{
    json_t *places = json_array();
    for (uint32_t i = 0; i < grid->n_places; i++)
        json_array_append_new(places, place_json(&grid->places[i]));
    json_t *json = json_pack("{s:I, s:s*, s:o, s:o, s:i, s:i, s:i, s:o}", "grid_id", (json_int_t)grid->id,
                             "kernel", grid->kernel, "grid", size_json(grid->grid), "block",
                             size_json(grid->block), "blocks_on_device", (int)grid->blocks, "lanes",
                             (int)grid->lanes, "lanes_exited", (int)grid->lanes_exited, "places", places);
    if (json && grid->n_places && grid->places[0].side == HL_CORE_IN)
        json_object_set_new(
            json, "wait",
            json_pack("{s:i, s:i, s:i}", "lanes_before", (int)grid->side_lanes[HL_CORE_BEFORE], "lanes_in",
                      (int)grid->side_lanes[HL_CORE_IN], "lanes_past", (int)grid->side_lanes[HL_CORE_PAST]));
    return json;
}

json_t *hl_core_json(const struct hl_core *core)
{
    json_t *grids = json_array();
    for (uint32_t i = 0; i < core->n_grids; i++)
        json_array_append_new(grids, grid_json(&core->grids[i]));
    return json_pack("{s:i, s:s, s:s, s:i, s:o}", "hanglab", 1, "device", core->device, "arch", core->arch,
                     "sms", (int)core->sms, "kernels", grids);
}

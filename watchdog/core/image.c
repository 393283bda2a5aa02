/* Relocated cubins. Each kernel has a section of its own, .text.<name>, at the address where it ran, and
 * -lineinfo leaves a line table without a compilation unit, which libdw reads as it is. */
#include "image.h"
#include <elfutils/libdw.h>
#include <stdlib.h>
#include <string.h>

struct image {
    Elf *elf;
    Dwarf *dwarf; /* NULL: no debug sections */
};

struct hl_images {
    size_t count;
    struct image image[];
};

struct hl_images *hl_images_create(Elf *core, uint32_t section_type)
{
    size_t sections = 0;
    elf_getshdrnum(core, &sections);
    struct hl_images *images = calloc(1, sizeof *images + sections * sizeof images->image[0]);
    if (!images)
        return NULL;
    for (Elf_Scn *section = NULL; (section = elf_nextscn(core, section)) != NULL;) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header) || header.sh_type != section_type)
            continue;
        const Elf_Data *data = elf_rawdata(section, NULL);
        Elf *elf = data && data->d_buf ? elf_memory(data->d_buf, data->d_size) : NULL;
        if (elf)
            images->image[images->count++] =
                (struct image){ .elf = elf, .dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL) };
    }
    return images;
}

void hl_images_destroy(struct hl_images *images)
{
    for (size_t i = 0; i < images->count; i++) {
        dwarf_end(images->image[i].dwarf);
        elf_end(images->image[i].elf);
    }
    free(images);
}

/* The line that covers a pc: the last one at or before it, in the same sequence. */
static void find_line(Dwarf *dwarf, uint64_t pc, struct hl_source_place *place)
{
    Dwarf_Off offset = 0, next;
    Dwarf_CU *unit = NULL;
    Dwarf_Files *files;
    Dwarf_Lines *lines;
    size_t n_files, n_lines;
    while (dwarf_next_lines(dwarf, offset, &next, &unit, &files, &n_files, &lines, &n_lines) == 0) {
        offset = next;
        for (size_t i = 0; i + 1 < n_lines; i++) {
            Dwarf_Addr from, to;
            bool ends = true;
            Dwarf_Line *line = dwarf_onesrcline(lines, i);
            if (dwarf_lineaddr(line, &from) < 0 || dwarf_lineaddr(dwarf_onesrcline(lines, i + 1), &to) < 0 ||
                dwarf_lineendsequence(line, &ends) < 0 || ends || pc < from || pc >= to)
                continue;
            place->file = dwarf_linesrc(line, NULL, NULL);
            dwarf_lineno(line, &place->line);
            return;
        }
    }
}

static bool find_function(Elf *elf, uint64_t pc, struct hl_source_place *place)
{
    size_t names;
    if (elf_getshdrstrndx(elf, &names) < 0)
        return false;
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section)) != NULL;) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header) || !(header.sh_flags & SHF_EXECINSTR) || pc < header.sh_addr ||
            pc - header.sh_addr >= header.sh_size)
            continue;
        const char *name = elf_strptr(elf, names, header.sh_name);
        const size_t prefix = sizeof ".text." - 1;
        if (!name || strncmp(name, ".text.", prefix) != 0)
            continue;
        place->function = name + prefix;
        place->offset = pc - header.sh_addr;
        return true;
    }
    return false;
}

/*
 * Loops. Instructions of sm_90 have 16 bytes; NVIDIA does not describe them. What is used here was read from
 * the code of known loops and holds for the recorded cores of the tests: the low 12 bits name the operation,
 * and the distance of a branch, from the next instruction and in units of 4 bytes, has its low 8 bits at bit
 * 16 and the others at bit 34.
 */

#define INSTRUCTION_BYTES 16
enum operation {
    OP_BRANCH = 0x947,
    OP_LOAD = 0x981,        /* global memory */
    OP_BARRIER = 0xb1d,     /* of a block */
    OP_WARP_BARRIER = 0x348 /* of lanes; a shuffle of diverged lanes has one in front */
};

struct code {
    const unsigned char *bytes;
    uint64_t size; /* whole instructions */
};

static enum operation operation_at(const struct code *code, uint64_t at)
{
    return (code->bytes[at] | code->bytes[at + 1] << 8) & 0xfff;
}

/* Where a branch goes, relative to the code's start; may lie outside. */
static int64_t target_of(const struct code *code, uint64_t at)
{
    uint64_t word[2];
    memcpy(word, code->bytes + at, sizeof word);
    const int64_t high = (int64_t)((word[0] >> 34 | word[1] << 30) << 16) >> 16;
    const int64_t units = (int64_t)((uint64_t)high << 8 | (word[0] >> 16 & 0xff));
    return (int64_t)at + INSTRUCTION_BYTES + units * 4;
}

static bool has_operation(const struct code *code, uint64_t from, uint64_t to, enum operation operation)
{
    for (uint64_t at = from; at <= to; at += INSTRUCTION_BYTES)
        if (operation_at(code, at) == operation)
            return true;
    return false;
}

/* The innermost loop around `at`: from the target of a backward branch to the branch. */
static bool find_loop(const struct code *code, uint64_t at, uint64_t *ret_from, uint64_t *ret_to)
{
    bool found = false;
    for (uint64_t end = at; end < code->size; end += INSTRUCTION_BYTES) {
        const int64_t from = operation_at(code, end) == OP_BRANCH ? target_of(code, end) : -1;
        if (from < 0 || (uint64_t)from > at || from % INSTRUCTION_BYTES ||
            (found && end - (uint64_t)from >= *ret_to - *ret_from))
            continue;
        found = true;
        *ret_from = (uint64_t)from;
        *ret_to = end;
    }
    return found;
}

static bool find_code(Elf *elf, uint64_t pc, struct code *ret_code, uint64_t *ret_start)
{
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section)) != NULL;) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header) || !(header.sh_flags & SHF_EXECINSTR) || pc < header.sh_addr ||
            pc - header.sh_addr >= header.sh_size)
            continue;
        const Elf_Data *data = elf_rawdata(section, NULL);
        if (!data || !data->d_buf)
            return false;
        *ret_code = (struct code){ data->d_buf, data->d_size / INSTRUCTION_BYTES * INSTRUCTION_BYTES };
        *ret_start = header.sh_addr;
        return true;
    }
    return false;
}

bool hl_images_find_poll(const struct hl_images *images, uint64_t pc, uint64_t *ret_from, uint64_t *ret_to)
{
    struct code code;
    uint64_t start, from = 0, to = 0;
    for (size_t i = 0; i < images->count; i++) {
        if (!find_code(images->image[i].elf, pc, &code, &start))
            continue;
        if ((pc - start) % INSTRUCTION_BYTES || !find_loop(&code, pc - start, &from, &to) ||
            !has_operation(&code, from, to, OP_LOAD) || has_operation(&code, from, to, OP_BARRIER) ||
            has_operation(&code, from, to, OP_WARP_BARRIER))
            return false;
        *ret_from = start + from;
        *ret_to = start + to;
        return true;
    }
    return false;
}

struct hl_source_place hl_images_find(const struct hl_images *images, uint64_t pc)
{
    struct hl_source_place place = { .offset = pc };
    for (size_t i = 0; i < images->count; i++) {
        if (!find_function(images->image[i].elf, pc, &place))
            continue;
        if (images->image[i].dwarf)
            find_line(images->image[i].dwarf, pc, &place);
        break;
    }
    return place;
}

/* The modules inside a core: which function and source line an address of the GPU lies in. */
#pragma once
#include <gelf.h>
#include <stdbool.h>
#include <stdint.h>

struct hl_images;

/* Images of a core's sections of this type. NULL when out of memory. */
struct hl_images *hl_images_create(Elf *core, uint32_t section_type);
void hl_images_destroy(struct hl_images *images);

struct hl_source_place {
    const char *function; /* NULL: in no module */
    uint64_t offset;      /* in the function; the pc itself where there is none */
    const char *file;     /* NULL: the module has no line table (-lineinfo) */
    int line;
};

/* Its strings live as long as the images. */
struct hl_source_place hl_images_find(const struct hl_images *images, uint64_t pc);

/* The loop in which a lane at `pc` polls memory: the innermost one around it, where that only reads and
 * computes, without a barrier or an exchange between lanes. False: none, or code that is not understood
 * (other than sm_90).
 */
bool hl_images_find_poll(const struct hl_images *images, uint64_t pc, uint64_t *ret_from, uint64_t *ret_to);

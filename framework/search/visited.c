/* Open addressing with linear probing; see visited.h. */
#include "visited.h"
#include <stdlib.h>

enum { FIRST_CAPACITY = 16384 };

enum hl_status hl_visited_init(struct hl_visited *t, struct hl_error *error)
{
    *t = (struct hl_visited){ .slots = calloc(FIRST_CAPACITY, sizeof *t->slots), .capacity = FIRST_CAPACITY };
    return t->slots ? HL_STATUS_OK : hl_fail(error, HL_STATUS_MEMORY, "out of memory for a table of states");
}

void hl_visited_finish(struct hl_visited *t) { free(t->slots); }

/* Where the hash is, or the free place where it belongs. */
static struct hl_hash *find(const struct hl_visited *t, struct hl_hash h)
{
    uint64_t i = hl_visited_place(t, h);
    while ((t->slots[i].low | t->slots[i].high) && (t->slots[i].low != h.low || t->slots[i].high != h.high))
        i = i + 1 == t->capacity ? 0 : i + 1;
    return &t->slots[i];
}

bool hl_visited_has(const struct hl_visited *t, struct hl_hash h)
{
    const struct hl_hash *slot = find(t, h);
    return slot->low | slot->high;
}

static enum hl_status grow(struct hl_visited *t, struct hl_error *error)
{
    struct hl_visited larger = { .capacity = t->capacity + t->capacity / 2, .count = t->count };
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (!larger.slots)
        return hl_fail(error, HL_STATUS_MEMORY,
                       "out of memory at %llu states; bound the search with --states",
                       (unsigned long long)t->count);
    for (uint64_t i = 0; i < t->capacity; i++)
        if (t->slots[i].low | t->slots[i].high)
            *find(&larger, t->slots[i]) = t->slots[i];
    free(t->slots);
    *t = larger;
    return HL_STATUS_OK;
}

enum hl_status hl_visited_add(struct hl_visited *t, struct hl_hash h, bool *ret_new, struct hl_error *error)
{
    if (!(h.low | h.high))
        h.low = 1;
    struct hl_hash *slot = find(t, h);
    if (slot->low | slot->high) {
        *ret_new = false;
        return HL_STATUS_OK;
    }
    *slot = h;
    *ret_new = true;
    if (++t->count * 20 < t->capacity * 17)
        return HL_STATUS_OK;
    return grow(t, error);
}

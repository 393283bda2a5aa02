/* A set of 128-bit hashes that grows by half at 85 % load: 19 to 28 bytes a member. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "space.h"

struct hl_visited {
    struct hl_hash *slots; /* all zero: free */
    uint64_t capacity, count;
};

enum hl_status hl_visited_init(struct hl_visited *visited, struct hl_error *error);
void hl_visited_finish(struct hl_visited *visited);
/* *ret_new: it was not in the set before. Fails only when out of memory. */
enum hl_status hl_visited_add(struct hl_visited *visited, struct hl_hash hash, bool *ret_new,
                              struct hl_error *error);
bool hl_visited_has(const struct hl_visited *visited, struct hl_hash hash);

/* Where the search for a hash begins: the high half, scaled to the capacity. */
static inline uint64_t hl_visited_place(const struct hl_visited *visited, struct hl_hash hash)
{
    return (uint64_t)((unsigned __int128)hash.high * visited->capacity >> 64);
}
static inline void hl_visited_prefetch(const struct hl_visited *visited, struct hl_hash hash)
{
    __builtin_prefetch(&visited->slots[hl_visited_place(visited, hash)]);
}

/* Chunks in a list; the newest one serves what fits. */
#include <assert.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "arena.h"

enum { CHUNK_BYTES = 64 * 1024 };

struct chunk {
    struct chunk *next;
    size_t used, capacity;
    alignas(max_align_t) char bytes[];
};

struct hl_arena {
    struct chunk *chunks;
};

struct hl_arena *hl_arena_create(void) { return calloc(1, sizeof(struct hl_arena)); }

void hl_arena_destroy(struct hl_arena *arena)
{
    if (!arena)
        return;
    while (arena->chunks) {
        struct chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        free(chunk);
    }
    free(arena);
}

void *hl_arena_alloc(struct hl_arena *arena, size_t size)
{
    const size_t alignment = alignof(max_align_t);
    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + alignment - 1) / alignment * alignment;
    struct chunk *chunk = arena->chunks;
    if (!chunk || chunk->capacity - chunk->used < size) {
        size_t capacity = size > CHUNK_BYTES ? size : CHUNK_BYTES;
        chunk = calloc(1, sizeof *chunk + capacity);
        if (!chunk)
            return NULL;
        chunk->capacity = capacity;
        chunk->next = arena->chunks;
        arena->chunks = chunk;
    }
    assert(chunk->used + size <= chunk->capacity);
    void *memory = chunk->bytes + chunk->used;
    chunk->used += size;
    return memory;
}

char *hl_arena_copy(struct hl_arena *arena, const char *text, size_t size)
{
    char *copy = hl_arena_alloc(arena, size + 1);
    if (copy)
        memcpy(copy, text, size);
    return copy;
}

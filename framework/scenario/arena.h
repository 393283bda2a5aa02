/* An arena: everything that one scenario file needs is allocated in it and released at once, so that no
 * path through the parser, and no mistake in a file, has memory to give back piece by piece. */
#pragma once
#include <stddef.h>

struct hl_arena;

struct hl_arena *hl_arena_create(void);
void hl_arena_destroy(struct hl_arena *arena);

/* Zeroed memory, aligned for every type; NULL when there is none. */
void *hl_arena_alloc(struct hl_arena *arena, size_t size);
/* A terminated copy of `size` bytes. */
char *hl_arena_copy(struct hl_arena *arena, const char *text, size_t size);

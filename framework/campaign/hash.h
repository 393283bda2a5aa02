/* Content hashes: how a result is known again after a crash, on another machine, in another night; and a
 * map of them that holds millions. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* FNV-1a with 128 bits (Fowler, Noll, Vo; draft-eastlake-fnv): not against an adversary, but a collision
 * among 10^9 results has a probability below 10^-20. */
struct hl_hash {
    uint64_t high, low;
};

#define HL_HASH_INIT ((struct hl_hash){ 0x6c62272e07bb0142u, 0x62b821756295c58du })
struct hl_hash hl_hash_bytes(struct hl_hash hash, const void *data, size_t size);
/* A number, the same on every machine. */
struct hl_hash hl_hash_number(struct hl_hash hash, uint64_t number);
/* A text with its end, so that "ab", "c" and "a", "bc" differ. */
struct hl_hash hl_hash_text(struct hl_hash hash, const char *text);

/* 32 hexadecimal digits and a zero. */
#define HL_HASH_TEXT 33
void hl_hash_write(struct hl_hash hash, char text[HL_HASH_TEXT]);

/* The bytes of the running program: two builds differ in them. */
bool hl_hash_program(struct hl_hash *ret_hash);

/* From hashes to numbers. All zeros is an empty map. */
struct hl_hash_map {
    struct hl_hash_slot {
        struct hl_hash hash;
        int value;
        bool used;
    } * slots;
    size_t capacity, count;
};

/* The value of a hash, which is put in with 0 if it is not there; *ret_new: it was not. NULL: out of memory.
 * It holds until the next call. */
int *hl_hash_map_put(struct hl_hash_map *map, struct hl_hash hash, bool *ret_new);
/* Makes room for so many, so that the map need not grow step by step. False: out of memory. */
bool hl_hash_map_reserve(struct hl_hash_map *map, size_t count);
/* NULL: it is not there. */
const int *hl_hash_map_find(const struct hl_hash_map *map, struct hl_hash hash);
void hl_hash_map_finish(struct hl_hash_map *map);

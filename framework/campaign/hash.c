/* FNV-1a, and open addressing with linear probing: the hashes are their own hash. */
#include "hash.h"
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "build.h"

struct hl_hash hl_hash_bytes(struct hl_hash hash, const void *data, size_t size)
{
    const unsigned __int128 prime = (unsigned __int128)1 << 88 | 0x13b;
    unsigned __int128 h = (unsigned __int128)hash.high << 64 | hash.low;
    for (const unsigned char *at = data, *end = at + size; at < end; at++)
        h = (h ^ *at) * prime;
    return (struct hl_hash){ (uint64_t)(h >> 64), (uint64_t)h };
}

struct hl_hash hl_hash_number(struct hl_hash hash, uint64_t number)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(number >> 8 * i);
    return hl_hash_bytes(hash, bytes, sizeof bytes);
}

struct hl_hash hl_hash_text(struct hl_hash hash, const char *text)
{
    size_t size = 1;
    while (text[size - 1])
        size++;
    return hl_hash_bytes(hash, text, size);
}

void hl_hash_write(struct hl_hash hash, char text[HL_HASH_TEXT])
{
    snprintf(text, HL_HASH_TEXT, "%016" PRIx64 "%016" PRIx64, hash.high, hash.low);
}

bool hl_hash_program(struct hl_hash *ret_hash)
{
    const int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *bytes = MAP_FAILED;
    if (fd >= 0 && fstat(fd, &st) == 0)
        bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (fd >= 0)
        close(fd);
    if (bytes == MAP_FAILED)
        return false;
    *ret_hash = hl_hash_bytes(HL_HASH_INIT, bytes, (size_t)st.st_size);
    munmap(bytes, (size_t)st.st_size);
    return true;
}

bool hl_build_text(char text[HL_BUILD_TEXT])
{
    struct hl_hash hash;
    if (!hl_hash_program(&hash))
        return false;
    hl_hash_write(hash, text);
    return true;
}

/* The slot of this hash, or the free one where it would go. */
static struct hl_hash_slot *find(const struct hl_hash_map *map, struct hl_hash hash)
{
    size_t at = hash.low & (map->capacity - 1);
    while (map->slots[at].used &&
           (map->slots[at].hash.high != hash.high || map->slots[at].hash.low != hash.low))
        at = (at + 1) & (map->capacity - 1);
    return &map->slots[at];
}

static bool resize(struct hl_hash_map *map, size_t capacity)
{
    struct hl_hash_map larger = { .capacity = capacity, .count = map->count };
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (!larger.slots)
        return false;
    for (size_t i = 0; i < map->capacity; i++)
        if (map->slots[i].used)
            *find(&larger, map->slots[i].hash) = map->slots[i];
    free(map->slots);
    *map = larger;
    return true;
}

bool hl_hash_map_reserve(struct hl_hash_map *map, size_t count)
{
    size_t capacity = map->capacity ? map->capacity : 1024;
    while (4 * count >= 3 * capacity)
        capacity *= 2;
    return capacity == map->capacity || resize(map, capacity);
}

int *hl_hash_map_put(struct hl_hash_map *map, struct hl_hash hash, bool *ret_new)
{
    if (!hl_hash_map_reserve(map, map->count + 1))
        return NULL;
    struct hl_hash_slot *slot = find(map, hash);
    *ret_new = !slot->used;
    map->count += *ret_new;
    slot->used = true;
    slot->hash = hash;
    return &slot->value;
}

const int *hl_hash_map_find(const struct hl_hash_map *map, struct hl_hash hash)
{
    const struct hl_hash_slot *slot = map->count ? find(map, hash) : NULL;
    return slot && slot->used ? &slot->value : NULL;
}

void hl_hash_map_finish(struct hl_hash_map *map)
{
    free(map->slots);
    *map = (struct hl_hash_map){ 0 };
}

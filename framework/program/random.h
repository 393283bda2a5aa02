/* Random numbers: SplitMix64 (Steele, Lea, Flood 2014), so that a seed means the same on every machine. */
#pragma once
#include <stdint.h>

static inline uint64_t hl_random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* State of an independent stream of the same seed: one for each purpose and each index. */
static inline uint64_t hl_random_stream(uint64_t seed, uint64_t purpose, uint64_t index)
{
    uint64_t state = seed;
    state = hl_random_next(&state) ^ purpose;
    state = hl_random_next(&state) ^ index;
    return hl_random_next(&state);
}

/* 0 .. n-1. The bias of the multiplication is below n / 2^32. */
static inline uint32_t hl_random_below(uint64_t *state, uint32_t n)
{
    return (uint32_t)((hl_random_next(state) >> 32) * n >> 32);
}

/* 0 <= x < 1, in steps of 2^-53. */
static inline double hl_random_unit(uint64_t *state)
{
    return (double)(hl_random_next(state) >> 11) * 0x1p-53;
}

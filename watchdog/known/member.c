/* The memory of one workspace: from the addresses in a call's arguments to flags, barrier flags and buffers.
 * Nothing that is read is believed: addresses and sizes come from memory that may be overwritten. */
#include <stdlib.h>
#include <string.h>
#include "seen.h"

static int read_device(const struct hl_member *m, const struct hl_known_memory *memory, uint64_t address,
                       uint32_t bytes, void *ret_data)
{
    if (address == 0 || address % 4 != 0)
        return -1;
    return memory->read(memory->user, m->process, m->context, address, bytes, ret_data);
}

/* trtllm: communication buffers, barrier flags and Lamport buffers of all ranks, then the own flags
 * (trtllm_ar.py:738-774). mnnvl: buffers of all ranks (M:81-102). */
static bool read_addresses(struct hl_member *m, const struct hl_known_memory *memory)
{
    const uint32_t ranks = m->like.ranks;
    const bool trtllm = hl_protocol_family(m->like.protocol) == HL_FAMILY_TRTLLM;
    const uint32_t n = trtllm ? 3 * ranks + 1 : ranks;
    if (read_device(m, memory, m->like.table, n * sizeof m->table[0], m->table) < 0)
        return false;
    const uint64_t flags_at = trtllm ? m->table[3 * ranks] : m->like.flags;
    m->barrier_at = trtllm ? m->table[ranks + (uint32_t)m->like.rank] : 0;
    m->buffers_at = m->table[(trtllm ? 2 * ranks : 0) + (uint32_t)m->like.rank];
    return read_device(m, memory, flags_at, 4 * (trtllm ? HL_TRTLLM_FLAGS : HL_MNNVL_FLAGS), m->flags) == 0;
}

/* False: these are no flags. */
static bool lay_out(struct hl_member *m)
{
    const struct hl_known_call *c = &m->like;
    const enum hl_family family = hl_protocol_family(c->protocol);
    const bool trtllm = family == HL_FAMILY_TRTLLM;
    const uint32_t words = m->flags[trtllm ? (int)HL_TRTLLM_COMM_BYTES : (int)HL_MNNVL_BYTES_PER_BUFFER] / 4;
    const uint32_t current = m->flags[trtllm ? (int)HL_TRTLLM_CURRENT : (int)HL_MNNVL_CURRENT];
    const uint32_t row_words = c->hidden * hl_dtype_bytes(c->dtype) / 4;
    const uint32_t tokens_max = words / (c->ranks * row_words);
    if (current >= 3 || tokens_max == 0 || words > UINT32_MAX / 4)
        return false;
    m->layout = hl_layout_make(family, (int)c->ranks, tokens_max, c->hidden, c->dtype);
    m->layout.buffers_at = m->layout.comm_at; /* two-shot rows are not looked at */
    m->layout = hl_layout_sized(m->layout, words);
    if (c->by_word)
        m->layout.dtype = HL_FP32;
    return true;
}

void hl_member_read(struct hl_member *m, const struct hl_known_memory *memory)
{
    m->known = m->has_rank && read_addresses(m, memory) && lay_out(m);
}

/* Words in one piece, by way of the window. */
static int read_piece(struct hl_member *m, const struct hl_known_memory *memory, uint64_t address,
                      uint64_t end, uint32_t bytes, void *ret_data)
{
    if (!m->window)
        m->window = malloc(HL_PAGE_WINDOW);
    if (!m->window)
        return -1;
    while (bytes > 0) {
        if (address < m->window_at || address - m->window_at >= m->window_bytes) {
            m->window_bytes = end - address < HL_PAGE_WINDOW ? (uint32_t)(end - address) : HL_PAGE_WINDOW;
            m->window_at = address;
            if (read_device(m, memory, address, m->window_bytes, m->window) < 0) {
                m->window_bytes = 0;
                return -1;
            }
        }
        const uint32_t skipped = (uint32_t)(address - m->window_at), left = m->window_bytes - skipped;
        const uint32_t part = bytes < left ? bytes : left;
        memcpy(ret_data, m->window + skipped, part);
        ret_data = (char *)ret_data + part;
        address += part;
        bytes -= part;
    }
    return 0;
}

int hl_member_words(struct hl_member *m, const struct hl_known_memory *memory, uint32_t first, uint32_t count,
                    uint32_t *words)
{
    const struct hl_layout *l = &m->layout;
    if (!m->known || count > l->words || first > l->words - count)
        return -1;
    while (count > 0) {
        uint32_t n = count;
        if (first < HL_FLAG_WORDS) {
            n = n < HL_FLAG_WORDS - first ? n : HL_FLAG_WORDS - first;
            memcpy(words, m->flags + first, n * sizeof *words);
        } else {
            const bool barrier = first < l->buffers_at;
            const uint32_t begin = barrier ? l->barrier_at : l->buffers_at,
                           end = barrier ? l->buffers_at : l->words;
            const uint64_t base = barrier ? m->barrier_at : m->buffers_at;
            n = n < end - first ? n : end - first;
            if (read_piece(m, memory, base + 4ull * (first - begin), base + 4ull * (end - begin), 4 * n,
                           words) < 0)
                return -1;
        }
        words += n;
        first += n;
        count -= n;
    }
    return 0;
}

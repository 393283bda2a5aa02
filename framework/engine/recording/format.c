/* The bytes of a recording; see format.h. */
#include "format.h"
#include <stdlib.h>
#include <string.h>

/* No block of words of a recording is larger: a damaged file must not ask for all memory. */
#define WORDS_MAX (1u << 26)

void hl_bytes_finish(struct hl_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct hl_bytes){ 0 };
}

void hl_put(struct hl_bytes *bytes, const void *data, size_t size)
{
    if (bytes->failed || size == 0)
        return;
    if (bytes->size + size > bytes->room) {
        const size_t room =
            2 * bytes->room > bytes->size + size ? 2 * bytes->room : bytes->size + size + 4096;
        unsigned char *grown = realloc(bytes->data, room);
        bytes->failed = !grown;
        if (!grown)
            return;
        bytes->data = grown;
        bytes->room = room;
    }
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

void hl_put_number(struct hl_bytes *bytes, uint64_t number)
{
    unsigned char digits[10];
    size_t n = 0;
    for (; number >= 128; number >>= 7)
        digits[n++] = (unsigned char)(number & 127) | 128;
    digits[n++] = (unsigned char)number;
    hl_put(bytes, digits, n);
}

void hl_put_words(struct hl_bytes *bytes, const uint32_t *words, uint32_t count)
{
    hl_put_number(bytes, count);
    for (uint32_t i = 0, run; i < count; i += run) {
        const unsigned char word[4] = { (unsigned char)words[i], (unsigned char)(words[i] >> 8),
                                        (unsigned char)(words[i] >> 16), (unsigned char)(words[i] >> 24) };
        for (run = 1; i + run < count && words[i + run] == words[i]; run++) {
        }
        hl_put_number(bytes, run);
        hl_put(bytes, word, sizeof word);
    }
}

const void *hl_get(struct hl_bytes *bytes, size_t size)
{
    if (bytes->failed || size > bytes->size - bytes->at) {
        bytes->failed = true;
        return NULL;
    }
    bytes->at += size;
    return bytes->data + bytes->at - size;
}

uint64_t hl_get_number(struct hl_bytes *bytes)
{
    uint64_t number = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const unsigned char *digit = hl_get(bytes, 1);
        if (!digit)
            return 0;
        number |= (uint64_t)(*digit & 127) << shift;
        if (*digit < 128)
            return number;
    }
    bytes->failed = true;
    return 0;
}

uint32_t *hl_get_words(struct hl_bytes *bytes, uint32_t *ret_count)
{
    const uint64_t count = hl_get_number(bytes);
    uint32_t *words = count && count <= WORDS_MAX ? malloc(count * sizeof *words) : NULL;
    bytes->failed |= !words;
    for (uint64_t i = 0; !bytes->failed && i < count;) {
        const uint64_t run = hl_get_number(bytes);
        const unsigned char *word = hl_get(bytes, 4);
        bytes->failed |= run == 0 || run > count - i;
        for (uint64_t end = i + run; !bytes->failed && i < end; i++)
            words[i] = word[0] | (uint32_t)word[1] << 8 | (uint32_t)word[2] << 16 | (uint32_t)word[3] << 24;
    }
    if (bytes->failed) {
        free(words);
        return NULL;
    }
    *ret_count = (uint32_t)count;
    return words;
}

void hl_put_record(struct hl_bytes *bytes, const struct hl_call_record *r)
{
    const uint64_t numbers[] = { r->call,   r->op,        r->launch,      r->site,         r->graph,
                                 r->node,   r->workspace, r->stream,      r->protocol,     r->dtype,
                                 r->replay, r->tokens,    r->exec_tokens, r->rows_written, r->ctas };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        hl_put_number(bytes, numbers[i]);
}

struct hl_call_record hl_get_record(struct hl_bytes *bytes)
{
    struct hl_call_record r = { 0 };
    r.call = (uint32_t)hl_get_number(bytes);
    r.op = (uint32_t)hl_get_number(bytes);
    r.launch = (uint32_t)hl_get_number(bytes);
    r.site = (uint16_t)hl_get_number(bytes);
    r.graph = (uint16_t)hl_get_number(bytes);
    r.node = (uint16_t)hl_get_number(bytes);
    r.workspace = (uint8_t)hl_get_number(bytes);
    r.stream = (uint8_t)hl_get_number(bytes);
    const uint64_t protocol = hl_get_number(bytes), dtype = hl_get_number(bytes);
    bytes->failed |= protocol >= HL_PROTOCOL_COUNT || dtype >= HL_DTYPE_COUNT;
    r.protocol = bytes->failed ? HL_NORM_ONLY : (enum hl_protocol)protocol;
    r.dtype = bytes->failed ? HL_BF16 : (enum hl_dtype)dtype;
    r.replay = (uint32_t)hl_get_number(bytes);
    r.tokens = (uint32_t)hl_get_number(bytes);
    r.exec_tokens = (uint32_t)hl_get_number(bytes);
    r.rows_written = (uint32_t)hl_get_number(bytes);
    r.ctas = (uint32_t)hl_get_number(bytes);
    return r;
}

/* Names and arguments of known kernels, see known.h.
 *
 * Offsets are those of the headers in FlashInfer's wheels (T: trtllm_allreduce_fusion.cuh, struct
 * AllReduceFusionParams; M: trtllm_mnnvl_allreduce.cuh) and of TensorRT-LLM's allReduceFusionKernels.h. */
#include "known.h"
#include <stdio.h>
#include <string.h>
#include "../../kernels/layout.h"

static const struct kernel {
    const char *library, *scope, *function, *doc;
    enum hl_protocol protocol;
} kernels[] = {
#define X(id, library, scope, function, protocol, doc) \
    [HL_KNOWN_##id] = { library, scope, function, doc, protocol },
    HL_KNOWN_KERNELS(X)
#undef X
};

#define TABLE_MAX 16 /* ranks; of more, no kernel knows */
#define BITS HL_COMPARE_BITS
#define FTZ HL_COMPARE_FLOAT_FTZ
#define OWN \
    true /* up to 0.6.12 all rows are polled (MO:557), later the own one stays in registers (M:962) \
          */
/* kernel, releases, arguments, bytes of the first; then offsets of ranks, rank, size, hidden, table, flags */
static const struct hl_known_arguments known[] = {
    { HL_KNOWN_FI_TRTLLM_ONESHOT, "0.6.2 to 0.6.10", 1, 128, 0, 4, 8, 12, 16, -1, BITS, false, false },
    { HL_KNOWN_FI_TRTLLM_ONESHOT, "from 0.6.11", 1, 136, 0, 4, 8, 12, 16, -1, BITS, false, false },
    { HL_KNOWN_FI_TRTLLM_TWOSHOT, "0.6.2 to 0.6.10", 3, 128, 0, 4, 8, 12, 16, -1, BITS, false, false },
    { HL_KNOWN_FI_TRTLLM_TWOSHOT, "from 0.6.11", 3, 136, 0, 4, 8, 12, 16, -1, BITS, false, false },
    { HL_KNOWN_FI_MOE_REDUCE, "from 0.6.2", 1, 152, 0, 4, 8, 12, 16, -1, BITS, false, false },
    { HL_KNOWN_FI_MOE_FINALIZE, "0.6.2", 1, 152, 0, 4, 8, 12, 16, -1, BITS, false, false },
    { HL_KNOWN_FI_MOE_FINALIZE, "from 0.6.9", 1, 160, 0, 4, 8, 12, 16, -1, BITS, false, false },
    /* FlashInfer compiles with -use_fast_math, which makes its comparison of floats flush subnormals. */
    { HL_KNOWN_FI_MNNVL_ONESHOT, "0.6.2 to 0.6.11", 12, 8, -1, 68, 56, 60, 40, 72, FTZ, false, OWN },
    { HL_KNOWN_FI_MNNVL_ONESHOT, "0.6.12", 13, 8, -1, 72, 56, 60, 40, 80, BITS, false, OWN },
    { HL_KNOWN_FI_MNNVL_ONESHOT, "from 0.6.13", 1, 128, 64, 68, 72, 76, 40, 120, BITS, false, false },
    { HL_KNOWN_FI_MNNVL_TWOSHOT, "0.6.2 to 0.6.12", 9, 8, -1, 40, 32, 36, 16, 48, FTZ, false, false },
    { HL_KNOWN_FI_MNNVL_TWOSHOT, "from 0.6.13", 1, 128, 64, 68, 72, 76, 40, 120, BITS, false, false },
    { HL_KNOWN_FI_MNNVL_NORM, "0.6.2 to 0.6.11", 10, 8, 56, -1, 48, 52, -1, 64, FTZ, false, false },
    { HL_KNOWN_FI_MNNVL_NORM, "0.6.12", 11, 8, 56, -1, 48, 52, -1, 64, BITS, false, false },
    { HL_KNOWN_FI_MNNVL_NORM, "from 0.6.13", 1, 128, 64, 68, 72, 76, 40, 120, BITS, false, false },
    { HL_KNOWN_TRT_TRTLLM_ONESHOT, "2025", 1, 136, 0, 4, 12, 16, 24, -1, BITS, true, false },
    { HL_KNOWN_TRT_TRTLLM_TWOSHOT, "2025", 3, 136, 0, 4, 12, 16, 24, -1, BITS, true, false },
    { HL_KNOWN_TRT_MNNVL_ONESHOT, "2025", 12, 8, -1, 68, 56, 60, 40, 72, FTZ, false, OWN },
    { HL_KNOWN_TRT_MNNVL_TWOSHOT, "2025", 9, 8, -1, 40, 32, 36, 16, 48, FTZ, false, false },
    { HL_KNOWN_TRT_MNNVL_NORM, "2025", 10, 8, 56, -1, 48, 52, -1, 64, FTZ, false, false },
};

/* An identifier as C++ mangles it: its length, then itself. Returns where it ends in `symbol`, or NULL. */
static const char *find_identifiers(const char *symbol, const char *scope, const char *function)
{
    char mangled[160];
    snprintf(mangled, sizeof mangled, "%zu%s%zu%s", strlen(scope), scope, strlen(function), function);
    const char *at = strstr(symbol, mangled);
    return at ? at + strlen(mangled) : NULL;
}

enum hl_known_kernel hl_known_find(const char *symbol)
{
    for (int i = HL_KNOWN_NONE + 1; i < HL_KNOWN_COUNT; i++) {
        const char *library = strstr(symbol, kernels[i].library);
        if (library && find_identifiers(library, kernels[i].scope, kernels[i].function))
            return (enum hl_known_kernel)i;
    }
    return HL_KNOWN_NONE;
}

const char *hl_known_doc(enum hl_known_kernel kernel) { return kernels[kernel].doc; }

enum hl_protocol hl_known_protocol(enum hl_known_kernel kernel) { return kernels[kernel].protocol; }

bool hl_known_is_second(enum hl_known_kernel kernel)
{
    return kernel == HL_KNOWN_FI_MNNVL_NORM || kernel == HL_KNOWN_TRT_MNNVL_NORM;
}

const struct hl_known_arguments *hl_known_arguments_of(enum hl_known_kernel kernel, uint32_t n,
                                                       uint32_t first_bytes)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].kernel == kernel && known[i].n == n && known[i].first_bytes == first_bytes)
            return &known[i];
    return NULL;
}

static uint32_t word_at(const uint8_t *bytes, int at)
{
    uint32_t word;
    memcpy(&word, bytes + at, sizeof word);
    return word;
}

static uint64_t address_at(const uint8_t *bytes, int at)
{
    uint64_t address = 0;
    if (at >= 0)
        memcpy(&address, bytes + at, sizeof address);
    return address;
}

uint64_t hl_known_workspace(const struct hl_known_arguments *a, const uint8_t bytes[HL_KNOWN_BYTES_MAX])
{
    return address_at(bytes, a->flags >= 0 ? a->flags : a->table);
}

/* The template arguments: <(unsigned char)2, __nv_bfloat16, ...> is ILh2E13__nv_bfloat16... */
static uint32_t number_of_template(const char *arguments)
{
    unsigned number = 0;
    return sscanf(arguments, "IL%*1[a-z]%uE", &number) == 1 ? number : 0;
}

static enum hl_dtype dtype_of_template(const char *arguments)
{
    return strstr(arguments, "__nv_bfloat16") ? HL_BF16 : strstr(arguments, "6__half") ? HL_FP16 : HL_FP32;
}

static bool check(const struct hl_known_call *c, char *why, size_t size)
{
    const char *what =
        c->ranks < 2 || c->ranks > TABLE_MAX ? "the number of ranks"
        : c->rank >= (int)c->ranks           ? "the rank"
        : c->hidden == 0 || c->hidden > HL_HIDDEN_MAX || c->hidden * hl_dtype_bytes(c->dtype) % 16 != 0
            ? "the hidden size"
        : c->tokens == 0 || c->tokens > 1u << 20 ? "the number of tokens"
        : c->table % 8 != 0 || c->flags % 4 != 0 ? "an address"
                                                 : NULL;
    if (what)
        snprintf(why, size, "%s makes no sense: ranks %u, rank %d, tokens %u, hidden %u, table 0x%llx", what,
                 c->ranks, c->rank, c->tokens, c->hidden, (unsigned long long)c->table);
    return !what;
}

bool hl_known_decode(const struct hl_known_arguments *a, const char *symbol,
                     const uint8_t bytes[HL_KNOWN_BYTES_MAX], struct hl_known_call *ret_call, char *why,
                     size_t size)
{
    const struct kernel *k = &kernels[a->kernel];
    const char *arguments = find_identifiers(symbol, k->scope, k->function);
    struct hl_known_call c = { .kernel = a->kernel,
                               .protocol = k->protocol,
                               .dtype = dtype_of_template(arguments ? arguments : ""),
                               .compare = a->compare,
                               .by_word = a->by_word,
                               .polls_own = a->polls_own,
                               .releases = a->releases };
    c.ranks = a->ranks >= 0 ? word_at(bytes, a->ranks) : number_of_template(arguments ? arguments : "");
    c.rank = a->rank >= 0 ? (int)word_at(bytes, a->rank) : -1;
    c.hidden = word_at(bytes, a->hidden);
    c.tokens = word_at(bytes, a->size);
    if (hl_protocol_family(c.protocol) == HL_FAMILY_TRTLLM)
        c.tokens = c.hidden > 0 && c.tokens % c.hidden == 0 ? c.tokens / c.hidden : 0;
    c.table = address_at(bytes, a->table);
    c.flags = address_at(bytes, a->flags);
    if (a->rank >= 0 && c.rank < 0) {
        snprintf(why, size, "the rank makes no sense: %d", c.rank);
        return false;
    }
    if (!check(&c, why, size))
        return false;
    *ret_call = c;
    return true;
}

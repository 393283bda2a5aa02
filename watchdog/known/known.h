/* Collectives of other people that the watchdog knows by the symbols of their kernels, and how their
 * arguments lie: FlashInfer's and TensorRT-LLM's fused allreduces, which are the protocols of kernels/.
 *
 * A kernel is recognised by its mangled name, the layout of its arguments by their number and the size of the
 * first one, which the driver tells (cuFuncGetParamInfo). So a release that changes its arguments is taken
 * for what it is: one that nobody has described yet. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../../kernels/protocol.h"

/* X(ID, library, scope, function, protocol, doc). The scope is the innermost namespace. */
#define HL_KNOWN_KERNELS(X) \
    X(FI_TRTLLM_ONESHOT, "flashinfer", "trtllm_allreduce_fusion", "allreduce_fusion_kernel_oneshot_lamport", \
      HL_TRTLLM_ONESHOT, "FlashInfer, trtllm one-shot") \
    X(FI_TRTLLM_TWOSHOT, "flashinfer", "trtllm_allreduce_fusion", "allreduce_fusion_kernel_twoshot_sync", \
      HL_TRTLLM_TWOSHOT, "FlashInfer, trtllm two-shot") \
    X(FI_MOE_REDUCE, "flashinfer", "trtllm_moe_allreduce_fusion", \
      "moereduce_allreduce_fusion_kernel_oneshot_lamport", HL_TRTLLM_ONESHOT, \
      "FlashInfer, MoE reduction and one-shot") \
    X(FI_MOE_FINALIZE, "flashinfer", "trtllm_moe_allreduce_fusion", \
      "moefinalize_allreduce_fusion_kernel_oneshot_lamport", HL_TRTLLM_ONESHOT, \
      "FlashInfer, MoE finalisation and one-shot") \
    X(FI_MNNVL_ONESHOT, "flashinfer", "trtllm_mnnvl_allreduce", "oneshotAllreduceFusionKernel", \
      HL_MNNVL_ONESHOT, "FlashInfer, mnnvl one-shot") \
    X(FI_MNNVL_TWOSHOT, "flashinfer", "trtllm_mnnvl_allreduce", "twoshotAllreduceKernel", HL_MNNVL_TWOSHOT, \
      "FlashInfer, mnnvl two-shot") \
    X(FI_MNNVL_NORM, "flashinfer", "trtllm_mnnvl_allreduce", "rmsNormLamport", HL_MNNVL_TWOSHOT, \
      "FlashInfer, the second kernel of an mnnvl two-shot") \
    X(TRT_TRTLLM_ONESHOT, "tensorrt_llm", "ar_fusion", "allreduce_fusion_kernel_oneshot_lamport", \
      HL_TRTLLM_ONESHOT, "TensorRT-LLM, one-shot") \
    X(TRT_TRTLLM_TWOSHOT, "tensorrt_llm", "ar_fusion", "allreduce_fusion_kernel_twoshot_sync", \
      HL_TRTLLM_TWOSHOT, "TensorRT-LLM, two-shot") \
    X(TRT_MNNVL_ONESHOT, "tensorrt_llm", "mnnvl", "oneshotAllreduceFusionKernel", HL_MNNVL_ONESHOT, \
      "TensorRT-LLM, MNNVL one-shot") \
    X(TRT_MNNVL_TWOSHOT, "tensorrt_llm", "mnnvl", "twoshotAllreduceKernel", HL_MNNVL_TWOSHOT, \
      "TensorRT-LLM, MNNVL two-shot") \
    X(TRT_MNNVL_NORM, "tensorrt_llm", "mnnvl", "rmsNormLamport", HL_MNNVL_TWOSHOT, \
      "TensorRT-LLM, the second kernel of an MNNVL two-shot")

enum hl_known_kernel {
    HL_KNOWN_NONE,
#define X(id, library, scope, function, protocol, doc) HL_KNOWN_##id,
    HL_KNOWN_KERNELS(X)
#undef X
        HL_KNOWN_COUNT
};

/* How a kernel of some releases takes its arguments: byte offsets among them, -1: it has none. */
struct hl_known_arguments {
    enum hl_known_kernel kernel;
    const char *releases;
    uint32_t n, first_bytes; /* arguments, and the size of the first: what tells the layouts apart */
    int ranks;               /* -1: a template argument */
    int rank;
    int size; /* trtllm: elements of the input, int; mnnvl: tokens */
    int hidden;
    int table; /* trtllm: void *[3 * ranks + 1]; mnnvl: the ranks' buffers */
    int flags; /* mnnvl; trtllm has their address in the table */
    enum hl_compare compare;
    bool by_word;   /* trtllm: a wait looks at words of 32 bits, whatever the data type */
    bool polls_own; /* mnnvl: a one-shot waits for its own row, too */
};

/* What is asked of a kernel's arguments as a whole. */
#define HL_KNOWN_BYTES_MAX 160

/* A call, as its arguments tell. */
struct hl_known_call {
    enum hl_known_kernel kernel;
    enum hl_protocol protocol;
    enum hl_dtype dtype;
    enum hl_compare compare;
    bool by_word, polls_own;
    const char *releases;
    uint32_t ranks, tokens, hidden;
    int rank;              /* -1: this kernel is not told */
    uint64_t table, flags; /* addresses on the device; 0: none */
};

enum hl_known_kernel hl_known_find(const char *symbol);
const char *hl_known_doc(enum hl_known_kernel kernel);
enum hl_protocol hl_known_protocol(enum hl_known_kernel kernel);
/* Is it the second kernel of a call? */
bool hl_known_is_second(enum hl_known_kernel kernel);

/* NULL: such arguments are not known. */
const struct hl_known_arguments *hl_known_arguments_of(enum hl_known_kernel kernel, uint32_t n,
                                                       uint32_t first_bytes);
/* What tells workspaces apart: the address of its table (trtllm) or its flags (mnnvl). */
uint64_t hl_known_workspace(const struct hl_known_arguments *a, const uint8_t bytes[HL_KNOWN_BYTES_MAX]);

/* False: the arguments make no sense, and `why` says which. */
bool hl_known_decode(const struct hl_known_arguments *a, const char *symbol,
                     const uint8_t bytes[HL_KNOWN_BYTES_MAX], struct hl_known_call *ret_call, char *why,
                     size_t size);
